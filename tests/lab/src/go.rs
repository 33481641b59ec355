//! Finds a Go toolchain that can build the lab's programs, or gets one by way of Debian's package
//! and the module proxy.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    cache::Cache,
    images::architecture,
    packages::{self, News},
    process::{run, run_logged},
    state::State,
    steps::Step,
};

/// From this version on the go command fetches the toolchain that a module asks for by itself.
const SWITCHES_BY_ITSELF: (u32, u32) = (1, 21);
/// The toolchain that is fetched as a module when the machine's Go is too old to switch (Debian
/// 12 has 1.19); the architecture follows.
const FETCHED_TOOLCHAIN: &str = "golang.org/toolchain@v0.0.1-go1.26.1.linux-";
/// Where Go is found when it is not on PATH.
const USUAL_PLACES: [&str; 2] = ["/usr/local/go/bin/go", "/usr/lib/go/bin/go"];

/// A go command that builds the lab's modules.
pub struct Toolchain {
    program: PathBuf,
}

impl Toolchain {
    /// The machine's Go if it is new enough; else Debian's, which may fetch a newer one.
    pub fn find_or_install(cache: &Cache, state: &State, step: &Step) -> Result<Self> {
        if let Some(found) = find(SWITCHES_BY_ITSELF) {
            return Ok(found);
        }
        if find((1, 0)).is_none() {
            packages::install(&["golang-go"], &state.path("logs/packages.log"), |news| {
                if let News::Doing(what) = news {
                    step.detail(&format!("Go: {what}"));
                }
            })?;
        }
        if let Some(found) = find(SWITCHES_BY_ITSELF) {
            return Ok(found);
        }
        let old = find((1, 0)).context("no go command was found after installing golang-go")?;
        step.detail("a newer Go");
        old.fetch_newer(cache, state)
    }

    /// A command that builds static programs and may switch to the toolchain a module asks for.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("CGO_ENABLED", "0")
            .env("GOTOOLCHAIN", "auto")
            // A go.work or flags of the person's must not leak into the build.
            .env("GOWORK", "off")
            .env("GOFLAGS", "-buildvcs=false");
        command
    }

    /// A toolchain is an ordinary module: an old go command can fetch it, only not use it.
    fn fetch_newer(&self, cache: &Cache, state: &State) -> Result<Self> {
        let modules = cache.entry("toolchain");
        let module = format!("{FETCHED_TOOLCHAIN}{}", architecture());
        let log = state.path("logs/build-toolchain.log");
        fs::create_dir_all(&modules)?;
        run_logged(
            Command::new(&self.program)
                .current_dir(&modules)
                .env("GOMODCACHE", &modules)
                .args(["mod", "download", "-modcacherw", &module]),
            &log,
        )?;
        let root = modules.join(module);
        // Modules carry no execute bits.
        mark_executable(&root.join("bin"))?;
        mark_executable(&root.join(format!("pkg/tool/linux_{}", architecture())))?;
        Ok(Self {
            program: root.join("bin/go"),
        })
    }
}

fn mark_executable(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))? {
        fs::set_permissions(entry?.path(), fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

fn find(oldest: (u32, u32)) -> Option<Toolchain> {
    ["go"].iter().chain(&USUAL_PLACES).find_map(|program| {
        let version = run(Command::new(program).arg("version")).ok()?;
        let version = parse_version(&version).ok()?;
        (version >= oldest).then(|| Toolchain {
            program: PathBuf::from(program),
        })
    })
}

fn parse_version(text: &str) -> Result<(u32, u32)> {
    let numbers = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix("go1."))
        .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next())
        .and_then(|minor| minor.parse().ok());
    match numbers {
        Some(minor) => Ok((1, minor)),
        None => bail!("not a version of Go: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_go_is_read_from_what_it_prints() {
        assert_eq!(
            parse_version("go version go1.26.8 linux/amd64").unwrap(),
            (1, 26)
        );
        assert_eq!(
            parse_version("go version go1.19 linux/amd64").unwrap(),
            (1, 19)
        );
        assert!(parse_version("go version devel").is_err());
    }
}
