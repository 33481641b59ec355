//! Start-up of idm: read the configuration, open the ports, serve, drain. Or one command of `idm admin`.

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use idm::{
    app::App,
    authorization::{self, callers::Callers, changes, http::Port},
    clients,
    cluster::watch,
    command,
    config::{Command, Config},
    database, keys,
    mail::{delivery, outbox::Outbox},
    metrics::Metrics,
    routes,
};
use prometheus_client::registry::Registry;
use service::{Admin, Liveness, LogFilter, Readiness, admin, shutdown, telemetry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Requests that have begun may take this long to end; none of ours takes longer.
const GRACE: Duration = Duration::from_secs(25);

fn main() -> ExitCode {
    // First of all: a second provider in the tree would make the first handshake panic.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (config, in_force) = service::config::parse::<Config>();
    let outcome = if config.check_config {
        config
            .settings()
            .map(|_| print!("{in_force}{}", config.by_environment_only()))
            .map_err(anyhow::Error::from)
    } else {
        start(&config)
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("idm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(config: &Config) -> anyhow::Result<()> {
    let mut log = config.log.clone();
    // At each start the database would say that its tables are there already.
    log.log_filter = format!("sqlx::postgres::notice=warn,{}", log.log_filter);
    let log_filter = telemetry::init(&log).context("--log-filter")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?;
    match &config.command {
        None => runtime.block_on(serve(config, log_filter)),
        Some(Command::Admin(command)) => {
            let options = config.database.options()?;
            let answer = runtime.block_on(async {
                let pool = database::pool(options, 1);
                command::run(&pool, command, jiff::Timestamp::now()).await
            })?;
            print!("{answer}");
            Ok(())
        }
    }
}

async fn serve(config: &Config, log_filter: LogFilter) -> anyhow::Result<()> {
    let settings = config.settings()?;
    let stop = shutdown::signal().context("cannot listen to signals")?;
    let bind = async |flag: &str, address| {
        TcpListener::bind(address).await.with_context(|| {
            format!("{flag}: cannot listen on {address}; give another address or port")
        })
    };
    let listener = bind("--listen", config.web.listen).await?;
    let admin_listener = bind("--admin-listen", config.web.admin_listen).await?;

    let services = &config.services;
    let needs_cluster = config.watch_cluster || !services.services.is_empty();
    let cluster = match needs_cluster {
        true => Some(kube::Client::try_default().await.context(
            "--watch-cluster, --services: there is no cluster to talk to; run in a pod with a \
             ServiceAccount, or set KUBECONFIG",
        )?),
        false => None,
    };

    let mut registry = Registry::default();
    let pool = database::pool(
        config.database.options()?,
        config.database.database_connections,
    );
    let metrics = Metrics::new(&mut registry);
    let clock = Arc::new(jiff::Timestamp::now);
    let app = Arc::new(App::new(settings, pool, metrics, Arc::new(Outbox), clock));
    let (readiness, liveness) = (Readiness::default(), Liveness::default());
    let (database_check, listening) = (readiness.check("database"), readiness.check("listening"));
    let keys_check = readiness.check("signing keys");
    let admin = Admin {
        registry: Arc::new(registry),
        readiness,
        liveness: liveness.clone(),
        log_filter: Some(log_filter),
    };
    let ended = CancellationToken::new();
    let admin = tokio::spawn(admin::serve(admin_listener, admin, ended.clone()));
    let watches = [
        tokio::spawn(database::watch(
            Arc::clone(&app),
            database_check,
            liveness.clone(),
            ended.clone(),
        )),
        tokio::spawn(keys::watch::watch(
            Arc::clone(&app),
            keys_check,
            liveness,
            ended.clone(),
        )),
        tokio::spawn(changes::follow(Arc::clone(&app), ended.clone())),
    ];
    let delivery = config.mail.delivery()?;
    let delivery = delivery
        .map(|delivery| tokio::spawn(delivery::run(Arc::clone(&app), delivery, ended.clone())));
    let watched = cluster.clone().filter(|_| config.watch_cluster);
    let mirror = watched
        .clone()
        .map(|cluster| tokio::spawn(watch::follow(Arc::clone(&app), cluster, ended.clone())));
    let registrar = watched.map(|cluster| {
        tokio::spawn(clients::watch::follow(
            Arc::clone(&app),
            cluster,
            clients::watch::LOOK_AFTER,
            ended.clone(),
        ))
    });

    tracing::info!(listen = %config.web.listen, admin = %config.web.admin_listen, "idm starts");
    listening.set(true);
    let closing = CancellationToken::new();
    let service =
        routes::router(Arc::clone(&app)).into_make_service_with_connect_info::<SocketAddr>();
    let serving =
        axum::serve(listener, service).with_graceful_shutdown(closing.clone().cancelled_owned());
    let serving = tokio::spawn(async move { serving.await });
    let answering = match cluster.filter(|_| !services.services.is_empty()) {
        Some(cluster) => {
            let listener = bind("--services-listen", services.services_listen).await?;
            let port = Port {
                app: Arc::clone(&app),
                callers: Arc::new(Callers::new(cluster, &services.services)),
            };
            let serving = axum::serve(listener, authorization::http::router(port))
                .with_graceful_shutdown(closing.clone().cancelled_owned());
            Some(tokio::spawn(async move { serving.await }))
        }
        None => None,
    };
    let for_applications = match app.settings.backchannel {
        Some(_) => {
            let listener = bind("--clients-listen", config.clients.clients_listen).await?;
            let service = routes::for_applications(Arc::clone(&app))
                .into_make_service_with_connect_info::<SocketAddr>();
            let serving = axum::serve(listener, service)
                .with_graceful_shutdown(closing.clone().cancelled_owned());
            Some(tokio::spawn(async move { serving.await }))
        }
        None => None,
    };
    stop.cancelled().await;
    listening.set_missing("draining");
    tokio::time::sleep(Duration::from_secs(config.web.drain_delay)).await;
    closing.cancel();
    let all = async {
        let _ = serving.await;
        for answering in [answering, for_applications].into_iter().flatten() {
            let _ = answering.await;
        }
    };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!("ended with open connections");
    }
    ended.cancel();
    for task in watches
        .into_iter()
        .chain([mirror, registrar, delivery].into_iter().flatten())
    {
        task.await?;
    }
    app.pool.close().await;
    admin.await??;
    tracing::info!("idm ends");
    Ok(())
}
