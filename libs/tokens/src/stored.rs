//! A key set as JSON, private parts and all: for a Secret or a database. What was cut off, mixed up or
//! edited is refused as a whole, because who goes on without a key refuses what it signed, and who goes on
//! with a wrong one signs what nobody believes.

use std::{collections::HashSet, sync::Arc};

use jiff::Timestamp;
use jsonwebtoken::jwk::AlgorithmParameters;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::{
    Algorithm, KeySet, PrivateKey,
    keys::{Ending, Key},
    private::BadKey,
};

#[derive(Serialize, Deserialize)]
struct Stored {
    keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
struct StoredKey {
    kid: String,
    algorithm: Algorithm,
    published: Timestamp,
    signs_from: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending: Option<Ending>,
    public_key: AlgorithmParameters,
    private_key: String,
}

/// What is wrong with a stored set, and how to mend it. The texts hold nothing of a private key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeySet {
    #[error(
        "the key set is cut off at line {line}, column {column}: it was half written; restore it \
         from its backup"
    )]
    CutOff { line: usize, column: usize },
    /// The parser's own words are not repeated: they quote what they do not understand.
    #[error(
        "the key set is not a list of keys as it was saved (line {line}, column {column}); restore \
         it from its backup"
    )]
    NotAKeySet { line: usize, column: usize },
    #[error("the key set is empty; restore it from its backup, or remove it to begin anew")]
    Empty,
    #[error("key {kid}: {fault}; {MEND}")]
    Key { kid: String, fault: Fault },
}

const MEND: &str = "restore the key set from its backup, or take this key out of it: what it signed \
    is refused then, and people sign in once more";

/// What is wrong with one key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("its private part cannot be read: {0}")]
    Private(BadKey),
    #[error("its private part is for {found}, and it says {said}")]
    Algorithm { found: Algorithm, said: Algorithm },
    #[error("its public part does not belong to its private part")]
    Public,
    #[error("its kid should be {0}, the thumbprint of its public part")]
    Kid(String),
    #[error("it is there twice")]
    Twice,
    #[error("its times are not in the order published, signs_from, signs_until, verifies_until")]
    Times,
    #[error("it and key {0} have no end: one of them must be the other's successor")]
    Endless(String),
}

/// The set as text. Private parts are in it.
///
/// # Errors
/// When aws-lc cannot write a key.
pub fn to_json(keys: &KeySet) -> Result<SecretString, BadKey> {
    let keys = keys.keys().iter().map(|key| {
        Ok(StoredKey {
            kid: key.id.clone(),
            algorithm: key.algorithm(),
            published: key.published,
            signs_from: key.signs_from,
            ending: key.ending,
            public_key: key.public().parameters().clone(),
            private_key: key.private.to_pem()?.expose_secret().to_owned(),
        })
    });
    let stored = Stored {
        keys: keys.collect::<Result<_, _>>()?,
    };
    serde_json::to_string_pretty(&stored)
        .map(Into::into)
        .map_err(|_| BadKey::Refused)
}

/// Reads what [`to_json`] wrote.
///
/// # Errors
/// The first thing that is wrong.
pub fn from_json(text: &str) -> Result<KeySet, BadKeySet> {
    let stored: Stored = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        if error.is_eof() {
            BadKeySet::CutOff { line, column }
        } else {
            BadKeySet::NotAKeySet { line, column }
        }
    })?;
    if stored.keys.is_empty() {
        return Err(BadKeySet::Empty);
    }
    let mut ids = HashSet::new();
    let mut keys: Vec<Key> = Vec::new();
    for stored in stored.keys {
        let kid = stored.kid.clone();
        let key = check(stored).and_then(|key| {
            if !ids.insert(key.id.clone()) {
                return Err(Fault::Twice);
            }
            let is_alike =
                |other: &&Key| other.algorithm() == key.algorithm() && other.ending.is_none();
            match keys.iter().find(is_alike) {
                Some(other) if key.ending.is_none() => Err(Fault::Endless(other.id.clone())),
                _ => Ok(key),
            }
        });
        keys.push(key.map_err(|fault| BadKeySet::Key { kid, fault })?);
    }
    Ok(KeySet::of(keys))
}

fn check(stored: StoredKey) -> Result<Key, Fault> {
    let private = PrivateKey::from_pem(&stored.private_key).map_err(Fault::Private)?;
    let public = private.public();
    if public.algorithm() != stored.algorithm {
        return Err(Fault::Algorithm {
            found: public.algorithm(),
            said: stored.algorithm,
        });
    }
    if *public.parameters() != stored.public_key {
        return Err(Fault::Public);
    }
    if public.thumbprint() != stored.kid {
        return Err(Fault::Kid(public.thumbprint()));
    }
    let ending = stored.ending;
    let is_in_order = stored.published <= stored.signs_from
        && ending.is_none_or(|ending| {
            stored.signs_from <= ending.signs_until && ending.signs_until <= ending.verifies_until
        });
    if !is_in_order {
        return Err(Fault::Times);
    }
    Ok(Key {
        id: stored.kid,
        private: Arc::new(private),
        published: stored.published,
        signs_from: stored.signs_from,
        ending,
    })
}
