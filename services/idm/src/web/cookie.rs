//! Our cookies: each holds a token, and by its `__Host-` prefix browsers take it from this host only, over
//! TLS, for all paths. No script reads them, and requests that pages of other sites make do not carry them,
//! but for a click on a link.

use std::time::Duration;

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};

use crate::{secret::Token, sessions, tickets};

/// What a cookie is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// The session.
    Session,
    /// The forms of somebody who is not signed in.
    Form,
    /// A browser that somebody signed in with before.
    Device,
    /// What was begun and waits for its next page.
    Ticket,
}

impl Name {
    fn word(self) -> &'static str {
        match self {
            Self::Session => "__Host-tutti",
            Self::Form => "__Host-tutti-form",
            Self::Device => "__Host-tutti-device",
            Self::Ticket => "__Host-tutti-ticket",
        }
    }

    /// How long a browser keeps it; `None` until it is closed.
    fn life(self) -> Option<jiff::SignedDuration> {
        match self {
            Self::Session | Self::Form => None,
            Self::Device => Some(sessions::DEVICE_LIFE),
            Self::Ticket => Some(tickets::LIFE),
        }
    }
}

/// The token that a request carries; one that cannot be ours is none.
#[must_use]
pub fn read(headers: &HeaderMap, name: Name) -> Option<Token> {
    let jar = CookieJar::from_headers(headers);
    Token::read(jar.get(name.word())?.value())
}

/// Has the browser keep a token.
pub fn set(response: &mut Response, name: Name, token: &Token) {
    let mut cookie = build(name, token.expose().to_owned());
    if let Some(life) = name.life() {
        let seconds = Duration::try_from(life).unwrap_or_default();
        cookie.set_max_age(seconds.try_into().ok());
    }
    append(response, &cookie);
}

/// Has the browser forget a token.
pub fn remove(response: &mut Response, name: Name) {
    let mut cookie = build(name, String::new());
    cookie.make_removal();
    append(response, &cookie);
}

fn build(name: Name, value: String) -> Cookie<'static> {
    Cookie::build((name.word(), value))
        .path("/")
        .secure(true)
        .http_only(true)
        .same_site(SameSite::Lax)
        .build()
}

fn append(response: &mut Response, cookie: &Cookie<'_>) {
    // Name, value and attributes are ASCII without control characters.
    if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;

    #[test]
    fn a_cookie_is_for_this_host_over_tls_and_for_no_script() {
        let mut response = ().into_response();
        set(&mut response, Name::Session, &Token::new([3; 32]));
        let text = response.headers()[header::SET_COOKIE].to_str().unwrap();
        let (value, attributes) = text.split_once("; ").unwrap();
        assert_eq!(attributes, "HttpOnly; SameSite=Lax; Secure; Path=/");
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, value.parse().unwrap());
        assert_eq!(read(&headers, Name::Session), Some(Token::new([3; 32])));
        assert_eq!(read(&headers, Name::Device), None);
    }
}
