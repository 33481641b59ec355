//! Errors as programs read them: problem+json (RFC 9457), with two members of ours beside the standard's.

use serde_json::{Value, json};

/// Its media type.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// What is wrong.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// Who says so, such as `gateway`.
    pub service: &'a str,
    /// In CamelCase; never changed once it was told.
    pub reason: &'a str,
    /// The HTTP status.
    pub status: u16,
    pub title: &'a str,
    /// What a person reads: what is wrong, and the mend.
    pub detail: &'a str,
    /// Whether the same request may be answered a little later.
    pub is_retryable: bool,
}

impl Problem<'_> {
    /// The body; more members may be added.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "type": format!("urn:tutti:{}:{}", self.service, self.reason),
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
            "retryable": self.is_retryable,
        })
    }
}
