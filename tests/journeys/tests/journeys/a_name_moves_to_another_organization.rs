//! A hostname moves: whoever proves it in the DNS has it, whoever was first. A record that was
//! forgotten gives it to nobody.

use anyhow::{Context, Result, ensure};
use journeys::{App, Organization, PAGE, Site, Story, within};
use serde_json::json;

#[tokio::test]
async fn a_name_moves_to_whoever_proves_it_and_a_forgotten_record_gives_it_to_nobody() -> Result<()>
{
    let story = Story::begin("moves").await?;
    let app = App::define(&story, |_| {}).await?;
    let (one, other) = (story.organization().await?, story.organization().await?);
    let hostname = format!("www.moves-{:08x}.test", rand::random::<u32>());
    let wish = json!({"app": app.name, "version": "1", "domains": [hostname]});
    // Of two at once one has it, and the other one is told.
    tokio::try_join!(one.order("site", wish.clone()), other.order("site", wish))?;
    let is_one = tokio::select! {
        held = one.domain(&hostname, "NotProven") => held.map(|_| true),
        held = other.domain(&hostname, "NotProven") => held.map(|_| false),
    }?;
    let (squatter, owner) = if is_one { (one, other) } else { (other, one) };

    // Who was first has no more right to it, and the owner is told how to show whose it is.
    let asked = owner.domain(&hostname, "HostnameTaken").await?.records;
    let proof = asked.first().filter(|first| first.type_ == "TXT");
    let proof = proof.with_context(|| format!("no TXT is asked for: {asked:?}"))?;
    squatter.domain(&hostname, "NotProven").await?;
    story.set_record(&proof.name, "TXT", &proof.value)?;
    let target = host(&owner).await?;
    story.set_record(&hostname, "CNAME", &target)?;
    owner.domain(&hostname, "Served").await?;
    squatter.domain(&hostname, "HostnameTaken").await?;
    let site = Site::of_domain(&story.lab, &hostname)?;
    ensure!(site.page(PAGE).await?.status == 200);

    // The owner goes, and forgets the CNAME: the one who waits for it does not get it.
    owner.change("site", json!({"domains": []})).await?;
    squatter.domain(&hostname, "HostnameHeldBack").await?;
    within(30, "the name leads nowhere", || async {
        let answer = site.page(PAGE).await;
        ensure!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 404));
        Ok(())
    })
    .await?;
    squatter.end().await?;
    owner.end().await
}

async fn host(organization: &Organization) -> Result<String> {
    let instance = organization.ready("site").await?;
    let host = instance.status.and_then(|status| status.host);
    host.context("no default host")
}
