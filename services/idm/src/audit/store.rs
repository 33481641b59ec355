//! Rows of the audit trail.

use std::collections::BTreeMap;

use jiff::{Timestamp, TimestampRound, Unit};
use jiff_sqlx::ToSqlx;
use sqlx::{FromRow, PgConnection, types::Json};

use super::{Broken, Entry, Link, New, Origin, Walk, digest};
use crate::{error::Failure, secret::Digest};

/// Entries that are held in memory at once.
const PAGE: i64 = 1_000;

#[derive(FromRow)]
struct Row {
    sequence: i64,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    at: Timestamp,
    actor: String,
    deed: String,
    subject: Option<String>,
    organization: Option<String>,
    address: Option<String>,
    request: Option<String>,
    details: Json<BTreeMap<String, String>>,
    previous: Vec<u8>,
    digest: Vec<u8>,
}

impl From<Row> for Link {
    fn from(row: Row) -> Self {
        Self {
            previous: read(&row.previous),
            digest: read(&row.digest),
            entry: Entry {
                sequence: row.sequence,
                at: row.at,
                actor: row.actor,
                deed: row.deed,
                subject: row.subject,
                organization: row.organization,
                address: row.address,
                request: row.request,
                details: row.details.0,
            },
        }
    }
}

/// The table's check lets no other length in.
fn read(bytes: &[u8]) -> Digest {
    Digest(bytes.try_into().unwrap_or_default())
}

#[derive(FromRow)]
struct Head {
    sequence: i64,
    digest: Vec<u8>,
}

/// Appends an entry in the transaction of its deed. It is the last thing that the transaction does: the end
/// of the chain is held until it ends, and everybody else waits for it.
///
/// # Errors
/// What the database has against it.
pub async fn append(
    on: &mut PgConnection,
    origin: Origin<'_>,
    new: New<'_>,
    now: Timestamp,
) -> Result<(), Failure> {
    let head: Head = sqlx::query_as("select sequence, digest from audit_head for update")
        .fetch_one(&mut *on)
        .await?;
    let microseconds = TimestampRound::new()
        .smallest(Unit::Microsecond)
        .mode(jiff::RoundMode::Trunc);
    let entry = Entry {
        sequence: head.sequence + 1,
        at: now.round(microseconds).unwrap_or(now),
        actor: new.actor.to_string(),
        deed: new.deed.to_string(),
        subject: new.subject.map(str::to_owned),
        organization: new.organization.map(str::to_owned),
        address: origin.address.map(str::to_owned),
        request: origin.request.map(str::to_owned),
        details: new
            .details
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    };
    let previous = read(&head.digest);
    let digest = digest(&previous, &entry).map_err(Failure::Json)?;
    sqlx::query(
        "insert into audit (sequence, at, actor, deed, subject, organization, address, request, details,
                            previous, digest)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(entry.sequence)
    .bind(entry.at.to_sqlx())
    .bind(&entry.actor)
    .bind(&entry.deed)
    .bind(&entry.subject)
    .bind(&entry.organization)
    .bind(&entry.address)
    .bind(&entry.request)
    .bind(Json(&entry.details))
    .bind(previous.as_slice())
    .bind(digest.as_slice())
    .execute(&mut *on)
    .await?;
    sqlx::query("update audit_head set sequence = $1, digest = $2")
        .bind(entry.sequence)
        .bind(digest.as_slice())
        .execute(on)
        .await?;
    Ok(())
}

/// Up to a thousand entries after one, of one organization or of all, in their order.
///
/// # Errors
/// What the database has against it.
pub async fn page(
    on: &mut PgConnection,
    organization: Option<&str>,
    after: i64,
) -> sqlx::Result<Vec<Link>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select sequence, at, actor, deed, subject, organization, address, request, details, previous, digest
         from audit where sequence > $1 and ($2::text is null or organization = $2)
         order by sequence limit $3",
    )
    .bind(after)
    .bind(organization)
    .bind(PAGE)
    .fetch_all(on)
    .await?;
    Ok(rows.into_iter().map(Link::from).collect())
}

/// Walks along the whole trail, as it stood when it began, and says how many entries there are.
///
/// # Errors
/// When the database cannot be read; inside, what is wrong with the trail.
pub async fn verify(on: &mut PgConnection) -> Result<Result<i64, Broken>, Failure> {
    // The end is read first: what is appended meanwhile is not looked at.
    let head: Head = sqlx::query_as("select sequence, digest from audit_head")
        .fetch_one(&mut *on)
        .await?;
    let mut walk = Walk::default();
    let mut after = 0;
    loop {
        let links = page(on, None, after).await?;
        for link in links
            .iter()
            .filter(|link| link.entry.sequence <= head.sequence)
        {
            if let Err(broken) = walk.step(link) {
                return Ok(Err(broken));
            }
        }
        match links.last() {
            Some(last) if last.entry.sequence < head.sequence => after = last.entry.sequence,
            _ => return Ok(walk.end(head.sequence, &read(&head.digest))),
        }
    }
}
