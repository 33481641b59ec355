//! What troubles a pod, in words that name the fact and the mend.

use crate::{
    DesiredState,
    build::{COMPONENT_DATABASE, COMPONENT_JOB},
    context::PodSeen,
    health::{Finding, deadline},
    names, quota,
};
use crds::labels;
use jiff::Timestamp;

/// A container that was restarted this often and is down again is in a loop; the first restart may
/// be a database that was not there yet.
const LOOPING_RESTARTS: i32 = 2;
/// A volume takes seconds where it is made by itself, and a minute or two in a cloud.
const VOLUME_SECONDS: i64 = 300;

/// Where an instance's pods are.
pub(super) fn namespace(desired: &DesiredState) -> &str {
    desired
        .account
        .metadata
        .namespace
        .as_deref()
        .unwrap_or_default()
}

/// The first trouble among these pods of a namespace.
pub(super) fn trouble<'a>(
    pods: impl Iterator<Item = &'a PodSeen>,
    namespace: &str,
    memory_limit: &str,
    now: Timestamp,
) -> Option<Finding> {
    pods.filter(|pod| !pod.is_deleting && !pod.is_ready)
        .find_map(|pod| trouble_of(pod, namespace, memory_limit, now))
}

/// Whether a reason of the pod's says that somebody should look at its log. A job's pod is not
/// restarted: it is tried again as another pod.
#[must_use]
pub fn wants_log(pod: &PodSeen) -> bool {
    let has_failed = pod.component == COMPONENT_JOB && pod.terminated.is_some();
    !pod.is_ready && (is_looping(pod) || has_failed)
}

/// Whether it ends again and again without having failed: that is how a pod ends which the kubelet
/// asks to, because it does not become healthy in time.
pub(super) fn is_ended_by_probes(pod: &PodSeen) -> bool {
    // SIGTERM and SIGKILL, for apps that do not catch them; out of memory is a reason of its own.
    const ASKED_TO_END: [i32; 2] = [143, 137];
    // An end with 0 is not kept: nothing has failed.
    let is_asked = pod
        .terminated
        .as_ref()
        .is_none_or(|(reason, code)| reason != "OOMKilled" && ASKED_TO_END.contains(code));
    !pod.is_ready && !pod.is_deleting && is_looping(pod) && is_asked
}

fn is_looping(pod: &PodSeen) -> bool {
    let backs_off = pod
        .waiting
        .as_ref()
        .is_some_and(|(reason, _)| reason == "CrashLoopBackOff");
    backs_off || (pod.restarts >= LOOPING_RESTARTS && pod.terminated.is_some())
}

/// The SsoClient whose Secret the kubelet misses. No other Secret of an instance has a name that ends so.
fn client_without_secret(message: &str) -> Option<&str> {
    let (secret, rest) = message.strip_prefix("secret \"")?.split_once('"')?;
    secret
        .strip_suffix(names::SSO_SUFFIX)
        .filter(|_| rest == " not found")
}

fn credentials_missing(pod: &PodSeen, message: &str, client: &str, namespace: &str) -> Finding {
    Finding::on_its_way(
        "ConfigurationMissing",
        format!(
            "pod {} cannot be configured: {message}; idm makes it anew within two minutes, or at once: \
             kubectl annotate ssoclient {client} -n {namespace} --overwrite {}=\"$(date +%s)\"",
            pod.name,
            labels::ROTATE_SECRET
        ),
        None,
    )
}

fn trouble_of(
    pod: &PodSeen,
    namespace: &str,
    memory_limit: &str,
    now: Timestamp,
) -> Option<Finding> {
    if let Some(why) = &pod.evicted {
        return Some(Finding::stuck(
            "Evicted",
            format!(
                "the node put pod {} out: {why}; free disk or memory on the node",
                pod.name
            ),
        ));
    }
    if let Some(why) = &pod.unschedulable {
        return Some(no_node_fits(pod, why, now));
    }
    if let Some((reason, message)) = &pod.waiting {
        match reason.as_str() {
            "ErrImagePull"
            | "ImagePullBackOff"
            | "InvalidImageName"
            | "ImageInspectError"
            | "ErrImageNeverPull"
            | "RegistryUnavailable"
            | "SignatureValidationFailed" => {
                let field = if pod.component == COMPONENT_DATABASE {
                    "database.version"
                } else {
                    "versions[].image"
                };
                return Some(Finding::stuck(
                    "ImageCannotBePulled",
                    format!(
                        "the image of pod {} cannot be pulled: {message}; check {field} of the \
                         AppDefinition, and that the nodes reach the registry",
                        pod.name
                    ),
                ));
            }
            "CreateContainerConfigError" => {
                if let Some(client) = client_without_secret(message) {
                    return Some(credentials_missing(pod, message, client, namespace));
                }
                return Some(Finding::stuck(
                    "ConfigurationMissing",
                    format!(
                        "pod {} cannot be configured: {message}; restore what is missing, or mend \
                         env of the AppDefinition",
                        pod.name
                    ),
                ));
            }
            "CreateContainerError" | "RunContainerError" => {
                return Some(Finding::stuck(
                    "ContainerCannotStart",
                    format!(
                        "pod {} cannot start: {message}; mend the image, or command and security \
                         of the AppDefinition",
                        pod.name
                    ),
                ));
            }
            _ => {}
        }
    }
    if let Some((reason, _)) = &pod.terminated
        && reason == "OOMKilled"
    {
        return Some(Finding::stuck(
            "OutOfMemory",
            format!(
                "pod {} was ended because it used more than its {memory_limit} of memory; order a \
                 larger size (spec.size)",
                pod.name
            ),
        ));
    }
    is_looping(pod).then(|| {
        let code = pod
            .terminated
            .as_ref()
            .map_or_else(String::new, |(_, code)| format!(" with exit code {code}"));
        let log = pod.last_log_line.as_ref().map_or_else(String::new, |line| {
            format!("; it said last: {}", no_stop(line))
        });
        Finding::stuck(
            "CrashLooping",
            format!(
                "pod {0} ends again and again{code}{log}. Mend what it names; all that it said: \
                 kubectl logs {0} -n {namespace} --previous",
                pod.name
            ),
        )
    })
}

/// A sentence that another one follows.
pub(super) fn no_stop(line: &str) -> &str {
    line.trim_end().trim_end_matches('.')
}

/// The scheduler's words for why no node takes a pod, with the mend that fits them.
fn no_node_fits(pod: &PodSeen, why: &str, now: Timestamp) -> Finding {
    // The scheduler: `persistentvolumeclaim "x" not found`, or `… is being deleted`.
    if why.contains("persistentvolumeclaim \"") {
        return Finding::stuck(
            "VolumeMissing",
            format!(
                "pod {} waits for a volume that is {}: {}; StorageReady says what became of it",
                pod.name,
                if why.contains("is being deleted") {
                    "being deleted"
                } else {
                    "not there"
                },
                why.split('"').nth(1).unwrap_or_default()
            ),
        );
    }
    let mend = if why.contains("unbound immediate PersistentVolumeClaims") {
        // Usual for a moment; for ever where there is nothing that makes volumes.
        let until = deadline(pod.created, VOLUME_SECONDS);
        if until.is_some_and(|until| until <= now) {
            return Finding::stuck(
                "VolumeNotMade",
                format!(
                    "pod {} got no volume in {VOLUME_SECONDS} s; see that the cluster has a \
                     default StorageClass (kubectl get sc) whose provisioner works",
                    pod.name
                ),
            );
        }
        return Finding::on_its_way(
            "WaitingForVolume",
            format!("pod {} waits for its volume", pod.name),
            until,
        );
    } else if why.contains("node.kubernetes.io/disk-pressure") {
        "free disk space on the node, or add a node"
    } else if why.contains("node.kubernetes.io/memory-pressure") {
        "free memory on the node, or add a node"
    } else if why.contains("untolerated taint") {
        // Newer schedulers do not name the taints any more.
        "nodes are out of disk or memory, being drained, or reserved: kubectl describe nodes says \
         which, under Taints; free disk space or memory there, or add a node"
    } else {
        "add a node, free one, or choose a smaller size (spec.size)"
    };
    Finding::stuck(
        "NoNodeFits",
        format!("no node can take pod {}: {why}; {mend}", pod.name),
    )
}

/// Kubernetes' words for why pods cannot be created, sorted into ours.
pub(super) fn creation_failure(message: &str) -> Finding {
    if let Some(why) = quota::refusal(message) {
        Finding::stuck(
            quota::EXCEEDED,
            format!(
                "the organization's quota does not allow it: {why}; raise spec.quota of the \
                 Organization, stop or shrink another instance, or choose a smaller size here"
            ),
        )
    } else if message.contains("violates PodSecurity") {
        Finding::stuck(
            "PodSecurityForbids",
            format!(
                "the namespace does not admit its pods: {}; mend security in the AppDefinition, \
                 or set spec.podSecurity of the Organization to baseline",
                tail(message, "violates PodSecurity")
            ),
        )
    } else if message.contains("the object has been modified") {
        // Two writes met, usually of the quota's count: Kubernetes tries again by itself.
        Finding::on_its_way("PodsBeingCreated", "its pods are being created", None)
    } else {
        Finding::stuck(
            "PodsCannotBeCreated",
            // The name of a pod that there is not differs each time.
            format!(
                "{}; it is tried again when that is mended",
                message
                    .split_once("is forbidden: ")
                    .map_or(message, |(_, why)| why)
            ),
        )
    }
}

fn tail<'a>(message: &'a str, from: &str) -> &'a str {
    message
        .find(from)
        .map_or(message, |start| &message[start..])
}
