//! When the next key comes and the old one goes. Whoever owns a key set asks [`next`], does what it says,
//! saves the set, and asks again; nothing breaks when that is late, because a key without a successor goes on
//! signing. Whoever signs must read the set anew within [`keys::PUBLISHED_AHEAD`](crate::keys), or it signs
//! with a key that others have dropped.

use jiff::{SignedDuration, Timestamp};

use crate::{
    Algorithm, KeySet, Stage,
    keys::{Key, PUBLISHED_AHEAD},
    later,
};

/// How long keys are used.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How long a key signs. With less than [`PUBLISHED_AHEAD`] it is that.
    pub use_for: SignedDuration,
    /// The longest time that any token is good for which these keys sign. Whoever makes it shorter
    /// breaks nothing; longer is true from the next rotation on.
    pub longest_life: SignedDuration,
}

/// What is to be done with a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing until then.
    Rest(Timestamp),
    /// A key of this algorithm is made and goes into [`KeySet::publish`].
    Publish(Algorithm),
    /// [`KeySet::drop_retired`].
    DropRetired,
}

/// Decides.
#[must_use]
pub fn next(keys: &KeySet, algorithms: &[Algorithm], policy: &Policy, now: Timestamp) -> Next {
    let due = |algorithm: Algorithm| {
        keys.newest(algorithm)
            .map_or(Timestamp::MIN, |newest| due(newest, policy))
    };
    if let Some(algorithm) = algorithms.iter().find(|algorithm| due(**algorithm) <= now) {
        return Next::Publish(*algorithm);
    }
    let retires = |key: &Key| key.ending.map(|ending| ending.verifies_until);
    match keys.keys().iter().filter_map(retires).min() {
        Some(retires) if retires <= now => Next::DropRetired,
        retires => Next::Rest(
            algorithms
                .iter()
                .map(|algorithm| due(*algorithm))
                .chain(retires)
                .min()
                .unwrap_or(Timestamp::MAX),
        ),
    }
}

/// When the successor of this key, the newest, has to be published.
fn due(newest: &Key, policy: &Policy) -> Timestamp {
    match newest.ending {
        // It had one, which somebody took out of the set.
        Some(_) => Timestamp::MIN,
        None => {
            let alone = (policy.use_for - PUBLISHED_AHEAD).max(SignedDuration::ZERO);
            later(newest.signs_from, alone)
        }
    }
}

/// From when on a key signs that is published now.
pub(crate) fn begin(newest: Option<&Key>, policy: &Policy, now: Timestamp) -> Timestamp {
    match newest {
        Some(newest) if newest.stage_at(now) == Stage::Current => {
            later(newest.signs_from, policy.use_for).max(later(now, PUBLISHED_AHEAD))
        }
        // Nothing signs: the first of all, or somebody took the others out of the set.
        _ => now,
    }
}
