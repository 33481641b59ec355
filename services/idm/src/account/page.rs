//! The account page, which every change comes back to.

use askama::Template;
use axum::{http::StatusCode, response::Response};

use crate::{
    app::App,
    error::{Error, Rejection},
    language::Language,
    organizations::store::{self, Membership},
    people::Person,
    second_factor,
    sessions::{self, Listed, browser},
    web::{
        Frame, Visit,
        page::{self, Notice},
    },
};

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage<'a> {
    frame: Frame,
    problem: Option<String>,
    person: &'a Person,
    languages: &'a [Language],
    codes_left: i64,
    sessions: Vec<SessionRow>,
    memberships: Vec<Membership>,
}

struct SessionRow {
    uid: String,
    browser: String,
    address: String,
    last_seen_at: String,
    last_seen: String,
    is_this: bool,
}

/// Shows it, with what is wrong, and with what was done.
///
/// # Errors
/// When nobody is signed in, or the database does not answer.
pub async fn show(
    app: &App,
    visit: &Visit,
    status: StatusCode,
    problem: Option<String>,
    notice: Option<Notice>,
) -> Result<Response, Error> {
    let session = visit.session.as_ref().ok_or(Rejection::NotSignedIn)?;
    let person = &session.person;
    let mut connection = app.connection().await?;
    let listed = sessions::store::list(
        &mut connection,
        &person.uid,
        &app.settings.lifetimes,
        app.now(),
    )
    .await?;
    let row = |listed: Listed| SessionRow {
        is_this: listed.uid == session.uid,
        browser: browser(&listed.user_agent),
        last_seen_at: listed.last_seen_at.to_string(),
        last_seen: listed
            .last_seen_at
            .strftime("%Y-%m-%d %H:%M UTC")
            .to_string(),
        uid: listed.uid,
        address: listed.address,
    };
    let page = AccountPage {
        frame: Frame::new(app, visit).with(notice),
        problem,
        person,
        languages: &Language::ALL,
        codes_left: second_factor::store::codes_left(&mut connection, &person.uid).await?,
        sessions: listed.into_iter().map(row).collect(),
        memberships: store::memberships(&mut connection, &person.uid).await?,
    };
    page::show(status, &page)
}
