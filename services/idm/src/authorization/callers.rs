//! Who asks: a service of the platform, which shows the token of its ServiceAccount. The API server says
//! whose it is (TokenReview); what it said is remembered for a little while.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::{Api, Client, api::PostParams};

use crate::secret::Digest;

/// Whom the tokens are for: one that is for the API server is not taken.
pub const AUDIENCE: &str = "tutti-idm";
/// How long it is remembered whose a token is.
const REMEMBERED: Duration = Duration::from_secs(60);
/// And that it is nobody's: guesses cost the API server nothing.
const REMEMBERED_REFUSAL: Duration = Duration::from_secs(5);
/// More tokens than services have; a flood of guesses does not fill the memory.
const MOST: usize = 1_000;

/// Who may ask.
pub struct Callers {
    api: Api<TokenReview>,
    /// `system:serviceaccount:<namespace>:<name>`
    allowed: Vec<String>,
    known: Mutex<HashMap<Digest, (Instant, Caller)>>,
}

/// Whose a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A service that may ask, by the name that the cluster knows it by.
    Service(String),
    /// Somebody who may not.
    Other(String),
    /// Nobody.
    Nobody,
}

impl Callers {
    /// Those ServiceAccounts, each as `namespace:name`.
    #[must_use]
    pub fn new(client: Client, services: &[String]) -> Self {
        let allowed = services
            .iter()
            .map(|service| format!("system:serviceaccount:{service}"))
            .collect();
        Self {
            api: Api::all(client),
            allowed,
            known: Mutex::default(),
        }
    }

    /// Whose a token is.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn identify(&self, token: &str) -> Result<Caller, kube::Error> {
        let digest = Digest::of(token.as_bytes());
        if let Some(caller) = self.remembered(&digest) {
            return Ok(caller);
        }
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences: Some(vec![AUDIENCE.to_owned()]),
            },
            ..TokenReview::default()
        };
        let status = self
            .api
            .create(&PostParams::default(), &review)
            .await?
            .status;
        let status = status.unwrap_or_default();
        let is_for_us = status
            .audiences
            .is_some_and(|all| all.iter().any(|one| one == AUDIENCE));
        let name = status.user.and_then(|user| user.username);
        let caller = match name.filter(|_| status.authenticated == Some(true) && is_for_us) {
            Some(name) if self.allowed.contains(&name) => Caller::Service(name),
            Some(name) => Caller::Other(name),
            None => Caller::Nobody,
        };
        self.remember(digest, caller.clone());
        Ok(caller)
    }

    fn remembered(&self, digest: &Digest) -> Option<Caller> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, caller) = known.get(digest)?;
        (at.elapsed() < patience(caller)).then(|| caller.clone())
    }

    fn remember(&self, digest: Digest, caller: Caller) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (at, caller)| at.elapsed() < patience(caller));
        }
        if known.len() < MOST {
            known.insert(digest, (Instant::now(), caller));
        }
    }
}

fn patience(caller: &Caller) -> Duration {
    match caller {
        Caller::Service(_) => REMEMBERED,
        Caller::Other(_) | Caller::Nobody => REMEMBERED_REFUSAL,
    }
}
