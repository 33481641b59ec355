//! What we wrote to objects ourselves, until the watch has told us: a pass on an older view would
//! take back what the pass before it has done.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::{Resource, core::ObjectMeta};

/// A watch tells within milliseconds: the first wait.
const FIRST_WAIT: Duration = Duration::from_millis(2);
/// A watch that takes this long is interrupted: others may use the place meanwhile.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// UID and resourceVersion of our last write, by object.
pub struct Written<Key>(Mutex<HashMap<Key, (Option<String>, u64)>>);

impl<Key> Default for Written<Key> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Key: Eq + Hash + Clone> Written<Key> {
    /// Takes note of the answer to a write.
    pub fn note(&self, key: &Key, answer: &ObjectMeta) {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.insert(key.clone(), (answer.uid.clone(), version(answer)));
    }

    /// Whether this view of an object is older than what we wrote. Forgets what is known.
    fn is_ahead_of<K: Resource>(&self, key: &Key, object: &K) -> bool {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_ahead = written
            .get(key)
            .is_some_and(|(uid, ours)| *uid == object.meta().uid && *ours > version(object.meta()));
        if !is_ahead {
            written.remove(key);
        }
        is_ahead
    }

    /// The object as we wrote it last, or later; waits a moment for the watch to tell. `None` when
    /// it has not told, or told that the object is gone. `look` is the watch's view.
    pub async fn latest<K: Resource>(
        &self,
        key: &Key,
        object: Arc<K>,
        look: impl Fn() -> Option<Arc<K>>,
    ) -> Option<Arc<K>> {
        let mut view = object;
        let mut wait = FIRST_WAIT;
        while self.is_ahead_of(key, view.as_ref()) {
            if wait > LONGEST_WAIT {
                return None;
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
            view = look()?;
        }
        Some(view)
    }
}

fn version(metadata: &ObjectMeta) -> u64 {
    metadata
        .resource_version
        .as_deref()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}
