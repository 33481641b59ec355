//! Who holds which hostname: writes `Accepted` on every Route, and `Ready` on those that are no
//! instance's. The decision is
//! `plan::hostname::claims`; one task decides for the whole cluster, so that no two Routes of one
//! name are accepted at once.

use std::{collections::BTreeSet, time::Duration};

use crds::{
    Route,
    condition::{self, ACCEPTED, Condition, READY},
    labels,
};
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::reflector::Store,
};
use plan::{
    health::{self, Finding, State},
    hostname::{Claim, claims},
};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::metrics::Metrics;

/// Field manager of what is written here: `BackendReady` on the same list, and `Ready` of an
/// instance's Route, belong to `instance/report.rs`.
const HOSTNAME_MANAGER: &str = "tutti-operator-hostnames";
/// Writes at once.
const CONCURRENCY: usize = 16;
/// A write that failed is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// Decides whenever a hostname was touched, until the channel closes.
pub async fn decide(
    client: Client,
    routes: Store<Route>,
    mut touched: UnboundedReceiver<String>,
    metrics: Metrics,
) {
    let mut hostnames: BTreeSet<String> = BTreeSet::new();
    loop {
        if hostnames.is_empty() {
            match touched.recv().await {
                Some(hostname) => hostnames.insert(hostname),
                None => return,
            };
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
                    tracing::warn!(%error, "a hostname's claim was not written, it is tried again");
                    hostnames.extend(contenders.iter().map(|route| route.spec.hostname.clone()));
                }
            }
        }
        if !hostnames.is_empty() {
            tokio::time::sleep(AGAIN).await;
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
                        "{hostname} is held by {who} already; remove it here, or have it given up \
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
    let types: &[&str] = if route.labels().contains_key(labels::INSTANCE) {
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
