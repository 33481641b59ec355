//! Rows of second factors.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgConnection;

use super::{CODES, recovery_code, recovery_digest};

/// Sets the secret, and the step whose code has proven that the phone has it.
///
/// # Errors
/// What the database has against it.
pub async fn set(
    on: &mut PgConnection,
    person: &str,
    secret: &[u8],
    step: i64,
) -> sqlx::Result<()> {
    sqlx::query("update people set totp_secret = $2, totp_step = $3 where uid = $1")
        .bind(person)
        .bind(secret)
        .bind(step)
        .execute(on)
        .await?;
    Ok(())
}

/// Takes the secret and all recovery codes away.
///
/// # Errors
/// What the database has against it.
pub async fn remove(on: &mut PgConnection, person: &str) -> sqlx::Result<()> {
    sqlx::query("update people set totp_secret = null, totp_step = null where uid = $1")
        .bind(person)
        .execute(&mut *on)
        .await?;
    sqlx::query("delete from recovery_codes where person = $1")
        .bind(person)
        .execute(on)
        .await?;
    Ok(())
}

/// Uses a step up. `false` when it, or a later one, was used before: then somebody has read the code.
///
/// # Errors
/// What the database has against it.
pub async fn use_step(on: &mut PgConnection, person: &str, step: i64) -> sqlx::Result<bool> {
    let used = sqlx::query(
        "update people set totp_step = $2 where uid = $1 and coalesce(totp_step, 0) < $2",
    )
    .bind(person)
    .bind(step)
    .execute(on)
    .await?;
    Ok(used.rows_affected() == 1)
}

/// Gives somebody new recovery codes in place of all they had, and says them: nobody can later.
///
/// # Errors
/// What the database has against it.
pub async fn renew_codes(on: &mut PgConnection, person: &str) -> sqlx::Result<Vec<String>> {
    let codes: Vec<String> = (0..CODES).map(|_| recovery_code(rand::random())).collect();
    let digests: Vec<Vec<u8>> = codes
        .iter()
        .map(|code| recovery_digest(person, code).as_slice().to_vec())
        .collect();
    sqlx::query("delete from recovery_codes where person = $1")
        .bind(person)
        .execute(&mut *on)
        .await?;
    sqlx::query("insert into recovery_codes (person, digest) select $1, unnest($2::bytea[])")
        .bind(person)
        .bind(digests)
        .execute(on)
        .await?;
    Ok(codes)
}

/// Uses a recovery code up; `false` when it is none of theirs, or was used before.
///
/// # Errors
/// What the database has against it.
pub async fn use_code(
    on: &mut PgConnection,
    person: &str,
    typed: &str,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let used = sqlx::query(
        "update recovery_codes set used_at = $3 where person = $1 and digest = $2 and used_at is null",
    )
    .bind(person)
    .bind(recovery_digest(person, typed).as_slice())
    .bind(now.to_sqlx())
    .execute(on)
    .await?;
    Ok(used.rows_affected() == 1)
}

/// How many somebody has left.
///
/// # Errors
/// What the database has against it.
pub async fn codes_left(on: &mut PgConnection, person: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar("select count(*) from recovery_codes where person = $1 and used_at is null")
        .bind(person)
        .fetch_one(on)
        .await
}
