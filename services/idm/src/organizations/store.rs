//! Rows of organizations and memberships.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{FromRow, PgConnection};

use super::{Organization, Role};

/// Somebody in an organization.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Member {
    pub uid: String,
    pub email: String,
    pub name: String,
    #[sqlx(try_from = "String")]
    pub role: Role,
}

/// An organization that somebody is in.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Membership {
    pub uid: String,
    pub name: String,
    pub title: String,
    #[sqlx(try_from = "String")]
    pub role: Role,
}

/// `false` when there is one of the name.
///
/// # Errors
/// What the database has against it.
pub async fn insert(
    on: &mut PgConnection,
    organization: &Organization,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let made = sqlx::query(
        "insert into organizations (uid, name, title, created_at) values ($1, $2, $3, $4)
         on conflict (name) do nothing",
    )
    .bind(&organization.uid)
    .bind(&organization.name)
    .bind(&organization.title)
    .bind(now.to_sqlx())
    .execute(on)
    .await?;
    Ok(made.rows_affected() == 1)
}

/// # Errors
/// What the database has against it.
pub async fn find(on: &mut PgConnection, name: &str) -> sqlx::Result<Option<Organization>> {
    sqlx::query_as("select uid, name, title from organizations where name = $1")
        .bind(name)
        .fetch_optional(on)
        .await
}

/// # Errors
/// What the database has against it.
pub async fn find_by_uid(on: &mut PgConnection, uid: &str) -> sqlx::Result<Option<Organization>> {
    sqlx::query_as("select uid, name, title from organizations where uid = $1")
        .bind(uid)
        .fetch_optional(on)
        .await
}

/// All of them, by name.
///
/// # Errors
/// What the database has against it.
pub async fn list(on: &mut PgConnection) -> sqlx::Result<Vec<Organization>> {
    sqlx::query_as("select uid, name, title from organizations order by name")
        .fetch_all(on)
        .await
}

/// Holds an organization until the transaction ends: whoever changes roles does so first, so that two who
/// step down at once come one after the other. Who joins meanwhile is not kept waiting: they refer to the row, and
/// may hold what the holder will want.
///
/// # Errors
/// What the database has against it.
pub async fn hold(on: &mut PgConnection, uid: &str) -> sqlx::Result<()> {
    sqlx::query("select from organizations where uid = $1 for no key update")
        .bind(uid)
        .execute(on)
        .await?;
    Ok(())
}

/// # Errors
/// What the database has against it.
pub async fn role(
    on: &mut PgConnection,
    organization: &str,
    person: &str,
) -> sqlx::Result<Option<Role>> {
    let word: Option<String> =
        sqlx::query_scalar("select role from memberships where organization = $1 and person = $2")
            .bind(organization)
            .bind(person)
            .fetch_optional(on)
            .await?;
    // The table's check lets no other word in.
    Ok(word.and_then(|word| Role::try_from(word).ok()))
}

/// How many Super Admins an organization has beside somebody; one who is suspended cannot act as one.
///
/// # Errors
/// What the database has against it.
pub async fn other_super_admins(
    on: &mut PgConnection,
    organization: &str,
    person: &str,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*) from memberships m join people p on p.uid = m.person
         where m.organization = $1 and m.person <> $2 and m.role = 'Super Admin' and not p.is_suspended",
    )
    .bind(organization)
    .bind(person)
    .fetch_one(on)
    .await
}

/// Everybody, by name.
///
/// # Errors
/// What the database has against it.
pub async fn members(on: &mut PgConnection, organization: &str) -> sqlx::Result<Vec<Member>> {
    sqlx::query_as(
        "select p.uid, p.email, p.name, m.role from memberships m join people p on p.uid = m.person
         where m.organization = $1 order by lower(p.name), p.uid",
    )
    .bind(organization)
    .fetch_all(on)
    .await
}

/// Where somebody is, by title.
///
/// # Errors
/// What the database has against it.
pub async fn memberships(on: &mut PgConnection, person: &str) -> sqlx::Result<Vec<Membership>> {
    sqlx::query_as(
        "select o.uid, o.name, o.title, m.role from memberships m join organizations o on o.uid = m.organization
         where m.person = $1 order by lower(o.title), o.uid",
    )
    .bind(person)
    .fetch_all(on)
    .await
}

/// Lets somebody in; `false` when they are in, whose role stays.
///
/// # Errors
/// What the database has against it.
pub async fn join(
    on: &mut PgConnection,
    organization: &str,
    person: &str,
    role: Role,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let joined = sqlx::query(
        "insert into memberships (organization, person, role, since) values ($1, $2, $3, $4)
         on conflict do nothing",
    )
    .bind(organization)
    .bind(person)
    .bind(role.name())
    .bind(now.to_sqlx())
    .execute(on)
    .await?;
    Ok(joined.rows_affected() == 1)
}

/// # Errors
/// What the database has against it.
pub async fn set_role(
    on: &mut PgConnection,
    organization: &str,
    person: &str,
    role: Role,
) -> sqlx::Result<()> {
    sqlx::query("update memberships set role = $3 where organization = $1 and person = $2")
        .bind(organization)
        .bind(person)
        .bind(role.name())
        .execute(on)
        .await?;
    Ok(())
}

/// # Errors
/// What the database has against it.
pub async fn remove(on: &mut PgConnection, organization: &str, person: &str) -> sqlx::Result<()> {
    sqlx::query("delete from memberships where organization = $1 and person = $2")
        .bind(organization)
        .bind(person)
        .execute(on)
        .await?;
    Ok(())
}
