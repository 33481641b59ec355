//! Pages of teams, for whoever looks after the organization's people: the list, and one team with its people and
//! its apps.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use serde::Deserialize;

use super::{
    Team,
    deed::{self, Begun},
    member,
    store::{self, Candidate, Instance, Listed},
    team,
};
use crate::{
    acl::Action,
    app::{App, Shared},
    audit::Deed,
    error::{Error, Rejection},
    identifier::Kind,
    organizations::{
        Organization,
        keeper::{self, Keeper},
        store::Member,
    },
    people::name,
    web::{
        Frame, Posted, Visit,
        form::Empty,
        page::{self, Notice, lead},
    },
};

#[derive(Template)]
#[template(path = "teams.html")]
struct ListPage<'a> {
    frame: Frame,
    problem: Option<&'a str>,
    organization: &'a Organization,
    teams: Vec<Listed>,
    /// What was typed, when it is to be typed again.
    name: &'a str,
}

#[derive(Template)]
#[template(path = "team.html")]
struct TeamPage<'a> {
    frame: Frame,
    problem: Option<&'a str>,
    organization: &'a Organization,
    team: &'a Team,
    people: Vec<PersonRow>,
    /// Who could be put in.
    others: Vec<Member>,
    given: Vec<Instance>,
    /// What could be given.
    not_given: Vec<Instance>,
    /// What stands in the form that renames.
    name: &'a str,
}

struct PersonRow {
    member: Member,
    may_take_out: bool,
}

#[derive(Debug, Deserialize)]
pub struct NameForm {
    name: String,
}

#[derive(Debug, Deserialize)]
pub struct PersonForm {
    person: String,
}

#[derive(Debug, Deserialize)]
pub struct InstanceForm {
    instance: String,
}

/// What a page shows beside its rows.
#[derive(Clone, Copy, Debug, Default)]
struct Beside<'a> {
    done: Option<Notice>,
    problem: Option<&'a str>,
    name: Option<&'a str>,
}

impl<'a> Beside<'a> {
    fn done(done: page::Done) -> Self {
        Self {
            done: done.done,
            ..Self::default()
        }
    }

    fn problem(problem: &'a str, name: &'a str) -> Self {
        Self {
            problem: Some(problem),
            name: Some(name),
            ..Self::default()
        }
    }
}

async fn list_page(
    app: &App,
    visit: &Visit,
    keeper: &Keeper,
    beside: Beside<'_>,
) -> Result<Response, Error> {
    let mut connection = app.connection().await?;
    let page = ListPage {
        frame: Frame::new(app, visit).with(beside.done),
        problem: beside.problem,
        organization: &keeper.organization,
        teams: store::list(&mut connection, &keeper.organization.uid).await?,
        name: beside.name.unwrap_or_default(),
    };
    page::show_form(page.problem.is_some(), &page)
}

async fn team_page(
    app: &App,
    visit: &Visit,
    keeper: &Keeper,
    uid: &str,
    beside: Beside<'_>,
) -> Result<Response, Error> {
    let organization = &keeper.organization;
    let mut connection = app.connection().await?;
    let team = store::find(&mut connection, &organization.uid, uid).await?;
    let team = team.ok_or(Rejection::NotFound)?;
    let candidates = store::candidates(&mut connection, &organization.uid, uid).await?;
    let instances = store::instances(&mut connection, organization, uid).await?;
    drop(connection);
    let (people, others): (Vec<Candidate>, Vec<Candidate>) =
        candidates.into_iter().partition(|one| one.is_in);
    let (given, not_given) = instances.into_iter().partition(|one| one.is_given);
    let person_row = |one: Candidate| PersonRow {
        may_take_out: keeper.may_change(one.member.role),
        member: one.member,
    };
    let page = TeamPage {
        frame: Frame::new(app, visit).with(beside.done),
        problem: beside.problem,
        organization,
        people: people.into_iter().map(person_row).collect(),
        others: others
            .into_iter()
            .map(|one| one.member)
            .filter(|member| keeper.may_change(member.role))
            .collect(),
        given,
        not_given,
        name: beside.name.unwrap_or(&team.name),
        team: &team,
    };
    page::show_form(page.problem.is_some(), &page)
}

/// Leads to the page of a team.
fn lead_to(keeper: &Keeper, uid: &str) -> Response {
    let path = format!("/organizations/{}/teams/{uid}", keeper.organization.name);
    lead(&path, Some(Notice::Saved))
}

/// `GET /organizations/{name}/teams`
pub async fn list(
    State(app): State<Shared>,
    visit: Visit,
    Path(name): Path<String>,
    Query(done): Query<page::Done>,
) -> Result<Response, Error> {
    let keeper = keeper::find(&app, &visit, &name).await?;
    list_page(&app, &visit, &keeper, Beside::done(done)).await
}

/// `GET /organizations/{name}/teams/{uid}`
pub async fn show(
    State(app): State<Shared>,
    visit: Visit,
    Path((name, uid)): Path<(String, String)>,
    Query(done): Query<page::Done>,
) -> Result<Response, Error> {
    let keeper = keeper::find(&app, &visit, &name).await?;
    team_page(&app, &visit, &keeper, &uid, Beside::done(done)).await
}

/// `POST /organizations/{name}/teams`
pub async fn make(
    State(app): State<Shared>,
    visit: Visit,
    Path(name): Path<String>,
    Posted(form): Posted<NameForm>,
) -> Result<Response, Error> {
    let keeper = keeper::find(&app, &visit, &name).await?;
    let organization = &keeper.organization;
    let problems = &visit.texts().problems;
    let Some(name) = name::parse(&form.name) else {
        let beside = Beside::problem(problems.no_name, &form.name);
        return list_page(&app, &visit, &keeper, beside).await;
    };
    let made = Team {
        uid: app.uid(Kind::Team),
        name,
    };
    let resource = team(organization, None);
    let mut transaction = deed::begin(&app, &keeper, Action::CreateTeam, &resource).await?;
    if !store::insert(&mut transaction, &organization.uid, &made, app.now()).await? {
        transaction.rollback().await?;
        let beside = Beside::problem(problems.team_name_taken, &form.name);
        return list_page(&app, &visit, &keeper, beside).await;
    }
    let uid = made.uid.clone();
    let begun = Begun {
        transaction,
        organization,
        team: made,
    };
    begun.end(&app, &visit, Deed::TeamMade, None).await?;
    Ok(lead_to(&keeper, &uid))
}

/// `POST /organizations/{name}/teams/{uid}/rename`
pub async fn rename(
    State(app): State<Shared>,
    visit: Visit,
    Path((name, uid)): Path<(String, String)>,
    Posted(form): Posted<NameForm>,
) -> Result<Response, Error> {
    let keeper = keeper::find(&app, &visit, &name).await?;
    let organization = &keeper.organization;
    let problems = &visit.texts().problems;
    let Some(name) = name::parse(&form.name) else {
        let beside = Beside::problem(problems.no_name, &form.name);
        return team_page(&app, &visit, &keeper, &uid, beside).await;
    };
    let resource = team(organization, Some(&uid));
    let mut begun = deed::begin_on(&app, &keeper, &uid, Action::UpdateTeam, &resource).await?;
    // What is so already is no deed.
    if begun.team.name == name {
        return Ok(lead_to(&keeper, &uid));
    }
    if !store::rename(&mut begun.transaction, &organization.uid, &uid, &name).await? {
        begun.transaction.rollback().await?;
        let beside = Beside::problem(problems.team_name_taken, &form.name);
        return team_page(&app, &visit, &keeper, &uid, beside).await;
    }
    begun
        .end(&app, &visit, Deed::TeamRenamed, Some(("new", &name)))
        .await?;
    Ok(lead_to(&keeper, &uid))
}

/// `POST /organizations/{name}/teams/{uid}/delete`
pub async fn delete(
    State(app): State<Shared>,
    visit: Visit,
    Path((name, uid)): Path<(String, String)>,
    Posted(Empty {}): Posted<Empty>,
) -> Result<Response, Error> {
    let keeper = keeper::find(&app, &visit, &name).await?;
    let organization = &keeper.organization;
    let resource = team(organization, Some(&uid));
    let mut begun = deed::begin_on(&app, &keeper, &uid, Action::DeleteTeam, &resource).await?;
    store::remove(&mut begun.transaction, &uid).await?;
    begun.end(&app, &visit, Deed::TeamDeleted, None).await?;
    Ok(lead(
        &format!("/organizations/{}/teams", organization.name),
        Some(Notice::TeamDeleted),
    ))
}

/// `POST /organizations/{name}/teams/{uid}/members`
pub async fn put_in(
    State(app): State<Shared>,
    visit: Visit,
    Path((name, uid)): Path<(String, String)>,
    Posted(form): Posted<PersonForm>,
) -> Result<Response, Error> {
    let keeper = keeper::find(&app, &visit, &name).await?;
    let organization = &keeper.organization;
    let resource = member(organization, &form.person);
    let mut begun = deed::begin_on(&app, &keeper, &uid, Action::AddToTeam, &resource).await?;
    // What is so already is no deed.
    if store::put_in(
        &mut begun.transaction,
        &organization.uid,
        &uid,
        &form.person,
    )
    .await?
    {
        begun
            .end(
                &app,
                &visit,
                Deed::TeamMemberAdded,
                Some(("person", &form.person)),
            )
            .await?;
    }
    Ok(lead_to(&keeper, &uid))
}

/// `POST /organizations/{name}/teams/{uid}/members/{person}/remove`
pub async fn take_out(
    State(app): State<Shared>,
    visit: Visit,
    Path((name, uid, person)): Path<(String, String, String)>,
    Posted(Empty {}): Posted<Empty>,
) -> Result<Response, Error> {
    let keeper = keeper::find(&app, &visit, &name).await?;
    let organization = &keeper.organization;
    let resource = member(organization, &person);
    let mut begun = deed::begin_on(&app, &keeper, &uid, Action::RemoveFromTeam, &resource).await?;
    if !store::take_out(&mut begun.transaction, &uid, &person).await? {
        return Err(Rejection::NotFound.into());
    }
    begun
        .end(
            &app,
            &visit,
            Deed::TeamMemberRemoved,
            Some(("person", &person)),
        )
        .await?;
    Ok(lead_to(&keeper, &uid))
}

/// `POST /organizations/{name}/teams/{uid}/instances`
pub async fn give(
    State(app): State<Shared>,
    visit: Visit,
    Path((name, uid)): Path<(String, String)>,
    Posted(form): Posted<InstanceForm>,
) -> Result<Response, Error> {
    let keeper = keeper::find(&app, &visit, &name).await?;
    let organization = &keeper.organization;
    let resource = team(organization, Some(&uid));
    let mut begun = deed::begin_on(&app, &keeper, &uid, Action::GiveInstance, &resource).await?;
    if !store::has_instance(&mut begun.transaction, organization, &form.instance).await? {
        return Err(Rejection::NotFound.into());
    }
    // What is so already is no deed.
    if store::give(&mut begun.transaction, &uid, &form.instance).await? {
        begun
            .end(
                &app,
                &visit,
                Deed::InstanceGiven,
                Some(("instance", &form.instance)),
            )
            .await?;
    }
    Ok(lead_to(&keeper, &uid))
}

/// `POST /organizations/{name}/teams/{uid}/instances/{instance}/take`: also of one that is not there any more.
pub async fn take(
    State(app): State<Shared>,
    visit: Visit,
    Path((name, uid, instance)): Path<(String, String, String)>,
    Posted(Empty {}): Posted<Empty>,
) -> Result<Response, Error> {
    let keeper = keeper::find(&app, &visit, &name).await?;
    let organization = &keeper.organization;
    let resource = team(organization, Some(&uid));
    let mut begun = deed::begin_on(&app, &keeper, &uid, Action::TakeInstance, &resource).await?;
    if !store::take(&mut begun.transaction, &uid, &instance).await? {
        return Err(Rejection::NotFound.into());
    }
    begun
        .end(
            &app,
            &visit,
            Deed::InstanceTaken,
            Some(("instance", &instance)),
        )
        .await?;
    Ok(lead_to(&keeper, &uid))
}
