//! The charts on the real API server: what they render is accepted, an upgrade loses no request,
//! and an uninstall takes the platform away but nothing of its customers, who are served again when
//! it is back. Everything else of the suite needs the platform, so this has a binary of its own.

use std::{path::PathBuf, process::Output, time::Instant};

use anyhow::{Context, Result, ensure};
use crds::{AppInstance, domain::Certificate};
use journeys::{
    App, Organization, PAGE, PLATFORM, Site, Story, Visitors, authority_says_of, is_ready, took,
    within,
};
use k8s_openapi::{
    api::{
        coordination::v1::Lease,
        core::v1::{PersistentVolumeClaim, Pod},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams},
};
use lab::Lab;
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};

const RELEASE: &str = "tutti";
/// Of the kinds; its chart has the same name.
const KINDS_RELEASE: &str = "tutti-crds";
/// Longer than a gateway may take to drain.
const PATIENCE: &str = "4m";
/// A line of the log that only an upgrade brings about.
const OTHER_FILTER: &str = "info,kube=warn";

#[tokio::test]
async fn the_api_server_accepts_what_the_charts_render() -> Result<()> {
    let story = Story::begin_alone("render").await?;
    let helm = Helm::of(&story);
    let values = helm.values().await?;
    let rendered = helm.render("tutti", &values).await?;
    accepts(&story, "the lab's values", &rendered).await?;
    let kinds = helm.render("tutti-crds", &json!({})).await?;
    accepts(&story, "the kinds", &kinds).await?;
    let production = charts().join("tutti/ci/production-values.yaml");
    let arguments = ["--values", &production.display().to_string()];
    // Monitors are a kind that not every cluster has.
    let monitors = json!({"monitoring": {
        "serviceMonitor": false, "podMonitor": false, "prometheusRule": false,
    }});
    let rendered = helm.render_with("tutti", &arguments, &monitors).await?;
    accepts(&story, "production", &rendered).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sites_outlive_an_upgrade_and_an_uninstall_of_the_platform() -> Result<()> {
    let story = Story::begin_alone("charts").await?;
    // Outlives everything below, so that what is left can be cleared away.
    let mut platform = Platform::installed(&story).await?;
    let app = App::define(&story, |spec| {
        spec["jobs"] = json!([{
            "name": "ask", "when": "periodic", "schedule": "@yearly", "command": ["true"],
            "volumes": false,
        }]);
    })
    .await?;
    let organization = story.organization().await?;
    let wish = json!({"app": app.name, "version": "1"});
    organization.order("files", wish).await?;
    let url = organization.address("files").await?;
    let site = story.site(&url)?;
    let web = organization.pod("files", "web").await?;
    let write = "echo kept by the volume > /var/lib/wordpress/wp-content/kept.txt";
    organization.bash(&web, write).await?;
    let job = organization.guest("files-ask").await?;
    let hostname = format!("www.{}.test", organization.name);
    let host = organization
        .instance("files")
        .await?
        .status
        .and_then(|status| status.host);
    story.set_record(&hostname, "CNAME", &host.context("no default host")?)?;
    organization
        .change("files", json!({"domains": [hostname]}))
        .await?;
    let certified = organization.domain(&hostname, "Served").await?.certificate;
    let before = belongings(&organization).await?;

    platform.is_as_before = false;
    upgrade_under_load(&story, &platform, &url).await?;
    ensure!(
        belongings(&organization).await? == before,
        "an upgrade of the platform is no event for its customers"
    );

    let start = Instant::now();
    platform.uninstall(&story).await?;
    let kinds = ["uninstall", KINDS_RELEASE, "--wait", "--timeout", PATIENCE];
    platform.helm.run(&kinds, "").await?;
    took("uninstalled", start);
    ensure!(site.page(PAGE).await.is_err(), "who answers?");
    let kinds = story.all::<CustomResourceDefinition>();
    let kinds = kinds.list(&ListParams::default()).await?;
    let ours = kinds.iter().filter(|kind| kind.spec.group == "tutti.dev");
    let ours = ours.count();
    ensure!(ours == 6, "of six kinds {ours} are left");
    ensure!(
        belongings(&organization).await? == before,
        "with the platform went {before:?}; there is {:?}",
        belongings(&organization).await?
    );
    let ask = "exec 3<>/dev/tcp/files/80
        printf 'GET /wp-content/kept.txt HTTP/1.0\\r\\nHost: files\\r\\n\\r\\n' >&3
        cat <&3";
    let answer = story.bash(&job, ask).await?;
    ensure!(
        answer.contains(" 200 ") && answer.contains("kept by the volume"),
        "inside the cluster it answers {answer}"
    );

    // The operators made it, and Helm does not know it: now everything of theirs is gone.
    let leases = story.platform::<Lease>();
    leases
        .delete("tutti-operator", &DeleteParams::default())
        .await?;

    let start = Instant::now();
    platform.install().await?;
    within(60, "the site is served again", || async {
        let page = site.page("/wp-content/kept.txt").await?;
        ensure!(page.status == 200, "{page:?}");
        ensure!(page.body.trim() == "kept by the volume", "{page:?}");
        Ok(())
    })
    .await?;
    took("installed again, and the site is served", start);
    // Nothing was revoked, and nothing is ordered anew.
    let own = Site::of_domain(&story.lab, &hostname)?;
    within(30, "the customer's domain is served again", || async {
        ensure!(own.page(PAGE).await?.status == 200);
        Ok(())
    })
    .await?;
    let last = certified.as_ref().context("it was not certified")?;
    let said = authority_says_of(&story.lab, last).await?;
    ensure!(
        said == ("Valid".to_owned(), None),
        "the authority says: {said:?}"
    );
    let again = organization.domain(&hostname, "Served").await?.certificate;
    let serial =
        |certificate: &Option<Certificate>| certificate.as_ref().map(|it| it.serial.clone());
    ensure!(serial(&again) == serial(&certified), "{again:?}");
    let files = organization.ready("files").await?;
    let again = files.status.and_then(|status| status.url);
    ensure!(again.as_ref() == Some(&url), "it is now at {again:?}");
    ensure!(
        belongings(&organization).await? == before,
        "it was made again: {before:?}, {:?}",
        belongings(&organization).await?
    );
    let values = platform.helm.values().await?;
    ensure!(values == platform.values, "installed with {values}");
    platform.is_as_before = true;
    organization.end().await
}

/// What an organization has: kind, name and UID; pods only if they are Ready.
async fn belongings(organization: &Organization) -> Result<Vec<(&'static str, String, String)>> {
    let all = ListParams::default();
    let row = |kind, name: String, uid: Option<String>| (kind, name, uid.unwrap_or_default());
    let mut rows = Vec::new();
    for it in organization.objects::<AppInstance>().list(&all).await? {
        rows.push(row("AppInstance", it.name_any(), it.uid()));
    }
    for it in organization.objects::<Pod>().list(&all).await? {
        if is_ready(&it) {
            rows.push(row("Pod", it.name_any(), it.uid()));
        }
    }
    let claims = organization.objects::<PersistentVolumeClaim>();
    for it in claims.list(&all).await? {
        rows.push(row("PersistentVolumeClaim", it.name_any(), it.uid()));
    }
    for name in organization.secrets("files").await? {
        rows.push(row("Secret", name, None));
    }
    rows.sort();
    ensure!(
        rows.len() >= 5,
        "instance, two pods, volume, Secret: {rows:?}"
    );
    Ok(rows)
}

/// Another value makes all pods of the platform new ones, and no visitor notices.
async fn upgrade_under_load(story: &Story, platform: &Platform, url: &str) -> Result<()> {
    let mut values = platform.values.clone();
    values["log"]["filter"] = json!(OTHER_FILTER);
    let visitors = Visitors::come(story.site(url)?, PAGE);
    let start = Instant::now();
    let upgraded = platform.helm.install(&values).await;
    // The last old pod drains.
    let drained = within(120, "all pods are new", || async {
        for name in ["gateway", "operator", "idm"] {
            for pod in story.platform_pods(name).await? {
                let filter = environment(&pod, "TUTTI_LOG_FILTER");
                let pod_name = pod.name_any();
                ensure!(filter == OTHER_FILTER, "{pod_name} has {filter:?}");
                ensure!(is_ready(&pod), "{pod_name} is not ready");
            }
        }
        Ok(())
    })
    .await;
    let served = visitors.leave().await;
    upgraded?;
    drained?;
    took("upgraded", start);
    served
}

fn environment(pod: &Pod, name: &str) -> String {
    let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
    let variables = container.and_then(|container| container.env.as_ref());
    let found = variables
        .into_iter()
        .flatten()
        .find(|variable| variable.name == name);
    found.and_then(|it| it.value.clone()).unwrap_or_default()
}

/// A dry run on the API server: it validates and defaults, and writes nothing.
async fn accepts(story: &Story, what: &str, rendered: &str) -> Result<()> {
    let child = Command::new(&story.lab.kubectl)
        .arg("--kubeconfig")
        .arg(&story.lab.kubeconfig)
        .args(["apply", "--server-side", "--dry-run=server"])
        .args(["--force-conflicts", "--filename", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    let output = feed(child, rendered).await?;
    let accepted = text(&output)?;
    let warnings = String::from_utf8_lossy(&output.stderr);
    ensure!(warnings.is_empty(), "{what}: {warnings}");
    let objects = rendered
        .lines()
        .filter(|line| line.starts_with("kind:"))
        .count();
    let told = accepted.lines().count();
    ensure!(
        told == objects && objects > 0,
        "{what}: of {objects} objects the API server accepts {told}: {accepted}"
    );
    println!("{what}: {objects} objects are accepted");
    Ok(())
}

/// The release as it was found. When this is dropped before all is as it was, it is made so.
struct Platform {
    helm: Helm,
    values: Value,
    is_as_before: bool,
}

impl Platform {
    async fn installed(story: &Story) -> Result<Self> {
        let helm = Helm::of(story);
        let values = helm.values().await?;
        Ok(Self {
            helm,
            values,
            is_as_before: true,
        })
    }

    async fn uninstall(&self, story: &Story) -> Result<()> {
        let arguments = ["uninstall", RELEASE, "--wait", "--timeout", PATIENCE];
        self.helm.run(&arguments, "").await?;
        within(120, "the platform's pods are gone", || async {
            for name in ["gateway", "operator", "idm", "postgresql"] {
                let pods = story.platform_pods(name).await?.len();
                ensure!(pods == 0, "{pods} pods of the {name}");
            }
            Ok(())
        })
        .await
    }

    async fn install(&self) -> Result<()> {
        self.helm.install_kinds().await?;
        self.helm.install(&self.values).await
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if self.is_as_before {
            return;
        }
        eprintln!("the story broke off: the platform is installed as it was");
        let _ = std::thread::scope(|threads| threads.spawn(|| again(self)).join());
    }
}

/// On a thread of its own: where a story breaks off there is a runtime already.
fn again(platform: &Platform) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = runtime
        .context("no runtime")
        .and_then(|runtime| runtime.block_on(platform.install()));
    if let Err(error) = outcome {
        eprintln!("the platform cannot be installed again, run make up: {error:#}");
    }
}

/// The lab's helm.
struct Helm {
    lab: Lab,
}

impl Helm {
    fn of(story: &Story) -> Self {
        Self {
            lab: story.lab.clone(),
        }
    }

    /// What the release was installed with.
    async fn values(&self) -> Result<Value> {
        let output = self.run(&["get", "values", RELEASE, "--output", "json"], "");
        let output = output.await.context("is Tutti installed? run make up")?;
        Ok(serde_json::from_str(&output)?)
    }

    async fn render(&self, chart: &str, values: &Value) -> Result<String> {
        self.render_with(chart, &[], values).await
    }

    async fn render_with(&self, chart: &str, more: &[&str], values: &Value) -> Result<String> {
        let path = charts().join(chart).display().to_string();
        let version = self.lab.client().await?.apiserver_version().await?;
        let more = [more, &["--kube-version", &version.git_version]].concat();
        let arguments = [&["template", chart, &path][..], &more, &["--values", "-"]].concat();
        self.run(&arguments, &values.to_string()).await
    }

    /// The kinds, which an uninstallation leaves in the cluster.
    async fn install_kinds(&self) -> Result<()> {
        let chart = charts().join(KINDS_RELEASE).display().to_string();
        let arguments = ["upgrade", "--install", KINDS_RELEASE, &chart, "--wait"];
        self.run(&arguments, "").await.map(drop)
    }

    /// Installs or upgrades.
    async fn install(&self, values: &Value) -> Result<()> {
        let chart = charts().join("tutti").display().to_string();
        let arguments = ["upgrade", "--install", RELEASE, &chart, "--values", "-"];
        let wait = ["--wait", "--timeout", PATIENCE];
        let arguments = [&arguments[..], &wait].concat();
        self.run(&arguments, &values.to_string()).await.map(drop)
    }

    async fn run(&self, arguments: &[&str], input: &str) -> Result<String> {
        let child = Command::new(&self.lab.helm)
            .env("KUBECONFIG", &self.lab.kubeconfig)
            .args(arguments)
            .args(["--namespace", PLATFORM])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .context("helm cannot be run")?;
        let output = feed(child, input).await?;
        text(&output).with_context(|| format!("helm {}", arguments.join(" ")))
    }
}

/// Gives a program its input and waits for its end.
async fn feed(mut child: Child, input: &str) -> Result<Output> {
    let mut stdin = child.stdin.take().context("it takes no input")?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    Ok(child.wait_with_output().await?)
}

fn text(output: &Output) -> Result<String> {
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{error}");
    Ok(String::from_utf8(output.stdout.clone())?)
}

fn charts() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../charts")
}
