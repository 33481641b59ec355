//! Observe: what is known of an instance's children, as plans want it. From the cache; the API
//! server is asked only about what is wrong.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use plan::{
    Observed,
    context::{DomainSeen, RunSeen},
};

use super::Instances;
use crate::{
    cache::{Children, InstanceKey, Kind, Seen, child::Kept},
    failure::Failure,
};

/// News of what was written together come within this time.
const LATE: SignedDuration = SignedDuration::from_secs(5);

/// What was seen of an instance's children.
///
/// # Errors
/// When the API server does not tell more about what is wrong.
pub async fn observe(
    operator: &Instances,
    key: &InstanceKey,
    uid: &str,
    children: &Children,
) -> Result<Observed, Failure> {
    let mut observed = from_children(key, uid, children);
    observed.domains = domains(operator, key);
    observed.is_client_secret_gone = is_client_secret_gone(operator, key, &observed);
    operator.troubles.look(operator, key, &mut observed).await;
    Ok(observed)
}

/// The same after a write, with what was found out about trouble before it.
pub fn refresh(operator: &Instances, key: &InstanceKey, uid: &str, before: Observed) -> Observed {
    let mut observed = from_children(key, uid, &operator.cache.children(key));
    observed.domains = before.domains;
    observed.is_client_secret_gone = before.is_client_secret_gone;
    for pod in &mut observed.pods {
        let known = before.pods.iter().find(|other| other.name == pod.name);
        pod.last_log_line = known.and_then(|other| other.last_log_line.clone());
    }
    if let (Some(database), Some(known)) = (&mut observed.database, before.database) {
        database.failure = known.failure;
    }
    for (name, job) in &mut observed.jobs {
        let known = before.jobs.get(name);
        job.podless = known.and_then(|known| known.podless.clone());
    }
    for (name, run) in &mut observed.runs {
        let known = before.runs.get(name);
        run.job.podless = known.and_then(|known| known.job.podless.clone());
    }
    observed
}

/// Two watches tell of a client and of its Secret: so soon after it was registered the one may be late.
fn is_client_secret_gone(operator: &Instances, key: &InstanceKey, observed: &Observed) -> bool {
    let client = observed.client.as_ref().filter(|it| it.is_registered());
    let ready = client.and_then(|client| client.ready.as_ref());
    ready.is_some_and(|ready| {
        Timestamp::now().duration_since(ready.last_transition_time.0) > LATE
            && !operator.cache.has_credentials(key)
    })
}

fn domains(operator: &Instances, key: &InstanceKey) -> Vec<DomainSeen> {
    let domains = operator.cache.domains_of(key);
    domains
        .iter()
        .map(|domain| DomainSeen::of(domain))
        .collect()
}

fn from_children(key: &InstanceKey, uid: &str, children: &Children) -> Observed {
    let mut observed = Observed {
        runs: runs(uid, children),
        ..Observed::default()
    };
    for ((kind, name), child) in children {
        // What belongs to an earlier instance of this name is going away, and says nothing of
        // this one. What is kept beyond an instance has no owner.
        if child.owner.as_deref().is_some_and(|owner| owner != uid) && *kind != Kind::Pod {
            continue;
        }
        match (kind, &child.seen) {
            (Kind::Secret, seen) if !child.is_deleting => {
                if let Seen::Secret(kept) = seen {
                    remember(&mut observed, kept);
                }
                observed.secrets.insert(name.clone());
            }
            (Kind::PersistentVolumeClaim, Seen::Volume { volume, kept }) => {
                remember(&mut observed, kept);
                // Volumes are named <instance>-<volume>.
                let short = name
                    .strip_prefix(&key.name)
                    .and_then(|rest| rest.strip_prefix('-'));
                observed
                    .volumes
                    .insert(short.unwrap_or(name).to_owned(), volume.clone());
            }
            (Kind::Job, Seen::Job(job)) if !child.is_deleting => {
                observed.jobs.insert(name.clone(), job.clone());
            }
            (Kind::StatefulSet, Seen::Workload(workload)) => {
                observed.database = Some(workload.clone());
            }
            (Kind::Deployment, Seen::Workload(workload)) => {
                observed.workload = Some(workload.clone());
            }
            (Kind::SsoClient, Seen::Client(client)) if !child.is_deleting => {
                observed.client = Some(client.clone());
            }
            (Kind::Pod, Seen::Pod(pod)) => observed.pods.push(pod.clone()),
            (
                Kind::Route,
                Seen::Route {
                    hostname,
                    conditions,
                },
            ) => {
                if *name == key.name {
                    observed.served_host = Some(hostname.clone());
                }
                observed.routes.insert(hostname.clone(), conditions.clone());
            }
            _ => {}
        }
    }
    observed
}

/// Runs of this instance's periodic jobs: they belong to its CronJobs.
fn runs(uid: &str, children: &Children) -> BTreeMap<String, RunSeen> {
    let cron_jobs: BTreeMap<&str, &String> = children
        .iter()
        .filter(|((kind, _), child)| *kind == Kind::CronJob && child.owner.as_deref() == Some(uid))
        .map(|((_, name), child)| (child.uid.as_str(), name))
        .collect();
    let runs = children.iter().filter_map(|((_, name), child)| {
        let Seen::Job(job) = &child.seen else {
            return None;
        };
        let cron_job = cron_jobs.get(child.owner.as_deref()?)?;
        let run = RunSeen {
            cron_job: (*cron_job).clone(),
            job: job.clone(),
        };
        (!child.is_deleting).then(|| (name.clone(), run))
    });
    runs.collect()
}

/// What kept children tell of the instance that they were made for.
fn remember(observed: &mut Observed, kept: &Kept) {
    let Kept {
        host,
        data_version,
        app,
    } = kept;
    for (known, told) in [
        (&mut observed.host, host),
        (&mut observed.data_version, data_version),
        (&mut observed.app, app),
    ] {
        if known.is_none() {
            known.clone_from(told);
        }
    }
}
