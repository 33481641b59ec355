//! Rows of people. Who may ask for a change is decided before; that it is written down in the audit, too.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{FromRow, PgConnection};

use super::{Person, email::Email};
use crate::language::Language;

/// A person who is to be made.
#[derive(Clone, Debug)]
pub struct New<'a> {
    pub uid: &'a str,
    pub email: &'a Email,
    pub name: &'a str,
    pub locale: Language,
    pub is_staff: bool,
    pub is_confirmed: bool,
    pub password_hash: &'a str,
}

/// By what a person proves that it is them; never sent anywhere.
#[derive(Clone, FromRow)]
pub struct Proofs {
    pub uid: String,
    pub is_suspended: bool,
    pub password_hash: Option<String>,
    pub totp_secret: Option<Vec<u8>>,
}

/// A violation of the unique address says that somebody has it.
///
/// # Errors
/// What the database has against it.
pub async fn insert(on: &mut PgConnection, new: &New<'_>, now: Timestamp) -> sqlx::Result<bool> {
    let made = sqlx::query(
        "insert into people (uid, email, email_key, name, locale, is_staff, confirmed_at, password_hash, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (email_key) do nothing",
    )
    .bind(new.uid)
    .bind(new.email.as_str())
    .bind(new.email.key())
    .bind(new.name)
    .bind(new.locale.code())
    .bind(new.is_staff)
    .bind(new.is_confirmed.then(|| now.to_sqlx()))
    .bind(new.password_hash)
    .bind(now.to_sqlx())
    .execute(on)
    .await?;
    Ok(made.rows_affected() == 1)
}

/// # Errors
/// What the database has against it.
pub async fn find(on: &mut PgConnection, uid: &str) -> sqlx::Result<Option<Person>> {
    sqlx::query_as(
        "select uid, email, name, locale, is_staff, is_suspended, confirmed_at is not null as is_confirmed,
                totp_secret is not null as has_totp, created_at
         from people where uid = $1",
    )
    .bind(uid)
    .fetch_optional(on)
    .await
}

/// Who has an address; `key` is [`super::email::key`].
///
/// # Errors
/// What the database has against it.
pub async fn find_by_email(on: &mut PgConnection, key: &str) -> sqlx::Result<Option<Person>> {
    let uid: Option<String> = sqlx::query_scalar("select uid from people where email_key = $1")
        .bind(key)
        .fetch_optional(&mut *on)
        .await?;
    match uid {
        Some(uid) => find(on, &uid).await,
        None => Ok(None),
    }
}

/// # Errors
/// What the database has against it.
pub async fn proofs(on: &mut PgConnection, uid: &str) -> sqlx::Result<Option<Proofs>> {
    sqlx::query_as(
        "select uid, is_suspended, password_hash, totp_secret from people where uid = $1",
    )
    .bind(uid)
    .fetch_optional(on)
    .await
}

/// The same by address.
///
/// # Errors
/// What the database has against it.
pub async fn proofs_by_email(on: &mut PgConnection, key: &str) -> sqlx::Result<Option<Proofs>> {
    sqlx::query_as(
        "select uid, is_suspended, password_hash, totp_secret from people where email_key = $1",
    )
    .bind(key)
    .fetch_optional(on)
    .await
}

/// # Errors
/// What the database has against it.
pub async fn set_name(
    on: &mut PgConnection,
    uid: &str,
    name: &str,
    locale: Language,
) -> sqlx::Result<()> {
    sqlx::query("update people set name = $2, locale = $3 where uid = $1")
        .bind(uid)
        .bind(name)
        .bind(locale.code())
        .execute(on)
        .await?;
    Ok(())
}

/// # Errors
/// What the database has against it.
pub async fn set_password(on: &mut PgConnection, uid: &str, hash: &str) -> sqlx::Result<()> {
    sqlx::query("update people set password_hash = $2 where uid = $1")
        .bind(uid)
        .bind(hash)
        .execute(on)
        .await?;
    Ok(())
}

/// Replaces a hash by one of the same password with today's parameters, unless it was changed meanwhile.
///
/// # Errors
/// What the database has against it.
pub async fn renew_hash(
    on: &mut PgConnection,
    uid: &str,
    old: &str,
    new: &str,
) -> sqlx::Result<()> {
    sqlx::query("update people set password_hash = $3 where uid = $1 and password_hash = $2")
        .bind(uid)
        .bind(old)
        .bind(new)
        .execute(on)
        .await?;
    Ok(())
}

/// Whether there is a member of the staff.
///
/// # Errors
/// What the database has against it.
pub async fn has_staff(on: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("select exists (select from people where is_staff)")
        .fetch_one(on)
        .await
}
