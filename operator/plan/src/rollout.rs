//! Which version runs now, and what comes next: install, run, or upgrade.
//!
//! ```text
//!  nothing installed ──install job──> installed ──spec.version changed──> upgrade job ──> installed
//! ```
//!
//! What is installed is remembered in `status.version`, and on retained volumes. Jobs are objects:
//! one for the installation and one per version, so that a crash between any two steps finds what
//! was done. A job that failed stays, with its reason, until somebody deletes it or the plan for it
//! changes; meanwhile the installed version goes on running.

use crds::{
    AppDefinitionSpec, AppInstance,
    app_definition::{Version, When},
};
use kube_core::ResourceExt;

use crate::{Rejection, check::list, context::Observed, names};

/// What is to be done about versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// The version whose pods run; `None` until the install job has ended well.
    pub serving: Option<VersionImage>,
    /// The job that must end well first.
    pub job: Option<RolloutJob>,
}

/// A version and its image, as in the definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionImage {
    /// The version.
    pub version: String,
    /// Its image.
    pub image: String,
}

/// An install or upgrade job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutJob {
    /// Name of the object.
    pub name: String,
    /// Which of the definition's jobs.
    pub when: When,
    /// The version that it installs or upgrades to.
    pub target: VersionImage,
}

impl Rollout {
    /// The version that is installed once what serves is in place.
    #[must_use]
    pub fn installed(&self) -> Option<&str> {
        self.serving
            .as_ref()
            .map(|serving| serving.version.as_str())
    }
}

/// Decides what is to be done about versions.
///
/// # Errors
/// When the wished version does not exist or cannot be reached from the installed one.
pub fn decide(
    instance: &AppInstance,
    spec: &AppDefinitionSpec,
    observed: &Observed,
) -> Result<Rollout, Rejection> {
    let wanted = spec
        .version(&instance.spec.version)
        .ok_or_else(|| Rejection::UnknownVersion {
            app: instance.spec.app.clone(),
            version: instance.spec.version.clone(),
            known: list(spec.versions.iter().map(|v| v.version.as_str())),
        })?;
    let target = image_of(wanted);
    let installed = instance.status.as_ref().and_then(|s| s.version.as_deref());
    // Data that was kept from an earlier instance of this name has a version too.
    let Some(installed) = installed.or(observed.data_version.as_deref()) else {
        return Ok(first_start(instance, spec, observed, target));
    };
    if installed == wanted.version {
        // A new instance over kept data runs its install job too: it does no harm, and makes
        // good what was not kept.
        let is_adopted = instance.status.as_ref().is_none_or(|s| s.version.is_none());
        if is_adopted {
            return Ok(first_start(instance, spec, observed, target));
        }
        return Ok(Rollout {
            serving: Some(target),
            job: None,
        });
    }
    if !wanted.upgradable_from.iter().any(|from| from == installed) {
        return Err(Rejection::CannotUpgrade {
            from: installed.to_owned(),
            to: wanted.version.clone(),
            possible: list(wanted.upgradable_from.iter().map(String::as_str)),
        });
    }
    Ok(upgrade(instance, spec, observed, installed, target))
}

fn first_start(
    instance: &AppInstance,
    spec: &AppDefinitionSpec,
    observed: &Observed,
    target: VersionImage,
) -> Rollout {
    let Some(job) = spec.job(When::Install) else {
        return Rollout {
            serving: Some(target),
            job: None,
        };
    };
    let name = names::job(&instance.name_any(), &job.name);
    if observed.jobs.get(&name).is_some_and(|seen| seen.succeeded) {
        return Rollout {
            serving: Some(target),
            job: None,
        };
    }
    Rollout {
        serving: None,
        job: Some(RolloutJob {
            name,
            when: When::Install,
            target,
        }),
    }
}

fn upgrade(
    instance: &AppInstance,
    spec: &AppDefinitionSpec,
    observed: &Observed,
    installed: &str,
    target: VersionImage,
) -> Rollout {
    if spec.job(When::Upgrade).is_none() {
        return Rollout {
            serving: Some(target),
            job: None,
        };
    }
    let name = names::upgrade_job(&instance.name_any(), &target.version);
    if observed.jobs.get(&name).is_some_and(|seen| seen.succeeded) {
        return Rollout {
            serving: Some(target),
            job: None,
        };
    }
    // The installed version may have left the definition; its pods then keep the image they have.
    let serving = match spec.version(installed) {
        Some(version) => Some(image_of(version)),
        None => observed.workload.as_ref().map(|w| VersionImage {
            version: installed.to_owned(),
            image: w.image.clone(),
        }),
    };
    Rollout {
        serving,
        job: Some(RolloutJob {
            name,
            when: When::Upgrade,
            target,
        }),
    }
}

fn image_of(version: &Version) -> VersionImage {
    VersionImage {
        version: version.version.clone(),
        image: version.image.clone(),
    }
}
