//! Rows of applications.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{FromRow, PgConnection};

use super::{Client, OVERLAP};
use crate::{cluster::Key, secret::Digest};

#[derive(FromRow)]
struct Row {
    uid: String,
    organization: String,
    name: String,
    object: String,
    instance: Option<String>,
    redirect_uris: Vec<String>,
    post_logout_redirect_uris: Vec<String>,
    digest: Option<Vec<u8>>,
    old_digest: Option<Vec<u8>>,
    old_ends_at: Option<jiff_sqlx::Timestamp>,
    rotated_for: Option<String>,
}

impl From<Row> for Client {
    fn from(row: Row) -> Self {
        let digest = |bytes: Option<Vec<u8>>| bytes?.try_into().ok().map(Digest);
        Self {
            uid: row.uid,
            organization: row.organization,
            name: row.name,
            object: row.object,
            instance: row.instance,
            redirect_uris: row.redirect_uris,
            post_logout_redirect_uris: row.post_logout_redirect_uris,
            digest: digest(row.digest),
            old: digest(row.old_digest).zip(row.old_ends_at.map(jiff_sqlx::Timestamp::to_jiff)),
            rotated_for: row.rotated_for,
        }
    }
}

/// The one of this `client_id`.
///
/// # Errors
/// What the database has against it.
pub async fn find(on: &mut PgConnection, uid: &str) -> sqlx::Result<Option<Client>> {
    let row: Option<Row> = sqlx::query_as("select * from clients where uid = $1")
        .bind(uid)
        .fetch_optional(on)
        .await?;
    Ok(row.map(Client::from))
}

/// The one of an object, which nobody else changes before this transaction ends. Made when it is not there; then
/// `true`.
///
/// # Errors
/// What the database has against it, a foreign key where there is no such organization.
pub async fn hold(
    on: &mut PgConnection,
    (organization, name): &Key,
    object: &str,
    new_uid: &str,
    now: Timestamp,
) -> sqlx::Result<(Client, bool)> {
    let made = sqlx::query(
        "insert into clients (uid, organization, name, object, redirect_uris, post_logout_redirect_uris, created_at)
         values ($1, $2, $3, $4, '{}', '{}', $5) on conflict (organization, name) do nothing",
    )
    .bind(new_uid)
    .bind(organization)
    .bind(name)
    .bind(object)
    .bind(now.to_sqlx())
    .execute(&mut *on)
    .await?;
    let row: Row = sqlx::query_as(
        "select * from clients where organization = $1 and name = $2 for no key update",
    )
    .bind(organization)
    .bind(name)
    .fetch_one(on)
    .await?;
    Ok((row.into(), made.rows_affected() == 1))
}

/// Writes what its object says.
///
/// # Errors
/// What the database has against it.
pub async fn set(on: &mut PgConnection, client: &Client) -> sqlx::Result<()> {
    sqlx::query(
        "update clients set instance = $2, redirect_uris = $3, post_logout_redirect_uris = $4 where uid = $1",
    )
    .bind(&client.uid)
    .bind(&client.instance)
    .bind(&client.redirect_uris)
    .bind(&client.post_logout_redirect_uris)
    .execute(on)
    .await?;
    Ok(())
}

/// Gives it another secret; the one before is good for a while.
///
/// # Errors
/// What the database has against it.
pub async fn set_secret(
    on: &mut PgConnection,
    uid: &str,
    digest: &Digest,
    rotated_for: Option<&str>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update clients set old_digest = digest, old_ends_at = $4, digest = $2, rotated_for = $3 where uid = $1",
    )
    .bind(uid)
    .bind(digest.as_slice())
    .bind(rotated_for)
    .bind((now + OVERLAP).to_sqlx())
    .execute(on)
    .await?;
    Ok(())
}

/// The objects of which there are rows, each with its uid.
///
/// # Errors
/// What the database has against it.
pub async fn objects(on: &mut PgConnection) -> sqlx::Result<Vec<(Key, String)>> {
    let rows: Vec<(String, String, String)> =
        sqlx::query_as("select organization, name, object from clients order by 1, 2")
            .fetch_all(on)
            .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|(organization, name, object)| ((organization, name), object))
        .collect())
}

/// Removes the one of an object, and everything that it was given; what it was, when it was there.
///
/// # Errors
/// What the database has against it.
pub async fn remove(
    on: &mut PgConnection,
    (organization, name): &Key,
    object: &str,
) -> sqlx::Result<Option<Client>> {
    let row: Option<Row> = sqlx::query_as(
        "delete from clients where organization = $1 and name = $2 and object = $3 returning *",
    )
    .bind(organization)
    .bind(name)
    .bind(object)
    .fetch_optional(on)
    .await?;
    Ok(row.map(Client::from))
}
