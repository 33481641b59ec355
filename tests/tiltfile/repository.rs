//! What the Tiltfile may refer to: files of the checkout, and objects of the rendered charts.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// A path of the checkout.
pub fn path(relative: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(relative)
}

pub fn must_exist(relative: &str) -> Result<()> {
    // The build makes what lies there.
    if relative.starts_with("target/") {
        return Ok(());
    }
    ensure!(path(relative).exists(), "{relative} does not exist");
    Ok(())
}

fn read(relative: &str) -> Result<String> {
    fs::read_to_string(path(relative)).with_context(|| format!("cannot read {relative}"))
}

/// Whether the workspace has a package of this name.
pub fn must_be_a_package(name: &str) -> Result<()> {
    let wanted = format!("name = \"{name}\"\n");
    for member in read("Cargo.toml")?
        .lines()
        .filter_map(|line| line.trim().strip_suffix(','))
    {
        let manifest = format!("{}/Cargo.toml", member.trim_matches('"'));
        if read(&manifest).is_ok_and(|text| text.contains(&wanted)) {
            return Ok(());
        }
    }
    bail!("the workspace has no package {name}")
}

/// Folders that a binary of this package is compiled from: of the package, and of ours that it is made with.
pub fn sources(package: &str) -> Result<BTreeSet<String>> {
    let metadata = metadata()?;
    let mut open = vec![package.to_owned()];
    let mut known = BTreeSet::new();
    let mut sources = BTreeSet::new();
    while let Some(name) = open.pop() {
        if !known.insert(name.clone()) {
            continue;
        }
        let packages = metadata["packages"].as_array().into_iter().flatten();
        let found = packages
            .into_iter()
            .find(|package| package["name"] == *name);
        let found = found.with_context(|| format!("cargo knows no package {name}"))?;
        sources.extend(folders(&metadata, found)?);
        let dependencies = found["dependencies"].as_array().into_iter().flatten();
        // Those of a path are ours; those of tests have another kind.
        let ours = dependencies.filter(|it| it["path"].is_string() && it["kind"] != "dev");
        open.extend(ours.filter_map(|it| Some(it["name"].as_str()?.to_owned())));
    }
    Ok(sources)
}

fn metadata() -> Result<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(path(""))
        .output()
        .context("cargo cannot be run")?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// What is compiled into a package, relative to the root of the checkout.
fn folders(metadata: &Value, package: &Value) -> Result<Vec<String>> {
    let text = |value: &Value| value.as_str().map(PathBuf::from);
    let root = text(&metadata["workspace_root"]).context("no root")?;
    let manifest = text(&package["manifest_path"]).context("no manifest")?;
    let folder = manifest.parent().context("no folder")?;
    let compiled = ["src", "templates", "migrations"].map(|name| folder.join(name));
    let there = compiled.iter().filter(|folder| folder.is_dir());
    there
        .map(|folder| {
            let relative: &Path = folder.strip_prefix(&root)?;
            Ok(relative.display().to_string())
        })
        .collect()
}

/// Whether the chart's values have this name, such as `platform.zone`.
pub fn must_be_a_value(chart: &str, name: &str) -> Result<()> {
    let values: Value = serde_saphyr::from_str(&read(&format!("{chart}/values.yaml"))?)?;
    let found = name
        .split('.')
        .try_fold(&values, |value, key| value.get(key));
    ensure!(found.is_some(), "{chart} has no value {name}");
    Ok(())
}

/// Every object of both charts, as `make generate` renders them.
pub fn objects() -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    for chart in ["tutti-crds", "tutti"] {
        let text = read(&format!("charts/rendered/{chart}.yaml"))?;
        objects.extend(serde_saphyr::from_multiple::<Value>(&text)?);
    }
    Ok(objects)
}

/// The object of this kind and name, in whatever case the kind is written.
pub fn object(kind: &str, name: &str) -> Result<Value> {
    objects()?
        .into_iter()
        .find(|object| {
            object["metadata"]["name"] == name
                && object["kind"]
                    .as_str()
                    .is_some_and(|found| found.eq_ignore_ascii_case(kind))
        })
        .with_context(|| format!("the charts have no {kind} {name}"))
}

/// The Deployment or StatefulSet of this name.
pub fn workload(name: &str) -> Result<Value> {
    object("Deployment", name).or_else(|error| object("StatefulSet", name).map_err(|_| error))
}

/// The one container of a Deployment.
pub fn container(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]["containers"][0]
}

/// Whether a Deployment runs this image.
pub fn must_be_used(image: &str) -> Result<()> {
    let prefix = format!("{image}:");
    let is_used = objects()?.iter().any(|object| {
        container(object)["image"]
            .as_str()
            .is_some_and(|used| used.starts_with(&prefix))
    });
    ensure!(is_used, "no pod of the charts runs the image {image}");
    Ok(())
}
