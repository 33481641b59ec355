//! The watches that keep the cache up to date and say which instance to look at.

use std::{collections::HashSet, fmt::Debug};

use crds::{Domain, Route, SsoClient, labels};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    batch::v1::{CronJob, Job},
    core::v1::{PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Client, Resource,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use service::Readiness;
use tokio::{sync::mpsc::UnboundedSender, task::JoinSet};

use super::{
    Cache, InstanceKey,
    child::{Applied, Child, Digest, Kind, instance_of},
};

/// Objects a page of a first list holds: keeps the peak of memory low at ten thousand instances.
const PAGE: u32 = 100;

/// How a child is watched.
#[must_use]
pub fn ours() -> watcher::Config {
    watcher::Config::default()
        .labels(&format!("{}={}", labels::MANAGED_BY, labels::MANAGER))
        .page_size(PAGE)
}

/// Starts a watch for every kind of child.
pub fn children(
    client: &Client,
    cache: &Cache,
    readiness: &Readiness,
    touched: &UnboundedSender<InstanceKey>,
    tasks: &mut JoinSet<()>,
) {
    let mut start = Start {
        client,
        cache,
        readiness,
        touched,
        tasks,
    };
    start.full::<Deployment>(Kind::Deployment);
    start.full::<StatefulSet>(Kind::StatefulSet);
    start.full::<Job>(Kind::Job);
    start.full::<Pod>(Kind::Pod);
    start.full::<PersistentVolumeClaim>(Kind::PersistentVolumeClaim);
    start.full::<Route>(Kind::Route);
    start.full::<SsoClient>(Kind::SsoClient);
    start.metadata::<Domain>(Kind::Domain);
    start.metadata::<CronJob>(Kind::CronJob);
    start.metadata::<Secret>(Kind::Secret);
    start.metadata::<ServiceAccount>(Kind::ServiceAccount);
    start.metadata::<Service>(Kind::Service);
    start.metadata::<NetworkPolicy>(Kind::NetworkPolicy);
    start.metadata::<PodDisruptionBudget>(Kind::PodDisruptionBudget);
}

struct Start<'a> {
    client: &'a Client,
    cache: &'a Cache,
    readiness: &'a Readiness,
    touched: &'a UnboundedSender<InstanceKey>,
    tasks: &'a mut JoinSet<()>,
}

impl Start<'_> {
    fn full<K>(&mut self, kind: Kind)
    where
        K: Resource<DynamicType = ()> + Digest + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let api: Api<K> = Api::all(self.client.clone());
        self.spawn(kind, watcher(api, ours()));
    }

    fn metadata<K>(&mut self, kind: Kind)
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let api: Api<PartialObjectMeta<K>> = Api::all(self.client.clone());
        self.spawn(kind, watcher(api, ours()));
    }

    fn spawn<K>(
        &mut self,
        kind: Kind,
        stream: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    ) where
        K: Digest + Send + 'static,
    {
        let check = self.readiness.check(format!("watch of {kind:?}"));
        let cache = self.cache.clone();
        let touched = self.touched.clone();
        self.tasks.spawn(async move {
            let mut stream = std::pin::pin!(stream.default_backoff());
            let mut listed = HashSet::new();
            loop {
                match stream.try_next().await {
                    Ok(Some(event)) => {
                        if matches!(event, Event::InitDone) {
                            check.set(true);
                        }
                        handle(&cache, kind, event, &mut listed, &touched);
                    }
                    Ok(None) => return,
                    Err(error) => {
                        tracing::warn!(?kind, %error, "watch interrupted, it is taken up again");
                    }
                }
            }
        });
    }
}

fn handle<K: Digest>(
    cache: &Cache,
    kind: Kind,
    event: Event<K>,
    listed: &mut HashSet<(InstanceKey, String)>,
    touched: &UnboundedSender<InstanceKey>,
) {
    // The receiver lives as long as the process: nothing is lost by a send that fails at its end.
    let touch = |key: InstanceKey| drop(touched.send(key));
    match event {
        Event::Init => listed.clear(),
        Event::InitApply(object) => {
            let Some(key) = instance_of(object.meta()) else {
                return;
            };
            listed.insert((key.clone(), object.name_any()));
            if note(cache, &key, kind, &object) {
                touch(key);
            }
        }
        Event::InitDone => cache.keep_only(kind, listed).into_iter().for_each(touch),
        Event::Apply(object) => {
            let key = instance_of(object.meta());
            forget_elsewhere(cache, key.as_ref(), kind, &object)
                .into_iter()
                .for_each(touch);
            let Some(key) = key else {
                return;
            };
            if note(cache, &key, kind, &object) {
                touch(key);
            }
        }
        Event::Delete(object) => {
            let Some(key) = instance_of(object.meta()) else {
                return;
            };
            cache.forget(&key, kind, &object.name_any(), object.meta());
            touch(key);
        }
    }
}

/// An object whose label was changed by hand is no longer known as a child of its instance, which
/// then looks for it.
fn forget_elsewhere<K: Digest>(
    cache: &Cache,
    key: Option<&InstanceKey>,
    kind: Kind,
    object: &K,
) -> Vec<InstanceKey> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let mut homes = cache.homes(&namespace, kind, &name);
    homes.retain(|home| Some(home) != key);
    for home in &homes {
        cache.forget(home, kind, &name, object.meta());
    }
    homes
}

/// Takes note of an object as it is, unless something newer is known. Returns whether anything changed.
pub fn note<K: Digest>(cache: &Cache, key: &InstanceKey, kind: Kind, object: &K) -> bool {
    let child = Child {
        applied: Applied::of(object.meta()),
        seen: object.seen(),
    };
    cache.note(key, kind, &object.name_any(), child)
}

/// Drops what no decision depends on from objects that are kept whole.
pub fn strip<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
    if let Some(annotations) = &mut object.meta_mut().annotations {
        // kubectl's copy of the object.
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

/// What a watch tells of our own kinds.
pub enum News<K> {
    /// It is there, new or changed.
    There(K),
    /// It is gone. An object without finalizers goes without having said that it is going.
    Gone(K),
    /// All were listed anew: what went meanwhile has not been told one by one.
    Listed,
}

/// Feeds a store from a watch of all objects of a kind, and passes on what it tells. Used for our
/// own kinds, which are kept whole.
pub fn reflect<K>(
    client: &Client,
    writer: kube::runtime::reflector::store::Writer<K>,
    name: &'static str,
    readiness: &Readiness,
    tasks: &mut JoinSet<()>,
    tell: impl FnMut(News<K>) + Send + 'static,
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let api = Api::all(client.clone());
    let config = watcher::Config::default();
    reflect_these(api, config, writer, name, readiness, tasks, tell);
}

/// The same for some objects of a kind.
pub fn reflect_these<K>(
    api: Api<K>,
    config: watcher::Config,
    writer: kube::runtime::reflector::store::Writer<K>,
    name: &'static str,
    readiness: &Readiness,
    tasks: &mut JoinSet<()>,
    tell: impl FnMut(News<K>) + Send + 'static,
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let stream = watcher(api, config.page_size(PAGE))
        .default_backoff()
        .modify(strip)
        .reflect(writer);
    follow(stream, name, readiness, tasks, tell);
}

/// Passes on what a watch of metadata tells, and keeps nothing.
pub fn hear<K>(
    client: &Client,
    config: watcher::Config,
    name: &'static str,
    readiness: &Readiness,
    tasks: &mut JoinSet<()>,
    tell: impl FnMut(News<PartialObjectMeta<K>>) + Send + 'static,
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let api: Api<PartialObjectMeta<K>> = Api::all(client.clone());
    let stream = watcher(api, config.page_size(PAGE)).default_backoff();
    follow(stream, name, readiness, tasks, tell);
}

fn follow<K: Send + 'static>(
    stream: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    name: &'static str,
    readiness: &Readiness,
    tasks: &mut JoinSet<()>,
    mut tell: impl FnMut(News<K>) + Send + 'static,
) {
    let check = readiness.check(format!("watch of {name}"));
    tasks.spawn(async move {
        let mut stream = std::pin::pin!(stream);
        loop {
            match stream.next().await {
                Some(Ok(Event::Apply(object) | Event::InitApply(object))) => {
                    tell(News::There(object));
                }
                Some(Ok(Event::Delete(object))) => tell(News::Gone(object)),
                Some(Ok(Event::InitDone)) => {
                    tell(News::Listed);
                    check.set(true);
                }
                Some(Ok(Event::Init)) => {}
                Some(Err(error)) => {
                    tracing::warn!(kind = name, %error, "watch interrupted, it is taken up again");
                }
                None => return,
            }
        }
    });
}
