//! How the last runs of the periodic jobs ended. A site answers without them, so that `Ready` does
//! not wait; somebody has to know all the same.

use std::collections::BTreeMap;

use crds::{AppInstance, labels};
use kube_core::ResourceExt as _;

use super::{Finding, State, count, jobs, pods};
use crate::{
    Observed,
    context::{PodSeen, RunSeen},
};

/// The reason of a run that failed for good.
pub(super) const FAILED: &str = "PeriodicJobFailed";
/// The reason of a run whose pod could not be created.
pub(super) const NOT_STARTED: &str = "PeriodicJobNotStarted";

/// What is said of each job holds until a later run ends otherwise. `None` while nothing is known of
/// any: none has run, or none is to run, because the app rests.
pub(super) fn judge(instance: &AppInstance, observed: &Observed) -> Option<Finding> {
    if instance.spec.stopped || instance.spec.replicas == Some(0) {
        return None;
    }
    let mut verdicts: BTreeMap<&str, (&RunSeen, Finding)> = BTreeMap::new();
    for (name, run) in &observed.runs {
        let Some(verdict) = verdict(instance, name, run, observed) else {
            continue;
        };
        let known = verdicts.get(run.cron_job.as_str());
        if known.is_none_or(|(known, _)| known.job.created <= run.job.created) {
            verdicts.insert(&run.cron_job, (run, verdict));
        }
    }
    let number = verdicts.len();
    let mut troubles = verdicts
        .into_values()
        .map(|(_, finding)| finding)
        .filter(|finding| finding.state != State::Well);
    let Some(mut first) = troubles.next() else {
        let words = format!("{} ended well the last time", count(number, "periodic job"));
        return (number > 0).then(|| Finding::well("EndedWell", words));
    };
    let more = troubles.count();
    if more > 0 {
        let others = count(more, "other periodic job");
        first.message = format!("{}; and {others}: kubectl get jobs", first.message);
    }
    Some(first)
}

/// What a run tells; nothing while it is under way.
fn verdict(
    instance: &AppInstance,
    name: &str,
    run: &RunSeen,
    observed: &Observed,
) -> Option<Finding> {
    if run.job.succeeded {
        return Some(Finding::well("EndedWell", ""));
    }
    let cron_job = &run.cron_job;
    if let Some(why) = run.job.podless.as_ref().filter(|_| run.is_podless()) {
        let refused = pods::creation_failure(why);
        // Two writes that met: the pod is about to come.
        if refused.state != State::Stuck {
            return None;
        }
        return Some(Finding::stuck(
            NOT_STARTED,
            format!(
                "periodic job {cron_job} did not run: {}. It is due again by its schedule",
                refused.message
            ),
        ));
    }
    let why = run.job.failed.as_ref()?;
    let own = observed.pods.iter().filter(|pod| pod.is_of_job(name));
    let log = jobs::last_words(own.filter(|pod: &&PodSeen| jobs::says_anything(pod)));
    let namespace = instance.namespace().unwrap_or_default();
    Some(Finding::stuck(
        FAILED,
        format!(
            "periodic job {cron_job} failed: {}{log}. Mend what it names; it is due again by its \
             schedule. All that it said: kubectl logs -n {namespace} --tail=-1 --prefix -l \
             {}={},{}=job",
            pods::no_stop(why),
            labels::INSTANCE,
            instance.name_any(),
            labels::COMPONENT,
        ),
    ))
}
