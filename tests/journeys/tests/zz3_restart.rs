//! A second node joins the lab, and what runs on it is reached from the first. Then the whole lab is
//! stopped and started again: sites come back by themselves, with what was in them. And what `make up`
//! does is done a second time, which changes nothing. Everything else
//! of the suite needs the lab, so this has a binary of its own, by whose name it runs after the
//! other stories. Programs of the lab: `TUTTI_LAB_PROGRAM`, or the one that was built beside this
//! test.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use journeys::{Blog, Browser, Editor, Story, look_at_the_post, took};
use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt as _, api::ListParams, core::PartialObjectMeta};
use reqwest::Method;
use tokio::process::Command;

/// Of a visitor, for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
const TEXT: &str = "Written before the machine was switched off.";

#[tokio::test]
async fn a_post_on_a_second_node_is_found_after_a_restart_of_the_whole_lab() -> Result<()> {
    let story = Story::begin_alone("restart").await?;
    let start = Instant::now();
    lab(&["up", "--nodes", "2"]).await?;
    took("a second node", start);
    let organization = story.organization().await?;
    // Whatever is ordered now has no other place; the gateway stays where it is.
    story.kubectl(&["cordon", "node-1"]).await?;
    let blog = Blog::begin(&story, &organization, "Before", TEXT).await;
    story.kubectl(&["uncordon", "node-1"]).await?;
    let Blog {
        site,
        password,
        post,
        ..
    } = blog?;
    for component in ["web", "database"] {
        let pod = organization.pod("blog", component).await?;
        let node = pod.spec.and_then(|spec| spec.node_name);
        ensure!(node.as_deref() == Some("node-2"), "{component}: {node:?}");
    }

    let start = Instant::now();
    lab(&["stop"]).await?;
    ensure!(
        lab::Lab::discover().is_err(),
        "the lab was stopped and runs"
    );
    lab(&["up"]).await?;
    took("the lab stopped and up", start);

    journeys::within(300, "the post is found", || async {
        // Before there is a gateway, nobody answers and nobody refuses.
        let request = site.request(Method::GET, &post).timeout(PATIENCE);
        let page = site.send(request).await?;
        ensure!(page.status == 200, "{} {}", page.status, page.body);
        Ok(())
    })
    .await?;
    took("the post is found again", start);
    organization.ready("blog").await?;
    let browser = Browser::start(&story.lab).await?;
    let post = format!("{}{post}", site.url);
    let outcome = look_at_the_post(&browser, &post, TEXT).await;
    browser.witness("restart", outcome).await?;
    browser.close().await?;
    Editor::sign_in(&site, "admin", &password).await?;
    organization.end().await
}

#[tokio::test]
async fn what_make_up_installs_a_second_time_makes_no_revision_of_helms() -> Result<()> {
    let story = Story::begin_alone("again").await?;
    // What other programs installed with values of their own is as `make up` wants it after the first.
    for deed in ["images", "install"] {
        lab(&[deed]).await?;
    }
    let before = revisions(&story).await?;
    ensure!(before.len() >= 2, "of two charts, {before:?}");
    let start = Instant::now();
    for deed in ["images", "install"] {
        lab(&[deed]).await?;
    }
    took("installed a second time", start);
    let after = revisions(&story).await?;
    ensure!(after == before, "{before:?} became {after:?}");
    Ok(())
}

/// What helm remembers: a Secret for each revision, by its name and in which version.
async fn revisions(story: &Story) -> Result<Vec<(String, Option<String>)>> {
    let kept = ListParams::default().labels("owner=helm");
    let secrets = story.platform::<Secret>().list_metadata(&kept).await?;
    let known = |it: &PartialObjectMeta<Secret>| (it.name_any(), it.resource_version());
    let mut revisions: Vec<_> = secrets.iter().map(known).collect();
    revisions.sort();
    Ok(revisions)
}

async fn lab(arguments: &[&str]) -> Result<()> {
    let program = match std::env::var_os("TUTTI_LAB_PROGRAM") {
        Some(program) => PathBuf::from(program),
        None => {
            // target/debug/deps/zz3_restart-…
            let own = std::env::current_exe()?;
            let folder = own.parent().and_then(|deps| deps.parent());
            folder.context("where was this test built?")?.join("lab")
        }
    };
    let output = Command::new(&program).args(arguments).output().await;
    let output = output.with_context(|| {
        format!(
            "{} cannot be run; build it with cargo build -p lab, or set TUTTI_LAB_PROGRAM",
            program.display()
        )
    })?;
    ensure!(
        output.status.success(),
        "lab {}: {}{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
