//! One life of the operator: its library on a runtime of its own, behind a proxy of its own. It is
//! killed by dropping the runtime: no code of its own runs any more, as when the kernel kills it.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use clap::Parser;
use jiff::{SignedDuration, Timestamp};
use operator::{
    config::Config,
    metrics::Metrics,
    run::{Clock, Setting},
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use service::Readiness;
use tokio_util::sync::CancellationToken;

use crate::{proxy::Proxy, sight::Sight, stage::Stage, watches::Fog};

/// How an operator is run.
#[derive(Clone, Debug)]
pub struct Manner {
    /// The trouble with its watches.
    pub fog: Fog,
    /// For the fog.
    pub seed: u64,
    /// Contends for a lease of this many seconds, under this name.
    pub election: Option<(u16, String)>,
    /// How long a call may go unanswered.
    pub call_patience: Duration,
    /// How it looks at domains, and has them certified.
    pub domains_config: PathBuf,
    /// Where it finds gateways and keeps certificates; its own namespace when not set.
    pub gateway_namespace: Option<String>,
    /// The namespace of another organization that it looks after.
    pub neighbour: Option<String>,
    /// By how much its clock is ahead.
    pub ahead: Ahead,
}

/// By how many seconds a clock is ahead; it can be moved while the operator runs.
pub type Ahead = Arc<AtomicI64>;

impl Default for Manner {
    fn default() -> Self {
        Self {
            fog: Fog::Clear,
            seed: 0,
            election: None,
            // An API server that is slow under load is no fault of most tests.
            call_patience: Duration::from_secs(10),
            domains_config: concat!(env!("CARGO_MANIFEST_DIR"), "/domains.yaml").into(),
            gateway_namespace: None,
            neighbour: None,
            ahead: Ahead::default(),
        }
    }
}

impl Manner {
    /// For those whose calls get no answer, which want to be noticed soon.
    #[must_use]
    pub fn impatient() -> Self {
        Self {
            call_patience: Duration::from_secs(1),
            ..Self::default()
        }
    }
}

/// One life.
pub struct Incarnation {
    /// Between it and the API server.
    pub proxy: Proxy,
    registry: Registry,
    readiness: Readiness,
    killed: CancellationToken,
    stop: CancellationToken,
    ended: CancellationToken,
}

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    config: Config,
}

impl Incarnation {
    /// Starts one that sees this namespace only, and a neighbour's.
    pub async fn start(stage: &Stage, namespace: &str, manner: &Manner) -> Result<Self> {
        let killed = CancellationToken::new();
        let proxy = Proxy::start(
            &stage.upstream,
            Sight::new(namespace, manner.neighbour.as_deref()),
            manner.fog.clone(),
            manner.seed,
            killed.clone(),
        )
        .await?;
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let readiness = Readiness::default();
        let mut cluster = kube::Config::new(format!("http://{}", proxy.address).parse()?);
        // There is no TLS on this side of the proxy; reading the machine's authorities takes long.
        cluster.accept_invalid_certs = true;
        let stop = CancellationToken::new();
        let (seconds, identity) = manner.election.clone().unwrap_or((10, String::new()));
        let arguments = Arguments::try_parse_from([
            "operator",
            "--platform-zone=tutti.test",
            &format!("--namespace={namespace}"),
            &format!("--domains-config={}", manner.domains_config.display()),
            &format!(
                "--gateway-namespace={}",
                manner.gateway_namespace.as_deref().unwrap_or_default()
            ),
            "--idm-namespace=tutti-system",
            &format!("--identity={identity}"),
            &format!("--lease-seconds={seconds}"),
        ])?;
        let setting = Setting {
            cluster,
            config: arguments.config,
            metrics,
            readiness: readiness.clone(),
            is_unelected: manner.election.is_none(),
            call_patience: manner.call_patience,
            clock: clock(manner.ahead.clone()),
            stop: stop.clone(),
        };
        let ended = CancellationToken::new();
        std::thread::spawn({
            let (killed, ended) = (killed.clone(), ended.clone());
            move || live(setting, &killed, &ended)
        });
        Ok(Self {
            proxy,
            registry,
            readiness,
            killed,
            stop,
            ended,
        })
    }

    /// Kills it at once.
    pub fn kill(&self) {
        self.killed.cancel();
    }

    /// Asks it to end.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether it was killed.
    pub fn is_dead(&self) -> bool {
        self.killed.is_cancelled()
    }

    /// Whether it ended by itself.
    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Whether it has listed everything.
    pub fn is_ready(&self) -> bool {
        // Without checks it would be ready before it has begun.
        !self.proxy.calls().is_empty() && self.readiness.is_ready()
    }

    /// How often it looked at instances.
    pub fn reconciliations(&self) -> u64 {
        let mut text = String::new();
        let _ = encode(&mut text, &self.registry);
        text.lines()
            .filter(|line| {
                line.starts_with("controller_runtime_reconcile_total{")
                    && line.contains("\"appinstance\"")
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    }
}

fn clock(ahead: Ahead) -> Clock {
    Arc::new(move || Timestamp::now() + SignedDuration::from_secs(ahead.load(Ordering::Relaxed)))
}

fn live(setting: Setting, killed: &CancellationToken, ended: &CancellationToken) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        tokio::select! {
            biased;
            () = killed.cancelled() => {}
            outcome = operator::run::operate(setting) => {
                if let Err(error) = outcome {
                    eprintln!("an operator ended: {error:#}");
                }
            }
        }
    });
    // Every task ends where it stands.
    runtime.shutdown_background();
    ended.cancel();
}

impl Drop for Incarnation {
    fn drop(&mut self) {
        self.kill();
    }
}
