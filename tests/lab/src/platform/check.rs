//! Looks whether Tutti can be installed on a cluster of somebody's, before anything is built.

use anyhow::{Context, Result, bail};
use bollard::Docker;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::{Api, ResourceExt, api::ListParams};

use super::{Target, access::Access, target::run};
use crate::{
    docker,
    steps::{Step, Steps},
};

/// Kubernetes as the charts need it.
const OLDEST_KUBERNETES: (u32, u32) = (1, 30);
/// Helm knows `--reset-then-reuse-values` from here on.
const OLDEST_HELM: (u32, u32) = (3, 14);
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Names everything that would make the installation fail.
pub fn check(target: &Target, zone: Option<&str>) -> Result<()> {
    let steps = Steps::new();
    steps.step("look at the cluster, docker and the registry", |step| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut problems = Vec::new();
        let mut note = |outcome: Result<()>| {
            if let Err(error) = outcome {
                problems.push(format!("{error:#}"));
            }
        };
        step.detail("docker and the registry");
        note(runtime.block_on(registry(target)));
        step.detail("helm");
        note(helm(target));
        step.detail("the cluster");
        match runtime.block_on(version(target)) {
            Ok(()) => {
                note(runtime.block_on(storage(target)));
                note(rights(target));
                note(access(target, zone, step));
            }
            // Then it answers nothing else either.
            Err(error) => note(Err(error)),
        }
        if problems.is_empty() {
            return Ok(());
        }
        bail!(
            "Tutti cannot be installed there yet:\n{}",
            problems.join("\n")
        )
    })
}

fn access(target: &Target, zone: Option<&str>, step: &Step) -> Result<()> {
    let access = Access::choose(target, zone)?;
    if zone.is_none() {
        step.say(&format!(
            "the zone is {}; ZONE=… names another",
            access.zone
        ));
    }
    Ok(())
}

async fn version(target: &Target) -> Result<()> {
    let client = target.client().await?;
    let found = client
        .apiserver_version()
        .await
        .context("the API server does not answer")?;
    let found = parse_version(&format!("{}.{}", found.major, found.minor));
    at_least("the cluster's Kubernetes", found, OLDEST_KUBERNETES)
}

fn helm(target: &Target) -> Result<()> {
    let found = run(target
        .helm()
        .args(["version", "--template", "{{.Version}}"]))?;
    at_least("helm", parse_version(&found), OLDEST_HELM)
}

/// Every app has volumes.
async fn storage(target: &Target) -> Result<()> {
    let api: Api<StorageClass> = Api::all(target.client().await?);
    let classes = api
        .list(&ListParams::default())
        .await
        .context("cannot list the StorageClasses")?;
    let is_default = |class: &StorageClass| {
        class
            .annotations()
            .get(DEFAULT_CLASS)
            .is_some_and(|v| v == "true")
    };
    if classes.items.iter().any(is_default) {
        return Ok(());
    }
    let names: Vec<String> = classes.items.iter().map(ResourceExt::name_any).collect();
    bail!(
        "the cluster has no default StorageClass (it has: {}); make one the default: kubectl \
         annotate storageclass <name> {DEFAULT_CLASS}=true",
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    )
}

/// A few of the rights that only an administrator has.
fn rights(target: &Target) -> Result<()> {
    for kind in ["namespaces", "customresourcedefinitions", "clusterroles"] {
        let mut kubectl = target.kubectl();
        run(kubectl.args(["auth", "can-i", "create", kind, "--all-namespaces"])).with_context(
            || format!("this context may not create {kind}; take an administrator's"),
        )?;
    }
    Ok(())
}

/// Whether docker can talk with the registry. Whether it takes a push only a push can tell.
async fn registry(target: &Target) -> Result<()> {
    let docker: Docker = target.docker().await?;
    let image = format!("{}/operator:{}", target.registry, env!("CARGO_PKG_VERSION"));
    match docker::why_unreachable(&docker, &image).await {
        None => Ok(()),
        Some(why) => bail!(
            "docker cannot reach the registry {}: {why}",
            target.registry
        ),
    }
}

fn at_least(what: &str, found: Option<(u32, u32)>, oldest: (u32, u32)) -> Result<()> {
    match found {
        // A version that nobody can read may be new.
        Some(found) if found < oldest => bail!(
            "{what} is {}.{}; {}.{} or newer is needed",
            found.0,
            found.1,
            oldest.0,
            oldest.1
        ),
        _ => Ok(()),
    }
}

/// Reads `v3.22.0`, `1.30` and `1.30+`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text
        .trim()
        .trim_start_matches('v')
        .split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_programs_and_clouds_write_them() {
        assert_eq!(parse_version("v3.22.0"), Some((3, 22)));
        assert_eq!(parse_version("1.30+"), Some((1, 30)));
        assert_eq!(parse_version("unknown"), None);
    }

    #[test]
    fn an_old_version_is_refused_and_named() {
        assert!(at_least("helm", Some((3, 14)), OLDEST_HELM).is_ok());
        assert!(at_least("helm", Some((4, 0)), OLDEST_HELM).is_ok());
        assert!(at_least("helm", None, OLDEST_HELM).is_ok());
        let error = at_least("helm", Some((3, 9)), OLDEST_HELM).unwrap_err();
        assert_eq!(error.to_string(), "helm is 3.9; 3.14 or newer is needed");
    }
}
