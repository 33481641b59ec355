//! Stories from end to end, on the running lab with the chart installed. What they share: an
//! organization of their own, a client that trusts the lab's authority, a browser.
//!
//! Each story takes the platform as it is and gives it back as it was. Those that disturb others
//! (a gateway that restarts, an operator that is killed) are in a binary of their own, `z_alone`, and
//! have the lab to themselves. How long each took is in `target/journeys/times.txt`.

mod app;
mod authority;
mod browser;
mod frozen;
mod guest;
mod innocent;
mod organization;
pub mod people;
mod site;
mod visitors;
mod wait;
mod wordpress;

pub use app::{App, PAGE};
pub use authority::authority_says_of;
pub use browser::Browser;
pub use frozen::Frozen;
pub use guest::{Address, Guest, reached};
pub use innocent::Innocent;
pub use organization::{Organization, describe, ready};
pub use site::{Answer, Site};
pub use visitors::Visitors;
pub use wait::within;
pub use wordpress::{Blog, Editor, PICTURE, look_at_the_post};

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt as _, api::ListParams};
use lab::{
    Lab,
    internet::{self, Change},
    platform::{access::LOCAL_ZONE, mail::HOST},
};
use tokio::{
    process::Command,
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard},
};

static QUIET: RwLock<()> = RwLock::const_new(());

/// The namespace of operator and gateway.
pub const PLATFORM: &str = "tutti-system";

/// How a story holds the lab.
enum Hold {
    Shared {
        _guard: RwLockReadGuard<'static, ()>,
    },
    Alone {
        _guard: RwLockWriteGuard<'static, ()>,
    },
}

/// A story on the running lab.
pub struct Story {
    /// The lab.
    pub lab: Lab,
    /// The administrator.
    pub client: Client,
    name: &'static str,
    begun: std::time::Instant,
    _hold: Hold,
}

impl Drop for Story {
    /// Says how long it took: the whole suite has to stay quick.
    fn drop(&mut self) {
        let line = format!(
            "{} {:.1} s\n",
            self.name,
            self.begun.elapsed().as_secs_f64()
        );
        let place = output_folder().join("times.txt");
        let _ = std::fs::create_dir_all(output_folder());
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(place);
        let _ = file.and_then(|mut file| std::io::Write::write_all(&mut file, line.as_bytes()));
    }
}

impl Story {
    /// Begins a story beside which others may run.
    pub async fn begin(name: &'static str) -> Result<Self> {
        let guard = QUIET.read().await;
        Self::with(name, Hold::Shared { _guard: guard }).await
    }

    /// Begins a story that disturbs others.
    pub async fn begin_alone(name: &'static str) -> Result<Self> {
        let guard = QUIET.write().await;
        Self::with(name, Hold::Alone { _guard: guard }).await
    }

    async fn with(name: &'static str, hold: Hold) -> Result<Self> {
        let lab = Lab::discover()?;
        let client = lab.client().await?;
        Ok(Self {
            lab,
            client,
            name,
            begun: std::time::Instant::now(),
            _hold: hold,
        })
    }

    /// An organization of this story's own.
    pub async fn organization(&self) -> Result<Organization> {
        self.organization_with(serde_json::json!({})).await
    }

    /// The same, with more in its spec, such as a quota.
    pub async fn organization_with(&self, spec: serde_json::Value) -> Result<Organization> {
        Organization::create(self, self.name, spec).await
    }

    /// Objects of a kind, in all namespaces or of none.
    pub fn all<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = ()>,
    {
        Api::all(self.client.clone())
    }

    /// Objects of a kind in the platform's namespace.
    pub fn platform<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), PLATFORM)
    }

    /// The pods of the operator or the gateway, those that are going away too.
    pub async fn platform_pods(&self, name: &str) -> Result<Vec<Pod>> {
        let selector = ListParams::default().labels(&format!("app.kubernetes.io/name={name}"));
        Ok(self.platform::<Pod>().list(&selector).await?.items)
    }

    /// Runs bash in a pod and returns what it prints.
    pub async fn bash(&self, pod: &Pod, script: &str) -> Result<String> {
        bash(&self.lab, pod, script).await
    }

    /// Where people sign in.
    pub fn sign_in_url(&self) -> String {
        self.platform_url("id")
    }

    /// Where the lab's mail catcher shows what it got.
    pub fn mail_url(&self) -> String {
        self.platform_url(HOST)
    }

    fn platform_url(&self, host: &str) -> String {
        let port = match self.lab.https_port {
            443 => String::new(),
            port => format!(":{port}"),
        };
        format!("https://{host}.{LOCAL_ZONE}{port}")
    }

    /// Visitors of a site.
    pub fn site(&self, url: &str) -> Result<Site> {
        Site::new(&self.lab, url)
    }

    /// Sets a record in the internet's DNS, as a customer does at the registrar's.
    pub fn set_record(&self, name: &str, kind: &str, value: &str) -> Result<()> {
        let change = Change::Set {
            name: name.to_owned(),
            kind: kind.to_owned(),
            values: vec![value.to_owned()],
            ttl: 5,
        };
        internet::change(self.lab.state(), &change)
    }

    /// Removes all records of a name.
    pub fn remove_records(&self, name: &str) -> Result<()> {
        let change = Change::Delete {
            name: name.to_owned(),
            kind: None,
        };
        internet::change(self.lab.state(), &change)
    }

    /// Makes an administrator of the platform by command, and returns their password. The first one of
    /// all is another story's, which is waited for.
    pub async fn make_administrator(&self, email: &str, name: &str) -> Result<String> {
        let site = self.site(&self.sign_in_url())?;
        let is_there = || async {
            let asked = site.json("/v1/bootstrap").await?;
            ensure!(asked.body.contains("false"), "{}", asked.body);
            Ok(())
        };
        // When this story is told alone, nobody comes.
        let _ = within(60, "there is an administrator", is_there).await;
        let command = ["idm", "admin", "create", "--email", email, "--name", name];
        let exec = ["exec", "-n", PLATFORM, "deployment/idm", "--"];
        let told = self.kubectl(&[&exec[..], &command].concat()).await?;
        let password = told.split_whitespace().last().context("no password")?;
        Ok(password.to_owned())
    }

    /// Runs the lab's kubectl.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        kubectl(&self.lab, arguments).await
    }
}

/// Runs the lab's kubectl and returns what it says.
pub async fn kubectl(lab: &Lab, arguments: &[&str]) -> Result<String> {
    let output = Command::new(&lab.kubectl)
        .arg("--kubeconfig")
        .arg(&lab.kubeconfig)
        .args(arguments)
        .kill_on_drop(true)
        .output()
        .await
        .context("kubectl cannot be run")?;
    ensure!(
        output.status.success(),
        "kubectl {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs bash in a pod and returns what it prints.
pub async fn bash(lab: &Lab, pod: &Pod, script: &str) -> Result<String> {
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let arguments = ["exec", "-n", &namespace, &name, "--", "bash", "-c", script];
    kubectl(lab, &arguments).await
}

/// Whether a pod says of itself that it is Ready.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|c| c.type_ == "Ready" && c.status == "True")
}

/// How often the containers of a pod were started again.
#[must_use]
pub fn restarts(pod: &Pod) -> i32 {
    let statuses = pod
        .status
        .as_ref()
        .and_then(|s| s.container_statuses.as_ref());
    let statuses = statuses.into_iter().flatten();
    statuses.map(|status| status.restart_count).sum()
}

/// Where pictures of failures go.
#[must_use]
pub fn output_folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target"),
        PathBuf::from,
    );
    target.join("journeys")
}

/// Says how long something took, for those who watch with `--nocapture`.
pub fn took(what: &str, since: std::time::Instant) {
    println!("{what}: {:.1} s", since.elapsed().as_secs_f64());
}
