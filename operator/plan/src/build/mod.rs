//! What an instance becomes: one builder per Kubernetes kind. Nothing here can fail; what could
//! go wrong has gone wrong in `check.rs`.

mod account;
mod budget;
mod clients;
mod database;
mod domains;
mod jobs;
mod metadata;
mod network;
mod pod;
mod routes;
mod secrets;
mod services;
mod storage;
mod workload;

use crds::{Domain, Route, SsoClient, app_definition::When};
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    batch::v1::{CronJob, Job},
    core::v1::{PersistentVolumeClaim, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use serde::Serialize;

pub(crate) use jobs::RETRIES;
pub use metadata::{COMPONENT_DATABASE, COMPONENT_JOB, COMPONENT_WEB, HOST_ANNOTATION};
pub use secrets::SecretWish;

use crate::{
    check::Wish,
    quota::{self, Promise},
};

/// Everything that an instance consists of. Applying it destructures this without `..`, so that a
/// kind which nobody applies does not compile.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DesiredState {
    /// Secrets to be generated where they do not exist; never changed and never pruned.
    pub secrets: Vec<SecretWish>,
    /// The pods' identity, which has no rights and no token.
    pub account: ServiceAccount,
    /// Volumes; never pruned.
    pub volumes: Vec<PersistentVolumeClaim>,
    /// Who may talk to whom.
    pub network_policies: Vec<NetworkPolicy>,
    /// Stable names for pods.
    pub services: Vec<Service>,
    /// The database.
    pub database: Option<StatefulSet>,
    /// The app; not there until it is installed.
    pub workload: Option<Deployment>,
    /// The install or upgrade job that must end well first.
    pub jobs: Vec<Job>,
    /// What runs on a schedule.
    pub cron_jobs: Vec<CronJob>,
    /// How many pods may be moved at once.
    pub budgets: Vec<PodDisruptionBudget>,
    /// The customer's own hostnames, each with its proof and its certificate.
    pub domains: Vec<Domain>,
    /// The hostnames under which it answers: its default one, and what of the others is proven.
    pub routes: Vec<Route>,
    /// Who signs people in, where the app leaves that to the platform.
    pub clients: Vec<SsoClient>,
    /// The default host.
    pub host: String,
    /// The default address.
    pub url: String,
    /// The name of its size.
    pub size: String,
    /// What its pods and volumes are promised once all are there.
    #[serde(skip)]
    pub promised: Promise,
    /// The version that is installed once the workload is in place.
    pub version: Option<String>,
    /// The size's limits in words, for messages about them.
    pub memory_limit: String,
    /// What a healthy app answers, in words.
    pub health: String,
}

/// The version whose data there is. One that needs no job is it when its pods answer: until then the one
/// before it may be wished for again.
fn installed<'a>(wish: &'a Wish<'_>) -> Option<&'a str> {
    let serving = wish.rollout.serving.as_ref().filter(|_| has_run(wish))?;
    let observed = wish.context.observed;
    let status = wish.instance.status.as_ref();
    let before = status
        .and_then(|status| status.version.as_deref())
        .or(observed.data_version.as_deref());
    let answers = || {
        let seen = observed.workload.as_ref();
        seen.is_some_and(|seen| {
            seen.is_rolled_out() && seen.ready > 0 && seen.image == pod::image(wish, &serving.image)
        })
    };
    let has_job = wish.definition.job(When::Upgrade).is_some();
    match before {
        Some(before) if before != serving.version && !has_job && !answers() => Some(before),
        _ => Some(&serving.version),
    }
}

/// Whether a version of the app was ever in place: remembered, told by kept data, installed by a
/// job, or seen to answer. Until then another version may still be wished for.
fn has_run(wish: &Wish<'_>) -> bool {
    let remembered = wish.instance.status.as_ref();
    let observed = wish.context.observed;
    remembered.is_some_and(|status| status.version.is_some())
        || observed.data_version.is_some()
        || wish.definition.job(When::Install).is_some()
        || observed
            .workload
            .as_ref()
            .is_some_and(|seen| seen.ready > 0)
}

fn health(wish: &Wish<'_>) -> String {
    let health = &wish.definition.health;
    let status = health.status.map_or_else(
        || "a status from 200 to 399".to_owned(),
        |status| format!("status {status}"),
    );
    format!(
        "GET {} on port {} with {status}, within {} s of a start",
        health.path, wish.definition.port.number, health.startup_seconds
    )
}

/// Builds all objects of a wish.
#[must_use]
pub fn build(wish: &Wish<'_>) -> DesiredState {
    DesiredState {
        secrets: secrets::build(wish),
        account: account::build(wish),
        volumes: storage::build(wish),
        network_policies: network::build(wish),
        services: services::build(wish),
        database: database::build(wish),
        workload: workload::build(wish),
        jobs: jobs::build_rollout(wish).into_iter().collect(),
        cron_jobs: jobs::build_periodic(wish),
        budgets: budget::build(wish).into_iter().collect(),
        domains: domains::build(wish),
        routes: routes::build(wish),
        clients: clients::build(wish).into_iter().collect(),
        host: wish.host.clone(),
        url: crate::check::url(&wish.host, wish.context.platform.https_port),
        size: wish.size.name.clone(),
        promised: quota::promised(wish, i32::from(database::is_needed(wish))),
        version: installed(wish).map(str::to_owned),
        memory_limit: wish.size.limits.memory.clone(),
        health: health(wish),
    }
}
