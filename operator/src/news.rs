//! News: an event with the words of `Ready`, when its reason changed or an edit got another refusal, and
//! of each warning beside it.

use crds::condition::{self, Condition};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType},
};
use plan::health::WARNINGS;

use crate::recorder::Recorder;

/// The API server takes a note of up to 1,024 bytes.
const LONGEST_NOTE: usize = 1000;

/// Publishes events of one operator.
#[derive(Clone)]
pub struct News(Recorder);

impl News {
    /// Over this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(Recorder::new(client))
    }

    /// Tells that `Ready` has another reason than before, if it has, or other words for another wish that
    /// cannot be granted; and what else wants somebody whatever `Ready` says.
    pub fn tell(&self, about: ObjectReference, before: &[Condition], after: &[Condition]) {
        for (type_, condition) in told(before, after) {
            tracing::info!(
                condition = condition.type_,
                status = condition.status,
                reason = condition.reason,
                detail = condition.message,
                "its state changed"
            );
            let event = Event {
                type_,
                reason: condition.reason.clone(),
                note: Some(shorten(&condition.message)),
                action: "Reconcile".to_owned(),
                secondary: None,
            };
            self.publish(event, about.clone());
        }
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

/// What is told of conditions, and how loud.
fn told<'a>(
    before: &'a [Condition],
    after: &'a [Condition],
) -> impl Iterator<Item = (EventType, &'a Condition)> {
    let is_trouble = condition::is_true(after, condition::STALLED);
    let is_new = move |condition: &&Condition| {
        let known = condition::find(before, &condition.type_);
        known.is_none_or(|it| {
            it.reason != condition.reason
                || it.status != condition.status
                || is_trouble && answers_an_edit(it, condition)
        })
    };
    let ready = condition::find(after, condition::READY);
    let is_warning = |condition: &Condition| WARNINGS.contains(&condition.reason.as_str());
    let others = after.iter().filter(move |condition| {
        // What `Ready` says itself is said.
        is_warning(condition) && ready.is_none_or(|ready| ready.reason != condition.reason)
    });
    let others = others.map(|condition| (EventType::Warning, condition));
    let ready = ready.into_iter().map(move |ready| {
        let is_loud = is_trouble || is_warning(ready);
        let type_ = if is_loud {
            EventType::Warning
        } else {
            EventType::Normal
        };
        (type_, ready)
    });
    ready
        .chain(others)
        .filter(move |(_, condition)| is_new(condition))
}

/// Whether somebody edited the object, and is told something else for the same reason. Words that change by
/// themselves, as counts and times do, are no news.
fn answers_an_edit(before: &Condition, after: &Condition) -> bool {
    before.message != after.message && before.observed_generation != after.observed_generation
}

fn shorten(message: &str) -> String {
    let end = message.floor_char_boundary(LONGEST_NOTE);
    message[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use crds::condition::Time;
    use jiff::Timestamp;

    use super::*;

    fn said(type_: &str, reason: &str) -> Condition {
        Condition {
            type_: type_.to_owned(),
            status: "True".to_owned(),
            reason: reason.to_owned(),
            message: reason.to_lowercase(),
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
            observed_generation: None,
        }
    }

    fn events(before: &[Condition], after: &[Condition]) -> Vec<(bool, String)> {
        told(before, after)
            .map(|(type_, it)| (matches!(type_, EventType::Warning), it.reason.clone()))
            .collect()
    }

    #[test]
    fn a_brought_certificate_that_ends_soon_is_told_once_and_as_a_warning() {
        let before = [said("Ready", "Served"), said("Certified", "Brought")];
        let reason = "BroughtCertificateEndsSoon";
        let after = [said("Ready", reason), said("Certified", reason)];
        assert_eq!(events(&before, &after), [(true, reason.to_owned())]);
        assert_eq!(events(&after, &after), []);
    }

    #[test]
    fn a_second_wish_that_cannot_be_granted_is_told_though_the_reason_is_the_same() {
        let refused = |message: &str, generation| Condition {
            message: message.to_owned(),
            observed_generation: Some(generation),
            ..said("Ready", "UnknownSize")
        };
        let stuck = said("Stalled", "UnknownSize");
        let first = [refused("there is no size large", 1), stuck.clone()];
        let second = [refused("there is no size huge", 2), stuck.clone()];
        let news = (true, "UnknownSize".to_owned());
        assert_eq!(events(&first, &second), [news]);
        let unlike = [refused("there is still no size large", 1), stuck.clone()];
        assert_eq!(events(&first, &unlike), []);
        let edited = [refused("there is no size large", 2), stuck];
        assert_eq!(events(&first, &edited), []);
    }

    #[test]
    fn a_name_that_looks_like_another_is_warned_about_whatever_ready_says() {
        let looks = said("NameValid", "NameLooksLikeAnother");
        let first = [said("Ready", "NotProven"), looks.clone()];
        assert_eq!(
            events(&[], &first),
            [
                (false, "NotProven".to_owned()),
                (true, "NameLooksLikeAnother".to_owned())
            ]
        );
        let later = [said("Ready", "Served"), looks];
        assert_eq!(events(&first, &later), [(false, "Served".to_owned())]);
    }
}
