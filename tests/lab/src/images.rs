//! Images without a registry to pull from: tar files in the form of `docker save`, written by the
//! lab itself. An image from scratch holds one static program; the base image of Dockerfiles is a
//! Debian made from packages.

use std::{fs, io::Write, path::Path, process::Command};

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    cache::{Cache, hex, key},
    process::{run, run_logged},
    programs::{COREDNS_VERSION, LOCAL_PATH_VERSION, METRICS_SERVER_VERSION},
    state::{State, node_name},
    steps::Step,
};

/// The Debian release that most images build on.
pub const RELEASE: &str = "trixie";

/// The base image of a Debian release as Dockerfiles name it in FROM; the same name can be pulled
/// elsewhere.
pub fn base_image(release: &str) -> String {
    format!("debian:{release}-slim")
}

/// The release of a base image that the lab can make.
pub fn release_of(image: &str) -> Option<&str> {
    let release = image.strip_prefix("debian:")?.strip_suffix("-slim")?;
    release
        .chars()
        .all(|c| c.is_ascii_lowercase())
        .then_some(release)
}

/// Holds a pod's namespaces.
pub const PAUSE_IMAGE: &str = "tutti.lab/pause:1";
/// The shell of the storage provisioner's jobs.
pub const BUSYBOX_IMAGE: &str = "tutti.lab/busybox:1";

/// An image of one program.
struct Scratch {
    image: String,
    program: std::path::PathBuf,
    /// Where it is in the image.
    place: &'static str,
    /// More names of the program there (a busybox is called by what it shall be).
    links: &'static [&'static str],
}

fn scratch_images(state: &State) -> Vec<Scratch> {
    let image = |name: &str, version: &str, place| Scratch {
        image: format!("tutti.lab/{name}:{version}"),
        program: state.program(name),
        place,
        links: &[],
    };
    vec![
        image("pause", "1", "pause"),
        image("coredns", COREDNS_VERSION, "coredns"),
        image("metrics-server", METRICS_SERVER_VERSION, "metrics-server"),
        image(
            "local-path-provisioner",
            LOCAL_PATH_VERSION,
            "local-path-provisioner",
        ),
        Scratch {
            image: BUSYBOX_IMAGE.to_owned(),
            program: crate::packages::locate("busybox").unwrap_or_default(),
            place: "bin/busybox",
            links: &[
                "bin/sh",
                "bin/mkdir",
                "bin/rm",
                "bin/sleep",
                "bin/cat",
                "bin/ls",
                "bin/httpd",
            ],
        },
    ]
}

/// The cache's key of the base image: what mmdebstrap is asked for.
fn base_arguments(release: &str) -> Vec<&str> {
    vec![
        "--variant=minbase",
        "--include=ca-certificates",
        // What no container reads: half of the size.
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        "--dpkgopt=path-exclude=/usr/share/info/*",
        release,
    ]
}

/// Makes the tar of a release's base image, unless the cache holds it; returns its path.
pub fn provide_base(cache: &Cache, state: &State, release: &str) -> Result<std::path::PathBuf> {
    let arguments = base_arguments(release);
    let name = format!(
        "debian-{release}-slim-{}",
        key(arguments.iter().map(|argument| argument.as_bytes()))
    );
    let folder = cache.get(&name, |place| {
        let layer = place.join("layer.tar");
        run_logged(
            Command::new("mmdebstrap").args(&arguments).arg(&layer),
            &state.path("logs/build-base-image.log"),
        )?;
        let config = json!({
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": ["bash"],
        });
        write_archive(
            &place.join("image.tar"),
            &base_image(release),
            &config,
            &layer,
        )?;
        fs::remove_file(layer)?;
        Ok(())
    })?;
    Ok(folder.join("image.tar"))
}

/// Loads the images from scratch and the base image into a node's containerd, those that it has
/// not.
pub fn provide_in_node(
    cache: &Cache,
    state: &State,
    node: u8,
    supervisor: i32,
    base: &Path,
    step: &Step,
) -> Result<()> {
    let control = |arguments: &[&str]| {
        let mut command = Command::new("nsenter");
        command
            .args([
                "--target",
                &supervisor.to_string(),
                "--mount",
                "--pid",
                "--net",
            ])
            .args(["ctr", "--address", "/run/containerd/containerd.sock"])
            .args(["--namespace", "k8s.io"])
            .args(arguments);
        command
    };
    let present = run(&mut control(&["images", "list", "--quiet"]))?;
    let has = |image: &str| present.lines().any(|line| line == image);
    let missing: Vec<Scratch> = scratch_images(state)
        .into_iter()
        .filter(|scratch| !has(&scratch.image))
        .collect();
    let image = base_image(RELEASE);
    let has_base = has(&format!("docker.io/library/{image}"));
    step.count(missing.len() + usize::from(!has_base));
    for scratch in &missing {
        step.item(&format!("{}: {}", node_name(node), scratch.image), || {
            let archive = provide_scratch(cache, scratch)?;
            run(control(&["images", "import"]).arg(archive))
        })?;
    }
    if !has_base {
        step.item(&format!("{}: {image}", node_name(node)), || {
            run(control(&["images", "import"]).arg(base))
        })?;
    }
    Ok(())
}

fn provide_scratch(cache: &Cache, scratch: &Scratch) -> Result<std::path::PathBuf> {
    // A program of ours is a link into the cache, whose name tells its content.
    let origin = match fs::read_link(&scratch.program) {
        Ok(target) => target.into_os_string().into_encoded_bytes(),
        Err(_) => fs::read(&scratch.program)
            .with_context(|| format!("cannot read {}", scratch.program.display()))?,
    };
    let name = format!(
        "image-{}-{}",
        scratch.place.replace('/', "-"),
        key([origin.as_slice(), scratch.image.as_bytes()])
    );
    let folder = cache.get(&name, |place| {
        let content = fs::read(&scratch.program)?;
        let layer = place.join("layer.tar");
        write_layer(&layer, &content, scratch)?;
        let config = json!({ "Entrypoint": [format!("/{}", scratch.place)] });
        // A busybox has no one program to start.
        let config = if scratch.links.is_empty() {
            config
        } else {
            json!({ "Cmd": ["/bin/sh"] })
        };
        write_archive(&place.join("image.tar"), &scratch.image, &config, &layer)?;
        fs::remove_file(layer)?;
        Ok(())
    })?;
    Ok(folder.join("image.tar"))
}

fn write_layer(place: &Path, content: &[u8], scratch: &Scratch) -> Result<()> {
    let mut archive = tar::Builder::new(fs::File::create(place)?);
    // A program may want to write a temporary file where its root is not read-only.
    for (folder, mode) in [("bin/", 0o755), ("tmp/", 0o1777)] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(mode);
        header.set_size(0);
        archive.append_data(&mut header, folder, std::io::empty())?;
    }
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, scratch.place, content)?;
    for link in scratch.links {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        archive.append_link(&mut header, link, format!("/{}", scratch.place))?;
    }
    archive.into_inner()?.flush()?;
    Ok(())
}

/// Writes an image of one layer as `docker save` would.
fn write_archive(
    place: &Path,
    image: &str,
    config: &serde_json::Value,
    layer: &Path,
) -> Result<()> {
    let mut hash = Sha256::new();
    std::io::copy(&mut fs::File::open(layer)?, &mut HashWriter(&mut hash))?;
    let layer_digest = hex(&hash.finalize());
    let description = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": config,
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer_digest}")] },
    })
    .to_string();
    let config_name = format!("{}.json", hex(&Sha256::digest(description.as_bytes())));
    let layer_name = format!("{layer_digest}/layer.tar");
    let manifest = json!([{
        "Config": config_name,
        "RepoTags": [image],
        "Layers": [layer_name],
    }])
    .to_string();
    let mut archive = tar::Builder::new(fs::File::create(place)?);
    for (name, text) in [
        (config_name.as_str(), &description),
        ("manifest.json", &manifest),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, name, text.as_bytes())?;
    }
    archive.append_path_with_name(layer, layer_name)?;
    archive.into_inner()?.flush()?;
    Ok(())
}

struct HashWriter<'a>(&'a mut Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The machine's architecture by the name that images use.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_names_its_image_and_holds_its_layer() {
        let folder = tempfile::tempdir().unwrap();
        let layer = folder.path().join("layer.tar");
        fs::write(&layer, "layer").unwrap();
        let place = folder.path().join("image.tar");
        write_archive(&place, "tutti.lab/x:1", &json!({}), &layer).unwrap();
        let mut archive = tar::Archive::new(fs::File::open(&place).unwrap());
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(names.len(), 3);
        assert_eq!(names[1], "manifest.json");
        assert!(names[2].ends_with("/layer.tar"));
    }
}
