//! The keys that sign the gateway's tokens and those of OpenID Connect. All replicas share one set, in the database and encrypted
//! (`cipher`); each reads it again and again, and whichever finds that a key is due makes it, while the others
//! wait (`watch`). Others fetch the public parts (`http`).

pub mod cipher;
pub mod http;
pub mod store;
pub mod watch;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jiff::{SignedDuration, Timestamp};
use tokens::{
    Algorithm, Envelope, Expected, IdToken, KeySet, Pass, Policy, PrivateKey, PublicKeys, Token,
    Tolerance,
    rotation::{self, Next},
    sign::NotSigned,
};

/// Gateways verify it with little work, and it makes short tokens.
const ALGORITHM: Algorithm = Algorithm::Es256;
/// What clients expect that say nothing else, and providers have to have (OpenID Connect Core §15.1).
const FOR_CLIENTS: Algorithm = Algorithm::Rs256;
/// An ID token that has expired still says whose sign-out it asks for (RP-Initiated Logout §4): as long as a
/// session may last.
const HINT: SignedDuration = SignedDuration::from_hours(24 * 30);

const POLICY: Policy = Policy {
    use_for: SignedDuration::from_hours(24 * 30),
    // Of what is signed here, a pass lives longest.
    longest_life: Pass::LONGEST_LIFE,
};

/// The set as this replica read it last.
#[derive(Default)]
pub struct Keys(ArcSwapOption<Read>);

/// A set that was read.
pub struct Read {
    set: KeySet,
    public: PublicKeys,
}

impl Keys {
    /// `None` until it was read once.
    #[must_use]
    pub fn get(&self) -> Option<Arc<Read>> {
        self.0.load_full()
    }

    fn put(&self, set: KeySet) {
        let public = set.public();
        self.0.store(Some(Arc::new(Read { set, public })));
    }
}

impl Read {
    /// Signs.
    ///
    /// # Errors
    /// When no key signs now, or the token says too much.
    pub fn sign<T: Token>(&self, token: &T, envelope: &Envelope<'_>) -> Result<String, NotSigned> {
        tokens::sign(&self.set, ALGORITHM, token, envelope)
    }

    /// Signs for an application.
    ///
    /// # Errors
    /// As [`Read::sign`].
    pub fn sign_for_client(
        &self,
        token: &IdToken,
        envelope: &Envelope<'_>,
    ) -> Result<String, NotSigned> {
        tokens::sign(&self.set, FOR_CLIENTS, token, envelope)
    }

    /// Believes an ID token that comes back as a hint: it may have expired.
    ///
    /// # Errors
    /// The check.
    pub fn verify_hint(
        &self,
        text: &str,
        issuer: &str,
        now: Timestamp,
        client: &str,
    ) -> Result<IdToken, tokens::Refusal> {
        let expected = Expected {
            issuer,
            now,
            tolerance: Tolerance {
                late: HINT,
                ..Tolerance::OWN
            },
        };
        tokens::verify(text, &self.public, &expected, client).map(|verified| verified.token)
    }

    /// Believes what was signed here, or says which check failed.
    ///
    /// # Errors
    /// The check.
    pub fn verify<T: Token>(
        &self,
        text: &str,
        issuer: &str,
        now: Timestamp,
        place: T::Place<'_>,
    ) -> Result<tokens::Verified<T>, tokens::Refusal> {
        let expected = Expected {
            issuer,
            now,
            tolerance: Tolerance::OWN,
        };
        tokens::verify(text, &self.public, &expected, place)
    }

    /// What verifies.
    #[must_use]
    pub fn public(&self) -> &PublicKeys {
        &self.public
    }
}

/// Whether something is to be done with the set.
fn is_due(set: &KeySet, now: Timestamp) -> bool {
    !matches!(next(set, now), Next::Rest(_))
}

/// Does what is due, which is not much: a key is made, or some are dropped.
fn turn(set: &mut KeySet, now: Timestamp) -> Result<(), watch::NoKeys> {
    loop {
        match next(set, now) {
            Next::Rest(_) => return Ok(()),
            Next::Publish(algorithm) => {
                set.publish(PrivateKey::generate(algorithm)?, &POLICY, now)?;
            }
            Next::DropRetired => set.drop_retired(now),
        }
    }
}

fn next(set: &KeySet, now: Timestamp) -> Next {
    rotation::next(set, &[ALGORITHM, FOR_CLIENTS], &POLICY, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokens::keys::PUBLISHED_AHEAD;

    #[test]
    fn a_first_key_signs_at_once_and_after_a_month_the_next_one_does() {
        let (mut set, now) = (KeySet::default(), Timestamp::UNIX_EPOCH);
        assert!(is_due(&set, now));
        turn(&mut set, now).unwrap();
        let first = set.current(ALGORITHM, now).unwrap().id().to_owned();
        assert!(!is_due(&set, now));
        let later = now + POLICY.use_for - PUBLISHED_AHEAD;
        assert!(!is_due(&set, later - SignedDuration::from_secs(1)));
        assert!(is_due(&set, later));
        turn(&mut set, later).unwrap();
        assert_eq!(set.current(ALGORITHM, later).unwrap().id(), first);
        assert!(set.current(FOR_CLIENTS, later).is_some());
        let month = now + POLICY.use_for;
        assert_ne!(set.current(ALGORITHM, month).unwrap().id(), first);
    }
}
