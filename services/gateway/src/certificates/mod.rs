//! Certificates: which one is presented for a name.
//!
//! ```text
//! Secrets of type kubernetes.io/tls ──watch.rs──> Certificate ──store.rs (pure)──> Store ──swap──> resolver.rs
//! ```
//!
//! Orders and renewals belong to the operator; we present what is there, expired or not, because
//! a warning in the browser says more than a connection that ends.

pub mod resolver;
pub mod store;
pub mod watch;

pub use resolver::Resolver;
pub use store::{BadCertificate, Certificate, Store};
