//! Routes of all namespaces, from the API server to the table.

use std::sync::Arc;

use crds::Route;
use futures_util::StreamExt;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher},
};
use service::Check;

use crate::{
    gateway::Gateway,
    watch::{Changed, Pauses, follow},
};

/// Follows all Routes for as long as the program runs; sets the check after the first whole table.
pub async fn watch(client: Client, gateway: Arc<Gateway>, check: Check) {
    let events = watcher(Api::<Route>::all(client), watcher::Config::default())
        .backoff(Pauses::default())
        .boxed();
    let keep = |mut route: Route, _: Option<&Arc<Route>>| {
        route.metadata.managed_fields = None;
        Some(Arc::new(route))
    };
    let report = |known: &std::collections::BTreeMap<_, Arc<Route>>, _: Changed<'_>| {
        let routes: Vec<Arc<Route>> = known.values().cloned().collect();
        gateway.swap_routes(&routes);
        check.set(true);
    };
    follow(
        "Route",
        events,
        gateway.metrics.watch("Route"),
        keep,
        report,
    )
    .await;
}
