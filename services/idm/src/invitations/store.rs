//! Rows of invitations.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgConnection;

use super::Invitation;
use crate::{people::email::Email, secret::Digest};

/// Makes one, in place of an open one for the same address: the old link is good for nothing then.
///
/// # Errors
/// What the database has against it.
pub async fn insert(
    on: &mut PgConnection,
    invitation: &Invitation,
    email: &Email,
    digest: &Digest,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update invitations set closed_at = $3
         where organization = $1 and email_key = $2 and closed_at is null",
    )
    .bind(&invitation.organization)
    .bind(email.key())
    .bind(now.to_sqlx())
    .execute(&mut *on)
    .await?;
    sqlx::query(
        "insert into invitations (uid, organization, email, email_key, role, digest, invited_by, created_at, ends_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(&invitation.uid)
    .bind(&invitation.organization)
    .bind(email.as_str())
    .bind(email.key())
    .bind(invitation.role.name())
    .bind(digest.as_slice())
    .bind(&invitation.invited_by)
    .bind(now.to_sqlx())
    .bind(invitation.ends_at.to_sqlx())
    .execute(on)
    .await?;
    Ok(())
}

/// The open ones of an organization, by address.
///
/// # Errors
/// What the database has against it.
pub async fn open(
    on: &mut PgConnection,
    organization: &str,
    now: Timestamp,
) -> sqlx::Result<Vec<Invitation>> {
    sqlx::query_as(
        "select uid, organization, email, role, invited_by, ends_at from invitations
         where organization = $1 and closed_at is null and ends_at > $2 order by email_key",
    )
    .bind(organization)
    .bind(now.to_sqlx())
    .fetch_all(on)
    .await
}

/// The open one of a link. Its row is held until the transaction ends, so that it is used once.
///
/// # Errors
/// What the database has against it.
pub async fn find(
    on: &mut PgConnection,
    digest: &Digest,
    now: Timestamp,
) -> sqlx::Result<Option<Invitation>> {
    sqlx::query_as(
        "select uid, organization, email, role, invited_by, ends_at from invitations
         where digest = $1 and closed_at is null and ends_at > $2 for update",
    )
    .bind(digest.as_slice())
    .bind(now.to_sqlx())
    .fetch_optional(on)
    .await
}

/// One of an organization that is open.
///
/// # Errors
/// What the database has against it.
pub async fn find_by_uid(
    on: &mut PgConnection,
    organization: &str,
    uid: &str,
) -> sqlx::Result<Option<Invitation>> {
    sqlx::query_as(
        "select uid, organization, email, role, invited_by, ends_at from invitations
         where organization = $1 and uid = $2 and closed_at is null for update",
    )
    .bind(organization)
    .bind(uid)
    .fetch_optional(on)
    .await
}

/// Closes one: whoever accepted it, or nobody when it is revoked.
///
/// # Errors
/// What the database has against it.
pub async fn close(
    on: &mut PgConnection,
    uid: &str,
    accepted_by: Option<&str>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query("update invitations set closed_at = $2, accepted_by = $3 where uid = $1")
        .bind(uid)
        .bind(now.to_sqlx())
        .bind(accepted_by)
        .execute(on)
        .await?;
    Ok(())
}
