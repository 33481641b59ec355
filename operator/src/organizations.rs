//! The life of an Organization: its namespace and fence, and what is said of them.
//!
//! A namespace that somebody made for something else is never taken. An organization with
//! instances is not deleted: its status says which remain.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use crds::{
    Organization, app_instance::DeletionPolicy, condition, labels, organization::OrganizationStatus,
};
use jiff::Timestamp;
use k8s_openapi::api::{core::v1::Namespace, rbac::v1::RoleBinding};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    core::{NamespaceResourceScope, ObjectMeta},
    runtime::{controller::Action, reflector::ObjectRef},
};
use plan::{
    check::is_granted,
    context::Idm,
    digest,
    health::{self, Finding, Refusal, State},
    organization::{self, DesiredOrganization},
};
use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    backoff::Backoffs,
    cache::{Cache, InstanceKey, child::Applied, fence::FenceKind},
    failure::{FAILURES_THAT_LAST, Failure, lasting},
    metrics::Metrics,
    news::News,
};

/// What reconciling an organization needs.
pub struct Organizations {
    client: Client,
    cache: Cache,
    touch_instance: UnboundedSender<InstanceKey>,
    idm: Option<Idm>,
    metrics: Metrics,
    news: News,
    backoff: Backoffs<String>,
}

/// The reason of an organization that is being deleted and has instances.
const INSTANCES_REMAIN: &str = "InstancesRemain";
/// A namespace that is somebody else's is looked at again this often.
const TAKEN_AGAIN: Duration = Duration::from_secs(30);

impl Organizations {
    /// Everything that reconciling needs; instances that waited for a fence are named to the channel.
    #[must_use]
    pub fn new(
        client: Client,
        cache: Cache,
        touch_instance: UnboundedSender<InstanceKey>,
        idm: Option<Idm>,
        metrics: Metrics,
    ) -> Self {
        let backoff = Backoffs::new(Duration::from_millis(500), Duration::from_secs(60));
        Self {
            news: News::new(client.clone()),
            client,
            cache,
            touch_instance,
            idm,
            metrics,
            backoff,
        }
    }
}

/// Makes one organization true.
///
/// # Errors
/// A [`Failure`]; [`retry`] decides when to try again.
#[tracing::instrument(
    name = "reconcile",
    skip_all,
    fields(
        kind = "Organization",
        object = organization.name_any(),
        generation = organization.metadata.generation,
    )
)]
pub async fn reconcile(
    organization: Arc<Organization>,
    operator: Arc<Organizations>,
) -> Result<Action, Failure> {
    let started = std::time::Instant::now();
    let result = make_true(&organization, &operator).await;
    operator
        .metrics
        .reconciled("organization", started.elapsed(), result.as_ref().err());
    if result.is_ok() {
        operator.backoff.reset(&organization.name_any());
    }
    result
}

/// When to try again after a failure.
#[must_use]
pub fn retry(
    organization: Arc<Organization>,
    failure: &Failure,
    operator: Arc<Organizations>,
) -> Action {
    let wait = operator.backoff.next(&organization.name_any());
    tracing::warn!(
        object = %ObjectRef::from_obj(organization.as_ref()),
        generation = organization.metadata.generation,
        error = failure.chain(),
        retry_seconds = wait.as_secs_f32(),
        "reconciliation failed"
    );
    Action::requeue(wait)
}

async fn make_true(
    organization: &Organization,
    operator: &Organizations,
) -> Result<Action, Failure> {
    let name = organization.name_any();
    let instances = operator.cache.instances_in(&name);
    if organization.metadata.deletion_timestamp.is_some() {
        let names: Vec<String> = instances
            .iter()
            .map(|instance| instance.name_any())
            .collect();
        return delete(organization, operator, &names).await;
    }
    if !organization
        .finalizers()
        .iter()
        .any(|f| f == labels::ORGANIZATION_FINALIZER)
    {
        write_finalizers(organization, operator, &[labels::ORGANIZATION_FINALIZER]).await?;
    }
    let enclosed = enclose(operator, organization).await;
    if let Err(failure) = &enclosed
        && operator.backoff.count(&name) >= FAILURES_THAT_LAST
    {
        let Refusal {
            reason, message, ..
        } = lasting(failure);
        let finding = Finding::stuck(reason, message);
        write_status(organization, operator, &finding, instances.len()).await?;
    }
    let finding = enclosed?.unwrap_or_else(|| Finding {
        state: State::Well,
        reason: "Fenced",
        message: format!("namespace {name} is there, with its quota and a closed network"),
    });
    let is_taken = finding.state != State::Well;
    write_status(organization, operator, &finding, instances.len()).await?;
    Ok(if is_taken {
        Action::requeue(TAKEN_AGAIN)
    } else {
        Action::await_change()
    })
}

/// Makes the namespace with its fence, or says why it is not this organization's.
async fn enclose(
    operator: &Organizations,
    organization: &Organization,
) -> Result<Option<Finding>, Failure> {
    let desired = organization::desired(organization, operator.idm.as_ref());
    let taken = claim_namespace(operator, organization, &desired.namespace).await?;
    if taken.is_none() {
        build_fence(operator, &organization.name_any(), &desired).await?;
    }
    Ok(taken)
}

/// Whether its status says that it has its namespace.
fn has_its_namespace(organization: &Organization) -> bool {
    let status = organization.status.as_ref();
    let ready = status.and_then(|status| condition::find(&status.conditions, condition::READY));
    ready.is_some_and(|ready| ready.status == "True" || ready.reason == INSTANCES_REMAIN)
}

/// Makes the namespace, or says why it is not this organization's.
async fn claim_namespace(
    operator: &Organizations,
    organization: &Organization,
    desired: &Namespace,
) -> Result<Option<Finding>, Failure> {
    let name = &organization.name_any();
    let key = (name.clone(), FenceKind::Namespace);
    if is_as_planned(operator, &key, desired) {
        return Ok(None);
    }
    let api: Api<Namespace> = Api::all(operator.client.clone());
    let found = api
        .get_metadata_opt(name)
        .await
        .map_err(|source| Failure::Observe {
            what: format!("namespace {name}"),
            source,
        })?;
    if let Some(found) = found {
        if found.metadata.deletion_timestamp.is_some() {
            return Ok(Some(Finding {
                state: State::OnItsWay(None),
                reason: "NamespaceTerminating",
                message: format!("an earlier namespace {name} is still going away"),
            }));
        }
        if !organization::may_adopt(&found.metadata, name, has_its_namespace(organization)) {
            return Ok(Some(Finding {
                state: State::Stuck,
                reason: "NamespaceTaken",
                message: format!(
                    "namespace {name} exists already and is not labelled as this organization's; \
                     give the organization another name, or hand the namespace over: kubectl label \
                     --overwrite namespace {name} {}={name}",
                    labels::ORGANIZATION
                ),
            }));
        }
    }
    apply(operator, api, key, desired).await?;
    Ok(None)
}

async fn build_fence(
    operator: &Organizations,
    name: &str,
    desired: &DesiredOrganization,
) -> Result<(), Failure> {
    // Without `..`: a new part that nobody applies does not compile.
    let DesiredOrganization {
        namespace: _,
        quota,
        limits,
        network_policy,
        binding,
    } = desired;
    let (quota, limits, policy, binding) = futures_util::join!(
        provide(operator, name, FenceKind::Quota, quota),
        provide(operator, name, FenceKind::Limits, limits),
        provide(operator, name, FenceKind::Policy, network_policy),
        async {
            match binding {
                Some(binding) => provide(operator, name, FenceKind::Binding, binding).await,
                None => Ok(()),
            }
        },
    );
    quota.and(limits).and(policy).and(binding)
}

/// Applies a part of the fence of a namespace, unless it is there as planned.
async fn provide<K>(
    operator: &Organizations,
    namespace: &str,
    part: FenceKind,
    object: &K,
) -> Result<(), Failure>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Serialize
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug,
{
    let key = (namespace.to_owned(), part);
    if is_as_planned(operator, &key, object) {
        return Ok(());
    }
    let api = Api::namespaced(operator.client.clone(), namespace);
    apply(operator, api, key, object).await
}

fn is_as_planned<K: Serialize>(
    operator: &Organizations,
    key: &(String, FenceKind),
    object: &K,
) -> bool {
    let fences = operator
        .cache
        .fences()
        .read()
        .unwrap_or_else(PoisonError::into_inner);
    fences.get(key).is_some_and(|fence| {
        fence
            .applied
            .is_as_planned(&digest::of(object), || body(object))
    })
}

/// What is applied, with its digest.
fn body<K: Serialize>(object: &K) -> serde_json::Value {
    let mut body = serde_json::to_value(object).unwrap_or_default();
    body["metadata"]["annotations"][labels::PLAN] = digest::of(object).into();
    body
}

async fn apply<K>(
    operator: &Organizations,
    api: Api<K>,
    key: (String, FenceKind),
    object: &K,
) -> Result<(), Failure>
where
    K: Resource<DynamicType = ()>
        + Serialize
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug,
{
    let name = object.name_any();
    let body = body(object);
    let params = PatchParams::apply(labels::MANAGER).force();
    match api
        .patch_metadata(&name, &params, &Patch::Apply(&body))
        .await
    {
        Ok(answer) => {
            operator.metrics.wrote();
            note(operator, &key, &answer.metadata);
            Ok(())
        }
        Err(source) => Err(Failure::Apply {
            kind: K::kind(&()).into_owned(),
            name,
            source: Box::new(source),
        }),
    }
}

fn note(operator: &Organizations, key: &(String, FenceKind), metadata: &ObjectMeta) {
    let cache = &operator.cache;
    cache.note_fence(key, Applied::verified(metadata), None);
    // The watch will not call this news.
    for instance in operator.cache.instances_in(&key.0) {
        if !is_granted(&instance) {
            let _ = operator.touch_instance.send(InstanceKey {
                namespace: key.0.clone(),
                name: instance.name_any(),
            });
        }
    }
}

async fn delete(
    organization: &Organization,
    operator: &Organizations,
    instances: &[String],
) -> Result<Action, Failure> {
    if !organization
        .finalizers()
        .iter()
        .any(|f| f == labels::ORGANIZATION_FINALIZER)
    {
        return Ok(Action::await_change());
    }
    let name = organization.name_any();
    if !instances.is_empty() {
        let finding = Finding {
            state: State::Stuck,
            reason: INSTANCES_REMAIN,
            message: format!(
                "it goes when its instances are gone; these remain: {}. Delete them with: kubectl \
                 delete appi --all -n {name}",
                instances.join(", ")
            ),
        };
        write_status(organization, operator, &finding, instances.len()).await?;
        // They run on meanwhile, and nobody else may come in.
        enclose(operator, organization).await?;
        return Ok(Action::await_change());
    }
    unbind(operator, &name).await?;
    if organization.spec.deletion_policy == DeletionPolicy::Delete {
        delete_namespace(operator, &name).await?;
    }
    let rest: Vec<&str> = organization
        .finalizers()
        .iter()
        .map(String::as_str)
        .filter(|f| *f != labels::ORGANIZATION_FINALIZER)
        .collect();
    write_finalizers(organization, operator, &rest).await?;
    Ok(Action::await_change())
}

/// What an organization leaves is none of idm's any more.
async fn unbind(operator: &Organizations, name: &str) -> Result<(), Failure> {
    let fences = operator.cache.fences();
    let uid = fences
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&(name.to_owned(), FenceKind::Binding))
        .map(|binding| binding.applied.uid.clone());
    let Some(uid) = uid else {
        return Ok(());
    };
    let api: Api<RoleBinding> = Api::namespaced(operator.client.clone(), name);
    let outcome = api.delete(organization::FENCE, &exactly(Some(uid))).await;
    gone("RoleBinding", organization::FENCE, outcome.map(drop))
}

/// Deletes what has this UID, and nothing else of its name.
fn exactly(uid: Option<String>) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions {
            uid,
            resource_version: None,
        }),
        ..DeleteParams::default()
    }
}

/// What is gone already is as well.
fn gone(kind: &str, name: &str, outcome: kube::Result<()>) -> Result<(), Failure> {
    match outcome {
        Ok(()) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(Failure::Delete {
            kind: kind.to_owned(),
            name: name.to_owned(),
            source: Box::new(source),
        }),
    }
}

/// Only a namespace that says that it is this organization's, and exactly the one that was seen.
async fn delete_namespace(operator: &Organizations, name: &str) -> Result<(), Failure> {
    let api: Api<Namespace> = Api::all(operator.client.clone());
    let found = api
        .get_metadata_opt(name)
        .await
        .map_err(|source| Failure::Observe {
            what: format!("namespace {name}"),
            source,
        })?;
    let Some(found) = found.filter(|found| organization::may_adopt(&found.metadata, name, false))
    else {
        return Ok(());
    };
    let outcome = api.delete(name, &exactly(found.uid())).await;
    gone("Namespace", name, outcome.map(drop))
}

async fn write_finalizers(
    organization: &Organization,
    operator: &Organizations,
    finalizers: &[&str],
) -> Result<(), Failure> {
    let name = organization.name_any();
    let mut wanted: Vec<&str> = finalizers.to_vec();
    if organization.metadata.deletion_timestamp.is_none() {
        let others = organization.finalizers().iter().map(String::as_str);
        wanted.extend(others.filter(|f| !finalizers.contains(f)));
    }
    let api: Api<Organization> = Api::all(operator.client.clone());
    let patch = serde_json::json!({
        "metadata": {
            "finalizers": wanted,
            "uid": organization.uid(),
            "resourceVersion": organization.resource_version(),
        },
    });
    match api
        .patch_metadata(&name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(Failure::Finalizer {
            name,
            source: Box::new(source),
        }),
    }
}

async fn write_status(
    organization: &Organization,
    operator: &Organizations,
    finding: &Finding,
    instances: usize,
) -> Result<(), Failure> {
    let before = organization.status.clone().unwrap_or_default();
    let generation = organization.metadata.generation;
    let conditions = health::summary(&before.conditions, finding, generation, Timestamp::now());
    let after = OrganizationStatus {
        observed_generation: generation,
        instances: i32::try_from(instances).ok(),
        conditions,
    };
    if before == after {
        return Ok(());
    }
    let name = organization.name_any();
    let api: Api<Organization> = Api::all(operator.client.clone());
    let patch = serde_json::json!({
        "apiVersion": "tutti.dev/v1alpha1",
        "kind": "Organization",
        "metadata": { "name": name },
        "status": after,
    });
    let params = PatchParams::apply(labels::MANAGER).force();
    match api
        .patch_status(&name, &params, &Patch::Apply(&patch))
        .await
    {
        Ok(_) => {
            operator.metrics.wrote();
            let about = organization.object_ref(&());
            operator
                .news
                .tell(about, &before.conditions, &after.conditions);
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(Failure::Report {
            name,
            source: Box::new(source),
        }),
    }
}
