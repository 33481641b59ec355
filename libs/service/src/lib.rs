//! What every program of ours does around its own work: flags, logs, health, metrics, shutdown, and
//! the form of errors.
//!
//! Not for business logic, and not a framework: a program calls these parts in the order it likes.
//!
//! ```text
//! main ── config::parse() ──> flags, and what is in force for --check-config
//!      ── telemetry::init(&args.log) ──> LogFilter ─┐
//!      ── Readiness, Liveness (set by the work) ────┼──> admin::serve: /healthz /readyz /metrics
//!      ── prometheus Registry (filled by the work) ─┘                  PUT /log-level
//!      ── shutdown::signal() ──> CancellationToken, handed to all of them
//! ```

pub mod admin;
pub mod config;
pub mod health;
pub mod problem;
pub mod shutdown;
pub mod telemetry;

pub use admin::Admin;
pub use health::{Check, Liveness, Readiness};
pub use problem::Problem;
pub use telemetry::{LogArgs, LogFilter};
