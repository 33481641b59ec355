//! The operator: makes every AppInstance true. All the I/O; every decision is in the crate `plan`.
//!
//! ```text
//! watches ──> cache ──> observe ──> check, plan (crate plan) ──> apply ──> report
//!                                                                  └──> API server
//! ```
//!
//! | what | file |
//! |---|---|
//! | the life of an AppInstance | `instance/` |
//! | the life of an Organization | `organizations.rs` |
//! | is a definition sound | `definitions.rs` |
//! | who holds a hostname | `hostnames.rs`, `domain/holders.rs` |
//! | proof and certificate of a customer's hostname | `domain/` |
//! | what is known of the cluster | `cache/` |
//! | secrets of the platform's own services | `platform_secrets.rs` |
//! | calls to the API server, counted | `client.rs` |
//! | events | `news.rs`, `recorder.rs` |
//! | what the operator may do | `rbac.rs` |

pub mod backoff;
pub mod cache;
pub mod client;
pub mod config;
pub mod definitions;
pub mod domain;
pub mod failure;
pub mod hostnames;
pub mod instance;
pub mod leader;
pub mod metrics;
pub mod news;
pub mod organizations;
pub mod platform_secrets;
pub mod random;
pub mod rbac;
mod recorder;
pub mod run;
pub mod written;
