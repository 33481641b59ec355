//! A real API server for tests that need no node: etcd and kube-apiserver, and controllers if
//! wished, as plain processes on loopback ports, ready in a few seconds. No kubelet: pods never
//! run, and nobody but the test writes the status of workloads. A benchmark may have fake nodes
//! ([`Builder::fake_nodes`]), with the scheduler and every controller.
//!
//! One per test binary ([`ControlPlane::shared`]); each test has a namespace of its own
//! ([`ControlPlane::namespace`]). The programs are the lab's, from the same cache. Nothing stays
//! behind, even when the test is killed ([`crate::children`]).

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use k8s_openapi::{
    api::core::v1::{Namespace, Node},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{ApiResource, DynamicObject, GroupVersionKind, Request},
};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::{children::Children, network, pki, process, programs, state::State};

/// A loaded machine takes several times the usual three seconds.
const PATIENCE: Duration = Duration::from_secs(90);
/// A port that was free may be taken before etcd listens on it.
const TRIES: u32 = 3;
/// Calls per second of each controller and of the scheduler: none waits for a limit of its own.
/// The defaults of 20 and 50 would be what a benchmark measures.
const CALLS: &str = "5000";
/// The controllers' time until a node that is silent counts as lost: on a machine that does all it
/// can, a lease may be late.
const GRACE: &str = "300s";
/// Percent of what is alive that is made before garbage is collected. These processes live for minutes and
/// share two cores, of which collecting would take a seventh.
const GARBAGE: &str = "400";
/// What the controllers are called that act on objects alone. The others make pods and addresses.
const CONTROLLERS: &str =
    "garbage-collector-controller,namespace-controller,resourcequota-controller";

/// An API server that runs as long as this value, or as long as the process.
pub struct ControlPlane {
    /// Where the API server answers.
    pub url: String,
    /// The authority that signed its certificate (PEM).
    pub certificate_authority: PathBuf,
    /// The administrator's certificate (PEM).
    pub admin_certificate: PathBuf,
    /// Its key (PEM).
    pub admin_key: PathBuf,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// The lab's kubectl.
    pub kubectl: PathBuf,
    /// What the processes print.
    pub logs: PathBuf,
    _children: Children,
}

/// What a control plane consists of.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    has_controllers: bool,
    nodes: u32,
    flags: Vec<String>,
}

impl Builder {
    /// With the controllers of garbage, namespaces and quotas.
    #[must_use]
    pub fn controllers(mut self) -> Self {
        self.has_controllers = true;
        self
    }

    /// With nodes of kwok, as large as anybody needs: pods that are bound to them run at once, and
    /// those of jobs end well at once. With the scheduler and all controllers, which have their
    /// defaults except that nothing limits their calls and that they are patient with late leases.
    /// Volumes are provisioned by nobody.
    #[must_use]
    pub fn fake_nodes(mut self, count: u32) -> Self {
        self.nodes = count;
        self
    }

    /// With one more flag of the API server, such as `--audit-log-path=…`.
    #[must_use]
    pub fn api_server_flag(mut self, flag: impl Into<String>) -> Self {
        self.flags.push(flag.into());
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// When a program is missing and cannot be built, or ends.
    pub async fn start(self) -> Result<ControlPlane> {
        let mut tries = 1;
        loop {
            match self.clone().start_once().await {
                Err(error) if tries < TRIES => {
                    eprintln!("the control plane did not start, once more: {error:#}");
                    tries += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn start_once(self) -> Result<ControlPlane> {
        let nodes = self.nodes;
        let started = tokio::task::spawn_blocking(move || start_processes(&self));
        let plane = started.await??;
        plane.wait_ready().await?;
        if nodes > 0 {
            plane.make_nodes(nodes).await?;
        }
        Ok(plane)
    }
}

impl ControlPlane {
    /// etcd and the API server, nothing else.
    ///
    /// # Errors
    /// See [`Builder::start`].
    pub async fn start() -> Result<Self> {
        Self::builder().start().await
    }

    /// To be told what more is wished.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The one of this process; the first caller starts it.
    ///
    /// # Errors
    /// See [`Builder::start`].
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// How the administrator reaches it.
    ///
    /// # Errors
    /// When its kubeconfig is gone.
    pub async fn config(&self) -> Result<kube::Config> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        let options = KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        // A person's proxy must not come between.
        config.proxy_url = None;
        Ok(config)
    }

    /// A client as the administrator. Each test needs its own: connections belong to the runtime
    /// that made them, and every test has one.
    ///
    /// # Errors
    /// When its kubeconfig is gone.
    pub async fn client(&self) -> Result<Client> {
        Ok(Client::try_from(self.config().await?)?)
    }

    /// Applies definitions of kinds, and waits until the kinds are served.
    ///
    /// # Errors
    /// When the API server refuses one, or does not serve it.
    pub async fn install(&self, definitions: &[CustomResourceDefinition]) -> Result<()> {
        let client = self.client().await?;
        let api: Api<CustomResourceDefinition> = Api::all(client.clone());
        let params = PatchParams::apply("tests").force();
        for definition in definitions {
            api.patch(&definition.name_any(), &params, &Patch::Apply(definition))
                .await?;
        }
        for definition in definitions {
            wait_served(&client, definition).await?;
        }
        Ok(())
    }

    /// A new namespace for one test.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn namespace(&self, client: &Client, prefix: &str) -> Result<String> {
        let api: Api<Namespace> = Api::all(client.clone());
        let mut namespace = Namespace::default();
        namespace.metadata.generate_name = Some(format!("{prefix}-"));
        let made = api.create(&PostParams::default(), &namespace).await?;
        Ok(made.name_any())
    }

    async fn wait_ready(&self) -> Result<()> {
        let client = self.client().await?;
        let end = Instant::now() + PATIENCE;
        loop {
            // A list of nothing in particular is a plain GET.
            let request = Request::new("/readyz").list(&ListParams::default())?;
            match client.request_text(request).await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() >= end => {
                    let log = process::tail(&self.logs.join("kube-apiserver.log"));
                    return Err(error).context(format!("the API server is not ready: {log}"));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Makes nodes, and waits until pods can be bound to them.
    async fn make_nodes(&self, count: u32) -> Result<()> {
        let api: Api<Node> = Api::all(self.client().await?);
        for number in 1..=count {
            let name = format!("fake-{number:03}");
            let node = json!({
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
            });
            api.patch(&name, &PatchParams::apply("tests"), &Patch::Apply(node))
                .await?;
        }
        let end = Instant::now() + PATIENCE;
        loop {
            let nodes = api.list(&ListParams::default()).await?;
            if nodes.iter().all(takes_pods) {
                return Ok(());
            }
            if Instant::now() >= end {
                let tail = |name: &str| process::tail(&self.logs.join(name));
                bail!(
                    "the nodes are not ready: {}\n{}",
                    tail("kwok.log"),
                    tail("kube-controller-manager.log")
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Said to be ready by kwok, and found to be by the controllers.
fn takes_pods(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let is_ready = conditions.is_some_and(|all| {
        all.iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    });
    is_ready && taints.is_none_or(Vec::is_empty)
}

async fn wait_served(client: &Client, definition: &CustomResourceDefinition) -> Result<()> {
    let spec = &definition.spec;
    let version = spec.versions.first().map(|version| version.name.as_str());
    let kind = GroupVersionKind::gvk(&spec.group, version.unwrap_or_default(), &spec.names.kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, &spec.names.plural);
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let end = Instant::now() + PATIENCE;
    loop {
        match api.list_metadata(&ListParams::default().limit(1)).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() >= end => {
                return Err(error).context(format!("{} is not served", spec.names.plural));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn start_processes(builder: &Builder) -> Result<ControlPlane> {
    let bin = programs::for_tests(builder.nodes > 0)?;
    let mut children = Children::new("control-plane")?;
    let state = State::at(children.folder());
    pki::provide(&state, 0)?;
    let [etcd, peers, api] = free_ports()?;
    let url = format!("https://127.0.0.1:{api}");
    // The file names the API server of a lab's node.
    let kubeconfig = state.kubeconfig();
    let text = fs::read_to_string(&kubeconfig)?.replace(&network::api_server_url(0), &url);
    fs::write(&kubeconfig, text)?;

    let run = |children: &mut Children, name: &'static str, flags: &[String]| {
        let variables = [("GOGC", GARBAGE.to_owned())];
        children.spawn(name, &bin.program(name), flags, &variables)
    };
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    run(&mut children, "etcd", &etcd_flags(&state, etcd, peers))?;
    children.wait_port("etcd", local(etcd), PATIENCE)?;
    let mut flags = api_server_flags(&state, etcd, api);
    if builder.nodes == 0 {
        // Nobody makes the accounts and tokens that it asks for.
        flags.push("--disable-admission-plugins=ServiceAccount".to_owned());
    }
    flags.extend(builder.flags.iter().cloned());
    run(&mut children, "kube-apiserver", &flags)?;
    children.wait_port("kube-apiserver", local(api), PATIENCE)?;
    if builder.nodes > 0 {
        run(
            &mut children,
            "kube-controller-manager",
            &all_controllers_flags(&state, &kubeconfig),
        )?;
        run(
            &mut children,
            "kube-scheduler",
            &scheduler_flags(&kubeconfig),
        )?;
        let stages = programs::kwok_resources(&bin);
        run(&mut children, "kwok", &kwok_flags(&kubeconfig, &stages))?;
    } else if builder.has_controllers {
        run(
            &mut children,
            "kube-controller-manager",
            &controller_flags(&kubeconfig),
        )?;
    }
    Ok(ControlPlane {
        url,
        certificate_authority: state.path("pki/ca.crt"),
        admin_certificate: state.path("pki/admin.crt"),
        admin_key: state.path("pki/admin.key"),
        kubeconfig,
        kubectl: bin.program("kubectl"),
        logs: children.logs(),
        _children: children,
    })
}

/// Ports that nobody listens on now.
fn free_ports<const COUNT: usize>() -> Result<[u16; COUNT]> {
    // All are held until all are known: none is given twice.
    let listeners: Vec<TcpListener> = (0..COUNT)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<_, _>>()?;
    let mut ports = [0; COUNT];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

fn etcd_flags(state: &State, clients: u16, peers: u16) -> Vec<String> {
    vec![
        "--name=tests".to_owned(),
        format!("--data-dir={}", state.path("etcd").display()),
        format!("--listen-client-urls=http://127.0.0.1:{clients}"),
        format!("--advertise-client-urls=http://127.0.0.1:{clients}"),
        format!("--listen-peer-urls=http://127.0.0.1:{peers}"),
        format!("--initial-advertise-peer-urls=http://127.0.0.1:{peers}"),
        format!("--initial-cluster=tests=http://127.0.0.1:{peers}"),
        // A cluster of one elects itself.
        "--heartbeat-interval=50".to_owned(),
        "--election-timeout=250".to_owned(),
        // Nothing outlives the process.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}

fn api_server_flags(state: &State, etcd: u16, port: u16) -> Vec<String> {
    let pki = |file: &str| state.path("pki").join(file).display().to_string();
    vec![
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        format!("--tls-cert-file={}", pki("apiserver.crt")),
        format!("--tls-private-key-file={}", pki("apiserver.key")),
        format!("--client-ca-file={}", pki("ca.crt")),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        format!("--service-account-key-file={}", pki("service-accounts.pub")),
        format!(
            "--service-account-signing-key-file={}",
            pki("service-accounts.key")
        ),
        format!("--service-cluster-ip-range={}", network::SERVICE_RANGE),
        "--authorization-mode=RBAC".to_owned(),
        "--profiling=false".to_owned(),
    ]
}

fn controller_flags(kubeconfig: &Path) -> Vec<String> {
    let mut flags = alone(kubeconfig);
    flags.push(format!("--controllers={CONTROLLERS}"));
    flags
}

fn all_controllers_flags(state: &State, kubeconfig: &Path) -> Vec<String> {
    let mut flags = alone(kubeconfig);
    flags.extend(unlimited());
    flags.push(format!(
        "--root-ca-file={}",
        state.path("pki/ca.crt").display()
    ));
    flags.push(format!("--node-monitor-grace-period={GRACE}"));
    flags
}

fn scheduler_flags(kubeconfig: &Path) -> Vec<String> {
    let mut flags = alone(kubeconfig);
    flags.extend(unlimited());
    flags
}

/// How a part of Kubernetes runs that is the only one of its kind, and that nobody asks anything.
fn alone(kubeconfig: &Path) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        "--secure-port=0".to_owned(),
        "--leader-elect=false".to_owned(),
        "--profiling=false".to_owned(),
    ]
}

fn unlimited() -> [String; 2] {
    [
        format!("--kube-api-qps={CALLS}"),
        format!("--kube-api-burst={CALLS}"),
    ]
}

fn kwok_flags(kubeconfig: &Path, stages: &Path) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--config={}", stages.display()),
        "--manage-all-nodes=true".to_owned(),
        // A kubelet's.
        "--node-lease-duration-seconds=40".to_owned(),
        format!("--cidr={}", network::POD_RANGE),
        "--v=WARN".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_serves_while_it_is_held_and_leaves_nothing_behind() {
        let begun = Instant::now();
        let plane = ControlPlane::start().await.unwrap();
        eprintln!("ready after {:?}", begun.elapsed());
        let client = plane.client().await.unwrap();
        assert_eq!(client.apiserver_version().await.unwrap().minor, "35");
        let first = plane.namespace(&client, "test").await.unwrap();
        let second = plane.namespace(&client, "test").await.unwrap();
        assert_ne!(first, second);
        let folder = plane.logs.parent().unwrap().to_owned();
        assert!(folder.exists());
        drop(plane);
        assert!(!folder.exists());
        assert!(client.apiserver_version().await.is_err());
    }
}
