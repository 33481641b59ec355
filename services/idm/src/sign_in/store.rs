//! Rows of sign-in: buckets of tries, browsers that are known, and tickets for a second step.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{FromRow, PgConnection};

use super::throttle::{ACCOUNT, ADDRESS, DEVICE, Level, Refused, Rule, Verdict};
use crate::{secret::Digest, sessions::DEVICE_LIFE};

/// A bucket by name, and its rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    pub name: String,
    pub rule: Rule,
}

#[derive(FromRow)]
struct Row {
    level: f64,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    level_at: Timestamp,
    is_told: bool,
}

/// Judges a try by all its buckets: it counts in each when all of them admit it, and in none otherwise; then
/// it is said why. Their rows are held until the transaction ends, so that tries at once are counted one by
/// one.
///
/// # Errors
/// What the database has against it.
pub async fn charge(
    on: &mut PgConnection,
    buckets: &[Bucket],
    now: Timestamp,
) -> sqlx::Result<Option<Refused>> {
    let mut sorted: Vec<&Bucket> = buckets.iter().collect();
    // One order for all, so that no two wait for each other.
    sorted.sort_by(|one, other| one.name.cmp(&other.name));
    let mut admitted = Vec::new();
    let mut refused: Option<Refused> = None;
    for bucket in sorted {
        match bucket.rule.judge(hold(on, bucket, now).await?, now) {
            Verdict::Admitted(level) => admitted.push((bucket, level)),
            Verdict::Refused(one) => {
                if one.is_news {
                    tell(on, bucket).await?;
                }
                refused = Some(refused.map_or(one, |other| other.and(one)));
            }
        }
    }
    if refused.is_none() {
        for (bucket, level) in admitted {
            set(on, bucket, level).await?;
        }
    }
    Ok(refused)
}

async fn hold(
    on: &mut PgConnection,
    bucket: &Bucket,
    now: Timestamp,
) -> sqlx::Result<Option<Level>> {
    sqlx::query(
        "insert into buckets (name, level, level_at) values ($1, 0, $2) on conflict do nothing",
    )
    .bind(&bucket.name)
    .bind(now.to_sqlx())
    .execute(&mut *on)
    .await?;
    let row: Option<Row> =
        sqlx::query_as("select level, level_at, is_told from buckets where name = $1 for update")
            .bind(&bucket.name)
            .fetch_optional(on)
            .await?;
    Ok(row.map(|row| Level {
        tries: row.level,
        at: row.level_at,
        is_told: row.is_told,
    }))
}

async fn tell(on: &mut PgConnection, bucket: &Bucket) -> sqlx::Result<()> {
    sqlx::query("update buckets set is_told = true where name = $1")
        .bind(&bucket.name)
        .execute(on)
        .await?;
    Ok(())
}

async fn set(on: &mut PgConnection, bucket: &Bucket, level: Level) -> sqlx::Result<()> {
    sqlx::query("update buckets set level = $2, level_at = $3, is_told = $4 where name = $1")
        .bind(&bucket.name)
        .bind(level.tries)
        .bind(level.at.to_sqlx())
        .bind(level.is_told)
        .execute(on)
        .await?;
    Ok(())
}

/// Empties a bucket: its owner has proven themselves.
///
/// # Errors
/// What the database has against it.
pub async fn forget(on: &mut PgConnection, name: &str) -> sqlx::Result<()> {
    sqlx::query("delete from buckets where name = $1")
        .bind(name)
        .execute(on)
        .await?;
    Ok(())
}

/// Takes back one try that was right. Others who share the bucket keep theirs.
///
/// # Errors
/// What the database has against it.
pub async fn take_back(on: &mut PgConnection, name: &str) -> sqlx::Result<()> {
    sqlx::query("update buckets set level = greatest(level - 1, 0) where name = $1")
        .bind(name)
        .execute(on)
        .await?;
    Ok(())
}

/// Whether somebody signed in with this browser since a time.
///
/// # Errors
/// What the database has against it.
pub async fn is_known(
    on: &mut PgConnection,
    person: &str,
    device: &Digest,
    since: Timestamp,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from devices where person = $1 and digest = $2 and last_seen_at >= $3)",
    )
    .bind(person)
    .bind(device.as_slice())
    .bind(since.to_sqlx())
    .fetch_one(on)
    .await
}

/// Knows a browser from now on.
///
/// # Errors
/// What the database has against it.
pub async fn know(
    on: &mut PgConnection,
    person: &str,
    device: &Digest,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into devices (person, digest, last_seen_at) values ($1, $2, $3)
         on conflict (person, digest) do update set last_seen_at = excluded.last_seen_at",
    )
    .bind(person)
    .bind(device.as_slice())
    .bind(now.to_sqlx())
    .execute(on)
    .await?;
    Ok(())
}

/// Knows none of a person's browsers any more, as when somebody else may have had the password.
///
/// # Errors
/// What the database has against it.
pub async fn forget_devices(on: &mut PgConnection, person: &str) -> sqlx::Result<()> {
    sqlx::query("delete from devices where person = $1")
        .bind(person)
        .execute(on)
        .await?;
    Ok(())
}

/// Removes what is of no use any more: buckets that are empty by now, and browsers that are known no longer.
///
/// # Errors
/// What the database has against it.
pub async fn sweep(on: &mut PgConnection, now: Timestamp) -> sqlx::Result<()> {
    let rules = [ACCOUNT, ADDRESS, DEVICE];
    let memory = rules
        .iter()
        .map(|rule| rule.memory())
        .max()
        .unwrap_or_default();
    sqlx::query("delete from buckets where level_at < $1")
        .bind((now - memory).to_sqlx())
        .execute(&mut *on)
        .await?;
    sqlx::query("delete from devices where last_seen_at < $1")
        .bind((now - DEVICE_LIFE).to_sqlx())
        .execute(on)
        .await?;
    Ok(())
}
