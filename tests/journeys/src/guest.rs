//! Pods of a story's own, to look at the network from where they are: one of a job's kind, with
//! all that such a pod may and may not do, or one that nobody fences.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{batch::v1::CronJob, core::v1::Pod};
use kube::{Api, ResourceExt, api::PostParams};
use lab::Lab;
use serde_json::json;

use crate::{Organization, Story, wait::within};

/// A connection is waited for so many seconds; what is dropped never answers.
const PATIENCE: u64 = 3;
/// A guest ends by itself, should nobody end it.
const LONGEST_SECONDS: i64 = 900;

/// A pod in the namespace `default`. It goes when this is dropped.
pub struct Guest {
    /// The pod.
    pub pod: Pod,
    lab: Lab,
}

impl Guest {
    /// A pod that no policy fences; the image has a bash.
    pub async fn unfenced(story: &Story, image: &str) -> Result<Self> {
        let name = format!("j-guest-{:05x}", rand::random::<u32>() & 0xf_ffff);
        let pod = serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "automountServiceAccountToken": false,
                "containers": [{"name": "guest", "image": image}],
            },
        }))?;
        let pods = Api::namespaced(story.client.clone(), "default");
        let guest = Self {
            pod: asleep(pod)?,
            lab: story.lab.clone(),
        };
        pods.create(&PostParams::default(), &guest.pod).await?;
        runs(&pods, &name).await?;
        Ok(guest)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It ends by itself, too.
        let _ = std::process::Command::new(&self.lab.kubectl)
            .arg("--kubeconfig")
            .arg(&self.lab.kubeconfig)
            .args(["delete", "pod", &self.pod.name_any(), "--wait=false"])
            .args(["--namespace", "default"])
            .output();
    }
}

impl Organization {
    /// A pod as a periodic job makes it; it goes with the organization.
    pub async fn guest(&self, cron_job: &str) -> Result<Pod> {
        let name = format!("{cron_job}-guest");
        let jobs = self.objects::<CronJob>();
        let job = within(30, &format!("{cron_job} is there"), || async {
            Ok(jobs.get(cron_job).await?)
        })
        .await?;
        let spec = job.spec.and_then(|spec| spec.job_template.spec);
        let template = spec.context("a CronJob without a template")?.template;
        let mut metadata = template.metadata.unwrap_or_default();
        metadata.name = Some(name.clone());
        metadata.namespace = Some(self.name.clone());
        let pod = asleep(Pod {
            metadata,
            spec: template.spec,
            status: None,
        })?;
        let pods = self.objects::<Pod>();
        pods.create(&PostParams::default(), &pod).await?;
        runs(&pods, &name).await
    }
}

/// The same pod, which does nothing.
fn asleep(mut pod: Pod) -> Result<Pod> {
    let spec = pod.spec.as_mut().context("a pod without spec")?;
    spec.active_deadline_seconds = Some(LONGEST_SECONDS);
    // Nobody who sleeps listens to signals.
    spec.termination_grace_period_seconds = Some(1);
    let container = spec.containers.first_mut().context("no container")?;
    container.command = Some(vec!["sleep".to_owned(), LONGEST_SECONDS.to_string()]);
    Ok(pod)
}

async fn runs(pods: &Api<Pod>, name: &str) -> Result<Pod> {
    within(120, &format!("the guest {name} runs"), || async {
        let pod = pods.get(name).await?;
        let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
        ensure!(phase == Some("Running"), "{:?}", pod.status);
        Ok(pod)
    })
    .await
}

/// An address that somebody might connect to.
pub type Address = (Ipv4Addr, u16);

/// Which of the addresses one gets a connection to. Who is asked runs a bash script where it is,
/// and returns what the script prints.
pub async fn reached<'a, F>(
    addresses: &BTreeMap<&'a str, Address>,
    ask: impl FnOnce(String) -> F,
) -> Result<BTreeSet<&'a str>>
where
    F: Future<Output = Result<String>>,
{
    let mut script = String::new();
    for (ip, port) in addresses.values() {
        script += &format!(
            "(timeout {PATIENCE} bash -c 'exec 3<>/dev/tcp/{ip}/{port}' 2>/dev/null \
             && echo {ip}:{port}) &\n"
        );
    }
    script += "wait\necho asked";
    let answer = ask(script).await?;
    ensure!(
        answer.lines().last() == Some("asked"),
        "the script did not end: {answer}"
    );
    let names = addresses.iter().filter(|(_, (ip, port))| {
        let address = format!("{ip}:{port}");
        answer.lines().any(|line| line == address)
    });
    Ok(names.map(|(name, _)| *name).collect())
}
