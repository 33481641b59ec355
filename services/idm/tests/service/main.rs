//! Stories of idm as it runs: a real listener on loopback, a real PostgreSQL with a database per test, and
//! browsers that keep their cookies. The clock is the tests' own.

#![allow(clippy::unwrap_used, reason = "a test may end at once")]

mod audit;
mod authorization;
mod bootstrap;
mod browser;
mod clients;
mod cluster;
mod command;
mod database;
mod delivery;
mod door;
mod invitations;
mod keys;
mod log;
mod oidc;
mod organizations;
mod pages;
mod program;
mod refusals;
mod second_factor;
mod secrets;
mod sessions;
mod sign_in;
mod support;
mod teams;
mod throttling;
