//! News: an event with the words of `Ready`, when its reason changed.

use crds::condition::{self, Condition};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};

/// As what our events are signed.
const CONTROLLER: &str = "tutti-operator";
/// The API server takes a note of up to 1,024 bytes.
const LONGEST_NOTE: usize = 1000;

/// Publishes events of one operator.
#[derive(Clone)]
pub struct News(Recorder);

impl News {
    /// Over this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        let reporter = Reporter {
            controller: CONTROLLER.to_owned(),
            instance: None,
        };
        Self(Recorder::new(client, reporter))
    }

    /// Tells that `Ready` has another reason than before, if it has.
    pub fn tell(&self, about: ObjectReference, before: &[Condition], after: &[Condition]) {
        let Some(ready) = condition::find(after, condition::READY) else {
            return;
        };
        let known = condition::find(before, condition::READY);
        if known.is_some_and(|known| known.reason == ready.reason && known.status == ready.status) {
            return;
        }
        tracing::info!(
            ready = ready.status,
            reason = ready.reason,
            detail = ready.message,
            "its state changed"
        );
        let is_trouble = condition::is_true(after, condition::STALLED);
        let event = Event {
            type_: if is_trouble {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: ready.reason.clone(),
            note: Some(shorten(&ready.message)),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        self.publish(event, about);
    }

    /// Nobody waits for an event: it is news, and a condition says the same.
    pub fn publish(&self, event: Event, about: ObjectReference) {
        let recorder = self.0.clone();
        tokio::spawn(async move {
            if let Err(error) = recorder.publish(&event, &about).await {
                tracing::debug!(%error, "event not published");
            }
        });
    }
}

fn shorten(message: &str) -> String {
    let end = message.floor_char_boundary(LONGEST_NOTE);
    message[..end].to_owned()
}
