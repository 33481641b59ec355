//! The life of an instance in the hands of somebody who operates it: stopped, started, made
//! larger, scaled too far, upgraded, deleted with and without its data. A post that was written at
//! the beginning is there until the end.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use crds::AppInstance;
use journeys::{Editor, Organization, Site, Story, took};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{ResourceExt, api::ListParams};
use serde_json::json;

const TEXT: &str = "This outlives stops, sizes, versions and deletions.";

#[tokio::test]
async fn an_operator_stops_resizes_upgrades_and_deletes() -> Result<()> {
    let story = Story::begin("operate").await?;
    let organization = story.organization().await?;
    let wish = json!({
        "app": "wordpress", "version": "6.1", "size": "small", "deletionPolicy": "Retain",
        "settings": {"localLogin": "on"},
    });
    let start = Instant::now();
    organization.order("blog", wish.clone()).await?;
    let blog = organization.ready("blog").await?;
    took("from the order to Ready (6.1)", start);
    let url = url_of(&blog)?;
    let site = story.site(&url)?;
    let password = organization.secret("blog-admin-password").await?;
    let editor = Editor::sign_in(&site, "admin", &password).await?;
    let post = editor.write_post("Kept", TEXT).await?;
    the_post_is_there(&site, &post).await?;

    stops_and_starts(&organization, &site).await?;
    the_post_is_there(&site, &post).await?;

    grows(&organization).await?;
    the_post_is_there(&site, &post).await?;

    cannot_be_scaled_too_far(&organization, &site).await?;

    upgrades(&organization).await?;
    the_post_is_there(&site, &post).await?;

    organization.delete("blog").await?;
    let kept = organization.volumes("blog").await?;
    ensure!(kept.len() == 2, "of two volumes these were kept: {kept:?}");
    let kept = organization.secrets("blog").await?;
    ensure!(
        kept.len() == 3,
        "of three Secrets these were kept: {kept:?}"
    );
    journeys::within(2, "nobody is let in any more", || async {
        let answer = site.page("/").await?;
        ensure!(answer.status == 404, "after the deletion: {answer:?}");
        Ok(())
    })
    .await?;

    let mut again = wish;
    again["version"] = json!("6.8");
    again["size"] = json!("medium");
    organization.order("blog", again).await?;
    let blog = organization.ready("blog").await?;
    let adopted = url_of(&blog)?;
    ensure!(adopted == url, "the address was {url} and is {adopted}");
    let same = organization.secret("blog-admin-password").await?;
    ensure!(same == password, "the password was not taken up");
    the_post_is_there(&site, &post).await?;
    Editor::sign_in(&site, "admin", &password).await?;

    organization
        .change("blog", json!({"deletionPolicy": "Delete"}))
        .await?;
    organization.delete("blog").await?;
    journeys::within(60, "nothing is left", || async {
        let volumes = organization.volumes("blog").await?;
        let secrets = organization.secrets("blog").await?;
        ensure!(
            volumes.is_empty() && secrets.is_empty(),
            "{volumes:?} {secrets:?}"
        );
        let pods = organization
            .objects::<Pod>()
            .list(&ListParams::default())
            .await?;
        let pods: Vec<String> = pods.iter().map(ResourceExt::name_any).collect();
        ensure!(pods.is_empty(), "{pods:?}");
        Ok(())
    })
    .await?;
    organization.end().await
}

async fn stops_and_starts(organization: &Organization, site: &Site) -> Result<()> {
    organization
        .change("blog", json!({"stopped": true}))
        .await?;
    organization.reason("blog", 90, "Stopped").await?;
    for component in ["web", "database"] {
        let pods = organization.pods("blog", component).await?.len();
        ensure!(pods == 0, "{pods} {component} pods of a stopped instance");
    }
    let page = journeys::within(10, "visitors read that it is stopped", || async {
        let page = site.page("/").await?;
        ensure!(page.body.contains("stopped"), "{page:?}");
        Ok(page)
    })
    .await?;
    ensure!(page.status == 503, "{page:?}");
    ensure!(
        page.header("content-type").starts_with("text/html"),
        "{page:?}"
    );
    let program = site.json("/").await?;
    ensure!(program.status == 503, "{program:?}");
    ensure!(
        program.header("content-type") == "application/problem+json",
        "{program:?}"
    );
    let problem: serde_json::Value = serde_json::from_str(&program.body)?;
    ensure!(problem["reason"] == "Stopped", "{problem}");

    let start = Instant::now();
    organization
        .change("blog", json!({"stopped": false}))
        .await?;
    organization.ready("blog").await?;
    took("started again", start);
    Ok(())
}

async fn grows(organization: &Organization) -> Result<()> {
    let start = Instant::now();
    organization
        .change("blog", json!({"size": "medium"}))
        .await?;
    organization.ready("blog").await?;
    took("small to medium", start);
    for (component, memory) in [("web", "1Gi"), ("database", "768Mi")] {
        let pod = organization.pod("blog", component).await?;
        let spec = pod.spec.context("a pod without spec")?;
        let limits = spec
            .containers
            .first()
            .and_then(|c| c.resources.as_ref()?.limits.clone());
        let limit = limits
            .unwrap_or_default()
            .remove("memory")
            .unwrap_or_default();
        ensure!(limit.0 == memory, "{component} may use {}", limit.0);
    }
    Ok(())
}

async fn cannot_be_scaled_too_far(organization: &Organization, site: &Site) -> Result<()> {
    organization.change("blog", json!({"replicas": 3})).await?;
    let message = organization.reason("blog", 10, "TooManyReplicas").await?;
    ensure!(message.starts_with("spec.replicas:"), "{message}");
    ensure!(message.contains("1 at most"), "{message}");
    let page = site.page("/").await?;
    ensure!(
        page.status == 200,
        "what runs is not left as it is: {page:?}"
    );
    organization.change("blog", json!({"replicas": 1})).await?;
    organization.ready("blog").await?;
    Ok(())
}

async fn upgrades(organization: &Organization) -> Result<()> {
    let start = Instant::now();
    organization
        .change("blog", json!({"version": "6.8"}))
        .await?;
    let blog = organization.ready("blog").await?;
    took("6.1 to 6.8", start);
    let version = blog.status.and_then(|s| s.version);
    ensure!(
        version.as_deref() == Some("6.8"),
        "status.version is {version:?}"
    );
    // The job itself may be cleared away by now; what Kubernetes told of it stays for an hour.
    let events = organization.objects::<Event>();
    let events = events.list(&ListParams::default()).await?;
    let told = |reason: &str| {
        let is_upgrade = |event: &&Event| {
            let of = &event.involved_object;
            let name = of.name.as_deref().unwrap_or_default();
            of.kind.as_deref() == Some("Job") && name.starts_with("blog-to-")
        };
        let upgrades = events.iter().filter(is_upgrade);
        upgrades
            .filter(|event| event.reason.as_deref() == Some(reason))
            .map(|event| event.count.unwrap_or(1))
            .sum::<i32>()
    };
    let (pods, ends) = (told("SuccessfulCreate"), told("Completed"));
    ensure!(
        pods == 1 && ends == 1,
        "the upgrade job had {pods} pods and ended {ends} times"
    );
    let pod = organization.pod("blog", "web").await?;
    let script = "grep '^.wp_version' /usr/share/wordpress/wp-includes/version.php";
    let installed = organization.bash(&pod, script).await?;
    ensure!(installed.contains("'6.8"), "the pod runs {installed}");
    // Going back is not offered.
    organization
        .change("blog", json!({"version": "6.1"}))
        .await?;
    let message = organization.reason("blog", 10, "CannotUpgrade").await?;
    ensure!(message.starts_with("spec.version:"), "{message}");
    organization
        .change("blog", json!({"version": "6.8"}))
        .await?;
    organization.ready("blog").await?;
    Ok(())
}

async fn the_post_is_there(site: &Site, path: &str) -> Result<()> {
    let page = site.page(path).await?;
    ensure!(page.status == 200, "{path}: {page:?}");
    ensure!(
        page.body.contains(TEXT),
        "{path} says something else: {}",
        page.body
    );
    let is_upload = |text: &&str| text.starts_with(&site.url) && text.ends_with(".png");
    let picture = page.body.split('"').find(is_upload);
    let picture = picture.and_then(|address| address.strip_prefix(&site.url));
    let picture = picture.with_context(|| format!("no picture in {}", page.body))?;
    let picture = site.page(picture).await?;
    ensure!(picture.status == 200, "the picture: {}", picture.status);
    ensure!(
        picture.header("content-type") == "image/png",
        "{:?}",
        picture.headers
    );
    Ok(())
}

fn url_of(instance: &AppInstance) -> Result<String> {
    let status = instance.status.as_ref();
    status.and_then(|s| s.url.clone()).context("no status.url")
}
