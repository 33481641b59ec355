//! The pages of the bootstrap: the code, then the person; and the question whether it is needed.

use askama::Template;
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::{is_needed, store};
use crate::{
    app::{App, Shared},
    audit::{self, Actor, Deed},
    error::{Error, Rejection},
    identifier::Kind,
    people::{self, email::Email, name, password},
    second_factor::{self, SECRET_LENGTH, Setup, http::CodesPage},
    secret::{self, Digest, Token},
    sign_in::{self, Outcome, http as pages, tries},
    tickets::{self, Purpose, Ticket},
    web::{
        Frame, Posted, Visit,
        cookie::{self, Name},
        page,
    },
};

#[derive(Template)]
#[template(path = "bootstrap_code.html")]
struct CodePage {
    frame: Frame,
    problem: Option<String>,
}

#[derive(Template)]
#[template(path = "bootstrap_person.html")]
struct PersonPage<'a> {
    frame: Frame,
    problem: Option<String>,
    email: &'a str,
    name: &'a str,
    setup: Setup,
}

#[derive(Debug, Deserialize)]
pub struct CodeForm {
    code: SecretString,
}

#[derive(Debug, Deserialize)]
pub struct PersonForm {
    email: String,
    name: String,
    password: SecretString,
    code: SecretString,
}

/// `GET /v1/bootstrap`
pub async fn ask(State(app): State<Shared>) -> Result<Response, Error> {
    let mut connection = app.connection().await?;
    let needed = is_needed(&mut connection).await?;
    Ok(Json(json!({ "needed": needed })).into_response())
}

/// Refuses when it is over, or was never possible. The code.
async fn open(app: &App) -> Result<&SecretString, Error> {
    let mut connection = app.connection().await?;
    if !is_needed(&mut connection).await? {
        return Err(Rejection::BootstrapDone.into());
    }
    let code = app.settings.bootstrap_code.as_ref();
    Ok(code.ok_or(Rejection::BootstrapNotConfigured)?)
}

/// `GET /bootstrap`
pub async fn show(State(app): State<Shared>, visit: Visit) -> Result<Response, Error> {
    open(&app).await?;
    page::show(
        StatusCode::OK,
        &CodePage {
            frame: Frame::new(&app, &visit),
            problem: None,
        },
    )
}

/// `POST /bootstrap`
pub async fn submit_code(
    State(app): State<Shared>,
    visit: Visit,
    Posted(form): Posted<CodeForm>,
) -> Result<Response, Error> {
    let code = open(&app).await?;
    let texts = visit.texts();
    // By address only: what all share, anybody could keep full.
    let buckets = [tries::address_bucket(&visit.address)];
    if let Some(seconds) = tries::admit(&app, &visit, &buckets, None).await? {
        let outcome = Outcome::Throttled(seconds);
        let problem = pages::problem(&outcome, texts, texts.problems.wrong_bootstrap_code);
        let page = CodePage {
            frame: Frame::new(&app, &visit),
            problem,
        };
        return Ok(pages::again(
            &outcome,
            page::show(pages::status(&outcome), &page)?,
        ));
    }
    let now = app.now();
    let mut transaction = app.begin().await?;
    if !secret::is_same(form.code.expose_secret().trim(), code.expose_secret()) {
        let new = audit::New::by(Actor::Visitor, Deed::BootstrapRefused, None);
        audit::store::append(&mut transaction, visit.origin(), new, now).await?;
        transaction.commit().await?;
        let problem = Some(texts.problems.wrong_bootstrap_code.to_owned());
        let page = CodePage {
            frame: Frame::new(&app, &visit),
            problem,
        };
        return page::show(StatusCode::UNAUTHORIZED, &page);
    }
    tries::forgive(&mut transaction, &buckets).await?;
    let token = app.token();
    let totp_secret = rand::random::<[u8; SECRET_LENGTH]>().to_vec();
    let ticket = Ticket {
        person: None,
        totp_secret: Some(totp_secret),
    };
    tickets::insert(
        &mut transaction,
        &token.digest(),
        Purpose::Bootstrap,
        &ticket,
        now,
    )
    .await?;
    transaction.commit().await?;
    let mut response = Redirect::to("/bootstrap/person").into_response();
    cookie::set(&mut response, Name::Ticket, &token);
    Ok(response)
}

/// The ticket of somebody who knew the code, and its secret.
async fn claim(app: &App, visit: &Visit) -> Result<(Digest, Vec<u8>), Error> {
    open(app).await?;
    let digest = visit
        .ticket
        .as_ref()
        .map(Token::digest)
        .ok_or(Rejection::TicketExpired)?;
    let mut connection = app.connection().await?;
    let ticket = tickets::find(&mut connection, &digest, Purpose::Bootstrap, app.now()).await?;
    let secret = ticket
        .and_then(|ticket| ticket.totp_secret)
        .ok_or(Rejection::TicketExpired)?;
    Ok((digest, secret))
}

fn person_page(
    app: &App,
    visit: &Visit,
    secret: &[u8],
    form: Option<&PersonForm>,
    problem: Option<String>,
) -> Result<Response, Error> {
    let email = form.map_or("", |form| &form.email);
    // The address is not known yet; the phone shows the platform's name.
    let brand = &app.settings.brand.name;
    let page = PersonPage {
        frame: Frame::new(app, visit),
        email,
        name: form.map_or("", |form| &form.name),
        setup: second_factor::setup(secret, "admin", brand)?,
        problem,
    };
    page::show_form(page.problem.is_some(), &page)
}

/// `GET /bootstrap/person`
pub async fn show_person(State(app): State<Shared>, visit: Visit) -> Result<Response, Error> {
    let (_, secret) = claim(&app, &visit).await?;
    person_page(&app, &visit, &secret, None, None)
}

/// `POST /bootstrap/person`
pub async fn submit_person(
    State(app): State<Shared>,
    visit: Visit,
    Posted(form): Posted<PersonForm>,
) -> Result<Response, Error> {
    let (digest, secret) = claim(&app, &visit).await?;
    let now = app.now();
    let problems = &visit.texts().problems;
    let again = |problem: String| person_page(&app, &visit, &secret, Some(&form), Some(problem));
    let Some(email) = Email::parse(&form.email) else {
        return again(problems.no_email.to_owned());
    };
    let Some(name) = name::parse(&form.name) else {
        return again(problems.no_name.to_owned());
    };
    let about = [
        email.as_str(),
        name.as_str(),
        app.settings.brand.name.as_str(),
    ];
    if let Err(weakness) = password::check(form.password.expose_secret(), &about) {
        return again(visit.texts().weakness(&weakness));
    }
    let Some(step) = second_factor::check(&secret, form.code.expose_secret(), now)? else {
        return again(problems.wrong_code.to_owned());
    };
    let uid = app.uid(Kind::Person);
    let new = people::store::New {
        uid: &uid,
        email: &email,
        name: &name,
        locale: visit.language(),
        is_staff: true,
        // Nobody else could have confirmed it: there is no other administrator to ask.
        is_confirmed: true,
        password_hash: &app.hasher.hash(&form.password).await?,
    };
    let mut transaction = app.begin().await?;
    if !store::end(&mut transaction, &uid, now).await? {
        return Err(Rejection::BootstrapDone.into());
    }
    if !people::store::insert(&mut transaction, &new, now).await? {
        transaction.rollback().await?;
        return again(problems.email_taken.to_owned());
    }
    second_factor::store::set(&mut transaction, &uid, &secret, step).await?;
    let codes = second_factor::store::renew_codes(&mut transaction, &uid).await?;
    tickets::use_up(&mut transaction, &digest).await?;
    let done = audit::New::by(Actor::Visitor, Deed::BootstrapDone, Some(&uid));
    audit::store::append(&mut transaction, visit.origin(), done, now).await?;
    let entry = sign_in::enter(&app, &visit, &mut transaction, &uid, "bootstrap").await?;
    transaction.commit().await?;
    tracing::info!(
        person = uid,
        "the platform has its first administrator; the bootstrap code is dead"
    );
    let page = CodesPage {
        frame: Frame::new(&app, &visit),
        codes: &codes,
        next: "/",
    };
    Ok(pages::welcome(&entry, page::show(StatusCode::OK, &page)?))
}
