//! A child as the cache keeps it: what decisions depend on, and nothing else.
//!
//! Whether a child is as it was last applied is told by two facts that a metadata watch carries:
//! the annotation `tutti.dev/plan` (the digest of what was applied), and which fields are still
//! ours (`owned.rs`): whoever changes or removes one takes it from us. So an unchanged child costs
//! neither a read nor a write, one that was edited by hand is applied again, and what others add
//! beside us is theirs.

use crds::{AppInstance, Domain, Route, SsoClient, condition::Condition, labels};
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        batch::v1::Job,
        core::v1::{PersistentVolumeClaim, Pod},
    },
    apimachinery::pkg::{apis::meta::v1::ManagedFieldsEntry, util::intstr::IntOrString},
};
use kube::{
    Resource, ResourceExt,
    core::{ObjectMeta, PartialObjectMeta},
};
use plan::{
    context::{ClientSeen, JobSeen, PodSeen, VolumeSeen, WorkloadSeen},
    quota::Promise,
};
use serde_json::Value;

use super::{InstanceKey, owned};

/// Kinds of children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// apps/v1.
    Deployment,
    /// apps/v1.
    StatefulSet,
    /// batch/v1.
    Job,
    /// batch/v1.
    CronJob,
    /// v1.
    Pod,
    /// v1.
    PersistentVolumeClaim,
    /// v1.
    Secret,
    /// v1.
    ServiceAccount,
    /// v1.
    Service,
    /// networking.k8s.io/v1.
    NetworkPolicy,
    /// policy/v1.
    PodDisruptionBudget,
    /// tutti.dev.
    Route,
    /// tutti.dev.
    Domain,
    /// tutti.dev.
    SsoClient,
}

impl Kind {
    /// Whether somebody else's object may differ in no field from ours, so that applying ours on
    /// it would meet no conflict. The others have a selector, a schedule or a hostname.
    #[must_use]
    pub fn is_taken_in_silence(self) -> bool {
        matches!(
            self,
            Self::ServiceAccount | Self::PersistentVolumeClaim | Self::Job
        )
    }

    /// Whether one that is not planned is deleted. Never a volume or a Secret: they hold what
    /// cannot be made again. Never the app itself, which is always planned in the end. Pods belong
    /// to their controllers.
    #[must_use]
    pub fn is_pruned(self) -> bool {
        !matches!(
            self,
            Self::PersistentVolumeClaim
                | Self::Secret
                | Self::Pod
                | Self::Deployment
                | Self::ServiceAccount
        )
    }
}

/// What was applied to an object, and whether somebody wrote to it since.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// UID.
    pub uid: String,
    /// Kubernetes 1.35 documents that these are numbers that grow; etcd's always were.
    pub resource_version: u64,
    /// Digest of what was applied, as the object says itself.
    pub plan: Option<String>,
    /// Digest of the fields that are ours.
    pub owned: u64,
    /// [`Self::owned`] as it was in the answer to our last apply.
    pub verified: Option<u64>,
    /// It is going away.
    pub is_deleting: bool,
    /// UID of the object that it belongs to, where it goes with it.
    pub owner: Option<String>,
}

impl Applied {
    /// What metadata tells.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        let entries = metadata.managed_fields.as_deref().unwrap_or_default();
        let ours = entries
            .iter()
            .filter(|entry| is_ours(entry))
            .filter_map(|entry| Some(&entry.fields_v1.as_ref()?.0));
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version: version(metadata),
            plan: metadata
                .annotations
                .as_ref()
                .and_then(|a| a.get(labels::PLAN).cloned()),
            owned: owned::in_entries(ours),
            verified: None,
            is_deleting: metadata.deletion_timestamp.is_some(),
            owner: metadata
                .owner_references
                .as_ref()
                .and_then(|owners| owners.iter().find(|owner| owner.controller == Some(true)))
                .map(|owner| owner.uid.clone()),
        }
    }

    /// The same, from the answer to our own apply: as it is now, it is right.
    #[must_use]
    pub fn verified(metadata: &ObjectMeta) -> Self {
        let applied = Self::of(metadata);
        Self {
            verified: Some(applied.owned),
            ..applied
        }
    }

    /// Whether what is told now is news to what is known. An answer may come after the event that
    /// its write caused, or after a later one: what it verified holds all the same.
    pub fn is_news(&mut self, told: &mut Self) -> bool {
        if self.uid != told.uid {
            return true;
        }
        let is_news = told.resource_version > self.resource_version;
        if is_news {
            told.verified = told.verified.or(self.verified);
        } else if told.verified.is_some() {
            self.verified = told.verified;
        }
        is_news
    }

    /// Whether it is as this plan wants it, as far as anybody can tell without reading it: by the
    /// plan's digest, and by what would be applied where that was not applied in this life.
    #[must_use]
    pub fn is_as_planned(&self, digest: &str, body: impl FnOnce() -> Value) -> bool {
        let ours = || match self.verified {
            Some(verified) => verified,
            None => owned::after_applying(&body()),
        };
        self.plan.as_deref() == Some(digest) && !self.is_deleting && self.owned == ours()
    }
}

/// Its resource version as a number.
pub(super) fn version(metadata: &ObjectMeta) -> u64 {
    let version = metadata.resource_version.as_deref();
    version
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(labels::MANAGER)
        && entry.subresource.as_deref().unwrap_or_default().is_empty()
}

/// A child.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Child {
    /// What was applied to it.
    pub applied: Applied,
    /// What it tells of itself.
    pub seen: Seen,
}

impl std::ops::Deref for Child {
    type Target = Applied;

    fn deref(&self) -> &Applied {
        &self.applied
    }
}

impl std::ops::DerefMut for Child {
    fn deref_mut(&mut self) -> &mut Applied {
        &mut self.applied
    }
}

/// What an object that may outlive its instance remembers of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// Its default host.
    pub host: Option<String>,
    /// The version of its data.
    pub data_version: Option<String>,
    /// Its app.
    pub app: Option<String>,
}

impl Kept {
    /// From labels and annotations.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        let annotation = |key| metadata.annotations.as_ref()?.get(key).cloned();
        let label = |key| metadata.labels.as_ref()?.get(key).cloned();
        Self {
            host: annotation(plan::build::HOST_ANNOTATION),
            data_version: annotation(labels::DATA_VERSION),
            app: label(labels::APP_NAME),
        }
    }
}

/// What a child tells of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Seen {
    /// That it is there.
    #[default]
    Presence,
    /// A Deployment or StatefulSet.
    Workload(WorkloadSeen),
    /// A Job.
    Job(JobSeen),
    /// A pod, with its UID for its log.
    Pod(PodSeen),
    /// A volume.
    Volume {
        /// The claim.
        volume: VolumeSeen,
        /// What its labels and annotations remember.
        kept: Kept,
    },
    /// A generated Secret, with what its labels and annotations remember.
    Secret(Kept),
    /// An SsoClient.
    Client(ClientSeen),
    /// A Route.
    Route {
        /// Its hostname.
        hostname: String,
        /// Its conditions.
        conditions: Vec<Condition>,
    },
}

/// Which instance an object belongs to: by its owner, and where it has none by its label.
#[must_use]
pub fn instance_of(metadata: &ObjectMeta) -> Option<InstanceKey> {
    let labels = metadata.labels.as_ref()?;
    if labels.get(labels::MANAGED_BY).map(String::as_str) != Some(labels::MANAGER) {
        return None;
    }
    let kind = AppInstance::kind(&());
    let mut owners = metadata.owner_references.iter().flatten();
    let owner = owners.find(|owner| owner.controller == Some(true) && owner.kind == kind);
    Some(InstanceKey {
        namespace: metadata.namespace.clone()?,
        name: owner
            .map(|owner| &owner.name)
            .or_else(|| labels.get(labels::INSTANCE))?
            .clone(),
    })
}

/// Whether an object that no watch tells of is this instance's: its labels may be gone, but it
/// remembers who made it.
#[must_use]
pub fn is_of(metadata: &ObjectMeta, key: &InstanceKey) -> bool {
    instance_of(metadata).map_or_else(
        || metadata.managed_fields.iter().flatten().any(is_ours),
        |other| other == *key,
    )
}

/// Whether an object was made for the instance of this UID, whatever somebody has made of its labels.
#[must_use]
pub fn is_made_for(metadata: &ObjectMeta, uid: &str) -> bool {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    if owners.is_empty() {
        return metadata.managed_fields.iter().flatten().any(is_ours);
    }
    owners.iter().any(|owner| owner.uid == uid)
}

/// What the cache keeps of an object of this type.
pub trait Digest: ResourceExt {
    /// The part beside metadata.
    fn seen(&self) -> Seen;
}

impl<K> Digest for PartialObjectMeta<K>
where
    Self: ResourceExt,
{
    fn seen(&self) -> Seen {
        let kept = Kept::of(self.meta());
        if kept.host.is_some() {
            Seen::Secret(kept)
        } else {
            Seen::Presence
        }
    }
}

impl Digest for Deployment {
    fn seen(&self) -> Seen {
        let status = self.status.clone().unwrap_or_default();
        let failure = status
            .conditions
            .unwrap_or_default()
            .into_iter()
            .find_map(|condition| {
                (condition.type_ == "ReplicaFailure" && condition.status == "True")
                    .then(|| condition.message.unwrap_or_default())
            });
        let spec = self.spec.clone().unwrap_or_default();
        Seen::Workload(WorkloadSeen {
            is_current: status.observed_generation == self.metadata.generation,
            wished: spec.replicas.unwrap_or(1),
            replicas: status.replicas.unwrap_or_default(),
            updated: status.updated_replicas.unwrap_or_default(),
            ready: status.ready_replicas.unwrap_or_default(),
            failure,
            image: image(spec.template.spec.as_ref()),
            promise: promise(spec.template.spec.as_ref()),
            client_secret: spec
                .template
                .metadata
                .and_then(|metadata| metadata.annotations?.remove(labels::CLIENT_SECRET)),
            max_unavailable: match spec
                .strategy
                .and_then(|strategy| strategy.rolling_update?.max_unavailable)
            {
                Some(IntOrString::Int(pods)) => pods,
                _ => 0,
            },
        })
    }
}

impl Digest for StatefulSet {
    fn seen(&self) -> Seen {
        let status = self.status.clone().unwrap_or_default();
        let spec = self.spec.clone().unwrap_or_default();
        Seen::Workload(WorkloadSeen {
            is_current: status.observed_generation == self.metadata.generation,
            wished: spec.replicas.unwrap_or(1),
            replicas: status.replicas,
            updated: status.updated_replicas.unwrap_or_default(),
            ready: status.ready_replicas.unwrap_or_default(),
            // A StatefulSet says this only in events; see `trouble.rs`.
            failure: None,
            image: image(spec.template.spec.as_ref()),
            promise: promise(spec.template.spec.as_ref()),
            client_secret: None,
            max_unavailable: 0,
        })
    }
}

fn promise(pod: Option<&k8s_openapi::api::core::v1::PodSpec>) -> Promise {
    pod.map(Promise::of_pod).unwrap_or_default()
}

fn image(pod: Option<&k8s_openapi::api::core::v1::PodSpec>) -> String {
    pod.and_then(|pod| pod.containers.first()?.image.clone())
        .unwrap_or_default()
}

impl Digest for Job {
    fn seen(&self) -> Seen {
        let status = self.status.as_ref();
        let conditions = status
            .and_then(|s| s.conditions.as_deref())
            .unwrap_or_default();
        let pods = status.map(|s| [s.active, s.terminating, s.failed, s.succeeded]);
        let holds = |type_: &str| {
            conditions
                .iter()
                .find(|c| c.type_ == type_ && c.status == "True")
        };
        Seen::Job(JobSeen {
            succeeded: holds("Complete").is_some() || holds("SuccessCriteriaMet").is_some(),
            failed: holds("Failed")
                .or_else(|| holds("FailureTarget"))
                .map(|condition| {
                    condition
                        .message
                        .clone()
                        .or_else(|| condition.reason.clone())
                        .unwrap_or_default()
                }),
            has_pods: pods
                .unwrap_or_default()
                .iter()
                .flatten()
                .any(|count| *count > 0),
            // A Job says this only in events; see `trouble.rs`.
            podless: None,
            created: self.creation_timestamp().map(|time| time.0),
        })
    }
}

impl Digest for Pod {
    fn seen(&self) -> Seen {
        let status = self.status.clone().unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let is_true = |type_: &str| {
            conditions
                .iter()
                .any(|c| c.type_ == type_ && c.status == "True")
        };
        let unschedulable = conditions
            .iter()
            .find(|c| {
                c.type_ == "PodScheduled"
                    && c.status == "False"
                    && c.reason.as_deref() == Some("Unschedulable")
            })
            .and_then(|c| c.message.clone());
        let container = status
            .container_statuses
            .unwrap_or_default()
            .into_iter()
            .next();
        let state = container
            .as_ref()
            .and_then(|c| c.state.clone())
            .unwrap_or_default();
        let last = container
            .as_ref()
            .and_then(|c| c.last_state.clone())
            .unwrap_or_default();
        let terminated = state.terminated.or(last.terminated);
        Seen::Pod(PodSeen {
            name: self.name_any(),
            component: self
                .labels()
                .get(labels::COMPONENT)
                .cloned()
                .unwrap_or_default(),
            is_ready: is_true("Ready"),
            is_deleting: self.metadata.deletion_timestamp.is_some(),
            created: self.creation_timestamp().map(|time| time.0),
            unschedulable,
            waiting: state.waiting.map(|waiting| {
                (
                    waiting.reason.unwrap_or_default(),
                    waiting.message.unwrap_or_default(),
                )
            }),
            start_error: terminated
                .as_ref()
                .filter(|end| end.reason.as_deref() == Some("StartError"))
                .and_then(|end| end.message.clone()),
            // A job's pod that ended well is no trouble.
            terminated: terminated
                .filter(|end| end.exit_code != 0)
                .map(|end| (end.reason.unwrap_or_default(), end.exit_code)),
            restarts: container.map_or(0, |c| c.restart_count),
            last_log_line: None,
            evicted: (status.reason.as_deref() == Some("Evicted"))
                .then(|| status.message.unwrap_or_default()),
            promise: match status.phase.as_deref() {
                Some("Succeeded" | "Failed") => Promise::default(),
                _ => promise(self.spec.as_ref()),
            },
        })
    }
}

/// Whether our apply named the storage class of a claim.
fn says_class(metadata: &ObjectMeta) -> bool {
    let entries = metadata.managed_fields.iter().flatten();
    entries.filter(|entry| is_ours(entry)).any(|entry| {
        let fields = entry.fields_v1.as_ref();
        fields.is_some_and(|fields| fields.0.pointer("/f:spec/f:storageClassName").is_some())
    })
}

impl Digest for PersistentVolumeClaim {
    fn seen(&self) -> Seen {
        let requested = self
            .spec
            .as_ref()
            .and_then(|spec| spec.resources.as_ref()?.requests.as_ref()?.get("storage"))
            .map(|quantity| quantity.0.clone())
            .unwrap_or_default();
        let status = self.status.clone().unwrap_or_default();
        let capacity = status.capacity.and_then(|mut has| has.remove("storage"));
        // Resizing, FileSystemResizePending, ControllerResizeError and so on.
        let mut conditions = status.conditions.into_iter().flatten();
        let resize = conditions.find(|it| it.status == "True" && it.type_.contains("Resiz"));
        Seen::Volume {
            volume: VolumeSeen {
                uid: self.uid().unwrap_or_default(),
                requested,
                capacity: capacity.map(|quantity| quantity.0),
                resize: resize.map(|it| {
                    it.message
                        .filter(|said| !said.is_empty())
                        .unwrap_or(it.type_)
                }),
                phase: status.phase.unwrap_or_default(),
                is_deleting: self.metadata.deletion_timestamp.is_some(),
                class: self
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.storage_class_name.clone())
                    .filter(|_| says_class(&self.metadata)),
            },
            kept: Kept::of(&self.metadata),
        }
    }
}

impl Digest for SsoClient {
    fn seen(&self) -> Seen {
        Seen::Client(ClientSeen::of(self))
    }
}

impl Digest for Route {
    fn seen(&self) -> Seen {
        Seen::Route {
            hostname: self.spec.hostname.clone(),
            conditions: self
                .status
                .as_ref()
                .map(|status| status.conditions.clone())
                .unwrap_or_default(),
        }
    }
}

impl Kind {
    /// What the API server calls it.
    #[must_use]
    pub fn api_resource(self) -> kube::core::ApiResource {
        use k8s_openapi::api::{
            batch::v1::CronJob,
            core::v1::{Secret, Service, ServiceAccount},
            networking::v1::NetworkPolicy,
            policy::v1::PodDisruptionBudget,
        };
        use kube::core::ApiResource;
        match self {
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
            Self::Job => ApiResource::erase::<Job>(&()),
            Self::CronJob => ApiResource::erase::<CronJob>(&()),
            Self::Pod => ApiResource::erase::<Pod>(&()),
            Self::PersistentVolumeClaim => ApiResource::erase::<PersistentVolumeClaim>(&()),
            Self::Secret => ApiResource::erase::<Secret>(&()),
            Self::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
            Self::Service => ApiResource::erase::<Service>(&()),
            Self::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
            Self::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Self::Route => ApiResource::erase::<Route>(&()),
            Self::Domain => ApiResource::erase::<Domain>(&()),
            Self::SsoClient => ApiResource::erase::<SsoClient>(&()),
        }
    }
}
