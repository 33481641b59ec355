//! Looks whether this machine can hold a lab. Each problem comes with its mend.

use std::{fs, os::unix::fs::MetadataExt, path::Path, process::Command};

use crate::{cgroup, launch, packages, process::run, state::State};

/// What a person without these rights, or on another system, does instead.
pub const WAY_OUT: &str = "or use a cluster of your own: make up CONTEXT=<your cluster> \
                           REGISTRY=<host/path> ZONE=<DNS zone>";
/// Programs, images, builds and some volumes.
const NEEDED_DISK: u64 = 15 * 1024 * 1024 * 1024;
/// The cluster alone takes 1.3 GiB; below this the apps have no room.
const NEEDED_MEMORY: u64 = 4 * 1024 * 1024 * 1024;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gravity {
    /// As it should be.
    Fine,
    /// The lab works, but a person should know.
    Note,
    /// The lab cannot work.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug)]
pub struct Finding {
    /// How grave it is.
    pub gravity: Gravity,
    /// The fact.
    pub fact: String,
    /// What to do about it, unless it is fine.
    pub mend: String,
}

impl Finding {
    fn fine(fact: impl Into<String>) -> Self {
        Self {
            gravity: Gravity::Fine,
            fact: fact.into(),
            mend: String::new(),
        }
    }

    fn note(fact: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            gravity: Gravity::Note,
            fact: fact.into(),
            mend: mend.into(),
        }
    }

    fn problem(fact: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            gravity: Gravity::Problem,
            fact: fact.into(),
            mend: mend.into(),
        }
    }
}

/// Looks at everything.
pub fn examine(state: &State) -> Vec<Finding> {
    vec![
        rights(),
        score(),
        missing_packages(),
        disk(state),
        memory(),
        overlay(),
        bridge_filter(),
        cgroups(),
        resolvers(),
    ]
}

fn rights() -> Finding {
    let root = fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0);
    if !root {
        return Finding::problem("not running as root", "run it with sudo");
    }
    // Numbers of the capabilities in the kernel's list.
    let missing: Vec<&str> = [(21, "CAP_SYS_ADMIN"), (12, "CAP_NET_ADMIN")]
        .into_iter()
        .filter(|(bit, _)| !launch::has_capability(*bit))
        .map(|(_, name)| name)
        .collect();
    if missing.is_empty() {
        return Finding::fine("root, with the capabilities to make namespaces and interfaces");
    }
    Finding::problem(
        format!("root here lacks {}", missing.join(" and ")),
        "run it on a machine or in a container that has them (docker run --privileged)",
    )
}

fn score() -> Finding {
    if launch::may_lower_scores() {
        return Finding::fine("may set out-of-memory scores");
    }
    Finding::fine(
        "CAP_SYS_RESOURCE is missing: no process can be protected from the out-of-memory killer, \
         and the lab tells containerd not to try",
    )
}

fn missing_packages() -> Finding {
    let missing = packages::missing();
    if missing.is_empty() {
        return Finding::fine("every Debian package is there");
    }
    let list = missing.join(" ");
    if packages::locate("apt-get").is_some() {
        Finding::note(
            format!("not installed: {list}"),
            "`lab up` installs them with apt-get",
        )
    } else {
        Finding::problem(
            format!("not installed: {list}, and there is no apt-get"),
            "install what your distribution calls them",
        )
    }
}

fn disk(state: &State) -> Finding {
    // The folder itself may not exist yet: ask for the nearest one that does.
    let place = state.root().ancestors().find(|path| path.exists());
    let place = place.unwrap_or_else(|| Path::new("/"));
    let Ok(found) = rustix::fs::statvfs(place) else {
        return Finding::note(
            format!("cannot ask for the space at {}", place.display()),
            "",
        );
    };
    let free = found.f_bavail * found.f_frsize;
    let fact = format!("{} GiB free at {}", free >> 30, place.display());
    if free < NEEDED_DISK {
        let mend = "free 15 GiB, or set TUTTI_LAB to a folder of a larger disk";
        return Finding::problem(fact, mend);
    }
    let kind = run(Command::new("stat")
        .args(["--file-system", "--format=%T"])
        .arg(place));
    match kind.unwrap_or_default().trim() {
        "overlayfs" => Finding::problem(
            format!(
                "{} is on overlayfs, on which containerd cannot lay its images",
                place.display()
            ),
            "set TUTTI_LAB to a folder of a real disk, such as a volume",
        ),
        _ => Finding::fine(fact),
    }
}

fn memory() -> Finding {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_default();
    let bytes = kibibytes * 1024;
    let fact = format!(
        "{:.1} GiB of memory available",
        bytes as f64 / f64::from(1 << 30)
    );
    if bytes < NEEDED_MEMORY {
        return Finding::note(
            fact,
            "end other programs: with less than 4 GiB apps have no room",
        );
    }
    Finding::fine(fact)
}

fn overlay() -> Finding {
    // A module is loaded at the first use; root can ask for it.
    let _ = run(Command::new("modprobe").arg("overlay"));
    let has = |file: &str, word: &str| {
        fs::read_to_string(file).is_ok_and(|text| text.lines().any(|line| line.ends_with(word)))
    };
    if has("/proc/filesystems", "\toverlay") {
        return Finding::fine("the kernel has overlayfs");
    }
    Finding::problem("the kernel has no overlayfs", "load it: modprobe overlay")
}

fn bridge_filter() -> Finding {
    let _ = run(Command::new("modprobe").arg("br_netfilter"));
    if Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables").exists() {
        return Finding::fine("bridged packets can be filtered (br_netfilter)");
    }
    Finding::note(
        "no br_netfilter",
        "load it if your apps use bridges of their own: modprobe br_netfilter",
    )
}

fn cgroups() -> Finding {
    if !Path::new("/sys/fs/cgroup")
        .join(if cgroup::is_version_2() {
            "cgroup.procs"
        } else {
            "memory"
        })
        .exists()
    {
        return Finding::problem(
            "no cgroup with a memory controller at /sys/fs/cgroup",
            "mount it, or run the container with --privileged --cgroupns=host",
        );
    }
    match rustix::fs::access("/sys/fs/cgroup", rustix::fs::Access::WRITE_OK) {
        Ok(()) if cgroup::is_version_2() => Finding::fine("cgroup version 2"),
        Ok(()) => Finding::fine("cgroup version 1"),
        Err(_) => Finding::problem(
            "/sys/fs/cgroup is read-only",
            "remount it: mount -o remount,rw /sys/fs/cgroup",
        ),
    }
}

fn resolvers() -> Finding {
    let found = crate::network::resolvers();
    if found.is_empty() {
        return Finding::note(
            "no name server that nodes could reach",
            "names outside of the cluster will not resolve; put one into /etc/resolv.conf",
        );
    }
    Finding::fine(format!("outside names are asked of {}", found.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_names_its_mend() {
        for finding in examine(&State::at("/tmp")) {
            assert!(!finding.fact.is_empty());
            if finding.gravity == Gravity::Problem {
                assert!(!finding.mend.is_empty(), "{finding:?}");
            }
        }
    }
}
