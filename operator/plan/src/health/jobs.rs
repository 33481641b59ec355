//! How the install or upgrade job stands.

use crds::AppInstance;
use jiff::Timestamp;
use kube_core::ResourceExt as _;

use super::{Finding, deadline, pods};
use crate::{DesiredState, Observed};

/// The job that must end well first, if there is one.
pub(super) fn judge(
    instance: &AppInstance,
    desired: &DesiredState,
    observed: &Observed,
    now: Timestamp,
) -> Option<Finding> {
    let job = desired.jobs.first()?;
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
    // No job of a definition may have a name that begins with "to-".
    let is_upgrade = name.starts_with(&format!("{}-to-", instance.name_any()));
    let (doing, failed, what) = if is_upgrade {
        ("Upgrading", "UpgradeFailed", "upgrade")
    } else {
        ("Installing", "InstallFailed", "installation")
    };
    let seen = observed.jobs.get(name);
    if let Some(why) = seen.and_then(|seen| seen.failed.as_ref()) {
        let log = observed
            .pods
            .iter()
            .filter(|pod| pod.is_of_job(name) && pod.last_log_line.is_some())
            .max_by_key(|pod| pod.created)
            .and_then(|pod| pod.last_log_line.as_ref())
            .map_or_else(String::new, |line| {
                format!("; it said last: {}", pods::no_stop(line))
            });
        return Some(Finding::stuck(
            failed,
            format!(
                "the {what} failed: {why}{log}. To try again: kubectl delete job/{name} -n {namespace}"
            ),
        ));
    }
    // Its own pods, and not those of periodic jobs.
    let own = observed.pods.iter().filter(|pod| pod.is_of_job(name));
    if let Some(trouble) = pods::trouble(own, namespace, &desired.memory_limit, now) {
        return Some(trouble);
    }
    if let Some(why) = seen.and_then(|seen| seen.podless.as_ref()) {
        return Some(pods::creation_failure(why));
    }
    let seconds = job
        .spec
        .as_ref()
        .and_then(|spec| spec.active_deadline_seconds)
        .unwrap_or(600);
    let until = deadline(seen.and_then(|seen| seen.created), seconds).filter(|until| *until > now);
    Some(Finding::on_its_way(
        doing,
        format!("the {what} is under way (job {name})"),
        until,
    ))
}
