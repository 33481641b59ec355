//! Which replica leads: the one that holds the Lease. The others keep their caches warm and wait.
//!
//! A leader that loses the lease ends at once and is started again as one that waits: nothing of
//! what it had under way may be finished beside its successor.

use std::time::Duration;

use anyhow::Context as _;
use kube_lease_manager::LeaseManagerBuilder;
use tokio::{sync::watch, task::JoinHandle};

use crate::{client::impatient, config::LeadershipArgs, metrics::Metrics};

/// Name of the Lease.
pub const LEASE: &str = "tutti-operator";

/// Whether we lead, and the task that keeps asking. Dropping every receiver gives the lease back.
pub struct Leadership {
    /// Whether we lead.
    pub is_leading: watch::Receiver<bool>,
    /// Ends after the lease was given back.
    pub task: JoinHandle<()>,
}

/// Starts to contend for the lease.
///
/// # Errors
/// When the Lease object cannot be read or made.
pub async fn contend(
    cluster: kube::Config,
    args: &LeadershipArgs,
    metrics: &Metrics,
) -> anyhow::Result<Leadership> {
    let seconds = u64::from(args.lease_seconds);
    // A renewal that is not answered must leave time for another one.
    let client = impatient(cluster, Duration::from_secs(seconds) / 5, metrics)?;
    let manager = LeaseManagerBuilder::new(client, LEASE)
        .with_namespace(&args.namespace)
        .with_identity(&args.identity)
        .with_duration(seconds)
        // Renewed when this much is left: two tries of a few seconds before it runs out.
        .with_grace((seconds / 2).max(1))
        .build()
        .await
        .with_context(|| format!("cannot read or make Lease {}/{LEASE}", args.namespace))?;
    let (is_leading, task) = manager.watch().await;
    let task = tokio::spawn(async move {
        match task.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lease was not given back"),
            Err(error) => tracing::warn!(%error, "the lease's task broke"),
        }
    });
    Ok(Leadership { is_leading, task })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// What is promised: after a leader was killed, another leads.
    const PROMISE: Duration = Duration::from_secs(15);
    /// kube-lease-manager waits up to this long between taking a lease away from the dead and taking it,
    /// so that two do not collide.
    const POLITENESS: Duration = Duration::from_secs(1);
    /// What the next one asks when the lease has run out: it looks twice, takes it away and looks; it looks
    /// twice again, takes it, counts itself and looks.
    const CALLS: u32 = 9;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        leadership: LeadershipArgs,
    }

    fn by_default() -> u16 {
        Arguments::parse_from(["operator"]).leadership.lease_seconds
    }

    #[test]
    fn another_leads_within_15_seconds_though_the_api_server_takes_400_ms_for_each_answer() {
        let lease = Duration::from_secs(by_default().into());
        let longest = lease + POLITENESS + CALLS * Duration::from_millis(400);
        assert!(longest <= PROMISE, "{longest:?}");
    }

    #[test]
    fn the_chart_leaves_the_length_of_the_lease_to_the_program() {
        let rendered = include_str!("../../charts/rendered/tutti.yaml");
        assert!(
            rendered.contains("TUTTI_LISTEN"),
            "the operator's variables are elsewhere"
        );
        assert!(!rendered.contains("TUTTI_LEASE_SECONDS"));
        assert!(!rendered.contains("lease-seconds"));
    }
}
