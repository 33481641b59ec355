//! A chart, installed or updated by helm.
//!
//! `helm upgrade` makes a revision of its history also when nothing is new. So each revision's
//! description says what it was made of, and when the newest one was made of the same, and the cluster
//! has what it says, there is nothing to do.

use std::{fs, path::PathBuf};

use anyhow::Result;
use serde::Deserialize;

use super::{Target, install::NAMESPACE, target::run};
use crate::{dockerfile::context_hash, process::run_with_input};

/// What is installed, and how.
#[derive(Debug, Default)]
pub struct Release {
    /// Its name.
    pub name: &'static str,
    /// The folder of the chart.
    pub chart: PathBuf,
    /// Files with values.
    pub values: Vec<PathBuf>,
    /// Everything else that helm is told.
    pub flags: Vec<String>,
}

/// The newest revision, as `helm history --output json` tells.
#[derive(Debug, Deserialize)]
struct Revision {
    status: String,
    description: String,
}

impl Release {
    /// Installs or updates it, unless it is installed so already.
    pub fn provide(&self, target: &Target) -> Result<()> {
        let description = self.description()?;
        if self.is_newest(target, &description) && has_it_all(target, self.name) {
            return Ok(());
        }
        let mut helm = target.helm();
        helm.args(["upgrade", "--install", self.name])
            .arg(&self.chart)
            .args(["--namespace", NAMESPACE, "--description", &description])
            .args(&self.flags);
        for file in &self.values {
            helm.arg("--values").arg(file);
        }
        run(&mut helm).map(drop)
    }

    /// Says what it is made of: the same for the same chart, values and flags only.
    fn description(&self) -> Result<String> {
        let flags = self.flags.iter();
        let mut parts: Vec<_> = flags
            .map(|flag| ("flag".to_owned(), flag.clone()))
            .collect();
        for file in &self.values {
            parts.push(("values".to_owned(), fs::read_to_string(file)?));
        }
        let hash = context_hash(&self.chart, &parts, "")?;
        Ok(format!("make up, made of {}", &hash[..16]))
    }

    fn is_newest(&self, target: &Target, description: &str) -> bool {
        let mut helm = target.helm();
        helm.args(["history", self.name, "--namespace", NAMESPACE]);
        helm.args(["--max", "1", "--output", "json"]);
        // There is none yet, or helm says why when it is asked to install it.
        let told = run(&mut helm).unwrap_or_default();
        let history: Vec<Revision> = serde_json::from_str(&told).unwrap_or_default();
        let newest = history.last();
        newest.is_some_and(|it| it.status == "deployed" && it.description == description)
    }
}

/// Whether nothing of a release was changed or deleted by somebody else.
fn has_it_all(target: &Target, release: &str) -> bool {
    let mut helm = target.helm();
    helm.args(["get", "manifest", release, "--namespace", NAMESPACE]);
    let Ok(manifest) = run(&mut helm) else {
        return false;
    };
    let mut kubectl = target.kubectl();
    kubectl.args(["diff", "--namespace", NAMESPACE, "--filename", "-"]);
    // It fails when there are differences.
    run_with_input(&mut kubectl, Some(&manifest)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_chart_another_value_or_another_flag_is_another_release() {
        let folder = tempfile::tempdir().unwrap();
        let chart = folder.path().join("chart");
        let values = folder.path().join("values.yaml");
        fs::create_dir(&chart).unwrap();
        fs::write(chart.join("Chart.yaml"), "name: x").unwrap();
        fs::write(&values, "a: 1").unwrap();
        let release = |flag: &str| Release {
            name: "x",
            chart: chart.clone(),
            values: vec![values.clone()],
            flags: vec![flag.to_owned()],
        };
        let first = release("--wait").description().unwrap();
        assert_eq!(first, release("--wait").description().unwrap());
        let mut others = vec![release("--set=a=2").description().unwrap()];
        fs::write(&values, "a: 2").unwrap();
        others.push(release("--wait").description().unwrap());
        fs::write(&values, "a: 1").unwrap();
        fs::write(chart.join("Chart.yaml"), "name: y").unwrap();
        others.push(release("--wait").description().unwrap());
        assert!(!others.contains(&first), "{first} {others:?}");
    }
}
