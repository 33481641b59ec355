//! Publishes events. Equal ones of a few minutes are one with a count; another note is another event.
//!
//! kube's own recorder leaves the note out of what makes two events equal, so that the first note would
//! stand for a second one that says something else.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        events::v1::{Event as Published, EventSeries},
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
    runtime::events::{Event, EventType},
};
use serde_json::json;

/// As what our events are signed.
const CONTROLLER: &str = "tutti-operator";
/// For so long after the last of them equal events are counted as one: as Kubernetes' own do.
const FOLDED_FOR: SignedDuration = SignedDuration::from_mins(6);

/// Publishes events of one operator.
#[derive(Clone)]
pub struct Recorder {
    client: Client,
    told: Arc<Mutex<HashMap<Equal, Told>>>,
}

/// What makes two events equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Equal {
    uid: Option<String>,
    type_: EventType,
    reason: String,
    action: String,
    note: Option<String>,
}

/// What was published, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    name: String,
    count: i32,
    at: Timestamp,
}

impl Recorder {
    /// Over this client.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            told: Arc::default(),
        }
    }

    /// Publishes an event, or counts it to an equal one.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn publish(&self, event: &Event, about: &ObjectReference) -> Result<(), kube::Error> {
        let equal = Equal {
            uid: about.uid.clone(),
            type_: event.type_,
            reason: event.reason.clone(),
            action: event.action.clone(),
            note: event.note.clone(),
        };
        let now = Timestamp::now();
        let told = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            let name = about.name.as_deref().unwrap_or(CONTROLLER);
            count(&mut told, &equal, name, now)
        };
        // What is about something without a namespace is told where the API server's rules want it.
        let namespace = about.namespace.as_deref().unwrap_or("default");
        let api: Api<Published> = Api::namespaced(self.client.clone(), namespace);
        let published = if told.count == 1 {
            let first = first(event, about, &told.name, now);
            api.create(&PostParams::default(), &first).await
        } else {
            let series = EventSeries {
                count: told.count,
                last_observed_time: MicroTime(now),
            };
            let again = Patch::Merge(json!({ "series": series }));
            api.patch(&told.name, &PatchParams::default(), &again).await
        };
        if published.is_err() {
            // What is not there cannot be counted to.
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.remove(&equal);
        }
        published.map(drop)
    }
}

/// Counts an event that is about something of this name, and forgets what is too old to count to.
fn count(told: &mut HashMap<Equal, Told>, equal: &Equal, about: &str, now: Timestamp) -> Told {
    told.retain(|_, known| now.duration_since(known.at) < FOLDED_FOR);
    let known = told.entry(equal.clone()).or_insert_with(|| Told {
        name: format!("{about}.{:x}", now.as_nanosecond()),
        count: 0,
        at: now,
    });
    known.count += 1;
    known.at = now;
    known.clone()
}

fn first(event: &Event, about: &ObjectReference, name: &str, now: Timestamp) -> Published {
    let type_ = match event.type_ {
        EventType::Normal => "Normal",
        EventType::Warning => "Warning",
    };
    Published {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: about.namespace.clone(),
            ..ObjectMeta::default()
        },
        type_: Some(type_.to_owned()),
        reason: Some(event.reason.clone()),
        action: Some(event.action.clone()),
        note: event.note.clone(),
        event_time: Some(MicroTime(now)),
        regarding: Some(about.clone()),
        related: event.secondary.clone(),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(CONTROLLER.to_owned()),
        ..Published::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(note: &str) -> Equal {
        Equal {
            uid: Some("shop".to_owned()),
            type_: EventType::Warning,
            reason: "UnknownSize".to_owned(),
            action: "Reconcile".to_owned(),
            note: Some(note.to_owned()),
        }
    }

    #[test]
    fn equal_events_are_counted_and_another_note_is_another_event() {
        let mut told = HashMap::new();
        let begun = Timestamp::UNIX_EPOCH;
        let after = |minutes| begun + SignedDuration::from_mins(minutes);
        let large = count(&mut told, &refused("size large"), "shop", begun);
        let huge = count(&mut told, &refused("size huge"), "shop", after(1));
        assert_eq!((large.count, huge.count), (1, 1));
        assert_ne!(large.name, huge.name);

        let again = count(&mut told, &refused("size large"), "shop", after(5));
        assert_eq!((again.name.as_str(), again.count), (large.name.as_str(), 2));

        let much_later = count(&mut told, &refused("size large"), "shop", after(12));
        assert_eq!(much_later.count, 1);
        assert_ne!(much_later.name, large.name);
        assert_eq!(told.len(), 1);
    }
}
