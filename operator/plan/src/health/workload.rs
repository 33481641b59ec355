//! How the app's own pods stand.

use crds::AppInstance;
use jiff::Timestamp;
use kube_core::ResourceExt as _;

use super::{Finding, deadline, jobs, pods};
use crate::{DesiredState, Observed, build::COMPONENT_WEB, context::WorkloadSeen};

pub(super) fn judge(
    instance: &AppInstance,
    desired: &DesiredState,
    observed: &Observed,
    now: Timestamp,
) -> Option<Finding> {
    let seen = observed.workload.as_ref();
    if instance.spec.stopped {
        let running = seen.map_or(0, |seen| seen.replicas);
        return Some(if running > 0 {
            Finding::on_its_way("Stopping", "the app is shutting down", None)
        } else {
            Finding::at_rest("Stopped", "stopped on request")
        });
    }
    if let Some(finding) = jobs::judge(instance, desired, observed, now) {
        return Some(finding);
    }
    let deployment = desired.workload.as_ref()?.spec.as_ref()?;
    let Some(seen) = seen else {
        return Some(Finding::on_its_way(
            "Starting",
            "the app is being started",
            None,
        ));
    };
    if makes_room(seen, observed) {
        return Some(Finding::on_its_way(
            "RollingOut",
            "the organization's quota has no room for one more pod, so that one ends before the \
             next is started",
            None,
        ));
    }
    if let Some(failure) = &seen.failure {
        return Some(pods::creation_failure(failure));
    }
    let wished = deployment.replicas.unwrap_or(1);
    if wished == 0 {
        return Some(if seen.replicas > 0 {
            Finding::on_its_way("Stopping", "the app is shutting down", None)
        } else {
            Finding::at_rest(
                "ScaledToZero",
                "no pods are wished; set spec.replicas to 1 or more to start it",
            )
        });
    }
    if seen.is_rolled_out() && seen.wished == wished && seen.ready >= wished {
        return Some(Finding::well(
            "Answering",
            format!("{wished} of {wished} pods answer"),
        ));
    }
    let namespace = pods::namespace(desired);
    let does_not_answer = |previous: &str| {
        Finding::stuck(
            "AppDoesNotAnswer",
            format!(
                "the app starts, and is not found healthy: what is wished is {}. Check health and \
                 port of the AppDefinition; what the app says of it: kubectl logs deploy/{} -n \
                 {namespace}{previous}",
                desired.health,
                instance.name_any()
            ),
        )
    };
    if observed
        .pods_of(COMPONENT_WEB)
        .any(pods::is_ended_by_probes)
    {
        return Some(does_not_answer(" --previous"));
    }
    let own = observed.pods_of(COMPONENT_WEB);
    if let Some(trouble) = pods::trouble(own, namespace, &desired.memory_limit, now) {
        return Some(trouble);
    }
    let seconds = deployment.progress_deadline_seconds.unwrap_or(180);
    let created = observed
        .pods_of(COMPONENT_WEB)
        .filter(|pod| !pod.is_deleting && !pod.is_ready)
        .filter_map(|pod| pod.created)
        .max();
    let until = deadline(created, i64::from(seconds));
    if until.is_some_and(|until| until <= now) {
        return Some(does_not_answer(""));
    }
    Some(if seen.ready > 0 {
        Finding::on_its_way(
            "RollingOut",
            format!(
                "{} of {wished} pods are as wished; the others follow",
                seen.updated.min(seen.ready)
            ),
            until,
        )
    } else {
        Finding::on_its_way("Starting", "the app is starting", until)
    })
}

/// Whether a pod that the quota does not admit takes the place of one that is about to end, or ends.
fn makes_room(seen: &WorkloadSeen, observed: &Observed) -> bool {
    let is_next =
        seen.max_unavailable == 0 && seen.updated < seen.wished && seen.replicas >= seen.wished;
    let ends = || observed.pods_of(COMPONENT_WEB).any(|pod| pod.is_deleting);
    seen.is_over_quota() && (is_next || ends())
}
