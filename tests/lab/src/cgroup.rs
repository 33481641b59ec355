//! The lab's own cgroup, `/tutti<index>` in every hierarchy: the node's components, the pods and
//! the builds of images are below it, so that they can be found and removed without a look at
//! anything else.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::process::wait_until;

const MOUNT: &str = "/sys/fs/cgroup";

/// Whether this machine has cgroup v2 only. Hybrid machines count as v1: the controllers are there.
pub fn is_version_2() -> bool {
    Path::new(MOUNT).join("cgroup.controllers").exists()
}

/// The name of a lab's cgroup.
pub fn name(index: u8) -> String {
    format!("tutti{index}")
}

/// The root of every hierarchy: one with version 2, one per controller with version 1.
fn hierarchies() -> Vec<PathBuf> {
    if is_version_2() {
        return vec![MOUNT.into()];
    }
    let mut roots: Vec<PathBuf> = fs::read_dir(MOUNT)
        .into_iter()
        .flatten()
        .flatten()
        // cpu and cpuacct are often links to one folder.
        .filter_map(|entry| entry.path().canonicalize().ok())
        .filter(|path| path.join("cgroup.procs").exists())
        .collect();
    roots.sort();
    roots.dedup();
    roots
}

/// Makes the folders for a node: one for its components, one that is the root of its pods.
pub fn make(index: u8, node: &str) -> Result<()> {
    for root in hierarchies() {
        let lab = root.join(name(index));
        make_folder(&lab)?;
        make_folder(&lab.join(node))?;
        make_folder(&lab.join(format!("{node}-components")))?;
    }
    Ok(())
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let Some(parent) = folder.parent() else {
        return Ok(());
    };
    if is_version_2() {
        // Controllers reach a folder only when its parent hands them down. One that the kernel
        // does not have is refused alone, so each is asked for by itself.
        for controller in ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"] {
            let _ = fs::write(
                parent.join("cgroup.subtree_control"),
                format!("+{controller}"),
            );
        }
    } else {
        // A new cpuset is empty and takes no process before it is filled.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(value) = fs::read_to_string(parent.join(file)) {
                fs::write(folder.join(file), value)?;
            }
        }
    }
    Ok(())
}

/// Moves a node's first process into the components' folder: its children follow. This also takes
/// it out of the cgroup of the shell that ran `lab up`, which may be ended or limited as a whole.
pub fn move_components(index: u8, node: &str, pid: i32) -> Result<()> {
    for root in hierarchies() {
        let file = root
            .join(name(index))
            .join(format!("{node}-components"))
            .join("cgroup.procs");
        fs::write(&file, pid.to_string())
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// The lab's folders that there are.
pub fn present(index: u8) -> Vec<PathBuf> {
    hierarchies()
        .into_iter()
        .map(|root| root.join(name(index)))
        .filter(|folder| folder.exists())
        .collect()
}

/// The controllers that a kubelet needs and that this machine's cgroups lack.
pub fn missing_controllers() -> Vec<&'static str> {
    const NEEDED: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];
    let root = Path::new(MOUNT);
    let of_version_2 = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    let has = |controller: &&str| {
        if is_version_2() {
            of_version_2
                .split_whitespace()
                .any(|word| word == *controller)
        } else {
            root.join(controller).join("cgroup.procs").exists()
        }
    };
    NEEDED.into_iter().filter(|name| !has(name)).collect()
}

/// Makes a folder in every hierarchy and removes it again.
pub fn try_to_make() -> Result<()> {
    for root in hierarchies() {
        let folder = root.join(format!("tutti-try-{}", std::process::id()));
        fs::create_dir(&folder)
            .and_then(|()| fs::remove_dir(&folder))
            .with_context(|| format!("cannot make a cgroup in {}", root.display()))?;
    }
    Ok(())
}

/// Removes the lab's folders; returns how many there were.
pub fn remove(index: u8) -> Result<usize> {
    remove_below(Path::new(&name(index)))
}

/// Removes what a killed node left behind. The kubelet would take the folders for containers and
/// ask containerd about each, for a minute, before it starts any pod.
pub fn remove_leftovers(index: u8, node: &str) -> Result<usize> {
    remove_below(&Path::new(&name(index)).join(node))
}

/// Removes a folder of every hierarchy with all below it, deepest first. They must be empty of
/// processes; the last ones of a killed node take a moment to go.
fn remove_below(relative: &Path) -> Result<usize> {
    let mut removed = 0;
    for root in hierarchies() {
        let mut folders = Vec::new();
        collect(&root.join(relative), &mut folders);
        for folder in folders {
            // Ending processes are counted until they are reaped, some tens of milliseconds.
            let gone = wait_until(Duration::from_secs(5), || {
                fs::remove_dir(&folder).is_ok() || !folder.exists()
            });
            anyhow::ensure!(gone, "the cgroup {} still has processes", folder.display());
            removed += 1;
        }
    }
    Ok(removed)
}

/// The folders below and including one, children before parents.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), found);
        }
    }
    found.push(folder.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_listed_children_first() {
        let root = tempfile::tempdir().unwrap();
        let lab = root.path().join("lab");
        fs::create_dir_all(lab.join("a/b")).unwrap();
        fs::create_dir_all(lab.join("c")).unwrap();
        let mut found = Vec::new();
        collect(&lab, &mut found);
        assert_eq!(found.len(), 4);
        assert_eq!(found.last(), Some(&lab));
        let place = |path: &Path| found.iter().position(|found| found == path);
        assert!(place(&lab.join("a/b")) < place(&lab.join("a")));
    }
}
