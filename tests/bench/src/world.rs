//! Everybody else in the cluster: says with one write each that workloads are ready, jobs have
//! ended well and volumes are bound, as soon as they appear. Scheduler and kubelet take no time.
//!
//! Where there are nodes, only the one that provisions volumes is missing, and played.

use std::{collections::BTreeMap, fmt::Debug};

use anyhow::Result;
use futures_util::StreamExt as _;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, StatefulSet},
        batch::v1::Job,
        core::v1::{
            HostPathVolumeSource, PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec,
        },
        storage::v1::StorageClass,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, watcher},
    },
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::stage::params;

/// Writes at once, per kind.
const AT_ONCE: usize = 16;
/// Who provisions volumes, in the storage class and in the volumes themselves.
const PROVISIONER: &str = "bench.tutti.dev/volumes";
/// The scheduler's word that a pod will run there, and that the volume can be made.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

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

/// Makes the default storage class, as most clusters have one: a volume is made when the scheduler
/// has chosen the node of its first pod.
///
/// # Errors
/// When the API server refuses.
pub async fn make_storage_class(client: &Client) -> Result<()> {
    let class = json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "bench",
            "annotations": { "storageclass.kubernetes.io/is-default-class": "true" },
        },
        "provisioner": PROVISIONER,
        "volumeBindingMode": "WaitForFirstConsumer",
    });
    let api: Api<StorageClass> = Api::all(client.clone());
    api.patch("bench", &params(), &Patch::Apply(class)).await?;
    Ok(())
}

/// Writes a volume for each claim whose node is chosen, until the process ends. The controller
/// manager binds them.
pub async fn provision(client: Client) {
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    watcher(claims, watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .filter_map(|found| std::future::ready(found.ok().filter(waits_for_volume)))
        .map(|claim| make_volume(&client, claim))
        .buffer_unordered(AT_ONCE)
        .for_each(std::future::ready)
        .await;
}

fn waits_for_volume(claim: &PersistentVolumeClaim) -> bool {
    let volume = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_name.as_ref());
    volume.is_none() && claim.annotations().contains_key(SELECTED_NODE)
}

/// Failures do not matter: the volume is there already, or the claim's next event comes.
async fn make_volume(client: &Client, claim: PersistentVolumeClaim) {
    let name = format!("pvc-{}", claim.uid().unwrap_or_default());
    let claim_ref = claim.object_ref(&());
    let asked = claim.spec.unwrap_or_default();
    let volume = PersistentVolume {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            annotations: Some(BTreeMap::from([(
                "pv.kubernetes.io/provisioned-by".to_owned(),
                PROVISIONER.to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec {
            access_modes: asked.access_modes,
            capacity: asked.resources.and_then(|resources| resources.requests),
            storage_class_name: asked.storage_class_name,
            persistent_volume_reclaim_policy: Some("Delete".to_owned()),
            claim_ref: Some(claim_ref),
            // Never mounted.
            host_path: Some(HostPathVolumeSource {
                path: format!("/{name}"),
                type_: None,
            }),
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    };
    let api: Api<PersistentVolume> = Api::all(client.clone());
    let _ = api.create(&PostParams::default(), &volume).await;
}
