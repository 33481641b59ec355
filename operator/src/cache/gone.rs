//! What was told to be gone: the answer to a write may come after the news that its object was deleted,
//! and must not bring it back. No watch would tell of it again.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::child::Applied;

/// No answer comes later than this: calls are given up long before.
const REMEMBERED: Duration = Duration::from_secs(300);
/// So many are kept whatever their age, so that not every deletion looks through all.
const ALWAYS_KEPT: usize = 1000;

/// By UID: the version that was told last, and when.
#[derive(Debug, Default)]
pub struct Gone(HashMap<String, (u64, Instant)>);

impl Gone {
    /// Takes note that an object is gone, or out of the watch's sight because it lost its labels.
    pub fn note(&mut self, uid: &str, resource_version: u64) {
        if self.0.len() >= ALWAYS_KEPT {
            self.0.retain(|_, (_, at)| at.elapsed() < REMEMBERED);
        }
        let told = (resource_version, Instant::now());
        self.0.insert(uid.to_owned(), told);
    }

    /// Whether what is told of an object is older than that it is gone. One that only lost its labels is
    /// told with the version in which it did, or a later one, when it is found again.
    #[must_use]
    pub fn is_older(&self, told: &Applied) -> bool {
        let gone = self.0.get(&told.uid);
        gone.is_some_and(|(version, _)| told.resource_version < *version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(uid: &str, resource_version: u64) -> Applied {
        Applied {
            uid: uid.to_owned(),
            resource_version,
            ..Applied::default()
        }
    }

    #[test]
    fn an_answer_that_is_older_than_the_news_of_a_deletion_brings_nothing_back() {
        let mut gone = Gone::default();
        gone.note("volume", 20);
        assert!(gone.is_older(&told("volume", 19)));
        assert!(!gone.is_older(&told("another of its name", 19)));
    }

    #[test]
    fn what_only_lost_its_labels_is_found_again() {
        let mut gone = Gone::default();
        gone.note("volume", 20);
        assert!(!gone.is_older(&told("volume", 20)));
        assert!(!gone.is_older(&told("volume", 21)));
    }
}
