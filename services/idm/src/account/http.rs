//! What somebody changes about themselves: name, language, password.

use axum::{
    extract::{Query, State},
    http::StatusCode,
    response::Response,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::page;
use crate::{
    app::Shared,
    audit::{self, Deed},
    error::Error,
    language::Language,
    people::{name, password, store},
    sessions,
    sign_in::{self, Outcome, http as pages},
    web::{
        Posted, SignedIn, Visit,
        cookie::{self, Name},
        page::{Done, Notice, lead},
    },
};

#[derive(Debug, Deserialize)]
pub struct NameForm {
    name: String,
    locale: String,
}

#[derive(Debug, Deserialize)]
pub struct PasswordForm {
    current: SecretString,
    new: SecretString,
}

/// `GET /account`
pub async fn show(
    State(app): State<Shared>,
    visit: Visit,
    Query(done): Query<Done>,
) -> Result<Response, Error> {
    page::show(&app, &visit, StatusCode::OK, None, done.done).await
}

/// `POST /account/name`
pub async fn set_name(
    State(app): State<Shared>,
    visit: Visit,
    SignedIn(session): SignedIn,
    Posted(form): Posted<NameForm>,
) -> Result<Response, Error> {
    let person = &session.person;
    let Some(name) = name::parse(&form.name) else {
        let problem = Some(visit.texts().problems.no_name.to_owned());
        return page::show(
            &app,
            &visit,
            StatusCode::UNPROCESSABLE_ENTITY,
            problem,
            None,
        )
        .await;
    };
    // The page offers no other.
    let locale = Language::try_from(form.locale).unwrap_or(person.locale);
    let mut transaction = app.begin().await?;
    store::set_name(&mut transaction, &person.uid, &name, locale).await?;
    let new = audit::New::by(visit.actor(), Deed::PersonChanged, Some(&person.uid));
    audit::store::append(&mut transaction, visit.origin(), new, app.now()).await?;
    transaction.commit().await?;
    Ok(lead("/account", Some(Notice::Saved)))
}

/// `POST /account/password`: all other sessions end, and this one gets another token.
pub async fn set_password(
    State(app): State<Shared>,
    visit: Visit,
    SignedIn(session): SignedIn,
    Posted(form): Posted<PasswordForm>,
) -> Result<Response, Error> {
    let person = &session.person;
    let outcome = sign_in::confirm(&app, &visit, &form.current).await?;
    if !matches!(outcome, Outcome::Confirmed) {
        return refused(&app, &visit, &outcome).await;
    }
    let about = [
        person.email.as_str(),
        person.name.as_str(),
        app.settings.brand.name.as_str(),
    ];
    if let Err(weakness) = password::check(form.new.expose_secret(), &about) {
        let problem = Some(visit.texts().weakness(&weakness));
        return page::show(
            &app,
            &visit,
            StatusCode::UNPROCESSABLE_ENTITY,
            problem,
            None,
        )
        .await;
    }
    let hash = app.hasher.hash(&form.new).await?;
    let token = app.token();
    let mut transaction = app.begin().await?;
    store::set_password(&mut transaction, &person.uid, &hash).await?;
    sessions::store::end_others(&mut transaction, &person.uid, Some(&session.uid)).await?;
    sessions::store::rotate(&mut transaction, &session.uid, &token.digest()).await?;
    let new = audit::New::by(visit.actor(), Deed::PasswordChanged, Some(&person.uid));
    audit::store::append(&mut transaction, visit.origin(), new, app.now()).await?;
    transaction.commit().await?;
    let mut response = lead("/account", Some(Notice::PasswordChanged));
    cookie::set(&mut response, Name::Session, &token);
    Ok(response)
}

/// The account page when the current password was not the one.
///
/// # Errors
/// When the database does not answer.
pub async fn refused(app: &Shared, visit: &Visit, outcome: &Outcome) -> Result<Response, Error> {
    let texts = visit.texts();
    let problem = pages::problem(outcome, texts, texts.problems.wrong_current_password);
    let response = page::show(app, visit, pages::status(outcome), problem, None).await?;
    Ok(pages::again(outcome, response))
}
