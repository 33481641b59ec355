//! Rows of teams, of the people in them, and of what they were given.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{FromRow, PgConnection};

use super::{Team, key};
use crate::organizations::{Organization, store::Member};

/// A team in the list of an organization's.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Listed {
    #[sqlx(flatten)]
    pub team: Team,
    pub people: i64,
    pub instances: i64,
}

/// Somebody in the organization, who may be in the team.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Candidate {
    #[sqlx(flatten)]
    pub member: Member,
    pub is_in: bool,
}

/// An app of the organization, which may have been given to the team.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Instance {
    pub name: String,
    pub title: String,
    pub is_given: bool,
    /// Whether it is in the cluster now.
    pub is_there: bool,
}

/// `false` when the organization has one of the name.
///
/// # Errors
/// What the database has against it.
pub async fn insert(
    on: &mut PgConnection,
    organization: &str,
    team: &Team,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let made = sqlx::query(
        "insert into teams (uid, organization, name, name_key, created_at) values ($1, $2, $3, $4, $5)
         on conflict (organization, name_key) do nothing",
    )
    .bind(&team.uid)
    .bind(organization)
    .bind(&team.name)
    .bind(key(&team.name))
    .bind(now.to_sqlx())
    .execute(on)
    .await?;
    Ok(made.rows_affected() == 1)
}

/// # Errors
/// What the database has against it.
pub async fn find(
    on: &mut PgConnection,
    organization: &str,
    uid: &str,
) -> sqlx::Result<Option<Team>> {
    sqlx::query_as("select uid, name from teams where organization = $1 and uid = $2")
        .bind(organization)
        .bind(uid)
        .fetch_optional(on)
        .await
}

/// Those of an organization, by name.
///
/// # Errors
/// What the database has against it.
pub async fn list(on: &mut PgConnection, organization: &str) -> sqlx::Result<Vec<Listed>> {
    sqlx::query_as(
        "select uid, name,
                (select count(*) from team_members where team = uid) as people,
                (select count(*) from team_instances where team = uid) as instances
         from teams where organization = $1 order by lower(name), uid",
    )
    .bind(organization)
    .fetch_all(on)
    .await
}

/// `false` when another one of the organization has the name. Whoever renames holds the organization.
///
/// # Errors
/// What the database has against it.
pub async fn rename(
    on: &mut PgConnection,
    organization: &str,
    uid: &str,
    name: &str,
) -> sqlx::Result<bool> {
    let renamed = sqlx::query(
        "update teams set name = $3, name_key = $4
         where uid = $2 and not exists (
             select from teams o where o.organization = $1 and o.name_key = $4 and o.uid <> $2)",
    )
    .bind(organization)
    .bind(uid)
    .bind(name)
    .bind(key(name))
    .execute(on)
    .await?;
    Ok(renamed.rows_affected() == 1)
}

/// # Errors
/// What the database has against it.
pub async fn remove(on: &mut PgConnection, uid: &str) -> sqlx::Result<()> {
    sqlx::query("delete from teams where uid = $1")
        .bind(uid)
        .execute(on)
        .await?;
    Ok(())
}

/// Everybody in the organization, by name.
///
/// # Errors
/// What the database has against it.
pub async fn candidates(
    on: &mut PgConnection,
    organization: &str,
    team: &str,
) -> sqlx::Result<Vec<Candidate>> {
    sqlx::query_as(
        "select p.uid, p.email, p.name, m.role,
                exists (select from team_members t where t.team = $2 and t.person = m.person) as is_in
         from memberships m join people p on p.uid = m.person
         where m.organization = $1 order by lower(p.name), p.uid",
    )
    .bind(organization)
    .bind(team)
    .fetch_all(on)
    .await
}

/// Puts somebody of the organization in; `false` when they are in.
///
/// # Errors
/// What the database has against it.
pub async fn put_in(
    on: &mut PgConnection,
    organization: &str,
    team: &str,
    person: &str,
) -> sqlx::Result<bool> {
    let put = sqlx::query(
        "insert into team_members (team, organization, person) values ($1, $2, $3)
         on conflict do nothing",
    )
    .bind(team)
    .bind(organization)
    .bind(person)
    .execute(on)
    .await?;
    Ok(put.rows_affected() == 1)
}

/// `false` when they are not in.
///
/// # Errors
/// What the database has against it.
pub async fn take_out(on: &mut PgConnection, team: &str, person: &str) -> sqlx::Result<bool> {
    let taken = sqlx::query("delete from team_members where team = $1 and person = $2")
        .bind(team)
        .bind(person)
        .execute(on)
        .await?;
    Ok(taken.rows_affected() == 1)
}

/// The apps of the organization, and what else the team was given, by title.
///
/// # Errors
/// What the database has against it.
pub async fn instances(
    on: &mut PgConnection,
    organization: &Organization,
    team: &str,
) -> sqlx::Result<Vec<Instance>> {
    sqlx::query_as(
        "select coalesce(i.name, g.instance) as name, coalesce(i.title, g.instance) as title,
                g.instance is not null as is_given, i.name is not null as is_there
         from (select name, title from instances where organization = $1) i
         full join (select instance from team_instances where team = $2) g on g.instance = i.name
         order by lower(coalesce(i.title, g.instance) collate \"default\"), name",
    )
    .bind(&organization.name)
    .bind(team)
    .fetch_all(on)
    .await
}

/// Whether the organization has such an app.
///
/// # Errors
/// What the database has against it.
pub async fn has_instance(
    on: &mut PgConnection,
    organization: &Organization,
    name: &str,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from instances where organization = $1 and name = $2)",
    )
    .bind(&organization.name)
    .bind(name)
    .fetch_one(on)
    .await
}

/// Gives an app of the organization; `false` when the team has it.
///
/// # Errors
/// What the database has against it.
pub async fn give(on: &mut PgConnection, team: &str, instance: &str) -> sqlx::Result<bool> {
    let given = sqlx::query(
        "insert into team_instances (team, instance) values ($1, $2) on conflict do nothing",
    )
    .bind(team)
    .bind(instance)
    .execute(on)
    .await?;
    Ok(given.rows_affected() == 1)
}

/// `false` when the team does not have it.
///
/// # Errors
/// What the database has against it.
pub async fn take(on: &mut PgConnection, team: &str, instance: &str) -> sqlx::Result<bool> {
    let taken = sqlx::query("delete from team_instances where team = $1 and instance = $2")
        .bind(team)
        .bind(instance)
        .execute(on)
        .await?;
    Ok(taken.rows_affected() == 1)
}
