//! What `plan` decides, story by story. Names of tests are sentences about an instance; builders
//! are in `support.rs`.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test may fail like the test itself"
)]

mod check;
mod definition;
mod domain;
mod golden;
mod health;
mod hostname;
mod names;
mod properties;
mod rollout;
mod support;
