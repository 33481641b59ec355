//! P4: requests by HTTP/1.1 and HTTP/2 and full TLS handshakes through the gateway,
//! haproxy, nginx and Caddy, and through the floor (`floor_proxy.rs`). The server runs on core 0,
//! the generator and the upstream on core 1; seconds of CPU of the server per operation are what
//! counts, since they do not depend on the generator. Servers in turn, fresh ones in each round.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use crds::Route;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::Patch};
use serde_json::json;

use crate::{
    document,
    figures::{Series, keep, table},
    process::cpu_seconds,
    proxies::{self, HOST, Kind, Server, Setting},
    stage::{Stage, beside_us, free_port, params},
};

/// What is generated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Job {
    Http1,
    Http2,
    Handshakes,
    /// So many requests per second, by HTTP/1.1.
    Steady(u32),
}

const JOBS: [(Job, &str); 3] = [
    (Job::Http1, "HTTP/1.1 requests"),
    (Job::Http2, "HTTP/2 requests"),
    (Job::Handshakes, "TLS handshakes"),
];

/// How long, how often.
pub struct Size {
    pub rounds: u32,
    pub warm_up: u64,
    pub seconds: u64,
}

#[derive(Default)]
struct Figures {
    per_second: Series,
    /// Microseconds of CPU per operation.
    cpu: Series,
    /// Share of core 0.
    busy: Series,
}

/// # Errors
/// When something does not work.
pub async fn run(stage: &Stage, folder: &Path, size: &Size) -> Result<String> {
    proxies::provide()?;
    let setting = prepare(stage, &folder.join("p4")).await?;
    let _upstream = setting.start_upstream().await?;
    let mut kinds = vec![Kind::Gateway, Kind::Haproxy, Kind::Nginx, Kind::Floor];
    if setting.caddy.is_some() {
        kinds.insert(3, Kind::Caddy);
    }
    let mut all: Vec<[Figures; 3]> = kinds.iter().map(|_| Default::default()).collect();
    for round in 1..=size.rounds {
        for (kind, figures) in kinds.iter().zip(&mut all) {
            let mut server = setting.start(*kind).await?;
            wait_answering(&mut server)
                .await
                .with_context(|| kind.name())?;
            for ((job, name), figures) in JOBS.iter().zip(figures) {
                generate(*job, server.port, &setting, size.warm_up)?;
                let (before, begun) = (cpu_seconds(server.process.id()), Instant::now());
                let count = generate(*job, server.port, &setting, size.seconds)?;
                let (cpu, took) = (
                    cpu_seconds(server.process.id()) - before,
                    begun.elapsed().as_secs_f64(),
                );
                figures.per_second.push(count / took);
                figures.cpu.push(cpu / count * 1e6);
                figures.busy.push(cpu / took * 100.0);
                keep(
                    folder,
                    "p4",
                    &json!({ "server": kind.name(), "job": name, "round": round, "count": count, "seconds": took, "cpu_seconds": cpu }),
                )?;
                eprintln!(
                    "P4 round {round}: {} {name}: {:.0}/s, {:.1} µs of CPU each",
                    kind.name(),
                    count / took,
                    cpu / count * 1e6
                );
            }
        }
    }
    Ok(show(&kinds, &all, &setting, size))
}

fn show(kinds: &[Kind], all: &[[Figures; 3]], setting: &Setting, size: &Size) -> String {
    let mut text = String::new();
    for (at, (_, name)) in JOBS.iter().enumerate() {
        let ours = &all[0][at].cpu;
        let rows: Vec<Vec<String>> = kinds
            .iter()
            .zip(all)
            .map(|(kind, figures)| {
                let figures = &figures[at];
                vec![
                    kind.name().to_owned(),
                    figures.per_second.show(0),
                    figures.busy.show(0),
                    figures.cpu.show(1),
                    if *kind == Kind::Gateway {
                        "1".to_owned()
                    } else {
                        ours.over(&figures.cpu).show(2)
                    },
                ]
            })
            .collect();
        let head = [
            name,
            "per second",
            "busy, % of core 0",
            "CPU per operation, µs",
            "gateway ÷ this",
        ];
        text.push_str(&table(&head, &rows));
        text.push('\n');
    }
    // Built from its own module, it cannot tell its version.
    let caddy = match setting.caddy {
        Some(_) => format!("Caddy {CADDY_VERSION}"),
        None => "Caddy: not to be had, left out".to_owned(),
    };
    text.push_str(&format!(
        "{} rounds, the servers in turn and each a fresh process, {} s of warm-up and {} s of measuring per job. {}; {}; {caddy}; {} on {}.\n",
        size.rounds,
        size.warm_up,
        size.seconds,
        document::version("haproxy", "-v"),
        document::version("nginx", "-v"),
        document::version("h2load", "--version"),
        document::version("openssl", "version"),
    ));
    text
}

/// The gateway knows its route only a moment after it listens.
pub async fn wait_answering(server: &mut Server) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        server.process.check()?;
        let output = h2load(server.port, &["--h1", "-c", "1", "-n", "1"])?;
        if output.contains("1 2xx") {
            return Ok(());
        }
        if Instant::now() > end {
            bail!("it does not answer: {output}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn h2load(port: u16, flags: &[&str]) -> Result<String> {
    let output = Command::new("taskset")
        .args([
            "--cpu-list",
            "1",
            "h2load",
            "-t",
            "1",
            &format!("--connect-to=127.0.0.1:{port}"),
        ])
        .args(flags)
        .arg(format!("https://{HOST}:{port}/"))
        .output()
        .context("cannot start h2load")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// How many operations went well; any that did not is an error.
pub fn generate(job: Job, port: u16, setting: &Setting, seconds: u64) -> Result<f64> {
    let duration = seconds.to_string();
    let output = match job {
        Job::Http1 => h2load(port, &["--h1", "-c", "50", "-D", &duration])?,
        Job::Steady(rate) => {
            let each = format!("--rps={}", rate / 50);
            h2load(port, &["--h1", "-c", "50", &each, "-D", &duration])?
        }
        Job::Http2 => h2load(port, &["-c", "10", "-m", "10", "-D", &duration])?,
        Job::Handshakes => {
            let output = Command::new("taskset")
                .args(["--cpu-list", "1", &beside_us("bench")?, "handshakes"])
                .args([&format!("127.0.0.1:{port}"), HOST])
                .arg(&setting.certificate)
                .arg(&duration)
                .output()?;
            if !output.status.success() {
                bail!("handshakes: {}", String::from_utf8_lossy(&output.stderr));
            }
            return Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?);
        }
    };
    let number = |before: &str| -> Option<f64> {
        let rest = output.lines().find(|line| line.contains(before))?;
        let (head, _) = rest.split_once(before)?;
        head.rsplit([' ', ',']).next()?.parse().ok()
    };
    let well = number(" 2xx").with_context(|| output.clone())?;
    let wrong = ["3xx", "4xx", "5xx"].map(|class| number(&format!(" {class}")).unwrap_or(0.0));
    let failed = number(" failed").unwrap_or(0.0);
    if wrong.iter().sum::<f64>() + failed > 0.0 || well < 1.0 {
        bail!("not every request went well: {output}");
    }
    Ok(well)
}

/// A certificate for all, and for the gateway its Secret and Route, as the operator would leave them.
pub async fn prepare(stage: &Stage, folder: &Path) -> Result<Setting> {
    fs::create_dir_all(folder)?;
    let key = rcgen::KeyPair::generate()?;
    let names = vec!["*.apps.test".to_owned(), "apps.test".to_owned()];
    let certificate = rcgen::CertificateParams::new(names)?.self_signed(&key)?;
    let setting = Setting {
        folder: folder.to_owned(),
        upstream: free_port()?,
        certificate: folder.join("tls.crt"),
        key: folder.join("tls.key"),
        kubeconfig: stage.plane.kubeconfig.clone(),
        caddy: proxies::go_program(
            "caddy",
            "github.com/caddyserver/caddy/v2/cmd/caddy",
            CADDY_VERSION,
        ),
    };
    fs::write(&setting.certificate, certificate.pem())?;
    fs::write(&setting.key, key.serialize_pem())?;
    fs::write(
        folder.join("haproxy.pem"),
        certificate.pem() + &key.serialize_pem(),
    )?;

    stage.make_namespace("bench").await?;
    let secrets: Api<Secret> = Api::namespaced(stage.client.clone(), "bench");
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": { "name": "tls" },
        "data": { "tls.crt": STANDARD.encode(certificate.pem()), "tls.key": STANDARD.encode(key.serialize_pem()) },
    });
    secrets
        .patch("tls", &params(), &Patch::Apply(secret))
        .await?;
    let routes: Api<Route> = Api::namespaced(stage.client.clone(), "bench");
    let route = json!({
        "apiVersion": "tutti.dev/v1alpha1", "kind": "Route", "metadata": { "name": "bench" },
        "spec": { "hostname": HOST, "backend": { "service": "upstream", "port": setting.upstream } },
    });
    routes
        .patch("bench", &params(), &Patch::Apply(route))
        .await?;
    let condition = |type_: &str| json!({ "type": type_, "status": "True", "reason": "Benchmark", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z" });
    let status =
        json!({ "status": { "conditions": [condition("Accepted"), condition("BackendReady")] } });
    routes
        .patch_status("bench", &params_of_merge(), &Patch::Merge(status))
        .await?;
    Ok(setting)
}

fn params_of_merge() -> kube::api::PatchParams {
    kube::api::PatchParams::default()
}

const CADDY_VERSION: &str = "v2.10.2";
