//! Invitations: a link for one address, role and organization, good for seven days and once. Who holds it
//! joins, with the account of that address or with a new one. Rows in `store`, pages in `http`.

pub mod http;
pub mod store;

use jiff::{SignedDuration, Timestamp};

use crate::organizations::Role;

/// Days that a link is good for.
pub const DAYS: i64 = 7;
/// The same.
pub const LIFE: SignedDuration = SignedDuration::from_hours(24 * DAYS);

/// One that is open.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Invitation {
    pub uid: String,
    /// The organization's uid.
    pub organization: String,
    pub email: String,
    #[sqlx(try_from = "String")]
    pub role: Role,
    /// Who invited.
    pub invited_by: String,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub ends_at: Timestamp,
}
