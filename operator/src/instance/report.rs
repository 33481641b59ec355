//! Report: one write of the status when it changed, one event when `Ready`'s reason changed, and
//! what the gateway tells visitors.

use crds::{
    AppInstance, AppInstanceStatus, Route,
    condition::{self, BACKEND_READY},
    labels,
};
use futures_util::future::join_all;
use jiff::Timestamp;
use kube::{
    Api, Resource as _, ResourceExt,
    api::{Patch, PatchParams},
    runtime::events::{Event, EventType},
};
use plan::{
    DesiredState, Observed,
    health::{self, Report},
};

use super::Instances;
use crate::{cache::InstanceKey, failure::Failure};

/// Field manager of the condition `BackendReady` on Routes: `Accepted` on the same list belongs to
/// `hostnames.rs`.
const BACKEND_MANAGER: &str = "tutti-operator-backend";

/// Writes what changed.
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
    let (status, routes) = futures_util::join!(
        write_status(operator, instance, &before, after),
        tell_gateway(operator, key, report),
    );
    status.and(routes)
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
    // While it is paused nothing was applied, whatever is planned.
    let installed = desired.filter(|_| !instance.spec.paused);
    AppInstanceStatus {
        observed_generation: instance.metadata.generation,
        conditions: report.conditions.clone(),
        url: desired
            .map(|d| d.url.clone())
            .or_else(|| before.url.clone()),
        host: desired
            .map(|d| d.host.clone())
            .or_else(|| before.host.clone()),
        version: installed
            .and_then(|d| d.version.clone())
            .or_else(|| before.version.clone()),
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
    }
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
    announce(operator, instance, before, &after);
    Ok(())
}

/// An event with the condition's own words, when `Ready` has a new reason.
fn announce(
    operator: &Instances,
    instance: &AppInstance,
    before: &AppInstanceStatus,
    after: &AppInstanceStatus,
) {
    let Some(ready) = condition::find(&after.conditions, condition::READY) else {
        return;
    };
    let known = condition::find(&before.conditions, condition::READY);
    if known.is_some_and(|known| known.reason == ready.reason && known.status == ready.status) {
        return;
    }
    tracing::info!(
        ready = ready.status,
        reason = ready.reason,
        detail = ready.message,
        "its state changed"
    );
    let is_trouble = condition::is_true(&after.conditions, condition::STALLED);
    let event = Event {
        type_: if is_trouble {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: ready.reason.clone(),
        note: Some(ready.message.chars().take(1000).collect()),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    let recorder = operator.events.clone();
    let reference = instance.object_ref(&());
    // Nobody waits for an event: it is news, and the condition says the same.
    tokio::spawn(async move {
        if let Err(error) = recorder.publish(&event, &reference).await {
            tracing::debug!(%error, "event not published");
        }
    });
}

/// Writes `BackendReady` on every Route of the instance where it changed.
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
    let writes = routes.filter_map(|(name, conditions)| {
        let status = if report.backend.state == health::State::Well {
            "True"
        } else {
            "False"
        };
        let known = condition::find(conditions, BACKEND_READY);
        if known.is_some_and(|known| {
            known.status == status
                && known.reason == report.backend.reason
                && known.message == report.backend.message
        }) {
            return None;
        }
        let condition = health::make(
            conditions,
            BACKEND_READY,
            status,
            &report.backend,
            None,
            Timestamp::now(),
        );
        let patch = serde_json::json!({
            "apiVersion": "tutti.dev/v1alpha1",
            "kind": "Route",
            "metadata": { "name": name },
            "status": { "conditions": [condition] },
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
