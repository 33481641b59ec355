//! Ending sessions: this one, another one, all others. Their list stands on the account page.

use axum::{
    extract::{Path, State},
    response::Response,
};

use super::{Session, store};
use crate::{
    app::{App, Shared},
    audit::{self, Actor, Deed},
    error::{Error, Failure, Rejection},
    web::{
        Posted, SignedIn, Visit,
        cookie::{self, Name},
        form::Empty,
        page::{Notice, lead},
    },
};

/// `POST /sign-out`
pub async fn sign_out(
    State(app): State<Shared>,
    visit: Visit,
    SignedIn(session): SignedIn,
    Posted(Empty {}): Posted<Empty>,
) -> Result<Response, Error> {
    end_own(&app, &visit, &session).await?;
    let mut response = lead("/sign-in", Some(Notice::SignedOut));
    cookie::remove(&mut response, Name::Session);
    Ok(response)
}

/// Ends the visitor's own session, because they sign out.
///
/// # Errors
/// When the database does not answer.
pub async fn end_own(app: &App, visit: &Visit, session: &Session) -> Result<(), Failure> {
    let person = session.person.uid.as_str();
    let mut transaction = app.begin().await?;
    store::end(&mut transaction, person, &session.uid).await?;
    let new = audit::New::by(Actor::Person(person), Deed::SignedOut, Some(&session.uid));
    audit::store::append(&mut transaction, visit.origin(), new, app.now()).await?;
    Ok(transaction.commit().await?)
}

/// `POST /account/sessions/{uid}/end`
pub async fn end(
    State(app): State<Shared>,
    visit: Visit,
    SignedIn(session): SignedIn,
    Path(uid): Path<String>,
    Posted(Empty {}): Posted<Empty>,
) -> Result<Response, Error> {
    let person = session.person.uid.as_str();
    let mut transaction = app.begin().await?;
    // Only their own: of others' they do not even hear whether there is one.
    if !store::end(&mut transaction, person, &uid).await? {
        return Err(Rejection::NotFound.into());
    }
    let new = audit::New::by(Actor::Person(person), Deed::SessionEnded, Some(&uid));
    audit::store::append(&mut transaction, visit.origin(), new, app.now()).await?;
    transaction.commit().await?;
    Ok(lead("/account", Some(Notice::SessionEnded)))
}

/// `POST /account/sessions/end-others`
pub async fn end_others(
    State(app): State<Shared>,
    visit: Visit,
    SignedIn(session): SignedIn,
    Posted(Empty {}): Posted<Empty>,
) -> Result<Response, Error> {
    let person = session.person.uid.as_str();
    let mut transaction = app.begin().await?;
    let ended = store::end_others(&mut transaction, person, Some(&session.uid)).await?;
    let details = [("sessions", ended.to_string())];
    let details = details
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let new = audit::New {
        details: &details,
        ..audit::New::by(
            Actor::Person(person),
            Deed::OtherSessionsEnded,
            Some(person),
        )
    };
    audit::store::append(&mut transaction, visit.origin(), new, app.now()).await?;
    transaction.commit().await?;
    Ok(lead("/account", Some(Notice::SessionsEnded)))
}
