//! Who holds which hostname: writes `Accepted` on every Route, and `Ready` on those that are no
//! instance's. The decision is
//! `plan::hostname::claims`; one task decides for the whole cluster, so that no two Routes of one
//! name are accepted at once.

use std::{collections::BTreeSet, time::Duration};

use crds::{
    Route,
    condition::{self, ACCEPTED, Condition, READY},
};
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use kube::{
    Api, Client, Resource as _, ResourceExt,
    api::{Patch, PatchParams},
    runtime::reflector::Store,
};
use plan::{
    health::{self, Finding, State},
    hostname::{Claim, claims},
};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use crate::{cache::child::instance_of, metrics::Metrics};

/// Field manager of what is written here: `BackendReady` on the same list, and `Ready` of an
/// instance's Route, belong to `instance/report.rs`.
const HOSTNAME_MANAGER: &str = "tutti-operator-hostnames";
/// Writes at once.
const CONCURRENCY: usize = 16;
/// A write that failed is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// Decides whenever a hostname was touched, until told to end; then lets what is under way end.
pub async fn decide(
    client: Client,
    routes: Store<Route>,
    mut touched: UnboundedReceiver<String>,
    metrics: Metrics,
    stop: CancellationToken,
) {
    let mut hostnames: BTreeSet<String> = BTreeSet::new();
    loop {
        if hostnames.is_empty() {
            let next = stop.run_until_cancelled(touched.recv()).await;
            let Some(Some(hostname)) = next else { return };
            hostnames.insert(hostname);
        }
        while let Ok(hostname) = touched.try_recv() {
            hostnames.insert(hostname);
        }
        let all = routes.state();
        let contenders: Vec<&Route> = all
            .iter()
            .map(AsRef::as_ref)
            .filter(|route| hostnames.contains(&route.spec.hostname))
            .collect();
        let decided = claims(&contenders);
        let writes = contenders.iter().filter_map(|route| {
            let claim = decided.get(&(route.namespace()?, route.name_any()))?;
            write(&client, route, claim)
        });
        let results: Vec<Result<(), kube::Error>> = stream::iter(writes)
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        hostnames.clear();
        for result in results {
            match result {
                Ok(()) => metrics.wrote(),
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => {
                    let names: BTreeSet<_> = contenders
                        .iter()
                        .map(|route| &route.spec.hostname)
                        .collect();
                    tracing::warn!(
                        %error,
                        hostnames = ?names,
                        "the claim on a hostname was not written, it is tried again"
                    );
                    hostnames.extend(names.into_iter().cloned());
                }
            }
        }
        if !hostnames.is_empty() {
            let wait = tokio::time::sleep(AGAIN);
            if stop.run_until_cancelled(wait).await.is_none() {
                return;
            }
        }
    }
}

/// The write that says a claim on its Route; `None` when the Route says it already.
fn write(
    client: &Client,
    route: &Route,
    claim: &Claim,
) -> Option<impl Future<Output = Result<(), kube::Error>> + use<>> {
    let hostname = &route.spec.hostname;
    let (truth, finding) = match claim {
        Claim::Held => (
            "True",
            Finding {
                state: State::Well,
                reason: "HostnameHeld",
                message: format!("{hostname} is held by this namespace"),
            },
        ),
        Claim::Taken { by } => {
            let who = by.as_ref().map_or_else(
                || "another organization".to_owned(),
                |route| format!("Route {route} of this namespace"),
            );
            (
                "False",
                Finding {
                    state: State::Stuck,
                    reason: "HostnameTaken",
                    message: format!(
                        "{hostname} is held by {who} already; remove it here (for an instance: from spec.domains), or have it given up \
                         there"
                    ),
                },
            )
        }
    };
    let before = route
        .status
        .as_ref()
        .map(|s| s.conditions.as_slice())
        .unwrap_or_default();
    let generation = route.metadata.generation;
    // Charts of others label their Routes with an "instance", too.
    let is_instances = instance_of(route.meta()).is_some();
    let types: &[&str] = if is_instances {
        &[ACCEPTED]
    } else {
        &[READY, ACCEPTED]
    };
    let now = Timestamp::now();
    let after: Vec<Condition> = types
        .iter()
        .map(|type_| health::make(before, type_, truth, &finding, generation, now))
        .collect();
    if after
        .iter()
        .all(|after| condition::find(before, &after.type_) == Some(after))
    {
        return None;
    }
    let api: Api<Route> = Api::namespaced(client.clone(), &route.namespace().unwrap_or_default());
    let name = route.name_any();
    let patch = serde_json::json!({
        "apiVersion": "tutti.dev/v1alpha1",
        "kind": "Route",
        "metadata": { "name": name, "uid": route.uid() },
        "status": { "conditions": after, "observedGeneration": generation },
    });
    let params = PatchParams::apply(HOSTNAME_MANAGER).force();
    Some(async move {
        api.patch_status(&name, &params, &Patch::Apply(&patch))
            .await
            .map(|_| ())
    })
}
