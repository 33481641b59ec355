//! P4: certificates in the gateway. How much memory an idle one takes, and how soon another one is
//! presented once the API server has it, one change after another under a steady load.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{Patch, PostParams},
};
use rcgen::{Certificate, CertificateParams, KeyPair};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{
    figures::{keep, table},
    process::memory,
    proxies::Kind,
    stage::{PATIENCE, Stage, params},
    traffic::{self, Job},
};

/// How many certificates, how many changes.
pub struct Size {
    pub idle: usize,
    pub changes: usize,
}

/// Requests per second meanwhile: 50 clients of 40 each.
const LOAD: u32 = 2000;

/// # Errors
/// When something does not work, or one request fails.
pub async fn run(stage: &Stage, folder: &Path, size: &Size) -> Result<String> {
    let place = folder.join("p4-certificates");
    fs::create_dir_all(&place)?;
    let setting = traffic::prepare(stage, &place).await?;
    let _upstream = setting.start_upstream().await?;
    let mut server = setting.start(Kind::Gateway).await?;
    traffic::wait_answering(&mut server).await?;
    let process = server.process.id();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port));
    let before = memory(process, "VmRSS");

    let secrets: Api<Secret> = Api::namespaced(stage.client.clone(), "bench");
    stream::iter(0..size.idle)
        .map(|number| {
            let secrets = secrets.clone();
            async move {
                let secret = serde_json::from_value(secret(number, &sign(number)?.0))?;
                secrets.create(&PostParams::default(), &secret).await?;
                anyhow::Ok(())
            }
        })
        .buffer_unordered(16)
        .try_collect::<()>()
        .await?;
    let last = size.idle - 1;
    change(&secrets, address, last).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = memory(process, "VmRSS");
    let each = (after - before) * 1e3 / size.idle as f64;
    eprintln!("{} idle certificates: {each:.1} KB each", size.idle);

    let is_over = Arc::new(AtomicBool::new(false));
    let load = std::thread::spawn({
        let (is_over, port) = (is_over.clone(), server.port);
        move || -> Result<f64> {
            let mut requests = 0.0;
            while !is_over.load(Ordering::Relaxed) {
                requests += traffic::generate(Job::Steady(LOAD), port, &setting, 5)?;
            }
            Ok(requests)
        }
    });
    let mut took = Vec::new();
    for number in 0..size.changes {
        let served = change(&secrets, address, number % size.idle).await?;
        took.push(served.as_secs_f64() * 1e3);
    }
    is_over.store(true, Ordering::Relaxed);
    let requests = load
        .join()
        .map_err(|_| anyhow::anyhow!("the load broke"))??;
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    keep(
        &place,
        "p4-certificates",
        &json!({ "kb_each": each, "changes_ms": took, "requests": requests }),
    )?;
    let peak = memory(process, "VmHWM");
    let rows = [
        vec![
            format!("memory of an idle certificate, KB, of {} (≤ 12)", size.idle),
            format!("{each:.1}"),
        ],
        vec![
            "the gateway's largest memory, MB".to_owned(),
            format!("{peak:.0}"),
        ],
        vec![
            format!("a change on the wire, ms, of {}: median", size.changes),
            format!("{:.1}", at(0.5)),
        ],
        vec![
            "99th percentile (≤ 50)".to_owned(),
            format!("{:.1}", at(0.99)),
        ],
        vec!["the longest".to_owned(), format!("{:.1}", at(1.0))],
        vec![
            format!("requests meanwhile, at {LOAD} per second; failed (0)"),
            format!("{requests:.0}; 0"),
        ],
    ];
    Ok(table(&["", ""], &rows))
}

fn name(number: usize) -> String {
    format!("n{number}.idle.test")
}

fn sign(number: usize) -> Result<(serde_json::Value, Certificate)> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec![name(number)])?.self_signed(&key)?;
    let data = json!({
        "tls.crt": STANDARD.encode(certificate.pem()),
        "tls.key": STANDARD.encode(key.serialize_pem()),
    });
    Ok((data, certificate))
}

fn secret(number: usize, data: &serde_json::Value) -> serde_json::Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": { "name": format!("idle-{number}") },
        "data": data,
    })
}

/// Puts another certificate in the place of one; how long the gateway took to present it, counted
/// from the API server's answer.
async fn change(secrets: &Api<Secret>, address: SocketAddr, number: usize) -> Result<Duration> {
    let (data, certificate) = sign(number)?;
    // Who trusts nothing but the new one gets a connection when the new one is presented.
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone())?;
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let host = ServerName::try_from(name(number))?;
    let patch = Patch::Apply(secret(number, &data));
    secrets
        .patch(&format!("idle-{number}"), &params(), &patch)
        .await
        .context("the change is refused")?;
    let begun = Instant::now();
    loop {
        let stream = TcpStream::connect(address).await?;
        if connector.connect(host.clone(), stream).await.is_ok() {
            return Ok(begun.elapsed());
        }
        ensure!(begun.elapsed() < PATIENCE, "it is not presented");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
