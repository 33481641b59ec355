//! Answers of idm that are remembered, by host and pass. Bounded: a flood of passes pushes out the oldest,
//! and idm is asked again.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, PoisonError},
};

use http::HeaderValue;
use tokio::{sync::MutexGuard, time::Instant};

use super::changes::News;

/// People that come and go within a quarter of an hour.
const MOST: usize = 50_000;
/// Requests of different people seldom wait for each other.
const TURNS: usize = 64;

/// Host and pass, as they stand in the request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(Box<str>);

impl Key {
    pub fn of(host: &str, pass: &str) -> Self {
        // No host and no pass holds a space.
        Self(format!("{host} {pass}").into())
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What the backend is told.
    pub identity: Option<HeaderValue>,
    pub identity_until: Instant,
    /// The pass itself ends.
    pub pass_until: Instant,
    /// From then on idm is asked again.
    pub fresh_until: Instant,
    pub is_admin: bool,
    /// `<organization>/<name>`
    pub instance: Box<str>,
    /// Of what decides who may do what.
    pub version: i64,
}

/// All answers.
pub struct Remembered {
    entries: Mutex<HashMap<Key, Entry>>,
    turns: [tokio::sync::Mutex<()>; TURNS],
    hasher: RandomState,
}

impl Default for Remembered {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            turns: std::array::from_fn(|_| tokio::sync::Mutex::default()),
            hasher: RandomState::new(),
        }
    }
}

impl Remembered {
    /// An answer that holds: nothing has changed since, and we would have heard of it.
    pub fn fresh(&self, key: &Key, news: &News) -> Option<Entry> {
        let is_fresh = |entry: &Entry| {
            !news.is_silent()
                && entry.version >= news.version()
                && Instant::now() < entry.fresh_until
        };
        self.known(key).filter(is_fresh)
    }

    /// An answer, whatever it is worth now.
    pub fn known(&self, key: &Key) -> Option<Entry> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).cloned()
    }

    pub fn put(&self, key: Key, entry: Entry) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MOST {
            let now = Instant::now();
            entries.retain(|_, entry| entry.pass_until > now);
        }
        if entries.len() < MOST || entries.contains_key(&key) {
            entries.insert(key, entry);
        }
    }

    pub fn forget(&self, key: &Key) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.remove(key);
    }

    /// Waits until nobody else asks about this.
    pub async fn turn(&self, key: &Key) -> MutexGuard<'_, ()> {
        let place = self.hasher.hash_one(key) as usize % TURNS;
        // The place is below the length.
        self.turns[place].lock().await
    }
}
