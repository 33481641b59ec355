//! idm: who somebody is, and what they may do. People, what they prove themselves by, their sessions, the
//! organizations that they are in, and the trail of all that. Pages for people; the JSON API and the
//! protocols of apps stand on the same parts.
//!
//! Each feature is a folder: rules (pure), `store` (rows of PostgreSQL), `http` (pages). The life of a
//! request: `web/mod.rs`. Every address: `routes.rs`.
//!
//! Not here: what somebody buys, and any app by name.

pub mod account;
pub mod acl;
pub mod app;
pub mod audit;
pub mod authorization;
pub mod bootstrap;
pub mod brand;
pub mod clients;
pub mod cluster;
pub mod command;
pub mod config;
pub mod database;
pub mod door;
pub mod error;
pub mod home;
pub mod identifier;
pub mod invitations;
pub mod keys;
pub mod language;
pub mod mail;
pub mod metrics;
pub mod oidc;
pub mod organizations;
pub mod people;
pub mod routes;
pub mod second_factor;
pub mod secret;
pub mod sessions;
pub mod sign_in;
pub mod teams;
pub mod tickets;
pub mod web;
