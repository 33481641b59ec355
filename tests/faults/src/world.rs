//! Everybody else in the cluster: says that workloads are ready, jobs have ended well, volumes are
//! bound and apps are registered for sign-in, as soon as they appear; and collects the garbage of
//! instances that are gone. It writes as the real controllers do: status beside annotations and a
//! volume's name.

use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{LazyLock, Mutex, PoisonError},
};

use crds::{AppInstance, SsoClient, condition, labels};
use futures_util::{StreamExt as _, future::join_all};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, StatefulSet},
        batch::v1::Job,
        core::v1::{PersistentVolumeClaim, Secret},
    },
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use operator::cache::Kind;
use serde_json::{Value, json};

/// Annotation of the world on a Deployment.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// Annotation of the world on a claim.
const BOUND: &str = "pv.kubernetes.io/bind-completed";
/// Every annotation that the world writes.
pub const ANNOTATIONS: [&str; 2] = [REVISION, BOUND];

/// What the real controllers are called in managedFields.
const MANAGER: &str = "kube-controller-manager";
/// How many objects of a kind it sees to at once: no run waits for all others.
const AT_ONCE: usize = 8;
/// How often it tries to write something.
const TRIES: u32 = 3;

/// Plays until the process ends.
pub async fn play(client: Client) {
    futures_util::join!(
        each(client.clone(), |client, event| async move {
            if let Event::Apply(object) | Event::InitApply(object) = event {
                run_deployment(&client, &object).await;
            }
        }),
        each(client.clone(), |client, event| async move {
            if let Event::Apply(object) | Event::InitApply(object) = event {
                run_database(&client, &object).await;
            }
        }),
        each(client.clone(), |client, event| async move {
            if let Event::Apply(object) | Event::InitApply(object) = event {
                run_job(&client, &object).await;
            }
        }),
        each(client.clone(), |client, event| async move {
            if let Event::Apply(object) | Event::InitApply(object) = event {
                bind(&client, &object).await;
            }
        }),
        each(client.clone(), |client, event| async move {
            if let Event::Apply(object) | Event::InitApply(object) = event {
                register(&client, &object).await;
            }
        }),
        each(client, |client, event| async move {
            if let Event::Delete(instance) = event {
                tokio::spawn(async move { collect_garbage(&client, &instance).await });
            }
        }),
    );
}

async fn each<K, F>(client: Client, act: impl Fn(Client, Event<K>) -> F)
where
    K: Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + Debug + Send + 'static,
    F: Future<Output = ()>,
{
    let api: Api<K> = Api::all(client.clone());
    // What is written by an older look is written again by a newer one: every write is an event.
    watcher(api, watcher::Config::default())
        .default_backoff()
        .for_each_concurrent(AT_ONCE, async |event| {
            if let Ok(event) = event {
                act(client.clone(), event).await;
            }
        })
        .await;
}

async fn run_deployment(client: &Client, object: &Deployment) {
    let wished = object
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let known = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    if known.observed_generation == generation && known.ready_replicas.unwrap_or(0) == wished {
        return;
    }
    if !object.annotations().contains_key(REVISION) {
        let patch = json!({ "metadata": { "annotations": { REVISION: "1" } } });
        write::<Deployment>(client, object, &patch, false).await;
    }
    let status = json!({ "status": {
        "observedGeneration": generation,
        "replicas": wished, "updatedReplicas": wished,
        "readyReplicas": wished, "availableReplicas": wished,
    }});
    write::<Deployment>(client, object, &status, true).await;
}

async fn run_database(client: &Client, object: &StatefulSet) {
    if object.metadata.deletion_timestamp.is_some() {
        // Its pods would be let go of first.
        let patch = json!({ "metadata": { "finalizers": null } });
        write::<StatefulSet>(client, object, &patch, false).await;
        return;
    }
    let wished = object
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let known = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    if known.observed_generation == generation && known.ready_replicas.unwrap_or(0) == wished {
        return;
    }
    let status = json!({ "status": {
        "observedGeneration": generation,
        "replicas": wished, "updatedReplicas": wished, "currentReplicas": wished,
        "readyReplicas": wished, "availableReplicas": wished,
    }});
    write::<StatefulSet>(client, object, &status, true).await;
}

async fn run_job(client: &Client, object: &Job) {
    let is_finished = object
        .status
        .as_ref()
        .is_some_and(|status| status.completion_time.is_some());
    // What becomes of a periodic job's run is told by the test that made it.
    let is_run = object
        .owner_references()
        .iter()
        .any(|it| it.kind == "CronJob");
    if is_finished || is_run || object.metadata.deletion_timestamp.is_some() {
        return;
    }
    let now = object.creation_timestamp().map(|time| time.0.to_string());
    let holds = |type_: &str| json!({ "type": type_, "status": "True", "lastTransitionTime": now, "lastProbeTime": now });
    let status = json!({ "status": {
        "startTime": now, "completionTime": now, "succeeded": 1,
        "conditions": [holds("SuccessCriteriaMet"), holds("Complete")],
    }});
    write::<Job>(client, object, &status, true).await;
}

async fn bind(client: &Client, object: &PersistentVolumeClaim) {
    if object.metadata.deletion_timestamp.is_some() {
        // Nobody uses it: there are no pods.
        let patch = json!({ "metadata": { "finalizers": null } });
        write::<PersistentVolumeClaim>(client, object, &patch, false).await;
        return;
    }
    let phase = object
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let asked: Option<Value> = object
        .spec
        .as_ref()
        .and_then(|spec| spec.resources.as_ref()?.requests.clone())
        .map(|requests| json!(requests));
    let granted = object
        .status
        .as_ref()
        .and_then(|status| status.capacity.clone());
    let is_bound = object
        .spec
        .as_ref()
        .is_some_and(|spec| spec.volume_name.is_some());
    if is_bound && phase == Some("Bound") && granted.map(|granted| json!(granted)) == asked {
        return;
    }
    if !is_bound {
        let patch = json!({
            "metadata": { "annotations": { BOUND: "yes" } },
            "spec": { "volumeName": format!("pv-{}", object.name_any()) },
        });
        write::<PersistentVolumeClaim>(client, object, &patch, false).await;
    }
    let status = json!({ "status": { "phase": "Bound", "capacity": asked } });
    write::<PersistentVolumeClaim>(client, object, &status, true).await;
}

/// As idm does. Of the Secret the operator looks at the metadata alone.
async fn register(client: &Client, object: &SsoClient) {
    let is_registered = object
        .status
        .as_ref()
        .is_some_and(|status| condition::is_true(&status.conditions, condition::READY));
    if is_registered || object.metadata.deletion_timestamp.is_some() {
        return;
    }
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(object.spec.secret.clone()),
            labels: Some([(labels::MANAGED_BY.to_owned(), labels::IDM.to_owned())].into()),
            // It goes with the instance, whose garbage alone is collected here.
            owner_references: object.metadata.owner_references.clone(),
            ..ObjectMeta::default()
        },
        ..Secret::default()
    };
    let secrets: Api<Secret> =
        Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    // One that is there stays.
    let _ = secrets.create(&PostParams::default(), &secret).await;
    let status = json!({ "status": {
        "observedGeneration": object.metadata.generation,
        "clientId": "cli-1",
        "secretDigest": "5e".repeat(32),
        "conditions": [{
            "type": condition::READY, "status": "True", "reason": "Registered",
            "message": "people can sign in by it",
            "lastTransitionTime": object.creation_timestamp(),
        }],
    }});
    write::<SsoClient>(client, object, &status, true).await;
}

/// How often something of this namespace changed by what the world wrote.
pub fn news(namespace: &str) -> u64 {
    let news = NEWS.lock().unwrap_or_else(PoisonError::into_inner);
    news.get(namespace).copied().unwrap_or_default()
}

static NEWS: LazyLock<Mutex<HashMap<String, u64>>> = LazyLock::new(Mutex::default);

/// Writes to this very object: one of the same name that was made after it is another matter. It asks
/// again when the API server cannot; that the object is gone does not matter.
async fn write<K>(client: &Client, object: &K, patch: &Value, is_status: bool)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + serde::de::DeserializeOwned
        + Debug,
{
    let namespace = object.namespace().unwrap_or_default();
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let mut patch = patch.clone();
    patch["metadata"]["uid"] = json!(object.uid());
    let patch = Patch::Merge(patch);
    let name = object.name_any();
    for _ in 0..TRIES {
        let outcome = if is_status {
            api.patch_status(&name, &params, &patch).await.map(drop)
        } else {
            api.patch(&name, &params, &patch).await.map(drop)
        };
        *NEWS
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(namespace.clone())
            .or_default() += 1;
        match outcome {
            Ok(()) => return,
            Err(kube::Error::Api(status)) if status.code == 404 => return,
            // Another one has its name, or somebody wrote at the same moment.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => eprintln!("the world cannot write {} {name}: {error}", K::kind(&())),
        }
    }
}

/// Every kind that an instance may own.
pub const KINDS: [Kind; 13] = [
    Kind::Deployment,
    Kind::StatefulSet,
    Kind::Job,
    Kind::CronJob,
    Kind::PersistentVolumeClaim,
    Kind::Secret,
    Kind::ServiceAccount,
    Kind::Service,
    Kind::NetworkPolicy,
    Kind::PodDisruptionBudget,
    Kind::Route,
    Kind::Domain,
    Kind::SsoClient,
];

async fn collect_garbage(client: &Client, instance: &AppInstance) {
    let namespace = instance.namespace().unwrap_or_default();
    let uid = instance.uid().unwrap_or_default();
    let deletions = KINDS.map(|kind| {
        let api = Api::<kube::core::DynamicObject>::namespaced_with(
            client.clone(),
            &namespace,
            &kind.api_resource(),
        );
        let uid = uid.clone();
        async move {
            let Ok(found) = api.list_metadata(&Default::default()).await else {
                return;
            };
            for object in found {
                if object
                    .owner_references()
                    .iter()
                    .any(|owner| owner.uid == uid)
                {
                    let _ = api
                        .delete(&object.name_any(), &DeleteParams::background())
                        .await;
                }
            }
        }
    });
    join_all(deletions).await;
}
