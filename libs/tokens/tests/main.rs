//! Tokens as their readers and as strangers see them, from outside the crate.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test may fail like the test itself"
)]

mod attacks;
mod interoperability;
mod key_sets;
mod mutations;
mod refusals;
mod rotation;
mod round_trip;
mod support;
