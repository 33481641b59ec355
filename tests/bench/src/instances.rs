//! Instances: making them, and seeing on a watch that they are ready.

use std::{collections::HashSet, pin::Pin};

use anyhow::{Context as _, Result};
use crds::{AppInstance, condition};
use futures_util::{Stream, StreamExt as _, stream};
use kube::{
    Api, Client, ResourceExt,
    api::PostParams,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use serde_json::json;

/// Namespace and name.
pub type Key = (String, String);

/// One more instance.
///
/// # Errors
/// When it is refused.
pub async fn make(client: &Client, app: &str, version: &str, key: &Key) -> Result<()> {
    let (namespace, name) = key;
    let api: Api<AppInstance> = Api::namespaced(client.clone(), namespace);
    let object: AppInstance = serde_json::from_value(json!({
        "apiVersion": "tutti.dev/v1alpha1",
        "kind": "AppInstance",
        "metadata": { "name": name, "namespace": namespace },
        "spec": { "app": app, "version": version, "size": "small" },
    }))?;
    api.create(&PostParams::default(), &object)
        .await
        .with_context(|| format!("instance {namespace}/{name}"))?;
    Ok(())
}

/// Many, this many writes at once.
///
/// # Errors
/// When one is refused.
pub async fn make_all(
    client: &Client,
    app: &str,
    version: &str,
    keys: &[Key],
    at_once: usize,
) -> Result<()> {
    let mut writes = stream::iter(keys)
        .map(|key| make(client, app, version, key))
        .buffer_unordered(at_once);
    while let Some(outcome) = writes.next().await {
        outcome?;
    }
    Ok(())
}

/// A watch that has begun, and tells which instances are ready.
pub struct Readiness {
    events: Pin<Box<dyn Stream<Item = Option<Key>> + Send>>,
    ready: HashSet<Key>,
}

impl Readiness {
    /// # Errors
    /// When the watch does not begin.
    pub async fn watch(client: &Client) -> Result<Self> {
        let api: Api<AppInstance> = Api::all(client.clone());
        let events = watcher(api, watcher::Config::default())
            .default_backoff()
            .filter_map(|event| {
                std::future::ready(match event {
                    Ok(Event::InitDone) => Some(None),
                    Ok(Event::Apply(object) | Event::InitApply(object)) if is_ready(&object) => {
                        Some(Some((
                            object.namespace().unwrap_or_default(),
                            object.name_any(),
                        )))
                    }
                    _ => None,
                })
            });
        let mut watch = Self {
            events: Box::pin(events),
            ready: HashSet::new(),
        };
        while let Some(key) = watch.events.next().await.context("the watch ended")? {
            watch.ready.insert(key);
        }
        Ok(watch)
    }

    /// Waits until so many are ready.
    ///
    /// # Errors
    /// When the watch ends.
    pub async fn wait(&mut self, count: usize) -> Result<()> {
        while self.ready.len() < count {
            if let Some(key) = self.events.next().await.context("the watch ended")? {
                self.ready.insert(key);
            }
        }
        Ok(())
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.ready.len()
    }
}

fn is_ready(instance: &AppInstance) -> bool {
    instance.status.as_ref().is_some_and(|status| {
        status.observed_generation == instance.metadata.generation
            && condition::is_true(&status.conditions, condition::READY)
    })
}
