//! The keys that verify: our own, or those of an issuer whose JWKS (RFC 7517 §5) was fetched. Who fetches it
//! must limit its size and trust the address.

use jiff::Timestamp;
use jsonwebtoken::jwk::Jwk;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{KeySet, PublicKey};

/// Public keys by their ids.
#[derive(Clone, Debug)]
pub struct PublicKeys {
    keys: Vec<Published>,
}

/// A public key as others see it.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub id: String,
    pub key: PublicKey,
    /// `None`: no end is planned yet.
    pub verifies_until: Option<Timestamp>,
}

/// A member of a JWKS.
#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    jwk: Jwk,
    /// The end, in seconds since 1970, as OpenID Federation registered it for JWKs. Our gateways refuse a
    /// key in time even when they cannot fetch its absence; others ignore it (RFC 7517 §4).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    exp: Option<i64>,
}

#[derive(Serialize)]
struct Jwks {
    keys: Vec<Entry>,
}

/// Why there are no keys in a JWKS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJwks {
    #[error("it is not a JSON object with a list \"keys\" (RFC 7517)")]
    NotJwks,
    #[error("it has two keys {0:?}: which one signs cannot be told")]
    SameId(String),
    #[error("it has no key for signatures by ES256 or RS256")]
    NoKey,
}

impl PublicKeys {
    pub(crate) fn of_set(keys: &KeySet) -> Self {
        let published = |key: &crate::keys::Key| Published {
            id: key.id.clone(),
            key: key.public().clone(),
            verifies_until: key.ending.map(|ending| ending.verifies_until),
        };
        Self {
            keys: keys.keys().iter().map(published).collect(),
        }
    }

    /// Reads a JWKS, ours or somebody else's. Keys that are of no use here are left out, as the RFC says;
    /// one without an id gets its thumbprint as id.
    ///
    /// # Errors
    /// When nothing is left, or two keys have one id.
    pub fn from_jwks(text: &str) -> Result<Self, BadJwks> {
        #[derive(Deserialize)]
        struct Read {
            keys: Vec<Value>,
        }
        let read: Read = serde_json::from_str(text).map_err(|_| BadJwks::NotJwks)?;
        let mut keys: Vec<Published> = Vec::new();
        for entry in read.keys {
            let Ok(entry) = serde_json::from_value::<Entry>(entry) else {
                continue;
            };
            let Some(key) = PublicKey::from_jwk(&entry.jwk) else {
                continue;
            };
            let id = entry.jwk.common.key_id.unwrap_or_else(|| key.thumbprint());
            if keys.iter().any(|other| other.id == id) {
                return Err(BadJwks::SameId(id));
            }
            keys.push(Published {
                id,
                key,
                verifies_until: entry.exp.and_then(|end| Timestamp::from_second(end).ok()),
            });
        }
        if keys.is_empty() {
            return Err(BadJwks::NoKey);
        }
        Ok(Self { keys })
    }

    /// The JWKS of those that are still good.
    #[must_use]
    pub fn to_jwks(&self, now: Timestamp) -> Value {
        let good = self
            .keys
            .iter()
            .filter(|key| key.verifies_until.is_none_or(|end| now < end));
        let entry = |key: &Published| Entry {
            jwk: key.key.to_jwk(&key.id),
            exp: key.verifies_until.map(Timestamp::as_second),
        };
        let jwks = Jwks {
            keys: good.map(entry).collect(),
        };
        // Texts and whole numbers only: nothing in it can fail.
        serde_json::to_value(jwks).unwrap_or_default()
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Published> {
        self.keys.iter().find(|key| key.id == id)
    }
}
