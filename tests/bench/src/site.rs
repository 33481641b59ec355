//! A WordPress on the lab, as a customer orders it: how long each step takes until `Ready`, and how
//! much of it is the operator's own work. Scheduler, kubelet, database and app are the real ones,
//! and the images are on the node.

use std::{path::Path, time::Instant};

use anyhow::{Context as _, Result, bail};
use crds::{AppInstance, Organization, condition};
use futures_util::TryStreamExt as _;
use http::Request;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch},
    runtime::{WatchStreamExt as _, watcher},
};
use lab::Lab;
use serde_json::json;

use crate::{
    figures::{Series, keep, table},
    instances,
    stage::{PATIENCE, params},
};

/// An organization of its own, gone in the end.
const ORGANIZATION: &str = "bench-site";
/// Reasons of `Ready` in the order in which a new WordPress has them, and what is done meanwhile.
/// The time until the first is seen belongs to the first.
const STEPS: [(&str, &str); 3] = [
    ("DatabaseStarting", "volumes, and the database starts"),
    ("Installing", "WordPress is installed"),
    ("Starting", "web server and PHP start, first healthy answer"),
];

/// # Errors
/// When there is no lab, or an instance does not become ready.
pub async fn run(folder: &Path, rounds: u32) -> Result<String> {
    let client = Lab::discover()?.client().await?;
    found(&client).await?;
    // The first one brings the images.
    order(&client, 0).await?;
    let mut steps = [const { Series(Vec::new()) }; STEPS.len()];
    let (mut total, mut own) = (Series::default(), Series::default());
    for round in 1..=rounds {
        let worked = work(&client).await?;
        let site = order(&client, round).await?;
        own.push(work(&client).await? - worked);
        for (series, seconds) in steps.iter_mut().zip(site.steps) {
            series.push(seconds);
        }
        total.push(site.total);
        eprintln!("site {round}: {:.1} s", site.total);
    }
    let api: Api<Organization> = Api::all(client.clone());
    api.delete(ORGANIZATION, &DeleteParams::default()).await?;
    keep(
        folder,
        "site",
        &json!({ "steps": steps, "total": total, "own": own }),
    )?;
    let share = Series(
        own.over(&total)
            .0
            .iter()
            .map(|share| share * 100.0)
            .collect(),
    );
    let mut rows: Vec<Vec<String>> = STEPS
        .iter()
        .zip(&steps)
        .map(|((_, what), series)| vec![(*what).to_owned(), series.show(1)])
        .collect();
    rows.push(vec!["ordered → Ready (≤ 30)".to_owned(), total.show(1)]);
    rows.push(vec![
        "of it the operator at work, waiting for the API server included".to_owned(),
        format!("{}, {} %", own.show(2), share.show(1)),
    ]);
    Ok(table(&["", "seconds"], &rows))
}

struct Site {
    steps: [f64; STEPS.len()],
    total: f64,
}

/// Orders a WordPress, waits until it is ready, and removes it.
async fn order(client: &Client, round: u32) -> Result<Site> {
    let name = format!("site-{round}");
    let key = (ORGANIZATION.to_owned(), name.clone());
    let api: Api<AppInstance> = Api::namespaced(client.clone(), ORGANIZATION);
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut news = std::pin::pin!(
        watcher(api.clone(), config)
            .default_backoff()
            .applied_objects()
    );
    let begun = Instant::now();
    instances::make(client, "wordpress", "6.8", &key).await?;
    let mut ends = [f64::NAN; STEPS.len()];
    let mut step = 0;
    let total = loop {
        let found = tokio::time::timeout(PATIENCE, news.try_next())
            .await
            .with_context(|| format!("{name} is not ready"))??;
        let status = found.context("the watch ended")?.status.unwrap_or_default();
        let Some(ready) = condition::find(&status.conditions, condition::READY) else {
            continue;
        };
        let now = begun.elapsed().as_secs_f64();
        let is_ready = ready.status == "True";
        let reached = if is_ready {
            STEPS.len()
        } else {
            let known = STEPS.iter().position(|(reason, _)| *reason == ready.reason);
            known.unwrap_or(step).max(step)
        };
        ends[step..reached].fill(now);
        step = reached;
        if is_ready {
            break now;
        }
    };
    let mut before = 0.0;
    let steps = ends.map(|end| {
        let took = end - before;
        before = end;
        took
    });
    let policy = json!({ "spec": { "deletionPolicy": "Delete" } });
    api.patch(
        &name,
        &kube::api::PatchParams::default(),
        &Patch::Merge(policy),
    )
    .await?;
    api.delete(&name, &DeleteParams::default()).await?;
    let end = Instant::now() + PATIENCE;
    let pods: Api<Pod> = Api::namespaced(client.clone(), ORGANIZATION);
    // The next one has the machine to itself.
    while !pods.list(&ListParams::default()).await?.items.is_empty() {
        if Instant::now() > end {
            bail!("the pods of {name} do not go");
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    Ok(Site { steps, total })
}

async fn found(client: &Client) -> Result<()> {
    let api: Api<Organization> = Api::all(client.clone());
    let wish = json!({
        "apiVersion": "tutti.dev/v1alpha1",
        "kind": "Organization",
        "metadata": { "name": ORGANIZATION },
        "spec": { "title": "Benchmark", "deletionPolicy": "Delete" },
    });
    api.patch(ORGANIZATION, &params(), &Patch::Apply(wish))
        .await?;
    let end = Instant::now() + PATIENCE;
    loop {
        let status = api.get(ORGANIZATION).await?.status.unwrap_or_default();
        if condition::is_true(&status.conditions, condition::READY) {
            return Ok(());
        }
        if Instant::now() > end {
            bail!("organization {ORGANIZATION} is not ready");
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// Seconds that the operator has spent in passes of instances, over all its replicas.
async fn work(client: &Client) -> Result<f64> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "tutti-system");
    let selector = ListParams::default().labels("app.kubernetes.io/name=operator");
    let mut seconds = 0.0;
    for pod in pods.list(&selector).await? {
        let path = format!(
            "/api/v1/namespaces/tutti-system/pods/{}:8081/proxy/metrics",
            pod.name_any()
        );
        let text = client
            .request_text(Request::get(path).body(Vec::new())?)
            .await?;
        seconds += text
            .lines()
            .filter(|line| {
                line.starts_with("controller_runtime_reconcile_time_seconds_sum{")
                    && line.contains("\"appinstance\"")
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum::<f64>();
    }
    Ok(seconds)
}
