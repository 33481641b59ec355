//! What organizations were granted a moment ago, and Kubernetes has not counted yet: orders placed in
//! one moment do not all get the same room.
//!
//! Known to whoever leads, and to nobody else. One that begins to lead hears of it with its first look
//! at each instance; an order that slips in before is half made, and says so, as Kubernetes has the last
//! word on pods.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use plan::quota::{Count, Promise, Room};

use crate::cache::InstanceKey;

/// What an instance was granted.
#[derive(Clone, Copy, Debug, Default)]
struct Grant {
    /// What of it was seen to be there.
    taken: Promise,
    /// What of it is not there yet.
    due: Promise,
}

/// The instances of an organization, by name.
type Granted = HashMap<String, Grant>;

/// What organizations were granted, by their names.
#[derive(Default)]
pub struct Grants(Mutex<HashMap<String, Arc<Mutex<Granted>>>>);

impl Grants {
    /// Decides about an instance, of which so much is there, with what Kubernetes counts as left less
    /// what the others of its organization are due, and takes note of what this one is. One decision at
    /// a time in each organization.
    pub fn decide<D>(
        &self,
        key: &InstanceKey,
        counted: Option<Count>,
        taken: Promise,
        decide: impl FnOnce(Option<Room>) -> (D, Promise),
    ) -> D {
        let organization = lock(&self.0)
            .entry(key.namespace.clone())
            .or_default()
            .clone();
        let mut granted = lock(&organization);
        granted.remove(&key.name);
        let seen = granted.values().map(|other| other.taken).sum::<Promise>() + taken;
        let due_to_others = granted.values().map(|other| other.due).sum();
        let (decision, due) = decide(counted.map(|count| count.room(seen, due_to_others)));
        granted.insert(key.name.clone(), Grant { taken, due });
        decision
    }

    /// Whether others of its organization wait for what they were granted: what an instance has no
    /// room for now, it may have in a moment.
    pub fn others_wait(&self, key: &InstanceKey) -> bool {
        let organization = lock(&self.0).get(&key.namespace).cloned();
        organization.is_some_and(|granted| {
            let granted = lock(&granted);
            let mut others = granted.iter().filter(|(name, _)| **name != key.name);
            others.any(|(_, other)| other.due != Promise::default())
        })
    }

    /// Forgets an instance that is going away.
    pub fn forget(&self, key: &InstanceKey) {
        let mut all = lock(&self.0);
        if let Some(organization) = all.get(&key.namespace).cloned() {
            let mut granted = lock(&organization);
            granted.remove(&key.name);
            if granted.is_empty() {
                all.remove(&key.namespace);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> InstanceKey {
        InstanceKey {
            namespace: "acme".to_owned(),
            name: name.to_owned(),
        }
    }

    fn memory(size: &str) -> Promise {
        Promise::new("0", size)
    }

    const QUOTA: &str = "1Gi";

    /// What an instance that has so much, and is due so much more, is told to be left.
    fn left(grants: &Grants, used: &str, name: &str, taken: &str, due: &str) -> Promise {
        let counted = Count {
            hard: memory(QUOTA),
            used: memory(used),
        };
        grants.decide(&key(name), Some(counted), memory(taken), |room| {
            (room.unwrap().left, memory(due))
        })
    }

    #[test]
    fn what_others_were_granted_a_moment_ago_is_not_left() {
        let grants = Grants::default();
        assert_eq!(left(&grants, "0", "one", "0", "600Mi"), memory("1Gi"));
        assert_eq!(left(&grants, "0", "two", "0", "0"), memory("424Mi"));
        assert!(grants.others_wait(&key("two")));
        // Its pods are seen, and not counted yet; then they are counted, and not twice.
        assert_eq!(left(&grants, "0", "one", "600Mi", "0"), memory("424Mi"));
        assert_eq!(left(&grants, "0", "two", "0", "0"), memory("424Mi"));
        assert_eq!(left(&grants, "600Mi", "two", "0", "0"), memory("424Mi"));
        assert!(!grants.others_wait(&key("two")));
        // What people made by hand counts, too.
        assert_eq!(left(&grants, "800Mi", "two", "0", "0"), memory("224Mi"));
        grants.forget(&key("one"));
        assert_eq!(left(&grants, "0", "two", "0", "0"), memory("1Gi"));
    }

    #[test]
    fn orders_placed_in_one_moment_do_not_get_the_same_room() {
        let grants = Grants::default();
        let order = |name: &str| {
            let counted = Count {
                hard: memory(QUOTA),
                used: Promise::default(),
            };
            grants.decide(&key(name), Some(counted), Promise::default(), |room| {
                let has_room = room.unwrap().left.memory >= memory("300Mi").memory;
                let due = if has_room { "300Mi" } else { "0" };
                (has_room, memory(due))
            })
        };
        let names: Vec<String> = (0..8).map(|number| format!("order-{number}")).collect();
        let granted = std::thread::scope(|scope| {
            let orders = names.iter().map(|name| scope.spawn(|| order(name)));
            let orders: Vec<_> = orders.collect();
            let granted = orders.into_iter().filter_map(|order| order.join().ok());
            granted.filter(|is_granted| *is_granted).count()
        });
        assert_eq!(granted, 3);
    }
}
