//! Builds and pushes every image, and remembers the digests: what is installed is pinned by them.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};

use super::{
    Target,
    catalogue::{self, ImageSource},
    mail,
};
use crate::{
    cache::Cache,
    docker::{self, ImageBuild},
    dockerfile, images as bases,
    steps::{Step, Steps},
    tell,
};

/// Digests by name and tag, such as `wordpress:6.8` to `sha256:…`.
pub type Digests = BTreeMap<String, String>;

const FILE: &str = "image/digests.json";
/// While one unpacks, another waits for the network.
const BUILDS_AT_ONCE: usize = 2;

/// Builds and pushes what the registry has not.
pub fn build_all(target: &Target) -> Result<()> {
    let repository = catalogue::repository()?;
    let mut images = catalogue::images(&repository)?;
    if target.lab.is_some() {
        images.push(mail::image(&repository)?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let docker = runtime.block_on(target.docker())?;
    let steps = Steps::new();
    provide_bases(target, &images, &docker, &runtime, &steps)?;
    let digests = steps.step("images", |step| build_each(target, &images, step))?;
    let file = catalogue::target_folder(&repository).join(FILE);
    fs::write(&file, serde_json::to_vec_pretty(&digests)?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    tell!(
        "{} images in {} ({})",
        digests.len(),
        target.registry,
        steps.elapsed()
    );
    Ok(())
}

/// Builds and pushes images, some of them at once.
fn build_each(target: &Target, images: &[ImageSource], step: &Step) -> Result<Digests> {
    let built = step.side_by_side(BUILDS_AT_ONCE, images, |image| {
        let digest = step.item(&image.name, || {
            // A connection belongs to the runtime that made it.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let docker = target.docker().await?;
                let tell = |line: &str| step.detail(&format!("{}: {line}", image.name));
                build(&docker, target, image, tell).await
            })
        });
        let digest = digest.with_context(|| format!("image {}", image.name))?;
        Ok((image.name.clone(), digest))
    })?;
    Ok(built.into_iter().collect())
}

/// The lab makes its base images itself: there is no registry to pull them from.
fn provide_bases(
    target: &Target,
    images: &[ImageSource],
    docker: &bollard::Docker,
    runtime: &tokio::runtime::Runtime,
    steps: &Steps,
) -> Result<()> {
    let Some(lab) = &target.lab else {
        return Ok(());
    };
    for image in images {
        let text = fs::read_to_string(image.folder.join("Dockerfile"))?;
        for base in dockerfile::base_images(&text, &image.arguments) {
            let Some(release) = bases::release_of(&base) else {
                continue;
            };
            if runtime.block_on(docker::has(docker, &base)) {
                continue;
            }
            steps.step(&format!("base image {base}"), |_| {
                let archive = bases::provide_base(&Cache::from_environment(), &lab.state, release)?;
                docker::provide_base(&lab.state, release, &archive)
            })?;
        }
    }
    Ok(())
}

async fn build(
    docker: &bollard::Docker,
    target: &Target,
    image: &ImageSource,
    output: impl FnMut(&str),
) -> Result<String> {
    let request = ImageBuild {
        context: image.folder.clone(),
        tag: format!("{}/{}", target.registry, image.name),
        arguments: image.arguments.clone(),
        push: true,
    };
    let built = docker::build(docker, &request, output).await?;
    let digest = built
        .reference
        .rsplit_once('@')
        .map(|(_, digest)| digest.to_owned());
    digest.with_context(|| format!("the registry gave no digest for {}", image.name))
}

/// The digests of the last build.
pub fn digests(repository: &Path) -> Result<Digests> {
    let file = catalogue::target_folder(repository).join(FILE);
    let text = fs::read(&file)
        .with_context(|| format!("{} is not there; make images writes it", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is damaged", file.display()))
}
