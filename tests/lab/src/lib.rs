//! The lab: a real Kubernetes on one bare Debian machine, with no image registry to pull from.
//! `lab up` builds it from Go modules and Debian packages; tests ask for the running one with
//! [`Lab::discover`]. What stands above the lab works on any cluster: nothing here is needed by
//! the platform itself.

pub mod cache;
mod cgroup;
mod children;
mod cluster;
mod components;
pub mod control_plane;
pub mod docker;
mod dockerfile;
pub mod doctor;
pub mod down;
pub mod forward;
mod go;
mod images;
pub mod internet;
mod launch;
mod leftovers;
pub mod loopback;
mod network;
pub mod node;
pub mod packages;
mod pki;
pub mod platform;
pub mod postgres;
mod process;
mod programs;
pub use programs::{for_alerts, versions};
pub mod state;
pub mod status;
pub mod steps;
mod templates;
pub mod up;

use std::{collections::BTreeMap, net::Ipv4Addr, path::PathBuf};

use anyhow::{Context, Result, bail};
use state::State;

pub use process::{kill_by_word, kill_container};

/// A lab that runs.
#[derive(Clone, Debug)]
pub struct Lab {
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// Where the API server answers.
    pub api_server: String,
    /// The first node's address, which this machine reaches directly: NodePorts answer there.
    pub node_address: Ipv4Addr,
    /// The name of every node.
    pub nodes: Vec<String>,
    /// The registry as nodes and builds name it; on this machine too, unless the port was taken.
    pub registry: String,
    /// The registry's address for this machine, whatever else listens on the port.
    pub registry_address: String,
    /// The socket of the lab's dockerd.
    pub docker_socket: PathBuf,
    /// Who signed the certificates of the platform and of customers' own domains (PEM): the roots of
    /// the lab's authorities.
    pub trust: PathBuf,
    /// The port of 127.0.0.1 that leads to NodePort 30080.
    pub http_port: u16,
    /// The port of 127.0.0.1 that leads to NodePort 30443.
    pub https_port: u16,
    /// The lab's kubectl.
    pub kubectl: PathBuf,
    /// The lab's helm.
    pub helm: PathBuf,
    /// The API server's audit log, one JSON object per line, about a second behind.
    pub audit_log: PathBuf,
    /// Node 1's first process: `nsenter --target <pid> --net --mount` looks inside.
    pub supervisor: i32,
    state: State,
}

impl Lab {
    /// The lab of this machine that runs now (`TUTTI_LAB` says which, if there are several).
    pub fn discover() -> Result<Self> {
        Self::at(State::from_environment())
    }

    /// The lab with a given state folder.
    pub fn at(state: State) -> Result<Self> {
        let record = state.record()?;
        if record.nodes == 0 {
            bail!("there is no lab at {}; run make up", state.root().display());
        }
        let supervisor = launch::supervisor(&record, 1)
            .with_context(|| {
                format!(
                    "the lab at {} does not run; run make up",
                    state.root().display()
                )
            })?
            .pid;
        if forward::running(&record).is_none() {
            bail!("the lab's ports are not forwarded; run make up");
        }
        let (http_port, https_port) = record
            .http_port
            .zip(record.https_port)
            .context("the lab has no ports yet; run make up")?;
        let node_address = network::node_address(record.index, 1);
        Ok(Self {
            kubeconfig: state.kubeconfig(),
            api_server: network::api_server_url(record.index),
            node_address,
            nodes: (1..=record.nodes).map(state::node_name).collect(),
            registry: format!("localhost:{}", network::REGISTRY_PORT),
            registry_address: format!("{node_address}:{}", network::REGISTRY_PORT),
            docker_socket: state.docker_socket(),
            trust: internet::roots_file(&state),
            http_port,
            https_port,
            kubectl: state.program("kubectl"),
            helm: state.program("helm"),
            audit_log: state.path("audit.log"),
            supervisor,
            state,
        })
    }

    /// A client as the administrator.
    pub async fn client(&self) -> Result<kube::Client> {
        let kubeconfig = kube::config::Kubeconfig::read_from(&self.kubeconfig)?;
        let options = kube::config::KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        Ok(kube::Client::try_from(config)?)
    }

    /// Builds an image on the lab's dockerd, unless the registry has one of the same context.
    pub async fn build_image(
        &self,
        request: &docker::ImageBuild,
        output: impl FnMut(&str),
    ) -> Result<docker::BuiltImage> {
        docker::build(&docker::connect(&self.state).await?, request, output).await
    }

    /// What a shell needs to use the lab, by the variables' names.
    pub fn environment(&self) -> BTreeMap<&'static str, String> {
        let show = |path: &PathBuf| path.display().to_string();
        BTreeMap::from([
            ("KUBECONFIG", show(&self.kubeconfig)),
            (
                "DOCKER_HOST",
                format!("unix://{}", self.docker_socket.display()),
            ),
            ("TUTTI_REGISTRY", format!("{}/tutti", self.registry)),
            ("TUTTI_HTTP_PORT", self.http_port.to_string()),
            ("TUTTI_HTTPS_PORT", self.https_port.to_string()),
            ("TUTTI_NODE_ADDRESS", self.node_address.to_string()),
            ("TUTTI_CA", show(&self.trust)),
            ("TUTTI_VALUES", show(&internet::values_file(&self.state))),
            ("TUTTI_AUDIT_LOG", show(&self.audit_log)),
        ])
    }

    /// Its folder.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The folder of the lab's programs, for PATH.
    pub fn program_folder(&self) -> PathBuf {
        self.state.path("bin")
    }
}
