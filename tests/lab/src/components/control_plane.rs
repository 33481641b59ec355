//! The processes that only node 1 has: etcd, the API server and what decides on its objects, the
//! registry and the builder of images.

use std::net::{Ipv4Addr, SocketAddr};

use super::{Component, Need, Setting};
use crate::{cgroup, network};

const ETCD: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 2379);

/// In the order in which they are started.
pub fn components(setting: &Setting) -> Vec<Component> {
    vec![
        etcd(setting),
        api_server(setting),
        controller_manager(setting),
        scheduler(setting),
        registry(setting),
        docker(setting),
    ]
}

fn api_server_port(setting: &Setting) -> Need {
    let address = network::node_address(setting.index, 1);
    Need::Port(SocketAddr::from((address, network::API_PORT)))
}

fn etcd(setting: &Setting) -> Component {
    Component::new("etcd", setting.state.program("etcd"))
        .flag("name", "lab")
        .flag("data-dir", setting.path("etcd").display())
        .flag("listen-client-urls", "https://127.0.0.1:2379")
        .flag("advertise-client-urls", "https://127.0.0.1:2379")
        .flag("listen-peer-urls", "http://127.0.0.1:2380")
        .flag("initial-advertise-peer-urls", "http://127.0.0.1:2380")
        .flag("initial-cluster", "lab=http://127.0.0.1:2380")
        .flag("trusted-ca-file", setting.pki("etcd-ca.crt"))
        .flag("cert-file", setting.pki("etcd.crt"))
        .flag("key-file", setting.pki("etcd.key"))
        .flag("client-cert-auth", true)
        // A cluster of one elects itself; the usual second of waiting is for others.
        .flag("heartbeat-interval", 50)
        .flag("election-timeout", 250)
        // Old revisions would fill the disk of a lab that lives for weeks.
        .flag("auto-compaction-mode", "periodic")
        .flag("auto-compaction-retention", "30m")
        .flag("log-level", "warn")
}

fn api_server(setting: &Setting) -> Component {
    Component::new("kube-apiserver", setting.state.program("kube-apiserver"))
        .need(Need::Port(ETCD))
        .flag("advertise-address", network::node_address(setting.index, 1))
        .flag("secure-port", network::API_PORT)
        .flag("etcd-servers", "https://127.0.0.1:2379")
        .flag("etcd-cafile", setting.pki("etcd-ca.crt"))
        .flag("etcd-certfile", setting.pki("apiserver-etcd-client.crt"))
        .flag("etcd-keyfile", setting.pki("apiserver-etcd-client.key"))
        .flag("tls-cert-file", setting.pki("apiserver.crt"))
        .flag("tls-private-key-file", setting.pki("apiserver.key"))
        .flag("client-ca-file", setting.pki("ca.crt"))
        .flag("kubelet-certificate-authority", setting.pki("ca.crt"))
        .flag(
            "kubelet-client-certificate",
            setting.pki("apiserver-kubelet-client.crt"),
        )
        .flag(
            "kubelet-client-key",
            setting.pki("apiserver-kubelet-client.key"),
        )
        .flag("kubelet-preferred-address-types", "InternalIP")
        .flag(
            "service-account-issuer",
            "https://kubernetes.default.svc.cluster.local",
        )
        .flag(
            "service-account-key-file",
            setting.pki("service-accounts.pub"),
        )
        .flag(
            "service-account-signing-key-file",
            setting.pki("service-accounts.key"),
        )
        .flag("service-cluster-ip-range", network::SERVICE_RANGE)
        .flag("authorization-mode", "Node,RBAC")
        .flag("enable-admission-plugins", "NodeRestriction")
        .flag("allow-privileged", true)
        // The front proxy: aggregated APIs such as metrics-server trust these.
        .flag(
            "requestheader-client-ca-file",
            setting.pki("front-proxy-ca.crt"),
        )
        .flag("requestheader-allowed-names", "front-proxy-client")
        .flag("requestheader-extra-headers-prefix", "X-Remote-Extra-")
        .flag("requestheader-group-headers", "X-Remote-Group")
        .flag("requestheader-username-headers", "X-Remote-User")
        .flag(
            "proxy-client-cert-file",
            setting.pki("front-proxy-client.crt"),
        )
        .flag(
            "proxy-client-key-file",
            setting.pki("front-proxy-client.key"),
        )
        .flag(
            "audit-policy-file",
            setting.state.path("audit-policy.yaml").display(),
        )
        .flag("audit-log-path", setting.state.path("audit.log").display())
        .flag("audit-log-mode", "batch")
        // A test that counts calls waits for the log this long, instead of 30 s.
        .flag("audit-log-batch-max-wait", "1s")
        .flag("audit-log-maxsize", 100)
        .flag("audit-log-maxbackup", 3)
        .flag("profiling", false)
}

fn controller_manager(setting: &Setting) -> Component {
    let kubeconfig = setting.pki("kube-controller-manager.kubeconfig");
    Component::new(
        "kube-controller-manager",
        setting.state.program("kube-controller-manager"),
    )
    .need(api_server_port(setting))
    .flag("kubeconfig", &kubeconfig)
    .flag("authentication-kubeconfig", &kubeconfig)
    .flag("authorization-kubeconfig", &kubeconfig)
    .flag("client-ca-file", setting.pki("ca.crt"))
    .flag(
        "requestheader-client-ca-file",
        setting.pki("front-proxy-ca.crt"),
    )
    .flag("root-ca-file", setting.pki("ca.crt"))
    .flag("cluster-signing-cert-file", setting.pki("ca.crt"))
    .flag("cluster-signing-key-file", setting.pki("ca.key"))
    .flag(
        "service-account-private-key-file",
        setting.pki("service-accounts.key"),
    )
    .flag("use-service-account-credentials", true)
    .flag("cluster-cidr", network::POD_RANGE)
    .flag("service-cluster-ip-range", network::SERVICE_RANGE)
    .flag("allocate-node-cidrs", false)
    .flag("bind-address", "127.0.0.1")
    // There is only one: an election would cost 15 s after a crash.
    .flag("leader-elect", false)
    .flag("profiling", false)
}

fn scheduler(setting: &Setting) -> Component {
    let kubeconfig = setting.pki("kube-scheduler.kubeconfig");
    Component::new("kube-scheduler", setting.state.program("kube-scheduler"))
        .need(api_server_port(setting))
        .flag("kubeconfig", &kubeconfig)
        .flag("authentication-kubeconfig", &kubeconfig)
        .flag("authorization-kubeconfig", &kubeconfig)
        .flag("bind-address", "127.0.0.1")
        .flag("leader-elect", false)
        .flag("profiling", false)
}

fn registry(setting: &Setting) -> Component {
    Component::new("registry", "/usr/bin/docker-registry")
        .argument("serve")
        .argument(setting.state.path("registry.yaml").display().to_string())
}

/// Without `--iptables=false` dockerd sets the FORWARD policy to DROP and pods lose the network.
fn docker(setting: &Setting) -> Component {
    Component::new("dockerd", "/usr/sbin/dockerd")
        .need(Need::Path("/run/containerd/containerd.sock".into()))
        .flag(
            "host",
            format!("unix://{}", setting.state.docker_socket().display()),
        )
        .flag("containerd", "/run/containerd/containerd.sock")
        .flag("data-root", setting.state.path("docker").display())
        .flag("exec-root", "/run/docker")
        .flag("pidfile", "/run/docker.pid")
        // Not the machine's: /etc/docker/daemon.json is about another daemon.
        .flag("config-file", setting.state.path("docker.json").display())
        .flag(
            "cgroup-parent",
            format!("/{}/docker", cgroup::name(setting.index)),
        )
        .flag("iptables", false)
        .flag("ip6tables", false)
        .flag("bridge", "none")
}
