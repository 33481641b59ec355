//! An instance that has done nothing wrong, beside others that have.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::json;

use crate::{App, Organization, Story, describe, ready};

/// It must not notice anything.
pub struct Innocent {
    /// Its address.
    pub url: String,
    pod: Option<String>,
}

impl Innocent {
    /// An app, an organization, and the instance in it.
    pub async fn with(story: &Story) -> Result<(App, Organization, Self)> {
        let app = App::define(story, |_| {}).await?;
        let organization = story.organization().await?;
        organization
            .order("innocent", json!({"app": app.name, "version": "1"}))
            .await?;
        let innocent = Self {
            url: organization.address("innocent").await?,
            pod: organization.pod("innocent", "web").await?.uid(),
        };
        Ok((app, organization, innocent))
    }

    /// It is ready, and in the same pod as ever.
    pub async fn is_unharmed(&self, organization: &Organization) -> Result<()> {
        let found = organization.instance("innocent").await?;
        let is_ready = ready(&found).is_some_and(|ready| ready.status == "True");
        ensure!(is_ready, "{}", describe(&found));
        let pod: Pod = organization.pod("innocent", "web").await?;
        ensure!(pod.uid() == self.pod, "its pod was replaced");
        Ok(())
    }
}
