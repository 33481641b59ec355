//! Mail: what is written to people. Texts stand in `language/`; `outbox` keeps them with the deed that they
//! tell of, `delivery` hands them to a server later.

pub mod delivery;
pub mod outbox;

use std::{future::Future, pin::Pin};

use jiff::Timestamp;
use sqlx::PgConnection;

use crate::language::Language;

/// A mail that is to be sent.
#[derive(Clone, Debug)]
pub struct Mail {
    pub uid: String,
    pub recipient: String,
    pub language: Language,
    pub subject: String,
    pub body: String,
}

/// What sending promises.
pub type Sending<'a> = Pin<Box<dyn Future<Output = sqlx::Result<()>> + Send + 'a>>;

/// Takes mails. One belongs to the transaction of its deed: it is sent exactly when that is committed.
pub trait Mailer: Send + Sync {
    /// Takes one.
    ///
    /// # Errors
    /// What the database has against it.
    fn send<'a>(&'a self, on: &'a mut PgConnection, mail: &'a Mail, now: Timestamp) -> Sending<'a>;
}
