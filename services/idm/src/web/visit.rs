//! A visit: what is known of a request before its handler runs. Made once by `answer.rs`.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts, Request},
    http::{HeaderMap, Method, header, request::Parts},
};

use super::cookie::{self, Name};
use crate::{
    app::App,
    audit::{Actor, Origin},
    error::{Error, Failure, Rejection},
    language::{Language, Texts},
    secret::Token,
    sessions::{self, Session},
};

/// Characters of a user agent that are kept.
const LONGEST_USER_AGENT: usize = 300;
/// Bytes of a request's id that a proxy may choose.
const LONGEST_REQUEST_ID: usize = 64;

/// What is known of a request.
#[derive(Clone, Debug)]
pub struct Visit(Arc<Facts>);

/// See [`Visit`].
#[derive(Clone, Debug)]
pub struct Facts {
    /// In the log, in the answer and in the audit.
    pub request_id: String,
    pub address: String,
    pub user_agent: String,
    /// Whether a person reads the answer.
    pub wants_page: bool,
    /// Path and query, to come back to after a sign-in.
    pub target: String,
    pub session: Option<Session>,
    /// What forms are bound to.
    pub form_key: Option<Token>,
    /// Whether the browser does not know the key of its forms yet.
    pub is_form_key_new: bool,
    pub device: Option<Token>,
    pub ticket: Option<Token>,
    language: Language,
}

impl std::ops::Deref for Visit {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.0
    }
}

impl Visit {
    /// Looks at a request, and without a session.
    #[must_use]
    pub fn new(app: &App, request: &Request) -> Self {
        let headers = request.headers();
        let peer = request
            .extensions()
            .get::<ConnectInfo<SocketAddr>>()
            .map(|info| info.0.ip().to_canonical());
        let is_trusted = peer.is_some_and(|peer| app.is_trusted(peer));
        let given = text(headers, "x-request-id").filter(|_| is_trusted);
        let is_id = |id: &&str| {
            (1..=LONGEST_REQUEST_ID).contains(&id.len())
                && id
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        let address = peer.map(|peer| client(app, peer, headers).to_string());
        let form_key = cookie::read(headers, Name::Form);
        let is_form_key_new = form_key.is_none() && request.method() == Method::GET;
        Self(Arc::new(Facts {
            request_id: given
                .filter(is_id)
                .map_or_else(|| format!("{:032x}", rand::random::<u128>()), str::to_owned),
            address: address.unwrap_or_default(),
            user_agent: text(headers, header::USER_AGENT.as_str())
                .unwrap_or_default()
                .chars()
                .take(LONGEST_USER_AGENT)
                .collect(),
            wants_page: wants_page(request),
            target: request
                .uri()
                .path_and_query()
                .map(ToString::to_string)
                .unwrap_or_default(),
            session: None,
            form_key: form_key.or_else(|| is_form_key_new.then(|| app.token())),
            is_form_key_new,
            device: cookie::read(headers, Name::Device),
            ticket: cookie::read(headers, Name::Ticket),
            language: Language::preferred(text(headers, "accept-language").unwrap_or_default()),
        }))
    }

    /// The same visit with the session that its cookie stands for, if it lives.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn with_session(self, app: &App, token: Token) -> Result<Self, Failure> {
        let now = app.now();
        let mut connection = app.connection().await?;
        let found = sessions::store::find(
            &mut connection,
            &token.digest(),
            &app.settings.lifetimes,
            now,
        )
        .await?;
        if let Some(session) = &found {
            sessions::store::touch(&mut connection, session, now).await?;
        }
        drop(connection);
        let Some(session) = found else {
            return Ok(self);
        };
        let facts = Facts {
            language: session.person.locale,
            session: Some(session),
            form_key: Some(token),
            is_form_key_new: false,
            ..Facts::clone(&self.0)
        };
        Ok(Self(Arc::new(facts)))
    }

    /// The person's language, or the browser's.
    #[must_use]
    pub fn language(&self) -> Language {
        self.language
    }

    #[must_use]
    pub fn texts(&self) -> &'static Texts {
        self.language.texts()
    }

    /// For the audit.
    #[must_use]
    pub fn origin(&self) -> Origin<'_> {
        Origin {
            address: Some(&self.address),
            request: Some(&self.request_id),
        }
    }

    /// For the audit.
    #[must_use]
    pub fn actor(&self) -> Actor<'_> {
        let person = self
            .session
            .as_ref()
            .map(|session| session.person.uid.as_str());
        person.map_or(Actor::Visitor, Actor::Person)
    }
}

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        // `answer.rs` stands before every handler.
        parts
            .extensions
            .get()
            .cloned()
            .ok_or(Error::Failed(Failure::TooSlow))
    }
}

/// The session of somebody who is signed in; strangers are refused.
#[derive(Clone, Debug)]
pub struct SignedIn(pub Session);

impl<S: Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let visit = Visit::from_request_parts(parts, state).await?;
        let session = visit.session.clone().ok_or(Rejection::NotSignedIn)?;
        Ok(Self(session))
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Paths below /v1/ are for programs; elsewhere browsers name text/html, programs do not.
fn wants_page(request: &Request) -> bool {
    let is_program = request.uri().path().starts_with("/v1/");
    !is_program
        && text(request.headers(), "accept").is_some_and(|accept| accept.contains("text/html"))
}

/// Who asks: the last address in X-Forwarded-For that is not a trusted proxy's, as long as each one behind
/// it is. What stands before it anybody can have written.
fn client(app: &App, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let forwarded: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    let mut client = peer;
    for hop in forwarded.iter().rev() {
        if !app.is_trusted(client) {
            break;
        }
        let Ok(address) = hop.trim().parse::<IpAddr>() else {
            break;
        };
        client = address.to_canonical();
    }
    client
}
