//! The certificate authorities of the configuration: our accounts there, which of them is asked
//! now, and whose turn it is.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
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
    certificate::minute,
    limits::{self, Request},
    line::{Line, Turn},
};
use service::telemetry::with_causes;
use tokio::sync::Mutex as AsyncMutex;

use super::{
    acme::{Authority, is_account_lost, is_bad_nonce, refused_until},
    config::Directory,
    insist,
};

/// An authority that does not answer is left alone this long, and the next one is asked; three times
/// as long after each further silence.
const AWAY: SignedDuration = SignedDuration::from_secs(20);
/// And no longer than that: a month of silence costs no more than 35 tries.
const LONGEST_AWAY: SignedDuration = SignedDuration::from_hours(30);
/// On the Secret of an account: the number of its key.
const KEY_GENERATION: &str = "tutti.dev/key-generation";
/// On the Secret of an account: whom the authority may write to, as it was told.
const CONTACTS: &str = "tutti.dev/contacts";
/// One that refuses every nonce is asked again; a try is some thirty requests already.
const NONCE_AGAIN: SignedDuration = SignedDuration::from_secs(3);
/// Our own cluster is asked again.
const CLUSTER_AGAIN: SignedDuration = SignedDuration::from_secs(10);
/// The key of a Secret that an account lies in.
const ACCOUNT: &str = "account.json";

/// All authorities, in order of preference.
pub struct Authorities {
    all: Vec<Known>,
    secrets: Api<Secret>,
}

/// What was asked of an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// An order: an error of the authority's own is everybody's.
    Order,
    /// A step of an order, or what is to become of a certificate: an error may be of this one alone.
    Step,
}

/// Which authority a name waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor<'a> {
    /// No order is under way, and none is due.
    Nobody,
    /// One is due: the first that is there.
    Anybody,
    /// One is under way there.
    One(&'a str),
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
    /// The authority has paused the name: it is tried again then.
    Paused {
        /// What it said.
        words: String,
        /// When.
        until: Timestamp,
    },
    /// The authority does not know the order (any more): another one is made.
    Gone,
}

impl fmt::Display for Setback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trouble { message, .. } | Self::Refusal(message) => f.write_str(message),
            Self::Paused { words, .. } => f.write_str(words),
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
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_away(&self, now: Timestamp) -> Option<Setback> {
        let state = self.state();
        let away = state.away.as_ref().filter(|away| away.until > now)?;
        Some(trouble(away.message.clone(), away.until))
    }

    fn is_there(&self, now: Timestamp) -> bool {
        let state = self.state();
        state.away.as_ref().is_none_or(|away| away.until <= now)
    }

    /// It does not answer. Of many who find that out at once the first counts.
    fn silent(&self, words: String, until: Option<Timestamp>, now: Timestamp) -> Setback {
        if let Some(setback) = self.is_away(now) {
            return setback;
        }
        let name = &self.directory.name;
        let message = format!("{name} does not answer as it should: {words}");
        let mut state = self.state();
        let is_wished = until.is_some();
        let until = until.unwrap_or_else(|| now + away_for(state.silences));
        state.silences += 1;
        state.away = Some(Away {
            until,
            message: message.clone(),
            is_wished,
        });
        trouble(message, until)
    }

    /// Whether an error of its own at a step is of this name alone, as far as is known: another name had
    /// none since it last answered.
    fn is_of_this_name(&self, hostname: &str) -> bool {
        let mut state = self.state();
        state.stumbled.get_or_insert_with(|| hostname.to_owned()) == hostname
    }
}

/// An authority is left alone.
struct Away {
    until: Timestamp,
    message: String,
    /// It said so itself.
    is_wished: bool,
}

struct State {
    away: Option<Away>,
    /// In a row.
    silences: u32,
    /// Accounts that it did not know, in a row.
    losses: u32,
    /// The name at a step of whose order it had an error of its own, since it last answered.
    stumbled: Option<String>,
    line: Line,
}

impl Authorities {
    /// Those of the configuration, with accounts in Secrets of this namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str, directories: &[Directory]) -> Self {
        let known = |directory: &Directory| Known {
            directory: directory.clone(),
            authority: AsyncMutex::default(),
            state: Mutex::new(State {
                away: None,
                silences: 0,
                losses: 0,
                stumbled: None,
                line: Line::new(directory.limits.limits()),
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
        let first = self.all.iter().find(|known| known.is_there(now));
        first
            .or_else(|| self.all.first())
            .map(|known| &known.directory)
    }

    /// Whether one of them may be asked.
    #[must_use]
    pub fn is_there(&self, now: Timestamp) -> bool {
        self.all.iter().any(|known| known.is_there(now))
    }

    fn known(&self, name: &str) -> Result<&Known, Error> {
        self.all
            .iter()
            .find(|known| known.directory.name == name)
            .ok_or(Error::Str("the authority is not configured any more"))
    }

    async fn open(&self, directory: &Directory) -> Result<Authority, Error> {
        let name = account_secret(&directory.name);
        let found = self.secrets.get_opt(&name).await.map_err(other)?;
        if let Some(saved) = found.as_ref().and_then(|secret| saved(secret, directory)) {
            match self.reopen(directory, saved).await {
                Err(error) if is_account_lost(&error) => {
                    self.forget_account(&directory.name).await;
                }
                opened => return opened,
            }
        }
        let binding = match &directory.external_account_secret {
            Some(secret) => Some(self.binding(secret).await?),
            None => None,
        };
        let (authority, credentials) = Authority::register(directory, binding.as_ref()).await?;
        let told = contacts(directory);
        self.save(directory, &credentials, &told).await?;
        tracing::info!(authority = directory.name, "an account was made");
        Ok(authority)
    }

    async fn reopen(&self, directory: &Directory, saved: Saved) -> Result<Authority, Error> {
        let mut authority = Authority::restore(directory, saved.credentials).await?;
        if saved.generation < directory.key_generation {
            self.change_key(directory, &mut authority, &saved.contacts)
                .await?;
        }
        if saved.contacts != contacts(directory) {
            self.tell_contacts(directory, &authority).await?;
        }
        Ok(authority)
    }

    async fn forget_account(&self, authority: &str) {
        tracing::warn!(
            authority,
            "it does not know our account any more; another one is made"
        );
        let name = account_secret(authority);
        let gone = self.secrets.delete(&name, &DeleteParams::default()).await;
        if let Err(error) = gone {
            tracing::warn!(%error, "the account that the authority has forgotten stays");
        }
    }

    /// An account whose key cannot be changed goes on with the old one, and one whose new key was not saved
    /// is found lost when it is used, and made anew.
    async fn change_key(
        &self,
        directory: &Directory,
        authority: &mut Authority,
        contacts: &str,
    ) -> Result<(), Error> {
        match authority.change_key().await {
            Ok(credentials) => {
                self.save(directory, &credentials, contacts).await?;
                tracing::info!(authority = directory.name, "the account has another key");
            }
            Err(error) => go_on(directory, error, "the account keeps its old key")?,
        }
        Ok(())
    }

    async fn tell_contacts(
        &self,
        directory: &Directory,
        authority: &Authority,
    ) -> Result<(), Error> {
        if let Err(error) = authority.tell_contacts(&directory.contacts).await {
            return go_on(directory, error, "it was not told the contacts");
        }
        let patch = Patch::Merge(serde_json::json!({
            "metadata": { "annotations": { CONTACTS: contacts(directory) } },
        }));
        let name = account_secret(&directory.name);
        let params = PatchParams::default();
        let noted = insist(|| self.secrets.patch(&name, &params, &patch)).await;
        noted.map(drop).map_err(other)
    }

    async fn save(
        &self,
        directory: &Directory,
        credentials: &AccountCredentials,
        contacts: &str,
    ) -> Result<(), Error> {
        let name = account_secret(&directory.name);
        let data = BTreeMap::from([(ACCOUNT, ByteString(serde_json::to_vec(credentials)?))]);
        let secret = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "labels": { labels::COMPONENT: "acme-account" },
                "annotations": {
                    KEY_GENERATION: directory.key_generation.to_string(),
                    CONTACTS: contacts,
                },
            },
            "data": data,
        });
        let params = PatchParams::apply(labels::MANAGER).force();
        let patch = Patch::Apply(&secret);
        // What is not saved is lost with the process: an account, or its only key.
        let saved = insist(|| self.secrets.patch(&name, &params, &patch)).await;
        saved.map(drop).map_err(other)
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

    /// Takes note of what an authority said against what was `asked` by means of an account. One that does
    /// not answer is away; one that does not know our account gets a new one next time, and is away when
    /// it does not know that one either.
    pub async fn failed(
        &self,
        name: &str,
        (asked, by): (Asked, &Authority),
        hostname: &str,
        error: &Error,
        now: Timestamp,
    ) -> Setback {
        let Ok(known) = self.known(name) else {
            return Setback::Gone;
        };
        let mut authority = known.authority.lock().await;
        let status = match error {
            Error::Api(problem) => problem.status.unwrap_or_default(),
            _ => 0,
        };
        let refused_until = matches!(status, 429 | 503)
            .then(refused_until)
            .flatten()
            .filter(|until| *until > now);
        // Many may have been asked in the name of an account that is forgotten by now.
        let is_ours = authority
            .as_ref()
            .is_some_and(|it| it.account_url() == by.account_url());
        let is_lost = is_account_lost(error);
        let mut is_lost_again = false;
        if is_lost && is_ours {
            *authority = None;
            self.forget_account(name).await;
            let mut state = known.state();
            is_lost_again = state.losses > 0;
            state.losses += 1;
        }
        drop(authority);
        let words = words(error);
        if is_lost_again {
            return known.silent(words, None, now);
        }
        match error {
            // Of this order alone.
            Error::Str(_) => return Setback::Refusal(format!("{name}: {words}")),
            // It is our own cluster that does not answer.
            Error::Other(cause) if cause.is::<kube::Error>() => {
                return trouble(words, now + CLUSTER_AGAIN);
            }
            Error::Api(_) if status < 500 => {}
            Error::Api(_)
                if asked == Asked::Step
                    && refused_until.is_none()
                    && known.is_of_this_name(hostname) =>
            {
                return trouble(format!("{name}: {words}"), now + AWAY);
            }
            _ => return known.silent(words, refused_until, now),
        }
        let mut state = known.state();
        if status == 429 {
            let refused = limits::refused(&words);
            let is_pause = refused == limits::Refused::Paused;
            let words = format!("{name}: {words}");
            let line = &mut state.line;
            match line.refused(hostname, refused, &words, refused_until, now) {
                Some(until) if is_pause => return Setback::Paused { words, until },
                Some(until) => return trouble(words, until),
                None => {}
            }
        }
        if is_bad_nonce(error) {
            return trouble(format!("{name}: {words}"), now + NONCE_AGAIN);
        }
        if is_lost {
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
            let mut state = known.state();
            (state.away, state.silences, state.losses) = (None, 0, 0);
            state.stumbled = None;
        }
    }

    /// Somebody wants to be asked now whoever a name waits for: the authority of its order, or, when one
    /// is to be made, those that are preferred to the first that is there. Who was silent may be asked
    /// again, and so may who had paused the name. One that has said when it may be asked is not asked
    /// before.
    pub fn ask_again(&self, hostname: &str, waits_for: &WaitsFor<'_>, now: Timestamp) {
        let silent: Vec<&Known> = match waits_for {
            WaitsFor::Nobody => Vec::new(),
            WaitsFor::One(name) => self.known(name).into_iter().collect(),
            WaitsFor::Anybody => {
                let all = self.all.iter();
                all.take_while(|known| !known.is_there(now)).collect()
            }
        };
        for known in silent {
            let mut state = known.state();
            state.away = state.away.take().filter(|away| away.is_wished);
        }
        for known in &self.all {
            known.state().line.forgive(hostname);
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
        let begun = Instant::now();
        let mut place = known.authority.lock().await;
        if let Some(authority) = &*place {
            return Ok(authority.clone());
        }
        // Somebody before us may have found out meanwhile.
        if let Some(setback) = known.is_away(now) {
            return Err(setback);
        }
        match self.open(&known.directory).await {
            Ok(authority) => Ok(place.insert(Arc::new(authority)).clone()),
            Err(error) => {
                let waited = SignedDuration::try_from(begun.elapsed()).unwrap_or_default();
                let now = now + waited;
                let until = refused_until().filter(|until| *until > now);
                let words = words_at_the_door(&known.directory, &error);
                Err(known.silent(words, until, now))
            }
        }
    }

    /// The address of our account, where there is one: CAA records may name it (RFC 8657 §3).
    pub async fn account_url(&self, name: &str) -> Option<String> {
        let known = self.known(name).ok()?;
        // Somebody who asks it just now holds it; the Secret says the same.
        if let Ok(authority) = known.authority.try_lock()
            && let Some(authority) = authority.as_ref()
        {
            return Some(authority.account_url().to_owned());
        }
        let secret = self.secrets.get_opt(&account_secret(name)).await;
        saved(&secret.ok()??, &known.directory).map(|saved| saved.url)
    }

    /// The names by which an authority finds itself in CAA records.
    #[must_use]
    pub fn caa_identities(&self, name: Option<&str>) -> &[String] {
        name.and_then(|name| self.known(name).ok())
            .map(|known| known.directory.caa_identities.as_slice())
            .unwrap_or_default()
    }

    /// How each stands: its name, how many wait in its line, how many orders its limits leave, and
    /// whether it gave no answer when it was asked last.
    pub fn standing(
        &self,
        now: Timestamp,
    ) -> impl Iterator<Item = (&str, usize, Option<u32>, bool)> {
        self.all.iter().map(move |known| {
            let state = known.state();
            let line = &state.line;
            let name = known.directory.name.as_str();
            (name, line.len(), line.orders_left(now), state.silences > 0)
        })
    }

    /// Whose turn it is with an authority.
    ///
    /// # Errors
    /// There is no such authority any more.
    pub fn turn(&self, name: &str, request: &Request, now: Timestamp) -> Result<Turn, Error> {
        Ok(self.known(name)?.state().line.turn(request, now))
    }

    /// It does not wait any more.
    pub fn leave(&self, hostname: &str) {
        for known in &self.all {
            known.state().line.leave(hostname);
        }
    }

    /// Takes note of something in the line of an authority, if there is such a one any more.
    pub fn note(&self, name: &str, what: impl FnOnce(&mut Line)) {
        if let Ok(known) = self.known(name) {
            what(&mut known.state().line);
        }
    }
}

/// How long an authority is left alone after so many silences before this one.
fn away_for(silences: u32) -> SignedDuration {
    AWAY.checked_mul(3_i32.saturating_pow(silences))
        .map_or(LONGEST_AWAY, |wait| wait.min(LONGEST_AWAY))
}

/// With an account of which one wish was not heard; not with one that is lost.
fn go_on(directory: &Directory, error: Error, what: &str) -> Result<(), Error> {
    if is_account_lost(&error) {
        return Err(error);
    }
    tracing::warn!(
        authority = directory.name,
        error = words(&error),
        "{what}; the next start tries again"
    );
    Ok(())
}

/// An account as it was saved.
struct Saved {
    credentials: AccountCredentials,
    url: String,
    generation: u32,
    contacts: String,
}

fn contacts(directory: &Directory) -> String {
    directory.contacts.join(" ")
}

/// `None` when there is none, or it is of another directory.
fn saved(secret: &Secret, directory: &Directory) -> Option<Saved> {
    let text = &secret.data.as_ref()?.get(ACCOUNT)?.0;
    let value: serde_json::Value = serde_json::from_slice(text).ok()?;
    let annotations = secret.metadata.annotations.as_ref();
    let generation = annotations.and_then(|all| all.get(KEY_GENERATION)?.parse().ok());
    let contacts = annotations.and_then(|all| all.get(CONTACTS).cloned());
    let credentials = serde_json::from_slice(text).ok()?;
    (value["directory"] == directory.url.as_str()).then_some(Saved {
        credentials,
        url: value["id"].as_str().unwrap_or_default().to_owned(),
        generation: generation.unwrap_or_default(),
        contacts: contacts.unwrap_or_default(),
    })
}

fn trouble(message: String, until: Timestamp) -> Setback {
    Setback::Trouble {
        message: format!("{message}; it is asked again at {}", minute(until)),
        until: Some(until),
    }
}

fn account_secret(name: &str) -> String {
    format!("acme-account-{name}")
}

fn other(error: kube::Error) -> Error {
    Error::Other(Box::new(error))
}

/// The same where it is asked for its directory and our account: who finds no ACME there may have the
/// wrong address.
fn words_at_the_door(directory: &Directory, error: &Error) -> String {
    let words = words(error);
    let is_no_directory = match error {
        Error::Json(_) => true,
        Error::Api(problem) => problem.status == Some(404),
        _ => false,
    };
    if !is_no_directory {
        return words;
    }
    format!(
        "{words}; is {} an ACME directory? The platform's operators set its url in the chart's value \
         acme.directories",
        directory.url
    )
}

/// An error with its causes, which the client's own words leave out.
fn words(error: &Error) -> String {
    let text = match error {
        Error::Api(problem) => problem
            .detail
            .clone()
            .unwrap_or_else(|| problem.to_string()),
        Error::Json(_) => "what it says is not ACME".to_owned(),
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
    fn what_is_no_acme_directory_is_named_with_its_address_and_where_that_is_set() {
        let directory: Directory = serde_json::from_value(serde_json::json!({
            "name": "first", "url": "https://first.test/dir", "contacts": [],
            "termsOfServiceAgreed": true,
        }))
        .unwrap();
        let html = serde_json::from_str::<u8>("<html>").unwrap_err();
        let missing = serde_json::from_str(r#"{"status": 404}"#).unwrap();
        for error in [Error::Json(html), Error::Api(missing)] {
            let told = words_at_the_door(&directory, &error);
            for words in ["https://first.test/dir", "acme.directories"] {
                assert!(told.contains(words), "{told}");
            }
        }
        let away = words_at_the_door(&directory, &Error::Str("no answer"));
        assert!(!away.contains("acme.directories"), "{away}");
    }
}
