//! What the pods of app, jobs and database have in common: security, environment, volumes.

use std::collections::BTreeMap;

use crds::{
    app_definition::{Resources, SecurityException},
    labels,
};
use k8s_openapi::{
    api::core::v1::{
        Capabilities, EmptyDirVolumeSource, EnvVar, EnvVarSource,
        PersistentVolumeClaimVolumeSource, PodSecurityContext, ResourceRequirements,
        SeccompProfile, SecretKeySelector, SecurityContext, Sysctl, Volume, VolumeMount,
    },
    apimachinery::pkg::api::resource::Quantity,
};

use crate::{
    check::{Variable, Wish},
    names,
};

/// Size of each writable folder. They are for locks and temporary files; an upload that does not
/// fit is refused by the app, instead of filling the node's disk.
const SCRATCH_LIMIT: &str = "1Gi";

/// A peer that went without a word, such as a database whose node died, is noticed after half a
/// minute instead of two hours: by every connection that asks for keep-alive, as the clients of both
/// engines do. All three are safe sysctls, also for Pod Security `restricted`.
const KEEP_ALIVE: [(&str, &str); 3] = [
    ("net.ipv4.tcp_keepalive_time", "15"),
    ("net.ipv4.tcp_keepalive_intvl", "5"),
    ("net.ipv4.tcp_keepalive_probes", "3"),
];

fn sysctl(name: &str, value: &str) -> Sysctl {
    Sysctl {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

/// Who a pod runs as.
pub(super) struct User {
    pub user: i64,
    pub group: i64,
    pub exceptions: Vec<SecurityException>,
}

impl User {
    /// The app's, as its definition says.
    pub fn of_app(wish: &Wish<'_>) -> Self {
        let security = &wish.definition.security;
        Self {
            user: security.run_as_user,
            group: security.run_as_group,
            exceptions: security.exceptions.clone(),
        }
    }

    /// Security context of the pod: what Pod Security `restricted` wants.
    pub fn pod(&self) -> PodSecurityContext {
        let is_root = self.exceptions.contains(&SecurityException::RootUser);
        PodSecurityContext {
            run_as_non_root: (!is_root).then_some(true),
            run_as_user: Some(self.user),
            run_as_group: Some(self.group),
            fs_group: Some(self.group),
            // Walking a large volume on every start takes minutes.
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            sysctls: Some(KEEP_ALIVE.map(|(name, value)| sysctl(name, value)).into()),
            ..PodSecurityContext::default()
        }
    }

    /// Security context of the container.
    pub fn container(&self) -> SecurityContext {
        SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: self
                    .exceptions
                    .contains(&SecurityException::BindLowPorts)
                    .then(|| vec!["NET_BIND_SERVICE".to_owned()]),
            }),
            read_only_root_filesystem: Some(
                !self
                    .exceptions
                    .contains(&SecurityException::WritableRootFilesystem),
            ),
            ..SecurityContext::default()
        }
    }
}

/// The environment as Kubernetes has it.
pub(super) fn environment(wish: &Wish<'_>) -> Vec<EnvVar> {
    wish.environment
        .iter()
        .map(|(name, variable)| match variable {
            Variable::Text(text) => text_variable(name, text),
            Variable::Secret { name: secret, key } => secret_variable(name, secret, key),
        })
        .collect()
}

pub(super) fn text_variable(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    }
}

pub(super) fn secret_variable(name: &str, secret: &str, key: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.to_owned(),
                key: key.to_owned(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
    }
}

/// Volumes and mounts of the app: what is kept, and what is writable and empty.
pub(super) fn app_volumes(wish: &Wish<'_>, with_kept: bool) -> (Vec<Volume>, Vec<VolumeMount>) {
    let mut volumes = Vec::new();
    let mut mounts = Vec::new();
    if with_kept {
        for volume in &wish.definition.volumes {
            volumes.push(claimed(
                &volume.name,
                names::volume(&wish.name, &volume.name),
            ));
            mounts.push(mount(&volume.name, &volume.path));
        }
    }
    let (scratch, scratch_mounts) = scratch(&wish.definition.security.writable_paths);
    volumes.extend(scratch);
    mounts.extend(scratch_mounts);
    (volumes, mounts)
}

/// Writable, empty folders.
pub(super) fn scratch(paths: &[String]) -> (Vec<Volume>, Vec<VolumeMount>) {
    paths
        .iter()
        .enumerate()
        .map(|(index, path)| {
            let name = format!("scratch-{index}");
            let volume = Volume {
                name: name.clone(),
                empty_dir: Some(EmptyDirVolumeSource {
                    size_limit: Some(Quantity(SCRATCH_LIMIT.to_owned())),
                    medium: None,
                }),
                ..Volume::default()
            };
            (volume, mount(&name, path))
        })
        .unzip()
}

pub(super) fn claimed(name: &str, claim: String) -> Volume {
    Volume {
        name: name.to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim,
            read_only: None,
        }),
        ..Volume::default()
    }
}

pub(super) fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    }
}

pub(super) fn resources(requests: &Resources, limits: &Resources) -> ResourceRequirements {
    let quantities = |resources: &Resources| {
        Some(BTreeMap::from([
            ("cpu".to_owned(), Quantity(resources.cpu.clone())),
            ("memory".to_owned(), Quantity(resources.memory.clone())),
        ]))
    };
    ResourceRequirements {
        requests: quantities(requests),
        limits: quantities(limits),
        claims: None,
    }
}

/// An image as the nodes can pull it: one that names no registry host lies in the platform's.
pub(super) fn image(wish: &Wish<'_>, image: &str) -> String {
    // Docker's own rule: the first component is a host if it has a dot or a port, or is localhost.
    let has_host = image.split_once('/').is_some_and(|(first, _)| {
        first.contains('.') || first.contains(':') || first == "localhost"
    });
    match &wish.context.platform.image_registry {
        Some(registry) if !has_host => format!("{}/{image}", registry.trim_end_matches('/')),
        _ => image.to_owned(),
    }
}

/// Annotations of a pod template: what it must be restarted for.
pub(super) fn restart_annotations(wish: &Wish<'_>) -> Option<BTreeMap<String, String>> {
    let value = wish
        .instance
        .metadata
        .annotations
        .as_ref()?
        .get(labels::REGENERATE_SECRET)?;
    Some(BTreeMap::from([(
        labels::RESTART_FOR.to_owned(),
        crate::digest::of_text(value),
    )]))
}
