//! Following objects of one kind: events of a watch in, the whole set out, and which of it changed, at
//! a bounded pace.
//!
//! A single change is reported at once; changes that come in a burst are reported together. While
//! the API server is away the last set stands, said once in the log and always in the metrics.
//! A list that begins anew (after a gap) replaces the set only when it is complete.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    time::{Duration, Instant},
};

use futures_util::{Stream, StreamExt};
use kube::{
    Resource, ResourceExt,
    runtime::{
        utils::Backoff,
        watcher::{Error, Event},
    },
};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use service::telemetry::with_causes;

/// Between two reports at least. A change is served within 50 ms, of which this is the wait.
pub const PACE: Duration = Duration::from_millis(20);

/// Pauses between two tries while the API server is away: half a second, doubled up to five, so
/// that what was missed is served within seconds of its return. Each is cut by chance, up to
/// half, so that many gateways do not come back at the same moment.
#[derive(Default)]
pub struct Pauses {
    tries: u32,
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let longest = Duration::from_millis(500) * 2_u32.pow(self.tries.min(4));
        self.tries = self.tries.saturating_add(1);
        Some(
            longest
                .min(Duration::from_secs(5))
                .mul_f64(rand::random_range(0.5..=1.0)),
        )
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.tries = 0;
    }
}

/// A watch that is resumed says nothing until something changes. No error for this long means
/// that it works: longer than the longest pause and the client's connect timeout (30 s) together.
const QUIET: Duration = Duration::from_secs(45);

/// `(namespace, name)`.
pub type Key = (String, String);

/// What is not as it was at the last report.
#[derive(Clone, Copy, Debug)]
pub enum Changed<'a> {
    /// Anything: a list has begun anew.
    All,
    /// These came, changed or went.
    Some(&'a BTreeSet<Key>),
}

/// What the rest of the program learns about the watch itself.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// 1 while the API server answers.
    pub connected: Gauge,
    pub errors: Counter,
}

/// Follows until the stream ends, which a watch never does. `convert` makes of an object what is
/// kept of it, and may fall back on what was kept before; `report` gets everything that is kept.
pub async fn follow<K, V>(
    kind: &'static str,
    events: impl Stream<Item = Result<Event<K>, Error>>,
    health: Health,
    mut convert: impl FnMut(K, Option<&V>) -> Option<V>,
    mut report: impl FnMut(&BTreeMap<Key, V>, Changed<'_>),
) where
    K: Resource + Debug,
    V: Clone,
{
    let mut events = std::pin::pin!(events);
    let mut known: BTreeMap<Key, V> = BTreeMap::new();
    // The list that is being read; it becomes `known` when it is complete.
    let mut listing: Option<BTreeMap<Key, V>> = None;
    let mut changed: BTreeSet<Key> = BTreeSet::new();
    let mut is_new = false;
    let mut is_away = false;
    let mut last_error = Instant::now();
    let mut next_report = Instant::now();

    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = tokio::time::sleep_until(next_report.into()), if is_new || !changed.is_empty() => {
                let begun = Instant::now();
                report(&known, if is_new { Changed::All } else { Changed::Some(&changed) });
                is_new = false;
                changed.clear();
                // A large set takes longer: never more than a fifth of one core goes into it.
                next_report = Instant::now() + PACE.max(begun.elapsed() * 4);
                continue;
            }
            () = tokio::time::sleep_until((last_error + QUIET).into()), if is_away => {
                health.connected.set(1);
                is_away = false;
                tracing::info!(kind, "watch works again");
                continue;
            }
        };
        match event {
            None => return,
            Some(Err(error)) => {
                health.errors.inc();
                health.connected.set(0);
                last_error = Instant::now();
                if !std::mem::replace(&mut is_away, true) {
                    tracing::warn!(kind, error = %with_causes(error.to_string(), &error), "watch broken; the last known objects stay served");
                }
            }
            Some(Ok(event)) => {
                health.connected.set(1);
                if std::mem::replace(&mut is_away, false) {
                    tracing::info!(kind, "watch works again");
                }
                match event {
                    Event::Init => listing = Some(BTreeMap::new()),
                    Event::InitApply(object) => {
                        let key = key_of(&object);
                        if let Some(value) = convert(object, known.get(&key)) {
                            listing.get_or_insert_default().insert(key, value);
                        }
                        // A list of ten thousand comes as one burst; other tasks want to run too.
                        tokio::task::yield_now().await;
                    }
                    Event::InitDone => {
                        known = listing.take().unwrap_or_default();
                        is_new = true;
                    }
                    Event::Apply(object) => {
                        let key = key_of(&object);
                        let before = known.remove(&key);
                        let after = convert(object, before.as_ref());
                        // What nothing is kept of is no news.
                        if before.is_some() || after.is_some() {
                            changed.insert(key.clone());
                        }
                        known.extend(after.map(|value| (key, value)));
                    }
                    Event::Delete(object) => {
                        let key = key_of(&object);
                        known.remove(&key);
                        changed.insert(key);
                    }
                }
            }
        }
    }
}

/// The key of an object.
pub fn key_of<K: Resource>(object: &K) -> Key {
    (
        object.meta().namespace.clone().unwrap_or_default(),
        object.name_any(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use k8s_openapi::api::core::v1::ConfigMap;
    use std::sync::{Arc, Mutex};

    fn object(name: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.to_owned());
        object
    }

    /// Feeds events, lets the pace pass, and gives back the sets that were reported.
    async fn reports(events: Vec<Result<Event<ConfigMap>, Error>>) -> Vec<Vec<String>> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let events = stream::iter(events).chain(stream::pending());
        let followed = follow(
            "ConfigMap",
            events,
            Health::default(),
            |object: ConfigMap, _| object.metadata.name,
            move |known, _| sink.lock().unwrap().push(known.values().cloned().collect()),
        );
        let _ = tokio::time::timeout(Duration::from_millis(200), followed).await;
        let seen = seen.lock().unwrap();
        seen.clone()
    }

    #[tokio::test]
    async fn nothing_is_reported_before_the_first_list_is_complete() {
        let begun = vec![Ok(Event::Init), Ok(Event::InitApply(object("a")))];
        assert_eq!(reports(begun).await, Vec::<Vec<String>>::new());
        let complete = vec![
            Ok(Event::Init),
            Ok(Event::InitApply(object("a"))),
            Ok(Event::InitApply(object("b"))),
            Ok(Event::InitDone),
        ];
        assert_eq!(reports(complete).await, [["a", "b"]]);
    }

    #[tokio::test]
    async fn a_thousand_changes_are_a_handful_of_reports_and_the_last_one_is_whole() {
        let mut events = vec![Ok(Event::Init), Ok(Event::InitDone)];
        events.extend((0..1_000).map(|n| Ok(Event::Apply(object(&format!("n{n}"))))));
        let reports = reports(events).await;
        assert!(reports.len() <= 5, "{}", reports.len());
        assert_eq!(reports.last().map(Vec::len), Some(1_000));
    }

    #[tokio::test]
    async fn a_report_names_what_changed_since_the_one_before() {
        let later = stream::once(async {
            tokio::time::sleep(Duration::from_millis(60)).await;
            stream::iter([
                Ok(Event::Apply(object("new"))),
                Ok(Event::Apply(object("of no interest"))),
                Ok(Event::Delete(object("old"))),
            ])
        });
        let listed = stream::iter([
            Ok(Event::Init),
            Ok(Event::InitApply(object("old"))),
            Ok(Event::InitApply(object("other"))),
            Ok(Event::InitDone),
        ]);
        let mut seen = Vec::new();
        let followed = follow(
            "ConfigMap",
            listed.chain(later.flatten()).chain(stream::pending()),
            Health::default(),
            |object: ConfigMap, _| object.metadata.name.filter(|name| !name.contains(' ')),
            |_, changed| {
                seen.push(match changed {
                    Changed::All => Vec::new(),
                    Changed::Some(keys) => keys.iter().map(|(_, name)| name.clone()).collect(),
                });
            },
        );
        let _ = tokio::time::timeout(Duration::from_millis(300), followed).await;
        // First everything, then what is new, in one report or two.
        assert_eq!(seen.first(), Some(&vec![]));
        assert_eq!(seen.concat(), ["new", "old"]);
    }

    #[tokio::test]
    async fn the_set_stands_while_the_api_server_is_away_and_a_new_list_replaces_it_whole() {
        let events = vec![
            Ok(Event::Init),
            Ok(Event::InitApply(object("gone"))),
            Ok(Event::InitDone),
            Err(Error::NoResourceVersion),
            Ok(Event::Init),
            Ok(Event::InitApply(object("new"))),
        ];
        let incomplete = reports(events).await;
        assert_eq!(incomplete.last(), Some(&vec!["gone".to_owned()]));

        let events = vec![
            Ok(Event::Init),
            Ok(Event::InitApply(object("gone"))),
            Ok(Event::InitDone),
            Ok(Event::Init),
            Ok(Event::InitApply(object("new"))),
            Ok(Event::InitDone),
        ];
        assert_eq!(reports(events).await.last(), Some(&vec!["new".to_owned()]));
    }
}
