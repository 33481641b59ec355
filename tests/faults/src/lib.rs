//! The operator in trouble: what happens when it is killed at any moment, when answers are lost,
//! when the API server is out of sorts, when somebody edits what it made, when there are two.
//!
//! ```text
//! operator (a runtime of its own, killed by dropping it)
//!    └──HTTP──> proxy (numbers writes, does the mischief) ──TLS──> a real API server <── world
//! ```
//!
//! | what | file |
//! |---|---|
//! | the API server, shared by all tests, and who is on it | `stage.rs` |
//! | one life of the operator | `incarnation.rs` |
//! | the proxy and its mischief | `proxy.rs`, `mischief.rs`, `watches.rs` |
//! | who plays kubelet and controllers | `world.rs` |
//! | what people do: order, stop, scale, upgrade, delete | `stories.rs` |
//! | one story with one fault, from the beginning to the end | `run.rs` |
//! | domains: a DNS, a gateway and authorities around the operator | `domains.rs`, `between.rs` |
//! | what is there in the end, and whether it is the same | `end_state.rs` |
//!
//! The tests are in `tests/faults/`, one file per kind of trouble. `TUTTI_LONG=1` runs more of
//! them; seeds are printed when one fails.

pub mod between;
pub mod domains;
pub mod end_state;
pub mod incarnation;
pub mod mischief;
pub mod proxy;
pub mod run;
pub mod sight;
pub mod stage;
pub mod stories;
pub mod watches;
pub mod world;
