//! Routes: which hostname and path belongs to which service.
//!
//! ```text
//! Route objects ──watch.rs──> &[Arc<Route>] ──table.rs (pure)──> Table ──swap──> phases.rs looks up
//! ```

pub mod path;
pub mod table;
pub mod watch;

pub use table::{Entry, State, Table, Target};
