//! A customer brings a certificate: it is checked, what is wrong with it is said, and no authority is
//! asked.

use anyhow::{Context, Result, ensure};
use crds::Domain;
use journeys::{App, Organization, Story, within};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

#[tokio::test]
async fn a_certificate_of_ones_own_is_checked_and_presented() -> Result<()> {
    let story = Story::begin("own").await?;
    let app = App::define(&story, |_| {}).await?;
    let organization = story.organization().await?;
    let hostname = format!("www.{}.test", organization.name);
    organization
        .order("site", json!({"app": app.name, "version": "1"}))
        .await?;
    let instance = organization.ready("site").await?;
    let target = instance.status.and_then(|status| status.host);
    story.set_record(&hostname, "CNAME", &target.context("no default host")?)?;

    // Written by hand, for a Secret that is not there yet.
    let domain = json!({
        "apiVersion": "tutti.dev/v1alpha1",
        "kind": "Domain",
        "metadata": {"name": "www"},
        "spec": {"hostname": hostname, "instance": "site", "certificateSecret": "own"},
    });
    let domains = organization.objects::<Domain>();
    domains
        .patch(
            "www",
            &PatchParams::apply("journeys"),
            &Patch::Apply(&domain),
        )
        .await?;
    let (good, bad) = (signed(&hostname)?, signed("other.test")?);
    for (files, word) in [
        (None, "does not exist"),
        (Some((&bad.0, &bad.1)), "and not for"),
        (Some((&good.0, &bad.1)), "not the key of"),
    ] {
        if let Some((certificate, key)) = files {
            bring(&organization, certificate, key).await?;
        }
        within(30, &format!("it says: {word}"), || async {
            let status = organization
                .domain(&hostname, "BroughtCertificateUnusable")
                .await?;
            let ready = &status.conditions[0];
            ensure!(ready.message.contains(word), "{}", ready.message);
            Ok(())
        })
        .await?;
    }
    bring(&organization, &good.0, &good.1).await?;
    let status = organization.domain(&hostname, "Served").await?;
    let certificate = status.certificate.context("no certificate")?;
    ensure!(certificate.authority.is_none() && status.order.is_none());

    // Somebody else brings a certificate for it.
    let thief = story.organization().await?;
    let forged = signed(&hostname)?;
    bring(&thief, &forged.0, &forged.1).await?;
    thief
        .objects::<Domain>()
        .patch(
            "www",
            &PatchParams::apply("journeys"),
            &Patch::Apply(&domain),
        )
        .await?;
    let wish = json!({"app": app.name, "version": "1"});
    thief.order("site", wish).await?;
    thief.domain(&hostname, "HostnameTaken").await?;
    look_now(&thief).await?;
    thief.domain(&hostname, "HostnameTaken").await?;
    let copy = story.platform::<Secret>().get(&certificate.secret).await?;
    let kept = copy.data.as_ref().and_then(|data| data.get("tls.crt"));
    ensure!(
        kept.is_some_and(|kept| kept.0 == good.0.as_bytes()),
        "the certificate was replaced by a stranger's"
    );
    thief.end().await?;

    domains.delete("www", &DeleteParams::default()).await?;
    within(
        30,
        "it is gone, with the copy of its certificate",
        || async {
            ensure!(domains.list(&ListParams::default()).await?.items.is_empty());
            let copies = story.platform::<Secret>();
            ensure!(copies.get_opt(&certificate.secret).await?.is_none());
            Ok(())
        },
    )
    .await?;
    organization.end().await
}

fn signed(hostname: &str) -> Result<(String, String)> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec![hostname.to_owned()])?.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

async fn bring(organization: &Organization, certificate: &str, key: &str) -> Result<()> {
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "own"},
        "stringData": {"tls.crt": certificate, "tls.key": key},
    });
    organization
        .objects::<Secret>()
        .patch(
            "own",
            &PatchParams::apply("journeys").force(),
            &Patch::Apply(&secret),
        )
        .await?;
    Ok(())
}

async fn look_now(organization: &Organization) -> Result<()> {
    let wanted = format!("{:08x}", rand::random::<u32>());
    let patch = json!({"metadata": {"annotations": {crds::labels::LOOK_NOW: wanted}}});
    organization
        .objects::<Domain>()
        .patch("www", &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    Ok(())
}
