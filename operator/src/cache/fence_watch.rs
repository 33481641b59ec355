//! The watches of organizations' fences: metadata is enough to see that they are as applied.

use std::{collections::HashSet, sync::PoisonError};

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::{
    core::v1::{LimitRange, Namespace, ResourceQuota},
    networking::v1::NetworkPolicy,
};
use kube::{
    Api, Client, Resource,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use plan::organization::FENCE;
use service::Readiness;
use tokio::task::JoinSet;

use super::{Cache, child::Applied, fence::FenceKind, watch::ours};

/// Starts the watches; `touched` is told the namespaces whose fence is not as it was.
pub fn fences(
    client: &Client,
    cache: &Cache,
    readiness: &Readiness,
    tasks: &mut JoinSet<()>,
    touched: impl Fn(String) + Clone + Send + 'static,
) {
    let mut start = |kind: FenceKind, stream: Metadata| {
        let check = readiness.check(format!("watch of organizations' {kind:?}"));
        let cache = cache.clone();
        let touched = touched.clone();
        tasks.spawn(async move {
            let mut stream = stream;
            let mut listed = HashSet::new();
            while let Some(event) = stream.next().await {
                match event {
                    Ok(Touch::Begun) => listed.clear(),
                    Ok(Touch::Loaded) => {
                        forget_unlisted(&cache, kind, &listed, &touched);
                        check.set(true);
                    }
                    Ok(Touch::Object(metadata, is_gone)) => {
                        listed.insert(organization_of(kind, &metadata));
                        note(&cache, kind, &metadata, is_gone, &touched);
                    }
                    Err(error) => {
                        tracing::warn!(?kind, %error, "watch interrupted, it is taken up again");
                    }
                }
            }
        });
    };
    start(FenceKind::Namespace, metadata::<Namespace>(client, ours()));
    let fence = ours().fields(&format!("metadata.name={FENCE}"));
    start(
        FenceKind::Quota,
        metadata::<ResourceQuota>(client, fence.clone()),
    );
    start(
        FenceKind::Limits,
        metadata::<LimitRange>(client, fence.clone()),
    );
    start(FenceKind::Policy, metadata::<NetworkPolicy>(client, fence));
}

enum Touch {
    Begun,
    Loaded,
    Object(Box<kube::core::ObjectMeta>, bool),
}

type Metadata = std::pin::Pin<Box<dyn Stream<Item = Result<Touch, watcher::Error>> + Send>>;

fn metadata<K>(client: &Client, config: watcher::Config) -> Metadata
where
    K: Resource<DynamicType = ()>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug
        + Send
        + 'static,
{
    let api: Api<PartialObjectMeta<K>> = Api::all(client.clone());
    let stream = watcher(api, config)
        .default_backoff()
        .filter_map(|event| async move {
            match event {
                Ok(Event::Init) => Some(Ok(Touch::Begun)),
                Ok(Event::InitDone) => Some(Ok(Touch::Loaded)),
                Ok(Event::InitApply(object) | Event::Apply(object)) => {
                    Some(Ok(Touch::Object(Box::new(object.metadata), false)))
                }
                Ok(Event::Delete(object)) => {
                    Some(Ok(Touch::Object(Box::new(object.metadata), true)))
                }
                Err(error) => Some(Err(error)),
            }
        });
    Box::pin(stream)
}

fn organization_of(kind: FenceKind, metadata: &kube::core::ObjectMeta) -> String {
    match kind {
        FenceKind::Namespace => metadata.name.clone(),
        _ => metadata.namespace.clone(),
    }
    .unwrap_or_default()
}

/// Forgets what a complete list did not hold: it went while nobody watched.
fn forget_unlisted(
    cache: &Cache,
    kind: FenceKind,
    listed: &HashSet<String>,
    touched: &impl Fn(String),
) {
    let mut gone = Vec::new();
    let mut fences = cache
        .fences()
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    fences.retain(|(organization, known), _| {
        let stays = *known != kind || listed.contains(organization);
        if !stays {
            gone.push(organization.clone());
        }
        stays
    });
    drop(fences);
    gone.into_iter().for_each(touched);
}

fn note(
    cache: &Cache,
    kind: FenceKind,
    metadata: &kube::core::ObjectMeta,
    is_gone: bool,
    touched: &impl Fn(String),
) {
    let organization = organization_of(kind, metadata);
    let key = (organization.clone(), kind);
    let mut fences = cache
        .fences()
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    let mut applied = Applied::of(metadata);
    let changed = if is_gone {
        fences.remove(&key).is_some()
    } else {
        let is_news = fences
            .get_mut(&key)
            .is_none_or(|known| known.is_news(&mut applied));
        if is_news {
            fences.insert(key, applied);
        }
        is_news
    };
    drop(fences);
    if changed {
        touched(organization);
    }
}
