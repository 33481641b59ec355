//! The operator that leads is killed without a word; the other one takes over, and an order that
//! was placed in between is carried out.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use journeys::{App, Story, is_ready, took};
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};
use kube::api::DeleteParams;
use serde_json::json;

#[tokio::test]
async fn the_leading_operator_is_killed_and_another_takes_over() -> Result<()> {
    let story = Story::begin_alone("leader").await?;
    let app = App::define(&story, |_| {}).await?;
    let organization = story.organization().await?;
    two_operators_are_ready(&story).await?;
    let leader = holder(&story).await?;

    let start = Instant::now();
    let at_once = DeleteParams::default().grace_period(0);
    story.platform::<Pod>().delete(&leader, &at_once).await?;
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
