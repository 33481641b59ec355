//! An organization that has promised all that its quota allows can still change and shrink what it has,
//! and of orders that come in one moment those begin for which there is room.

use anyhow::{Context as _, Result, ensure};
use crds::AppInstance;
use futures_util::future::try_join_all;
use journeys::{App, Story, ready, within};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ResourceQuota};
use kube::{Api, api::ListParams};
use serde_json::{Value, json};

#[tokio::test]
async fn what_runs_in_a_full_organization_is_changed_and_shrunk() -> Result<()> {
    let story = Story::begin("full").await?;
    let app = App::define(&story, sizes).await?;
    let quota = json!({"quota": {"memory": "128Mi"}});
    let organization = story.organization_with(quota).await?;
    let wish = json!({"app": app.name, "version": "1", "size": "large"});
    organization.order("only", wish).await?;
    organization.ready("only").await?;

    organization
        .change("only", json!({"settings": {"note": "changed"}}))
        .await?;
    organization.ready("only").await?;
    let pods = organization.pods("only", "web").await?;
    let says = |text: &str| serde_json::to_string(&pods).is_ok_and(|pods| pods.contains(text));
    ensure!(says("first changed"), "the pod is still the old one");

    organization.change("only", json!({"size": "tiny"})).await?;
    organization.ready("only").await?;
    let deployment = organization.objects::<Deployment>().get("only").await?;
    let strategy = deployment.spec.and_then(|spec| spec.strategy);
    let rolling = strategy.and_then(|strategy| strategy.rolling_update);
    let rolling = serde_json::to_value(rolling)?;
    ensure!(
        rolling["maxSurge"] == 1 && rolling["maxUnavailable"] == 0,
        "the next change would end a pod before its time: {rolling}"
    );
    organization.end().await
}

#[tokio::test]
async fn a_wordpress_grows_into_all_that_the_quota_allows() -> Result<()> {
    let story = Story::begin("grows").await?;
    // What the pods of a medium one take, and not a byte more.
    let quota = json!({"quota": {"memory": "896Mi"}});
    let organization = story.organization_with(quota).await?;
    organization.order_wordpress("blog").await?;
    organization.ready("blog").await?;
    organization
        .change("blog", json!({"size": "medium"}))
        .await?;
    organization.ready("blog").await?;
    organization.end().await
}

#[tokio::test]
async fn of_orders_in_one_moment_those_begin_that_have_room() -> Result<()> {
    let story = Story::begin("rush").await?;
    let app = App::define(&story, sizes).await?;
    let quota = json!({"quota": {"memory": "200Mi"}});
    let organization = story.organization_with(quota).await?;
    let quotas = organization.objects::<ResourceQuota>();
    within(30, "Kubernetes has counted", || async {
        let status = quotas.get("tutti").await?.status;
        status.and_then(|status| status.used).context("not counted")
    })
    .await?;
    let names = ["one", "two", "three", "four", "five", "six"];
    let wish = json!({"app": app.name, "version": "1", "size": "tiny"});
    try_join_all(names.map(|name| organization.order(name, wish.clone()))).await?;

    let instances = organization.objects::<AppInstance>();
    within(60, "three run, and three say why they do not", || {
        settled(&instances)
    })
    .await?;
    // Nothing of those that have no room is there.
    let deployments = organization.objects::<Deployment>();
    let made = deployments.list(&ListParams::default()).await?.items;
    ensure!(made.len() == 3, "{} of them were begun", made.len());

    // Whoever goes makes room for the next one.
    let goes = made[0].metadata.name.clone().unwrap_or_default();
    organization.delete(&goes).await?;
    within(60, "the next one runs", || async {
        let all = instances.list(&ListParams::default()).await?.items;
        let running = all.iter().filter(|one| is(one, "True", None)).count();
        ensure!(running == 3, "{running} run");
        Ok(())
    })
    .await?;
    organization.end().await
}

/// There is room for three of six.
async fn settled(instances: &Api<AppInstance>) -> Result<()> {
    let all = instances.list(&ListParams::default()).await?.items;
    let of = |status: &str, reason: Option<&str>| {
        let like = all.iter().filter(|one| is(one, status, reason));
        like.count()
    };
    let (running, refused) = (of("True", None), of("False", Some("QuotaExceeded")));
    let told: Vec<_> = all.iter().map(journeys::describe).collect();
    ensure!((running, refused) == (3, 3), "{told:#?}");
    Ok(())
}

fn is(instance: &AppInstance, status: &str, reason: Option<&str>) -> bool {
    ready(instance).is_some_and(|ready| {
        ready.status == status && reason.is_none_or(|reason| ready.reason == reason)
    })
}

fn sizes(spec: &mut Value) {
    let size = |name: &str, memory: &str| {
        json!({
            "name": name,
            "requests": {"cpu": "10m", "memory": memory},
            "limits": {"cpu": "1", "memory": "256Mi"},
        })
    };
    spec["sizes"] = json!([size("tiny", "64Mi"), size("large", "128Mi")]);
}
