//! What happens around every handler: the visit is looked at, foreign requests are refused, an error becomes
//! a page or problem+json, each answer gets its headers, and each request its line in the log. The line
//! names the route's pattern: a path may hold the token of an invitation.

use std::time::{Duration, Instant};

use askama::Template;
use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};

use super::{
    cookie::{self, Name},
    form, page,
    page::Frame,
    visit::Visit,
};
use crate::{
    app::{App, Shared},
    error::{Error, Facts, Failure, Rejection, SERVICE, Told},
    keys, oidc,
};

/// A request that takes longer is given up; the longest of ours hashes a password.
const PATIENCE: Duration = Duration::from_secs(20);

/// Our own style sheet and pictures, forms to ourselves, and nothing else: no script at all.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// Around every handler.
pub async fn carry(State(app): State<Shared>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    let mut visit = Visit::new(&app, &request);
    let answer = async {
        // No text of ours holds a NUL, and the database takes none.
        if request.uri().path().contains("%00") {
            return Err(Rejection::NotFound.into());
        }
        // Programs prove by themselves who they are, and a browser's cookie counts for nothing there.
        let is_for_programs = route.as_deref().is_some_and(oidc::is_for_programs);
        if !is_for_programs
            && !form::is_own(&method, request.headers(), &app.settings.public_origin)
        {
            return Err(Error::from(Rejection::ForeignRequest));
        }
        // What everybody sees alike is answered without the database, too.
        let is_for_all = matches!(
            route.as_deref(),
            Some("/style.css" | "/logo" | keys::http::PATH | oidc::discovery::PATH)
        ) || is_for_programs;
        if let Some(token) = cookie::read(request.headers(), Name::Session).filter(|_| !is_for_all)
        {
            visit = visit.clone().with_session(&app, token).await?;
        }
        request.extensions_mut().insert(visit.clone());
        let response = next.run(request).await;
        // Of axum itself: a path that cannot be read. All of ours come with an error, but for what programs are told.
        if !is_for_programs
            && response.status() == StatusCode::BAD_REQUEST
            && response.extensions().get::<Told>().is_none()
        {
            return Err(Rejection::NotFound.into());
        }
        Ok(response)
    };
    let mut response = match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => error.into_response(),
        Err(_) => Error::from(Failure::TooSlow).into_response(),
    };
    let told = response.extensions_mut().remove::<Told>();
    if let Some(Told(error)) = &told {
        if let Error::Failed(failure) = error.as_ref() {
            let causes = service::telemetry::with_causes(failure.to_string(), failure);
            tracing::error!(request = visit.request_id, "{causes}");
        }
        response = tell(&app, &visit, error);
    }
    finish(&visit, response.headers_mut());
    if visit.is_form_key_new
        && is_page(&response)
        && let Some(key) = &visit.form_key
    {
        cookie::set(&mut response, Name::Form, key);
    }
    let route = route.as_deref().unwrap_or("none");
    let status = response.status().as_u16();
    app.metrics.answered(route, status, begun.elapsed());
    tracing::info!(
        request = visit.request_id,
        %method,
        route,
        status,
        milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        address = visit.address,
        person = visit.session.as_ref().map(|session| session.person.uid.as_str()),
        "answered"
    );
    response
}

fn is_page(response: &Response) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/html"))
}

/// A page for people, problem+json for programs. Strangers who wanted a page are led to sign in first.
fn tell(app: &App, visit: &Visit, error: &Error) -> Response {
    let facts = error.facts(visit.texts());
    let mut response = if !visit.wants_page {
        problem(visit, &facts)
    } else if matches!(error, Error::Rejected(Rejection::NotSignedIn)) {
        let query = serde_urlencoded::to_string([("next", &visit.target)]).unwrap_or_default();
        return Redirect::to(&format!("/sign-in?{query}")).into_response();
    } else {
        let page = ErrorPage {
            frame: Frame::new(app, visit),
            request_id: &visit.request_id,
            facts: &facts,
        };
        // A page that cannot be made must not ask for another one.
        page::show(facts.status, &page)
            .unwrap_or_else(|_| (facts.status, facts.title).into_response())
    };
    if let Some(seconds) = facts.retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    frame: Frame,
    request_id: &'a str,
    facts: &'a Facts,
}

fn problem(visit: &Visit, facts: &Facts) -> Response {
    let mut body = service::Problem {
        service: SERVICE,
        reason: facts.reason,
        status: facts.status.as_u16(),
        title: facts.title,
        detail: facts.detail,
        is_retryable: facts.retry_after.is_some(),
    }
    .to_json();
    body["instance"] = format!("urn:request:{}", visit.request_id).into();
    let content_type = [(header::CONTENT_TYPE, service::problem::CONTENT_TYPE)];
    (facts.status, content_type, body.to_string()).into_response()
}

/// The headers of every answer.
fn finish(visit: &Visit, headers: &mut HeaderMap) {
    const ALWAYS: [(HeaderName, &str); 6] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Paths go to ourselves only; with `no-referrer` browsers would not say whose form it is.
        (header::REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), microphone=(), geolocation=()",
        ),
    ];
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(&visit.request_id) {
        headers.insert("x-request-id", id);
    }
}

/// Around everything that no browser and no proxy comes to: what only they may say is not listened to.
pub async fn of_programs_alone(mut request: Request, next: Next) -> Response {
    for name in [
        "accept",
        "cookie",
        "forwarded",
        "x-forwarded-for",
        "x-request-id",
    ] {
        request.headers_mut().remove(name);
    }
    next.run(request).await
}

/// Where nothing is.
pub async fn not_found() -> Error {
    Rejection::NotFound.into()
}

/// Where something is, for another method.
pub async fn method_not_allowed() -> Error {
    Rejection::MethodNotAllowed.into()
}

/// Refuses strangers, before a handler that is not for them.
pub async fn signed_in_only(visit: Visit, request: Request, next: Next) -> Result<Response, Error> {
    if visit.session.is_none() {
        return Err(Rejection::NotSignedIn.into());
    }
    Ok(next.run(request).await)
}
