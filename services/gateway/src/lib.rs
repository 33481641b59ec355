//! The gateway: the one door. TLS for every hostname, and the way to the service behind it.
//!
//! Not here: who owns a hostname, orders of certificates, starting of apps. The operator decides
//! all that and writes Routes and Secrets; the gateway only reads them.
//!
//! ```text
//! Routes, Secrets, Domains ──watch.rs──> routes/, certificates/, domains.rs ──swap──> gateway.rs
//!                                                                    │ look-ups
//! client ──listen.rs──> phases.rs ──forward.rs, body.rs, upgrade.rs──┴──> backend
//!                           └──errors.rs, pages.rs──> a page instead
//! ```
//!
//! Begin with [`phases`]: the life of a request, from top to bottom.

pub mod access_log;
pub mod body;
pub mod certificates;
pub mod config;
pub mod connection;
pub mod domains;
pub mod door;
pub mod errors;
pub mod forward;
pub mod framing;
pub mod gateway;
pub mod headers;
pub mod listen;
pub mod metrics;
pub mod pages;
pub mod phases;
pub mod routes;
pub mod stall;
pub mod upgrade;
pub mod watch;
