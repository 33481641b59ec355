//! A customer types a hostname into the spec, reads on the object which record to set, sets it, and
//! the site answers under it with a certificate. Nothing is asked of an authority before that.

use anyhow::{Context, Result, ensure};
use crds::condition;
use journeys::{App, PAGE, Site, Story, within};
use serde_json::json;

#[tokio::test]
async fn a_customer_brings_a_domain_and_sets_the_record_that_the_object_asks_for() -> Result<()> {
    let story = Story::begin("domain").await?;
    let app = App::define(&story, |_| {}).await?;
    let organization = story.organization().await?;
    let hostname = format!("www.{}.test", organization.name);
    organization
        .order(
            "site",
            json!({"app": app.name, "version": "1", "domains": [hostname]}),
        )
        .await?;
    let instance = organization.ready("site").await?;
    let target = instance
        .status
        .and_then(|status| status.host)
        .context("no default host")?;

    // It waits, says for which record, and until when; nobody is let in.
    let status = organization.domain(&hostname, "NotProven").await?;
    let wanted = status
        .records
        .iter()
        .find(|record| record.type_ == "CNAME")
        .context("no CNAME is asked for")?;
    ensure!(wanted.name == hostname, "{wanted:?}");
    ensure!(wanted.value == format!("{target}."), "{wanted:?}");
    ensure!(status.next_look_at.is_some(), "it does not say when");
    ensure!(status.order.is_none() && status.certificate.is_none());
    let site = Site::of_domain(&story.lab, &hostname)?;
    ensure!(site.page(PAGE).await.is_err(), "served before it is proven");
    let instance = organization.instance("site").await?;
    let conditions = instance.status.unwrap_or_default().conditions;
    let domains = condition::find(&conditions, condition::DOMAINS_READY);
    ensure!(
        domains.is_some_and(|it| it.status == "False" && it.message.contains(&hostname)),
        "{domains:?}"
    );

    story.set_record(&wanted.name, &wanted.type_, &wanted.value)?;
    let status = organization.domain(&hostname, "Served").await?;
    ensure!(status.records.is_empty(), "{:?}", status.records);
    let certificate = status.certificate.context("no certificate")?;
    ensure!(certificate.authority.as_deref() == Some("pebble"));
    ensure!(
        certificate
            .renew_at
            .is_some_and(|at| at < certificate.not_after)
    );

    let site = Site::of_domain(&story.lab, &hostname)?;
    let answer = site.page(PAGE).await?;
    ensure!(answer.status == 200, "{answer:?}");
    let plain = Site::new(
        &story.lab,
        &format!("http://{hostname}:{}", story.lab.http_port),
    )?;
    let answer = plain.page(PAGE).await?;
    ensure!(
        answer.status == 301 && answer.header("location").starts_with("https://"),
        "{answer:?}"
    );

    // Given up, it is nobody's until its time is over.
    organization.change("site", json!({"domains": []})).await?;
    within(30, "the hostname leads nowhere", || async {
        let answer = site.page(PAGE).await;
        ensure!(answer.is_err() || answer.is_ok_and(|it| it.status == 404));
        Ok(())
    })
    .await?;
    let other = story.organization().await?;
    other
        .order(
            "site",
            json!({"app": app.name, "version": "1", "domains": [hostname]}),
        )
        .await?;
    other.domain(&hostname, "HostnameHeldBack").await?;
    organization
        .change("site", json!({"domains": [hostname]}))
        .await?;
    organization.domain(&hostname, "Served").await?;
    other.end().await?;
    organization.end().await
}
