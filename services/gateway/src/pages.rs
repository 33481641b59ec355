//! What a visitor sees when the gateway answers by itself: a page for people, problem+json
//! (RFC 9457) for programs. One refusal, one look; nothing here decides anything.

use askama::Template;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Response,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, VARY,
        X_CONTENT_TYPE_OPTIONS,
    },
};

use crate::{access_log::Exchange, errors::Refusal, headers::X_REQUEST_ID};

#[derive(Template)]
#[template(path = "loading.html")]
struct Loading<'a> {
    title: &'a str,
    detail: &'a str,
    host: &'a str,
    status: u16,
    reason: &'a str,
    cause: &'a str,
    request_id: &'a str,
    reloads: bool,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct Problem<'a> {
    title: &'a str,
    detail: &'a str,
    host: &'a str,
    status: u16,
    reason: &'a str,
    cause: &'a str,
    request_id: &'a str,
    reloads: bool,
    may_retry: bool,
}

/// No script, style or picture from anywhere else; the loading page asks its own host only.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; base-uri 'none'; frame-ancestors 'self'";

/// The answer to a refused request.
#[must_use]
pub fn answer(refusal: &Refusal, exchange: &Exchange) -> Response<Bytes> {
    let wants_html = prefers_html(exchange.accept.as_ref());
    let body = if wants_html {
        html(refusal, exchange)
    } else {
        json(refusal, exchange)
    };
    let mut response = Response::new(body);
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    let content_type = if wants_html {
        "text/html; charset=utf-8"
    } else {
        service::problem::CONTENT_TYPE
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("tutti-reason", HeaderValue::from_static(refusal.reason()));
    headers.insert(X_REQUEST_ID, exchange.request_id.clone());
    if wants_html {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    }
    if refusal.status().is_server_error() {
        let seconds = if refusal.may_retry() { "2" } else { "60" };
        headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
    }
    if matches!(refusal, Refusal::MethodNotAllowed) {
        const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
        headers.insert(ALLOW, HeaderValue::from_static(METHODS));
    }
    response
}

fn html(refusal: &Refusal, exchange: &Exchange) -> Bytes {
    let request_id = exchange.request_id.to_str().unwrap_or_default();
    let (title, detail, host) = (refusal.title(), refusal.detail(), exchange.host.as_str());
    let (status, reason, cause) = (refusal.status().as_u16(), refusal.reason(), refusal.cause());
    // To load a page again repeats the request, which only these two allow without asking.
    let is_safe = matches!(exchange.method, Method::GET | Method::HEAD);
    let page = match refusal {
        Refusal::Starting { .. } | Refusal::BackendUnreachable => Loading {
            title,
            detail,
            host,
            status,
            reason,
            cause,
            request_id,
            reloads: is_safe,
        }
        .render(),
        _ => {
            let may_retry = refusal.may_retry();
            Problem {
                title,
                detail,
                host,
                status,
                reason,
                cause,
                request_id,
                reloads: false,
                may_retry,
            }
            .render()
        }
    };
    // Rendering fails only when writing to a String does.
    page.unwrap_or_else(|_| title.to_owned()).into()
}

fn json(refusal: &Refusal, exchange: &Exchange) -> Bytes {
    let mut problem = service::Problem {
        service: "gateway",
        reason: refusal.reason(),
        status: refusal.status().as_u16(),
        title: refusal.title(),
        detail: refusal.detail(),
        is_retryable: refusal.may_retry(),
    }
    .to_json();
    let request_id = exchange.request_id.to_str().unwrap_or_default();
    problem["instance"] = format!("urn:request:{request_id}").into();
    if !refusal.cause().is_empty() {
        problem["cause"] = refusal.cause().into();
    }
    problem.to_string().into()
}

/// Whether a person reads the answer: browsers name text/html, programs do not.
pub fn prefers_html(accept: Option<&HeaderValue>) -> bool {
    let Some(accept) = accept.and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let (mut html, mut json) = (0_u16, 0_u16);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts
            .find_map(|part| part.strip_prefix("q="))
            .and_then(|weight| weight.parse::<f32>().ok())
            .map_or(1_000, |weight| (weight.clamp(0.0, 1.0) * 1_000.0) as u16);
        if name.eq_ignore_ascii_case("text/html")
            || name.eq_ignore_ascii_case("application/xhtml+xml")
        {
            html = html.max(weight);
        } else if name.eq_ignore_ascii_case("application/json") || name.ends_with("+json") {
            json = json.max(weight);
        }
    }
    html > 0 && html >= json
}

/// An answer without a page, for redirects.
#[must_use]
pub fn redirect(location: HeaderValue, is_safe: bool) -> (http::StatusCode, HeaderMap) {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::LOCATION, location);
    // 308 keeps method and body, which 301 does not promise.
    let status = if is_safe {
        http::StatusCode::MOVED_PERMANENTLY
    } else {
        http::StatusCode::PERMANENT_REDIRECT
    };
    (status, headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_get_html_and_programs_get_json() {
        let asks = |accept: &'static str| prefers_html(Some(&HeaderValue::from_static(accept)));
        assert!(asks(
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
        ));
        assert!(!asks("*/*"));
        assert!(!asks("application/json"));
        assert!(!asks("application/json, text/html;q=0.5"));
        assert!(!asks("text/html;q=0"));
        assert!(!prefers_html(None));
    }

    #[test]
    fn a_page_is_small_and_what_the_operator_wrote_is_escaped() {
        let detail = "<script>alert(1)</script>".repeat(20);
        let page = Loading {
            title: "Starting",
            detail: &detail,
            host: "a.test",
            status: 503,
            reason: "Starting",
            cause: "",
            request_id: "1",
            reloads: true,
        }
        .render()
        .unwrap();
        assert!(!page.contains("<script>alert"));
        assert!(page.len() <= 8 * 1024, "{}", page.len());
        assert!(page.contains("http-equiv=\"refresh\""));
    }
}
