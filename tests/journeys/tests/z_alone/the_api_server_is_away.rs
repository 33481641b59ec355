//! The API server answers nobody for a while: visitors do not notice, and afterwards everything goes
//! on by itself.

use std::time::Duration;

use anyhow::{Result, ensure};
use journeys::{App, Frozen, PAGE, Story, Visitors};
use serde_json::json;

/// Less than programs that lead give up their leases after.
const AWAY: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn visitors_do_not_notice_that_the_api_server_is_away() -> Result<()> {
    let story = Story::begin_alone("away").await?;
    let organization = story.organization().await?;
    let app = App::define(&story, |_| {}).await?;
    let wish = json!({"app": app.name, "version": "1"});
    organization.order("site", wish).await?;
    let url = organization.address("site").await?;

    let visitors = Visitors::come(story.site(&url)?, PAGE);
    {
        let log = format!("--audit-log-path={}", story.lab.audit_log.display());
        let _frozen = Frozen::new("kube-apiserver", &log)?;
        let asked = story.kubectl(&["get", "--raw=/readyz", "--request-timeout=2s"]);
        ensure!(asked.await.is_err(), "the API server answers");
        tokio::time::sleep(AWAY).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    visitors.leave().await?;

    // What is wished now is done, whoever had to begin anew.
    organization
        .change("site", json!({"stopped": true}))
        .await?;
    organization.reason("site", 60, "Stopped").await?;
    let site = story.site(&url)?;
    journeys::within(60, "the gateway hears of it", || async {
        let page = site.page("/").await?;
        ensure!(page.header("tutti-reason") == "Stopped", "{page:?}");
        Ok(())
    })
    .await?;
    organization.end().await
}
