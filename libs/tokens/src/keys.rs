//! The keys that sign. Each has a plan of its life from its first day, so that every replica knows by its
//! own clock which one signs, without being told.
//!
//! ```text
//! published      signs_from             signs_until      verifies_until
//!     │   Next       │       Current        │   Previous     │   Retired
//!     └──────────────┴──────────────────────┴────────────────┘
//! ```
//!
//! The last two times are set when the successor is published. When that is due: [`crate::rotation`].
//! How a set is kept: [`crate::stored`].

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::{Algorithm, Policy, PrivateKey, PublicKey, PublicKeys, later, rotation};

/// How long a key is published before it signs. A day is promised to whoever keeps our JWKS; one hour more
/// is for clocks that differ and readers that come a little late.
pub const PUBLISHED_AHEAD: SignedDuration = SignedDuration::from_hours(25);
/// How long a key verifies after the last token that it signed has expired: signers whose clocks are late
/// go on with it.
pub const AFTERWARDS: SignedDuration = SignedDuration::from_mins(10);

/// Where in its life a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Published, so that verifiers know it when it begins.
    Next,
    /// Signs.
    Current,
    /// Verifies what it signed.
    Previous,
    /// Good for nothing.
    Retired,
}

/// A key and the plan of its life.
#[derive(Clone, Debug)]
pub struct Key {
    pub(crate) id: String,
    pub(crate) private: Arc<PrivateKey>,
    pub(crate) published: Timestamp,
    pub(crate) signs_from: Timestamp,
    /// `None` as long as there is no successor.
    pub(crate) ending: Option<Ending>,
}

/// When a key that has a successor ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ending {
    /// The successor signs from then on.
    pub signs_until: Timestamp,
    /// The last token of it has expired by then.
    pub verifies_until: Timestamp,
}

impl Key {
    /// `kid`: the thumbprint of the public part (RFC 7638).
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.public().algorithm()
    }

    #[must_use]
    pub fn public(&self) -> &PublicKey {
        self.private.public()
    }

    #[must_use]
    pub fn published(&self) -> Timestamp {
        self.published
    }

    #[must_use]
    pub fn signs_from(&self) -> Timestamp {
        self.signs_from
    }

    /// `None` as long as there is no successor.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    #[must_use]
    pub fn stage_at(&self, now: Timestamp) -> Stage {
        match self.ending {
            _ if now < self.signs_from => Stage::Next,
            Some(ending) if now >= ending.verifies_until => Stage::Retired,
            Some(ending) if now >= ending.signs_until => Stage::Previous,
            _ => Stage::Current,
        }
    }
}

/// Why a key was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPublished {
    /// Somebody else was quicker.
    #[error("key {0} is published as the next one already")]
    HasNext(String),
    #[error("key {0} is in the set already")]
    IsThere(String),
}

/// The keys of one issuer. Changed as a whole: load it, change it, save it if nobody else has meanwhile.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    pub(crate) fn of(keys: Vec<Key>) -> Self {
        Self { keys }
    }

    /// All of them.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The one that signs now.
    #[must_use]
    pub fn current(&self, algorithm: Algorithm, now: Timestamp) -> Option<&Key> {
        self.of_algorithm(algorithm)
            .filter(|key| key.stage_at(now) == Stage::Current)
            .max_by_key(|key| key.signs_from)
    }

    /// The one that was published last.
    pub(crate) fn newest(&self, algorithm: Algorithm) -> Option<&Key> {
        self.of_algorithm(algorithm)
            .max_by_key(|key| key.signs_from)
    }

    /// What verifies their signatures. Keys that are retired are known as such.
    #[must_use]
    pub fn public(&self) -> PublicKeys {
        PublicKeys::of_set(self)
    }

    /// Takes a new key in as the next one of its algorithm, and plans the end of the one before. The first
    /// of all signs at once: nobody has a token yet, nor a JWKS.
    ///
    /// # Errors
    /// When there is a next one, or this one.
    pub fn publish(
        &mut self,
        private: PrivateKey,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(), NotPublished> {
        let id = private.public().thumbprint();
        let algorithm = private.public().algorithm();
        if self.keys.iter().any(|key| key.id == id) {
            return Err(NotPublished::IsThere(id));
        }
        let newest = self.newest(algorithm);
        if let Some(next) = newest.filter(|key| key.stage_at(now) == Stage::Next) {
            return Err(NotPublished::HasNext(next.id.clone()));
        }
        let signs_from = rotation::begin(newest, policy, now);
        let predecessor = newest.map(|key| key.id.clone());
        for key in &mut self.keys {
            if Some(&key.id) == predecessor.as_ref() && key.stage_at(now) == Stage::Current {
                key.ending = Some(Ending {
                    signs_until: signs_from,
                    verifies_until: later(later(signs_from, policy.longest_life), AFTERWARDS),
                });
            }
        }
        self.keys.push(Key {
            id,
            private: Arc::new(private),
            published: now,
            signs_from,
            ending: None,
        });
        Ok(())
    }

    /// Drops what is good for nothing any more.
    pub fn drop_retired(&mut self, now: Timestamp) {
        self.keys.retain(|key| key.stage_at(now) != Stage::Retired);
    }

    fn of_algorithm(&self, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        self.keys
            .iter()
            .filter(move |key| key.algorithm() == algorithm)
    }
}
