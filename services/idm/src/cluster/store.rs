//! Rows of what there is in the cluster.

use std::collections::BTreeMap;

use sqlx::{FromRow, PgConnection};

use super::{Key, Shown};
use crate::organizations::Organization;

#[derive(FromRow)]
struct Row {
    organization: String,
    name: String,
    title: String,
    url: String,
}

/// Every app that home leads to.
///
/// # Errors
/// What the database has against it.
pub async fn instances(on: &mut PgConnection) -> sqlx::Result<BTreeMap<Key, Shown>> {
    let rows: Vec<Row> = sqlx::query_as("select organization, name, title, url from instances")
        .fetch_all(on)
        .await?;
    let pair = |row: Row| {
        let shown = Shown {
            title: row.title,
            url: row.url,
        };
        ((row.organization, row.name), shown)
    };
    Ok(rows.into_iter().map(pair).collect())
}

/// # Errors
/// What the database has against it.
pub async fn set_instance(on: &mut PgConnection, key: &Key, shown: &Shown) -> sqlx::Result<()> {
    let (organization, name) = key;
    sqlx::query(
        "insert into instances (organization, name, title, url) values ($1, $2, $3, $4)
         on conflict (organization, name) do update set title = excluded.title, url = excluded.url",
    )
    .bind(organization)
    .bind(name)
    .bind(&shown.title)
    .bind(&shown.url)
    .execute(on)
    .await?;
    Ok(())
}

/// # Errors
/// What the database has against it.
pub async fn remove_instance(on: &mut PgConnection, key: &Key) -> sqlx::Result<()> {
    let (organization, name) = key;
    sqlx::query("delete from instances where organization = $1 and name = $2")
        .bind(organization)
        .bind(name)
        .execute(on)
        .await?;
    Ok(())
}

/// Every hostname, and the instance that it leads to.
///
/// # Errors
/// What the database has against it.
pub async fn hostnames(on: &mut PgConnection) -> sqlx::Result<BTreeMap<String, Key>> {
    let rows: Vec<(String, String, String)> =
        sqlx::query_as("select hostname, organization, instance from hostnames")
            .fetch_all(on)
            .await?;
    let pair = |(hostname, organization, instance)| (hostname, (organization, instance));
    Ok(rows.into_iter().map(pair).collect())
}

/// # Errors
/// What the database has against it.
pub async fn set_hostname(
    on: &mut PgConnection,
    hostname: &str,
    (organization, instance): &Key,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into hostnames (hostname, organization, instance) values ($1, $2, $3)
         on conflict (hostname) do update set organization = excluded.organization,
             instance = excluded.instance",
    )
    .bind(hostname)
    .bind(organization)
    .bind(instance)
    .execute(on)
    .await?;
    Ok(())
}

/// # Errors
/// What the database has against it.
pub async fn remove_hostname(on: &mut PgConnection, hostname: &str) -> sqlx::Result<()> {
    sqlx::query("delete from hostnames where hostname = $1")
        .bind(hostname)
        .execute(on)
        .await?;
    Ok(())
}

/// # Errors
/// What the database has against it.
pub async fn set_title(on: &mut PgConnection, organization: &Organization) -> sqlx::Result<()> {
    sqlx::query("update organizations set title = $2 where name = $1")
        .bind(&organization.name)
        .bind(&organization.title)
        .execute(on)
        .await?;
    Ok(())
}
