//! Whether an instance, a larger size of it, or larger volumes, have room in the organization's quota.
//!
//! Kubernetes finds out too late: the one pod of a database is ended before the larger one is asked
//! for, and one that the quota does not admit leaves the site without a database. What it does not
//! admit of a new instance leaves that half made.
//!
//! What is taken is Kubernetes' own count, so that a wish which it refused takes nothing from others,
//! and what others were granted and it has not counted yet. Only what grows is judged: what was granted
//! once stays, however small the quota becomes.

use std::{
    collections::BTreeMap,
    iter::Sum,
    ops::{Add, Sub},
};

use crds::{
    AppInstance,
    app_definition::{Resources, Size},
    quantity,
};
use k8s_openapi::{
    api::core::v1::{PodSpec, ResourceQuotaStatus},
    apimachinery::pkg::api::resource::Quantity,
};

use crate::{DesiredState, Observed, check, check::Wish};

/// The reason of what has no room.
pub const EXCEEDED: &str = "QuotaExceeded";
/// What a ResourceQuota calls the cores that pods request.
pub const CPU: &str = "requests.cpu";
/// What it calls their memory.
pub const MEMORY: &str = "requests.memory";
/// What it calls the sizes of claims.
pub const STORAGE: &str = "requests.storage";

/// What is promised: cores and memory to pods, which is the sum of their requests, and storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// Thousandths of a core.
    pub cpu: u128,
    /// Thousandths of a byte.
    pub memory: u128,
    /// Thousandths of a byte.
    pub storage: u128,
}

impl Promise {
    /// What these quantities of cores and memory are; nothing for what is none.
    #[must_use]
    pub fn new(cpu: &str, memory: &str) -> Self {
        Self {
            cpu: value(cpu),
            memory: value(memory),
            storage: 0,
        }
    }

    /// What such a pod is promised.
    #[must_use]
    pub fn of_pod(pod: &PodSpec) -> Self {
        let requests = pod
            .containers
            .iter()
            .filter_map(|container| container.resources.as_ref()?.requests.as_ref());
        requests
            .map(|requests| {
                let of = |name| requests.get(name).map_or("0", |it| it.0.as_str());
                Self::new(of("cpu"), of("memory"))
            })
            .sum()
    }

    /// The larger of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        self.with(other, u128::max)
    }

    fn with(self, other: Self, each: fn(u128, u128) -> u128) -> Self {
        Self {
            cpu: each(self.cpu, other.cpu),
            memory: each(self.memory, other.memory),
            storage: each(self.storage, other.storage),
        }
    }

    /// The same to so many pods.
    #[must_use]
    pub fn times(self, pods: i32) -> Self {
        let pods = u128::try_from(pods).unwrap_or_default();
        Self {
            cpu: self.cpu.saturating_mul(pods),
            memory: self.memory.saturating_mul(pods),
            storage: self.storage.saturating_mul(pods),
        }
    }
}

impl From<&Resources> for Promise {
    fn from(resources: &Resources) -> Self {
        Self::new(&resources.cpu, &resources.memory)
    }
}

/// As a ResourceQuota counts.
impl From<&BTreeMap<String, Quantity>> for Promise {
    fn from(counted: &BTreeMap<String, Quantity>) -> Self {
        let of = |resource| counted.get(resource).map_or("0", |it| it.0.as_str());
        Self {
            storage: value(of(STORAGE)),
            ..Self::new(of(CPU), of(MEMORY))
        }
    }
}

impl Add for Promise {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.with(other, u128::saturating_add)
    }
}

/// What is left; nothing where more is taken than there is.
impl Sub for Promise {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.with(other, u128::saturating_sub)
    }
}

impl Sum for Promise {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// What Kubernetes has counted of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// What there may be.
    pub hard: Promise,
    /// What is taken: by all pods that it admitted and have not ended, and all claims, also those that
    /// people made by hand.
    pub used: Promise,
}

impl Count {
    /// As it says; `None` until it has counted.
    #[must_use]
    pub fn of(status: &ResourceQuotaStatus) -> Option<Self> {
        Some(Self {
            hard: Promise::from(status.hard.as_ref()?),
            used: Promise::from(status.used.as_ref()?),
        })
    }

    /// What is left beside what was seen and what others are due. Pods are often seen before the count
    /// that they are part of.
    #[must_use]
    pub fn room(self, seen: Promise, due: Promise) -> Room {
        Room {
            left: self.hard - self.used.max(seen) - due,
        }
    }
}

/// What an organization may still promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What is left of its quota.
    pub left: Promise,
}

/// What is missing, as a person writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// `cpu`, `memory` or `storage`: the field of `spec.quota`.
    pub what: &'static str,
    /// What the whole instance would take of it.
    pub needed: String,
    /// What is left for it beside all others.
    pub left: String,
}

/// Kubernetes' words for what a quota has no room for, from where they begin, if a message has them.
#[must_use]
pub fn refusal(message: &str) -> Option<&str> {
    message
        .find("exceeded quota")
        .map(|start| &message[start..])
}

/// What all pods and volumes of an instance are promised once they are there.
pub(crate) fn promised(wish: &Wish<'_>, database_pods: i32) -> Promise {
    let database = of_database(wish.size);
    let database = database.map(Promise::from).unwrap_or_default();
    Promise {
        storage: total(wish.storage.values()),
        ..database.times(database_pods) + Promise::from(&wish.size.requests).times(wish.replicas())
    }
}

/// What an instance was granted and Kubernetes has not counted yet: what its pods and volumes are
/// promised, without those that there are. Where something is refused or has failed, nothing: it waits
/// for room like all others, or it would be kept for it for ever.
#[must_use]
pub fn due(instance: &AppInstance, desired: &DesiredState, observed: &Observed) -> Promise {
    let is_in_trouble = observed.workloads().any(|seen| seen.failure.is_some())
        || observed
            .jobs
            .values()
            .any(|job| job.failed.is_some() || job.podless.is_some());
    if instance.spec.paused || is_in_trouble {
        return Promise::default();
    }
    desired.promised - taken(observed)
}

/// What the pods and volumes that an instance has are promised.
#[must_use]
pub fn taken(observed: &Observed) -> Promise {
    let volumes = observed.volumes.values();
    let volumes = Promise {
        storage: total(volumes.map(|seen| &seen.requested)),
        ..Promise::default()
    };
    let pods: Promise = observed.pods.iter().map(|pod| pod.promise).sum();
    pods + volumes
}

/// What is missing to this size, if anything is.
#[must_use]
pub fn lacks(instance: &AppInstance, size: &Size, observed: &Observed, room: Room) -> Option<Lack> {
    let (has, wanted) = of_pods(instance, size, observed);
    let left = room.left;
    lack("cpu", has.cpu, wanted.cpu, left.cpu, cores)
        .or_else(|| lack("memory", has.memory, wanted.memory, left.memory, bytes))
}

/// Whether a pod of the app that starts before an old one ends would take the room that its database, which
/// grows and is ended first, comes back to.
pub(crate) fn surge_takes_the_databases(wish: &Wish<'_>) -> bool {
    let observed = wish.context.observed;
    let organization = wish.context.organization.as_ref();
    let (Some(database), Some(app)) = (&observed.database, &observed.workload) else {
        return false;
    };
    let (Some(room), Some(requests)) = (
        organization.and_then(|organization| organization.room),
        of_database(wish.size),
    ) else {
        return false;
    };
    let grows = Promise::from(requests).max(database.promise) != database.promise;
    let (has, wanted) = of_pods(wish.instance, wish.size, observed);
    grows && (wanted + app.promise) - (room.left + has) != Promise::default()
}

/// What is missing to volumes of these sizes, if anything is, with those that are to be made or to
/// grow.
#[must_use]
pub fn lacks_storage(
    sizes: &BTreeMap<String, String>,
    observed: &Observed,
    room: Room,
) -> Option<(String, Lack)> {
    let has = |name: &str| Some(&observed.volumes.get(name)?.requested);
    let present = total(sizes.keys().filter_map(|name| has(name)));
    let wanted = total(sizes.values());
    let lack = lack("storage", present, wanted, room.left.storage, bytes)?;
    let growing: Vec<String> = sizes
        .iter()
        .filter(|(name, size)| value(size) > total(has(name).into_iter()))
        .map(|(name, size)| format!("{name} {size}"))
        .collect();
    Some((check::list(growing.iter().map(String::as_str)), lack))
}

/// Whoever grows needs room for what it grows by.
fn lack(
    what: &'static str,
    has: u128,
    wanted: u128,
    left: u128,
    written: fn(u128) -> String,
) -> Option<Lack> {
    (wanted.saturating_sub(has) > left).then(|| Lack {
        what,
        needed: written(wanted),
        left: written(left.saturating_add(has)),
    })
}

/// What an instance's pods are promised, and what the same pods would be with this size. Of one that
/// is new or was stopped, all that it is about to have. Pods that the quota did not admit are neither:
/// what they wait for is told by what waits.
fn of_pods(instance: &AppInstance, size: &Size, observed: &Observed) -> (Promise, Promise) {
    if instance.spec.stopped {
        return Default::default();
    }
    let database = of_database(size);
    let is_new = !check::is_granted(instance);
    let parts = [
        (&observed.database, database, 1),
        (
            &observed.workload,
            Some(&size.requests),
            instance.spec.replicas.unwrap_or(1),
        ),
    ];
    let mut sums = (Promise::default(), Promise::default());
    for (seen, requests, first) in parts {
        let Some(requests) = requests else { continue };
        let (has, pods) = match seen {
            Some(seen) if seen.wished > 0 => (seen.promise, seen.wished.min(seen.replicas)),
            Some(_) => (Promise::default(), first),
            None if is_new => (Promise::default(), first),
            None => continue,
        };
        sums.0 = sums.0 + has.times(pods);
        sums.1 = sums.1 + Promise::from(requests).times(pods);
    }
    sums
}

/// What the database of this size requests, where there is one.
fn of_database(size: &Size) -> Option<&Resources> {
    size.database.as_ref().map(|database| &database.requests)
}

fn total<'a>(sizes: impl Iterator<Item = &'a String>) -> u128 {
    sizes.map(|size| value(size)).fold(0, u128::saturating_add)
}

fn value(quantity: &str) -> u128 {
    quantity::in_thousandths(quantity).unwrap_or_default()
}

fn cores(thousandths: u128) -> String {
    format!("{thousandths}m")
}

/// In the largest unit that leaves no rest.
fn bytes(thousandths: u128) -> String {
    let mebibytes = thousandths / 1000 / (1 << 20);
    if mebibytes > 0 && mebibytes.is_multiple_of(1024) {
        format!("{}Gi", mebibytes / 1024)
    } else {
        format!("{mebibytes}Mi")
    }
}
