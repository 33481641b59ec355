//! May they? Who may do what, on which kind of resource: one table ([`model`]) and one pure function
//! ([`may`]) that every service's question ends in.
//!
//! ```text
//! Facts (what idm's database knows) ─┐
//! Actor (who asks, and by what)     ─┼─> may ──> Allow | Refuse(Because) ──> code for programs, words for people
//! Action, Resource (what they want) ─┘
//! ```
//!
//! Nothing here reads a database, a clock or a token: who calls has found out who the actor is and
//! fetched the facts. Nothing here is remembered, so a revocation holds as soon as the facts say so.
//!
//! - `model`: the table, and what the words in it mean
//! - `role`, `resource`, `actor`, `facts`: what a question is made of, with its form on the wire
//! - `evaluate`: `may` and `openable`
//! - `because`: why not, for programs and for people

mod actor;
mod because;
mod evaluate;
mod facts;
pub mod model;
mod resource;
mod role;
mod unknown;

pub use actor::{Actor, Scope, Scopes};
pub use because::{Because, Code, Named, Names};
pub use evaluate::{Decision, may, openable};
pub use facts::Facts;
pub use model::{Action, Least, Row, Rule, TABLE};
pub use resource::{Kind, Resource};
pub use role::Role;
pub use unknown::Unknown;
