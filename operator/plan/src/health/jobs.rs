//! How the install or upgrade job stands.

use crds::labels;
use jiff::Timestamp;

use super::{Finding, deadline, pods};
use crate::{DesiredState, Observed, build::COMPONENT_JOB};

/// The job that must end well first, if there is one.
pub(super) fn judge(
    desired: &DesiredState,
    observed: &Observed,
    now: Timestamp,
) -> Option<Finding> {
    let job = desired.jobs.first()?;
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
    let is_install = job
        .metadata
        .labels
        .as_ref()
        .and_then(|l| l.get(labels::JOB))
        .is_some_and(|kind| kind == "install")
        || desired.workload.is_none();
    let (doing, failed, what) = if is_install {
        ("Installing", "InstallFailed", "installation")
    } else {
        ("Upgrading", "UpgradeFailed", "upgrade")
    };
    let seen = observed.jobs.get(name);
    if let Some(why) = seen.and_then(|seen| seen.failed.as_ref()) {
        let log = observed
            .pods
            .iter()
            .filter(|pod| pod.component == COMPONENT_JOB && pod.name.starts_with(name))
            .find_map(|pod| pod.last_log_line.as_ref())
            .map_or_else(String::new, |line| format!("; it said last: {line}"));
        return Some(Finding::stuck(
            failed,
            format!(
                "the {what} failed: {why}{log}. To try again: kubectl delete job/{name} -n {namespace}"
            ),
        ));
    }
    if let Some(trouble) = pods::trouble(observed, COMPONENT_JOB, &desired.memory_limit) {
        return Some(trouble);
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
