//! Rows of sessions.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgConnection;

use super::{Lifetimes, Listed, PRECISION, Session};
use crate::secret::Digest;

/// A session that begins.
pub struct New<'a> {
    pub uid: &'a str,
    pub person: &'a str,
    pub digest: &'a Digest,
    pub address: &'a str,
    pub user_agent: &'a str,
    /// How they proved who they are.
    pub ways: &'a str,
}

/// # Errors
/// What the database has against it.
pub async fn insert(
    on: &mut PgConnection,
    new: &New<'_>,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into sessions (uid, person, digest, address, user_agent, created_at, last_seen_at, ends_at, ways)
         values ($1, $2, $3, $4, $5, $6, $6, $7, $8)",
    )
    .bind(new.uid)
    .bind(new.person)
    .bind(new.digest.as_slice())
    .bind(new.address)
    .bind(new.user_agent)
    .bind(now.to_sqlx())
    .bind((now + lifetimes.longest).to_sqlx())
    .bind(new.ways)
    .execute(on)
    .await?;
    Ok(())
}

/// The session of a token, if it lives and its person may sign in.
///
/// # Errors
/// What the database has against it.
pub async fn find(
    on: &mut PgConnection,
    digest: &Digest,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> sqlx::Result<Option<Session>> {
    sqlx::query_as(
        "select s.uid as session_uid, s.created_at as signed_in_at, s.last_seen_at, p.uid, p.email, p.name, p.locale, p.is_staff,
                p.is_suspended, p.confirmed_at is not null as is_confirmed,
                p.totp_secret is not null as has_totp, p.created_at
         from sessions s join people p on p.uid = s.person
         where s.digest = $1 and s.ends_at > $2 and s.last_seen_at > $3 and not p.is_suspended",
    )
    .bind(digest.as_slice())
    .bind(now.to_sqlx())
    .bind(lifetimes.seen_since(now).to_sqlx())
    .fetch_optional(on)
    .await
}

/// One of somebody's by its uid, if it lives; also of a person who may not sign in any more.
///
/// # Errors
/// What the database has against it.
pub async fn find_of(
    on: &mut PgConnection,
    person: &str,
    uid: &str,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> sqlx::Result<Option<Session>> {
    sqlx::query_as(
        "select s.uid as session_uid, s.created_at as signed_in_at, s.last_seen_at, p.uid, p.email, p.name, p.locale, p.is_staff,
                p.is_suspended, p.confirmed_at is not null as is_confirmed,
                p.totp_secret is not null as has_totp, p.created_at
         from sessions s join people p on p.uid = s.person
         where s.uid = $1 and s.person = $2 and s.ends_at > $3 and s.last_seen_at > $4",
    )
    .bind(uid)
    .bind(person)
    .bind(now.to_sqlx())
    .bind(lifetimes.seen_since(now).to_sqlx())
    .fetch_optional(on)
    .await
}

/// Remembers that a session was seen, when the last time was long enough ago.
///
/// # Errors
/// What the database has against it.
pub async fn touch(on: &mut PgConnection, session: &Session, now: Timestamp) -> sqlx::Result<()> {
    if session.last_seen_at + PRECISION > now {
        return Ok(());
    }
    sqlx::query("update sessions set last_seen_at = $2 where uid = $1 and last_seen_at < $2")
        .bind(&session.uid)
        .bind(now.to_sqlx())
        .execute(on)
        .await?;
    Ok(())
}

/// Somebody's sessions that live, the last seen first.
///
/// # Errors
/// What the database has against it.
pub async fn list(
    on: &mut PgConnection,
    person: &str,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> sqlx::Result<Vec<Listed>> {
    sqlx::query_as(
        "select uid, address, user_agent, created_at, last_seen_at from sessions
         where person = $1 and ends_at > $2 and last_seen_at > $3
         order by last_seen_at desc, uid desc",
    )
    .bind(person)
    .bind(now.to_sqlx())
    .bind(lifetimes.seen_since(now).to_sqlx())
    .fetch_all(on)
    .await
}

/// Ends one of somebody's; `false` when it is not theirs or has ended.
///
/// # Errors
/// What the database has against it.
pub async fn end(on: &mut PgConnection, person: &str, uid: &str) -> sqlx::Result<bool> {
    let ended = sqlx::query("delete from sessions where person = $1 and uid = $2")
        .bind(person)
        .bind(uid)
        .execute(on)
        .await?;
    Ok(ended.rows_affected() == 1)
}

/// Ends all of somebody's, but for one; says how many.
///
/// # Errors
/// What the database has against it.
pub async fn end_others(
    on: &mut PgConnection,
    person: &str,
    but: Option<&str>,
) -> sqlx::Result<u64> {
    let ended = sqlx::query("delete from sessions where person = $1 and uid is distinct from $2")
        .bind(person)
        .bind(but)
        .execute(on)
        .await?;
    Ok(ended.rows_affected())
}

/// Gives a session another token: whoever had the old one has none.
///
/// # Errors
/// What the database has against it.
pub async fn rotate(on: &mut PgConnection, uid: &str, digest: &Digest) -> sqlx::Result<()> {
    sqlx::query("update sessions set digest = $2 where uid = $1")
        .bind(uid)
        .bind(digest.as_slice())
        .execute(on)
        .await?;
    Ok(())
}

/// Removes those that have ended by themselves.
///
/// # Errors
/// What the database has against it.
pub async fn sweep(
    on: &mut PgConnection,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query("delete from sessions where ends_at <= $1 or last_seen_at <= $2")
        .bind(now.to_sqlx())
        .bind(lifetimes.seen_since(now).to_sqlx())
        .execute(on)
        .await?;
    Ok(())
}
