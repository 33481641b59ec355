//! Jobs: install and upgrade, each once; and what runs on a schedule.

use crds::{
    app_definition::{Access, Job as JobDefinition, When},
    labels,
};
use k8s_openapi::{
    api::{
        batch::v1::{CronJob, CronJobSpec, Job, JobSpec, JobTemplateSpec},
        core::v1::{Affinity, Container, PodAffinity, PodAffinityTerm, PodSpec, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{
    clients, database,
    metadata::{self, COMPONENT_JOB, COMPONENT_WEB},
    pod::{self, User},
};
use crate::{check::Wish, names, schedule};

/// How often a job is tried again: the database may be away for a moment, a bug stays.
pub(crate) const RETRIES: i32 = 3;

/// The install or upgrade job that must end well first; none is begun while the instance is
/// stopped, because its database is stopped too.
pub(super) fn build_rollout(wish: &Wish<'_>) -> Option<Job> {
    let rollout = wish.rollout.job.as_ref()?;
    let is_there = wish.context.observed.jobs.contains_key(&rollout.name);
    let is_awaiting = !is_there && clients::are_credentials_awaited(wish);
    if is_awaiting || !database::is_needed(wish) {
        return None;
    }
    let definition = wish.definition.job(rollout.when)?;
    let mut metadata = metadata::owned(wish, rollout.name.clone(), COMPONENT_JOB);
    add_job_label(&mut metadata, definition);
    // An install job picks the node; an upgrade job runs where the app's volumes are mounted.
    let beside_app =
        rollout.when == When::Upgrade && wish.rollout.serving.is_some() && wish.replicas() > 0;
    Some(Job {
        metadata,
        spec: Some(job_spec(
            wish,
            definition,
            &rollout.target.image,
            beside_app,
        )),
        status: None,
    })
}

/// What runs on a schedule, once something is installed.
pub(super) fn build_periodic(wish: &Wish<'_>) -> Vec<CronJob> {
    let serving = wish.rollout.serving.as_ref();
    let has_begun = wish.context.observed.workload.is_some();
    let is_awaiting = !has_begun && clients::are_credentials_awaited(wish);
    let Some(serving) = serving.filter(|_| !is_awaiting) else {
        return Vec::new();
    };
    wish.definition
        .jobs
        .iter()
        .filter(|job| job.when == When::Periodic)
        .map(|definition| {
            let mut metadata = metadata::owned(
                wish,
                names::job(&wish.name, &definition.name),
                COMPONENT_JOB,
            );
            add_job_label(&mut metadata, definition);
            CronJob {
                metadata,
                spec: Some(CronJobSpec {
                    schedule: definition
                        .schedule
                        .as_deref()
                        .map_or_else(String::new, |schedule| {
                            let whose =
                                format!("{}/{}/{}", wish.namespace, wish.name, definition.name);
                            schedule::spread(schedule, &whose)
                        }),
                    time_zone: Some("Etc/UTC".to_owned()),
                    // They ask the running app, or run beside its pods.
                    suspend: Some(wish.replicas() == 0),
                    concurrency_policy: Some("Forbid".to_owned()),
                    // A run that could not start for this long is skipped, so that a cluster
                    // which was away does not run a day's worth at once.
                    starting_deadline_seconds: Some(120),
                    successful_jobs_history_limit: Some(1),
                    failed_jobs_history_limit: Some(1),
                    job_template: JobTemplateSpec {
                        metadata: Some(ObjectMeta {
                            labels: Some(metadata::labels(wish, COMPONENT_JOB)),
                            ..ObjectMeta::default()
                        }),
                        spec: Some(job_spec(wish, definition, &serving.image, true)),
                    },
                }),
                status: None,
            }
        })
        .collect()
}

fn add_job_label(metadata: &mut ObjectMeta, definition: &JobDefinition) {
    metadata
        .labels
        .get_or_insert_default()
        .insert(labels::JOB.to_owned(), definition.name.clone());
}

fn job_spec(wish: &Wish<'_>, definition: &JobDefinition, image: &str, beside_app: bool) -> JobSpec {
    let user = User::of_app(wish);
    let (volumes, mounts) = pod::app_volumes(wish, definition.volumes);
    let mut pod_labels = metadata::labels(wish, COMPONENT_JOB);
    pod_labels.insert(labels::JOB.to_owned(), definition.name.clone());
    JobSpec {
        backoff_limit: Some(RETRIES),
        active_deadline_seconds: Some(definition.timeout_seconds),
        template: PodTemplateSpec {
            metadata: Some(ObjectMeta {
                labels: Some(pod_labels),
                ..ObjectMeta::default()
            }),
            spec: Some(PodSpec {
                service_account_name: Some(wish.name.clone()),
                automount_service_account_token: Some(false),
                enable_service_links: Some(false),
                security_context: Some(user.pod()),
                restart_policy: Some("Never".to_owned()),
                affinity: (beside_app && mounts_one_node_volume(wish, definition))
                    .then(|| beside_the_app(wish)),
                containers: vec![Container {
                    name: "job".to_owned(),
                    image: Some(pod::image(wish, image)),
                    image_pull_policy: Some("IfNotPresent".to_owned()),
                    command: Some(definition.command.clone()),
                    env: Some(pod::environment(wish)),
                    resources: Some(pod::resources(&wish.size.requests, &wish.size.limits)),
                    security_context: Some(user.container()),
                    volume_mounts: Some(mounts),
                    ..Container::default()
                }],
                volumes: Some(volumes),
                ..PodSpec::default()
            }),
        },
        ..JobSpec::default()
    }
}

fn mounts_one_node_volume(wish: &Wish<'_>, definition: &JobDefinition) -> bool {
    definition.volumes
        && wish
            .definition
            .volumes
            .iter()
            .any(|volume| volume.access == Access::ReadWriteOnce)
}

fn beside_the_app(wish: &Wish<'_>) -> Affinity {
    Affinity {
        pod_affinity: Some(PodAffinity {
            required_during_scheduling_ignored_during_execution: Some(vec![PodAffinityTerm {
                label_selector: Some(metadata::label_selector(wish, COMPONENT_WEB)),
                topology_key: "kubernetes.io/hostname".to_owned(),
                ..PodAffinityTerm::default()
            }]),
            ..PodAffinity::default()
        }),
        ..Affinity::default()
    }
}
