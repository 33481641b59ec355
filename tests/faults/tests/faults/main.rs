//! The operator in trouble, against a real API server.

#![allow(clippy::unwrap_used, reason = "a test may end at once")]

mod authorities;
mod crashes;
mod deletions;
mod edits;
mod events;
mod names;
mod organizations;
mod ownership;
mod periodic;
mod quiet;
mod rivals;
mod watches;
mod weather;
