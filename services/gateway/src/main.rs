//! Start-up of the gateway: read the configuration, open the ports, watch, serve, drain.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use gateway::{
    certificates, config::Config, domains, door::Door, forward::SystemResolver, gateway::Gateway,
    listen, metrics::Metrics, routes,
};
use prometheus_client::registry::Registry;
use service::{Admin, Liveness, LogFilter, Readiness, admin, shutdown, telemetry};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    // First of all: a second provider in the tree would make the first handshake panic.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (config, in_force) = service::config::parse::<Config>();
    let checked = config.check();
    if config.check_config {
        match checked {
            Ok(()) => print!("{in_force}"),
            Err(error) => eprintln!("{error}"),
        }
        return ExitCode::from(u8::from(config.check().is_err()));
    }
    match checked
        .map_err(anyhow::Error::from)
        .and_then(|()| start(&config))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(config: &Config) -> anyhow::Result<()> {
    let mut log = config.log.clone();
    // The client logs every failed try as an error; watch.rs says once that the server is away.
    log.log_filter = format!("kube_client::client=off,{}", log.log_filter);
    let log_filter = telemetry::init(&log).context("--log-filter")?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = config.workers {
        runtime.worker_threads(workers);
    }
    runtime
        .enable_all()
        .build()
        .context("cannot start threads")?
        .block_on(run(config, log_filter))
}

async fn run(config: &Config, log_filter: LogFilter) -> anyhow::Result<()> {
    let stop = shutdown::signal().context("cannot listen to signals")?;
    let bind = async |flag: &str, address| {
        TcpListener::bind(address).await.with_context(|| {
            format!("{flag}: cannot listen on {address}; give another address or port")
        })
    };
    let listeners = listen::Listeners {
        http: bind("--http-listen", config.http_listen).await?,
        https: bind("--https-listen", config.https_listen).await?,
    };
    let admin_listener = bind("--admin-listen", config.admin_listen).await?;

    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let readiness = Readiness::default();
    let checks = (
        readiness.check("routes"),
        readiness.check("certificates"),
        readiness.check("domains"),
        readiness.check("listening"),
    );
    let door = config
        .door()?
        .map(|address| Door::new(address, metrics.door()));
    let mut gateway = Gateway::new(config.settings(), metrics, Arc::new(SystemResolver));
    gateway.door.clone_from(&door);
    let gateway = Arc::new(gateway);

    let registry = Arc::new(registry);
    let liveness = Liveness::default();
    let admin = Admin {
        registry,
        readiness,
        liveness: liveness.clone(),
        log_filter: Some(log_filter),
    };
    let ended = CancellationToken::new();
    let admin = tokio::spawn(admin::serve(admin_listener, admin, ended.clone()));

    let client = kube::Client::try_default()
        .await
        .context("cannot find the API server")?;
    let namespace = config.certificate_namespace()?.to_owned();
    let mut watches = JoinSet::new();
    watches.spawn(routes::watch::watch(
        client.clone(),
        Arc::clone(&gateway),
        checks.0,
    ));
    watches.spawn(domains::watch(
        client.clone(),
        Arc::clone(&gateway),
        checks.2,
    ));
    let for_certificates = Arc::clone(&gateway);
    watches.spawn(async move {
        certificates::watch::watch(client, &namespace, for_certificates, checks.1).await;
    });
    if let Some(door) = door {
        tokio::spawn(door.follow(ended.clone()));
    }
    tokio::spawn(async move {
        let ended = watches.join_next().await;
        // What was loaded is served until somebody has restarted us.
        tracing::error!(?ended, "a watch has ended");
        liveness.fail("a watch has ended");
    });

    tracing::info!(http = %config.http_listen, https = %config.https_listen, admin = %config.admin_listen, "gateway starts");
    listen::serve(gateway, listeners, stop, config.drain(), checks.3).await?;
    ended.cancel();
    admin.await??;
    tracing::info!("gateway ends");
    Ok(())
}
