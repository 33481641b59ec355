//! Every way in which a token can be bad. The reason goes to logs and metrics, the text to the log; a
//! visitor is told neither (a stranger who knows which check failed knows what to try next).

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};

use crate::Algorithm;

/// Why a token is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the token is malformed: {0}")]
    Malformed(Cow<'static, str>),
    /// Nothing of it was read.
    #[error("the token has {length} bytes; {limit} are allowed")]
    TooLong { length: usize, limit: usize },
    /// It has to be understood, and we do not (RFC 7515 §4.1.11).
    #[error("the token's header says crit: an extension that is not known here")]
    UnknownExtension,
    #[error("the token is of type {found:?}; expected is {expected}")]
    WrongType {
        found: String,
        expected: &'static str,
    },
    /// A key that was never ours, or was retired long ago.
    #[error("no key {key:?} is known; fetch the issuer's keys anew if it may have a new one")]
    UnknownKey { key: String },
    #[error("key {key:?} is not valid any more since {since}")]
    KeyNotValidAnyMore { key: String, since: Timestamp },
    /// Among them `none`, and HS256 with a public key as its secret (RFC 8725 §2.1). Without `expected`
    /// it is one that no key of ours is for.
    #[error("the token says algorithm {found:?}; {}", expectation(*.expected))]
    WrongAlgorithm {
        found: String,
        expected: Option<Algorithm>,
    },
    #[error("the signature is not of key {key:?}")]
    BadSignature { key: String },
    #[error("the claim {0} is missing")]
    ClaimMissing(&'static str),
    #[error("the token is of issuer {found:?}; expected is {expected:?}")]
    WrongIssuer { found: String, expected: String },
    #[error("the token is for {found:?}; this is {expected:?}")]
    WrongAudience { found: String, expected: String },
    #[error("the token has expired at {since}")]
    Expired { since: Timestamp },
    /// The issuer's clock is ahead of ours by more than we take.
    #[error(
        "the token is valid from {until} on, {ahead:#} from now; {tolerated:#} are tolerated: \
         compare the clocks of its issuer and of this machine (NTP)"
    )]
    NotYet {
        until: Timestamp,
        ahead: SignedDuration,
        tolerated: SignedDuration,
    },
    /// Its issuer gave it more time than tokens of this type may have.
    #[error("the token is good for {life:#}; {limit:#} are allowed")]
    LivesTooLong {
        life: SignedDuration,
        limit: SignedDuration,
    },
    #[error("the token is for host {signed_for:?} and was presented at {presented_at:?}")]
    WrongHost {
        signed_for: String,
        presented_at: String,
    },
    #[error("the token is for path {signed_for:?} and was presented at {presented_at:?}")]
    WrongPath {
        signed_for: String,
        presented_at: String,
    },
}

impl Refusal {
    /// In CamelCase, for logs and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "Malformed",
            Self::TooLong { .. } => "TooLong",
            Self::UnknownExtension => "UnknownExtension",
            Self::WrongType { .. } => "WrongType",
            Self::UnknownKey { .. } => "UnknownKey",
            Self::KeyNotValidAnyMore { .. } => "KeyNotValidAnyMore",
            Self::WrongAlgorithm { .. } => "WrongAlgorithm",
            Self::BadSignature { .. } => "BadSignature",
            Self::ClaimMissing(_) => "ClaimMissing",
            Self::WrongIssuer { .. } => "WrongIssuer",
            Self::WrongAudience { .. } => "WrongAudience",
            Self::Expired { .. } => "Expired",
            Self::NotYet { .. } => "NotYet",
            Self::LivesTooLong { .. } => "LivesTooLong",
            Self::WrongHost { .. } => "WrongHost",
            Self::WrongPath { .. } => "WrongPath",
        }
    }
}

fn expectation(expected: Option<Algorithm>) -> String {
    match expected {
        Some(algorithm) => format!("its key is for {algorithm} only"),
        None => "only ES256 and RS256 are known".to_owned(),
    }
}

/// The beginning of what a stranger wrote: a log line must not become as long as they like.
pub(crate) fn excerpt(text: &str) -> String {
    const LENGTH: usize = 120;
    text.chars().take(LENGTH).collect()
}
