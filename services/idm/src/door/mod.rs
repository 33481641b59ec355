//! The gateway's door: how somebody who is signed in here comes to an app on another host.
//!
//! ```text
//! browser ── /door?to=… ──> http ── 303, ticket in the URL ──> gateway ── redeem ──> services: pass, entry
//! browser ── any request, pass in its cookie ────────────────> gateway ── enter ───> services: entry
//! ```
//!
//! A ticket is good for a minute, for one host and path, and once. A pass is good for one host and for as long as
//! its session lives. What an entry says was so at its version; whoever keeps it follows `/v1/changes`.
//! The rules of URLs: `place` (pure). Rows: `store`. What is said on the wire stands here.

pub mod http;
pub mod place;
pub mod services;
pub mod store;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokens::{Envelope, Identity, Instance, Pass, Token, Verified};

use crate::{app::App, error::Failure, identifier::Kind, keys};

/// A pass that is older is given anew with the next entry.
const RENEWED_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// A ticket that a browser brought.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redeem {
    pub ticket: String,
    /// The host and the path that were asked for.
    pub host: String,
    pub path: String,
}

/// A pass that a browser brought.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enter {
    pub pass: String,
    /// The host that was asked for.
    pub host: String,
}

/// Somebody may come in.
#[derive(Serialize)]
pub struct Admitted {
    /// For the browser, when it is a new one.
    pub pass: Option<String>,
    pub entry: Entry,
}

/// Who comes in.
#[derive(Serialize)]
pub struct Entry {
    /// For the app.
    pub identity: String,
    pub identity_ends_at: Timestamp,
    pub pass_ends_at: Timestamp,
    /// Whether they may change the instance.
    pub is_admin: bool,
    pub instance: Instance,
    /// Uid of the person.
    pub person: String,
    /// Whether the database was asked; otherwise the pass alone says so.
    pub is_checked: bool,
    /// Of what decided; 0 where nothing was asked.
    pub version: i64,
}

/// What was found out about who comes in.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    is_admin: bool,
    is_checked: bool,
    version: i64,
}

/// Whether a pass is old enough to be given anew.
fn is_due(pass: &Verified<Pass>, now: Timestamp) -> bool {
    pass.issued_at + RENEWED_AFTER <= now
}

/// What the app is told of somebody.
fn identity(pass: &Pass) -> Identity {
    Identity {
        person: pass.person.clone(),
        email: pass.email.clone(),
        name: pass.name.clone(),
        organization: pass.organization.clone(),
        role: pass.role,
        instance: pass.instance.clone(),
        staff: pass.staff,
    }
}

/// An entry for the holder of a pass.
fn entry(
    app: &App,
    keys: &keys::Read,
    pass: &Pass,
    pass_ends_at: Timestamp,
    found: Found,
) -> Result<Entry, Failure> {
    let (identity, identity_ends_at) = sign(app, keys, &identity(pass))?;
    Ok(Entry {
        identity,
        identity_ends_at,
        pass_ends_at,
        is_admin: found.is_admin,
        instance: pass.instance.clone(),
        person: pass.person.clone(),
        is_checked: found.is_checked,
        version: found.version,
    })
}

/// Signs a token for as long as its kind may live, and says when it ends.
fn sign<T: Token>(app: &App, keys: &keys::Read, token: &T) -> Result<(String, Timestamp), Failure> {
    let now = app.now();
    let envelope = Envelope {
        issuer: &app.settings.public_origin,
        id: &app.uid(Kind::Token),
        now,
        life: T::LONGEST_LIFE,
    };
    let text = keys.sign(token, &envelope).map_err(Failure::Sign)?;
    // Tokens count in whole seconds.
    let begun = now - SignedDuration::from_nanos(now.subsec_nanosecond().into());
    Ok((text, begun + T::LONGEST_LIFE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_is_written_as_the_documentation_has_it() {
        let admitted = Admitted {
            pass: None,
            entry: Entry {
                identity: "e.y.J".to_owned(),
                identity_ends_at: Timestamp::from_second(60).unwrap(),
                pass_ends_at: Timestamp::from_second(900).unwrap(),
                is_admin: false,
                instance: Instance {
                    organization: "acme".to_owned(),
                    name: "shop".to_owned(),
                },
                person: "usr-1".to_owned(),
                is_checked: true,
                version: 7,
            },
        };
        assert_eq!(
            serde_json::to_value(admitted).unwrap(),
            json!({
                "pass": null,
                "entry": {
                    "identity": "e.y.J", "identity_ends_at": "1970-01-01T00:01:00Z",
                    "pass_ends_at": "1970-01-01T00:15:00Z", "is_admin": false, "instance": "acme/shop",
                    "person": "usr-1", "is_checked": true, "version": 7,
                },
            })
        );
    }
}
