//! Which version runs now, and what comes next: install, run, or upgrade.
//!
//! ```text
//!  nothing installed ──install job──> installed ──spec.version changed──> upgrade job ──> installed
//! ```
//!
//! What is installed is remembered in `status.version`, and on retained volumes. Jobs are objects,
//! one per deed and version, so that a crash between any two steps finds what was done, and an
//! installation of one version is not taken for one of another. A job that is at work is let end,
//! whatever is wished meanwhile: its data is between two versions until then. A job that failed
//! stays, with its reason, until somebody deletes it or the plan for it changes; meanwhile the
//! installed version goes on running.

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
    /// It has begun: it is let end, and keeps its database, even when the instance is to be stopped.
    pub is_under_way: bool,
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
    let remembered = instance.status.as_ref().and_then(|s| s.version.as_deref());
    let Some(installed) = remembered else {
        return first_start(instance, spec, observed, wanted);
    };
    reach(instance, spec, observed, installed, wanted)
}

/// Nothing is remembered in status: a new instance, perhaps over data that was kept from an earlier
/// one of its name.
fn first_start(
    instance: &AppInstance,
    spec: &AppDefinitionSpec,
    observed: &Observed,
    wanted: &Version,
) -> Result<Rollout, Rejection> {
    if let Some(kept) = observed.data_version.as_deref()
        && (kept != wanted.version
            || begun_upgrade(instance, spec, observed, kept, wanted).is_some())
    {
        return reach(instance, spec, observed, kept, wanted);
    }
    // Over kept data of the wished version the install job runs too: it does no harm, and makes
    // good what was not kept.
    let Some(job) = spec.job(When::Install) else {
        return Ok(serve(wanted));
    };
    let name_for =
        |version: &Version| names::install_job(&instance.name_any(), &job.name, &version.version);
    let install = |version: &Version| Rollout {
        serving: None,
        job: Some(RolloutJob {
            name: name_for(version),
            when: When::Install,
            target: image_of(version),
            is_under_way: is_under_way(observed, &name_for(version)),
        }),
    };
    let has_installed = |version: &Version| has_succeeded(observed, &name_for(version));
    if has_installed(wanted) {
        return Ok(serve(wanted));
    }
    // The wish may have changed during the installation of another version. What was installed is
    // upgraded; what is being installed is not torn from under its feet.
    if let Some(other) = spec.versions.iter().find(|version| has_installed(version)) {
        return reach(instance, spec, observed, &other.version, wanted);
    }
    let under_way = spec
        .versions
        .iter()
        .find(|version| is_under_way(observed, &name_for(version)));
    Ok(install(under_way.unwrap_or(wanted)))
}

/// Whether a job is at work: it has neither ended nor failed, and a pod of it has got as far as
/// running. One whose image cannot be pulled, say, may be replaced without harm.
#[must_use]
pub fn is_under_way(observed: &Observed, job: &str) -> bool {
    let is_open = observed
        .jobs
        .get(job)
        .is_some_and(|seen| !seen.succeeded && seen.failed.is_none());
    is_open
        && observed
            .pods
            .iter()
            .filter(|pod| pod.is_of_job(job))
            .any(|pod| pod.waiting.is_none() && pod.unschedulable.is_none())
}

/// An upgrade to a version that is neither installed nor wished any more, and that has begun or has
/// ended well without status saying so yet.
fn begun_upgrade<'a>(
    instance: &AppInstance,
    spec: &'a AppDefinitionSpec,
    observed: &Observed,
    installed: &str,
    wanted: &Version,
) -> Option<&'a Version> {
    let mut others = spec
        .versions
        .iter()
        .filter(|version| version.version != installed && version.version != wanted.version);
    others.find(|version| {
        let job = names::upgrade_job(&instance.name_any(), &version.version);
        has_succeeded(observed, &job) || is_under_way(observed, &job)
    })
}

fn has_succeeded(observed: &Observed, job: &str) -> bool {
    observed.jobs.get(job).is_some_and(|seen| seen.succeeded)
}

/// From what is installed to what is wished, if the definition knows a way; by way of an upgrade
/// that has begun.
fn reach(
    instance: &AppInstance,
    spec: &AppDefinitionSpec,
    observed: &Observed,
    installed: &str,
    wanted: &Version,
) -> Result<Rollout, Rejection> {
    if let Some(begun) = begun_upgrade(instance, spec, observed, installed, wanted) {
        return Ok(upgrade(
            instance,
            spec,
            observed,
            installed,
            image_of(begun),
        ));
    }
    if installed == wanted.version {
        return Ok(serve(wanted));
    }
    if !wanted.upgradable_from.iter().any(|from| from == installed) {
        return Err(Rejection::CannotUpgrade {
            from: installed.to_owned(),
            to: wanted.version.clone(),
            way: match wanted.upgradable_from.as_slice() {
                [] => "which no version can be upgraded to".to_owned(),
                from => format!(
                    "which can be reached from {}",
                    list(from.iter().map(String::as_str))
                ),
            },
        });
    }
    Ok(upgrade(
        instance,
        spec,
        observed,
        installed,
        image_of(wanted),
    ))
}

fn serve(version: &Version) -> Rollout {
    Rollout {
        serving: Some(image_of(version)),
        job: None,
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
    if has_succeeded(observed, &name) {
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
            is_under_way: is_under_way(observed, &name),
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
