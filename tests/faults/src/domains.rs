//! Domains with everything real around them: a DNS server, gateways that answer on port 80 of a
//! loopback address, and certificate authorities, one for each organization.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser as _;
use crds::{Domain, Route, condition, domain::DomainStatus, labels};
use futures_util::StreamExt as _;
use gateway::{forward::SystemResolver, gateway::Gateway};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt as _, watcher, watcher::Event},
};
use lab::{
    internet::Authority,
    loopback::{Loopback, Temper, UPDATE_SECRET},
};
use operator::domain::holders::KEPT_HOSTNAME;
use prometheus_client::registry::Registry;
use rustls::{
    SignatureAlgorithm,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use serde_json::json;
use service::Readiness;
use tokio::{net::TcpListener, sync::OnceCell};
use tokio_util::sync::CancellationToken;

use crate::{
    between::Between,
    incarnation::{Ahead, Incarnation, Manner},
    run::{Ground, Life},
    stage::{PATIENCE, Stage},
    stories::{self, Goal, INSTANCE},
};

/// The namespace of gateways and certificates.
pub const GATEWAYS: &str = "gateways";
/// A namespace without a gateway.
pub const AWAY: &str = "gateways-away";
/// The authority that is preferred, and that has trouble.
pub const FIRST: &str = "first";
/// Who we are at an authority that wants to know: key identifier and key.
pub const BINDING: (&str, &str) = ("acme-gmbh", "YWNtZS1hY21lLWFjbWUtYWNtZS1hY21lLWFjbWUtYWM");
/// The one that stands by.
pub const SECOND: &str = "second";
/// The platform's zone.
const ZONE: &str = "tutti.test";

/// What all tests share: the internet, and a gateway on it.
pub struct Internet {
    pub loopback: &'static Loopback,
    /// Secrets that held a certificate and a key which do not belong together.
    mismatches: Mutex<Vec<String>>,
}

/// The one of this process.
pub async fn internet(stage: &'static Stage) -> Result<&'static Internet> {
    static INTERNET: OnceCell<Internet> = OnceCell::const_new();
    INTERNET
        .get_or_try_init(async || {
            let started = tokio::task::spawn_blocking(|| Loopback::start(ZONE)).await??;
            let loopback: &'static Loopback = Box::leak(Box::new(started));
            make_namespace(&stage.client, GATEWAYS).await?;
            start_gateway(stage.client.clone(), loopback).await?;
            anyhow::Ok(Internet {
                loopback,
                mismatches: Mutex::default(),
            })
        })
        .await?;
    let internet = INTERNET.get().context("it was just made")?;
    static WATCHING: std::sync::Once = std::sync::Once::new();
    WATCHING.call_once(|| {
        tokio::spawn(watch_secrets(stage.client.clone(), internet));
    });
    Ok(internet)
}

async fn make_namespace(client: &Client, name: &str) -> Result<()> {
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(name.to_owned());
    let all: Api<Namespace> = Api::all(client.clone());
    all.create(&PostParams::default(), &namespace).await?;
    Ok(())
}

impl Internet {
    /// Every version of every Secret had a certificate and its key.
    pub fn check_keys(&self) -> Result<()> {
        let found = self
            .mismatches
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        ensure!(found.is_empty(), "{found:?}");
        Ok(())
    }
}

/// Notes each Secret that a gateway could not present.
async fn watch_secrets(client: Client, internet: &'static Internet) {
    let api: Api<Secret> = Api::namespaced(client, GATEWAYS);
    let config = watcher::Config::default().fields("type=kubernetes.io/tls");
    let mut events = Box::pin(watcher(api, config).default_backoff());
    while let Some(event) = events.next().await {
        let Ok(Event::Apply(secret) | Event::InitApply(secret)) = event else {
            continue;
        };
        if let Err(error) = certified_key(&secret) {
            let told = format!("{}: {error:#}", secret.name_any());
            internet
                .mismatches
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(told);
        }
    }
}

/// What a gateway presents of a Secret; an error when key and certificate do not belong together.
fn certified_key(secret: &Secret) -> Result<CertifiedKey> {
    let part = |key: &str| {
        let data = secret.data.as_ref().and_then(|data| data.get(key));
        data.with_context(|| format!("no {key}"))
    };
    let chain = CertificateDer::pem_slice_iter(&part("tls.crt")?.0).collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(&part("tls.key")?.0)?;
    Ok(CertifiedKey::from_der(
        chain,
        key,
        &aws_lc_rs::default_provider(),
    )?)
}

/// A gateway as the chart runs it, and the Pod by which the operator finds it.
async fn start_gateway(client: Client, loopback: &Loopback) -> Result<()> {
    let address = loopback.address;
    let config = gateway::config::Config::try_parse_from([
        "gateway",
        &format!("--platform-zone={ZONE}"),
        &format!("--certificate-namespace={GATEWAYS}"),
    ])?;
    let listeners = gateway::listen::Listeners {
        http: TcpListener::bind((address, 80)).await?,
        https: TcpListener::bind((address, 443)).await?,
    };
    let mut registry = Registry::default();
    let metrics = gateway::metrics::Metrics::new(&mut registry);
    let readiness = Readiness::default();
    let gateway = Arc::new(Gateway::new(
        config.settings(),
        metrics,
        Arc::new(SystemResolver),
    ));
    tokio::spawn(gateway::routes::watch::watch(
        client.clone(),
        gateway.clone(),
        readiness.check("routes"),
    ));
    tokio::spawn(gateway::domains::watch(
        client.clone(),
        gateway.clone(),
        readiness.check("domains"),
    ));
    let (watching, known) = (client.clone(), gateway.clone());
    let check = readiness.check("certificates");
    tokio::spawn(async move {
        gateway::certificates::watch::watch(watching, GATEWAYS, known, check).await;
    });
    let (stop, drain) = (CancellationToken::new(), config.drain());
    let check = readiness.check("listening");
    tokio::spawn(async move {
        let served = gateway::listen::serve(gateway, listeners, stop, drain, check).await;
        eprintln!("the gateway ended: {served:?}");
    });
    loopback.announce_gateway(&client, GATEWAYS).await
}

/// What is special about an [`Owner`].
#[derive(Default)]
struct Wants {
    temper: Temper,
    has_second: bool,
    binding: Option<(&'static str, &'static str)>,
    /// Where its operator looks for gateways, and finds none.
    away: Option<&'static str>,
    has_neighbour: bool,
}

/// An organization with an instance, an operator and authorities of its own: one that may have
/// trouble, and, where a test wants it, one that stands by.
pub struct Owner {
    pub internet: &'static Internet,
    pub authority: Between,
    pub life: Life,
    /// All names below it lead to the instance.
    pub zone: String,
    /// The instance's own name.
    pub target: String,
    /// The operator's file about domains.
    config: PathBuf,
    ahead: Ahead,
    /// Its Domains.
    pub domains: Api<Domain>,
    neighbour: Option<Neighbour>,
}

/// Another organization with an instance, which the same operator looks after.
pub struct Neighbour {
    pub ground: Ground,
    /// The instance's own name.
    pub target: String,
    pub domains: Api<Domain>,
}

impl Neighbour {
    async fn found(ground: Ground, operator: &Incarnation) -> Result<Self> {
        ground.found(operator).await?;
        stories::order(&ground.instances, "demo", "1.0").await?;
        let quiet = Duration::from_millis(150);
        let running = ground.reach_and_rest(operator, Goal::Running, quiet, PATIENCE);
        running.await?;
        Ok(Self {
            target: host(&ground).await?,
            domains: ground.objects(),
            ground,
        })
    }
}

/// The own name of the instance of an organization.
async fn host(ground: &Ground) -> Result<String> {
    let instance = ground.instances.get(INSTANCE).await?;
    let host = instance.status.and_then(|status| status.host);
    host.context("the instance has no host")
}

impl Owner {
    /// Founds one.
    pub async fn found(stage: &'static Stage, temper: Temper) -> Result<Self> {
        let wants = Wants {
            temper,
            ..Wants::default()
        };
        Self::found_with(stage, wants).await
    }

    /// The same, with another authority that stands by.
    pub async fn found_with_another(stage: &'static Stage) -> Result<Self> {
        let wants = Wants {
            has_second: true,
            ..Wants::default()
        };
        Self::found_with(stage, wants).await
    }

    /// With an authority that asks for an external account binding.
    pub async fn found_bound(stage: &'static Stage) -> Result<Self> {
        let wants = Wants {
            binding: Some(BINDING),
            ..Wants::default()
        };
        Self::found_with(stage, wants).await
    }

    /// With an operator that knows of no gateway before one is announced in [`AWAY`].
    pub async fn found_without_gateways(stage: &'static Stage) -> Result<Self> {
        make_namespace(&stage.client, AWAY).await?;
        let wants = Wants {
            away: Some(AWAY),
            ..Wants::default()
        };
        Self::found_with(stage, wants).await
    }

    /// With another organization beside it, which has an instance, too.
    pub async fn found_beside_another(stage: &'static Stage) -> Result<Self> {
        let wants = Wants {
            has_neighbour: true,
            ..Wants::default()
        };
        Self::found_with(stage, wants).await
    }

    /// The organization beside it.
    pub fn neighbour(&self) -> Result<&Neighbour> {
        self.neighbour.as_ref().context("it has no neighbour")
    }

    async fn found_with(stage: &'static Stage, wants: Wants) -> Result<Self> {
        let Wants {
            temper,
            has_second,
            binding,
            away,
            has_neighbour,
        } = wants;
        static COUNT: AtomicU16 = AtomicU16::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let internet = internet(stage).await?;
        let first = Authority {
            binding,
            ..pebble("first", number, 14_000)
        };
        let authority = Between::start(internet.loopback, first, temper).await?;
        let second = has_second.then(|| pebble("second", number, 16_000));
        if let Some(second) = second {
            let loopback = internet.loopback;
            let started = move || loopback.start_authority(&second, &Temper::default());
            tokio::task::spawn_blocking(started).await??;
        }
        let config = config(internet, &authority, second.as_ref(), number)?;
        let neighbour = has_neighbour.then(|| Ground::new(stage, "neighbour"));
        let manner = Manner {
            domains_config: config.clone(),
            neighbour: neighbour.as_ref().map(|it| it.namespace.clone()),
            gateway_namespace: Some(away.unwrap_or(GATEWAYS).to_owned()),
            ..Manner::default()
        };
        let ahead = manner.ahead.clone();
        let life = Life::begin(stage, "owner", &manner).await?;
        stories::order(&life.ground.instances, "demo", "1.0").await?;
        let zone = format!("owner-{number}.test");
        let mut owner = Self {
            internet,
            authority,
            domains: life.ground.objects(),
            life,
            zone,
            config,
            target: String::new(),
            ahead,
            neighbour: None,
        };
        // What it still writes about the instance would be taken for its work on names.
        owner.life.reach(Goal::Running).await?;
        owner.target = host(&owner.life.ground).await?;
        if let Some(ground) = neighbour {
            owner.neighbour = Some(Neighbour::found(ground, &owner.life.operator).await?);
        }
        let all = format!("update add *.{}. 5 CNAME {}.\n", owner.zone, owner.target);
        owner.update(all).await?;
        Ok(owner)
    }

    /// Changes what the operator's file says of the first authority, and starts another operator.
    pub async fn configure(&mut self, change: serde_json::Value) -> Result<()> {
        let text = std::fs::read_to_string(&self.config)?;
        let mut config: serde_json::Value = serde_json::from_str(&text)?;
        let first = config.pointer_mut("/acme/directories/0");
        let first = first.and_then(serde_json::Value::as_object_mut);
        let first = first.context("no authority")?;
        first.extend(change.as_object().cloned().unwrap_or_default());
        std::fs::write(&self.config, config.to_string())?;
        self.life.restart().await
    }

    /// A Secret of the operator's namespace.
    pub fn secrets(&self) -> Api<Secret> {
        let ground = &self.life.ground;
        ground.objects()
    }

    /// Writes the Secret that its operator signs updates of the DNS with.
    pub async fn give_key(&self, key: &str) -> Result<()> {
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": UPDATE_SECRET },
            "stringData": { "key": key },
        });
        let params = PatchParams::apply("kubectl");
        self.secrets()
            .patch(UPDATE_SECRET, &params, &Patch::Apply(secret))
            .await?;
        Ok(())
    }

    /// Waits until what is said of a Domain's certificate has these words.
    pub async fn certified_says(&self, label: &str, words: &[&str]) -> Result<()> {
        let begun = Instant::now();
        loop {
            let status = self.status(label).await?;
            let said = condition::find(&status.conditions, "Certified");
            if said.is_some_and(|it| words.iter().all(|word| it.message.contains(word))) {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "{words:?} was expected: {said:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Changes records, as `nsupdate` reads it.
    pub async fn update(&self, updates: String) -> Result<()> {
        let internet = self.internet.loopback;
        tokio::task::spawn_blocking(move || internet.update(&updates)).await?
    }

    /// The hostnames of all Routes.
    pub async fn routes(&self) -> Result<Vec<String>> {
        let ground = &self.life.ground;
        let api = ground.objects::<Route>();
        let all = api.list(&Default::default()).await?;
        Ok(all.into_iter().map(|route| route.spec.hostname).collect())
    }

    /// Asks for a hostname of its zone.
    pub async fn ask_for(&self, label: &str) -> Result<()> {
        self.ask_for_by(label, "http-01").await
    }

    /// The same, by a kind of challenge.
    pub async fn ask_for_by(&self, label: &str, challenge: &str) -> Result<()> {
        self.ask_for_with(label, json!({ "challenge": challenge }))
            .await
    }

    /// The same, by somebody who wants it looked at whoever was silent lately.
    pub async fn ask_at_once_for(&self, label: &str) -> Result<()> {
        let mut domain = self.wish(label);
        domain["metadata"]["annotations"] = json!({ labels::LOOK_NOW: "now" });
        self.apply(label, &domain).await
    }

    /// The same, with more in its spec.
    pub async fn ask_for_with(&self, label: &str, more: serde_json::Value) -> Result<()> {
        let mut domain = self.wish(label);
        if let (Some(spec), Some(more)) = (domain["spec"].as_object_mut(), more.as_object()) {
            spec.extend(more.clone());
        }
        self.apply(label, &domain).await
    }

    fn wish(&self, label: &str) -> serde_json::Value {
        json!({
            "apiVersion": "tutti.dev/v1alpha1",
            "kind": "Domain",
            "metadata": { "name": label },
            "spec": {
                "hostname": format!("{label}.{}", self.zone),
                "instance": INSTANCE,
            },
        })
    }

    async fn apply(&self, label: &str, domain: &serde_json::Value) -> Result<()> {
        let params = PatchParams::apply("kubectl");
        self.domains
            .patch(label, &params, &Patch::Apply(domain))
            .await?;
        Ok(())
    }

    /// A Domain as it stands.
    pub async fn status(&self, label: &str) -> Result<DomainStatus> {
        Ok(self.domains.get(label).await?.status.unwrap_or_default())
    }

    /// The Secrets that gateways read.
    pub fn presented(&self) -> Api<Secret> {
        Api::namespaced(self.life.ground.stage.client.clone(), GATEWAYS)
    }

    /// Of what kind the key is that gateways sign with.
    pub async fn kind_of_key(&self, secret: &str) -> Result<SignatureAlgorithm> {
        let secret = self.presented().get(secret).await?;
        Ok(certified_key(&secret)?.key.algorithm())
    }

    /// Moves the operator's clock, and waits until it has looked at a Domain by it.
    pub async fn move_clock(&self, label: &str, to: Timestamp) -> Result<()> {
        let ahead = to.duration_since(Timestamp::now());
        self.ahead.store(ahead.as_secs(), Ordering::Relaxed);
        // Any other spec has it looked at; this one asks nothing of an authority.
        let patch = json!({ "spec": { "hstsSeconds": ahead.as_secs() % 1_000_000 } });
        self.domains
            .patch(label, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        let begun = Instant::now();
        loop {
            let looked_at = self.status(label).await?.looked_at.map(|at| at.0);
            if looked_at.is_some_and(|at| to.duration_since(at) < SignedDuration::from_secs(10)) {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "it was last looked at {looked_at:?}, and it is {to}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The Domain is as it was asked for: certified, and served.
    pub async fn is_ready(&self, label: &str) -> Result<bool> {
        let status = self.status(label).await?;
        Ok(condition::is_true(&status.conditions, condition::READY))
    }

    /// Waits until a Domain is ready. After trouble a person asks for another look, as the
    /// documentation says.
    pub async fn becomes_ready(&self, label: &str, looks_again: bool) -> Result<()> {
        let begun = Instant::now();
        let mut looks = 0;
        loop {
            if self.is_ready(label).await? {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                let domain = self.domains.get(label).await?;
                bail!(
                    "{label} is not ready: {}\n{}",
                    serde_json::to_string(&domain.status)?,
                    crate::run::listing(&self.life.operator)
                );
            }
            if looks_again && begun.elapsed() > Duration::from_millis(300) * (looks + 1) {
                looks += 1;
                self.look_again(label, looks).await?;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until this is said of a Domain's proof.
    pub async fn proof_says(&self, label: &str, reason: &str) -> Result<()> {
        let begun = Instant::now();
        loop {
            let status = self.status(label).await?;
            let said = condition::find(&status.conditions, "OwnershipProven");
            if said.is_some_and(|it| it.reason == reason) {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "{reason} was expected: {said:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Deletes a Domain, and waits until it is gone.
    pub async fn give_up(&self, label: &str) -> Result<()> {
        self.domains.delete(label, &Default::default()).await?;
        let begun = Instant::now();
        while self.domains.get_opt(label).await?.is_some() {
            ensure!(begun.elapsed() < PATIENCE, "{label} does not go");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        Ok(())
    }

    /// What is noted of a hostname that is kept.
    pub async fn kept(&self, label: &str) -> Result<Option<BTreeMap<String, String>>> {
        let ground = &self.life.ground;
        let notes = ground.objects::<ConfigMap>();
        let hostname = format!("{label}.{}", self.zone);
        let all = notes
            .list(&ListParams::default().labels(KEPT_HOSTNAME))
            .await?;
        let mut all = all.into_iter().filter_map(|note| note.data);
        Ok(all.find(|data| data.get("hostname") == Some(&hostname)))
    }

    /// Asks for another look, by a value that was not used yet.
    pub async fn look_again(&self, label: &str, number: u32) -> Result<()> {
        let number = number.to_string();
        self.annotate(label, labels::LOOK_NOW, &number).await
    }

    /// Writes an annotation, as `kubectl annotate` does.
    pub async fn annotate(&self, label: &str, key: &str, value: &str) -> Result<()> {
        let patch = json!({ "metadata": { "annotations": { key: value } } });
        let params = PatchParams::default();
        self.domains
            .patch(label, &params, &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    /// How many of its Domains are ready.
    pub async fn count_ready(&self) -> Result<usize> {
        let all = self.domains.list(&Default::default()).await?;
        let ready = all.iter().filter(|domain| {
            let status = domain.status.as_ref();
            status.is_some_and(|status| condition::is_true(&status.conditions, condition::READY))
        });
        Ok(ready.count())
    }
}

fn pebble(name: &str, number: u16, ports: u16) -> Authority {
    Authority {
        name: format!("{name}-{number}").leak(),
        port: ports + number,
        management: ports + 1000 + number,
        binding: None,
    }
}

/// The operator's file.
fn config(
    internet: &Internet,
    first: &Between,
    second: Option<&Authority>,
    number: u16,
) -> Result<PathBuf> {
    let loopback = internet.loopback;
    let url = format!("https://{}/dir", first.address);
    let other = second.map(|it| it.directory(loopback.address));
    let trust = loopback.trust()?;
    let mut all = vec![(FIRST, url.as_str(), first.trust.as_str())];
    all.extend(other.as_deref().map(|url| (SECOND, url, trust.as_str())));
    let config = loopback.domains_config(&all);
    let place = loopback.folder().join(format!("domains-{number}.yaml"));
    std::fs::write(&place, config.to_string())?;
    Ok(place)
}
