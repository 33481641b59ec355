//! Everybody else in the cluster: says with one write each that workloads are ready, jobs have
//! ended well and volumes are bound, as soon as they appear. Scheduler and kubelet take no time.

use std::fmt::Debug;

use futures_util::StreamExt as _;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, StatefulSet},
        batch::v1::Job,
        core::v1::PersistentVolumeClaim,
    },
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, watcher},
    },
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Writes at once, per kind.
const AT_ONCE: usize = 16;

/// Something whose status the world writes.
pub trait Worldly:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + 'static
{
    /// Whether nothing is left to say.
    fn is_well(&self) -> bool;
    /// The status that says so.
    fn well(&self) -> Value;
}

impl Worldly for Deployment {
    fn is_well(&self) -> bool {
        let wished = self
            .spec
            .as_ref()
            .and_then(|spec| spec.replicas)
            .unwrap_or(1);
        self.status.as_ref().is_some_and(|status| {
            status.observed_generation == self.metadata.generation
                && status.ready_replicas.unwrap_or(0) == wished
        })
    }

    fn well(&self) -> Value {
        replicas(
            self.metadata.generation,
            self.spec.as_ref().and_then(|spec| spec.replicas),
        )
    }
}

impl Worldly for StatefulSet {
    fn is_well(&self) -> bool {
        let wished = self
            .spec
            .as_ref()
            .and_then(|spec| spec.replicas)
            .unwrap_or(1);
        self.status.as_ref().is_some_and(|status| {
            status.observed_generation == self.metadata.generation
                && status.ready_replicas.unwrap_or(0) == wished
        })
    }

    fn well(&self) -> Value {
        replicas(
            self.metadata.generation,
            self.spec.as_ref().and_then(|spec| spec.replicas),
        )
    }
}

fn replicas(generation: Option<i64>, wished: Option<i32>) -> Value {
    let wished = wished.unwrap_or(1);
    json!({
        "observedGeneration": generation,
        "replicas": wished, "updatedReplicas": wished,
        "readyReplicas": wished, "availableReplicas": wished,
    })
}

impl Worldly for Job {
    fn is_well(&self) -> bool {
        self.status
            .as_ref()
            .is_some_and(|status| status.completion_time.is_some())
    }

    fn well(&self) -> Value {
        let now = self.creation_timestamp().map(|time| time.0.to_string());
        let holds = |type_: &str| json!({ "type": type_, "status": "True", "lastTransitionTime": now, "lastProbeTime": now });
        json!({
            "startTime": now, "completionTime": now, "succeeded": 1,
            "conditions": [holds("SuccessCriteriaMet"), holds("Complete")],
        })
    }
}

impl Worldly for PersistentVolumeClaim {
    fn is_well(&self) -> bool {
        let phase = self
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        phase == Some("Bound")
    }

    fn well(&self) -> Value {
        let asked = self
            .spec
            .as_ref()
            .and_then(|spec| spec.resources.as_ref()?.requests.clone());
        json!({ "phase": "Bound", "capacity": asked })
    }
}

/// Plays until the process ends.
pub async fn play(client: Client) {
    futures_util::join!(
        each::<Deployment>(&client),
        each::<StatefulSet>(&client),
        each::<Job>(&client),
        each::<PersistentVolumeClaim>(&client),
    );
}

async fn each<K: Worldly>(client: &Client) {
    let api: Api<K> = Api::all(client.clone());
    watcher(api, watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .filter_map(|found| std::future::ready(found.ok().filter(|object| !object.is_well())))
        .map(|object| write(client, object))
        .buffer_unordered(AT_ONCE)
        .for_each(std::future::ready)
        .await;
}

/// Failures do not matter: the object is gone, or its next event comes.
async fn write<K: Worldly>(client: &Client, object: K) {
    let namespace = object.namespace().unwrap_or_default();
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let params = PatchParams {
        field_manager: Some("kube-controller-manager".to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({ "status": object.well() }));
    let _ = api.patch_status(&object.name_any(), &params, &patch).await;
}
