//! What stands for the internet where there is no lab, on a loopback address of its own: a DNS
//! server (BIND), and certificate authorities (Pebble) that can be made difficult, killed and
//! started again. Beside it, on the same address, there is room for a gateway's ports 80 and 443.
//! It wants root, as the lab does.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::PathBuf,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::{
    children::Children,
    internet::{self, Authority},
    pki, process, programs,
    state::State,
};

/// The Secret of the operator's namespace that [`Loopback::domains_config`] names.
pub const UPDATE_SECRET: &str = "dns-update";

/// A loaded machine takes several times the usual second.
const PATIENCE: Duration = Duration::from_secs(60);

/// How an authority treats its clients.
#[derive(Clone, Debug, Default)]
pub struct Temper {
    /// Of a hundred nonces that it gave out, it refuses so many when they come back.
    pub refused_nonces: u8,
    /// It waits up to so many seconds before it looks at a challenge.
    pub slowness: Duration,
}

/// A small internet. Dropping it ends it.
pub struct Loopback {
    /// Where its DNS server is, and every name of the platform's zone.
    pub address: Ipv4Addr,
    zone: String,
    state: State,
    programs: State,
    children: Mutex<Children>,
}

impl Loopback {
    /// With a DNS server, and no authority yet.
    ///
    /// # Errors
    /// When a program is missing and cannot be had, or ends.
    pub fn start(platform_zone: &str) -> Result<Self> {
        let programs = programs::for_tests(false)?;
        internet::provide_program(&programs)?;
        let address = free_address()?;
        let mut children = Children::new("loopback")?;
        // The DNS server listens on addresses only that an interface is known to have.
        let own = format!("{address}/32 dev lo");
        process::run(
            Command::new("ip")
                .args(["address", "add"])
                .args(own.split(' ')),
        )?;
        children.finally(&format!("ip address del {own}"))?;
        let state = State::at(children.folder());
        internet::provide_dns(&state, address, platform_zone)?;
        pki::provide_authorities(&state, address)?;
        let flags = internet::dns_flags(&state);
        children.spawn("named", &programs.program("named"), &flags, &[])?;
        children.wait_port("named", SocketAddr::from((address, 53)), PATIENCE)?;
        Ok(Self {
            address,
            zone: platform_zone.to_owned(),
            state,
            programs,
            children: Mutex::new(children),
        })
    }

    /// Changes records, each as `nsupdate` reads it: `update add www.acme.test. 5 A 192.0.2.1`.
    ///
    /// # Errors
    /// What the DNS server has against it.
    pub fn update(&self, updates: &str) -> Result<()> {
        internet::update_dns(&self.state, self.address, updates)
    }

    /// A folder that lasts as long.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.children().folder().to_owned()
    }

    /// The key that updates are signed with, in base64: `key` of [`UPDATE_SECRET`].
    ///
    /// # Errors
    /// When it is gone.
    pub fn update_key(&self) -> Result<String> {
        internet::provide_key(&self.state)
    }

    /// Who signed what the authorities show of themselves (PEM).
    ///
    /// # Errors
    /// When the file is gone.
    pub fn trust(&self) -> Result<String> {
        let place = self.state.path("tls/ca.crt");
        fs::read_to_string(&place).with_context(|| place.display().to_string())
    }

    /// Starts an authority, and waits until it listens. It knows nothing of an earlier life.
    ///
    /// # Errors
    /// When it ends.
    pub fn start_authority(&self, authority: &Authority, temper: &Temper) -> Result<()> {
        authority.provide(&self.state, self.address)?;
        let mut variables = vec![
            ("PEBBLE_WFE_NONCEREJECT", temper.refused_nonces.to_string()),
            // Each order is validated anew.
            ("PEBBLE_AUTHZREUSE", "0".to_owned()),
        ];
        variables.push(if temper.slowness.is_zero() {
            ("PEBBLE_VA_NOSLEEP", "1".to_owned())
        } else {
            let seconds = temper.slowness.as_secs().max(1);
            ("PEBBLE_VA_SLEEPTIME", seconds.to_string())
        });
        let program = self.programs.program("pebble");
        let flags = authority.flags(&self.state, self.address);
        let mut children = self.children();
        children.spawn(authority.name, &program, &flags, &variables)?;
        let place = SocketAddr::from((self.address, authority.port));
        children.wait_port(authority.name, place, PATIENCE)
    }

    /// The operator's `--domains-config`, for this internet and authorities, each with its name, its
    /// directory, and who signed what it shows of itself (PEM).
    #[must_use]
    pub fn domains_config(&self, authorities: &[(&str, &str, &str)]) -> serde_json::Value {
        let directories: Vec<serde_json::Value> = authorities
            .iter()
            .map(|(name, url, trust)| {
                json!({
                    "name": name,
                    "url": url,
                    "contacts": ["mailto:operations@acme.test"],
                    "termsOfServiceAgreed": true,
                    "caBundle": trust,
                    "caaIdentities": ["pebble.letsencrypt.org"],
                    // Of those who name none it takes any.
                    "profile": "classic",
                    "limits": "none",
                })
            })
            .collect();
        json!({
            "dns": { "resolvers": [self.address], "timeoutSeconds": 5 },
            "acme": {
                "directories": directories,
                "dns01": {
                    "delegationZone": format!("acme.{}", self.zone),
                    "rfc2136": {
                        "server": self.address,
                        "zones": [self.zone],
                        "keyName": "lab",
                        "keySecret": UPDATE_SECRET,
                    },
                },
            },
        })
    }

    /// Makes a gateway on this address known to a cluster that has no node: its Pod.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn announce_gateway(&self, client: &Client, namespace: &str) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let port = |name: &str, number: u16| json!({ "name": name, "containerPort": number });
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "name": "gateway", "labels": { "app.kubernetes.io/name": "gateway" } },
            "spec": { "containers": [{
                "name": "gateway",
                "image": "gateway",
                "ports": [port("http", 80), port("https", 443)],
            }] },
        }))?;
        pods.create(&PostParams::default(), &pod).await?;
        let status = json!({ "status": {
            "podIP": self.address,
            "podIPs": [{ "ip": self.address }],
            "conditions": [{ "type": "Ready", "status": "True" }],
        }});
        pods.patch_status("gateway", &PatchParams::default(), &Patch::Merge(status))
            .await?;
        Ok(())
    }

    /// Kills an authority.
    pub fn kill_authority(&self, authority: &Authority) {
        self.children().kill(authority.name);
    }

    fn children(&self) -> MutexGuard<'_, Children> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address on which nobody has the ports that matter.
fn free_address() -> Result<Ipv4Addr> {
    let is_free = |address: &Ipv4Addr| {
        let tcp = [53, 80, 443].map(|port| TcpListener::bind((*address, port)));
        tcp.iter().all(Result::is_ok) && UdpSocket::bind((*address, 53)).is_ok()
    };
    (1..=250)
        .map(|number| Ipv4Addr::new(127, 77, number, 1))
        .find(is_free)
        .context(
            "ports 53, 80 and 443 can be had on no address from 127.77.1.1 on; this wants root",
        )
}
