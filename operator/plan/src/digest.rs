//! Digests: whether what was applied is what is wanted now.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// A short digest of an object's JSON. Ten bytes: an accident is out of the question, and nobody
/// gains anything by forging one.
#[must_use]
pub fn of<T: Serialize>(object: &T) -> String {
    // Our own types and k8s-openapi's have string keys only, so that writing them cannot fail.
    let json = serde_json::to_vec(object).unwrap_or_default();
    short(&json)
}

/// The same of a text.
#[must_use]
pub fn of_text(text: &str) -> String {
    short(text.as_bytes())
}

/// A number that a text always gives, as evenly spread as if it had been thrown.
#[must_use]
pub fn number(text: &str) -> u64 {
    Sha256::digest(text.as_bytes())
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn short(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes)
        .iter()
        .take(10)
        .fold(String::with_capacity(20), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
