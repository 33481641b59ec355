//! A certificate is renewed while visitors come: none of them notices, and the new one is on the wire
//! without a restart. Then it is revoked on request, and replaced at once.

use anyhow::{Context, Result, ensure};
use crds::{Domain, domain::Certificate};
use journeys::{App, Organization, PAGE, Site, Story, Visitors, authority_says_of, within};
use kube::{
    ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_goes_unnoticed_and_what_is_revoked_is_replaced() -> Result<()> {
    let story = Story::begin("renewal").await?;
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
    let target = instance.status.and_then(|status| status.host);
    story.set_record(&hostname, "CNAME", &target.context("no default host")?)?;
    let first = organization.domain(&hostname, "Served").await?.certificate;
    let first = first.context("no certificate")?;

    let visitors = Visitors::come(Site::of_domain(&story.lab, &hostname)?, PAGE);
    make_due(&organization).await?;
    let second = another(&organization, &hostname, &first).await?;
    ensure!(second.authority.as_deref() == Some("pebble"), "{second:?}");
    // New connections are made with the new certificate for a while.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    visitors.leave().await?;

    // Revoked on request, it is replaced at once.
    let wish = format!("superseded/{}", second.serial);
    annotate(&organization, crds::labels::REVOKE, &wish).await?;
    let third = another(&organization, &hostname, &second).await?;
    let said = authority_says_of(&story.lab, &second).await?;
    ensure!(said == ("Revoked".to_owned(), Some(4)), "{said:?}");
    // A renewal revokes nothing, and nobody asked for the new one to be.
    for kept in [&first, &third] {
        let said = authority_says_of(&story.lab, kept).await?;
        ensure!(said == ("Valid".to_owned(), None), "{said:?}");
    }
    organization.end().await
}

/// Says that the certificate is to be renewed now.
async fn make_due(organization: &Organization) -> Result<()> {
    let domains = organization.objects::<Domain>();
    let all = domains.list(&ListParams::default()).await?;
    let domain = all.iter().next().context("there is no Domain")?;
    let due = json!({"status": {"certificate": {"renewAt": "2026-01-01T00:00:00Z"}}});
    let params = PatchParams::default();
    domains
        .patch_status(&domain.name_any(), &params, &Patch::Merge(due))
        .await?;
    let now = format!("{:08x}", rand::random::<u32>());
    annotate(organization, crds::labels::LOOK_NOW, &now).await
}

async fn annotate(organization: &Organization, key: &str, value: &str) -> Result<()> {
    let domains = organization.objects::<Domain>();
    let all = domains.list(&ListParams::default()).await?;
    let domain = all.iter().next().context("there is no Domain")?;
    let patch = json!({"metadata": {"annotations": {key: value}}});
    domains
        .patch(
            &domain.name_any(),
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await?;
    Ok(())
}

/// Waits for another certificate than this one, served by every gateway.
async fn another(
    organization: &Organization,
    hostname: &str,
    before: &Certificate,
) -> Result<Certificate> {
    within(90, "another certificate is served", || async {
        let status = organization.domain(hostname, "Served").await?;
        let certificate = status.certificate.context("no certificate")?;
        ensure!(certificate.serial != before.serial, "it is the same");
        let served = crds::condition::find(&status.conditions, "Served");
        ensure!(served.is_some_and(|it| it.status == "True"), "{served:?}");
        Ok(certificate)
    })
    .await
}
