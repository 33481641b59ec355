//! The door for browsers: who may open an app is led to it with a ticket.

use askama::Template;
use axum::{
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use tokens::Ticket;

use super::{
    place::Place,
    sign,
    store::{self, Asked},
};
use crate::{
    acl::Decision,
    app::{App, Shared},
    error::{Error, Failure, Rejection},
    language::fill,
    sessions::Session,
    web::{Frame, SignedIn, Visit, page},
};

#[derive(Template)]
#[template(path = "door_closed.html")]
struct ClosedPage {
    frame: Frame,
    host: String,
    words: String,
    signed_in_as: String,
}

/// Where to?
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct To {
    to: String,
}

/// Tells somebody in words why they may not go on to a host.
///
/// # Errors
/// In place of the page, for programs.
pub fn closed(
    app: &App,
    visit: &Visit,
    session: &Session,
    host: String,
    words: String,
) -> Result<Response, Error> {
    if !visit.wants_page {
        return Err(Rejection::NotAllowed.into());
    }
    let email = session.person.email.as_str();
    let page = ClosedPage {
        frame: Frame::new(app, visit),
        host,
        words,
        signed_in_as: fill(visit.texts().signed_in_as, &[("email", email)]),
    };
    page::show(StatusCode::FORBIDDEN, &page)
}

/// `GET /door`
pub async fn show(
    State(app): State<Shared>,
    visit: Visit,
    SignedIn(session): SignedIn,
    Query(To { to }): Query<To>,
) -> Result<Response, Error> {
    let place = Place::read(&to, &app.settings.public_origin).ok_or(Rejection::UnknownPlace)?;
    let asked = Asked {
        session: &session.uid,
        person: &session.person.uid,
        host: &place.host,
    };
    let mut connection = app.connection().await?;
    let lifetimes = &app.settings.lifetimes;
    let comer = store::comer(&mut connection, asked, lifetimes, app.now()).await?;
    drop(connection);
    let comer = comer.ok_or(Rejection::UnknownPlace)?;
    if let Decision::Refuse(because) = comer.decision {
        let words = because.words(&comer.names);
        return closed(&app, &visit, &session, place.host, words);
    }
    // Who may open an app of an organization is something there.
    let (Some(organization), Some(role)) = (comer.organization, comer.role) else {
        return Err(Rejection::NotAllowed.into());
    };
    let ticket = Ticket {
        host: place.host.clone(),
        path: place.path.clone(),
        session: session.uid,
        person: session.person.uid,
        organization,
        role: role.into(),
        instance: comer.instance,
    };
    let keys = app.keys.get().ok_or(Failure::NoKeys)?;
    let (ticket, _) = sign(&app, &keys, &ticket)?;
    Ok(Redirect::to(&place.with(&ticket)).into_response())
}
