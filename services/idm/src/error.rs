//! Why a request is not answered as it was meant: two families, and no third.
//!
//! A rejection is mended by whoever asked; a failure by time or by whoever runs the platform. Handlers
//! return either; `web/answer.rs` makes a page for people of it, or problem+json (RFC 9457) for programs.
//! What was wrong inside stands in the log under the request's id, and never in an answer.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

use crate::language::Texts;

/// Whoever asked can mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("nobody is signed in")]
    NotSignedIn,
    #[error("this person may not do that")]
    NotAllowed,
    #[error("nothing is there, or nothing that this person may know of")]
    NotFound,
    #[error("there was a bootstrap before")]
    BootstrapDone,
    #[error("no bootstrap code is configured")]
    BootstrapNotConfigured,
    #[error("the method is not served there")]
    MethodNotAllowed,
    #[error("the request came from a page of somebody else's")]
    ForeignRequest,
    #[error("the form is not of this browser, or too old")]
    FormExpired,
    #[error("the form does not hold what it should")]
    FormMalformed,
    #[error("the body is too large")]
    TooLarge,
    #[error("what was begun took too long, or was done before")]
    TicketExpired,
    #[error("the invitation is used, revoked or too old")]
    InvitationClosed,
    #[error("the organization would be left without a Super Admin")]
    LastSuperAdmin,
    #[error("it is asked for the way to a place where no app of the platform is")]
    UnknownPlace,
    #[error("an application that is not registered wants somebody to sign in")]
    UnknownClient,
    #[error("an application wants somebody to be led to an address that is not registered")]
    UnknownRedirect,
}

/// Who says what is wrong, in the type of a problem.
pub const SERVICE: &str = "idm";

/// Time or whoever runs the platform mends it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("the database does not answer")]
    DatabaseAway(#[source] sqlx::Error),
    #[error("the database has not been migrated yet")]
    NotMigrated,
    #[error("the database refused")]
    Database(#[source] sqlx::Error),
    #[error("the request took too long")]
    TooSlow,
    #[error("the signing keys have not been read yet")]
    NoKeys,
    #[error("a token could not be signed")]
    Sign(#[source] tokens::sign::NotSigned),
    #[error("a password could not be hashed")]
    Hash(#[source] argon2::password_hash::Error),
    #[error("a TOTP could not be made: {0}")]
    Totp(String),
    #[error("a thread broke")]
    Thread(#[source] tokio::task::JoinError),
    #[error("no JSON could be made")]
    Json(#[source] serde_json::Error),
    #[error("a page could not be made")]
    Page(#[source] askama::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        if is_away(&error) {
            Self::DatabaseAway(error)
        } else {
            Self::Database(error)
        }
    }
}

/// Whether the same may go well a little later.
fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // PostgreSQL's classes: connection, resources, operator's intervention, and transactions that lost
        // against another one.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            ["08", "53", "57", "40"]
                .iter()
                .any(|class| code.starts_with(class))
        }),
        _ => false,
    }
}

/// Either family.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// What an answer says of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// In CamelCase, for machines.
    pub reason: &'static str,
    pub status: StatusCode,
    /// In seconds, when the same may go well later.
    pub retry_after: Option<i64>,
    pub title: &'static str,
    pub detail: &'static str,
}

impl Error {
    /// What an answer says of it, in a language.
    #[must_use]
    pub fn facts(&self, texts: &Texts) -> Facts {
        use StatusCode as S;
        let all = &texts.errors;
        let (reason, status, (title, detail)) = match self {
            Self::Rejected(rejection) => match rejection {
                Rejection::NotSignedIn => ("NotSignedIn", S::UNAUTHORIZED, all.not_signed_in),
                Rejection::NotAllowed => ("NotAllowed", S::FORBIDDEN, all.not_allowed),
                Rejection::NotFound => ("NotFound", S::NOT_FOUND, all.not_found),
                Rejection::BootstrapDone => ("BootstrapDone", S::GONE, all.bootstrap_done),
                Rejection::BootstrapNotConfigured => (
                    "BootstrapNotConfigured",
                    S::NOT_FOUND,
                    all.bootstrap_not_configured,
                ),
                Rejection::MethodNotAllowed => (
                    "MethodNotAllowed",
                    S::METHOD_NOT_ALLOWED,
                    all.method_not_allowed,
                ),
                Rejection::ForeignRequest => ("ForeignRequest", S::FORBIDDEN, all.foreign_request),
                Rejection::FormExpired => ("FormExpired", S::FORBIDDEN, all.form_expired),
                Rejection::FormMalformed => ("FormMalformed", S::BAD_REQUEST, all.form_malformed),
                Rejection::TooLarge => ("TooLarge", S::PAYLOAD_TOO_LARGE, all.too_large),
                Rejection::TicketExpired => ("TicketExpired", S::GONE, all.ticket_expired),
                Rejection::InvitationClosed => ("InvitationClosed", S::GONE, all.invitation_closed),
                Rejection::UnknownPlace => ("UnknownPlace", S::BAD_REQUEST, all.unknown_place),
                Rejection::UnknownClient => ("UnknownClient", S::BAD_REQUEST, all.unknown_client),
                Rejection::UnknownRedirect => {
                    ("UnknownRedirect", S::BAD_REQUEST, all.unknown_redirect)
                }
                Rejection::LastSuperAdmin => ("LastSuperAdmin", S::CONFLICT, all.last_super_admin),
            },
            Self::Failed(failure) => match failure {
                Failure::DatabaseAway(_)
                | Failure::NotMigrated
                | Failure::NoKeys
                | Failure::TooSlow => ("DatabaseAway", S::SERVICE_UNAVAILABLE, all.database_away),
                Failure::Database(_)
                | Failure::Sign(_)
                | Failure::Hash(_)
                | Failure::Totp(_)
                | Failure::Thread(_)
                | Failure::Json(_)
                | Failure::Page(_) => ("InternalError", S::INTERNAL_SERVER_ERROR, all.internal),
            },
        };
        // A database that restarts is back within some seconds.
        let retry_after = (status == S::SERVICE_UNAVAILABLE).then_some(5);
        Facts {
            reason,
            status,
            retry_after,
            title,
            detail,
        }
    }
}

/// An error on its way out; `web/answer.rs` gives it its body.
#[derive(Clone, Debug)]
pub struct Told(pub std::sync::Arc<Error>);

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Told(self.into()));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    #[test]
    fn time_mends_a_database_that_is_away_and_not_one_that_refuses() {
        let texts = Language::English.texts();
        let facts = |error: sqlx::Error| Error::from(error).facts(texts);
        let away = facts(sqlx::Error::PoolTimedOut);
        assert_eq!((away.status.as_u16(), away.retry_after), (503, Some(5)));
        let refused = facts(sqlx::Error::RowNotFound);
        assert_eq!((refused.status.as_u16(), refused.retry_after), (500, None));
    }

    #[test]
    fn what_was_wrong_inside_stands_in_no_answer() {
        let inside = "relation \"people\" does not exist";
        let error = Error::from(sqlx::Error::Protocol(inside.into()));
        for language in [Language::English, Language::German] {
            let facts = error.facts(language.texts());
            assert!(!facts.detail.contains(inside) && !facts.title.contains(inside));
        }
    }
}
