//! Tickets: what a browser holds between two pages of one deed, in a cookie of its own. Each is for one
//! purpose, ends by itself, and is used up by the last page.

use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx;
use sqlx::{FromRow, PgConnection};

use crate::secret::Digest;

/// Long enough to find a phone and install an app on it.
pub const LIFE: SignedDuration = SignedDuration::from_mins(15);

/// What it lets its holder go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The password was right; the second factor is missing.
    SignIn,
    /// A TOTP is being set up.
    Totp,
    /// The bootstrap code was right.
    Bootstrap,
}

impl Purpose {
    fn word(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::Totp => "totp",
            Self::Bootstrap => "bootstrap",
        }
    }
}

/// One that is good.
#[derive(Clone, FromRow)]
pub struct Ticket {
    /// Whose deed it is; nobody's at the bootstrap.
    pub person: Option<String>,
    /// The secret that a phone is told.
    pub totp_secret: Option<Vec<u8>>,
}

/// # Errors
/// What the database has against it.
pub async fn insert(
    on: &mut PgConnection,
    digest: &Digest,
    purpose: Purpose,
    ticket: &Ticket,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into tickets (digest, purpose, person, totp_secret, ends_at) values ($1, $2, $3, $4, $5)",
    )
    .bind(digest.as_slice())
    .bind(purpose.word())
    .bind(&ticket.person)
    .bind(&ticket.totp_secret)
    .bind((now + LIFE).to_sqlx())
    .execute(on)
    .await?;
    Ok(())
}

/// # Errors
/// What the database has against it.
pub async fn find(
    on: &mut PgConnection,
    digest: &Digest,
    purpose: Purpose,
    now: Timestamp,
) -> sqlx::Result<Option<Ticket>> {
    sqlx::query_as(
        "select person, totp_secret from tickets where digest = $1 and purpose = $2 and ends_at > $3",
    )
    .bind(digest.as_slice())
    .bind(purpose.word())
    .bind(now.to_sqlx())
    .fetch_optional(on)
    .await
}

/// Uses one up; `false` when somebody was quicker.
///
/// # Errors
/// What the database has against it.
pub async fn use_up(on: &mut PgConnection, digest: &Digest) -> sqlx::Result<bool> {
    let gone = sqlx::query("delete from tickets where digest = $1")
        .bind(digest.as_slice())
        .execute(on)
        .await?;
    Ok(gone.rows_affected() == 1)
}

/// Removes those that have ended by themselves.
///
/// # Errors
/// What the database has against it.
pub async fn sweep(on: &mut PgConnection, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("delete from tickets where ends_at <= $1")
        .bind(now.to_sqlx())
        .execute(on)
        .await?;
    Ok(())
}
