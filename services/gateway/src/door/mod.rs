//! The door: who may pass where not everybody may. idm knows; the gateway asks it once and remembers the
//! answer for as long as nothing has changed that decides it.
//!
//! ```text
//! no pass ──> idm/door ── signs in ──> back with a ticket in the query ──redeem──> a pass in a cookie
//! a pass  ──> remembered, and nothing has changed since ──> on to the backend, with X-Tutti-Identity
//!         └─> else idm is asked (enter): in, to sign in again, or not at all
//! ```
//!
//! A ticket is good only in the browser that was led to idm: it comes back with a state that this browser has
//! in a cookie. Else somebody could sign others in as themselves, and read what those then write.
//!
//! Neither tickets nor passes are read here: idm signed them, and idm says what they are worth.
//! `changes.rs` follows the version of everything that decides who may do what; an answer of an older
//! version is asked for anew. While idm does not answer, what was answered before holds for members until
//! their pass ends, and for admins [`SILENCE`] at most.

mod changes;
mod cookie;
mod idm;
mod remembered;
mod ticket;

use std::{sync::Arc, time::Duration};

use crds::route::Access;
use http::{HeaderMap, HeaderValue, Method, Uri};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{errors::Refusal, metrics::DoorMetrics, routes::table::Target};
pub use cookie::strip;
use idm::{Idm, NoAnswer};
use remembered::{Key, Remembered};
use ticket::Return;

/// What is not heard of idm for so long is taken as silence.
pub const SILENCE: Duration = Duration::from_secs(5);
/// While idm does not answer it is asked this often, and not for each request.
const ASKED_AGAIN: Duration = Duration::from_secs(1);
/// An answer of idm's that it could not check is asked for again after this.
const UNCHECKED: Duration = Duration::from_secs(2);
/// An identity is fetched anew before it ends: the backend reads it a moment later.
const AHEAD: Duration = Duration::from_secs(10);

/// Where idm is.
#[derive(Clone, Debug)]
pub struct Address {
    /// Where people sign in, such as `https://id.example.com`.
    pub sign_in: String,
    /// Where services ask, such as `http://idm-services.tutti-system.svc:8082`.
    pub services: String,
    /// The file with our ServiceAccount's token for the audience `tutti-idm`.
    pub token: std::path::PathBuf,
}

/// The way in where not everybody may pass.
pub struct Door {
    sign_in: String,
    idm: Idm,
    remembered: Remembered,
    news: changes::News,
    metrics: DoorMetrics,
}

/// Somebody who may pass.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// What the backend is told of them; `None` when there is nothing that it could believe.
    pub identity: Option<HeaderValue>,
    /// A cookie for the browser, where it gets another one.
    pub cookie: Option<HeaderValue>,
}

/// What becomes of somebody who may not pass as they are.
#[derive(Debug)]
pub enum Turn {
    /// To the same page once more, without what only concerned us.
    Back { to: String, cookie: HeaderValue },
    /// To idm, and back.
    SignIn {
        to: String,
        /// The state that comes back with the ticket.
        cookie: Option<HeaderValue>,
    },
    /// No further.
    Refused(Refusal),
}

/// A request as the door sees it.
pub struct Caller<'a> {
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
    pub uri: &'a Uri,
    /// In lower case, without port.
    pub host: &'a str,
    /// The address that its page has in the browser, without path.
    pub origin: &'a str,
    pub request_id: &'a HeaderValue,
}

impl Door {
    #[must_use]
    pub fn new(address: Address, metrics: DoorMetrics) -> Arc<Self> {
        Arc::new(Self {
            sign_in: address.sign_in,
            idm: Idm::new(address.services, address.token),
            remembered: Remembered::default(),
            news: changes::News::default(),
            metrics,
        })
    }

    /// Follows what changes until it is told to end.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let following = changes::follow(&self.idm, &self.news, &self.metrics.connected);
        stop.run_until_cancelled(following).await;
    }

    /// Lets somebody pass, or says what becomes of them.
    ///
    /// # Errors
    /// Where they are led, or why they may not pass.
    pub async fn admit(&self, target: &Target, caller: &Caller<'_>) -> Result<Visitor, Turn> {
        let Some(instance) = target.instance.as_deref() else {
            return Err(Turn::Refused(Refusal::SignInNotAvailable));
        };
        if let Some(back) = ticket::take(caller.uri)
            && *caller.method == Method::GET
        {
            return Err(self.redeem(caller, &back).await);
        }
        let Some(pass) = cookie::pass(caller.headers) else {
            return Err(self.sign_in(caller));
        };
        let needs_admin = target.access == Access::Admins;
        let known = self.enter(caller.host, pass, needs_admin).await;
        let Entered { entry, cookie } = known.map_err(|refused| self.turn(caller, refused))?;
        if *entry.instance != *instance {
            // The host has become another app's since.
            return Err(self.sign_in(caller));
        }
        if needs_admin && !entry.is_admin {
            return Err(Turn::Refused(Refusal::ForAdmins));
        }
        let is_good = Instant::now() < entry.identity_until;
        Ok(Visitor {
            identity: entry.identity.filter(|_| is_good),
            cookie,
        })
    }

    /// A ticket becomes a pass, once.
    async fn redeem(&self, caller: &Caller<'_>, back: &Return<'_>) -> Turn {
        let state = cookie::state(caller.headers);
        if state.is_none() || state != back.state {
            let code = "OtherBrowser".to_owned();
            return self.turn(caller, NoAnswer::Ticket { code });
        }
        let answer = self
            .idm
            .redeem(back.ticket, caller.host, caller.uri.path())
            .await;
        self.metrics.answered(idm::name(&answer));
        let redeemed = match answer {
            Ok(redeemed) => redeemed,
            Err(refused) => return self.turn(caller, refused),
        };
        let Some(cookie) = redeemed.pass.as_deref().and_then(cookie::keep_pass) else {
            return Turn::Refused(Refusal::SignInAway);
        };
        Turn::Back {
            to: format!("{}{}", caller.origin, back.rest),
            cookie,
        }
    }

    /// What a pass is worth now.
    async fn enter(&self, host: &str, pass: &str, needs_admin: bool) -> Result<Entered, NoAnswer> {
        let key = Key::of(host, pass);
        if let Some(entry) = self.remembered.fresh(&key, &self.news) {
            return Ok(Entered::known(entry));
        }
        // Of all requests of one page, one asks.
        let _turn = self.remembered.turn(&key).await;
        if let Some(entry) = self.remembered.fresh(&key, &self.news) {
            return Ok(Entered::known(entry));
        }
        let answer = if self.news.is_resting(ASKED_AGAIN) {
            Err(NoAnswer::Away)
        } else {
            let version = self.news.version();
            let answer = self.idm.enter(pass, host).await;
            self.metrics.answered(idm::name(&answer));
            answer.map(|answer| (answer, version))
        };
        match answer {
            Ok((answer, version)) => {
                self.news.answers();
                let cookie = answer.pass.as_deref().and_then(cookie::keep_pass);
                let entry = answer.into_entry(version, UNCHECKED);
                self.remembered.put(key, entry.clone());
                Ok(Entered { entry, cookie })
            }
            Err(NoAnswer::Away) => {
                self.news.is_away();
                let known = self.remembered.known(&key);
                let entry = known.filter(|entry| {
                    Instant::now() < entry.pass_until && !(needs_admin && self.news.is_silent())
                });
                entry.map(Entered::known).ok_or(NoAnswer::Away)
            }
            Err(refused) => {
                self.remembered.forget(&key);
                Err(refused)
            }
        }
    }

    fn turn(&self, caller: &Caller<'_>, refused: NoAnswer) -> Turn {
        match refused {
            NoAnswer::Away => Turn::Refused(Refusal::SignInAway),
            NoAnswer::MayNot { words } => Turn::Refused(Refusal::MayNotOpen { words }),
            NoAnswer::Ticket { code } => {
                // Why is for us: whoever tries out tickets learns nothing.
                let request_id = caller.request_id.to_str().unwrap_or_default();
                tracing::info!(host = caller.host, code, request_id, "a ticket is refused");
                Turn::Refused(Refusal::TicketNotGood)
            }
            NoAnswer::SignIn => self.sign_in(caller),
        }
    }

    /// To idm and back here. What is no page cannot be led there: it is told that it has to sign in.
    fn sign_in(&self, caller: &Caller<'_>) -> Turn {
        let is_page = matches!(*caller.method, Method::GET | Method::HEAD)
            && crate::pages::prefers_html(caller.headers.get(http::header::ACCEPT));
        if !is_page {
            return Turn::Refused(Refusal::NotSignedIn);
        }
        // All windows of a browser have the same one: none outdates another.
        let known = cookie::state(caller.headers);
        let new = || format!("{:032x}", rand::random::<u128>());
        let state = known.map_or_else(new, str::to_owned);
        let rest = ticket::with_state(caller.uri, &state);
        let to = form_urlencoded::Serializer::new(String::new())
            .append_pair("to", &format!("{}{rest}", caller.origin))
            .finish();
        Turn::SignIn {
            to: format!("{}/door?{to}", self.sign_in),
            cookie: cookie::keep_state(&state),
        }
    }
}

/// A pass is worth this, and perhaps another one.
struct Entered {
    entry: remembered::Entry,
    cookie: Option<HeaderValue>,
}

impl Entered {
    fn known(entry: remembered::Entry) -> Self {
        Self {
            entry,
            cookie: None,
        }
    }
}
