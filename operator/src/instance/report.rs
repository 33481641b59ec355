//! Report: one write of the status when it changed, one event when `Ready`'s reason changed, and
//! what the gateway tells visitors.

use crds::{
    AppInstance, AppInstanceStatus, Route,
    app_instance::Volume,
    condition::{self, Condition},
    labels,
};
use futures_util::future::join_all;
use jiff::Timestamp;
use kube::{
    Api, Resource as _, ResourceExt,
    api::{Patch, PatchParams},
};
use plan::{
    DesiredState, Observed,
    health::{self, Finding, Refusal, Report},
    names,
};

use super::Instances;
use crate::{
    cache::InstanceKey,
    failure::{Failure, lasting},
};

/// Field manager of the conditions `BackendReady` and `Ready` on Routes: `Accepted` on the same list
/// belongs to `hostnames.rs`.
const BACKEND_MANAGER: &str = "tutti-operator-backend";

/// Writes what changed: the gateway is told first, so that whoever reads in the status that the
/// instance is ready finds the site open.
///
/// # Errors
/// When the API server does not take it.
pub async fn report(
    operator: &Instances,
    instance: &AppInstance,
    key: &InstanceKey,
    desired: Option<&DesiredState>,
    observed: &Observed,
    report: &Report,
) -> Result<(), Failure> {
    let before = instance.status.clone().unwrap_or_default();
    let after = status(instance, desired, observed, report, &before);
    let told = tell_gateway(operator, key, report).await;
    write_status(operator, instance, &before, after).await?;
    told
}

/// Says what keeps an instance from being deleted.
///
/// # Errors
/// When the API server does not take it.
pub async fn deletion_waits(
    operator: &Instances,
    instance: &AppInstance,
    failure: &Failure,
) -> Result<(), Failure> {
    let before = instance.status.clone().unwrap_or_default();
    let Refusal {
        reason, message, ..
    } = lasting(failure);
    let finding = Finding::stuck(reason, format!("it cannot be deleted: {message}"));
    let generation = instance.metadata.generation;
    let mut conditions =
        health::summary(&before.conditions, &finding, generation, Timestamp::now());
    let parts = before.conditions.iter().filter(|known| {
        ![condition::READY, condition::STALLED, condition::RECONCILING]
            .contains(&known.type_.as_str())
    });
    conditions.extend(parts.cloned());
    let after = AppInstanceStatus {
        conditions,
        ..before.clone()
    };
    write_status(operator, instance, &before, after).await
}

fn status(
    instance: &AppInstance,
    desired: Option<&DesiredState>,
    observed: &Observed,
    report: &Report,
    before: &AppInstanceStatus,
) -> AppInstanceStatus {
    // Names of Secrets stay on the list when they are lost: that is how a loss is told from a
    // Secret that was never made.
    let mut secrets: Vec<String> = before.secrets.clone();
    secrets.extend(
        observed
            .secrets
            .iter()
            .filter(|name| !before.secrets.contains(name))
            .cloned(),
    );
    secrets.sort();
    let volumes = volumes(&instance.name_any(), observed, &before.volumes);
    // While it is paused nothing was applied, whatever is planned.
    let installed = desired.filter(|_| !instance.spec.paused);
    // An address is given with its Route, or with the app that was told it. Before, another operator
    // may give another one: what stands in the status counts, so that it must not be one that nobody
    // serves.
    let addressed = desired.filter(|d| match &observed.served_host {
        Some(served) => *served == d.host,
        None => observed.workload.is_some(),
    });
    AppInstanceStatus {
        observed_generation: instance.metadata.generation,
        conditions: report.conditions.clone(),
        url: addressed
            .map(|d| d.url.clone())
            .or_else(|| before.url.clone()),
        host: addressed
            .map(|d| d.host.clone())
            .or_else(|| before.host.clone()),
        version: installed
            .and_then(|d| d.version.clone())
            .or_else(|| before.version.clone()),
        size: installed
            .map(|d| d.size.clone())
            .or_else(|| before.size.clone()),
        replicas: Some(
            observed
                .workload
                .as_ref()
                .map_or(0, |workload| workload.replicas),
        ),
        selector: Some(format!(
            "{}={},{}={}",
            labels::INSTANCE,
            instance.name_any(),
            labels::COMPONENT,
            plan::build::COMPONENT_WEB
        )),
        secrets,
        volumes,
    }
}

/// Volumes stay on the list when they are lost, as Secrets do; one that took another's place takes
/// its place here.
fn volumes(instance: &str, observed: &Observed, before: &[Volume]) -> Vec<Volume> {
    let mut volumes: Vec<Volume> = observed
        .volumes
        .iter()
        .map(|(short, seen)| Volume {
            name: names::volume(instance, short),
            uid: seen.uid.clone(),
        })
        .collect();
    let is_there = |lost: &&Volume| !volumes.iter().any(|volume| volume.name == lost.name);
    let lost: Vec<Volume> = before.iter().filter(is_there).cloned().collect();
    volumes.extend(lost);
    volumes.sort_by(|one, other| one.name.cmp(&other.name));
    volumes
}

async fn write_status(
    operator: &Instances,
    instance: &AppInstance,
    before: &AppInstanceStatus,
    after: AppInstanceStatus,
) -> Result<(), Failure> {
    if *before == after {
        return Ok(());
    }
    let name = instance.name_any();
    let api: Api<AppInstance> = Api::namespaced(
        operator.client.clone(),
        &instance.namespace().unwrap_or_default(),
    );
    let patch = serde_json::json!({
        "apiVersion": "tutti.dev/v1alpha1",
        "kind": "AppInstance",
        "metadata": { "name": name, "uid": instance.uid() },
        "status": after,
    });
    let params = PatchParams::apply(labels::MANAGER).force();
    match api
        .patch_status(&name, &params, &Patch::Apply(&patch))
        .await
    {
        Ok(answer) => {
            operator
                .written
                .note(&super::key_of(instance), answer.meta());
            operator.metrics.wrote();
        }
        // Deleted meanwhile.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(source) => {
            return Err(Failure::Report {
                name,
                source: Box::new(source),
            });
        }
    }
    let about = instance.object_ref(&());
    operator
        .news
        .tell(about, &before.conditions, &after.conditions);
    Ok(())
}

/// Writes `BackendReady` and `Ready` on every Route of the instance where they changed.
async fn tell_gateway(
    operator: &Instances,
    key: &InstanceKey,
    report: &Report,
) -> Result<(), Failure> {
    let api: Api<Route> = Api::namespaced(operator.client.clone(), &key.namespace);
    let children = operator.cache.children(key);
    let routes = children
        .iter()
        .filter_map(|((_, name), child)| match &child.seen {
            crate::cache::Seen::Route { conditions, .. } if !child.is_deleting => {
                Some((name, conditions))
            }
            _ => None,
        });
    let writes = routes.filter_map(|(name, known)| {
        let told = health::route(known, &report.backend, Timestamp::now());
        if told.iter().all(|told| is_known(known, told)) {
            return None;
        }
        let patch = serde_json::json!({
            "apiVersion": "tutti.dev/v1alpha1",
            "kind": "Route",
            "metadata": { "name": name },
            "status": { "conditions": told },
        });
        let api = api.clone();
        let params = PatchParams::apply(BACKEND_MANAGER).force();
        Some(async move {
            match api.patch_status(name, &params, &Patch::Apply(&patch)).await {
                Ok(_) => {
                    operator.metrics.wrote();
                    Ok(())
                }
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                Err(source) => Err(Failure::Report {
                    name: name.clone(),
                    source: Box::new(source),
                }),
            }
        })
    });
    join_all(writes).await.into_iter().collect()
}

fn is_known(known: &[Condition], told: &Condition) -> bool {
    condition::find(known, &told.type_).is_some_and(|known| {
        known.status == told.status && known.reason == told.reason && known.message == told.message
    })
}
