//! People: who they are, and the password by which they prove it. Rules in `email`, `name` and
//! `password` (pure), rows in `store`. What somebody is in an organization: `organizations/`.

pub mod email;
pub mod hasher;
pub mod name;
pub mod password;
pub mod store;

use jiff::Timestamp;

use crate::language::Language;

/// A person, without what proves that it is them.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Person {
    pub uid: String,
    pub email: String,
    pub name: String,
    #[sqlx(try_from = "String")]
    pub locale: Language,
    pub is_staff: bool,
    pub is_suspended: bool,
    pub is_confirmed: bool,
    /// Whether a TOTP is asked for at sign-in.
    pub has_totp: bool,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub created_at: Timestamp,
}
