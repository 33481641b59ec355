//! The database of an instance: a StatefulSet of one pod with a volume and a Service of its own.

use crds::quantity;
use k8s_openapi::api::{
    apps::v1::{StatefulSet, StatefulSetSpec},
    core::v1::{Container, ContainerPort, ExecAction, PodSpec, PodTemplateSpec, Probe},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    metadata::{self, COMPONENT_DATABASE},
    pod::{self, User},
};
use crate::{
    check::{DATABASE_PASSWORD_KEY, DATABASE_ROOT_PASSWORD_KEY, DATABASE_VOLUME, Wish},
    engine::{self, EngineFacts, HEALTH_COMMAND},
    names,
};

/// Seconds that a first start, or the recovery after a crash, may take.
pub const STARTUP_SECONDS: i32 = 300;

/// Seconds for a clean shutdown: what is in memory has to reach the disk.
const SHUTDOWN_SECONDS: i64 = 60;

pub(super) fn build(wish: &Wish<'_>) -> Option<StatefulSet> {
    let facts = engine::facts(wish.definition.database.engine)?;
    let size = wish.size.database.as_ref()?;
    let user = User {
        user: facts.user,
        group: facts.user,
        exceptions: Vec::new(),
    };
    let (mut volumes, mut mounts) = pod::scratch(&["/tmp".to_owned(), "/run".to_owned()]);
    volumes.push(pod::claimed(
        DATABASE_VOLUME,
        names::volume(&wish.name, DATABASE_VOLUME),
    ));
    mounts.push(pod::mount(DATABASE_VOLUME, facts.data_path));
    let container = Container {
        name: "database".to_owned(),
        image: Some(pod::image(wish, &image(wish, facts))),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        env: Some(environment(wish, facts, &size.limits.memory)),
        ports: Some(vec![ContainerPort {
            name: Some("database".to_owned()),
            container_port: facts.port,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        resources: Some(pod::resources(&size.requests, &size.limits)),
        security_context: Some(user.container()),
        // One second between looks at the start: everything else waits for this answer.
        startup_probe: Some(probe(1, STARTUP_SECONDS)),
        readiness_probe: Some(probe(5, 2)),
        // Patient: restarting a busy database makes things worse.
        liveness_probe: Some(probe(20, 6)),
        volume_mounts: Some(mounts),
        ..Container::default()
    };
    Some(StatefulSet {
        metadata: metadata::owned(wish, names::database(&wish.name), COMPONENT_DATABASE),
        spec: Some(StatefulSetSpec {
            replicas: Some(i32::from(is_needed(wish))),
            // One that never became ready is replaced as well: with `OrderedReady` a wrong image or a size
            // for which no node has room could not be mended (Kubernetes waits for the pod first).
            pod_management_policy: Some("Parallel".to_owned()),
            service_name: Some(names::database(&wish.name)),
            selector: metadata::label_selector(wish, COMPONENT_DATABASE),
            // Two engines on one volume would destroy it; a StatefulSet never starts the second
            // before the first is gone.
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(metadata::labels(wish, COMPONENT_DATABASE)),
                    annotations: pod::restart_annotations(wish),
                    ..ObjectMeta::default()
                }),
                spec: Some(PodSpec {
                    service_account_name: Some(wish.name.clone()),
                    automount_service_account_token: Some(false),
                    enable_service_links: Some(false),
                    security_context: Some(user.pod()),
                    termination_grace_period_seconds: Some(SHUTDOWN_SECONDS),
                    containers: vec![container],
                    volumes: Some(volumes),
                    ..PodSpec::default()
                }),
            },
            ..StatefulSetSpec::default()
        }),
        status: None,
    })
}

fn image(wish: &Wish<'_>, facts: &EngineFacts) -> String {
    let database = &wish.definition.database;
    let name = wish
        .context
        .platform
        .database_images
        .get(&database.engine)
        .map_or(facts.name, String::as_str);
    format!("{name}:{}", database.version.as_deref().unwrap_or("latest"))
}

fn environment(
    wish: &Wish<'_>,
    facts: &EngineFacts,
    memory_limit: &str,
) -> Vec<k8s_openapi::api::core::v1::EnvVar> {
    let secret = names::database(&wish.name);
    let mut environment = vec![
        pod::text_variable(facts.database_variable, engine::DATABASE),
        pod::text_variable(facts.user_variable, engine::DATABASE),
        pod::secret_variable(facts.password_variable, &secret, DATABASE_PASSWORD_KEY),
    ];
    if let Some(variable) = facts.root_password_variable {
        environment.push(pod::secret_variable(
            variable,
            &secret,
            DATABASE_ROOT_PASSWORD_KEY,
        ));
    }
    environment.extend(
        facts
            .variables
            .iter()
            .map(|(name, value)| pod::text_variable(name, value)),
    );
    let (variable, unit) = facts.cache_variable;
    environment.push(pod::text_variable(
        variable,
        &format!("{}{unit}", cache_mebibytes(memory_limit)),
    ));
    environment
}

/// A quarter of the memory limit: what both engines' manuals give a shared server, and leaves room
/// for connections.
fn cache_mebibytes(memory_limit: &str) -> u128 {
    let bytes = quantity::in_thousandths(memory_limit).unwrap_or_default() / 1000;
    (bytes / 4 / (1 << 20)).max(16)
}

fn probe(period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        exec: Some(ExecAction {
            command: Some(vec![HEALTH_COMMAND.to_owned()]),
        }),
        period_seconds: Some(period_seconds),
        failure_threshold: Some(failure_threshold),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

/// Not while the instance is stopped, unless a job that has begun needs it.
pub(super) fn is_needed(wish: &Wish<'_>) -> bool {
    let job = wish.rollout.job.as_ref();
    !wish.instance.spec.stopped || job.is_some_and(|job| job.is_under_way)
}
