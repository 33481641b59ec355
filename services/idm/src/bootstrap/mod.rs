//! The bootstrap: on a new platform, whoever has the one-time code becomes the first member of the staff,
//! with password and authenticator app. From then on the code is dead for ever; a row says so, whatever
//! becomes of that person.

pub mod http;
pub mod store;

use sqlx::PgConnection;

use crate::people;

/// Whether nobody administers the platform yet.
///
/// # Errors
/// What the database has against it.
pub async fn is_needed(on: &mut PgConnection) -> sqlx::Result<bool> {
    Ok(!store::is_done(on).await? && !people::store::has_staff(on).await?)
}
