//! Why an application does not get what it asked for, in the words of the protocol (RFC 6749 §4.1.2.1 and §5.2, Core
//! §3.1.2.6, RFC 6750 §3.1). Pure, but for the answer that it becomes.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::error::{Error, Failure};

/// A code for programs, and words for whoever writes them. Printable ASCII without quotes and backslashes, as §5.2
/// asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub error: &'static str,
    pub words: &'static str,
}

impl Refusal {
    #[must_use]
    pub const fn new(error: &'static str, words: &'static str) -> Self {
        Self { error, words }
    }
}

/// Nobody knows the application, or it has not proven that it is itself.
pub const INVALID_CLIENT: Refusal = Refusal::new(
    "invalid_client",
    "Unknown client_id, or wrong client secret; see the Secret beside the SsoClient.",
);
/// The access token is good for nothing.
pub const INVALID_TOKEN: Refusal = Refusal::new(
    "invalid_token",
    "The access token has expired or was revoked; refresh it, or have the person sign in again.",
);

/// Why a program is not answered as it wanted.
#[derive(Debug)]
pub enum Stop {
    Refused(Refusal),
    /// It asks too much, and has to wait for so many seconds.
    TooMuch(i64),
    Failed(Failure),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

fn wait(seconds: i64) -> Response {
    let words = format!("This client asks too much at once; ask again after {seconds} s.");
    let body = json!({ "error": "temporarily_unavailable", "error_description": words });
    let after = [(header::RETRY_AFTER, seconds.to_string())];
    (StatusCode::TOO_MANY_REQUESTS, after, Json(body)).into_response()
}

impl IntoResponse for Stop {
    fn into_response(self) -> Response {
        let refusal = match self {
            Self::Failed(failure) => return Error::from(failure).into_response(),
            Self::TooMuch(seconds) => return wait(seconds),
            Self::Refused(refusal) => refusal,
        };
        let (status, way) = match refusal.error {
            "invalid_client" => (StatusCode::UNAUTHORIZED, Some("Basic realm=\"idm\"")),
            "invalid_token" => (
                StatusCode::UNAUTHORIZED,
                Some("Bearer error=\"invalid_token\""),
            ),
            _ => (StatusCode::BAD_REQUEST, None),
        };
        let body = json!({ "error": refusal.error, "error_description": refusal.words });
        let mut response = (status, Json(body)).into_response();
        if let Some(way) = way {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(way));
        }
        response
    }
}
