//! The pages of sign-in: e-mail and password, then the second step of those who have one.

use askama::Template;
use axum::{
    extract::{Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{Entry, Outcome};
use crate::{
    app::Shared,
    bootstrap,
    error::{Error, Rejection},
    language::{Texts, fill},
    tickets::{self, Purpose},
    web::{
        Frame, Posted, Visit,
        cookie::{self, Name},
        page::{self, Done},
        path,
    },
};

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    frame: Frame,
    problem: Option<String>,
    email: &'a str,
    next: &'a str,
}

#[derive(Template)]
#[template(path = "second_step.html")]
struct SecondStepPage<'a> {
    frame: Frame,
    problem: Option<String>,
    next: &'a str,
}

/// Where to after the sign-in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Next {
    next: String,
}

#[derive(Debug, Deserialize)]
pub struct SignInForm {
    email: String,
    password: SecretString,
    #[serde(default)]
    next: String,
}

#[derive(Debug, Deserialize)]
pub struct CodeForm {
    code: SecretString,
    #[serde(default)]
    next: String,
}

/// Whether somebody who is signed in is to prove once more that it is them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Anew {
    anew: String,
}

/// `GET /sign-in`; on a new platform it leads to the bootstrap.
pub async fn show(
    State(app): State<Shared>,
    visit: Visit,
    Query(next): Query<Next>,
    Query(Anew { anew }): Query<Anew>,
    Query(done): Query<Done>,
) -> Result<Response, Error> {
    let next = path::local(&next.next);
    if visit.session.is_some() && anew != "true" {
        return Ok(Redirect::to(next).into_response());
    }
    let mut connection = app.connection().await?;
    if bootstrap::is_needed(&mut connection).await? {
        return Ok(Redirect::to("/bootstrap").into_response());
    }
    let frame = Frame::new(&app, &visit).with(done.done);
    page::show(
        StatusCode::OK,
        &SignInPage {
            frame,
            problem: None,
            email: "",
            next,
        },
    )
}

/// `POST /sign-in`
pub async fn submit(
    State(app): State<Shared>,
    visit: Visit,
    Posted(form): Posted<SignInForm>,
) -> Result<Response, Error> {
    let next = path::local(&form.next);
    let outcome = super::with_password(&app, &visit, &form.email, &form.password).await?;
    match &outcome {
        Outcome::SignedIn(entry) => Ok(welcome(entry, page::lead_on(&app, &visit, next)?)),
        Outcome::SecondStep(ticket) => {
            let query = serde_urlencoded::to_string([("next", next)]).unwrap_or_default();
            let mut response =
                Redirect::to(&format!("/sign-in/second-step?{query}")).into_response();
            cookie::set(&mut response, Name::Ticket, ticket);
            Ok(response)
        }
        _ => {
            let texts = visit.texts();
            let problem = problem(&outcome, texts, texts.problems.wrong_password);
            let page = SignInPage {
                frame: Frame::new(&app, &visit),
                problem,
                email: &form.email,
                next,
            };
            Ok(again(&outcome, page::show(status(&outcome), &page)?))
        }
    }
}

/// `GET /sign-in/second-step`
pub async fn show_second_step(
    State(app): State<Shared>,
    visit: Visit,
    Query(next): Query<Next>,
) -> Result<Response, Error> {
    let digest = visit
        .ticket
        .as_ref()
        .map(|ticket| ticket.digest())
        .ok_or(Rejection::TicketExpired)?;
    let mut connection = app.connection().await?;
    let ticket = tickets::find(&mut connection, &digest, Purpose::SignIn, app.now()).await?;
    ticket.ok_or(Rejection::TicketExpired)?;
    let frame = Frame::new(&app, &visit);
    let next = path::local(&next.next);
    page::show(
        StatusCode::OK,
        &SecondStepPage {
            frame,
            problem: None,
            next,
        },
    )
}

/// `POST /sign-in/second-step`
pub async fn submit_second_step(
    State(app): State<Shared>,
    visit: Visit,
    Posted(form): Posted<CodeForm>,
) -> Result<Response, Error> {
    let next = path::local(&form.next);
    let outcome = super::with_code(&app, &visit, form.code.expose_secret()).await?;
    if let Outcome::SignedIn(entry) = &outcome {
        return Ok(welcome(entry, page::lead_on(&app, &visit, next)?));
    }
    let texts = visit.texts();
    let problem = problem(&outcome, texts, texts.problems.wrong_code);
    let page = SecondStepPage {
        frame: Frame::new(&app, &visit),
        problem,
        next,
    };
    Ok(again(&outcome, page::show(status(&outcome), &page)?))
}

/// Has the browser hold what a sign-in gives it, and nothing of before.
#[must_use]
pub fn welcome(entry: &Entry, mut response: Response) -> Response {
    cookie::set(&mut response, Name::Session, &entry.session);
    cookie::set(&mut response, Name::Device, &entry.device);
    cookie::remove(&mut response, Name::Form);
    cookie::remove(&mut response, Name::Ticket);
    response
}

/// What stands above the form that is shown again; `wrong` where what was typed is.
#[must_use]
pub fn problem(outcome: &Outcome, texts: &Texts, wrong: &str) -> Option<String> {
    match outcome {
        Outcome::Throttled(seconds) => {
            let minutes = (seconds + 59) / 60;
            Some(fill(
                texts.problems.throttled,
                &[("minutes", &minutes.to_string())],
            ))
        }
        Outcome::Suspended => Some(texts.problems.suspended.to_owned()),
        Outcome::Wrong => Some(wrong.to_owned()),
        Outcome::SignedIn(_) | Outcome::SecondStep(_) | Outcome::Confirmed => None,
    }
}

/// The status of a page that shows the form again.
#[must_use]
pub fn status(outcome: &Outcome) -> StatusCode {
    match outcome {
        Outcome::Throttled(_) => StatusCode::TOO_MANY_REQUESTS,
        Outcome::Suspended => StatusCode::FORBIDDEN,
        _ => StatusCode::UNAUTHORIZED,
    }
}

/// Says when the next try is free.
#[must_use]
pub fn again(outcome: &Outcome, mut response: Response) -> Response {
    if let Outcome::Throttled(seconds) = outcome {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, (*seconds).into());
    }
    response
}
