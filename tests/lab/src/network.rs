//! The lab's network: a bridge on the host, one veth per node, an address range of its own that is
//! translated on its way out, and a route per node for its pods. The host's own rules are not
//! touched, except where its FORWARD chain would drop what the nodes send.

use std::{fs, net::Ipv4Addr, path::Path, process::Command};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    process::{run, run_with_input},
    state::{Record, current_boot},
};

/// The first address of the services' range: the API server for pods.
pub const API_SERVICE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// CoreDNS for pods.
pub const DNS_SERVICE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// The services' range.
pub const SERVICE_RANGE: &str = "10.96.0.0/16";
/// The range of all pods; each node has a /24 of it.
pub const POD_RANGE: &str = "10.244.0.0/16";
/// The API server's port on node 1.
pub const API_PORT: u16 = 6443;
/// The registry's port on node 1.
pub const REGISTRY_PORT: u16 = 5000;
/// More labs than this on one machine would be a leak, not a wish.
const MOST_LABS: u8 = 10;

/// Settings of the host that nodes depend on or that the kubelet changes. All are put back by
/// `down`. The kubelet's are not in a namespace, so it changes the host's.
const HOST_SETTINGS: &[(&str, Option<&str>)] = &[
    ("net/ipv4/ip_forward", Some("1")),
    ("vm/overcommit_memory", None),
    ("vm/panic_on_oom", None),
    ("kernel/panic", None),
    ("kernel/panic_on_oops", None),
    ("kernel/keys/root_maxkeys", None),
    ("kernel/keys/root_maxbytes", None),
];

/// The bridge's name on the host.
pub fn bridge(index: u8) -> String {
    format!("tutti{index}")
}

fn veth(index: u8, node: u8) -> String {
    format!("tutti{index}n{node}")
}

/// Whether an interface of the host is a lab's: its bridge, or its end of a node's veth.
pub fn is_interface_of(name: &str, index: u8) -> bool {
    name.strip_prefix(&bridge(index)).is_some_and(|rest| {
        rest.is_empty()
            || rest
                .strip_prefix('n')
                .is_some_and(|node| node.parse::<u8>().is_ok())
    })
}

/// The range of the nodes' addresses.
pub fn node_range(index: u8) -> String {
    format!("10.213.{index}.0/24")
}

/// The host's address on the bridge.
pub fn gateway(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 213, index, 1)
}

/// A node's address.
pub fn node_address(index: u8, node: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 213, index, 10 + node)
}

/// The range of a node's pods.
pub fn pod_range(node: u8) -> String {
    format!("10.244.{node}.0/24")
}

/// Where the API server answers, for the host and for every node.
pub fn api_server_url(index: u8) -> String {
    format!("https://{}:{API_PORT}", node_address(index, 1))
}

/// The first index whose bridge does not exist: another lab of this machine may have the others.
pub fn free_index() -> Result<u8> {
    match (0..MOST_LABS).find(|index| !interface_exists(&bridge(*index))) {
        Some(index) => Ok(index),
        None => bail!(
            "this machine has {MOST_LABS} labs already (the bridges tutti0 to tutti{}); run \
             `lab down` with TUTTI_LAB set to the folder of one that is not needed",
            MOST_LABS - 1
        ),
    }
}

/// Whether another lab of this machine runs: what all labs share must then stay.
pub fn another_lab_runs(index: u8) -> bool {
    (0..MOST_LABS)
        .filter(|other| *other != index)
        .any(|other| interface_exists(&bridge(other)))
}

fn interface_exists(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

/// The MTU of the host's way out: packets of nodes and pods must not be larger.
pub fn outgoing_mtu() -> u32 {
    let mtu = || {
        let route = run(Command::new("ip").args(["-o", "route", "show", "default"])).ok()?;
        let mut words = route.split_whitespace().skip_while(|word| *word != "dev");
        let interface = words.nth(1)?.to_owned();
        let text = fs::read_to_string(format!("/sys/class/net/{interface}/mtu")).ok()?;
        text.trim().parse().ok()
    };
    mtu().unwrap_or(1500)
}

/// The name servers that nodes can reach: the host's, without those on its own loopback (which
/// mean something else inside a node).
pub fn resolvers() -> Vec<String> {
    ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"]
        .iter()
        .map(|file| parse_resolvers(&fs::read_to_string(file).unwrap_or_default()))
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

fn parse_resolvers(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .map(str::trim)
        .filter(|address| {
            address
                .parse::<Ipv4Addr>()
                .is_ok_and(|address| !address.is_loopback())
        })
        .map(str::to_owned)
        .collect()
}

/// Makes the bridge, the translation and the settings, where they are missing.
pub fn provide(record: &mut Record) -> Result<()> {
    let index = record.index;
    if record.boot != current_boot() {
        ensure!(
            !interface_exists(&bridge(index)),
            "the interface {} belongs to another lab, which was made while this one was not \
             running; run `lab stop` with TUTTI_LAB set to that one's folder",
            bridge(index)
        );
        // After a boot the settings are the machine's own again: read them anew.
        record.saved_settings.clear();
        record.opened_forward_chain = false;
        record.boot = current_boot();
    }
    for (name, wanted) in HOST_SETTINGS {
        let path = Path::new("/proc/sys").join(name);
        let Ok(old) = fs::read_to_string(&path) else {
            continue;
        };
        record
            .saved_settings
            .entry((*name).to_owned())
            .or_insert_with(|| old.trim().to_owned());
        if let Some(wanted) = wanted
            && old.trim() != *wanted
        {
            fs::write(&path, wanted).with_context(|| format!("cannot set {name} to {wanted}"))?;
        }
    }
    let bridge = bridge(index);
    if !interface_exists(&bridge) {
        ip(&["link", "add", &bridge, "type", "bridge"])?;
        let mtu = outgoing_mtu().to_string();
        ip(&["link", "set", &bridge, "mtu", &mtu])?;
        let address = format!("{}/24", gateway(index));
        ip(&["addr", "add", &address, "dev", &bridge])?;
        ip(&["link", "set", &bridge, "up"])?;
    }
    // A table of our own, so that removing it leaves nothing. Declaring and deleting it first
    // makes the call repeatable.
    let rules = format!(
        "table ip {bridge}\ndelete table ip {bridge}\ntable ip {bridge} {{\n chain outgoing {{\n  \
         type nat hook postrouting priority srcnat; policy accept;\n  \
         ip saddr {} oifname != \"{bridge}\" masquerade\n }}\n}}\n",
        node_range(index)
    );
    run_with_input(Command::new("nft").args(["-f", "-"]), Some(&rules))
        .context("cannot translate the nodes' addresses")?;
    if !record.opened_forward_chain && forward_chain_drops() {
        for direction in ["--in-interface", "--out-interface"] {
            iptables(&[
                "--insert", "FORWARD", direction, &bridge, "--jump", "ACCEPT",
            ])?;
        }
        record.opened_forward_chain = true;
    }
    Ok(())
}

/// A Docker of the host's sets the policy to DROP, which would cut the nodes off.
fn forward_chain_drops() -> bool {
    // Listing through nft reads only; `iptables --list` would create the tables it lists.
    run(Command::new("nft").args(["list", "chain", "ip", "filter", "FORWARD"]))
        .is_ok_and(|chain| chain.contains("policy drop"))
}

/// Connects a node's network namespace with the bridge and gives it address and routes.
pub fn attach(index: u8, node: u8, nodes: u8, pid: i32) -> Result<()> {
    let (name, bridge) = (veth(index, node), bridge(index));
    let mtu = outgoing_mtu().to_string();
    if interface_exists(&name) {
        // Of a node that was killed: its end goes with the namespace, which takes a moment.
        let _ = ip(&["link", "delete", &name]);
    }
    let pid_text = pid.to_string();
    ip(&[
        "link", "add", &name, "mtu", &mtu, "type", "veth", "peer", "name", "eth0", "mtu", &mtu,
        "netns", &pid_text,
    ])?;
    ip(&["link", "set", &name, "master", &bridge, "up"])?;
    let address = format!("{}/24", node_address(index, node));
    inside(pid, &["link", "set", "lo", "up"])?;
    inside(pid, &["addr", "add", &address, "dev", "eth0"])?;
    inside(pid, &["link", "set", "eth0", "up"])?;
    let gateway = gateway(index).to_string();
    inside(pid, &["route", "add", "default", "via", &gateway])?;
    route_pods(index, node, nodes, pid)
}

/// Routes the pods of the other nodes; repeatable, for a node that joins later.
pub fn route_pods(index: u8, node: u8, nodes: u8, pid: i32) -> Result<()> {
    for other in (1..=nodes).filter(|other| *other != node) {
        let via = node_address(index, other).to_string();
        inside(pid, &["route", "replace", &pod_range(other), "via", &via])?;
    }
    Ok(())
}

/// Undoes [`provide`]; returns what was removed.
pub fn remove(record: &Record) -> Result<Vec<String>> {
    let bridge = bridge(record.index);
    let mut removed = Vec::new();
    if record.boot != current_boot() {
        return Ok(removed);
    }
    for node in 1..=record.nodes {
        let name = veth(record.index, node);
        if interface_exists(&name) && ip(&["link", "delete", &name]).is_ok() {
            removed.push(format!("interface {name}"));
        }
    }
    if interface_exists(&bridge) {
        ip(&["link", "delete", &bridge])?;
        removed.push(format!("interface {bridge}"));
    }
    if run(Command::new("nft").args(["delete", "table", "ip", &bridge])).is_ok() {
        removed.push(format!("nft table {bridge}"));
    }
    if record.opened_forward_chain {
        for direction in ["--in-interface", "--out-interface"] {
            let rule = ["FORWARD", direction, &bridge, "--jump", "ACCEPT"];
            // An earlier `down` that failed further on has removed it.
            if iptables(&[&["--check"], &rule[..]].concat()).is_ok() {
                iptables(&[&["--delete"], &rule[..]].concat())?;
            }
        }
        removed.push("two rules of the FORWARD chain".to_owned());
    }
    if another_lab_runs(record.index) {
        // It needs the settings as they are.
        return Ok(removed);
    }
    for (name, old) in &record.saved_settings {
        let path = Path::new("/proc/sys").join(name);
        let now = fs::read_to_string(&path).unwrap_or_default();
        if now.trim() != old {
            fs::write(&path, old).with_context(|| format!("cannot put {name} back to {old}"))?;
            removed.push(format!("setting {name} (back to {old})"));
        }
    }
    Ok(removed)
}

fn ip(arguments: &[&str]) -> Result<String> {
    run(Command::new("ip").args(arguments))
}

fn iptables(arguments: &[&str]) -> Result<String> {
    run(Command::new("iptables")
        .args(["--wait", "5"])
        .args(arguments))
}

/// Runs `ip` in a node's network namespace.
fn inside(pid: i32, arguments: &[&str]) -> Result<String> {
    run(Command::new("nsenter")
        .args(["--target", &pid.to_string(), "--net", "ip"])
        .args(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_on_the_loopback_are_left_out() {
        let text = "# x\nnameserver 127.0.0.53\nnameserver 192.0.2.7\nnameserver ::1\nsearch a\n";
        assert_eq!(parse_resolvers(text), ["192.0.2.7"]);
    }

    #[test]
    fn an_interface_tells_whose_it_is() {
        for name in [bridge(1), veth(1, 1), veth(1, 12)] {
            assert!(is_interface_of(&name, 1), "{name}");
            assert!(!is_interface_of(&name, 0), "{name}");
        }
        for name in ["eth0", "tutti10", "tutti1x", "tutti"] {
            assert!(!is_interface_of(name, 1), "{name}");
        }
    }

    #[test]
    fn every_node_and_lab_has_an_address_of_its_own() {
        assert_eq!(node_address(0, 1).to_string(), "10.213.0.11");
        assert_eq!(node_address(3, 2).to_string(), "10.213.3.12");
        assert_eq!(pod_range(2), "10.244.2.0/24");
        // The kernel takes at most 15 characters.
        assert!(veth(9, 250).len() <= 15);
    }
}
