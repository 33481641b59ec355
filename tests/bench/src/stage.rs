//! What the benchmarks of the operator play on: the lab's real API server and etcd (data in memory,
//! so that the disk is not what is measured), our kinds, two apps, and the world (`world.rs`), or
//! fake nodes with the real scheduler and controllers.
//!
//! The operator is the release binary as a process of its own. One that is measured has a user of
//! its own, and only that user's calls are in the audit log.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use crds::{AppDefinition, Organization, condition};
use futures_util::future::try_join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ResourceQuota};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use lab::control_plane::ControlPlane;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

use crate::{audit::Audit, process::Process, world};

pub const PATIENCE: Duration = Duration::from_secs(120);
const TOKEN: &str = "measured";
const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - { level: Metadata, users: [measured] }
  - { level: None }
";

/// Whether the calls of an operator are written down.
#[derive(Clone, Copy, PartialEq)]
pub enum Calls {
    Counted,
    Uncounted,
}

/// Who makes workloads ready.
#[derive(Clone, Copy, PartialEq)]
pub enum Ground {
    /// There are no nodes: the world says at once that they are.
    NoNodes,
    /// Scheduler and controllers, and so many of kwok's nodes.
    FakeNodes(u32),
}

pub struct Stage {
    pub plane: ControlPlane,
    pub client: Client,
    pub audit: Audit,
    folder: PathBuf,
    measured: PathBuf,
    world: Option<JoinHandle<()>>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(world) = self.world.take() {
            world.abort();
        }
    }
}

impl Stage {
    /// # Errors
    /// When the API server does not start.
    pub async fn start(folder: &Path, ground: Ground) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let file = |name: &str| folder.join(name);
        // Rights are not what is measured; those of the real operator are tested elsewhere.
        let token = format!("{TOKEN},measured,1,system:masters\n");
        fs::write(file("tokens.csv"), token)?;
        fs::write(file("audit-policy.yaml"), POLICY)?;
        fs::write(file("audit.log"), "")?;
        let flag = |flag: &str, name: &str| format!("--{flag}={}", file(name).display());
        let builder = match ground {
            // No controller counts what is used.
            Ground::NoNodes => {
                ControlPlane::builder().api_server_flag("--disable-admission-plugins=ResourceQuota")
            }
            Ground::FakeNodes(count) => ControlPlane::builder().fake_nodes(count),
        };
        let plane = builder
            .api_server_flag(flag("token-auth-file", "tokens.csv"))
            .api_server_flag(flag("audit-policy-file", "audit-policy.yaml"))
            .api_server_flag(flag("audit-log-path", "audit.log"))
            .api_server_flag("--audit-log-maxsize=100000")
            .start()
            .await?;
        let client = plane.client().await?;
        let mut stage = Self {
            world: None,
            measured: file("measured.kubeconfig"),
            audit: Audit::new(file("audit.log")),
            folder: folder.to_owned(),
            client,
            plane,
        };
        stage.write_kubeconfig()?;
        stage.plane.install(&crds::all()).await?;
        stage.make_namespace("tutti-system").await?;
        let apps: Api<AppDefinition> = Api::all(stage.client.clone());
        for text in [
            include_str!("../../../apps/wordpress/app.yaml"),
            include_str!("../page.yaml"),
        ] {
            let app: AppDefinition = serde_saphyr::from_str(text)?;
            apps.patch(&app.name_any(), &params(), &Patch::Apply(&app))
                .await?;
        }
        let client = stage.plane.client().await?;
        stage.world = Some(match ground {
            Ground::NoNodes => tokio::spawn(world::play(client)),
            Ground::FakeNodes(_) => {
                stage.wait_garbage_collector().await?;
                world::make_storage_class(&client).await?;
                tokio::spawn(world::provision(client))
            }
        });
        Ok(stage)
    }

    fn write_kubeconfig(&self) -> Result<()> {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
            "clusters": [{ "name": "c", "cluster": {
                "server": self.plane.url,
                "certificate-authority": self.plane.certificate_authority,
            }}],
            "users": [{ "name": "u", "user": { "token": TOKEN } }],
        });
        Ok(fs::write(&self.measured, config.to_string())?)
    }

    /// # Errors
    /// When the API server refuses.
    pub async fn make_namespace(&self, name: &str) -> Result<()> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let object =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        api.patch(name, &params(), &Patch::Apply(object)).await?;
        Ok(())
    }

    /// Founds organizations, and waits until the operator has made them.
    ///
    /// # Errors
    /// When it does not.
    pub async fn found(&self, names: &[String]) -> Result<()> {
        let api: Api<Organization> = Api::all(self.client.clone());
        try_join_all(names.iter().map(|name| self.found_one(&api, name))).await?;
        Ok(())
    }

    async fn found_one(&self, api: &Api<Organization>, name: &str) -> Result<()> {
        let quota =
            json!({ "cpu": "100000", "memory": "100Ti", "storage": "100Ti", "instances": 10000 });
        let object = json!({
            "apiVersion": "tutti.dev/v1alpha1",
            "kind": "Organization",
            "metadata": { "name": name },
            "spec": { "title": name, "quota": quota },
        });
        api.patch(name, &params(), &Patch::Apply(object)).await?;
        let end = Instant::now() + PATIENCE;
        loop {
            let found = api.get_status(name).await?.status.unwrap_or_default();
            if condition::is_true(&found.conditions, condition::READY) {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("organization {name} is not ready: {:?}", found.conditions);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The garbage collector looks for new kinds every 30 seconds, and until then tries in vain
    /// what an instance owns. That an object goes whose owner never was tells that it knows them.
    async fn wait_garbage_collector(&self) -> Result<()> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), "tutti-system");
        let orphan: ConfigMap = serde_json::from_value(json!({
            "metadata": { "name": "orphan", "ownerReferences": [{
                "apiVersion": "tutti.dev/v1alpha1", "kind": "AppInstance",
                "name": "nobody", "uid": "nobody",
            }] },
        }))?;
        api.create(&PostParams::default(), &orphan).await?;
        let end = Instant::now() + PATIENCE;
        while api.get_opt("orphan").await?.is_some() {
            if Instant::now() > end {
                bail!("the garbage collector does not know our kinds");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    }

    /// Waits until the controllers have counted what the organizations use: until then nothing
    /// that has a quota can be made in them.
    ///
    /// # Errors
    /// When they do not.
    pub async fn wait_quotas(&self) -> Result<()> {
        let api: Api<ResourceQuota> = Api::all(self.client.clone());
        let end = Instant::now() + PATIENCE;
        loop {
            let quotas = api.list(&ListParams::default()).await?;
            if quotas
                .iter()
                .all(|quota| quota.status.as_ref().is_some_and(|s| s.used.is_some()))
            {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("the quotas are not counted");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Starts an operator, and waits until it is ready when asked to.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn operator(&self, calls: Calls) -> Result<Operator> {
        self.operator_with(calls, &[])
    }

    /// The same, with more flags.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn operator_with(&self, calls: Calls, more: &[String]) -> Result<Operator> {
        let port = free_port()?;
        let listen = format!("--listen={}", SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let kubeconfig = match calls {
            Calls::Counted => &self.measured,
            Calls::Uncounted => &self.plane.kubeconfig,
        };
        let program = beside_us("operator")?;
        let mut command = vec![
            program.as_str(),
            "run",
            "--platform-zone=apps.test",
            "--lease-seconds=10",
            "--log-filter=warn",
            &listen,
        ];
        command.extend(more.iter().map(String::as_str));
        let process = Process::start(
            "0-1",
            &command,
            &[("KUBECONFIG", &kubeconfig.display().to_string())],
            &self.folder.join("operator.log"),
        )?;
        Ok(Operator { process, port })
    }
}

/// An operator that runs.
pub struct Operator {
    pub process: Process,
    port: u16,
}

impl Operator {
    /// # Errors
    /// When it is not ready in time, or ended.
    pub async fn wait_ready(&mut self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            self.process.check().context("see operator.log")?;
            if get(self.port, "/readyz")
                .await
                .is_ok_and(|text| text.starts_with("HTTP/1.1 200"))
            {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("the operator is not ready");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// How often it looked at instances.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn reconciliations(&self) -> Result<u64> {
        let text = get(self.port, "/metrics").await?;
        Ok(text
            .lines()
            .filter(|line| {
                line.starts_with("controller_runtime_reconcile_total{")
                    && line.contains("\"appinstance\"")
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum())
    }
}

async fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

/// How the benchmarks themselves write.
#[must_use]
pub fn params() -> PatchParams {
    PatchParams::apply("bench").force()
}

/// A port that nobody listens on now.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// A program of this workspace, built as we were.
///
/// # Errors
/// When it was not built.
pub fn beside_us(name: &str) -> Result<String> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        bail!(
            "{} is missing: run make bench, which builds it",
            path.display()
        );
    }
    Ok(path.display().to_string())
}
