//! Setting an authenticator app up and taking it away, and recovery codes. Each begins with the password:
//! whoever finds an open browser cannot.

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{SECRET_LENGTH, Setup, check, setup, store};
use crate::{
    account,
    app::Shared,
    audit::{self, Deed},
    error::{Error, Rejection},
    sign_in::{self, Outcome},
    tickets::{self, Purpose, Ticket},
    web::{
        Frame, Posted, SignedIn, Visit,
        cookie::{self, Name},
        page::{self, Notice, lead},
    },
};

#[derive(Template)]
#[template(path = "totp.html")]
struct TotpPage {
    frame: Frame,
    problem: Option<String>,
    setup: Setup,
}

/// Shown once, after each making of recovery codes.
#[derive(Template)]
#[template(path = "recovery_codes.html")]
pub struct CodesPage<'a> {
    pub frame: Frame,
    pub codes: &'a [String],
    /// Where to after it.
    pub next: &'a str,
}

#[derive(Debug, Deserialize)]
pub struct CurrentForm {
    current: SecretString,
}

#[derive(Debug, Deserialize)]
pub struct CodeForm {
    code: SecretString,
}

/// `POST /account/totp`: the password was right, a secret is offered.
pub async fn begin(
    State(app): State<Shared>,
    visit: Visit,
    SignedIn(session): SignedIn,
    Posted(form): Posted<CurrentForm>,
) -> Result<Response, Error> {
    let outcome = sign_in::confirm(&app, &visit, &form.current).await?;
    if !matches!(outcome, Outcome::Confirmed) {
        return account::http::refused(&app, &visit, &outcome).await;
    }
    let token = app.token();
    let ticket = Ticket {
        person: Some(session.person.uid),
        totp_secret: Some(rand::random::<[u8; SECRET_LENGTH]>().to_vec()),
    };
    let mut transaction = app.begin().await?;
    tickets::insert(
        &mut transaction,
        &token.digest(),
        Purpose::Totp,
        &ticket,
        app.now(),
    )
    .await?;
    transaction.commit().await?;
    let mut response = Redirect::to("/account/totp").into_response();
    cookie::set(&mut response, Name::Ticket, &token);
    Ok(response)
}

/// The secret that somebody was offered, in this browser.
async fn offered(app: &Shared, visit: &Visit, person: &str) -> Result<Vec<u8>, Error> {
    let digest = visit
        .ticket
        .as_ref()
        .map(|ticket| ticket.digest())
        .ok_or(Rejection::TicketExpired)?;
    let mut connection = app.connection().await?;
    let ticket = tickets::find(&mut connection, &digest, Purpose::Totp, app.now()).await?;
    let ticket = ticket.filter(|ticket| ticket.person.as_deref() == Some(person));
    Ok(ticket
        .and_then(|ticket| ticket.totp_secret)
        .ok_or(Rejection::TicketExpired)?)
}

/// `GET /account/totp`
pub async fn show(
    State(app): State<Shared>,
    visit: Visit,
    SignedIn(session): SignedIn,
) -> Result<Response, Error> {
    let secret = offered(&app, &visit, &session.person.uid).await?;
    let setup = setup(&secret, &session.person.email, &app.settings.brand.name)?;
    page::show(
        StatusCode::OK,
        &TotpPage {
            frame: Frame::new(&app, &visit),
            problem: None,
            setup,
        },
    )
}

/// `POST /account/totp/confirm`: the phone has the secret.
pub async fn confirm(
    State(app): State<Shared>,
    visit: Visit,
    SignedIn(session): SignedIn,
    Posted(form): Posted<CodeForm>,
) -> Result<Response, Error> {
    let person = session.person.uid.as_str();
    let secret = offered(&app, &visit, person).await?;
    let now = app.now();
    let Some(step) = check(&secret, form.code.expose_secret(), now)? else {
        let page = TotpPage {
            frame: Frame::new(&app, &visit),
            problem: Some(visit.texts().problems.wrong_code.to_owned()),
            setup: setup(&secret, &session.person.email, &app.settings.brand.name)?,
        };
        return page::show(StatusCode::UNPROCESSABLE_ENTITY, &page);
    };
    let mut transaction = app.begin().await?;
    if let Some(ticket) = &visit.ticket
        && !tickets::use_up(&mut transaction, &ticket.digest()).await?
    {
        return Err(Rejection::TicketExpired.into());
    }
    store::set(&mut transaction, person, &secret, step).await?;
    let codes = store::renew_codes(&mut transaction, person).await?;
    let new = audit::New::by(visit.actor(), Deed::TotpSetUp, Some(person));
    audit::store::append(&mut transaction, visit.origin(), new, now).await?;
    transaction.commit().await?;
    show_codes(&app, &visit, &codes)
}

fn show_codes(app: &Shared, visit: &Visit, codes: &[String]) -> Result<Response, Error> {
    let page = CodesPage {
        frame: Frame::new(app, visit),
        codes,
        next: "/account",
    };
    let mut response = page::show(StatusCode::OK, &page)?;
    cookie::remove(&mut response, Name::Ticket);
    Ok(response)
}

/// `POST /account/totp/remove`
pub async fn remove(
    State(app): State<Shared>,
    visit: Visit,
    SignedIn(session): SignedIn,
    Posted(form): Posted<CurrentForm>,
) -> Result<Response, Error> {
    let outcome = sign_in::confirm(&app, &visit, &form.current).await?;
    if !matches!(outcome, Outcome::Confirmed) {
        return account::http::refused(&app, &visit, &outcome).await;
    }
    let person = session.person.uid.as_str();
    let mut transaction = app.begin().await?;
    store::remove(&mut transaction, person).await?;
    let new = audit::New::by(visit.actor(), Deed::TotpRemoved, Some(person));
    audit::store::append(&mut transaction, visit.origin(), new, app.now()).await?;
    transaction.commit().await?;
    Ok(lead("/account", Some(Notice::TotpRemoved)))
}

/// `POST /account/recovery-codes`: new ones, in place of all.
pub async fn renew_codes(
    State(app): State<Shared>,
    visit: Visit,
    SignedIn(session): SignedIn,
    Posted(form): Posted<CurrentForm>,
) -> Result<Response, Error> {
    let outcome = sign_in::confirm(&app, &visit, &form.current).await?;
    if !matches!(outcome, Outcome::Confirmed) {
        return account::http::refused(&app, &visit, &outcome).await;
    }
    if !session.person.has_totp {
        return Err(Rejection::NotFound.into());
    }
    let person = session.person.uid.as_str();
    let mut transaction = app.begin().await?;
    let codes = store::renew_codes(&mut transaction, person).await?;
    let new = audit::New::by(visit.actor(), Deed::RecoveryCodesMade, Some(person));
    audit::store::append(&mut transaction, visit.origin(), new, app.now()).await?;
    transaction.commit().await?;
    show_codes(&app, &visit, &codes)
}
