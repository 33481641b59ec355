//! Where Tutti is installed: which cluster, which registry, which tools.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, bail, ensure};
use bollard::Docker;

use crate::{Lab, docker};

/// What a person chose on the command line.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Choice {
    /// A context of your kubeconfig instead of the lab.
    #[arg(long)]
    pub context: Option<String>,
    /// Host and path of a registry that you can push to and the cluster pulls from, such as
    /// registry.example.com/tutti. The lab has its own.
    #[arg(long)]
    pub registry: Option<String>,
}

impl Choice {
    /// Lets nobody go on who means a cluster of their own where only the lab can be meant.
    ///
    /// # Errors
    /// When a cluster was chosen: how Tutti leaves that one.
    pub fn demand_lab(&self) -> Result<()> {
        let Some(context) = &self.context else {
            ensure!(
                self.registry.is_none(),
                "REGISTRY (--registry) belongs to CONTEXT (--context), and this ends the lab; call it \
                 without both"
            );
            return Ok(());
        };
        bail!(
            "nothing was done: this ends the lab and never a cluster of your own, such as {context}. Tutti \
             leaves that one with\n  helm uninstall tutti --namespace tutti-system --kube-context \
             {context}\nand instances go on running there. How to remove them, too: \
             docs/operations/install.md, Uninstalling. For the lab, leave out CONTEXT (--context)"
        );
    }
}

/// kubectl of one cluster.
pub struct Kubectl {
    program: PathBuf,
    /// The lab's; else the person's own.
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
}

impl Kubectl {
    /// For a context of your kubeconfig; for the lab without one.
    pub fn of(context: Option<&str>) -> Result<Self> {
        match context {
            Some(context) => Ok(Self {
                program: on_path("kubectl")?,
                kubeconfig: None,
                context: Some(context.to_owned()),
            }),
            None => Ok(Self::of_lab(&Lab::discover()?)),
        }
    }

    fn of_lab(lab: &Lab) -> Self {
        Self {
            program: lab.kubectl.clone(),
            kubeconfig: Some(lab.kubeconfig.clone()),
            context: None,
        }
    }

    /// A call of it, to which arguments are added.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(kubeconfig) = &self.kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        if let Some(context) = &self.context {
            command.arg("--context").arg(context);
        }
        command
    }
}

/// A cluster to install on.
pub struct Target {
    /// The lab, when it is the lab.
    pub lab: Option<Lab>,
    context: Option<String>,
    /// Host and path of images, as nodes pull them.
    pub registry: String,
    kubectl: Kubectl,
    helm: PathBuf,
}

impl Target {
    /// The cluster that was chosen; the lab when none was.
    pub fn of(choice: &Choice) -> Result<Self> {
        let Some(context) = &choice.context else {
            ensure!(
                choice.registry.is_none(),
                "REGISTRY (--registry) belongs to CONTEXT (--context): the lab has a registry of its own"
            );
            let lab = Lab::discover()?;
            return Ok(Self {
                context: None,
                registry: format!("{}/tutti", lab.registry),
                kubectl: Kubectl::of_lab(&lab),
                helm: lab.helm.clone(),
                lab: Some(lab),
            });
        };
        let registry = choice.registry.clone().context(
            "REGISTRY (--registry) is missing: host and path of a registry that you can push to and the \
             cluster pulls from, such as REGISTRY=registry.example.com/tutti",
        )?;
        ensure!(
            registry.contains('/') && !registry.contains("://"),
            "REGISTRY (--registry) {registry}: write host and path without a scheme, such as \
             registry.example.com/tutti"
        );
        Ok(Self {
            lab: None,
            context: Some(context.clone()),
            registry: registry.trim_end_matches('/').to_owned(),
            kubectl: Kubectl::of(Some(context))?,
            helm: on_path("helm")?,
        })
    }

    /// The context of the kubeconfig, unless it is the lab.
    #[must_use]
    pub fn context(&self) -> Option<&str> {
        self.context.as_deref()
    }

    /// A client of the cluster.
    pub async fn client(&self) -> Result<kube::Client> {
        if let Some(lab) = &self.lab {
            return lab.client().await;
        }
        let options = kube::config::KubeConfigOptions {
            context: self.context.clone(),
            ..kube::config::KubeConfigOptions::default()
        };
        let config = kube::Config::from_kubeconfig(&options).await.context(
            "the kubeconfig has no such context; `kubectl config get-contexts` lists them",
        )?;
        Ok(kube::Client::try_from(config)?)
    }

    /// The dockerd that builds images.
    pub async fn docker(&self) -> Result<Docker> {
        match &self.lab {
            Some(lab) => docker::connect(&lab.state).await,
            None => Docker::connect_with_defaults()
                .context("no docker to build images with; start one or set DOCKER_HOST")?
                .negotiate_version()
                .await
                .context("docker does not answer; start it or set DOCKER_HOST"),
        }
    }

    /// kubectl for this cluster.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        self.kubectl.command()
    }

    /// helm for this cluster.
    #[must_use]
    pub fn helm(&self) -> Command {
        let mut command = Command::new(&self.helm);
        if let Some(lab) = &self.lab {
            command.env("KUBECONFIG", &lab.kubeconfig);
        }
        if let Some(context) = &self.context {
            command.arg("--kube-context").arg(context);
        }
        command
    }
}

fn on_path(program: &str) -> Result<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders)
        .map(|f| f.join(program))
        .find(|f| f.is_file());
    found.with_context(|| format!("{program} is not on PATH; install it"))
}

/// Runs a command to its end; its words become the error when it fails.
pub fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let arguments: Vec<_> = command
        .get_args()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    bail!(
        "{program} {} failed:\n{}{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_would_end_a_cluster_of_their_own_is_told_how_to_uninstall_there_instead() {
        let chosen = Choice {
            context: Some("production".to_owned()),
            registry: None,
        };
        let told = chosen.demand_lab().unwrap_err().to_string();
        for expected in [
            "nothing was done",
            "helm uninstall tutti --namespace tutti-system --kube-context production",
        ] {
            assert!(told.contains(expected), "{told}");
        }
        assert!(Choice::default().demand_lab().is_ok());
    }
}
