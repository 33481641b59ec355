//! Visitors come at a steady pace while the gateway is rolled over: nobody notices.

use std::time::Instant;

use anyhow::{Result, ensure};
use journeys::{App, PAGE, PLATFORM, Story, Visitors, took};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_restarts_under_load_and_no_request_fails() -> Result<()> {
    // Who leads the operators is nothing to visitors: that story may go on beside this one.
    let story = Story::begin("roll").await?;
    let app = App::define(&story, |_| {}).await?;
    let organization = story.organization().await?;
    let wish = json!({"app": app.name, "version": "1"});
    organization.order("site", wish).await?;
    let url = organization.address("site").await?;
    let keeping = story.site(&url)?;
    // Status says it a moment before the gateway has heard of it.
    journeys::within(30, "the site answers", || async {
        let answer = keeping.page(PAGE).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })
    .await?;

    let visitors = Visitors::come(keeping, PAGE);
    let start = Instant::now();
    story
        .kubectl(&["rollout", "restart", "deployment/gateway", "-n", PLATFORM])
        .await?;
    let rolled = story
        .kubectl(&[
            "rollout",
            "status",
            "deployment/gateway",
            "-n",
            PLATFORM,
            "--timeout=110s",
        ])
        .await;
    // The last old pod drains.
    let drained = journeys::within(60, "the old pods are gone", || async {
        let pods = story.platform_pods("gateway").await?.len();
        ensure!(pods == 2, "{pods} pods");
        Ok(())
    })
    .await;
    let served = visitors.leave().await;
    rolled?;
    drained?;
    took("the gateway rolled over", start);
    served?;
    organization.end().await
}
