//! How the database stands.

use crds::AppInstance;
use jiff::Timestamp;
use kube_core::ResourceExt as _;

use super::{Finding, deadline, pods};
use crate::{DesiredState, Observed, build::COMPONENT_DATABASE, context::PodSeen, names};

/// Seconds that a database may take to answer, as its startup probe has it.
const STARTUP_SECONDS: i64 = 300;

pub(super) fn judge(
    instance: &AppInstance,
    desired: &DesiredState,
    observed: &Observed,
    now: Timestamp,
) -> Option<Finding> {
    desired.database.as_ref()?;
    let namespace = pods::namespace(desired);
    let seen = observed.database.as_ref();
    // A job that has begun keeps the database until it ends.
    if instance.spec.stopped && desired.jobs.is_empty() {
        let running = seen.map_or(0, |seen| seen.replicas);
        return Some(if running > 0 {
            Finding::on_its_way("DatabaseStopping", "the database is shutting down", None)
        } else {
            Finding::at_rest("Stopped", "stopped with its instance")
        });
    }
    let Some(seen) = seen else {
        return Some(Finding::on_its_way(
            "DatabaseStarting",
            "the database is being made",
            None,
        ));
    };
    if let Some(failure) = &seen.failure {
        return Some(pods::creation_failure(failure));
    }
    let limit = desired
        .database
        .as_ref()
        .and_then(|d| d.spec.as_ref()?.template.spec.as_ref()?.containers.first())
        .and_then(|c| c.resources.as_ref()?.limits.as_ref()?.get("memory"))
        .map_or("limit", |quantity| quantity.0.as_str());
    if let Some(trouble) =
        pods::trouble(observed.pods_of(COMPONENT_DATABASE), namespace, limit, now)
    {
        return Some(trouble);
    }
    if seen.is_current && seen.ready >= 1 && seen.updated >= 1 {
        return Some(Finding::well("DatabaseAnswers", "the database answers"));
    }
    let created = observed
        .pods_of(COMPONENT_DATABASE)
        .filter(|pod| !pod.is_deleting)
        .filter_map(|pod: &PodSeen| pod.created)
        .max();
    let until = deadline(created, STARTUP_SECONDS);
    if until.is_some_and(|until| until <= now) {
        return Some(Finding::stuck(
            "DatabaseDoesNotAnswer",
            format!(
                "the database does not answer; its log says more: kubectl logs {}-0 -n {namespace}",
                names::database(&instance.name_any())
            ),
        ));
    }
    Some(Finding::on_its_way(
        "DatabaseStarting",
        "the database is starting",
        until,
    ))
}
