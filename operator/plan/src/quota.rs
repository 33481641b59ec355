//! Whether a larger size, or larger volumes, have room in the organization's quota.
//!
//! Kubernetes finds out too late: the one pod of a database is ended before the larger one is asked
//! for, and one that the quota does not admit leaves the site without a database. A volume that it
//! does not admit leaves an instance half made.

use std::{collections::BTreeMap, iter::Sum, ops::Add};

use crds::{
    AppDefinitionSpec, AppInstance,
    app_definition::{Resources, Size},
    organization::Quota,
    quantity,
};
use k8s_openapi::api::core::v1::PodSpec;

use crate::{Observed, check, context::VolumeSeen};

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

    /// What a volume takes.
    #[must_use]
    pub fn of_volume(volume: &VolumeSeen) -> Self {
        Self {
            storage: value(&volume.requested),
            ..Self::default()
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

    fn exceeds(self, other: Self) -> bool {
        self.cpu > other.cpu || self.memory > other.memory
    }
}

impl From<&Resources> for Promise {
    fn from(resources: &Resources) -> Self {
        Self::new(&resources.cpu, &resources.memory)
    }
}

impl From<&Quota> for Promise {
    fn from(quota: &Quota) -> Self {
        Self {
            storage: value(&quota.storage),
            ..Self::new(&quota.cpu, &quota.memory)
        }
    }
}

impl Add for Promise {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
            storage: self.storage.saturating_add(other.storage),
        }
    }
}

impl Sum for Promise {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// What an organization may promise, and what it has promised elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Its quota.
    pub quota: Promise,
    /// What its other instances have, and what instances that are gone left behind.
    pub others: Promise,
}

impl Room {
    fn left(self) -> Promise {
        Promise {
            cpu: self.quota.cpu.saturating_sub(self.others.cpu),
            memory: self.quota.memory.saturating_sub(self.others.memory),
            storage: self.quota.storage.saturating_sub(self.others.storage),
        }
    }
}

/// Whether pods that run are to be promised more than they are, or volumes are to be made or to grow:
/// only then somebody has to count what the others have.
#[must_use]
pub fn grows(instance: &AppInstance, definition: &AppDefinitionSpec, observed: &Observed) -> bool {
    let size = definition.size(instance.spec.size.as_deref());
    let is_larger = size.is_some_and(|size| wanted(size, observed).exceeds(has(observed)));
    let stores_more = || {
        let sizes = check::storage_is_possible(&instance.spec.app, definition, instance, observed);
        sizes.is_ok_and(|sizes| growing(&sizes, observed).next().is_some())
    };
    (is_larger && !instance.spec.stopped) || stores_more()
}

/// What is missing to the larger size, if anything is: `spec.quota.cpu` or `spec.quota.memory`,
/// what the instance would need of it, and what is left, as a person writes them.
#[must_use]
pub fn lacks(
    size: &Size,
    observed: &Observed,
    room: Room,
) -> Option<(&'static str, String, String)> {
    let wanted = wanted(size, observed);
    let has = has(observed);
    let left = room.left();
    if wanted.cpu > has.cpu && wanted.cpu > left.cpu {
        Some(("cpu", cores(wanted.cpu), cores(left.cpu)))
    } else if wanted.memory > has.memory && wanted.memory > left.memory {
        Some(("memory", mebibytes(wanted.memory), mebibytes(left.memory)))
    } else {
        None
    }
}

/// What is missing to volumes of these sizes, if anything is: those that are to be made or to grow,
/// what all would take, and what is left, as a person writes them.
#[must_use]
pub fn lacks_storage(
    sizes: &BTreeMap<String, String>,
    observed: &Observed,
    room: Room,
) -> Option<(String, String, String)> {
    let growing: Vec<String> = growing(sizes, observed)
        .map(|(name, size)| format!("{name} {size}"))
        .collect();
    let wanted = sizes
        .values()
        .map(|size| value(size))
        .fold(0, u128::saturating_add);
    let left = room.left().storage;
    if growing.is_empty() || wanted <= left {
        return None;
    }
    let volumes = check::list(growing.iter().map(String::as_str));
    Some((volumes, mebibytes(wanted), mebibytes(left)))
}

/// Volumes that there are not, or not as large.
fn growing<'a>(
    sizes: &'a BTreeMap<String, String>,
    observed: &'a Observed,
) -> impl Iterator<Item = (&'a String, &'a String)> {
    sizes.iter().filter(|(name, size)| {
        let seen = observed.volumes.get(*name);
        seen.is_none_or(|seen| value(size) > value(&seen.requested))
    })
}

/// What an instance's pods are promised.
fn has(observed: &Observed) -> Promise {
    [&observed.database, &observed.workload]
        .into_iter()
        .flatten()
        .map(|seen| seen.promise.times(seen.wished))
        .sum()
}

/// What the same pods would be promised with this size.
fn wanted(size: &Size, observed: &Observed) -> Promise {
    let database = size.database.as_ref().map(|database| &database.requests);
    [
        (&observed.database, database),
        (&observed.workload, Some(&size.requests)),
    ]
    .into_iter()
    .filter_map(|(seen, requests)| Some(Promise::from(requests?).times(seen.as_ref()?.wished)))
    .sum()
}

fn value(quantity: &str) -> u128 {
    quantity::in_thousandths(quantity).unwrap_or_default()
}

fn cores(thousandths: u128) -> String {
    format!("{thousandths}m")
}

fn mebibytes(thousandths: u128) -> String {
    format!("{}Mi", thousandths / 1000 / (1 << 20))
}
