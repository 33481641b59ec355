//! Rows of connections: what an application was given for a session of somebody's.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{FromRow, PgConnection};

use super::{ACCESS_LIFE, CODE_LIFE, request::Request};
use crate::{
    acl::{self, Action, Actor, Because, Decision, Names, Resource, Role},
    authorization,
    clients::Client,
    people::Person,
    secret::Digest,
    sessions::{self, Lifetimes},
};

/// Connections of one session with one application; the oldest go.
const MOST: i64 = 20;

/// A code that is given out.
pub struct New<'a> {
    pub uid: &'a str,
    pub client: &'a str,
    pub session: &'a str,
    pub redirect_uri: &'a str,
    pub request: &'a Request,
    pub code: &'a Digest,
}

/// What an application was given, and for which session.
#[derive(Clone, Debug, FromRow)]
pub struct Connection {
    pub uid: String,
    pub client: String,
    pub session: String,
    /// Uid of the session's person.
    pub person: String,
    pub redirect_uri: String,
    pub challenge: String,
    pub nonce: Option<String>,
    pub scope: String,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub code_ends_at: Timestamp,
    pub is_redeemed: bool,
    pub refresh_digest: Option<Vec<u8>>,
    pub access_ends_at: Option<jiff_sqlx::Timestamp>,
    /// When the session began.
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub signed_in_at: Timestamp,
    /// How the person proved then who they are.
    pub ways: String,
}

impl Connection {
    /// Whether it is the half of the refresh token that is good now.
    #[must_use]
    pub fn has_refresh(&self, digest: &Digest) -> bool {
        let bytes = self.refresh_digest.clone();
        let present = bytes.and_then(|bytes| bytes.try_into().ok()).map(Digest);
        present.is_some_and(|present| present.is(digest))
    }

    /// Whether its person still may sign in to the application.
    ///
    /// # Errors
    /// What the database has against it.
    pub async fn may(
        &self,
        on: &mut PgConnection,
        client: &Client,
        lifetimes: &Lifetimes,
        now: Timestamp,
    ) -> sqlx::Result<May> {
        may(on, client, &self.person, &self.session, lifetimes, now).await
    }
}

/// What is given out for a code or a refresh token.
pub struct Given<'a> {
    pub handle: &'a Digest,
    pub refresh: &'a Digest,
    pub access: &'a Digest,
}

/// # Errors
/// What the database has against it.
pub async fn insert(on: &mut PgConnection, new: &New<'_>, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "insert into connections (uid, client, session, redirect_uri, challenge, nonce, scope, code_digest,
                                  code_ends_at, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(new.uid)
    .bind(new.client)
    .bind(new.session)
    .bind(new.redirect_uri)
    .bind(&new.request.challenge)
    .bind(&new.request.nonce)
    .bind(&new.request.scope)
    .bind(new.code.as_slice())
    .bind((now + CODE_LIFE).to_sqlx())
    .bind(now.to_sqlx())
    .execute(&mut *on)
    .await?;
    sqlx::query(
        "delete from connections where uid in (
             select uid from connections where session = $1 and client = $2
             order by created_at desc, uid desc offset $3)",
    )
    .bind(new.session)
    .bind(new.client)
    .bind(MOST)
    .execute(on)
    .await?;
    Ok(())
}

/// By what a connection is found.
#[derive(Clone, Copy, Debug)]
pub enum By {
    Code,
    /// The half of its refresh token that stays.
    Handle,
    Access,
}

/// The connection of a secret. By what can be had once only, it is held until the transaction ends: of two who come
/// at once the second finds what the first has done.
///
/// # Errors
/// What the database has against it.
pub async fn find(
    on: &mut PgConnection,
    by: By,
    digest: &Digest,
) -> sqlx::Result<Option<Connection>> {
    macro_rules! connection {
        ($condition:literal) => {
            concat!(
                "select c.*, s.person, s.created_at as signed_in_at, s.ways
                 from connections c join sessions s on s.uid = c.session where ",
                $condition
            )
        };
    }
    let query = match by {
        By::Code => connection!("c.code_digest = $1 for update of c"),
        By::Handle => connection!("c.handle_digest = $1 for update of c"),
        By::Access => connection!("c.access_digest = $1"),
    };
    sqlx::query_as(query)
        .bind(digest.as_slice())
        .fetch_optional(on)
        .await
}

/// Writes down what was given out; what was before is good for nothing.
///
/// # Errors
/// What the database has against it.
pub async fn give(
    on: &mut PgConnection,
    uid: &str,
    given: &Given<'_>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update connections set is_redeemed = true, handle_digest = $2, refresh_digest = $3, access_digest = $4,
             access_ends_at = $5 where uid = $1",
    )
    .bind(uid)
    .bind(given.handle.as_slice())
    .bind(given.refresh.as_slice())
    .bind(given.access.as_slice())
    .bind((now + ACCESS_LIFE).to_sqlx())
    .execute(on)
    .await?;
    Ok(())
}

/// Ends one, with all that was given.
///
/// # Errors
/// What the database has against it.
pub async fn end(on: &mut PgConnection, uid: &str) -> sqlx::Result<()> {
    sqlx::query("delete from connections where uid = $1")
        .bind(uid)
        .execute(on)
        .await?;
    Ok(())
}

/// Ends the access token of one; its refresh token gives another.
///
/// # Errors
/// What the database has against it.
pub async fn end_access(on: &mut PgConnection, uid: &str) -> sqlx::Result<()> {
    sqlx::query(
        "update connections set access_digest = null, access_ends_at = null where uid = $1",
    )
    .bind(uid)
    .execute(on)
    .await?;
    Ok(())
}

/// Removes codes that nobody has redeemed. Everything else goes with its session.
///
/// # Errors
/// What the database has against it.
pub async fn sweep(on: &mut PgConnection, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("delete from connections where not is_redeemed and code_ends_at <= $1")
        .bind(now.to_sqlx())
        .execute(on)
        .await?;
    Ok(())
}

/// Somebody who may sign in to an application, and what they are in its organization.
#[derive(Clone, Debug)]
pub struct Who {
    pub person: Person,
    /// Uid of the organization.
    pub organization: String,
    pub role: Role,
    /// Names of their teams in it.
    pub teams: Vec<String>,
}

/// Whether somebody may sign in to an application.
#[derive(Clone, Debug)]
pub enum May {
    Yes(Box<Who>),
    No(Because, Names),
    /// Their session has ended.
    Gone,
}

/// Asks: whoever may open the instance may sign in to it; where there is none, whoever may open all of them.
///
/// # Errors
/// What the database has against it.
pub async fn may(
    on: &mut PgConnection,
    client: &Client,
    person: &str,
    session: &str,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> sqlx::Result<May> {
    let session = sessions::store::find_of(on, person, session, lifetimes, now).await?;
    let Some(session) = session else {
        return Ok(May::Gone);
    };
    let resource = Resource::Instance {
        organization: client.organization.clone(),
        name: client.instance.clone(),
    };
    let known = authorization::store::facts(on, person, &resource, now).await?;
    let actor = Actor::session(person);
    let decision = acl::may(&known.facts, &actor, Action::OpenInstance, &resource);
    let names = authorization::store::able_instead(on, &decision, &known).await?;
    if let Decision::Refuse(because) = decision {
        return Ok(May::No(because, names));
    }
    // Who may open an app of an organization is something there.
    let (Some(organization), Some(role)) = (known.organization, known.facts.role) else {
        return Ok(May::Gone);
    };
    let teams: Vec<String> = sqlx::query_scalar(
        "select t.name from team_members m join teams t on t.uid = m.team
         where m.person = $1 and m.organization = $2 order by t.name_key",
    )
    .bind(person)
    .bind(&organization)
    .fetch_all(on)
    .await?;
    Ok(May::Yes(Box::new(Who {
        person: session.person,
        organization,
        role,
        teams,
    })))
}
