//! What all tests of this binary share: one API server with our kinds and apps, a runtime, and
//! the world that plays everybody else.

use std::{net::SocketAddr, sync::OnceLock, time::Duration};

use anyhow::{Context as _, Result};
use crds::{AppDefinition, condition};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use lab::control_plane::ControlPlane;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use tokio::{
    runtime::Runtime,
    sync::{OnceCell, Semaphore, SemaphorePermit},
};
use tokio_rustls::TlsConnector;

use crate::{
    incarnation::{Incarnation, Manner},
    world,
};

/// Runs at once. The API server makes fifty addresses of Services a second and no more, and those who wait
/// too long for theirs ask again: more at once come to no end.
const RUNS_AT_ONCE: usize = 6;

/// Longer than anything takes on a machine that has much else to do. How quickly things go is measured
/// by benchmarks.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The API server as proxies reach it.
pub struct Upstream {
    pub address: SocketAddr,
    pub host: String,
    pub name: ServerName<'static>,
    pub tls: TlsConnector,
}

/// What all tests share.
pub struct Stage {
    pub plane: &'static ControlPlane,
    pub client: Client,
    pub upstream: Upstream,
    places: Semaphore,
}

impl Stage {
    /// A stage on an API server: with our kinds, the app, and the world.
    pub async fn on(plane: &'static ControlPlane) -> Result<Self> {
        let client = plane.client().await?;
        plane.install(&crds::all()).await?;
        tokio::spawn(world::play(client.clone()));
        let stage = Self {
            upstream: upstream(plane)?,
            plane,
            client,
            places: Semaphore::new(RUNS_AT_ONCE),
        };
        define_apps(&stage).await?;
        Ok(stage)
    }

    /// A place among the runs that go on at once.
    pub async fn place(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.places.acquire().await.ok()
    }
}

/// Runs a test on the shared runtime: connections belong to the runtime that made them.
pub fn test<F>(story: impl FnOnce(&'static Stage) -> F)
where
    F: Future<Output = Result<()>>,
{
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    static STAGE: OnceCell<Stage> = OnceCell::const_new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap_or_else(|error| panic!("no runtime: {error}"))
    });
    let outcome = runtime.block_on(async {
        let stage = STAGE.get_or_try_init(build).await?;
        story(stage).await
    });
    if let Err(error) = outcome {
        panic!("{error:#}");
    }
}

/// Whether more is wanted than a few minutes can hold.
pub fn is_long() -> bool {
    std::env::var_os("TUTTI_LONG").is_some()
}

async fn build() -> Result<Stage> {
    // A second one in this process is the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if let Ok(filter) = std::env::var("TUTTI_LOG_FILTER") {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .try_init();
    }
    Stage::on(ControlPlane::shared().await?).await
}

fn upstream(plane: &ControlPlane) -> Result<Upstream> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&plane.certificate_authority)? {
        roots.add(certificate?)?;
    }
    let certificates =
        CertificateDer::pem_file_iter(&plane.admin_certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&plane.admin_key)?;
    let mut config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    let host = plane
        .url
        .strip_prefix("https://")
        .context("an https address is wanted")?
        .to_owned();
    let address: SocketAddr = host.parse()?;
    Ok(Upstream {
        address,
        name: ServerName::from(address.ip()),
        host,
        tls: TlsConnector::from(std::sync::Arc::new(config)),
    })
}

/// The apps of the catalogue and one more, judged once, so that no run sees an operator write about
/// them.
async fn define_apps(stage: &Stage) -> Result<()> {
    let api: Api<AppDefinition> = Api::all(stage.client.clone());
    let mut texts = vec![include_str!("../demo.yaml").to_owned()];
    for folder in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../apps"))? {
        texts.push(std::fs::read_to_string(folder?.path().join("app.yaml"))?);
    }
    let mut names = Vec::new();
    for text in texts {
        let definition: AppDefinition = serde_saphyr::from_str(&text)?;
        let params = PatchParams::apply("tests");
        let name = definition.name_any();
        api.patch(&name, &params, &Patch::Apply(&definition))
            .await?;
        names.push(name);
    }
    let _operator = Incarnation::start(stage, "nobody", &Manner::default()).await?;
    for name in names {
        wait_judged(&api, &name).await?;
    }
    Ok(())
}

async fn wait_judged(api: &Api<AppDefinition>, name: &str) -> Result<()> {
    for _ in 0..200 {
        let found = api.get(name).await?.status.unwrap_or_default();
        if condition::is_true(&found.conditions, condition::READY) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("definition {name} was not judged")
}
