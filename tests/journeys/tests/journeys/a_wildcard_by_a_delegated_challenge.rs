//! All names below one, certified by DNS-01: the customer delegates the challenge once, and the
//! certificate is there before the names lead here.

use anyhow::{Context, Result, ensure};
use crds::Domain;
use journeys::{App, PAGE, Site, Story};
use kube::api::{Patch, PatchParams};
use serde_json::json;

#[tokio::test]
async fn a_wildcard_is_certified_by_a_delegated_challenge_before_it_leads_here() -> Result<()> {
    let story = Story::begin("wild").await?;
    let app = App::define(&story, |_| {}).await?;
    let organization = story.organization().await?;
    organization
        .order("site", json!({"app": app.name, "version": "1"}))
        .await?;
    let instance = organization.ready("site").await?;
    let target = instance.status.and_then(|status| status.host);
    let target = target.context("no default host")?;
    let base = format!("{}.test", organization.name);
    let hostname = format!("*.{base}");
    let domain = json!({
        "apiVersion": "tutti.dev/v1alpha1",
        "kind": "Domain",
        "metadata": {"name": "all"},
        "spec": {"hostname": hostname, "instance": "site", "challenge": "dns-01"},
    });
    organization
        .objects::<Domain>()
        .patch(
            "all",
            &PatchParams::apply("journeys"),
            &Patch::Apply(&domain),
        )
        .await?;

    let asked = organization.domain(&hostname, "NotProven").await?.records;
    let proof = asked.iter().find(|record| record.type_ == "TXT");
    let proof = proof.context("no TXT record is asked for")?;
    story.set_record(&proof.name, "TXT", &proof.value)?;
    let asked = organization
        .domain(&hostname, "NotDelegated")
        .await?
        .records;
    ensure!(
        asked.len() == 1 && asked[0].name == format!("_acme-challenge.{base}"),
        "{asked:?}"
    );
    story.set_record(&asked[0].name, "CNAME", &asked[0].value)?;
    // It leads nowhere yet, and has its certificate.
    let status = organization.domain(&hostname, "NoRecord").await?;
    let certified = journeys::within(60, "a certificate before the names lead here", || async {
        let status = organization.domain(&hostname, "NoRecord").await?;
        status.certificate.context("none yet")
    })
    .await?;
    ensure!(status.order.is_none() || certified.authority.is_some());

    story.set_record(&hostname, "CNAME", &target)?;
    organization.domain(&hostname, "Served").await?;
    let any = Site::of_domain(&story.lab, &format!("any.{base}"))?;
    let answer = any.page(PAGE).await?;
    ensure!(answer.status == 200, "{answer:?}");
    organization.end().await
}
