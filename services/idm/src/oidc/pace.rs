//! How much an application may ask of one replica: a server that runs wild takes the database from nobody else. It is
//! told by its client, after it has proven that it is itself: all apps may come from one address, and whoever only names
//! a client fills no bucket of its.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use crate::sign_in::throttle::{Level, Rule, Verdict};

/// Fifty requests a second for as long as one likes: thousands of people who work in one app, each refreshing every five
/// minutes, come to ten.
pub const RULE: Rule = Rule {
    capacity: 200,
    pace: SignedDuration::from_millis(20),
};
/// Buckets above which those that are empty are thrown away.
const MANY: usize = 10_000;

/// A bucket for each client.
#[derive(Debug, Default)]
pub struct Pace(Mutex<HashMap<String, Level>>);

impl Pace {
    /// Counts one request of a client.
    ///
    /// # Errors
    /// How many seconds it has to wait.
    pub fn admit(&self, client: &str, now: Timestamp) -> Result<(), i64> {
        let mut levels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if levels.len() >= MANY {
            levels.retain(|_, level| now.duration_since(level.at) < RULE.memory());
        }
        match RULE.judge(levels.get(client).copied(), now) {
            Verdict::Admitted(level) => {
                levels.insert(client.to_owned(), level);
                Ok(())
            }
            Verdict::Refused(refused) => Err(refused.wait.as_secs().max(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_has_to_wait_and_another_does_not() {
        let (pace, now) = (Pace::default(), Timestamp::UNIX_EPOCH);
        for _ in 0..RULE.capacity {
            assert_eq!(pace.admit("cli-1", now), Ok(()));
        }
        assert_eq!(pace.admit("cli-1", now), Err(1));
        assert_eq!(pace.admit("cli-2", now), Ok(()));
        assert_eq!(pace.admit("cli-1", now + RULE.pace), Ok(()));
    }
}
