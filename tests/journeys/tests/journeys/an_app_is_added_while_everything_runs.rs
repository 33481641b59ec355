//! An app that nobody knew a moment ago is defined, ordered, changed and taken off the catalogue,
//! while the operator goes on without a restart.

use std::time::Instant;

use anyhow::{Result, ensure};
use journeys::{App, Organization, PAGE, Site, Story, restarts, took};
use kube::ResourceExt;
use serde_json::json;

#[tokio::test]
async fn an_app_is_added_while_everything_runs() -> Result<()> {
    let story = Story::begin("app").await?;
    let organization = story.organization().await?;
    let before = operators(&story).await?;

    let start = Instant::now();
    let app = App::define(&story, |_| {}).await?;
    let (reason, message) = app.judgement().await?;
    ensure!(reason == "Sound", "{reason}: {message}");
    let wish = json!({"app": app.name, "version": "1", "settings": {"note": "of a journey"}});
    organization.order("files", wish).await?;
    let url = organization.address("files").await?;
    took("from the definition to Ready", start);
    let site = story.site(&url)?;
    let page = site.page(PAGE).await?;
    ensure!(page.status == 200, "{page:?}");
    let pod = organization.pod("files", "web").await?;
    let note = organization.bash(&pod, "echo $NOTE").await?;
    ensure!(note.trim() == "first of a journey", "NOTE is {note}");

    let start = Instant::now();
    scale(&story, &organization, &site, 2).await?;
    scale(&story, &organization, &site, 1).await?;
    took("to two pods and back", start);

    let start = Instant::now();
    app.redefine(|spec| spec["env"][0]["value"] = json!("second ${settings.note}"))
        .await?;
    journeys::within(60, "the change takes effect", || async {
        let pods = organization.pods("files", "web").await?;
        let [pod] = &pods[..] else {
            anyhow::bail!("{} pods", pods.len());
        };
        let note = organization.bash(pod, "echo $NOTE").await?;
        ensure!(note.trim() == "second of a journey", "NOTE is {note}");
        Ok(())
    })
    .await?;
    organization.ready("files").await?;
    took("from the change to the pod", start);

    let running = organization.pod("files", "web").await?;
    app.remove().await?;
    let message = organization.reason("files", 10, "UnknownApp").await?;
    ensure!(message.contains(&app.name), "{message}");
    ensure!(message.starts_with("spec.app:"), "{message}");
    let page = site.page(PAGE).await?;
    ensure!(
        page.status == 200,
        "without its definition it goes on running: {page:?}"
    );
    let same = organization.pod("files", "web").await?;
    ensure!(same.uid() == running.uid(), "it was restarted");

    app.redefine(|spec| spec["env"][0]["value"] = json!("second ${settings.note}"))
        .await?;
    organization.ready("files").await?;
    app.remove().await?;
    organization.reason("files", 10, "UnknownApp").await?;
    // What cannot be planned any more can still be deleted.
    organization.delete("files").await?;

    let after = operators(&story).await?;
    ensure!(
        after == before,
        "the operator was restarted: {before:?}, {after:?}"
    );
    organization.end().await
}

/// As a person does it: `kubectl scale`.
async fn scale(
    story: &Story,
    organization: &Organization,
    site: &Site,
    replicas: usize,
) -> Result<()> {
    let wish = format!("--replicas={replicas}");
    story
        .kubectl(&["scale", "appi/files", &wish, "-n", &organization.name])
        .await?;
    let found = organization.ready("files").await?;
    let told = found.status.and_then(|status| status.replicas);
    ensure!(
        told.is_some_and(|told| usize::try_from(told) == Ok(replicas)),
        "status.replicas is {told:?}"
    );
    journeys::within(60, "there are as many pods", || async {
        let pods = organization.pods("files", "web").await?.len();
        ensure!(pods == replicas, "{pods} pods");
        Ok(())
    })
    .await?;
    let page = site.page(PAGE).await?;
    ensure!(page.status == 200, "{page:?}");
    Ok(())
}

/// Every pod of the operator, and how often it was restarted.
async fn operators(story: &Story) -> Result<Vec<(Option<String>, i32)>> {
    let pods = story.platform_pods("operator").await?;
    let mut operators: Vec<_> = pods.iter().map(|pod| (pod.uid(), restarts(pod))).collect();
    operators.sort();
    Ok(operators)
}
