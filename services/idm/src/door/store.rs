//! Rows of the door: who comes, where a hostname leads, and which tickets were used.

use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx;
use sqlx::{Connection as _, PgConnection};

use super::place;
use crate::{
    acl::{self, Action, Actor, Decision, Names, Resource, Role},
    authorization,
    sessions::{self, Lifetimes, Session},
};

/// An id is remembered for so much longer than its ticket is good: clocks of replicas differ.
const LONGER: SignedDuration = SignedDuration::from_mins(5);

/// Where a hostname leads.
///
/// # Errors
/// What the database has against it.
async fn instance(on: &mut PgConnection, hostname: &str) -> sqlx::Result<Option<tokens::Instance>> {
    let row: Option<(String, String)> = sqlx::query_as(
        "select organization, instance from hostnames where hostname in ($1, $2)
         order by hostname = $1 desc limit 1",
    )
    .bind(hostname)
    .bind(place::wildcard(hostname))
    .fetch_optional(on)
    .await?;
    let instance = |(organization, name)| tokens::Instance { organization, name };
    Ok(row.map(instance))
}

/// Who comes.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Uid of the session.
    pub session: &'a str,
    /// Uid of the person.
    pub person: &'a str,
    /// Where they want to come to.
    pub host: &'a str,
}

/// Somebody before a door, and everything that decides; read at one moment.
#[derive(Clone, Debug)]
pub struct Comer {
    /// `None` when it has ended. Whether its person is suspended the decision knows.
    pub session: Option<Session>,
    /// Where the hostname leads.
    pub instance: tokens::Instance,
    /// Uid of the instance's organization, when it is there.
    pub organization: Option<String>,
    pub role: Option<Role>,
    /// Whether they may open the instance.
    pub decision: Decision,
    /// Whether they may change it, too.
    pub is_admin: bool,
    /// Whom one could ask.
    pub names: Names,
    pub version: i64,
}

/// Reads all that decides, as it was at one moment. `None` when the hostname leads nowhere.
///
/// # Errors
/// What the database has against it.
pub async fn comer(
    on: &mut PgConnection,
    asked: Asked<'_>,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> sqlx::Result<Option<Comer>> {
    let mut transaction = on.begin().await?;
    sqlx::query("set transaction isolation level repeatable read, read only")
        .execute(&mut *transaction)
        .await?;
    let Some(instance) = instance(&mut transaction, asked.host).await? else {
        return Ok(None);
    };
    let Asked {
        session, person, ..
    } = asked;
    let session =
        sessions::store::find_of(&mut transaction, person, session, lifetimes, now).await?;
    let resource = Resource::Instance {
        organization: instance.organization.clone(),
        name: Some(instance.name.clone()),
    };
    let known = authorization::store::facts(&mut transaction, person, &resource, now).await?;
    let actor = Actor::session(person);
    let may = |action| acl::may(&known.facts, &actor, action, &resource);
    let decision = may(Action::OpenInstance);
    let names = authorization::store::able_instead(&mut transaction, &decision, &known).await?;
    transaction.commit().await?;
    Ok(Some(Comer {
        session,
        instance,
        role: known.facts.role,
        decision,
        is_admin: may(Action::UpdateInstance).is_allowed(),
        names,
        version: known.version,
        organization: known.organization,
    }))
}

/// Uses a ticket up; `false` when it was used before, by whichever replica.
///
/// # Errors
/// What the database has against it.
pub async fn redeem(on: &mut PgConnection, id: &str, ends_at: Timestamp) -> sqlx::Result<bool> {
    let redeemed = sqlx::query(
        "insert into redeemed_tickets (id, ends_at) values ($1, $2) on conflict do nothing",
    )
    .bind(id)
    .bind(ends_at.to_sqlx())
    .execute(on)
    .await?;
    Ok(redeemed.rows_affected() == 1)
}

/// Forgets tickets that nobody would take any more.
///
/// # Errors
/// What the database has against it.
pub async fn sweep(on: &mut PgConnection, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("delete from redeemed_tickets where ends_at <= $1")
        .bind((now - LONGER).to_sqlx())
        .execute(on)
        .await?;
    Ok(())
}
