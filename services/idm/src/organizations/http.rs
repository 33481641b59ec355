//! Pages of organizations: their list and making for the staff; the people of one for its admins.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use serde::Deserialize;

use super::{
    Organization, Role,
    change::{self, Change},
    is_name,
    keeper::{self, Keeper, may_change},
    store,
};
use crate::{
    app::{App, Shared},
    audit::{self, Deed},
    error::{Error, Rejection},
    identifier::Kind,
    invitations::{self, Invitation},
    people::name,
    web::{
        Frame, Posted, SignedIn, Visit,
        form::Empty,
        page::{self, Done, Notice, lead},
    },
};

#[derive(Template)]
#[template(path = "organizations.html")]
struct ListPage<'a> {
    frame: Frame,
    problem: Option<String>,
    organizations: Vec<Organization>,
    name: &'a str,
    title: &'a str,
}

#[derive(Template)]
#[template(path = "people.html")]
struct PeoplePage<'a> {
    frame: Frame,
    problem: Option<String>,
    organization: &'a Organization,
    members: Vec<MemberRow>,
    invitations: Vec<InvitationRow>,
    /// The roles that the visitor may give.
    roles: Vec<Role>,
    /// The link of the invitation that was just made.
    link: Option<&'a str>,
    /// What was typed, when it is to be typed again.
    email: &'a str,
}

struct MemberRow {
    uid: String,
    name: String,
    email: String,
    role: Role,
    may_change: bool,
}

struct InvitationRow {
    uid: String,
    email: String,
    role: Role,
    ends_at: String,
    ends: String,
    may_revoke: bool,
}

#[derive(Debug, Deserialize)]
pub struct OrganizationForm {
    name: String,
    title: String,
}

#[derive(Debug, Deserialize)]
pub struct RoleForm {
    role: Role,
}

/// `GET /organizations`
pub async fn list(
    State(app): State<Shared>,
    visit: Visit,
    Query(done): Query<Done>,
) -> Result<Response, Error> {
    list_page(&app, &visit, done.done, None, ("", "")).await
}

/// Whether somebody may make organizations and see all of them.
fn staff(visit: &Visit) -> Result<(), Rejection> {
    let is_staff = visit
        .session
        .as_ref()
        .is_some_and(|session| session.person.is_staff);
    if is_staff {
        Ok(())
    } else {
        Err(Rejection::NotAllowed)
    }
}

async fn list_page(
    app: &App,
    visit: &Visit,
    done: Option<Notice>,
    problem: Option<&str>,
    (name, title): (&str, &str),
) -> Result<Response, Error> {
    staff(visit)?;
    let mut connection = app.connection().await?;
    let organizations = store::list(&mut connection).await?;
    let page = ListPage {
        frame: Frame::new(app, visit).with(done),
        problem: problem.map(str::to_owned),
        organizations,
        name,
        title,
    };
    page::show_form(page.problem.is_some(), &page)
}

/// `POST /organizations`
pub async fn make(
    State(app): State<Shared>,
    visit: Visit,
    Posted(form): Posted<OrganizationForm>,
) -> Result<Response, Error> {
    staff(&visit)?;
    let problems = &visit.texts().problems;
    let typed = (form.name.as_str(), form.title.as_str());
    if !is_name(&form.name) {
        return list_page(
            &app,
            &visit,
            None,
            Some(problems.no_organization_name),
            typed,
        )
        .await;
    }
    let Some(title) = name::parse(&form.title) else {
        return list_page(&app, &visit, None, Some(problems.no_name), typed).await;
    };
    let organization = Organization {
        uid: app.uid(Kind::Organization),
        name: form.name.clone(),
        title,
    };
    let now = app.now();
    let mut transaction = app.begin().await?;
    if !store::insert(&mut transaction, &organization, now).await? {
        transaction.rollback().await?;
        return list_page(
            &app,
            &visit,
            None,
            Some(problems.organization_name_taken),
            typed,
        )
        .await;
    }
    let details = [("name", organization.name.as_str())];
    let new = audit::New {
        organization: Some(&organization.uid),
        details: &details,
        ..audit::New::by(
            visit.actor(),
            Deed::OrganizationMade,
            Some(&organization.uid),
        )
    };
    audit::store::append(&mut transaction, visit.origin(), new, now).await?;
    transaction.commit().await?;
    Ok(lead(
        &format!("/organizations/{}/people", organization.name),
        Some(Notice::Saved),
    ))
}

/// What the page of people shows beside them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    pub done: Option<Notice>,
    pub problem: Option<&'a str>,
    pub link: Option<&'a str>,
    pub email: &'a str,
}

/// The page of an organization's people.
///
/// # Errors
/// When the database does not answer.
pub async fn people_page(
    app: &App,
    visit: &Visit,
    keeper: &Keeper,
    beside: Beside<'_>,
) -> Result<Response, Error> {
    let mut connection = app.connection().await?;
    let members = store::members(&mut connection, &keeper.organization.uid).await?;
    let open =
        invitations::store::open(&mut connection, &keeper.organization.uid, app.now()).await?;
    let member_row = |member: store::Member| MemberRow {
        may_change: keeper.may_change(member.role),
        uid: member.uid,
        name: member.name,
        email: member.email,
        role: member.role,
    };
    let invitation_row = |invitation: Invitation| InvitationRow {
        may_revoke: keeper.may_change(invitation.role),
        ends_at: invitation.ends_at.to_string(),
        ends: invitation
            .ends_at
            .strftime("%Y-%m-%d %H:%M UTC")
            .to_string(),
        uid: invitation.uid,
        email: invitation.email,
        role: invitation.role,
    };
    let page = PeoplePage {
        frame: Frame::new(app, visit).with(beside.done),
        problem: beside.problem.map(str::to_owned),
        organization: &keeper.organization,
        members: members.into_iter().map(member_row).collect(),
        invitations: open.into_iter().map(invitation_row).collect(),
        roles: Role::ALL
            .into_iter()
            .filter(|role| keeper.may_change(*role))
            .collect(),
        link: beside.link,
        email: beside.email,
    };
    page::show_form(page.problem.is_some(), &page)
}

/// `GET /organizations/{name}/people`
pub async fn people(
    State(app): State<Shared>,
    visit: Visit,
    Path(name): Path<String>,
    Query(done): Query<Done>,
) -> Result<Response, Error> {
    let keeper = keeper::find(&app, &visit, &name).await?;
    let beside = Beside {
        done: done.done,
        ..Beside::default()
    };
    people_page(&app, &visit, &keeper, beside).await
}

/// `POST /organizations/{name}/people/{uid}/role`
pub async fn set_role(
    State(app): State<Shared>,
    visit: Visit,
    Path((name, person)): Path<(String, String)>,
    Posted(form): Posted<RoleForm>,
) -> Result<Response, Error> {
    let keeper = keeper::find(&app, &visit, &name).await?;
    let change = Change {
        organization: &keeper.organization,
        person: &person,
        role: Some(form.role),
        deed: Deed::RoleChanged,
    };
    let may = |own, old| {
        may_change(&keeper.person, own, old) && may_change(&keeper.person, own, form.role)
    };
    change::make(&app, &visit, change, may).await?;
    Ok(after(&keeper, &person, Notice::RoleChanged))
}

/// `POST /organizations/{name}/people/{uid}/remove`
pub async fn remove(
    State(app): State<Shared>,
    visit: Visit,
    Path((name, person)): Path<(String, String)>,
    Posted(Empty {}): Posted<Empty>,
) -> Result<Response, Error> {
    let keeper = keeper::find(&app, &visit, &name).await?;
    let change = Change {
        organization: &keeper.organization,
        person: &person,
        role: None,
        deed: Deed::MemberRemoved,
    };
    let may = |own, old| may_change(&keeper.person, own, old);
    change::make(&app, &visit, change, may).await?;
    Ok(after(&keeper, &person, Notice::Removed))
}

/// Whoever changed themselves may not see the page any more.
fn after(keeper: &Keeper, person: &str, notice: Notice) -> Response {
    if keeper.person.uid == person && !keeper.person.is_staff {
        return lead("/", Some(notice));
    }
    lead(
        &format!("/organizations/{}/people", keeper.organization.name),
        Some(notice),
    )
}

/// `POST /organizations/{name}/leave`
pub async fn leave(
    State(app): State<Shared>,
    visit: Visit,
    SignedIn(session): SignedIn,
    Path(name): Path<String>,
    Posted(Empty {}): Posted<Empty>,
) -> Result<Response, Error> {
    let mut connection = app.connection().await?;
    let organization = store::find(&mut connection, &name)
        .await?
        .ok_or(Rejection::NotFound)?;
    drop(connection);
    let change = Change {
        organization: &organization,
        person: &session.person.uid,
        role: None,
        deed: Deed::MemberLeft,
    };
    // Everybody may leave.
    change::make(&app, &visit, change, |_, _| true).await?;
    Ok(lead("/account", Some(Notice::Left)))
}
