//! Where a lab keeps what it is: the state folder, and the record of what it changed on the
//! machine, so that `down` undoes exactly that and a later `up` resumes.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::process::Process;

/// The state folder's place when nothing else is said: a real disk, not a temporary folder,
/// because etcd's data and the volumes live there.
const DEFAULT_FOLDER: &str = "/var/lib/tutti-lab";

/// What `up` did to the machine.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The boot in which the processes and network below were made: after another boot they are
    /// gone, whatever the record says.
    pub boot: String,
    /// Which lab of this machine it is: names the bridge, the cgroup and the addresses.
    pub index: u8,
    /// How many nodes the cluster has; 0 before the first `up`.
    pub nodes: u8,
    /// The ports of 127.0.0.1 that lead to the platform.
    pub http_port: Option<u16>,
    /// See [`Record::http_port`].
    pub https_port: Option<u16>,
    /// Processes on the host by what they are.
    pub processes: BTreeMap<String, Process>,
    /// Kernel settings of the host as they were before the lab, by their path under /proc/sys.
    pub saved_settings: BTreeMap<String, String>,
    /// Whether rules were put into the host's FORWARD chain (only where its policy is to drop).
    pub opened_forward_chain: bool,
    /// Folders outside of the state folder that the lab made as places to mount on.
    pub made_folders: Vec<PathBuf>,
}

/// The state folder.
#[derive(Clone, Debug)]
pub struct State {
    root: PathBuf,
}

impl State {
    /// The state folder that the environment names (`TUTTI_LAB`), or the default one.
    pub fn from_environment() -> Self {
        let root = env::var_os("TUTTI_LAB").map_or_else(|| DEFAULT_FOLDER.into(), PathBuf::from);
        Self { root }
    }

    /// A state folder at a given place.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path in the folder.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// A path in a node's own folder.
    pub fn node_path(&self, node: u8, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join("nodes").join(node_name(node)).join(relative)
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// A program of the lab, such as `kubectl`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.path("bin").join(name)
    }

    /// The socket of the lab's dockerd.
    pub fn docker_socket(&self) -> PathBuf {
        self.path("docker.sock")
    }

    /// Reads the record; an empty one when there is none yet.
    pub fn record(&self) -> Result<Record> {
        let path = self.path("lab.json");
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)
                .with_context(|| format!("{} is not a record of the lab", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Record::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Writes the record whole, so that a crash leaves the old one or the new one.
    pub fn save(&self, record: &Record) -> Result<()> {
        let text = serde_json::to_string_pretty(record)?;
        write_whole(&self.path("lab.json"), text.as_bytes())
    }

    /// Takes the lock that keeps two `up` or `down` apart; held until the file is dropped.
    pub fn lock(&self) -> Result<fs::File> {
        fs::create_dir_all(&self.root)
            .with_context(|| format!("cannot make {}", self.root.display()))?;
        let file = fs::File::create(self.path("lock"))?;
        file.lock().context("cannot lock the state folder")?;
        Ok(file)
    }
}

/// The name of a node: `node-1` runs the control plane.
pub fn node_name(node: u8) -> String {
    format!("node-{node}")
}

/// This boot's identity.
pub fn current_boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Writes a file by way of a new one beside it, and makes its folder.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    fs::write(&beside, content)
        .and_then(|()| fs::rename(&beside, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was_saved() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path());
        assert_eq!(state.record().unwrap().nodes, 0);
        let record = Record {
            nodes: 2,
            http_port: Some(8080),
            ..Record::default()
        };
        state.save(&record).unwrap();
        let read = state.record().unwrap();
        assert_eq!((read.nodes, read.http_port), (2, Some(8080)));
    }
}
