//! Visitors come at a steady pace while the gateway is rolled over: nobody notices.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use journeys::{PLATFORM, Site, Story, took};

/// Requests per second.
const PACE: u64 = 50;
/// The roll-out ends within this time, or it has failed.
const LONGEST: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_restarts_under_load_and_no_request_fails() -> Result<()> {
    let story = Story::begin_alone("roll").await?;
    let organization = story.organization().await?;
    organization.order_wordpress("site").await?;
    let site = organization.ready("site").await?;
    let url = site.status.and_then(|s| s.url).context("no status.url")?;
    // A file that Apache gives out by itself: the gateway is on trial, not PHP.
    let path = "/wp-includes/css/buttons.min.css";
    let keeping = story.site(&url)?;
    let answer = keeping.page(path).await?;
    ensure!(answer.status == 200, "{answer:?}");

    let is_over = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(visitors(
        story.lab.clone(),
        keeping,
        path,
        Arc::clone(&is_over),
    ));
    let start = Instant::now();
    story
        .kubectl(&["rollout", "restart", "deployment/gateway", "-n", PLATFORM])
        .await?;
    let rolled = story
        .kubectl(&[
            "rollout",
            "status",
            "deployment/gateway",
            "-n",
            PLATFORM,
            "--timeout=110s",
        ])
        .await;
    // The last old pod drains.
    let drained = journeys::within(60, "the old pods are gone", || async {
        let pods = story
            .kubectl(&[
                "get",
                "pods",
                "-n",
                PLATFORM,
                "-l",
                "app.kubernetes.io/name=gateway",
                "-o",
                "name",
            ])
            .await?;
        ensure!(pods.lines().count() == 2, "{pods}");
        Ok(())
    })
    .await;
    is_over.store(true, Ordering::Relaxed);
    let outcome = load.await?;
    rolled?;
    drained?;
    took("the gateway rolled over", start);
    println!("{} requests, {} failed", outcome.sent, outcome.failed.len());
    ensure!(
        outcome.failed.is_empty(),
        "{} of {} requests failed, the first ones: {:#?}",
        outcome.failed.len(),
        outcome.sent,
        &outcome.failed[..outcome.failed.len().min(5)]
    );
    ensure!(outcome.sent > 100, "only {} requests", outcome.sent);
    organization.end().await
}

struct Outcome {
    sent: usize,
    failed: Vec<String>,
}

/// Half of the requests on kept connections, half on new ones.
async fn visitors(
    lab: lab::Lab,
    keeping: Site,
    path: &'static str,
    is_over: Arc<AtomicBool>,
) -> Outcome {
    let start = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(1000 / PACE));
    let mut requests = tokio::task::JoinSet::new();
    while !is_over.load(Ordering::Relaxed) && start.elapsed() < LONGEST {
        ticks.tick().await;
        let site = if requests.len() % 2 == 0 {
            Ok(keeping.clone())
        } else {
            Site::new(&lab, &keeping.url)
        };
        requests.spawn(async move {
            let at = start.elapsed().as_secs_f64();
            match site?.page(path).await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => anyhow::bail!("after {at:.1} s: {} {}", answer.status, answer.body),
                Err(error) => Err(error.context(format!("after {at:.1} s"))),
            }
        });
    }
    let results = requests.join_all().await;
    Outcome {
        sent: results.len(),
        failed: results
            .into_iter()
            .filter_map(|r| r.err())
            .map(|e| format!("{e:#}"))
            .collect(),
    }
}
