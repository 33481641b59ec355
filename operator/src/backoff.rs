//! How long to wait after repeated failures, per object: doubling, with jitter so that a thousand
//! objects which failed together do not come back together.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rand::RngExt as _;

/// Failures in a row, per key.
pub struct Backoffs<K> {
    first: Duration,
    longest: Duration,
    failures: Mutex<HashMap<K, u32>>,
}

impl<K: Eq + Hash + Clone> Backoffs<K> {
    /// No failures yet.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            failures: Mutex::default(),
        }
    }

    /// Counts one more failure, and says how long to wait after it.
    pub fn next(&self, key: &K) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key.clone()).or_default();
        let wait = self
            .first
            .saturating_mul(1 << (*count).min(16))
            .min(self.longest);
        *count += 1;
        wait.mul_f64(rand::rng().random_range(0.8..1.2))
    }

    /// Failures in a row.
    pub fn count(&self, key: &K) -> u32 {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(key).copied().unwrap_or_default()
    }

    /// It went well.
    pub fn reset(&self, key: &K) {
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_anew_after_success() {
        let backoffs = Backoffs::new(Duration::from_millis(100), Duration::from_secs(1));
        let near = |wait: Duration, millis: f64| {
            let found = wait.as_secs_f64() * 1000.0;
            assert!(
                (millis * 0.8..=millis * 1.2).contains(&found),
                "{found} is not near {millis}"
            );
        };
        near(backoffs.next(&"a"), 100.0);
        near(backoffs.next(&"a"), 200.0);
        near(backoffs.next(&"b"), 100.0);
        for _ in 0..40 {
            backoffs.next(&"a");
        }
        near(backoffs.next(&"a"), 1000.0);
        backoffs.reset(&"a");
        near(backoffs.next(&"a"), 100.0);
    }
}
