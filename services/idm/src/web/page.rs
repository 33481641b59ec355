//! The frame around every page, and how a page becomes an answer.

use std::sync::Arc;

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
};

use serde::{
    Deserialize,
    de::{IntoDeserializer, value::StrDeserializer},
};

use super::{Visit, path};
use crate::{
    app::App,
    brand::Brand,
    error::{Error, Failure},
    language::{Notices, Texts},
    people::Person,
};

/// What stands around a page.
pub struct Frame {
    pub t: &'static Texts,
    pub language: &'static str,
    pub brand: Arc<Brand>,
    pub form_token: String,
    pub person: Option<Person>,
    pub notice: Option<&'static str>,
}

impl Frame {
    #[must_use]
    pub fn new(app: &App, visit: &Visit) -> Self {
        Self {
            t: visit.texts(),
            language: visit.language().code(),
            brand: Arc::clone(&app.settings.brand),
            form_token: visit
                .form_key
                .as_ref()
                .map(|key| key.form_token())
                .unwrap_or_default(),
            person: visit.session.as_ref().map(|session| session.person.clone()),
            notice: None,
        }
    }

    /// With what a page says after a deed.
    #[must_use]
    pub fn with(mut self, notice: Option<Notice>) -> Self {
        self.notice = notice.map(|notice| notice.text(&self.t.notices));
        self
    }
}

/// A deed that the next page speaks of: `?done=saved`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    Saved,
    PasswordChanged,
    TotpRemoved,
    SessionEnded,
    SessionsEnded,
    SignedOut,
    RoleChanged,
    Removed,
    Revoked,
    Left,
    Joined,
    TeamDeleted,
}

impl Notice {
    fn text(self, texts: &Notices) -> &'static str {
        match self {
            Self::Saved => texts.saved,
            Self::PasswordChanged => texts.password_changed,
            Self::TotpRemoved => texts.totp_removed,
            Self::SessionEnded => texts.session_ended,
            Self::SessionsEnded => texts.sessions_ended,
            Self::SignedOut => texts.signed_out,
            Self::RoleChanged => texts.role_changed,
            Self::Removed => texts.removed,
            Self::Revoked => texts.revoked,
            Self::Left => texts.left,
            Self::Joined => texts.joined,
            Self::TeamDeleted => texts.team_deleted,
        }
    }
}

/// The query of pages that speak of a deed; of one that is unknown they do not.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(default, from = "Words")]
pub struct Done {
    pub done: Option<Notice>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Words {
    done: String,
}

impl From<Words> for Done {
    fn from(words: Words) -> Self {
        let word: StrDeserializer<'_, serde::de::value::Error> =
            words.done.as_str().into_deserializer();
        Self {
            done: Notice::deserialize(word).ok(),
        }
    }
}

/// A page as an answer.
///
/// # Errors
/// When it cannot be rendered.
pub fn show(status: StatusCode, page: &impl Template) -> Result<Response, Error> {
    let text = page.render().map_err(Failure::Page)?;
    Ok((status, Html(text)).into_response())
}

/// A page with a form, which says what was wrong with what was sent, if anything was.
///
/// # Errors
/// When it cannot be rendered.
pub fn show_form(has_problem: bool, page: &impl Template) -> Result<Response, Error> {
    let status = if has_problem {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    show(status, page)
}

/// Leads on after a form that signed somebody in.
///
/// Browsers hold the answer to a form to the `form-action` of its page, and Chromium all that the answer leads
/// to as well: our policy names ourselves, but the door and OpenID Connect lead to hosts of apps. So where one of
/// them comes next, the form ends with a page, and the browser goes on from there by itself; the policy stays as
/// narrow as it is.
///
/// # Errors
/// When the page cannot be rendered.
pub fn lead_on(app: &App, visit: &Visit, path: &str) -> Result<Response, Error> {
    if !path::leads_elsewhere(path) {
        return Ok(Redirect::to(path).into_response());
    }
    let page = OnwardPage {
        frame: Frame::new(app, visit),
        path,
    };
    let mut response = show(StatusCode::OK, &page)?;
    // Paths of ours are ASCII without control characters.
    if let Ok(value) = HeaderValue::from_str(&format!("0; url={path}")) {
        response.headers_mut().insert(header::REFRESH, value);
    }
    Ok(response)
}

#[derive(Template)]
#[template(path = "onward.html")]
struct OnwardPage<'a> {
    frame: Frame,
    path: &'a str,
}

/// Leads on to a page after a deed, so that loading it again does nothing again.
#[must_use]
pub fn lead(path: &str, notice: Option<Notice>) -> Response {
    let query = notice.and_then(|done| serde_urlencoded::to_string([("done", done)]).ok());
    let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    Redirect::to(&target).into_response()
}
