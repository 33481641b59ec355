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

use plan::quota::{Promise, Room};

use crate::cache::InstanceKey;

/// What the instances of an organization are due, by name.
type Due = HashMap<String, Promise>;

/// What is granted and not counted.
#[derive(Default)]
pub struct Grants(Mutex<HashMap<String, Arc<Mutex<Due>>>>);

impl Grants {
    /// Decides about an instance with what Kubernetes counts as left, less what the others of its
    /// organization are due, and takes note of what this one is. One decision at a time in each
    /// organization.
    pub fn decide<D>(
        &self,
        key: &InstanceKey,
        counted: Option<Room>,
        decide: impl FnOnce(Option<Room>) -> (D, Promise),
    ) -> D {
        let organization = lock(&self.0)
            .entry(key.namespace.clone())
            .or_default()
            .clone();
        let mut due = lock(&organization);
        due.remove(&key.name);
        let of_others = due.values().copied().sum();
        let (decision, granted) = decide(counted.map(|room| room.without(of_others)));
        if granted != Promise::default() {
            due.insert(key.name.clone(), granted);
        }
        decision
    }

    /// Whether others of its organization wait for what they were granted: what an instance has no
    /// room for now, it may have in a moment.
    pub fn others_wait(&self, key: &InstanceKey) -> bool {
        let organization = lock(&self.0).get(&key.namespace).cloned();
        organization.is_some_and(|due| lock(&due).keys().any(|name| *name != key.name))
    }

    /// Forgets an instance that is going away.
    pub fn forget(&self, key: &InstanceKey) {
        let mut all = lock(&self.0);
        if let Some(organization) = all.get(&key.namespace).cloned() {
            let mut due = lock(&organization);
            due.remove(&key.name);
            if due.is_empty() {
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

    /// What an instance that is due so much is told to be left of 1Gi.
    fn left(grants: &Grants, name: &str, due: &str) -> Promise {
        let counted = Room {
            left: memory("1Gi"),
        };
        grants.decide(&key(name), Some(counted), |room| {
            (room.unwrap().left, memory(due))
        })
    }

    #[test]
    fn what_others_were_granted_a_moment_ago_is_not_left() {
        let grants = Grants::default();
        assert_eq!(left(&grants, "one", "600Mi"), memory("1Gi"));
        assert_eq!(left(&grants, "two", "0"), memory("424Mi"));
        assert!(grants.others_wait(&key("two")));
        // Not its own, and not once Kubernetes has counted it.
        assert_eq!(left(&grants, "one", "0"), memory("1Gi"));
        assert_eq!(left(&grants, "two", "600Mi"), memory("1Gi"));
        assert!(!grants.others_wait(&key("two")));
        grants.forget(&key("two"));
        assert_eq!(left(&grants, "one", "0"), memory("1Gi"));
    }

    #[test]
    fn orders_placed_in_one_moment_do_not_get_the_same_room() {
        let grants = Grants::default();
        let granted = std::thread::scope(|scope| {
            let order = |name: String| {
                let grants = &grants;
                scope.spawn(move || {
                    let counted = Room {
                        left: memory("1Gi"),
                    };
                    grants.decide(&key(&name), Some(counted), |room| {
                        let has_room = room.unwrap().left.memory >= memory("300Mi").memory;
                        let due = if has_room { "300Mi" } else { "0" };
                        (has_room, memory(due))
                    })
                })
            };
            let orders: Vec<_> = (0..8)
                .map(|number| order(format!("order-{number}")))
                .collect();
            orders
                .into_iter()
                .filter_map(|it| it.join().ok())
                .filter(|it| *it)
                .count()
        });
        assert_eq!(granted, 3);
    }
}
