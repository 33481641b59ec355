//! The processes that every node has: what runs pods, and what connects them.

use std::net::SocketAddr;

use super::{Component, Need, Setting};
use crate::network;

/// In the order in which they are started.
pub fn components(setting: &Setting) -> Vec<Component> {
    let mut components = Vec::new();
    if setting.node != 1 {
        components.push(registry_forward(setting));
    }
    components.extend([
        containerd(setting),
        proxy(setting),
        felix(setting),
        kubelet(setting),
    ]);
    components
}

fn api_server(setting: &Setting) -> Need {
    let address = network::node_address(setting.index, 1);
    Need::Port(SocketAddr::from((address, network::API_PORT)))
}

/// Makes `localhost:5000` mean the registry on node 1 here too.
fn registry_forward(setting: &Setting) -> Component {
    Component::new("registry-forward", setting.state.program("lab"))
        .argument("forward")
        .argument(format!(
            "127.0.0.1:{port}={}:{port}",
            network::node_address(setting.index, 1),
            port = network::REGISTRY_PORT
        ))
}

fn containerd(setting: &Setting) -> Component {
    Component::new("containerd", "/usr/bin/containerd")
        .flag("config", setting.path("containerd.toml").display())
}

/// The sysctls of connection tracking are not a node's to set: 0 leaves them alone.
fn proxy(setting: &Setting) -> Component {
    Component::new("kube-proxy", setting.state.program("kube-proxy"))
        .need(api_server(setting))
        .flag("kubeconfig", setting.pki("kube-proxy.kubeconfig"))
        .flag("hostname-override", setting.node_name())
        .flag("cluster-cidr", network::POD_RANGE)
        .flag("proxy-mode", "iptables")
        .flag("conntrack-max-per-core", 0)
        .flag("conntrack-tcp-timeout-established", 0)
        .flag("conntrack-tcp-timeout-close-wait", 0)
}

fn felix(setting: &Setting) -> Component {
    Component::new("calico-felix", setting.state.program("calico-felix"))
        .need(api_server(setting))
        .need(Need::Path(setting.network_objects()))
        .variable("KUBECONFIG", setting.pki("calico-node.kubeconfig"))
        .variable("DATASTORE_TYPE", "kubernetes")
        .variable("FELIX_DATASTORETYPE", "kubernetes")
        .variable("FELIX_FELIXHOSTNAME", setting.node_name())
        .variable("FELIX_DEFAULTENDPOINTTOHOSTACTION", "ACCEPT")
        .variable("FELIX_IPTABLESBACKEND", "NFT")
        .variable("FELIX_BPFENABLED", "false")
        .variable("FELIX_XDPENABLED", "false")
        .variable("FELIX_USAGEREPORTINGENABLED", "false")
        .variable("FELIX_HEALTHENABLED", "true")
        .variable("FELIX_ENDPOINTSTATUSPATHPREFIX", "/run/calico")
        // With false, a denied pod still reached host ports over link-local IPv6.
        .variable("FELIX_IPV6SUPPORT", "true")
        .variable("FELIX_LOGSEVERITYSCREEN", "Warning")
        .variable("FELIX_LOGFILEPATH", "none")
        .variable("FELIX_LOGSEVERITYSYS", "none")
}

fn kubelet(setting: &Setting) -> Component {
    Component::new("kubelet", setting.state.program("kubelet"))
        .need(Need::Path("/run/containerd/containerd.sock".into()))
        .need(api_server(setting))
        .flag(
            "kubeconfig",
            setting.pki(&format!("{}-kubelet.kubeconfig", setting.node_name())),
        )
        .flag("config", setting.path("kubelet.yaml").display())
        .flag("root-dir", setting.path("kubelet").display())
        .flag("hostname-override", setting.node_name())
        .flag(
            "node-ip",
            network::node_address(setting.index, setting.node),
        )
}
