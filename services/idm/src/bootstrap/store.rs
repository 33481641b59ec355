//! The row that ends the bootstrap.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgConnection;

/// # Errors
/// What the database has against it.
pub async fn is_done(on: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("select exists (select from bootstrap)")
        .fetch_one(on)
        .await
}

/// Ends it for ever; `false` when somebody was quicker, who is waited for.
///
/// # Errors
/// What the database has against it.
pub async fn end(on: &mut PgConnection, person: &str, now: Timestamp) -> sqlx::Result<bool> {
    let ended = sqlx::query(
        "insert into bootstrap (person, done_at) values ($1, $2) on conflict do nothing",
    )
    .bind(person)
    .bind(now.to_sqlx())
    .execute(on)
    .await?;
    Ok(ended.rows_affected() == 1)
}
