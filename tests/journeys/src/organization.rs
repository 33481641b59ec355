//! An organization of a story's own, with what is ordered in it. It goes when the story ends,
//! however it ends; `JOURNEYS_KEEP=1` keeps that of a story that failed.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use crds::{AppInstance, Domain, condition, domain::DomainStatus, labels};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod, Secret};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use lab::Lab;
use serde_json::{Value, json};

use crate::{Site, Story, is_ready, took, wait::within};

/// A look comes every 15 s at first; then an order of a few seconds.
const DOMAIN_SECONDS: u64 = 60;
/// How long an order may take until it answers.
const READY_SECONDS: u64 = 240;

/// An organization of a story's own.
pub struct Organization {
    /// Its name and that of its namespace.
    pub name: String,
    client: Client,
    lab: Lab,
    has_ended: bool,
}

impl Organization {
    pub(crate) async fn create(story: &Story, of: &str, more: Value) -> Result<Self> {
        let name = format!("j-{of}-{:05x}", rand::random::<u32>() & 0xf_ffff);
        let organization = Self {
            name: name.clone(),
            client: story.client.clone(),
            lab: story.lab.clone(),
            has_ended: false,
        };
        let mut spec = json!({"title": format!("Journey: {of}"), "deletionPolicy": "Delete"});
        merge(&mut spec, more);
        let object = json!({
            "apiVersion": "tutti.dev/v1alpha1",
            "kind": "Organization",
            "metadata": {"name": name},
            "spec": spec,
        });
        let api: Api<crds::Organization> = Api::all(story.client.clone());
        api.patch(&name, &by_us(), &Patch::Apply(&object)).await?;
        within(30, &format!("organization {name} is fenced"), || async {
            let conditions = api.get(&name).await?.status.unwrap_or_default().conditions;
            ensure!(
                condition::is_true(&conditions, condition::READY),
                "{conditions:?}"
            );
            Ok(())
        })
        .await?;
        Ok(organization)
    }

    /// Objects of a kind in its namespace.
    pub fn objects<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Applies an instance; unless the wish says otherwise it takes its data along when it goes.
    pub async fn order(&self, instance: &str, wish: Value) -> Result<AppInstance> {
        let mut spec = json!({"deletionPolicy": "Delete"});
        merge(&mut spec, wish);
        let object = json!({
            "apiVersion": "tutti.dev/v1alpha1",
            "kind": "AppInstance",
            "metadata": {"name": instance},
            "spec": spec,
        });
        let api = self.objects::<AppInstance>();
        Ok(api
            .patch(instance, &by_us(), &Patch::Apply(&object))
            .await?)
    }

    /// The newest WordPress, small, in which one can sign in with the generated password.
    pub async fn order_wordpress(&self, instance: &str) -> Result<AppInstance> {
        let settings = json!({"localLogin": "on"});
        let wish =
            json!({"app": "wordpress", "version": "6.8", "size": "small", "settings": settings});
        self.order(instance, wish).await
    }

    /// Changes an instance's spec as `kubectl patch --type merge` does.
    pub async fn change(&self, instance: &str, spec: Value) -> Result<AppInstance> {
        self.merge(instance, json!({ "spec": spec })).await
    }

    /// Changes an instance as `kubectl patch --type merge` does.
    pub async fn merge(&self, instance: &str, change: Value) -> Result<AppInstance> {
        let api = self.objects::<AppInstance>();
        let parameters = PatchParams::default();
        Ok(api
            .patch(instance, &parameters, &Patch::Merge(&change))
            .await?)
    }

    /// The instance as it is.
    pub async fn instance(&self, instance: &str) -> Result<AppInstance> {
        Ok(self.objects::<AppInstance>().get(instance).await?)
    }

    /// Waits until the status speaks of the present spec and `is_so`; complains with what the
    /// object says of itself.
    pub async fn until(
        &self,
        instance: &str,
        seconds: u64,
        what: &str,
        is_so: impl Fn(&AppInstance) -> bool,
    ) -> Result<AppInstance> {
        let what = format!("{}/{instance}: {what}", self.name);
        within(seconds, &what, || async {
            let found = self.instance(instance).await?;
            let observed = found.status.as_ref().and_then(|s| s.observed_generation);
            ensure!(
                observed == found.metadata.generation && is_so(&found),
                "{}",
                describe(&found)
            );
            Ok(found)
        })
        .await
    }

    /// Waits until it is Ready.
    pub async fn ready(&self, instance: &str) -> Result<AppInstance> {
        self.until(instance, READY_SECONDS, "Ready", |found| {
            ready(found).is_some_and(|ready| ready.status == "True")
        })
        .await
    }

    /// Waits until it is Ready; returns its address.
    pub async fn address(&self, instance: &str) -> Result<String> {
        let status = self.ready(instance).await?.status;
        status.and_then(|s| s.url).context("no status.url")
    }

    /// Waits until Ready has this reason; returns its message.
    pub async fn reason(&self, instance: &str, seconds: u64, reason: &str) -> Result<String> {
        let found = self
            .until(instance, seconds, reason, |found| {
                ready(found).is_some_and(|ready| ready.reason == reason)
            })
            .await?;
        Ok(ready(&found)
            .map(|ready| ready.message.clone())
            .unwrap_or_default())
    }

    /// Leads a hostname of this organization's own to an instance, and waits until it is served.
    pub async fn with_domain(&self, story: &Story, instance: &str) -> Result<Site> {
        let hostname = format!("{instance}.{}.test", self.name);
        let status = self.instance(instance).await?.status;
        let target = status.and_then(|status| status.host);
        let target = target.context("no default host")?;
        story.set_record(&hostname, "CNAME", &target)?;
        self.change(instance, json!({"domains": [hostname]}))
            .await?;
        self.domain(&hostname, "Served").await?;
        Site::of_domain(&story.lab, &hostname)
    }

    /// Waits until the Domain of a hostname gives this reason; what it says then.
    pub async fn domain(&self, hostname: &str, reason: &str) -> Result<DomainStatus> {
        within(DOMAIN_SECONDS, &format!("{hostname}: {reason}"), || async {
            let all = self
                .objects::<Domain>()
                .list(&ListParams::default())
                .await?;
            let domain = all
                .into_iter()
                .find(|domain| domain.spec.hostname == hostname)
                .context("there is no Domain")?;
            let status = domain.status.unwrap_or_default();
            let ready = condition::find(&status.conditions, condition::READY);
            ensure!(
                ready.is_some_and(|ready| ready.reason == reason),
                "{:#?}",
                status.conditions
            );
            Ok(status)
        })
        .await
    }

    /// The value of a generated Secret.
    pub async fn secret(&self, name: &str) -> Result<String> {
        let secret = self.objects::<Secret>().get(name).await?;
        let data = secret.data.unwrap_or_default();
        let (_, value) = data.first_key_value().context("the Secret is empty")?;
        Ok(String::from_utf8(value.0.clone())?)
    }

    /// The pods of a component of an instance that are not going away.
    pub async fn pods(&self, instance: &str, component: &str) -> Result<Vec<Pod>> {
        let selector = format!(
            "{}={instance},{}={component}",
            labels::INSTANCE,
            labels::COMPONENT
        );
        let parameters = ListParams::default().labels(&selector);
        let pods = self.objects::<Pod>().list(&parameters).await?.items;
        let stays = |pod: &Pod| {
            pod.metadata.deletion_timestamp.is_none()
                && pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running")
        };
        Ok(pods.into_iter().filter(stays).collect())
    }

    /// The one pod of a component.
    pub async fn pod(&self, instance: &str, component: &str) -> Result<Pod> {
        let pods = self.pods(instance, component).await?;
        pods.into_iter()
            .next()
            .with_context(|| format!("no {component} pod of {instance} runs"))
    }

    /// Runs bash in a pod and returns what it prints.
    pub async fn bash(&self, pod: &Pod, script: &str) -> Result<String> {
        crate::bash(&self.lab, pod, script).await
    }

    /// Deletes the pod of a component and waits for another one that is Ready, and until the
    /// instance is, too.
    pub async fn replace_pod(&self, instance: &str, component: &str) -> Result<()> {
        let old = self.pod(instance, component).await?;
        let pods = self.objects::<Pod>();
        pods.delete(&old.name_any(), &DeleteParams::default())
            .await?;
        let start = Instant::now();
        within(120, &format!("another {component} pod answers"), || async {
            let new = self.pod(instance, component).await?;
            ensure!(new.uid() != old.uid(), "the old one is still there");
            ensure!(is_ready(&new), "{:?}", new.status);
            Ok(())
        })
        .await?;
        self.ready(instance).await?;
        took(&format!("{component} pod deleted, Ready again"), start);
        Ok(())
    }

    /// Names of the volumes that an instance has or left behind.
    pub async fn volumes(&self, instance: &str) -> Result<Vec<String>> {
        let parameters = of(instance);
        let claims = self.objects::<PersistentVolumeClaim>();
        let list = claims.list(&parameters).await?;
        Ok(list.iter().map(ResourceExt::name_any).collect())
    }

    /// Names of the Secrets that an instance has or left behind.
    pub async fn secrets(&self, instance: &str) -> Result<Vec<String>> {
        let list = self.objects::<Secret>().list(&of(instance)).await?;
        Ok(list.iter().map(ResourceExt::name_any).collect())
    }

    /// Deletes an instance and waits until it is gone.
    pub async fn delete(&self, instance: &str) -> Result<()> {
        let api = self.objects::<AppInstance>();
        api.delete(instance, &DeleteParams::default()).await?;
        within(90, &format!("{instance} is gone"), || async {
            match api.get_opt(instance).await? {
                None => Ok(()),
                Some(found) => anyhow::bail!("{}", describe(&found)),
            }
        })
        .await
    }

    /// Deletes all of it and waits until the namespace is gone.
    pub async fn end(mut self) -> Result<()> {
        let all = DeleteParams::default();
        let instances = self.objects::<AppInstance>();
        instances
            .delete_collection(&all, &ListParams::default())
            .await?;
        let organizations: Api<crds::Organization> = Api::all(self.client.clone());
        organizations.delete(&self.name, &all).await?;
        self.has_ended = true;
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        within(150, &format!("namespace {} is gone", self.name), || async {
            match namespaces.get_opt(&self.name).await? {
                None => Ok(()),
                Some(found) => anyhow::bail!("{:?}", found.status),
            }
        })
        .await
    }
}

impl Drop for Organization {
    fn drop(&mut self) {
        if self.has_ended || std::env::var_os("JOURNEYS_KEEP").is_some() {
            return;
        }
        for what in [
            &["delete", "appi", "--all", "--wait=false", "-n", &self.name][..],
            &["delete", "org", &self.name, "--wait=false"][..],
        ] {
            // The story has failed already; what is left is said by its own message.
            let _ = std::process::Command::new(&self.lab.kubectl)
                .arg("--kubeconfig")
                .arg(&self.lab.kubeconfig)
                .args(what)
                .output();
        }
    }
}

fn by_us() -> PatchParams {
    PatchParams::apply("journeys").force()
}

fn of(instance: &str) -> ListParams {
    ListParams::default().labels(&format!("{}={instance}", labels::INSTANCE))
}

fn merge(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}

/// The condition Ready.
#[must_use]
pub fn ready(instance: &AppInstance) -> Option<&condition::Condition> {
    condition::find(&instance.status.as_ref()?.conditions, condition::READY)
}

/// What an instance says of itself, one condition per line.
#[must_use]
pub fn describe(instance: &AppInstance) -> String {
    let status = instance.status.clone().unwrap_or_default();
    let mut text = format!(
        "{} (generation {:?}, observed {:?})",
        instance.name_any(),
        instance.metadata.generation,
        status.observed_generation
    );
    for condition in status.conditions {
        text += &format!(
            "\n  {} {} {}: {}",
            condition.type_, condition.status, condition.reason, condition.message
        );
    }
    text
}
