//! The certificate authorities of the configuration: our accounts there, which of them is asked
//! now, and whose turn it is.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use crds::labels;
use instant_acme::{AccountCredentials, Error, ExternalAccountKey};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
};
use plan::domain::{
    certificate::Place,
    limits::{Budget, Limits, Request},
};
use service::telemetry::with_causes;
use tokio::sync::Mutex as AsyncMutex;

use super::{
    acme::Authority,
    config::{Directory, LimitsConfig},
};

/// An authority that does not answer is left alone this long, and the next one is asked; twice as
/// long after each further silence.
const AWAY: SignedDuration = SignedDuration::from_mins(5);
/// And no longer than that: a month of silence costs no more than 35 tries.
const LONGEST_AWAY: SignedDuration = SignedDuration::from_hours(30);
/// On the Secret of an account: the number of its key.
const KEY_GENERATION: &str = "tutti.dev/key-generation";
/// Our own cluster is asked again.
const CLUSTER_AGAIN: SignedDuration = SignedDuration::from_secs(10);
/// The key of a Secret that an account lies in.
const ACCOUNT: &str = "account.json";

/// All authorities, in order of preference.
pub struct Authorities {
    all: Vec<Known>,
    secrets: Api<Secret>,
}

/// Why a step was not done, in words for the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setback {
    /// It passes: the step is tried again, not before `until` where the authority says so.
    Trouble {
        /// What is wrong.
        message: String,
        /// From when on it may be asked.
        until: Option<Timestamp>,
    },
    /// The authority does not want this order: it counts as failed.
    Refusal(String),
    /// The authority does not know the order (any more): another one is made.
    Gone,
}

impl fmt::Display for Setback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trouble { message, .. } | Self::Refusal(message) => f.write_str(message),
            Self::Gone => f.write_str("the authority does not know it"),
        }
    }
}

struct Known {
    directory: Directory,
    authority: AsyncMutex<Option<Arc<Authority>>>,
    state: Mutex<State>,
}

impl Known {
    fn is_away(&self, now: Timestamp) -> Option<Setback> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, message) = state.away.as_ref()?;
        (*until > now).then(|| trouble(message.clone(), *until))
    }

    /// It does not answer. Of many who find that out at once the first counts.
    fn silent(&self, words: String, until: Option<Timestamp>, now: Timestamp) -> Setback {
        if let Some(setback) = self.is_away(now) {
            return setback;
        }
        let name = &self.directory.name;
        let message = format!("{name} does not answer as it should: {words}");
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let until = until.unwrap_or_else(|| now + away_for(state.silences));
        state.silences += 1;
        state.away = Some((until, message.clone()));
        trouble(message, until)
    }
}

struct State {
    /// Names whose limits the authority told.
    refused: HashMap<String, Timestamp>,
    away: Option<(Timestamp, String)>,
    /// In a row.
    silences: u32,
    budget: Budget,
    waiting: HashMap<String, Request>,
}

impl Authorities {
    /// Those of the configuration, with accounts in Secrets of this namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str, directories: &[Directory]) -> Self {
        let known = |directory: &Directory| Known {
            directory: directory.clone(),
            authority: AsyncMutex::default(),
            state: Mutex::new(State {
                refused: HashMap::new(),
                away: None,
                silences: 0,
                budget: Budget::new(match directory.limits {
                    LimitsConfig::LetsEncrypt => Limits::lets_encrypt(),
                    LimitsConfig::None => Limits::default(),
                }),
                waiting: HashMap::new(),
            }),
        };
        Self {
            all: directories.iter().map(known).collect(),
            secrets: Api::namespaced(client, namespace),
        }
    }

    /// Whether there is any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The first that is not away; the first of all when all are.
    #[must_use]
    pub fn preferred(&self, now: Timestamp) -> Option<&Directory> {
        let is_there = |known: &&Known| {
            let state = known.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.away.as_ref().is_none_or(|(until, _)| *until <= now)
        };
        let first = self.all.iter().find(is_there).or_else(|| self.all.first());
        first.map(|known| &known.directory)
    }

    /// Whether one of them may be asked.
    #[must_use]
    pub fn is_there(&self, now: Timestamp) -> bool {
        self.all.iter().any(|known| {
            let state = known.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.away.as_ref().is_none_or(|(until, _)| *until <= now)
        })
    }

    fn known(&self, name: &str) -> Result<&Known, Error> {
        self.all
            .iter()
            .find(|known| known.directory.name == name)
            .ok_or(Error::Str("the authority is not configured any more"))
    }

    /// An authority with our account, which is made when there is none.
    async fn get(&self, name: &str) -> Result<Arc<Authority>, Error> {
        let known = self.known(name)?;
        let mut place = known.authority.lock().await;
        if let Some(authority) = &*place {
            return Ok(authority.clone());
        }
        let authority = Arc::new(self.open(&known.directory).await?);
        *place = Some(authority.clone());
        Ok(authority)
    }

    async fn open(&self, directory: &Directory) -> Result<Authority, Error> {
        let name = account_secret(&directory.name);
        let found = self.secrets.get_opt(&name).await.map_err(other)?;
        if let Some(saved) = found.as_ref().and_then(|secret| saved(secret, directory)) {
            let mut authority = Authority::restore(directory, saved.credentials).await?;
            if saved.generation < directory.key_generation {
                let credentials = authority.change_key().await?;
                self.save(directory, &credentials).await?;
                tracing::info!(authority = directory.name, "the account has another key");
            }
            return Ok(authority);
        }
        let binding = match &directory.external_account_secret {
            Some(secret) => Some(self.binding(secret).await?),
            None => None,
        };
        let (authority, credentials) = Authority::register(directory, binding.as_ref()).await?;
        self.save(directory, &credentials).await?;
        tracing::info!(authority = directory.name, "an account was made");
        Ok(authority)
    }

    async fn save(
        &self,
        directory: &Directory,
        credentials: &AccountCredentials,
    ) -> Result<(), Error> {
        let name = account_secret(&directory.name);
        let data = BTreeMap::from([(ACCOUNT, ByteString(serde_json::to_vec(credentials)?))]);
        let secret = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "labels": { labels::COMPONENT: "acme-account" },
                "annotations": { KEY_GENERATION: directory.key_generation.to_string() },
            },
            "data": data,
        });
        let params = PatchParams::apply(labels::MANAGER).force();
        let patch = Patch::Apply(&secret);
        // What is not saved is lost with the process: an account, or its only key.
        let mut tries = 0;
        loop {
            match self.secrets.patch(&name, &params, &patch).await {
                Ok(_) => return Ok(()),
                Err(error) if tries >= 5 => return Err(other(error)),
                Err(_) => tries += 1,
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }

    async fn binding(&self, name: &str) -> Result<ExternalAccountKey, Error> {
        let secret = self.secrets.get(name).await.map_err(other)?;
        let part = |key: &str| {
            let data = secret.data.as_ref().and_then(|data| data.get(key));
            data.map(|bytes| String::from_utf8_lossy(&bytes.0).trim().to_owned())
        };
        let id = part("keyId").ok_or(Error::Str("externalAccountSecret has no keyId"))?;
        let key = part("key").ok_or(Error::Str("externalAccountSecret has no key"))?;
        let key = URL_SAFE_NO_PAD
            .decode(key.trim_end_matches('='))
            .map_err(|_| Error::Str("key of externalAccountSecret is not base64url"))?;
        Ok(ExternalAccountKey::new(id, &key))
    }

    /// Takes note of what an authority said against a step. One that does not answer is away; one
    /// that does not know our account gets a new one next time.
    pub async fn failed(
        &self,
        name: &str,
        hostname: &str,
        error: &Error,
        now: Timestamp,
    ) -> Setback {
        let Ok(known) = self.known(name) else {
            return Setback::Gone;
        };
        let mut authority = known.authority.lock().await;
        let (problem, status) = match error {
            Error::Api(problem) => (
                problem.r#type.as_deref().unwrap_or_default(),
                problem.status.unwrap_or_default(),
            ),
            _ => ("", 0),
        };
        let refused_until = authority
            .as_ref()
            .filter(|_| matches!(status, 429 | 503))
            .and_then(|it| it.refused_until())
            .filter(|until| *until > now);
        if problem.ends_with(":accountDoesNotExist") {
            *authority = None;
            let name = account_secret(name);
            let gone = self.secrets.delete(&name, &DeleteParams::default()).await;
            if let Err(error) = gone {
                tracing::warn!(%error, "the account that the authority has forgotten stays");
            }
        }
        drop(authority);
        let words = words(error);
        match error {
            // Of this order alone.
            Error::Str(_) => return Setback::Refusal(format!("{name}: {words}")),
            // It is our own cluster that does not answer.
            Error::Other(cause) if cause.is::<kube::Error>() => {
                return trouble(words, now + CLUSTER_AGAIN);
            }
            Error::Api(_) if status < 500 => {}
            _ => return known.silent(words, refused_until, now),
        }
        let mut state = known.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = refused_until {
            // Which limit it is stands in its words only; most are of a name or a domain.
            if words.contains("account") || words.contains("new orders") {
                state.budget.refused(until);
            } else {
                state.refused.insert(hostname.to_owned(), until);
            }
            return trouble(format!("{name}: {words}"), until);
        }
        if [":accountDoesNotExist", ":badNonce"]
            .iter()
            .any(|kind| problem.ends_with(kind))
        {
            return Setback::Trouble {
                message: format!("{name}: {words}"),
                until: None,
            };
        }
        if status == 404 {
            return Setback::Gone;
        }
        // Also a limit that does not say until when: each try costs more time than the one before.
        Setback::Refusal(format!("{name}: {words}"))
    }

    /// An authority has answered.
    pub fn answered(&self, name: &str) {
        if let Ok(known) = self.known(name) {
            let mut state = known.state.lock().unwrap_or_else(PoisonError::into_inner);
            (state.away, state.silences) = (None, 0);
        }
    }

    /// Somebody wants them to be asked now, whoever was silent.
    pub fn ask_again(&self) {
        for known in &self.all {
            let mut state = known.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.away = None;
        }
    }

    /// An authority that may be asked now. One that has no account for us is as good as away.
    ///
    /// # Errors
    /// It did not answer lately, or does not now.
    pub async fn reach(&self, name: &str, now: Timestamp) -> Result<Arc<Authority>, Setback> {
        let Ok(known) = self.known(name) else {
            return Err(Setback::Gone);
        };
        if let Some(setback) = known.is_away(now) {
            return Err(setback);
        }
        match self.get(name).await {
            Ok(authority) => Ok(authority),
            Err(error) => Err(known.silent(words(&error), None, now)),
        }
    }

    /// The address of our account, where it is known.
    #[must_use]
    pub fn account_url(&self, name: &str) -> Option<String> {
        let authority = self.known(name).ok()?.authority.try_lock().ok()?;
        Some(authority.as_ref()?.account_url().to_owned())
    }

    /// How long the line of an authority is, and how many orders its limits leave.
    #[must_use]
    pub fn line(&self, name: &str, now: Timestamp) -> (usize, Option<u32>) {
        let Ok(known) = self.known(name) else {
            return (0, None);
        };
        let state = known.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.waiting.len(), state.budget.orders_left(now))
    }

    /// A place in the line of an authority, or none when it may be asked now: then it counts as
    /// ordered.
    ///
    /// # Errors
    /// There is no such authority any more.
    pub fn turn(
        &self,
        name: &str,
        request: &Request,
        now: Timestamp,
    ) -> Result<Option<Place>, Error> {
        let known = self.known(name)?;
        let mut state = known.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.refused.retain(|_, until| *until > now);
        if let Some(until) = state.refused.get(&request.hostname) {
            return Ok(Some(Place {
                number: 1,
                turn: *until,
                limit: "this name or its domain, as the authority says,".to_owned(),
            }));
        }
        state
            .waiting
            .insert(request.hostname.clone(), request.clone());
        let waiting: Vec<Request> = state.waiting.values().cloned().collect();
        let forecast = state.budget.forecast(&waiting, now);
        let own = forecast
            .iter()
            .find(|(hostname, _, _)| *hostname == request.hostname)
            .map_or((1, now), |(_, number, turn)| (*number, *turn));
        if own.1 <= now {
            state.budget.ordered(request, now);
            state.waiting.remove(&request.hostname);
            return Ok(None);
        }
        let limit = state.budget.wait(request, now);
        Ok(Some(Place {
            number: own.0,
            turn: own.1,
            limit: limit
                .map_or("orders of the account", |wait| wait.limit)
                .to_owned(),
        }))
    }

    /// It does not wait any more.
    pub fn leave(&self, hostname: &str) {
        for known in &self.all {
            let mut state = known.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.waiting.remove(hostname);
        }
    }

    /// An order that was made in an earlier life.
    pub fn remember(&self, name: &str, request: &Request, at: Timestamp) {
        if let Ok(known) = self.known(name) {
            let mut state = known.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.budget.ordered(request, at);
        }
    }

    /// A validation failed.
    pub fn refused(&self, name: &str, hostname: &str, at: Timestamp) {
        if let Ok(known) = self.known(name) {
            let mut state = known.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.budget.failed(hostname, at);
        }
    }
}

/// How long an authority is left alone after so many silences before this one.
fn away_for(silences: u32) -> SignedDuration {
    AWAY.checked_mul(1 << silences.min(10))
        .map_or(LONGEST_AWAY, |wait| wait.min(LONGEST_AWAY))
}

/// An account as it was saved.
struct Saved {
    credentials: AccountCredentials,
    generation: u32,
}

/// `None` when there is none, or it is of another directory.
fn saved(secret: &Secret, directory: &Directory) -> Option<Saved> {
    let text = &secret.data.as_ref()?.get(ACCOUNT)?.0;
    let value: serde_json::Value = serde_json::from_slice(text).ok()?;
    let annotations = secret.metadata.annotations.as_ref();
    let generation = annotations.and_then(|all| all.get(KEY_GENERATION)?.parse().ok());
    let credentials = serde_json::from_slice(text).ok()?;
    (value["directory"] == directory.url.as_str()).then_some(Saved {
        credentials,
        generation: generation.unwrap_or_default(),
    })
}

fn trouble(message: String, until: Timestamp) -> Setback {
    Setback::Trouble {
        message: format!("{message}; it is asked again at {}", time(until)),
        until: Some(until),
    }
}

fn account_secret(name: &str) -> String {
    format!("acme-account-{name}")
}

fn other(error: kube::Error) -> Error {
    Error::Other(Box::new(error))
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// An error with its causes, which the client's own words leave out.
fn words(error: &Error) -> String {
    let text = match error {
        Error::Api(problem) => problem
            .detail
            .clone()
            .unwrap_or_else(|| problem.to_string()),
        Error::Json(_) => {
            "what it says is no JSON; is its url that of an ACME directory?".to_owned()
        }
        Error::Timeout(_) => "no answer in time".to_owned(),
        other => other.to_string(),
    };
    with_causes(text, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_of_silence_costs_no_more_than_35_tries() {
        let mut passed = SignedDuration::ZERO;
        let mut tries = 0;
        while passed < SignedDuration::from_hours(30 * 24) {
            passed += away_for(tries);
            tries += 1;
        }
        assert!((20..=35).contains(&tries), "{tries}");
        assert_eq!(away_for(0), AWAY);
        assert_eq!(away_for(u32::MAX), LONGEST_AWAY);
    }

    #[test]
    fn what_is_no_acme_directory_is_said_to_be_none() {
        let html = serde_json::from_str::<u8>("<html>").unwrap_err();
        assert!(words(&Error::Json(html)).contains("ACME directory"));
    }
}
