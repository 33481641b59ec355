//! The watches of organizations' fences: metadata is enough to see that they are as applied, and
//! quotas are watched whole for what is counted of them.

use std::{collections::HashSet, sync::PoisonError};

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::{
    core::v1::{LimitRange, Namespace, ResourceQuota},
    networking::v1::NetworkPolicy,
    rbac::v1::RoleBinding,
};
use kube::{
    Api, Client, Resource,
    core::{ObjectMeta, PartialObjectMeta},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use plan::{organization::FENCE, quota::Count};
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
    let mut start = |kind: FenceKind, stream: Touches| {
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
                    Ok(Touch::There(metadata, count)) => {
                        let organization = organization_of(kind, &metadata);
                        listed.insert(organization.clone());
                        let key = (organization, kind);
                        if cache.note_fence(&key, Applied::of(&metadata), count) {
                            touched(key.0);
                        }
                    }
                    Ok(Touch::Gone(metadata)) => {
                        let organization = organization_of(kind, &metadata);
                        forget(&cache, (organization, kind), &touched);
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
    start(FenceKind::Quota, quotas(client, fence.clone()));
    start(
        FenceKind::Limits,
        metadata::<LimitRange>(client, fence.clone()),
    );
    start(
        FenceKind::Policy,
        metadata::<NetworkPolicy>(client, fence.clone()),
    );
    start(FenceKind::Binding, metadata::<RoleBinding>(client, fence));
}

enum Touch {
    Begun,
    Loaded,
    There(Box<ObjectMeta>, Option<Count>),
    Gone(Box<ObjectMeta>),
}

type Touches = std::pin::Pin<Box<dyn Stream<Item = Result<Touch, watcher::Error>> + Send>>;

fn metadata<K>(client: &Client, config: watcher::Config) -> Touches
where
    K: Resource<DynamicType = ()>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug
        + Send
        + 'static,
{
    let api: Api<PartialObjectMeta<K>> = Api::all(client.clone());
    touches(watcher(api, config), |object| (object.metadata, None))
}

fn quotas(client: &Client, config: watcher::Config) -> Touches {
    let api: Api<ResourceQuota> = Api::all(client.clone());
    touches(watcher(api, config), |quota| {
        let count = quota.status.as_ref().and_then(Count::of);
        (quota.metadata, count)
    })
}

/// What of each object is kept: its metadata, and what is counted of a quota.
fn touches<K: Send + 'static>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    kept: impl Fn(K) -> (ObjectMeta, Option<Count>) + Send + 'static,
) -> Touches {
    let stream = events.default_backoff().map(move |event| {
        Ok(match event? {
            Event::Init => Touch::Begun,
            Event::InitDone => Touch::Loaded,
            Event::InitApply(object) | Event::Apply(object) => {
                let (metadata, count) = kept(object);
                Touch::There(Box::new(metadata), count)
            }
            Event::Delete(object) => Touch::Gone(Box::new(kept(object).0)),
        })
    });
    Box::pin(stream)
}

fn organization_of(kind: FenceKind, metadata: &ObjectMeta) -> String {
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

fn forget(cache: &Cache, key: (String, FenceKind), touched: &impl Fn(String)) {
    let mut fences = cache
        .fences()
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    let known = fences.remove(&key);
    drop(fences);
    if known.is_some() {
        touched(key.0);
    }
}
