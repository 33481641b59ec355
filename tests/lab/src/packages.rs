//! Debian packages: what the lab takes from the distribution instead of building it.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::process::run_logged;

/// A package, and a program of it that tells whether it is there.
const NEEDED: &[(&str, &str)] = &[
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("containernetworking-plugins", "/usr/lib/cni/portmap"),
    ("docker.io", "/usr/sbin/dockerd"),
    ("docker-registry", "docker-registry"),
    ("iptables", "iptables"),
    ("nftables", "nft"),
    ("conntrack", "conntrack"),
    ("ipset", "ipset"),
    ("socat", "socat"),
    ("iproute2", "ip"),
    ("kmod", "modprobe"),
    ("mmdebstrap", "mmdebstrap"),
    ("busybox-static", "busybox"),
];

/// Present only while packages are installed: it keeps their services from starting on the host,
/// where the lab has no use for them. It has no effect on a machine without an init system.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// The packages that are not installed.
pub fn missing() -> Vec<&'static str> {
    NEEDED
        .iter()
        .filter(|(_, program)| locate(program).is_none())
        .map(|(package, _)| *package)
        .collect()
}

/// Where a program is, in PATH and in the folders of root's PATH.
pub fn locate(program: &str) -> Option<PathBuf> {
    if program.starts_with('/') {
        return Some(PathBuf::from(program)).filter(|path| path.exists());
    }
    let path = env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin"])
        .map(|folder| Path::new(folder).join(program))
        .find(|place| place.is_file())
}

/// Installs packages without starting their services.
pub fn install(packages: &[&str], log: &Path) -> Result<()> {
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(arguments);
        command
    };
    run_logged(&mut apt(&["update"]), log)
        .context("cannot read Debian's package lists; is a mirror reachable?")?;
    let masked = Mask::put()?;
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    let outcome = run_logged(&mut apt(&arguments), log);
    drop(masked);
    outcome.with_context(|| format!("cannot install {}", packages.join(" ")))
}

struct Mask {
    ours: bool,
}

impl Mask {
    fn put() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        // 101: "action forbidden by policy".
        fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(Self { ours: true })
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_name_or_by_path() {
        assert!(locate("sh").is_some());
        assert!(locate("/bin/sh").is_some());
        assert!(locate("no-program-has-this-name").is_none());
    }
}
