//! What the repository holds: folders that become images, and definitions of apps.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use crds::AppDefinition;
use serde::Deserialize;

/// An image that a folder gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSource {
    /// Its name and tag, such as `wordpress:6.8`.
    pub name: String,
    /// The folder with the Dockerfile.
    pub folder: PathBuf,
    /// Values of the Dockerfile's ARG lines.
    pub arguments: Vec<(String, String)>,
}

/// One entry of a folder's `build.yaml`.
#[derive(Debug, Deserialize)]
pub struct Build {
    /// The image's tag.
    pub tag: String,
    /// Values of the Dockerfile's ARG lines.
    #[serde(default)]
    pub args: BTreeMap<String, String>,
}

/// The root of the repository: where the command was called, or a folder above it.
pub fn repository() -> Result<PathBuf> {
    let here = std::env::current_dir()?;
    let found = here
        .ancestors()
        .find(|folder| folder.join("charts/tutti/Chart.yaml").is_file());
    found
        .map(Path::to_owned)
        .context("this is not a checkout of Tutti; change into one")
}

/// Where cargo builds to: images of our own binaries are prepared there.
#[must_use]
pub fn target_folder(repository: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || repository.join("target"),
        |folder| repository.join(folder),
    )
}

/// All images, our own first.
pub fn images(repository: &Path) -> Result<Vec<ImageSource>> {
    let mut images = Vec::new();
    for component in ["operator", "gateway", "idm"] {
        let folder = target_folder(repository).join("image").join(component);
        ensure!(
            folder.join("Dockerfile").is_file() && folder.join(component).is_file(),
            "{} holds no {component}; make images builds it",
            folder.display()
        );
        images.push(ImageSource {
            name: format!("{component}:{}", env!("CARGO_PKG_VERSION")),
            folder,
            arguments: Vec::new(),
        });
    }
    for parent in ["databases", "apps"] {
        for folder in folders(&repository.join(parent))? {
            let builds = builds(&folder)?;
            let name = folder
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            images.extend(builds.into_iter().map(|build| ImageSource {
                name: format!("{name}:{}", build.tag),
                folder: folder.clone(),
                arguments: build.args.into_iter().collect(),
            }));
        }
    }
    Ok(images)
}

/// The images that a folder gives, as its `build.yaml` says.
pub fn builds(folder: &Path) -> Result<Vec<Build>> {
    let file = folder.join("build.yaml");
    let text = fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}: it lists the image's tags", file.display()))?;
    serde_saphyr::from_str(&text)
        .with_context(|| format!("{} is not as it should be", file.display()))
}

/// The definitions of all apps.
pub fn definitions(repository: &Path) -> Result<Vec<AppDefinition>> {
    folders(&repository.join("apps"))?
        .iter()
        .filter(|folder| folder.join("app.yaml").is_file())
        .map(|folder| definition(folder))
        .collect()
}

/// The definition of the app in a folder, named like it.
pub fn definition(folder: &Path) -> Result<AppDefinition> {
    let definition = read(folder)?;
    match misnamed(folder, &definition) {
        Some(problem) => bail!("{}: {problem}", folder.join("app.yaml").display()),
        None => Ok(definition),
    }
}

/// The definition of the app in a folder, whatever its name.
pub fn read(folder: &Path) -> Result<AppDefinition> {
    let file = folder.join("app.yaml");
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("{} does not parse", file.display()))
}

/// What is wrong with a definition's name, if anything.
pub fn misnamed(folder: &Path, definition: &AppDefinition) -> Option<String> {
    let folder_name = folder.file_name().unwrap_or_default().to_string_lossy();
    let name = definition.metadata.name.as_deref();
    if folder_name.is_empty() || name == Some(&*folder_name) {
        return None;
    }
    let wrong = name.map_or_else(
        || "must be there and is missing".to_owned(),
        |name| format!("{name:?} is not what its folder is called"),
    );
    Some(format!("metadata.name: {wrong}; name it {folder_name}"))
}

fn folders(parent: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(parent).with_context(|| format!("cannot list {}", parent.display()))?;
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.join("Dockerfile").is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}
