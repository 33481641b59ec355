//! The processes of a node: one table, from which the supervisor starts them and `status` shows
//! them. What each needs to have started first is said here; the rest is retries.

pub mod control_plane;
pub mod internet;
pub mod worker;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::state::{State, node_name};

/// One process of a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Component {
    /// Its name, also of its log file.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What is added to the environment.
    pub environment: BTreeMap<String, String>,
    /// What must be there before it is started.
    pub needs: Vec<Need>,
}

/// Something that a component waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Need {
    /// A file or socket exists.
    Path(PathBuf),
    /// A port takes connections.
    Port(SocketAddr),
}

impl Component {
    fn new(name: &str, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            program: program.into(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            needs: Vec::new(),
        }
    }

    /// Adds a flag with its value: `--flag=value`.
    fn flag(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.arguments.push(format!("--{name}={value}"));
        self
    }

    fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    fn need(mut self, need: Need) -> Self {
        self.needs.push(need);
        self
    }
}

/// What a component's arguments are made from.
pub struct Setting<'a> {
    /// The lab's folder.
    pub state: &'a State,
    /// Which lab of the machine it is.
    pub index: u8,
    /// Which node.
    pub node: u8,
}

impl Setting<'_> {
    /// The node's name.
    pub fn node_name(&self) -> String {
        node_name(self.node)
    }

    /// A path in the node's folder.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.state.node_path(self.node, relative)
    }

    fn pki(&self, file: &str) -> String {
        self.state.path("pki").join(file).display().to_string()
    }

    /// Exists from the moment on when the API server has the objects that the network needs.
    pub fn network_objects(&self) -> PathBuf {
        self.state.path("network-objects-are-there")
    }
}

/// All processes of a node, in the order in which they are started.
pub fn of_node(setting: &Setting) -> Vec<Component> {
    let mut components = Vec::new();
    if setting.node == 1 {
        components.extend(control_plane::components(setting));
        components.extend(internet::components(setting));
    }
    components.extend(worker::components(setting));
    components
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(node: u8) -> Vec<String> {
        let state = State::at("/lab");
        let setting = Setting {
            state: &state,
            index: 0,
            node,
        };
        of_node(&setting)
            .into_iter()
            .map(|component| component.name)
            .collect()
    }

    #[test]
    fn only_the_first_node_has_a_control_plane() {
        assert!(names(1).contains(&"kube-apiserver".to_owned()));
        assert_eq!(
            names(2),
            [
                "registry-forward",
                "containerd",
                "kube-proxy",
                "calico-felix",
                "kubelet"
            ]
        );
    }

    #[test]
    fn felix_filters_ipv6_too() {
        let state = State::at("/lab");
        let setting = Setting {
            state: &state,
            index: 0,
            node: 1,
        };
        let felix = of_node(&setting)
            .into_iter()
            .find(|component| component.name == "calico-felix")
            .unwrap();
        assert_eq!(felix.environment["FELIX_IPV6SUPPORT"], "true");
        assert_eq!(felix.environment["FELIX_FELIXHOSTNAME"], "node-1");
    }

    #[test]
    fn the_audit_log_never_holds_up_a_request() {
        let state = State::at("/lab");
        let setting = Setting {
            state: &state,
            index: 0,
            node: 1,
        };
        let server = of_node(&setting)
            .into_iter()
            .find(|component| component.name == "kube-apiserver")
            .unwrap();
        assert!(
            server
                .arguments
                .contains(&"--audit-log-mode=batch".to_owned())
        );
        assert!(
            server
                .arguments
                .contains(&"--audit-log-path=/lab/audit.log".to_owned())
        );
    }
}
