//! The row that holds the signing keys.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgConnection;

use super::cipher::Sealed;

/// What is kept, once a first key was made.
///
/// # Errors
/// What the database has against it.
pub async fn find(on: &mut PgConnection) -> sqlx::Result<Option<Sealed>> {
    let row: Option<(Vec<u8>, Vec<u8>)> =
        sqlx::query_as("select sealed_by, sealed from signing_keys")
            .fetch_optional(on)
            .await?;
    Ok(row.map(|(by, bytes)| Sealed { by, bytes }))
}

/// Lets nobody else change the keys until the transaction ends; reading goes on.
///
/// # Errors
/// What the database has against it.
pub async fn hold(on: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("lock table signing_keys in exclusive mode")
        .execute(on)
        .await?;
    Ok(())
}

/// # Errors
/// What the database has against it.
pub async fn set(on: &mut PgConnection, sealed: &Sealed, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "insert into signing_keys (sealed_by, sealed, changed_at) values ($1, $2, $3)
         on conflict (is_only) do update set sealed_by = excluded.sealed_by, sealed = excluded.sealed,
             changed_at = excluded.changed_at",
    )
    .bind(&sealed.by)
    .bind(&sealed.bytes)
    .bind(now.to_sqlx())
    .execute(on)
    .await?;
    Ok(())
}
