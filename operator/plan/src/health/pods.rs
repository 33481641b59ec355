//! What troubles a pod, in words that name the fact and the mend.

use crate::{
    context::{Observed, PodSeen},
    health::Finding,
};

/// A container that was restarted this often and is down again is in a loop; the first restart may
/// be a database that was not there yet.
const LOOPING_RESTARTS: i32 = 2;

/// The first trouble among a component's pods.
pub(super) fn trouble(observed: &Observed, component: &str, memory_limit: &str) -> Option<Finding> {
    observed
        .pods
        .iter()
        .filter(|pod| pod.component == component && !pod.is_deleting && !pod.is_ready)
        .find_map(|pod| trouble_of(pod, memory_limit))
}

/// Whether a reason of the pod's says that somebody should look at its log.
#[must_use]
pub fn wants_log(pod: &PodSeen) -> bool {
    !pod.is_ready && is_looping(pod)
}

fn is_looping(pod: &PodSeen) -> bool {
    let backs_off = pod
        .waiting
        .as_ref()
        .is_some_and(|(reason, _)| reason == "CrashLoopBackOff");
    backs_off || (pod.restarts >= LOOPING_RESTARTS && pod.terminated.is_some())
}

fn trouble_of(pod: &PodSeen, memory_limit: &str) -> Option<Finding> {
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
        return Some(Finding::stuck(
            "NoNodeFits",
            format!(
                "no node can take pod {}: {why}; add a node, free one, or choose a smaller size",
                pod.name
            ),
        ));
    }
    if let Some((reason, message)) = &pod.waiting {
        match reason.as_str() {
            "ErrImagePull"
            | "ImagePullBackOff"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "RegistryUnavailable" => {
                return Some(Finding::stuck(
                    "ImageCannotBePulled",
                    format!(
                        "{message}; check versions[].image of the AppDefinition, and that the \
                         nodes reach its registry"
                    ),
                ));
            }
            "CreateContainerConfigError" => {
                return Some(Finding::stuck(
                    "ConfigurationMissing",
                    format!("pod {} cannot be configured: {message}", pod.name),
                ));
            }
            "CreateContainerError" | "RunContainerError" => {
                return Some(Finding::stuck(
                    "ContainerCannotStart",
                    format!("pod {} cannot start: {message}", pod.name),
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
        let log = pod
            .last_log_line
            .as_ref()
            .map_or_else(String::new, |line| format!("; it said last: {line}"));
        Finding::stuck(
            "CrashLooping",
            format!("pod {} ends again and again{code}{log}", pod.name),
        )
    })
}

/// Kubernetes' words for why pods cannot be created, sorted into ours.
pub(super) fn creation_failure(message: &str) -> Finding {
    if message.contains("exceeded quota") {
        Finding::stuck(
            "QuotaExceeded",
            format!(
                "the organization's quota does not allow it: {}; raise spec.quota of the \
                 Organization, or stop or shrink another instance",
                tail(message, "exceeded quota")
            ),
        )
    } else if message.contains("violates PodSecurity") {
        Finding::stuck(
            "PodSecurityForbids",
            format!(
                "the namespace does not admit its pods: {}",
                tail(message, "violates PodSecurity")
            ),
        )
    } else {
        Finding::stuck("PodsCannotBeCreated", message.to_owned())
    }
}

fn tail<'a>(message: &'a str, from: &str) -> &'a str {
    message
        .find(from)
        .map_or(message, |start| &message[start..])
}
