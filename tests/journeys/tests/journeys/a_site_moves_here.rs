//! A site moves here from another host. Everything is prepared before: the name is proven by TXT and
//! certified by a delegated challenge, while visitors still go to the old host. Then its record is
//! changed, and not one of them notices.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use crds::Domain;
use journeys::{App, PAGE, Site, Story, Visitors, within};
use kube::api::{Patch, PatchParams};
use rcgen::{CertificateParams, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// Where the old host is: on this machine, and nobody else's.
const OLD: [u8; 4] = [127, 88, 0, 1];
const OLD_PAGE: &str = "still at the old host";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_moves_here_and_not_one_request_fails() -> Result<()> {
    let story = Story::begin("move").await?;
    let app = App::define(&story, |_| {}).await?;
    let organization = story.organization().await?;
    let hostname = format!("www.{}.test", organization.name);
    let trust = old_host(&hostname).await?;
    let old = std::net::Ipv4Addr::from(OLD).to_string();
    story.set_record(&hostname, "A", &old)?;
    let visitors = Visitors::come(Site::by_dns(&story.lab, &hostname, &trust)?, PAGE);

    organization
        .order("site", json!({"app": app.name, "version": "1"}))
        .await?;
    let instance = organization.ready("site").await?;
    let target = instance.status.and_then(|status| status.host);
    let target = target.context("no default host")?;
    let domain = json!({
        "apiVersion": "tutti.dev/v1alpha1",
        "kind": "Domain",
        "metadata": {"name": "www"},
        "spec": {"hostname": hostname, "instance": "site", "challenge": "dns-01"},
    });
    let params = PatchParams::apply("journeys");
    let domains = organization.objects::<Domain>();
    domains
        .patch("www", &params, &Patch::Apply(&domain))
        .await?;
    let asked = organization.domain(&hostname, "NotProven").await?.records;
    let proof = asked.iter().find(|record| record.type_ == "TXT");
    let proof = proof.context("no TXT record is asked for")?;
    story.set_record(&proof.name, "TXT", &proof.value)?;
    let asked = organization.domain(&hostname, "NotDelegated").await?;
    let delegation = asked.records.first().context("nothing is asked for")?;
    story.set_record(&delegation.name, "CNAME", &delegation.value)?;
    // What is left to do is to change the one record.
    within(60, "everything is prepared", || async {
        let status = organization.domain(&hostname, "PointsElsewhere").await?;
        ensure!(status.certificate.is_some(), "no certificate yet");
        let here = Site::of_domain(&story.lab, &hostname)?;
        let answer = here.page(PAGE).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })
    .await?;

    story.set_record(&hostname, "CNAME", &target)?;
    organization.domain(&hostname, "Served").await?;
    let site = Site::by_dns(&story.lab, &hostname, &trust)?;
    let answer = site.page(PAGE).await?;
    ensure!(
        answer.status == 200 && !answer.body.contains(OLD_PAGE),
        "{answer:?}"
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    visitors.leave().await?;
    organization.end().await
}

/// An old host that knows one page; whom to trust for it (PEM). It lives as long as the story.
async fn old_host(hostname: &str) -> Result<String> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec![hostname.to_owned()])?.self_signed(&key)?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(SocketAddr::from((OLD, 443))).await?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await? > 0 {}
                let length = OLD_PAGE.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{OLD_PAGE}"
                );
                stream.write_all(answer.as_bytes()).await?;
                stream.shutdown().await
            });
        }
    });
    Ok(certificate.pem())
}
