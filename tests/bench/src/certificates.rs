//! P3: names certified by HTTP-01 through the gateway, from a Domain written to the certificate on the
//! wire, against ACME clients that do nothing but that, and against what the authority itself can do.
//! The authority is Pebble, the DNS is BIND, both on loopback addresses; everything shares two cores.
//!
//! | who | how |
//! |---|---|
//! | ours | the operator (release binary, one process) and a gateway; all Domains written at once |
//! | floor | instant-acme, as many orders at once as Pebble can take, and a responder; keeps nothing |
//! | lego, certbot | one process a name, as scripts call them; alone, and as many at once as is best |

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use crds::{AppInstance, Domain, condition};
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream},
};
use http::Response;
use hyper::{
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use instant_acme::{
    Account, AuthorizationStatus, BodyWrapper, ChallengeType, Identifier, NewAccount, NewOrder,
    OrderStatus,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::PostParams,
    runtime::{WatchStreamExt as _, watcher},
};
use lab::{
    internet::Authority,
    loopback::{Loopback, Temper},
};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    figures::{Series, keep, table},
    instances,
    process::{Process, cpu_of_children, cpu_since},
    stage::{Calls, Operator, PATIENCE, Stage, beside_us, free_port},
};

const ZONE: &str = "apps.test";
const PLATFORM: &str = "tutti-system";
const ORGANIZATION: &str = "names";
const INSTANCE: &str = "site";
const AUTHORITY: Authority = Authority {
    name: "pebble",
    port: 14000,
    management: 15000,
    binding: None,
};
/// Orders of the floor at once: more did not make it faster.
const FLOOR_AT_ONCE: usize = 32;
/// How soon the floor asks again.
const FLOOR_AGAIN: Duration = Duration::from_millis(10);
/// Names that are ordered one after another, for the time that one takes.
const ONE_BY_ONE: usize = 20;
/// Names for each peer: they take seconds each.
const PEER_NAMES: usize = 40;
/// Processes of a peer at once: two cores are not busier with more.
const PEERS_AT_ONCE: usize = 4;

/// How many names, how often.
pub struct Size {
    pub names: usize,
    pub rounds: u32,
}

/// What one candidate came to.
#[derive(Default)]
struct Figures {
    /// Names per second, all at once.
    rate: Series,
    /// Milliseconds, one by one.
    one: Series,
}

/// # Errors
/// When something does not work.
pub async fn run(stage: &Stage, folder: &Path, size: &Size) -> Result<String> {
    let folder = folder.join("p3");
    std::fs::create_dir_all(&folder)?;
    let peers = Peer::provide()?;
    let internet = tokio::task::spawn_blocking(|| Loopback::start(ZONE)).await??;
    internet.start_authority(&AUTHORITY, &Temper::default())?;
    let trust = folder.join("trust.crt");
    std::fs::write(&trust, internet.trust()?)?;
    let ours = Ours::start(stage, &internet, &folder).await?;
    let mut all: Vec<(String, Figures)> = vec![
        ("ours".to_owned(), Figures::default()),
        ("floor: Pebble saturated".to_owned(), Figures::default()),
    ];
    all.extend(peers.iter().map(|it| (it.name(), Figures::default())));
    let mut cpu = String::new();
    for round in 1..=size.rounds {
        let zone = format!("r{round}.test");
        ours.lead(&internet, &zone)?;
        let before = cpu_of_children();
        let took = ours.certify(&zone, size.names).await?;
        cpu = cpu_since(&before);
        eprintln!("P3 round {round}: {} names in {took:.1} s", size.names);
        all[0].1.rate.push(size.names as f64 / took);
        all[0].1.one.push(ours.one_by_one(&zone).await?);
        let floor = Floor::start(&internet, &trust, &zone).await?;
        all[1].1.rate.push(floor.rate(size.names).await?);
        all[1].1.one.push(floor.one_by_one().await?);
        drop(floor);
        for (number, peer) in peers.iter().enumerate() {
            let figures = &mut all[number + 2].1;
            let (one, rate) = peer.measure(&internet, &trust, &folder, &zone).await?;
            figures.one.push(one);
            figures.rate.push(rate);
        }
        for (name, figures) in &all {
            let last = |series: &Series| series.0.last().copied().unwrap_or(f64::NAN);
            eprintln!(
                "P3 round {round}: {name}: {:.1} names/s, one in {:.0} ms",
                last(&figures.rate),
                last(&figures.one)
            );
        }
    }
    for (name, figures) in &all {
        keep(
            &folder,
            "p3",
            &json!({ "who": name, "rate": figures.rate, "one_ms": figures.one }),
        )?;
    }
    Ok(show(&all, size, &peers, &cpu))
}

fn show(all: &[(String, Figures)], size: &Size, peers: &[Peer], cpu: &str) -> String {
    let ours = &all[0].1;
    let thousand = |rate: &Series| Series(rate.0.iter().map(|rate| 1000.0 / rate).collect());
    let rows: Vec<Vec<String>> = all
        .iter()
        .enumerate()
        .map(|(number, (name, figures))| {
            let ratio = if number == 0 {
                "1".to_owned()
            } else {
                ours.rate.over(&figures.rate).show(2)
            };
            vec![
                name.clone(),
                figures.rate.show(1),
                thousand(&figures.rate).show(0),
                ratio,
                figures.one.show(0),
            ]
        })
        .collect();
    let head = [
        "",
        "names per second",
        "1,000 names, s (≤ 60)",
        "ours ÷ this (floor ≥ 0.8, lego ≥ 3, certbot ≥ 10)",
        "one alone, ms, median (≤ 300)",
    ];
    let mut text = table(&head, &rows);
    text.push_str(&format!(
        "\n{} rounds of {} names for us and the floor, {PEER_NAMES} for the peers, {PEERS_AT_ONCE} of \
         whose processes run at once; alone: {ONE_BY_ONE} names one after another. Our last round \
         used: {cpu}. {}.\n",
        size.rounds,
        size.names,
        peers
            .iter()
            .map(Peer::version)
            .collect::<Vec<_>>()
            .join("; ")
    ));
    text
}

/// The operator and a gateway, with an instance that the names are for.
struct Ours {
    client: Client,
    target: String,
    _operator: Operator,
    _gateway: Process,
}

impl Ours {
    async fn start(stage: &Stage, internet: &Loopback, folder: &Path) -> Result<Self> {
        let directory = AUTHORITY.directory(internet.address);
        let config = internet.domains_config(&[(AUTHORITY.name, &directory, &internet.trust()?)]);
        let place = folder.join("domains.yaml");
        std::fs::write(&place, config.to_string())?;
        let flags = [
            format!("--domains-config={}", place.display()),
            format!("--gateway-namespace={PLATFORM}"),
        ];
        let mut operator = stage.operator_with(Calls::Uncounted, &flags)?;
        operator.wait_ready().await?;
        let gateway = start_gateway(stage, internet, folder)?;
        internet.announce_gateway(&stage.client, PLATFORM).await?;
        stage.found(&[ORGANIZATION.to_owned()]).await?;
        let key = (ORGANIZATION.to_owned(), INSTANCE.to_owned());
        instances::make(&stage.client, "page", "1.0", &key).await?;
        let api: Api<AppInstance> = Api::namespaced(stage.client.clone(), ORGANIZATION);
        let end = Instant::now() + PATIENCE;
        let target = loop {
            let found = api.get(INSTANCE).await?;
            if let Some(host) = found.status.and_then(|status| status.host) {
                break host;
            }
            ensure!(Instant::now() < end, "the instance has no host");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        Ok(Self {
            client: stage.client.clone(),
            target,
            _operator: operator,
            _gateway: gateway,
        })
    }

    /// Leads all names of a zone to the instance.
    fn lead(&self, internet: &Loopback, zone: &str) -> Result<()> {
        internet.update(&format!(
            "update add *.{zone}. 300 CNAME {}.\n",
            self.target
        ))
    }

    fn api(&self) -> Api<Domain> {
        Api::namespaced(self.client.clone(), ORGANIZATION)
    }

    async fn write(&self, label: &str, zone: &str) -> Result<()> {
        let name = format!("{label}.{zone}");
        let domain: Domain = serde_json::from_value(json!({
            "apiVersion": "tutti.dev/v1alpha1",
            "kind": "Domain",
            "metadata": { "name": name },
            "spec": { "hostname": name, "instance": INSTANCE },
        }))?;
        self.api().create(&PostParams::default(), &domain).await?;
        Ok(())
    }

    /// Seconds from the first Domain written to the last one ready.
    async fn certify(&self, zone: &str, names: usize) -> Result<f64> {
        let labels: Vec<String> = (0..names).map(|number| format!("n{number}")).collect();
        let begun = Instant::now();
        let writing = stream::iter(&labels)
            .map(|label| self.write(label, zone))
            .buffer_unordered(16)
            .try_collect::<()>();
        let mut news = self.news();
        let ready = async {
            let wanted = |name: &str| name.ends_with(zone) && !name.starts_with("alone");
            wait_ready(&mut news, wanted, names).await
        };
        tokio::try_join!(writing, ready)?;
        Ok(begun.elapsed().as_secs_f64())
    }

    /// Milliseconds that one takes, the median of several.
    async fn one_by_one(&self, zone: &str) -> Result<f64> {
        let mut took = Series::default();
        let mut news = self.news();
        for number in 0..ONE_BY_ONE {
            let begun = Instant::now();
            let label = format!("alone{number}");
            let name = format!("{label}.{zone}");
            let ready = wait_ready(&mut news, |it| it == name, 1);
            tokio::try_join!(self.write(&label, zone), ready)?;
            took.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(took.median())
    }

    /// Domains, as they are now and whenever they change.
    fn news(&self) -> News {
        let news = watcher(self.api(), watcher::Config::default()).default_backoff();
        news.applied_objects().boxed()
    }
}

type News = BoxStream<'static, std::result::Result<Domain, watcher::Error>>;

/// Waits until so many Domains are ready whose name is wanted.
async fn wait_ready(news: &mut News, is_wanted: impl Fn(&str) -> bool, count: usize) -> Result<()> {
    let mut ready: HashMap<String, bool> = HashMap::new();
    let patience = Duration::from_secs(30 + count as u64);
    while ready.values().filter(|is_ready| **is_ready).count() < count {
        let found = tokio::time::timeout(patience, news.try_next()).await;
        let Ok(found) = found else {
            bail!(
                "{} of {count} names are ready",
                ready.values().filter(|it| **it).count()
            );
        };
        let domain = found?.context("the watch ended")?;
        let status = domain.status.as_ref();
        let is_ready =
            status.is_some_and(|it| condition::is_true(&it.conditions, condition::READY));
        let name = domain.name_any();
        if is_wanted(&name) {
            ready.insert(name, is_ready);
        }
    }
    Ok(())
}

fn start_gateway(stage: &Stage, internet: &Loopback, folder: &Path) -> Result<Process> {
    let address = internet.address;
    let admin = free_port()?;
    Process::start(
        "0-1",
        &[
            &beside_us("gateway")?,
            &format!("--platform-zone={ZONE}"),
            &format!("--certificate-namespace={PLATFORM}"),
            &format!("--http-listen={address}:80"),
            &format!("--https-listen={address}:443"),
            &format!("--admin-listen=127.0.0.1:{admin}"),
            "--log-filter=warn",
        ],
        &[("KUBECONFIG", &stage.plane.kubeconfig.display().to_string())],
        &folder.join("gateway.log"),
    )
}

/// The address of a responder that is not ours: the next ones after the internet's.
fn responder(internet: &Loopback, number: u8) -> Ipv4Addr {
    let [a, b, c, d] = internet.address.octets();
    Ipv4Addr::new(a, b, c, d + 1 + number)
}

/// A client that wants nothing but certificates.
struct Floor {
    account: Arc<Account>,
    zone: String,
    responder: tokio::task::JoinHandle<()>,
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.responder.abort();
    }
}

impl Floor {
    async fn start(internet: &Loopback, trust: &Path, zone: &str) -> Result<Self> {
        let address = responder(internet, 0);
        internet.update(&format!("update add *.floor.{zone}. 300 A {address}\n"))?;
        let wish = NewAccount {
            contact: &[],
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let (account, _) = Account::builder_with_http(Box::new(client(trust)?))
            .create(&wish, AUTHORITY.directory(internet.address), None)
            .await?;
        let listener = TcpListener::bind((address, 80)).await?;
        let account = Arc::new(account);
        // What an answer ends with is the same for all of an account (RFC 8555 §8.1).
        let thumbprint = Self::thumbprint(&account, zone).await?;
        Ok(Self {
            account,
            zone: format!("floor.{zone}"),
            responder: tokio::spawn(respond(listener, thumbprint.into())),
        })
    }

    /// Learned from an order that is left.
    async fn thumbprint(account: &Account, zone: &str) -> Result<String> {
        let names = [Identifier::Dns(format!("left.floor.{zone}"))];
        let mut order = account.new_order(&NewOrder::new(&names)).await?;
        let mut authorizations = order.authorizations();
        let mut authorization = authorizations.next().await.context("no authorization")??;
        let challenge = authorization.challenge(ChallengeType::Http01);
        let answer = challenge.context("no HTTP-01")?.key_authorization();
        let (_, thumbprint) = answer.as_str().split_once('.').context("no thumbprint")?;
        Ok(thumbprint.to_owned())
    }

    async fn one(&self, label: &str) -> Result<()> {
        let name = format!("{label}.{}", self.zone);
        let names = [Identifier::Dns(name.clone())];
        let mut order = self.account.new_order(&NewOrder::new(&names)).await?;
        {
            let mut authorizations = order.authorizations();
            let mut authorization = authorizations.next().await.context("no authorization")??;
            if authorization.status == AuthorizationStatus::Pending {
                let challenge = authorization.challenge(ChallengeType::Http01);
                challenge.context("no HTTP-01")?.set_ready().await?;
            }
        }
        loop {
            match order.refresh().await?.status {
                OrderStatus::Pending => tokio::time::sleep(FLOOR_AGAIN).await,
                OrderStatus::Invalid => bail!("{name} was refused: {:?}", order.state()),
                _ => break,
            }
        }
        let key = KeyPair::generate()?;
        let request = CertificateParams::new(vec![name.clone()])?.serialize_request(&key)?;
        order.finalize_csr(request.der()).await?;
        let chain = loop {
            if let Some(chain) = order.certificate().await? {
                break chain;
            }
            ensure!(
                order.state().status != OrderStatus::Invalid,
                "{name} was not certified: {:?}",
                order.state()
            );
            tokio::time::sleep(FLOOR_AGAIN).await;
        };
        ensure!(!chain.is_empty(), "nothing came");
        Ok(())
    }

    async fn rate(&self, names: usize) -> Result<f64> {
        let begun = Instant::now();
        stream::iter(0..names)
            .map(|number| async move {
                let one = tokio::time::timeout(PATIENCE, self.one(&format!("n{number}"))).await;
                one.with_context(|| format!("the floor hangs at n{number}"))?
            })
            .buffer_unordered(FLOOR_AT_ONCE)
            .try_collect::<()>()
            .await?;
        Ok(names as f64 / begun.elapsed().as_secs_f64())
    }

    async fn one_by_one(&self) -> Result<f64> {
        let mut took = Series::default();
        for number in 0..ONE_BY_ONE {
            let begun = Instant::now();
            self.one(&format!("alone{number}")).await?;
            took.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(took.median())
    }
}

/// Sends small requests at once, which the library's own client does not.
fn client(trust: &Path) -> Result<HyperClient<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(trust)? {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_only()
        .enable_http2()
        .wrap_connector(connector);
    Ok(HyperClient::builder(TokioExecutor::new()).build(connector))
}

/// Answers every challenge of an account.
async fn respond(listener: TcpListener, thumbprint: Arc<str>) {
    while let Ok((stream, _)) = listener.accept().await {
        let thumbprint = thumbprint.clone();
        tokio::spawn(async move {
            let service = service_fn(|request: http::Request<Incoming>| {
                let token = request.uri().path().rsplit('/').next().unwrap_or_default();
                let answer = format!("{token}.{thumbprint}");
                async move { Ok::<_, std::convert::Infallible>(Response::new(answer)) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Another ACME client.
enum Peer {
    Lego(PathBuf),
    Certbot,
}

/// As `lego/go.mod` has it.
const LEGO_VERSION: &str = "v5.4.1";

/// lego's library in a program of ours, from the cache or built into it; `None` where it cannot be built.
fn lego() -> Result<Option<PathBuf>> {
    let cache = lab::cache::Cache::from_environment();
    let folder = cache.entry(&format!("lego@{LEGO_VERSION}"));
    let program = folder.join("lego");
    if !program.exists() {
        std::fs::create_dir_all(&folder)?;
        let status = Command::new("go")
            .args(["build", "-trimpath", "-ldflags", "-s -w", "-o"])
            .arg(&program)
            .arg(".")
            .env("CGO_ENABLED", "0")
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/lego"))
            .status();
        eprintln!("built lego {LEGO_VERSION}: {status:?}");
    }
    Ok(program.exists().then_some(program))
}

impl Peer {
    /// Those that can be had here.
    fn provide() -> Result<Vec<Self>> {
        if lab::packages::locate("certbot").is_none() {
            let log = std::env::temp_dir().join("tutti-bench-packages.log");
            lab::packages::install(&["certbot"], &log, |_| {})?;
        }
        Ok(lego()?
            .map(Self::Lego)
            .into_iter()
            .chain([Self::Certbot])
            .collect())
    }

    fn name(&self) -> String {
        match self {
            Self::Lego(_) => "lego".to_owned(),
            Self::Certbot => "certbot".to_owned(),
        }
    }

    fn version(&self) -> String {
        match self {
            Self::Lego(_) => format!("lego {LEGO_VERSION} (its library in a program of ours)"),
            Self::Certbot => {
                let output = Command::new("certbot").arg("--version").output();
                output.map_or_else(
                    |_| "certbot".to_owned(),
                    |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
                )
            }
        }
    }

    /// Milliseconds of one alone, and names per second of several processes at once.
    async fn measure(
        &self,
        internet: &Loopback,
        trust: &Path,
        folder: &Path,
        zone: &str,
    ) -> Result<(f64, f64)> {
        let mut took = Series::default();
        let workers: Vec<Worker> = (0..PEERS_AT_ONCE)
            .map(|number| Worker::new(self, internet, trust, folder, zone, number as u8))
            .collect::<Result<_>>()?;
        let alone = ONE_BY_ONE / 2;
        for number in 0..=alone {
            let begun = Instant::now();
            workers[0].certify(&format!("alone{number}")).await?;
            // With the first it makes its account.
            if number > 0 {
                took.push(begun.elapsed().as_secs_f64() * 1000.0);
            }
        }
        for worker in &workers {
            worker.certify("account").await?;
        }
        let begun = Instant::now();
        let each = PEER_NAMES / PEERS_AT_ONCE;
        stream::iter(&workers)
            .map(|worker| async move {
                for number in 0..each {
                    worker.certify(&format!("n{number}")).await?;
                }
                anyhow::Ok(())
            })
            .buffer_unordered(PEERS_AT_ONCE)
            .try_collect::<()>()
            .await?;
        let rate = (each * PEERS_AT_ONCE) as f64 / begun.elapsed().as_secs_f64();
        Ok((took.median(), rate))
    }
}

/// A folder and an address for one process at a time.
struct Worker {
    program: PathBuf,
    arguments: Vec<String>,
    zone: String,
    trust: PathBuf,
    log: PathBuf,
    is_lego: bool,
}

impl Worker {
    fn new(
        peer: &Peer,
        internet: &Loopback,
        trust: &Path,
        folder: &Path,
        zone: &str,
        number: u8,
    ) -> Result<Self> {
        let address = responder(internet, 1 + number);
        let zone = format!("{}{number}.{zone}", peer.name());
        internet.update(&format!("update add *.{zone}. 300 A {address}\n"))?;
        let place = folder.join(&zone);
        // An account of an earlier run is unknown to this authority.
        if place.exists() {
            std::fs::remove_dir_all(&place)?;
        }
        let place = place.display().to_string();
        let server = AUTHORITY.directory(internet.address);
        let (program, arguments) = match peer {
            Peer::Lego(program) => (
                program.clone(),
                vec![
                    format!("--server={server}"),
                    format!("--path={place}"),
                    format!("--http.address={address}:80"),
                ],
            ),
            Peer::Certbot => (
                PathBuf::from("certbot"),
                vec![
                    "certonly".to_owned(),
                    "--standalone".to_owned(),
                    "--non-interactive".to_owned(),
                    "--agree-tos".to_owned(),
                    format!("--server={server}"),
                    "--email=operations@acme.test".to_owned(),
                    format!("--config-dir={place}"),
                    format!("--work-dir={place}"),
                    format!("--logs-dir={place}"),
                    format!("--http-01-address={address}"),
                    "--http-01-port=80".to_owned(),
                ],
            ),
        };
        Ok(Self {
            program,
            arguments,
            log: folder.join(format!("{zone}.log")),
            zone,
            trust: trust.to_owned(),
            is_lego: matches!(peer, Peer::Lego(_)),
        })
    }

    async fn certify(&self, label: &str) -> Result<()> {
        let name = format!("{label}.{}", self.zone);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&self.log)?;
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.arguments);
        command.args(if self.is_lego {
            ["--domains", &name]
        } else {
            ["-d", &name]
        });
        let status = command
            .env("LEGO_CA_CERTIFICATES", &self.trust)
            .env("REQUESTS_CA_BUNDLE", &self.trust)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .status()
            .await?;
        ensure!(status.success(), "{name}: see {}", self.log.display());
        Ok(())
    }
}
