//! The operator that leads is killed without a word; the other one takes over, and an order that
//! was placed in between is carried out.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use journeys::{App, Story, is_ready, took};
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};
use kube::api::DeleteParams;
use lab::kill_container;
use serde_json::json;

#[tokio::test]
async fn the_leading_operator_is_killed_and_another_takes_over() -> Result<()> {
    // The gateway may be rolled over beside it; nobody else is there.
    let story = Story::begin("leader").await?;
    let app = App::define(&story, |_| {}).await?;
    let organization = story.organization().await?;
    two_operators_are_ready(&story).await?;
    let leader = holder(&story).await?;

    let start = Instant::now();
    kill(&story, &leader).await?;
    let left = holder(&story).await?;
    ensure!(left == leader, "{leader} gave its lease to {left}");
    organization
        .order("files", json!({"app": app.name, "version": "1"}))
        .await?;
    let next = journeys::within(15, "another one leads", || async {
        let next = holder(&story).await?;
        ensure!(next != leader, "{leader} still holds the lease");
        Ok(next)
    })
    .await?;
    took(&format!("{next} leads instead of {leader}"), start);
    organization.ready("files").await?;
    took("the order placed meanwhile is Ready", start);
    two_operators_are_ready(&story).await?;
    organization.end().await
}

/// Kills an operator's process, and takes its pod away before kubelet starts it again under the name
/// that the lease is held by. A pod that is only deleted is told to end, and gives its lease back.
async fn kill(story: &Story, name: &str) -> Result<()> {
    let pods = story.platform::<Pod>();
    let status = pods.get(name).await?.status.unwrap_or_default();
    let containers = status.container_statuses.unwrap_or_default();
    let ids = containers
        .iter()
        .filter_map(|it| it.container_id.as_deref());
    let killed: usize = ids
        .filter_map(|id| id.strip_prefix("containerd://"))
        .map(kill_container)
        .sum();
    ensure!(killed > 0, "{name} has no process on this machine");
    let at_once = DeleteParams::default().grace_period(0);
    pods.delete(name, &at_once).await?;
    Ok(())
}

async fn holder(story: &Story) -> Result<String> {
    let lease = story.platform::<Lease>().get("tutti-operator").await?;
    let holder = lease.spec.and_then(|spec| spec.holder_identity);
    holder
        .filter(|holder| !holder.is_empty())
        .context("nobody holds the lease")
}

async fn two_operators_are_ready(story: &Story) -> Result<()> {
    journeys::within(90, "two operators are ready", || async {
        let pods = story.platform_pods("operator").await?;
        let stays = |pod: &&Pod| pod.metadata.deletion_timestamp.is_none() && is_ready(pod);
        let ready = pods.iter().filter(stays).count();
        ensure!(ready == 2, "{ready} are");
        Ok(())
    })
    .await
}
