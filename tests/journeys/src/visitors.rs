//! Visitors who come at a steady pace, while somebody does something to what serves them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use tokio::task::{JoinHandle, JoinSet};

use crate::Site;

/// Requests per second.
const PACE: u64 = 50;
/// Nobody stays longer.
const LONGEST: Duration = Duration::from_secs(300);
/// Fewer requests prove nothing.
const ENOUGH: usize = 100;

/// Visitors of one page.
pub struct Visitors {
    since: Instant,
    is_over: Arc<AtomicBool>,
    come: JoinHandle<Vec<Result<()>>>,
}

impl Visitors {
    /// They begin to come: half of them on kept connections, half on new ones.
    #[must_use]
    pub fn come(site: Site, path: &'static str) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let come = tokio::spawn(visit(site, path, Arc::clone(&is_over)));
        Self {
            since: Instant::now(),
            is_over,
            come,
        }
    }

    /// They come no more; an error if one of them did not get the page.
    pub async fn leave(self) -> Result<()> {
        ensure!(
            self.since.elapsed() < LONGEST,
            "it took so long that the visitors had left before"
        );
        self.is_over.store(true, Ordering::Relaxed);
        let visits = self.come.await?;
        let sent = visits.len();
        let failed: Vec<String> = visits
            .into_iter()
            .filter_map(|visit| Some(format!("{:#}", visit.err()?)))
            .collect();
        println!("{sent} requests, {} failed", failed.len());
        ensure!(
            failed.is_empty(),
            "{} of {sent} requests failed, the first ones: {:#?}",
            failed.len(),
            &failed[..failed.len().min(5)]
        );
        ensure!(sent > ENOUGH, "only {sent} requests");
        Ok(())
    }
}

async fn visit(keeping: Site, path: &'static str, is_over: Arc<AtomicBool>) -> Vec<Result<()>> {
    let start = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(1000 / PACE));
    let mut visits = JoinSet::new();
    while !is_over.load(Ordering::Relaxed) && start.elapsed() < LONGEST {
        ticks.tick().await;
        let site = if visits.len().is_multiple_of(2) {
            Ok(keeping.clone())
        } else {
            keeping.anew()
        };
        visits.spawn(async move {
            let at = start.elapsed().as_secs_f64();
            match site?.page(path).await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => anyhow::bail!("after {at:.1} s: {} {}", answer.status, answer.body),
                Err(error) => Err(error.context(format!("after {at:.1} s"))),
            }
        });
    }
    visits.join_all().await
}
