//! The app itself: a Deployment with probes and a restricted security context.

use std::collections::BTreeMap;

use crds::{app_definition::Access, labels};
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Affinity, Container, ContainerPort, ExecAction, HTTPGetAction, Lifecycle,
            LifecycleHandler, PodAffinity, PodAffinityTerm, PodSpec, PodTemplateSpec, Probe,
            SleepAction,
        },
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use super::{
    clients,
    metadata::{self, COMPONENT_WEB},
    pod::{self, User},
};
use crate::{
    check::Wish,
    context::{Observed, WorkloadSeen},
    quota,
};

/// Seconds that a pod which is going away still answers, so that every node has stopped sending
/// to it before it stops.
const DRAIN_SECONDS: i64 = 3;

/// Seconds for requests under way to end.
const SHUTDOWN_SECONDS: i64 = 30;

pub(super) fn build(wish: &Wish<'_>) -> Option<Deployment> {
    if is_held_back(wish) {
        return None;
    }
    let serving = wish.rollout.serving.as_ref()?;
    let user = User::of_app(wish);
    let (volumes, mounts) = pod::app_volumes(wish, true);
    let container = Container {
        name: "app".to_owned(),
        image: Some(pod::image(wish, &serving.image)),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        env: Some(pod::environment(wish)),
        ports: Some(vec![ContainerPort {
            name: Some("http".to_owned()),
            container_port: wish.definition.port.number,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        resources: Some(pod::resources(&wish.size.requests, &wish.size.limits)),
        security_context: Some(user.container()),
        startup_probe: Some(probe(wish, 1, wish.definition.health.startup_seconds)),
        readiness_probe: Some(probe(wish, 5, 2)),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction {
                    seconds: DRAIN_SECONDS,
                }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        volume_mounts: Some(mounts),
        // No liveness probe on health: it is false while the database is away, and restarting the
        // app then would make that worse. A process that ends is restarted anyway.
        ..Container::default()
    };
    let mut template_labels = metadata::labels(wish, COMPONENT_WEB);
    template_labels.insert(labels::APP_VERSION.to_owned(), serving.version.clone());
    Some(Deployment {
        metadata: metadata::owned(wish, wish.name.clone(), COMPONENT_WEB),
        spec: Some(DeploymentSpec {
            replicas: Some(wish.replicas()),
            selector: metadata::label_selector(wish, COMPONENT_WEB),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(rolling_update(wish)),
            }),
            progress_deadline_seconds: Some(
                wish.definition.health.startup_seconds.saturating_add(60),
            ),
            revision_history_limit: Some(2),
            // Said, so that it is ours: a roll-out that somebody paused would never end.
            paused: Some(false),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(template_labels),
                    annotations: restart_annotations(wish),
                    ..ObjectMeta::default()
                }),
                spec: Some(PodSpec {
                    service_account_name: Some(wish.name.clone()),
                    automount_service_account_token: Some(false),
                    // The variables that Kubernetes adds for each Service confuse apps that read
                    // DATABASE_PORT and the like.
                    enable_service_links: Some(false),
                    security_context: Some(user.pod()),
                    termination_grace_period_seconds: Some(SHUTDOWN_SECONDS + DRAIN_SECONDS),
                    affinity: affinity(wish),
                    containers: vec![container],
                    volumes: Some(volumes),
                    ..PodSpec::default()
                }),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    })
}

/// Whether it is left as it is, for want of what it signs people in with: not begun, or running without that. It is
/// stopped all the same.
fn is_held_back(wish: &Wish<'_>) -> bool {
    let seen = wish.context.observed.workload.as_ref();
    let has_none = seen.is_none_or(|seen| seen.client_secret.is_none() && wish.replicas() > 0);
    has_none && clients::are_credentials_awaited(wish)
}

/// What its pods are restarted for, beside what the database's are.
fn restart_annotations(wish: &Wish<'_>) -> Option<BTreeMap<String, String>> {
    let mut annotations = pod::restart_annotations(wish).unwrap_or_default();
    let mark = clients::secret_mark(wish);
    annotations.extend(mark.map(|mark| (labels::CLIENT_SECRET.to_owned(), mark)));
    (!annotations.is_empty()).then_some(annotations)
}

/// A new pod answers before an old one ends. Where the quota has no room for one more, an old one ends
/// first, until all are as wished: else a full organization could change nothing, nor shrink, and the new
/// pod would take the room of its own database, without which it never answers.
fn rolling_update(wish: &Wish<'_>) -> RollingUpdateDeployment {
    let observed = wish.context.observed;
    let is_refused = observed.workloads().any(WorkloadSeen::is_over_quota);
    let has_no_room = is_refused || quota::surge_takes_the_databases(wish);
    let max_unavailable = match &observed.workload {
        Some(seen) if has_no_room => {
            let ends = 1 + missing(seen, observed);
            ends.max(seen.max_unavailable)
        }
        Some(seen) if !seen.is_rolled_out() => seen.max_unavailable,
        _ => 0,
    };
    RollingUpdateDeployment {
        max_surge: Some(IntOrString::Int(i32::from(max_unavailable == 0))),
        max_unavailable: Some(IntOrString::Int(max_unavailable)),
    }
}

/// Pods that the quota did not admit: Kubernetes counts them among those that may be away.
fn missing(seen: &WorkloadSeen, observed: &Observed) -> i32 {
    let pods = observed.pods_of(COMPONENT_WEB);
    let ending = pods.filter(|pod| pod.is_deleting).count();
    let ending = i32::try_from(ending).unwrap_or(i32::MAX);
    seen.wished
        .saturating_sub(seen.replicas)
        .saturating_sub(ending)
        .max(0)
}

/// Pods that share a volume which only one node can mount must be on one node, or the second one
/// of a rolling update waits for ever.
fn affinity(wish: &Wish<'_>) -> Option<Affinity> {
    let shares_a_node = wish
        .definition
        .volumes
        .iter()
        .any(|volume| volume.access == Access::ReadWriteOnce);
    shares_a_node.then(|| Affinity {
        pod_affinity: Some(PodAffinity {
            required_during_scheduling_ignored_during_execution: Some(vec![PodAffinityTerm {
                label_selector: Some(metadata::label_selector(wish, COMPONENT_WEB)),
                topology_key: "kubernetes.io/hostname".to_owned(),
                ..PodAffinityTerm::default()
            }]),
            ..PodAffinity::default()
        }),
        ..Affinity::default()
    })
}

/// Succeeds when this address (`$0`) answers with this status (`$1`), within a second less than the
/// probe is given.
const CURL: &str = r#"[ "$(curl -s -o /dev/null -m 4 -w '%{http_code}' "$0")" = "$1" ]"#;

fn probe(wish: &Wish<'_>, period_seconds: i32, failure_threshold: i32) -> Probe {
    let health = &wish.definition.health;
    let port = wish.definition.port.number;
    let exactly = health.status.map(|status| ExecAction {
        command: Some(vec![
            "sh".to_owned(),
            "-c".to_owned(),
            CURL.to_owned(),
            format!("http://127.0.0.1:{port}{}", health.path),
            status.to_string(),
        ]),
    });
    let http_get = exactly.is_none().then(|| HTTPGetAction {
        path: Some(health.path.clone()),
        port: IntOrString::String("http".to_owned()),
        ..HTTPGetAction::default()
    });
    Probe {
        http_get,
        exec: exactly,
        period_seconds: Some(period_seconds),
        failure_threshold: Some(failure_threshold),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}
