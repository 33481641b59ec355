//! What the gateway asks on the services' port: a ticket becomes a pass, and a pass lets somebody in, as long
//! as all that holds which held when they came.

use std::time::Duration;

use axum::{body::Bytes, extract::State, http::StatusCode, response::Response};
use tokens::{Pass, Place, Refusal, Ticket};

use super::{
    Admitted, Enter, Found, Redeem, entry, is_due, sign,
    store::{self, Asked, Comer},
};
use crate::{
    acl::Decision,
    app::App,
    authorization::http::{Port, Problem, read, told},
    error::Failure,
    sessions,
};

/// How long the database is waited for before a pass is believed by itself. Whoever waits looks at an empty
/// page.
const PATIENCE: Duration = Duration::from_secs(2);

/// `POST /v1/door/redeem`
pub async fn redeem(State(port): State<Port>, body: Bytes) -> Result<Response, Problem> {
    let Redeem { ticket, host, path } = read(&body)?;
    let app = &port.app;
    let keys = app.keys.get().ok_or(Failure::NoKeys)?;
    let place = Place {
        host: &host,
        path: &path,
    };
    let issuer = &app.settings.public_origin;
    let verified = keys
        .verify::<Ticket>(&ticket, issuer, app.now(), place)
        .map_err(|refusal| refused(app, "TicketRefused", &refusal))?;
    let mut connection = app.connection().await?;
    // Used up whatever comes now, so that nobody tries until it goes well.
    if !store::redeem(&mut connection, &verified.id, verified.expires_at).await? {
        let words = "the ticket was used before; lead the browser to the door again";
        return Err(refuse(app, "TicketUsed", words));
    }
    drop(connection);
    let token = &verified.token;
    let asked = Asked {
        session: &token.session,
        person: &token.person,
        host: &host,
    };
    let comer = find(app, asked).await?;
    let comer = comer.filter(|comer| comer.instance == token.instance);
    let comer = comer.ok_or_else(|| elsewhere(app, "TicketRefused"))?;
    let (pass, found) = let_in(app, &host, comer)?;
    let (text, ends_at) = sign(app, &keys, &pass)?;
    app.metrics.came("redeemed");
    Ok(told(Admitted {
        pass: Some(text),
        entry: entry(app, &keys, &pass, ends_at, found)?,
    }))
}

/// `POST /v1/door/enter`
pub async fn enter(State(port): State<Port>, body: Bytes) -> Result<Response, Problem> {
    let Enter { pass, host } = read(&body)?;
    let app = &port.app;
    let keys = app.keys.get().ok_or(Failure::NoKeys)?;
    let issuer = &app.settings.public_origin;
    let verified = keys
        .verify::<Pass>(&pass, issuer, app.now(), host.as_str())
        .map_err(|refusal| refused(app, "PassRefused", &refusal))?;
    let old = &verified.token;
    let asked = Asked {
        session: &old.session,
        person: &old.person,
        host: &host,
    };
    let found = tokio::time::timeout(PATIENCE, find(app, asked)).await;
    let comer = match found {
        Ok(Ok(comer)) => comer,
        // Apps go on while the database is away, for as long as passes that were given last.
        Err(_) | Ok(Err(Failure::DatabaseAway(_) | Failure::NotMigrated)) => {
            app.metrics.came("unchecked");
            return Ok(told(Admitted {
                pass: None,
                entry: entry(app, &keys, old, verified.expires_at, Found::default())?,
            }));
        }
        Ok(Err(failure)) => return Err(failure.into()),
    };
    let comer = comer.filter(|comer| comer.instance == old.instance);
    let comer = comer.ok_or_else(|| elsewhere(app, "PassRefused"))?;
    let (new, found) = let_in(app, &host, comer)?;
    app.metrics.came("entered");
    let (text, ends_at) = if is_due(&verified, app.now()) {
        let (text, ends_at) = sign(app, &keys, &new)?;
        (Some(text), ends_at)
    } else {
        (None, verified.expires_at)
    };
    Ok(told(Admitted {
        pass: text,
        entry: entry(app, &keys, &new, ends_at, found)?,
    }))
}

/// What is known of who comes. A session of somebody who uses an app is in use.
async fn find(app: &App, asked: Asked<'_>) -> Result<Option<Comer>, Failure> {
    let now = app.now();
    let mut connection = app.connection().await?;
    let comer = store::comer(&mut connection, asked, &app.settings.lifetimes, now).await?;
    if let Some(session) = comer.as_ref().and_then(|comer| comer.session.as_ref()) {
        sessions::store::touch(&mut connection, session, now).await?;
    }
    Ok(comer)
}

/// What a pass says of somebody who may come in, or why they may not.
fn let_in(app: &App, host: &str, comer: Comer) -> Result<(Pass, Found), Problem> {
    let Some(session) = comer.session else {
        let words = "the session has ended; the person has to sign in again";
        return Err(refuse(app, "SessionEnded", words));
    };
    if let Decision::Refuse(because) = comer.decision {
        let code = serde_json::to_value(because.code).map_err(Failure::Json)?;
        let words = because.words(&comer.names);
        return Err(refuse(app, "MayNot", &words)
            .with("code", code)
            .with("words", words));
    }
    // Who may open an app of an organization is something there.
    let (Some(organization), Some(role)) = (comer.organization, comer.role) else {
        let words = "the person is not in the organization of this app";
        return Err(refuse(app, "MayNot", words).with("words", words));
    };
    let person = session.person;
    let pass = Pass {
        host: host.to_owned(),
        session: session.uid,
        person: person.uid,
        email: person.email,
        name: person.name,
        organization,
        role: role.into(),
        instance: comer.instance,
        staff: person.is_staff,
    };
    let found = Found {
        is_admin: comer.is_admin,
        is_checked: true,
        version: comer.version,
    };
    Ok((pass, found))
}

/// Counts a refusal, and makes an answer of it.
fn refuse(app: &App, reason: &'static str, words: &str) -> Problem {
    app.metrics.came(reason);
    Problem::new(StatusCode::FORBIDDEN, reason, words)
}

/// By a check of the token. The code tells the gateway which; no visitor hears it.
fn refused(app: &App, reason: &'static str, refusal: &Refusal) -> Problem {
    tracing::info!(reason, "a token is not believed: {refusal}");
    refuse(app, reason, &refusal.to_string()).with("code", refusal.reason())
}

/// The hostname leads to another app by now, or to none.
fn elsewhere(app: &App, reason: &'static str) -> Problem {
    let words = "the hostname does not lead to the app of this token any more";
    refuse(app, reason, words).with("code", "OtherInstance")
}
