//! What we wrote to instances ourselves, until the watch has told us: a pass on an older view would
//! take back what the pass before it has done.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crds::AppInstance;
use kube::{Resource, ResourceExt, core::ObjectMeta};

use super::{Instances, key_of};
use crate::cache::InstanceKey;

/// A watch tells within milliseconds: the first wait.
const FIRST_WAIT: Duration = Duration::from_millis(2);
/// A watch that takes this long is interrupted: others may use the place meanwhile.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// UID and resourceVersion of our last write, by instance.
#[derive(Default)]
pub struct Written(Mutex<HashMap<InstanceKey, (Option<String>, u64)>>);

impl Written {
    /// Takes note of the answer to a write.
    pub fn note(&self, key: &InstanceKey, answer: &ObjectMeta) {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.insert(key.clone(), (answer.uid.clone(), version(answer)));
    }

    /// Whether this view of an instance is older than what we wrote. Forgets what is known.
    fn is_ahead_of(&self, key: &InstanceKey, instance: &AppInstance) -> bool {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_ahead = written
            .get(key)
            .is_some_and(|(uid, ours)| *uid == instance.uid() && *ours > version(instance.meta()));
        if !is_ahead {
            written.remove(key);
        }
        is_ahead
    }
}

/// The instance as we wrote it last, or later; waits a moment for the watch to tell. `None` when it
/// has not told, or told that the instance is gone.
pub async fn latest(operator: &Instances, instance: Arc<AppInstance>) -> Option<Arc<AppInstance>> {
    let key = key_of(&instance);
    let mut view = instance;
    let mut wait = FIRST_WAIT;
    while operator.written.is_ahead_of(&key, &view) {
        if wait > LONGEST_WAIT {
            return None;
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
        view = operator.cache.instances.get(&key.reference())?;
    }
    Some(view)
}

fn version(metadata: &ObjectMeta) -> u64 {
    metadata
        .resource_version
        .as_deref()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}
