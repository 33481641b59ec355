//! What the database knows about a question, in one statement: facts of two moments can allow what neither
//! moment would.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{FromRow, PgConnection};

use super::App;
use crate::acl::{Decision, Facts, Kind, Named, Names, Resource, Role};

/// Facts, and the version that they were read with.
#[derive(Clone, Debug)]
pub struct Known {
    pub facts: Facts,
    /// The uid of the resource's organization, by whatever it was named.
    pub organization: Option<String>,
    pub version: i64,
}

#[derive(FromRow)]
struct Row {
    is_known: bool,
    is_staff: bool,
    is_suspended: bool,
    role: Option<String>,
    is_target_staff: bool,
    target_role: Option<String>,
    highest_role: Option<String>,
    invited_as: Option<String>,
    other_super_admins: i64,
    least_other_super_admins: Option<i64>,
    is_given: bool,
    organization: Option<String>,
    version: i64,
}

/// The table's check lets no other word in.
fn role(word: Option<String>) -> Option<Role> {
    Role::try_from(word?).ok()
}

/// What is known of a person who wants something of a resource. A person whom nobody knows may nothing: they
/// count as suspended.
///
/// # Errors
/// What the database has against it.
pub async fn facts(
    on: &mut PgConnection,
    person: &str,
    resource: &Resource,
    now: Timestamp,
) -> sqlx::Result<Known> {
    let row: Row = sqlx::query_as(
        "with me as (select is_staff, is_suspended from people where uid = $1),
              target as (select is_staff, email_key from people where uid = $2),
              place as (
                  select uid from organizations
                  where uid = $3 or (name = $3 and $3 !~ '^org-[0-9a-z]{26}$')
              )
         select
             exists (select from me) as is_known,
             coalesce((select is_staff from me), false) as is_staff,
             coalesce((select is_suspended from me), true) as is_suspended,
             (select role from memberships where person = $1 and organization = (select uid from place)) as role,
             coalesce((select is_staff from target), false) as is_target_staff,
             (select role from memberships where person = $2 and organization = (select uid from place))
                 as target_role,
             (select role from memberships where person = $2
              order by array_position(array['Member', 'Power User', 'Admin', 'Super Admin'], role) desc limit 1)
                 as highest_role,
             (select role from invitations
              where organization = (select uid from place) and email_key = (select email_key from target)
                and closed_at is null and ends_at > $4) as invited_as,
             (select count(*) from memberships m join people p on p.uid = m.person
              where m.organization = (select uid from place) and m.person is distinct from $2
                and m.role = 'Super Admin' and not p.is_suspended) as other_super_admins,
             (select min((select count(*) from memberships o join people p on p.uid = o.person
                          where o.organization = m.organization and o.person <> $2
                            and o.role = 'Super Admin' and not p.is_suspended))
              from memberships m where m.person = $2 and m.role = 'Super Admin') as least_other_super_admins,
             exists (select from team_members t join team_instances g on g.team = t.team
                     where t.person = $1 and t.organization = (select uid from place) and g.instance = $5)
                 as is_given,
             (select uid from place) as organization,
             (select version from grants) as version",
    )
    .bind(person)
    .bind(resource.person())
    .bind(resource.organization())
    .bind(now.to_sqlx())
    .bind(resource.instance())
    .fetch_one(on)
    .await?;
    let is_of_person = resource.kind() == Kind::Person;
    let target_role = if is_of_person {
        row.highest_role
    } else {
        row.target_role
    };
    let others = if is_of_person {
        row.least_other_super_admins.unwrap_or_default()
    } else {
        row.other_super_admins
    };
    Ok(Known {
        facts: Facts {
            role: role(row.role),
            is_staff: row.is_staff,
            is_suspended: row.is_suspended || !row.is_known,
            target_role: role(target_role),
            is_target_staff: row.is_target_staff,
            invited_as: role(row.invited_as),
            other_super_admins: u32::try_from(others).unwrap_or(u32::MAX),
            is_given: row.is_given,
            // Nobody impersonates and no organization is suspended yet.
            ..Facts::default()
        },
        organization: row.organization,
        version: row.version,
    })
}

/// The version alone.
///
/// # Errors
/// What the database has against it.
pub async fn version(on: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("select version from grants")
        .fetch_one(on)
        .await
}

/// Whom one could ask: people of an organization with so high a role, the highest first.
///
/// # Errors
/// What the database has against it.
async fn able(on: &mut PgConnection, organization: &str, least: Role) -> sqlx::Result<Names> {
    let high: Vec<&str> = Role::ALL
        .into_iter()
        .filter(|role| *role >= least)
        .map(Role::name)
        .collect();
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select p.email, m.role from memberships m join people p on p.uid = m.person
         where m.organization = $1 and m.role = any($2) and not p.is_suspended
         order by m.role = 'Super Admin' desc, p.uid limit 3",
    )
    .bind(organization)
    .bind(high)
    .fetch_all(on)
    .await?;
    let named = |(name, word): (String, String)| {
        let role = role(Some(word))?;
        Some(Named { name, role })
    };
    Ok(Names(rows.into_iter().filter_map(named).collect()))
}

/// Whom one could ask who was refused; nobody where that is not theirs to know.
///
/// # Errors
/// What the database has against it.
pub async fn able_instead(
    on: &mut PgConnection,
    decision: &Decision,
    known: &Known,
) -> sqlx::Result<Names> {
    match (decision, &known.organization) {
        (Decision::Refuse(because), Some(organization)) => match because.needs {
            Some(least) => able(on, organization, least).await,
            None => Ok(Names::default()),
        },
        _ => Ok(Names::default()),
    }
}

#[derive(FromRow)]
struct AppRow {
    organization: String,
    organization_uid: String,
    role: String,
    is_given: bool,
    name: String,
    title: String,
    url: String,
}

/// The apps of the organizations that somebody is in, by title, each with its resource and its facts.
///
/// # Errors
/// What the database has against it.
pub async fn apps(
    on: &mut PgConnection,
    person: &str,
) -> sqlx::Result<Vec<(App, Resource, Facts)>> {
    let rows: Vec<AppRow> = sqlx::query_as(
        "select i.organization, o.uid as organization_uid, m.role, i.name, i.title, i.url,
                exists (select from team_members t join team_instances g on g.team = t.team
                        where t.person = m.person and t.organization = m.organization and g.instance = i.name)
                    as is_given
         from memberships m
         join people p on p.uid = m.person and not p.is_suspended
         join organizations o on o.uid = m.organization
         join instances i on i.organization = o.name
         where m.person = $1 order by lower(i.title), i.name",
    )
    .bind(person)
    .fetch_all(on)
    .await?;
    let each = |row: AppRow| {
        let resource = Resource::Instance {
            organization: row.organization_uid,
            name: Some(row.name.clone()),
        };
        let facts = Facts {
            role: role(Some(row.role)),
            is_given: row.is_given,
            ..Facts::default()
        };
        let app = App {
            organization: row.organization,
            name: row.name,
            title: row.title,
            url: row.url,
        };
        (app, resource, facts)
    };
    Ok(rows.into_iter().map(each).collect())
}
