//! Forms: taken from pages of ours only. Two things must be so: the browser says that the request came from
//! this very origin, and the form holds the token that belongs to the cookie.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, Method, StatusCode, header},
};
use serde::{Deserialize, de::DeserializeOwned};

use super::Visit;
use crate::error::{Error, Rejection};

/// Bytes of a form; the largest of ours takes a few hundred.
pub const LARGEST: usize = 64 * 1024;

/// A form of ours, with its fields.
#[derive(Clone, Debug)]
pub struct Posted<T>(pub T);

/// A form without fields.
#[derive(Clone, Debug, Deserialize)]
pub struct Empty {}

#[derive(Deserialize)]
struct Token {
    form_token: String,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Posted<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::from_request_parts(&mut parts, state).await?;
        let content_type = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let is_form = content_type
            .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
        let request = Request::from_parts(parts, body);
        let bytes = Bytes::from_request(request, state).await.map_err(|error| {
            if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Rejection::TooLarge
            } else {
                Rejection::FormMalformed
            }
        })?;
        let token: Result<Token, _> = serde_urlencoded::from_bytes(&bytes);
        let is_ours = visit
            .form_key
            .as_ref()
            .zip(token.ok())
            .is_some_and(|(key, token)| key.is_form_token(&token.form_token));
        if !is_form || !is_ours {
            return Err(Rejection::FormExpired.into());
        }
        // No text of ours holds a NUL, and the database takes none.
        if bytes.contains(&0) || bytes.windows(3).any(|part| part == b"%00") {
            return Err(Rejection::FormMalformed.into());
        }
        let fields = serde_urlencoded::from_bytes(&bytes).map_err(|_| Rejection::FormMalformed)?;
        Ok(Self(fields))
    }
}

/// Whether a request may change something: browsers say where it came from, by Sec-Fetch-Site or, older
/// ones, by Origin. One that says neither may not.
#[must_use]
pub fn is_own(method: &Method, headers: &HeaderMap, public_origin: &str) -> bool {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return true;
    }
    let is = |name: &str, expected: &str| headers.get(name).map(|value| value == expected);
    is("sec-fetch-site", "same-origin")
        .or_else(|| is("origin", public_origin))
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_change_something() {
        let origin = "https://id.example.com";
        let may = |method: Method, said: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in said {
                headers.insert(*name, value.parse().unwrap());
            }
            is_own(&method, &headers, origin)
        };
        assert!(may(Method::GET, &[("sec-fetch-site", "cross-site")]));
        assert!(may(Method::POST, &[("sec-fetch-site", "same-origin")]));
        assert!(may(Method::POST, &[("origin", "https://id.example.com")]));
        for said in [
            &[][..],
            &[
                ("sec-fetch-site", "same-site"),
                ("origin", "https://id.example.com"),
            ],
            &[("sec-fetch-site", "none")],
            &[("origin", "null")],
            &[("origin", "https://id.example.com.evil.test")],
            &[("origin", "http://id.example.com")],
        ] {
            assert!(!may(Method::POST, said), "{said:?}");
            assert!(!may(Method::DELETE, said), "{said:?}");
        }
    }
}
