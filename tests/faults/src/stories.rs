//! What people do with an instance, one deed per story.

use anyhow::Result;
use crds::{AppInstance, app_instance::DeletionPolicy, condition};
use kube::{
    Api, Resource as _,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;

/// The name of the instance in every story; each has a namespace of its own.
pub const INSTANCE: &str = "shop";
/// The customer's own hostname.
pub const DOMAIN: &str = "www.acme.example";

/// A deed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Story {
    Provision,
    AddDomain,
    Scale,
    Upgrade,
    Stop,
    Start,
    /// Deleted, and volumes and secrets are kept.
    Leave,
    /// Ordered again over what was kept.
    Return,
    /// Deleted with everything.
    Destroy,
}

/// What a story comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    Running,
    Stopped,
    Gone,
}

impl Story {
    /// A life with everything in it, that ends with nothing.
    pub const FULL_LIFE: [Self; 7] = [
        Self::Provision,
        Self::AddDomain,
        Self::Scale,
        Self::Upgrade,
        Self::Stop,
        Self::Start,
        Self::Destroy,
    ];

    /// A life that is left and taken up again.
    pub const RETURN: [Self; 3] = [Self::Provision, Self::Leave, Self::Return];

    /// What it comes to.
    pub fn goal(self) -> Goal {
        match self {
            Self::Stop => Goal::Stopped,
            Self::Leave | Self::Destroy => Goal::Gone,
            _ => Goal::Running,
        }
    }

    /// Makes ready what is not part of the story; says whether there was anything.
    pub async fn prepare(self, api: &Api<AppInstance>) -> Result<bool> {
        if self == Self::Destroy {
            change(api, json!({ "deletionPolicy": DeletionPolicy::Delete })).await?;
        }
        Ok(self == Self::Destroy)
    }

    /// The deed.
    pub async fn act(self, api: &Api<AppInstance>) -> Result<()> {
        let spec = match self {
            Self::Provision | Self::Return => return order(api, "demo", "1.0").await,
            Self::Leave | Self::Destroy => {
                api.delete(INSTANCE, &DeleteParams::default()).await?;
                return Ok(());
            }
            Self::AddDomain => json!({ "domains": [DOMAIN] }),
            Self::Scale => json!({ "replicas": 2 }),
            Self::Upgrade => json!({ "version": "2.0" }),
            Self::Stop => json!({ "stopped": true }),
            Self::Start => json!({ "stopped": false }),
        };
        change(api, spec).await
    }
}

/// Changes fields of the spec.
pub async fn change(api: &Api<AppInstance>, spec: serde_json::Value) -> Result<()> {
    let patch = Patch::Merge(json!({ "spec": spec }));
    api.patch(INSTANCE, &person(), &patch).await?;
    Ok(())
}

/// Orders an instance.
pub async fn order(api: &Api<AppInstance>, app: &str, version: &str) -> Result<()> {
    let object = json!({
        "apiVersion": "tutti.dev/v1alpha1",
        "kind": "AppInstance",
        "metadata": { "name": INSTANCE },
        "spec": { "app": app, "version": version },
    });
    api.patch(INSTANCE, &person(), &Patch::Apply(object))
        .await?;
    Ok(())
}

fn person() -> PatchParams {
    PatchParams {
        field_manager: Some("kubectl".to_owned()),
        ..PatchParams::default()
    }
}

impl Goal {
    /// Whether it is reached, as the instance tells.
    pub fn is_reached(self, instance: Option<&AppInstance>) -> bool {
        let Some(instance) = instance else {
            return self == Self::Gone;
        };
        let Some(status) = &instance.status else {
            return false;
        };
        if status.observed_generation != instance.metadata.generation
            || instance.meta().deletion_timestamp.is_some()
        {
            return false;
        }
        let ready = condition::find(&status.conditions, condition::READY);
        match self {
            Self::Running => {
                ready.is_some_and(|ready| ready.status == "True")
                    && status.version.as_ref() == Some(&instance.spec.version)
            }
            Self::Stopped => ready.is_some_and(|ready| ready.reason == "Stopped"),
            Self::Gone => false,
        }
    }
}
