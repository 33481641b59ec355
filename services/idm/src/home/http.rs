//! The start page.

use askama::Template;
use axum::{
    extract::{Query, State},
    http::StatusCode,
    response::Response,
};

use crate::{
    app::Shared,
    error::Error,
    organizations::{
        Role,
        store::{self, Instance, Membership},
    },
    people::Person,
    web::{
        Frame, SignedIn, Visit,
        page::{self, Done},
    },
};

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
    places: Vec<Place>,
}

/// An organization, as its member sees it.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    name: String,
    title: String,
    role: Role,
    may_manage: bool,
    apps: Vec<Instance>,
}

/// Who finds the way to an organization's people here.
fn may_manage(person: &Person, role: Role) -> bool {
    person.is_staff || role >= Role::Admin
}

/// Pure: each organization with its apps.
fn places(person: &Person, memberships: Vec<Membership>, apps: &[Instance]) -> Vec<Place> {
    let place = |membership: Membership| Place {
        may_manage: may_manage(person, membership.role),
        apps: apps
            .iter()
            .filter(|app| app.organization == membership.name)
            .cloned()
            .collect(),
        name: membership.name,
        title: membership.title,
        role: membership.role,
    };
    memberships.into_iter().map(place).collect()
}

/// `GET /`
pub async fn show(
    State(app): State<Shared>,
    visit: Visit,
    SignedIn(session): SignedIn,
    Query(done): Query<Done>,
) -> Result<Response, Error> {
    let person = &session.person;
    let mut connection = app.connection().await?;
    let memberships = store::memberships(&mut connection, &person.uid).await?;
    let apps = store::instances(&mut connection, &person.uid).await?;
    let page = HomePage {
        frame: Frame::new(&app, &visit).with(done.done),
        places: places(person, memberships, &apps),
    };
    page::show(StatusCode::OK, &page)
}
