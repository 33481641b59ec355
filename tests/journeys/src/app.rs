//! A small app of a story's own: files that the WordPress image's server gives out, no database.
//! It is Ready in seconds, and its definition can be bent at will.

use anyhow::{Context, Result, ensure};
use crds::{AppDefinition, condition};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
};
use lab::Lab;
use serde_json::{Value, json};

use crate::{Story, wait::within};

/// What the app answers with.
pub const PAGE: &str = "/wp-includes/css/buttons.min.css";

/// An app of a story's own. It goes when this is dropped.
pub struct App {
    /// Its name.
    pub name: String,
    client: Client,
    lab: Lab,
}

impl App {
    /// Applies a definition, bent by `bend` from one that is sound.
    pub async fn define(story: &Story, bend: impl FnOnce(&mut Value)) -> Result<Self> {
        let name = format!("j-{}-{:05x}", story.name, rand::random::<u32>() & 0xf_ffff);
        let app = Self::called(story, &name);
        app.redefine(bend).await?;
        Ok(app)
    }

    /// The app of this name, which the story defines by itself.
    pub fn called(story: &Story, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            client: story.client.clone(),
            lab: story.lab.clone(),
        }
    }

    /// Applies the definition again, bent otherwise.
    pub async fn redefine(&self, bend: impl FnOnce(&mut Value)) -> Result<()> {
        let api = self.api();
        let wordpress = api.get("wordpress").await?;
        let image = wordpress.spec.version("6.8").context("no WordPress 6.8")?;
        let mut spec = json!({
            "title": "Files",
            "description": "Files that a story looks at.",
            "versions": [{"version": "1", "image": image.image}],
            "port": {"number": 8080},
            "health": {"path": PAGE, "startupSeconds": 60},
            "volumes": [{"name": "content", "path": "/var/lib/wordpress", "size": "64Mi"}],
            "secrets": [{"name": "token"}],
            "settings": [{"name": "note", "title": "Note", "default": "none"}],
            "env": [
                {"name": "NOTE", "value": "first ${settings.note}"},
                {"name": "TOKEN", "secret": "token"},
            ],
            "sizes": [{
                "name": "tiny",
                "requests": {"cpu": "10m", "memory": "64Mi"},
                "limits": {"cpu": "1", "memory": "256Mi"},
            }],
            "security": {"runAsUser": 33, "runAsGroup": 33, "writablePaths": ["/tmp", "/run"]},
            "network": {"egress": "None"},
        });
        bend(&mut spec);
        let object = json!({
            "apiVersion": "tutti.dev/v1alpha1",
            "kind": "AppDefinition",
            "metadata": {"name": self.name},
            "spec": spec,
        });
        let parameters = PatchParams::apply("journeys").force();
        api.patch(&self.name, &parameters, &Patch::Apply(&object))
            .await?;
        Ok(())
    }

    /// Waits until the operator has judged the definition; returns reason and message.
    pub async fn judgement(&self) -> Result<(String, String)> {
        within(10, &format!("{} is judged", self.name), || async {
            let found = self.api().get(&self.name).await?;
            let status = found.status.unwrap_or_default();
            ensure!(
                status.observed_generation == found.metadata.generation,
                "not yet"
            );
            let ready = condition::find(&status.conditions, condition::READY);
            let ready = ready.context("no condition Ready")?;
            Ok((ready.reason.clone(), ready.message.clone()))
        })
        .await
    }

    /// Removes the definition.
    pub async fn remove(&self) -> Result<()> {
        self.api()
            .delete(&self.name, &DeleteParams::default())
            .await?;
        Ok(())
    }

    fn api(&self) -> Api<AppDefinition> {
        Api::all(self.client.clone())
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // Whether it is gone already or not, nothing more can be done here.
        let _ = std::process::Command::new(&self.lab.kubectl)
            .arg("--kubeconfig")
            .arg(&self.lab.kubeconfig)
            .args([
                "delete",
                "appdef",
                &self.name,
                "--ignore-not-found",
                "--wait=false",
            ])
            .output();
    }
}
