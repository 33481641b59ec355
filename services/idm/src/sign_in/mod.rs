//! Sign-in: who is it, and may they try again? Every try is counted before it is judged, so that tries at
//! once are counted one by one, and what becomes of it is written down in the audit.
//!
//! ```text
//! e-mail and password ─ buckets full? ─ hash right? ─ suspended? ─ TOTP? ── ticket ─ code ─┐
//!                                                        └── no ───────────────────────────┴─> session
//! ```
//!
//! The rules of buckets: `throttle` (pure); counting: `tries`. Rows: `store`. Pages: `http`.

pub mod http;
pub mod store;
pub mod throttle;
pub mod tries;

use jiff::Timestamp;
use secrecy::SecretString;
use sqlx::PgConnection;

use crate::{
    app::App,
    audit::{self, Actor, Deed},
    error::{Error, Failure, Rejection},
    identifier::Kind,
    people::{self, email, password, store::Proofs},
    second_factor,
    secret::Token,
    sessions,
    tickets::{self, Purpose, Ticket},
    web::Visit,
};
use tries::{admit, buckets, forgive, refuse};

/// How somebody proves who they are beside their password, as sessions and the audit have it.
pub const AUTHENTICATOR_APP: &str = "authenticator app";
/// As [`AUTHENTICATOR_APP`].
pub const RECOVERY_CODE: &str = "recovery code";

/// What became of a try.
#[derive(Clone, Debug)]
pub enum Outcome {
    SignedIn(Entry),
    /// The password is right; the browser goes on with this ticket.
    SecondStep(Token),
    Wrong,
    /// The password is right, and the account is suspended.
    Suspended,
    /// Too many tries; there is another one in so many seconds.
    Throttled(i64),
    /// Somebody who is signed in knows their password.
    Confirmed,
}

/// What a browser holds after a sign-in.
#[derive(Clone, Debug)]
pub struct Entry {
    pub session: Token,
    pub device: Token,
}

/// Tries an e-mail address and a password.
///
/// # Errors
/// When it cannot be tried now.
pub async fn with_password(
    app: &App,
    visit: &Visit,
    typed: &str,
    password: &SecretString,
) -> Result<Outcome, Error> {
    let key = email::key(typed);
    let now = app.now();
    let mut connection = app.connection().await?;
    let proofs = people::store::proofs_by_email(&mut connection, &key).await?;
    let person = proofs.as_ref().map(|proofs| proofs.uid.as_str());
    let buckets = buckets(&mut connection, visit, &key, person, now).await?;
    drop(connection);
    if let Some(seconds) = admit(app, visit, &buckets, person).await? {
        return Ok(Outcome::Throttled(seconds));
    }
    let hash = proofs
        .as_ref()
        .and_then(|proofs| proofs.password_hash.clone());
    let uid = proofs.as_ref().map(|proofs| proofs.uid.clone());
    let is_right = app.hasher.is_right(password, hash.clone()).await?;
    let Some(proofs) = proofs.filter(|_| is_right) else {
        let reason = if uid.is_some() {
            "WrongPassword"
        } else {
            "UnknownEmail"
        };
        refuse(app, visit, uid.as_deref(), reason).await?;
        return Ok(Outcome::Wrong);
    };
    if proofs.is_suspended {
        refuse(app, visit, Some(&proofs.uid), "Suspended").await?;
        return Ok(Outcome::Suspended);
    }
    let renewed = match hash.filter(|hash| password::is_outdated(hash)) {
        Some(old) => Some((old, app.hasher.hash(password).await?)),
        None => None,
    };
    let mut transaction = app.begin().await?;
    if let Some((old, new)) = renewed {
        people::store::renew_hash(&mut transaction, &proofs.uid, &old, &new).await?;
    }
    if proofs.totp_secret.is_some() {
        let token = app.token();
        let ticket = Ticket {
            person: Some(proofs.uid),
            totp_secret: None,
        };
        tickets::insert(
            &mut transaction,
            &token.digest(),
            Purpose::SignIn,
            &ticket,
            now,
        )
        .await?;
        transaction.commit().await?;
        app.metrics.tried("second step");
        return Ok(Outcome::SecondStep(token));
    }
    forgive(&mut transaction, &buckets).await?;
    let entry = enter(app, visit, &mut transaction, &proofs.uid, "password").await?;
    transaction.commit().await?;
    app.metrics.tried("signed in");
    Ok(Outcome::SignedIn(entry))
}

/// Tries a code of the authenticator app, or a recovery code, after the password was right.
///
/// # Errors
/// When the ticket is gone, or it cannot be tried now.
pub async fn with_code(app: &App, visit: &Visit, code: &str) -> Result<Outcome, Error> {
    let now = app.now();
    let digest = visit
        .ticket
        .as_ref()
        .map(Token::digest)
        .ok_or(Rejection::TicketExpired)?;
    let mut connection = app.connection().await?;
    let ticket = tickets::find(&mut connection, &digest, Purpose::SignIn, now).await?;
    let uid = ticket
        .and_then(|ticket| ticket.person)
        .ok_or(Rejection::TicketExpired)?;
    let person = people::store::find(&mut connection, &uid)
        .await?
        .ok_or(Rejection::TicketExpired)?;
    let key = email::key(&person.email);
    let buckets = buckets(&mut connection, visit, &key, Some(&uid), now).await?;
    drop(connection);
    if let Some(seconds) = admit(app, visit, &buckets, Some(&uid)).await? {
        return Ok(Outcome::Throttled(seconds));
    }
    let mut transaction = app.begin().await?;
    let proofs = people::store::proofs(&mut transaction, &uid)
        .await?
        .ok_or(Rejection::TicketExpired)?;
    let Some(ways) = prove(&mut transaction, &proofs, code, now).await? else {
        transaction.rollback().await?;
        refuse(app, visit, Some(&uid), "WrongCode").await?;
        return Ok(Outcome::Wrong);
    };
    if proofs.is_suspended {
        transaction.rollback().await?;
        refuse(app, visit, Some(&uid), "Suspended").await?;
        return Ok(Outcome::Suspended);
    }
    if !tickets::use_up(&mut transaction, &digest).await? {
        return Err(Rejection::TicketExpired.into());
    }
    forgive(&mut transaction, &buckets).await?;
    if ways == RECOVERY_CODE {
        let new = audit::New::by(Actor::Person(&uid), Deed::RecoveryCodeUsed, Some(&uid));
        audit::store::append(&mut transaction, visit.origin(), new, now).await?;
    }
    let entry = enter(app, visit, &mut transaction, &uid, ways).await?;
    transaction.commit().await?;
    app.metrics.tried("signed in");
    Ok(Outcome::SignedIn(entry))
}

/// By which of the second factors somebody has proven that it is them, if by one. What is used up stays so
/// when the transaction is committed.
async fn prove(
    on: &mut PgConnection,
    proofs: &Proofs,
    code: &str,
    now: Timestamp,
) -> Result<Option<&'static str>, Failure> {
    // Without a secret there is nothing to prove: it was taken away after the password was right.
    let Some(secret) = &proofs.totp_secret else {
        return Ok(None);
    };
    if let Some(step) = second_factor::check(secret, code, now)? {
        let is_fresh = second_factor::store::use_step(on, &proofs.uid, step).await?;
        return Ok(is_fresh.then_some(AUTHENTICATOR_APP));
    }
    let is_known = second_factor::store::use_code(on, &proofs.uid, code, now).await?;
    Ok(is_known.then_some(RECOVERY_CODE))
}

/// Begins a session in the visitor's browser, in place of the one that it has. `ways` is how they proved who
/// they are.
///
/// # Errors
/// When the database does not answer.
pub async fn enter(
    app: &App,
    visit: &Visit,
    on: &mut PgConnection,
    person: &str,
    ways: &str,
) -> Result<Entry, Failure> {
    let now = app.now();
    if let Some(old) = &visit.session {
        sessions::store::end(on, &old.person.uid, &old.uid).await?;
    }
    let entry = Entry {
        session: app.token(),
        // The browser keeps the token that it has: other people sign in with it, too.
        device: visit.device.clone().unwrap_or_else(|| app.token()),
    };
    let uid = app.uid(Kind::Session);
    let new = sessions::store::New {
        uid: &uid,
        person,
        digest: &entry.session.digest(),
        address: &visit.address,
        user_agent: &visit.user_agent,
        ways,
    };
    sessions::store::insert(on, &new, &app.settings.lifetimes, now).await?;
    store::know(on, person, &entry.device.digest(), now).await?;
    let details = [("session", uid.as_str()), ("ways", ways)];
    let new = audit::New {
        details: &details,
        ..audit::New::by(Actor::Person(person), Deed::SignedIn, Some(person))
    };
    audit::store::append(on, visit.origin(), new, now).await?;
    Ok(entry)
}

/// Whether somebody who is signed in knows their password, as before a change of what they prove themselves
/// by. It counts as a try to sign in.
///
/// # Errors
/// When it cannot be tried now.
pub async fn confirm(app: &App, visit: &Visit, password: &SecretString) -> Result<Outcome, Error> {
    let session = visit.session.as_ref().ok_or(Rejection::NotSignedIn)?;
    let uid = session.person.uid.as_str();
    let key = email::key(&session.person.email);
    let mut connection = app.connection().await?;
    let proofs = people::store::proofs(&mut connection, uid).await?;
    let buckets = buckets(&mut connection, visit, &key, Some(uid), app.now()).await?;
    drop(connection);
    if let Some(seconds) = admit(app, visit, &buckets, Some(uid)).await? {
        return Ok(Outcome::Throttled(seconds));
    }
    let hash = proofs.and_then(|proofs| proofs.password_hash);
    if !app.hasher.is_right(password, hash).await? {
        refuse(app, visit, Some(uid), "WrongCurrentPassword").await?;
        return Ok(Outcome::Wrong);
    }
    let mut transaction = app.begin().await?;
    forgive(&mut transaction, &buckets).await?;
    transaction.commit().await?;
    Ok(Outcome::Confirmed)
}
