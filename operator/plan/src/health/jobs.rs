//! How the install or upgrade job stands.

use crds::AppInstance;
use jiff::Timestamp;
use kube_core::ResourceExt as _;

use super::{Finding, deadline, pods};
use crate::{DesiredState, Observed, build::RETRIES, context::PodSeen};

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
    // Not those of periodic jobs.
    let own = || observed.pods.iter().filter(|pod| pod.is_of_job(name));
    if let Some(why) = seen.and_then(|seen| seen.failed.as_ref()) {
        let log = last_words(own().filter(|pod| says_anything(pod)));
        return Some(Finding::stuck(
            failed,
            format!(
                "the {what} failed: {why}{log}. To try again: kubectl delete job/{name} -n {namespace}"
            ),
        ));
    }
    if let Some(trouble) = pods::trouble(own(), namespace, &desired.memory_limit, now) {
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
        format!(
            "the {what} is under way (job {name}){}",
            failed_attempts(own())
        ),
        until,
    ))
}

/// What became of attempts so far: each is a pod. The next may find what the last one missed, such as
/// a database that had not started.
fn failed_attempts<'a>(own: impl Iterator<Item = &'a PodSeen> + Clone) -> String {
    let failed = own.filter(|pod| pod.terminated.is_some());
    let Some((_, code)) = latest(failed.clone()).and_then(|pod| pod.terminated.as_ref()) else {
        return String::new();
    };
    let count = failed.clone().count();
    format!(
        "; {count} of {} attempts ended, the last one with exit code {code}{}",
        RETRIES + 1,
        last_words(failed)
    )
}

fn latest<'a>(pods: impl Iterator<Item = &'a PodSeen>) -> Option<&'a PodSeen> {
    pods.max_by_key(|pod| pod.created)
}

/// Whether a pod tells why it ended.
pub(super) fn says_anything(pod: &PodSeen) -> bool {
    pod.start_error.is_some() || pod.last_log_line.is_some()
}

pub(super) fn last_words<'a>(pods: impl Iterator<Item = &'a PodSeen>) -> String {
    let Some(last) = latest(pods) else {
        return String::new();
    };
    if let Some(why) = &last.start_error {
        // Before that the runtime says through which hands it went.
        let why = why.find("exec: ").map_or(why.as_str(), |at| &why[at..]);
        return format!("; its command cannot be started ({why}): mend it in the AppDefinition");
    }
    last.last_log_line
        .as_ref()
        .map_or_else(String::new, |line| {
            format!("; it said last: {}", pods::no_stop(line))
        })
}
