//! The start page.

use askama::Template;
use axum::{
    extract::{Query, State},
    http::StatusCode,
    response::Response,
};
use jiff::Timestamp;
use sqlx::PgConnection;

use crate::{
    acl::{self, Action, Actor, Resource},
    app::Shared,
    authorization::{self, App},
    error::Error,
    language::{Texts, fill},
    organizations::{
        Role,
        store::{self, Membership},
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
    apps: Vec<App>,
    /// What stands there when there are none.
    otherwise: String,
}

/// Who finds the way to an organization's people here.
fn may_manage(person: &Person, role: Role) -> bool {
    person.is_staff || role >= Role::Admin
}

/// What stands in place of an organization's apps when somebody may open none: that there are none, or whom to ask
/// for some.
async fn otherwise(
    on: &mut PgConnection,
    person: &Person,
    membership: &Membership,
    texts: &Texts,
    now: Timestamp,
) -> sqlx::Result<String> {
    let whichever = Resource::Instance {
        organization: membership.uid.clone(),
        name: None,
    };
    let known = authorization::store::facts(on, &person.uid, &whichever, now).await?;
    let actor = Actor::session(&person.uid);
    let decision = acl::may(&known.facts, &actor, Action::OpenInstance, &whichever);
    if decision.is_allowed() {
        return Ok(texts.no_apps.to_owned());
    }
    let names = authorization::store::able_instead(on, &decision, &known).await?;
    let names: Vec<&str> = names.0.iter().map(|named| named.name.as_str()).collect();
    let people = if names.is_empty() {
        texts.an_admin.to_owned()
    } else {
        names.join(", ")
    };
    Ok(fill(texts.no_apps_given, &[("people", people.as_str())]))
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
    let found = authorization::store::apps(&mut connection, &person.uid).await?;
    let open = authorization::openable(&person.uid, found);
    let mut places = Vec::with_capacity(memberships.len());
    for membership in memberships {
        let of_it = |app: &&App| app.organization == membership.name;
        let apps: Vec<App> = open.iter().filter(of_it).cloned().collect();
        let otherwise = if apps.is_empty() {
            otherwise(
                &mut connection,
                person,
                &membership,
                visit.texts(),
                app.now(),
            )
            .await?
        } else {
            String::new()
        };
        places.push(Place {
            may_manage: may_manage(person, membership.role),
            apps,
            otherwise,
            name: membership.name,
            title: membership.title,
            role: membership.role,
        });
    }
    let page = HomePage {
        frame: Frame::new(&app, &visit).with(done.done),
        places,
    };
    page::show(StatusCode::OK, &page)
}
