//! The objects that an instance consists of, read back from the cluster, so that others can make
//! the very same: a script that applies them concurrently (the floor), and a Helm chart.

use std::{collections::HashSet, fs, path::Path, pin::Pin, time::Duration};

use anyhow::{Context as _, Result, bail};
use crds::Route;
use futures_util::{StreamExt as _, future::try_join_all, stream};
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    batch::v1::{CronJob, Job},
    core::v1::{PersistentVolumeClaim, Secret, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, Patch},
    core::{ApiResource, DynamicObject},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use serde_json::Value;

use crate::{stage::params, world::Worldly};

/// Every kind that an instance may own.
fn kinds() -> [ApiResource; 11] {
    fn of<K: Resource<DynamicType = ()>>() -> ApiResource {
        ApiResource::erase::<K>(&())
    }
    [
        of::<Secret>(),
        of::<ServiceAccount>(),
        of::<PersistentVolumeClaim>(),
        of::<NetworkPolicy>(),
        of::<Service>(),
        of::<StatefulSet>(),
        of::<Deployment>(),
        of::<Job>(),
        of::<CronJob>(),
        of::<PodDisruptionBudget>(),
        of::<Route>(),
    ]
}

/// What the API server adds to the labels of a job's pods.
const JOB_LABELS: [&str; 4] = [
    "controller-uid",
    "job-name",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
];

/// One object, as it is written, and what it is called where it came from.
#[derive(Clone)]
pub struct Child {
    resource: ApiResource,
    object: Value,
}

impl Child {
    #[must_use]
    pub fn is_job(&self) -> bool {
        self.resource.kind == "Job"
    }
}

/// The children of all instances of a namespace.
///
/// # Errors
/// When they cannot be listed.
pub async fn read(client: &Client, namespace: &str) -> Result<Vec<Child>> {
    let lists = kinds().map(|resource| async move {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        let found = api.list(&ListParams::default()).await?;
        let owned = found.into_iter().filter(|object| {
            object
                .owner_references()
                .iter()
                .any(|owner| owner.kind == "AppInstance")
                || object.labels().contains_key(crds::labels::INSTANCE)
        });
        owned
            .map(|object| {
                Ok(Child {
                    object: bare(&resource, &object)?,
                    resource: resource.clone(),
                })
            })
            .collect::<Result<Vec<Child>>>()
    });
    Ok(try_join_all(lists).await?.into_iter().flatten().collect())
}

/// The next job of one instance, as it is written: the operator removes it once it has ended well.
///
/// # Errors
/// When the watch ends.
pub async fn next_job(client: &Client, namespace: &str, instance: &str) -> Result<Child> {
    let resource = ApiResource::erase::<Job>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let selector = format!("{}={instance}", crds::labels::INSTANCE);
    let mut jobs = watcher(api, watcher::Config::default().labels(&selector))
        .default_backoff()
        .applied_objects()
        .boxed();
    loop {
        if let Ok(job) = jobs.next().await.context("the watch ended")? {
            let object = bare(&resource, &job)?;
            return Ok(Child { resource, object });
        }
    }
}

/// Without what the API server and its controllers add.
fn bare(resource: &ApiResource, object: &DynamicObject) -> Result<Value> {
    let mut value = serde_json::to_value(object)?;
    let drop = |value: &mut Value, at: &str, keys: &[&str]| {
        if let Some(map) = value.pointer_mut(at).and_then(Value::as_object_mut) {
            keys.iter().for_each(|key| drop(map.remove(*key)));
        }
    };
    value["apiVersion"] = resource.api_version.clone().into();
    value["kind"] = resource.kind.clone().into();
    // The operator must not take it for its own.
    value["metadata"]["labels"][crds::labels::MANAGED_BY] = "bench".into();
    drop(&mut value, "", &["status"]);
    drop(
        &mut value,
        "/metadata",
        &[
            "namespace",
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "managedFields",
            "ownerReferences",
            "finalizers",
        ],
    );
    match resource.kind.as_str() {
        "Service" if value["spec"]["clusterIP"] != "None" => {
            drop(&mut value, "/spec", &["clusterIP", "clusterIPs"]);
        }
        "PersistentVolumeClaim" => drop(&mut value, "/spec", &["volumeName"]),
        "Job" => {
            drop(&mut value, "/spec", &["selector"]);
            drop(&mut value, "/metadata/labels", &JOB_LABELS);
            drop(&mut value, "/spec/template/metadata/labels", &JOB_LABELS);
        }
        _ => {}
    }
    Ok(value)
}

/// Those of one instance.
#[must_use]
pub fn of_instance(children: &[Child], name: &str) -> Vec<Child> {
    children
        .iter()
        .filter(|child| child.object["metadata"]["labels"][crds::labels::INSTANCE] == name)
        .cloned()
        .collect()
}

/// The same children for an instance of another name.
///
/// # Errors
/// Never, in fact.
pub fn renamed(children: &[Child], from: &str, to: &str) -> Result<Vec<Child>> {
    children
        .iter()
        .map(|child| {
            let text = child.object.to_string().replace(from, to);
            Ok(Child {
                resource: child.resource.clone(),
                object: serde_json::from_str(&text)?,
            })
        })
        .collect()
}

/// Applies all, this many at once.
///
/// # Errors
/// When one is refused.
pub async fn apply(client: &Client, all: Vec<(String, Child)>, at_once: usize) -> Result<()> {
    let mut writes = stream::iter(all)
        .map(|(namespace, child)| async move {
            let api: Api<DynamicObject> =
                Api::namespaced_with(client.clone(), &namespace, &child.resource);
            let name = child.object["metadata"]["name"]
                .as_str()
                .unwrap_or_default();
            api.patch(name, &params(), &Patch::Apply(&child.object))
                .await
                .with_context(|| format!("{} {name}", child.resource.kind))
        })
        .buffer_unordered(at_once);
    while let Some(outcome) = writes.next().await {
        outcome?;
    }
    Ok(())
}

/// Kind, namespace and name.
type Identity = (String, String, String);

/// What is waited for.
pub type Expected = HashSet<Identity>;

/// The children that become ready.
#[must_use]
pub fn expected(namespace: &str, children: &[Child]) -> Expected {
    children
        .iter()
        .filter(|child| {
            ["Deployment", "StatefulSet", "Job", "PersistentVolumeClaim"]
                .contains(&child.resource.kind.as_str())
        })
        .map(|child| {
            let name = child.object["metadata"]["name"]
                .as_str()
                .unwrap_or_default();
            (
                child.resource.kind.clone(),
                namespace.to_owned(),
                name.to_owned(),
            )
        })
        .collect()
}

/// Watches that have begun, and tell what is ready.
pub struct Readiness {
    events: Pin<Box<dyn futures_util::Stream<Item = Option<Identity>> + Send>>,
}

impl Readiness {
    /// Begins to watch; `None` stands for the end of a first list.
    ///
    /// # Errors
    /// When the watches do not begin.
    pub async fn watch(client: &Client) -> Result<Self> {
        let mut all = Self {
            events: Box::pin(stream::select(
                stream::select(of::<Deployment>(client), of::<StatefulSet>(client)),
                stream::select(of::<Job>(client), of::<PersistentVolumeClaim>(client)),
            )),
        };
        let mut begun = 0;
        while begun < 4 {
            match tokio::time::timeout(Duration::from_secs(30), all.events.next()).await? {
                Some(None) => begun += 1,
                Some(Some(_)) => {}
                None => bail!("a watch ended"),
            }
        }
        Ok(all)
    }

    /// # Errors
    /// When the watches end.
    pub async fn wait(&mut self, mut expected: Expected) -> Result<()> {
        while !expected.is_empty() {
            if let Some(found) = self.events.next().await.context("the watches ended")? {
                expected.remove(&found);
            }
        }
        Ok(())
    }
}

fn of<K: Worldly>(
    client: &Client,
) -> impl futures_util::Stream<Item = Option<Identity>> + Send + use<K> {
    let api: Api<K> = Api::all(client.clone());
    watcher(api, watcher::Config::default())
        .default_backoff()
        .filter_map(|event| {
            std::future::ready(match event {
                Ok(Event::InitDone) => Some(None),
                Ok(Event::Apply(object) | Event::InitApply(object)) if object.is_well() => {
                    Some(Some((
                        K::kind(&()).into_owned(),
                        object.namespace().unwrap_or_default(),
                        object.name_any(),
                    )))
                }
                _ => None,
            })
        })
}

/// Writes a chart of them.
///
/// # Errors
/// When the folder cannot be written.
pub fn chart(folder: &Path, children: &[Child]) -> Result<()> {
    let templates = folder.join("templates");
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(&templates)?;
    fs::write(
        folder.join("Chart.yaml"),
        "apiVersion: v2\nname: same\nversion: 0.1.0\n",
    )?;
    for (index, child) in children.iter().enumerate() {
        // JSON is YAML; braces would be the template's own.
        let text = serde_json::to_string_pretty(&child.object)?;
        let text = text.replace("{{", "{{ \"{{\" }}");
        fs::write(templates.join(format!("{index}.yaml")), text)?;
    }
    Ok(())
}
