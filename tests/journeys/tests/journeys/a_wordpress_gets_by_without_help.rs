//! A WordPress that nobody looks after: its database is lost and comes back, is taken away for a
//! minute and comes back, and what was to happen at a time happens, because the periodic job asks
//! for it and no visitor has to.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use journeys::{Answer, Blog, Editor, Organization, Site, Story, is_ready, restarts, took, within};
use k8s_openapi::api::{
    batch::v1::{CronJob, Job},
    core::v1::Pod,
};
use kube::{ResourceExt, api::DeleteParams};
use serde_json::json;

const TEXT: &str = "Written before the database was lost.";
const DUE: &str = "Written long before it was published.";
/// What no visitor should read.
const SECRETS_OF_THE_TRADE: [&str; 5] = [
    "Stack trace",
    "Fatal error",
    "mysqli",
    "/usr/share/",
    "/var/lib/",
];

#[tokio::test]
async fn a_wordpress_gets_by_without_help() -> Result<()> {
    let story = Story::begin("alone").await?;
    let organization = story.organization().await?;
    let Blog {
        site,
        editor,
        password,
        post,
    } = Blog::begin(&story, &organization, "Kept", TEXT).await?;
    let web = organization.pod("blog", "web").await?;
    // What the cluster asks is none of a visitor's business, though the cluster is answered.
    for path in ["/healthz", "/wp-cron.php", "/wp-cron.php/x?doing_wp_cron"] {
        let page = site.page(path).await?;
        ensure!(page.status == 403, "{path}: {page:?}");
    }
    // WordPress publishes at once what is due in less than a minute.
    let before = clock(&organization, &web, "+10 seconds").await?;
    let due = clock(&organization, &web, "+70 seconds").await?;
    let scheduled = editor.schedule_post("Scheduled", DUE, &due).await?;

    let start = Instant::now();
    lose_the_database(&organization, &site, &post).await?;
    took("the database lost, the post found again", start);
    organization.ready("blog").await?;
    the_app_was_not_restarted(&organization, &web).await?;
    Editor::sign_in(&site, "admin", &password).await?;

    let start = Instant::now();
    take_the_database_away(&story, &organization, &site, &post).await?;
    within(120, "the time has come", || async {
        let page = says_sorry(&site.page(&post).await?);
        if page.is_err() {
            return Ok(page);
        }
        let now = clock(&organization, &web, "now").await?;
        ensure!(now > due, "it is {now}, before {due}");
        Ok(page)
    })
    .await??;
    took("the database was away for", start);
    organization
        .change("blog", json!({"paused": false}))
        .await?;
    organization.ready("blog").await?;
    let page = site.page(&post).await?;
    ensure!(page.status == 200 && page.body.contains(TEXT), "{page:?}");
    the_app_was_not_restarted(&organization, &web).await?;
    took("and Ready again after", start);

    if published(&site, scheduled).await?.is_some() {
        // Every few minutes the job runs by itself.
        let cron: CronJob = organization.objects().get("blog-cron").await?;
        let last = cron.status.and_then(|status| status.last_schedule_time);
        let last = serde_json::to_value(last)?;
        ensure!(
            last.as_str().is_some_and(|last| last > before.as_str()),
            "it was published, but not by the periodic job, which last ran at {last}"
        );
    }
    run_the_job(&story, &organization).await?;
    // Its answer comes when everything is done, unless the regular job is just doing it.
    let link = within(60, "the post is published", || async {
        let link = published(&site, scheduled).await?;
        link.context("the job ran, and the post is not there")
    })
    .await?;
    let path = link.strip_prefix(&site.url).context(link.clone())?;
    let page = site.page(path).await?;
    ensure!(page.status == 200 && page.body.contains(DUE), "{page:?}");
    organization.end().await
}

/// Deletes the database's pod and looks at the site until another one answers: visitors see the
/// post, for which they may have to wait a moment, or a page that says sorry.
async fn lose_the_database(organization: &Organization, site: &Site, post: &str) -> Result<()> {
    let old = organization.pod("blog", "database").await?;
    let pods = organization.objects::<Pod>();
    let roughly = DeleteParams::default().grace_period(1);
    pods.delete(&old.name_any(), &roughly).await?;
    let sorry = RefCell::new(Vec::new());
    within(120, "another database answers", || async {
        let page = site.page(post).await?;
        if page.status != 200 {
            let status = page.status;
            sorry.borrow_mut().push(page);
            anyhow::bail!("{status}");
        }
        ensure!(page.body.contains(TEXT), "{page:?}");
        let new = organization.pod("blog", "database").await?;
        ensure!(new.uid() != old.uid(), "the old pod is still there");
        ensure!(is_ready(&new), "{:?}", new.status);
        Ok(())
    })
    .await?;
    let sorry = sorry.into_inner();
    println!("{} visitors were told to come again", sorry.len());
    sorry.iter().try_for_each(says_sorry)
}

/// Somebody works on the database, and it is gone for longer: visitors are told to come again.
async fn take_the_database_away(
    story: &Story,
    organization: &Organization,
    site: &Site,
    post: &str,
) -> Result<()> {
    organization.change("blog", json!({"paused": true})).await?;
    let arguments = ["scale", "statefulset/blog-database", "--replicas=0", "-n"];
    story
        .kubectl(&[&arguments[..], &[&organization.name]].concat())
        .await?;
    organization.reason("blog", 60, "Paused").await?;
    within(
        60,
        "the last connection to the database is gone",
        || async {
            // A question that the database took along is answered by nobody: PHP waits two minutes.
            let page = tokio::time::timeout(Duration::from_secs(15), site.page(post));
            says_sorry(&page.await.context("no answer within 15 s")??)
        },
    )
    .await
}

async fn the_app_was_not_restarted(organization: &Organization, web: &Pod) -> Result<()> {
    let same = organization.pod("blog", "web").await?;
    ensure!(
        same.uid() == web.uid() && restarts(&same) == restarts(web),
        "the app was restarted"
    );
    Ok(())
}

fn says_sorry(page: &Answer) -> Result<()> {
    let is_page = page.header("content-type").starts_with("text/html");
    ensure!(page.status.is_server_error() && is_page, "{page:?}");
    let told = SECRETS_OF_THE_TRADE
        .iter()
        .find(|it| page.body.contains(**it));
    ensure!(told.is_none(), "visitors read {told:?}: {}", page.body);
    Ok(())
}

/// Where a post can be read, if it can.
async fn published(site: &Site, post: u64) -> Result<Option<String>> {
    let answer = site.json(&format!("/wp-json/wp/v2/posts/{post}")).await?;
    match answer.status.as_u16() {
        200 => {
            let post: serde_json::Value = serde_json::from_str(&answer.body)?;
            let link = post["link"].as_str().context("a post without link")?;
            Ok(Some(link.to_owned()))
        }
        // Of what is not published nothing is told.
        401 | 403 => Ok(None),
        _ => anyhow::bail!("{answer:?}"),
    }
}

/// The periodic job, now.
async fn run_the_job(story: &Story, organization: &Organization) -> Result<()> {
    let arguments = ["create", "job", "by-hand", "--from=cronjob/blog-cron", "-n"];
    story
        .kubectl(&[&arguments[..], &[&organization.name]].concat())
        .await?;
    let start = Instant::now();
    within(120, "the job ends well", || async {
        let job: Job = organization.objects().get("by-hand").await?;
        let status = job.status.unwrap_or_default();
        ensure!(status.succeeded == Some(1), "{status:?}");
        ensure!(status.failed.unwrap_or_default() == 0, "{status:?}");
        Ok(())
    })
    .await?;
    took("the periodic job", start);
    Ok(())
}

/// A time by a pod's clock, as WordPress writes it.
async fn clock(organization: &Organization, pod: &Pod, when: &str) -> Result<String> {
    let time = format!("date --utc --date='{when}' +%FT%T");
    Ok(organization.bash(pod, &time).await?.trim().to_owned())
}
