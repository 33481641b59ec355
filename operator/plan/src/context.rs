//! What a plan depends on beside the wish itself: facts of the platform, of the organization, and
//! what was seen of the instance's children.

use std::collections::{BTreeMap, BTreeSet};

use crds::{
    app_definition::Engine,
    condition::{self, Condition},
    organization::PodSecurity,
};
use jiff::Timestamp;

use crate::quota::{self, Promise, Room};

/// Facts of the platform, from the operator's configuration.
#[derive(Clone, Debug)]
pub struct Platform {
    /// The zone under which every instance gets its default host, such as `tutti.localhost`.
    pub zone: String,
    /// The port at which browsers reach the gateway by HTTPS; part of addresses unless 443.
    pub https_port: u16,
    /// Registry and path for images that name no registry host, such as `localhost:5000/tutti`.
    pub image_registry: Option<String>,
    /// Image name per engine, without tag.
    pub database_images: BTreeMap<Engine, String>,
    /// Secrets that nodes pull instances' images with: names in each organization's namespace.
    pub image_pull_secrets: Vec<String>,
    /// Namespace of the gateway's pods.
    pub gateway_namespace: String,
    /// Labels of the gateway's pods.
    pub gateway_labels: BTreeMap<String, String>,
    /// Storage class of volumes; the cluster's default when not set.
    pub storage_class: Option<String>,
    /// idm, where the platform has it.
    pub idm: Option<Idm>,
}

/// Where idm is, and who it is.
#[derive(Clone, Debug)]
pub struct Idm {
    /// Namespace of its pods and of its ServiceAccount.
    pub namespace: String,
    /// Labels of its pods.
    pub labels: BTreeMap<String, String>,
    /// Its ServiceAccount.
    pub account: String,
    /// The port of its pods at which applications prove themselves.
    pub port: i32,
}

/// What a plan depends on beside instance and definition.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// Facts of the platform.
    pub platform: &'a Platform,
    /// The organization that the namespace belongs to; `None` when it belongs to none.
    pub organization: Option<OrganizationFacts>,
    /// What was seen of the instance's children.
    pub observed: &'a Observed,
    /// Random letters and digits for a default host, used only when none was ever given.
    pub host_token: &'a str,
}

/// What matters of an Organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationFacts {
    /// Its name, also that of the namespace.
    pub name: String,
    /// Which pods its namespace admits.
    pub pod_security: PodSecurity,
    /// Whether it is being deleted.
    pub is_leaving: bool,
    /// Whether its namespace is its own and has a closed network.
    pub is_fenced: bool,
    /// How many instances it may have.
    pub most_instances: usize,
    /// How many of its instances come before this one: those that were granted already, and those
    /// that were asked for earlier.
    pub earlier_instances: usize,
    /// What its quota has room for, beside what others were granted; `None` until Kubernetes has
    /// counted.
    pub room: Option<Room>,
}

/// What was seen of an instance's children: the part that decisions depend on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Names of the generated Secrets that exist.
    pub secrets: BTreeSet<String>,
    /// The default host that kept Secrets and volumes remember.
    pub host: Option<String>,
    /// The hostname of the instance's own Route: the address under which it is served.
    pub served_host: Option<String>,
    /// The app that kept children were made for.
    pub app: Option<String>,
    /// Version of the data found on retained volumes, when status does not tell.
    pub data_version: Option<String>,
    /// Volumes by the definition's name for them.
    pub volumes: BTreeMap<String, VolumeSeen>,
    /// Install and upgrade jobs by object name.
    pub jobs: BTreeMap<String, JobSeen>,
    /// Runs of periodic jobs by object name.
    pub runs: BTreeMap<String, RunSeen>,
    /// The database's StatefulSet.
    pub database: Option<WorkloadSeen>,
    /// The app's Deployment.
    pub workload: Option<WorkloadSeen>,
    /// What idm says of the instance's SsoClient.
    pub client: Option<ClientSeen>,
    /// It is registered, and its Secret is gone.
    pub is_client_secret_gone: bool,
    /// Pods of the instance.
    pub pods: Vec<PodSeen>,
    /// Routes of the instance by hostname.
    pub routes: BTreeMap<String, Vec<Condition>>,
    /// Domains that name the instance, written for it or by hand, in the order of their hostnames.
    pub domains: Vec<DomainSeen>,
}

impl Observed {
    /// The database and the app, as far as they are there.
    pub fn workloads(&self) -> impl Iterator<Item = &WorkloadSeen> {
        self.database.iter().chain(&self.workload)
    }

    /// A component's pods.
    pub fn pods_of(&self, component: &str) -> impl Iterator<Item = &PodSeen> {
        self.pods
            .iter()
            .filter(move |pod| pod.component == component)
    }
}

/// A Domain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DomainSeen {
    /// Its hostname.
    pub hostname: String,
    /// It may be served: it is proven, or was until a short while ago.
    pub is_routed: bool,
    /// Where its visitors are led on to.
    pub redirect_to: Option<String>,
    /// What browsers are told (RFC 6797).
    pub hsts_seconds: Option<i64>,
    /// Its `Ready`.
    pub ready: Option<Condition>,
}

impl DomainSeen {
    /// What matters of a Domain to its instance.
    #[must_use]
    pub fn of(domain: &crds::Domain) -> Self {
        let conditions = domain
            .status
            .as_ref()
            .map(|status| status.conditions.as_slice())
            .unwrap_or_default();
        Self {
            hostname: domain.spec.hostname.clone(),
            is_routed: domain.metadata.deletion_timestamp.is_none()
                && condition::is_true(conditions, condition::ROUTED),
            redirect_to: domain.spec.redirect_to.clone(),
            hsts_seconds: domain.spec.hsts_seconds,
            ready: condition::find(conditions, condition::READY).cloned(),
        }
    }
}

/// An SsoClient.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientSeen {
    /// Its `Ready`.
    pub ready: Option<Condition>,
    /// Digest of its client secret, once there is one.
    pub secret_digest: Option<String>,
}

impl ClientSeen {
    /// What matters of an SsoClient to its instance.
    #[must_use]
    pub fn of(client: &crds::SsoClient) -> Self {
        let status = client.status.clone().unwrap_or_default();
        Self {
            ready: condition::find(&status.conditions, condition::READY).cloned(),
            secret_digest: status.secret_digest,
        }
    }

    /// Whether people can sign in by it.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.ready
            .as_ref()
            .is_some_and(|ready| ready.status == "True")
    }
}

/// A PersistentVolumeClaim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeSeen {
    /// Its UID: another one of the same name holds other data.
    pub uid: String,
    /// The size that it was asked for.
    pub requested: String,
    /// The size that it has, once it is bound.
    pub capacity: Option<String>,
    /// What Kubernetes says of a growth that is not done.
    pub resize: Option<String>,
    /// `Pending`, `Bound` or `Lost`.
    pub phase: String,
    /// Somebody deletes it.
    pub is_deleting: bool,
    /// The storage class that it was asked for with; `None` when the cluster chose.
    pub class: Option<String>,
}

/// A Job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobSeen {
    /// It has ended well.
    pub succeeded: bool,
    /// It has failed for good, and why.
    pub failed: Option<String>,
    /// A pod was made for it, whatever became of it.
    pub has_pods: bool,
    /// Why its pod cannot be created, in Kubernetes' words.
    pub podless: Option<String>,
    /// When it was created.
    pub created: Option<Timestamp>,
}

/// A run of a periodic job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunSeen {
    /// The CronJob that it belongs to.
    pub cron_job: String,
    /// Its Job.
    pub job: JobSeen,
}

impl RunSeen {
    /// Whether it has got nowhere for want of a pod.
    #[must_use]
    pub fn is_podless(&self) -> bool {
        !self.job.succeeded && !self.job.has_pods
    }
}

/// A Deployment or StatefulSet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadSeen {
    /// Its controller has seen the latest generation.
    pub is_current: bool,
    /// Pods wished.
    pub wished: i32,
    /// Pods there are.
    pub replicas: i32,
    /// Pods of the latest template that are ready.
    pub updated: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Why pods cannot be created, in Kubernetes' words.
    pub failure: Option<String>,
    /// The image of its first container.
    pub image: String,
    /// What each of its pods is promised.
    pub promise: Promise,
    /// Which client secret of idm's its pods read.
    pub client_secret: Option<String>,
    /// How many of its pods may end before those of a new template are ready. None: the next one answers
    /// first.
    pub max_unavailable: i32,
}

impl WorkloadSeen {
    /// Its pods cannot be created for want of room in the quota.
    #[must_use]
    pub fn is_over_quota(&self) -> bool {
        self.failure.as_deref().and_then(quota::refusal).is_some()
    }

    /// All its pods are there, and of the latest template.
    #[must_use]
    pub fn is_rolled_out(&self) -> bool {
        self.is_current
            && self.failure.is_none()
            && self.replicas == self.wished
            && self.updated == self.wished
    }
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodSeen {
    /// Its name.
    pub name: String,
    /// `web`, `database` or `job`.
    pub component: String,
    /// It answers.
    pub is_ready: bool,
    /// It is going away.
    pub is_deleting: bool,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Why no node takes it.
    pub unschedulable: Option<String>,
    /// Why its container waits: reason and message.
    pub waiting: Option<(String, String)>,
    /// How its container ended last: reason and exit code.
    pub terminated: Option<(String, i32)>,
    /// Why its container could not be started, in the container runtime's words.
    pub start_error: Option<String>,
    /// How often its container was restarted.
    pub restarts: i32,
    /// The last line of its log, where somebody looked.
    pub last_log_line: Option<String>,
    /// It was evicted, and why.
    pub evicted: Option<String>,
    /// What it is promised: nothing once it has ended.
    pub promise: Promise,
}

impl PodSeen {
    /// Whether it is a pod of this job: Kubernetes appends five letters to the job's name.
    #[must_use]
    pub fn is_of_job(&self, job: &str) -> bool {
        self.component == crate::build::COMPONENT_JOB
            && self
                .name
                .strip_prefix(job)
                .and_then(|rest| rest.strip_prefix('-'))
                .is_some_and(|random| !random.contains('-'))
    }
}
