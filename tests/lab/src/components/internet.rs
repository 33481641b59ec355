//! What stands for the internet, on node 1: its DNS, two certificate authorities, and the platform's
//! public address with the ports that the world asks for.

use std::net::SocketAddr;

use super::{Component, Setting};
use crate::{
    forward::{HTTP_NODE_PORT, HTTPS_NODE_PORT},
    internet::{self, AUTHORITIES},
    network,
};

/// In the order in which they are started.
pub fn components(setting: &Setting) -> Vec<Component> {
    let mut components = vec![edge(setting), dns(setting)];
    components.extend(AUTHORITIES.iter().map(|it| authority(setting, it)));
    components
}

/// Ports 80 and 443 of the node's address lead to the gateway, whatever the machine's own do.
fn edge(setting: &Setting) -> Component {
    let address = network::node_address(setting.index, 1);
    Component::new("edge", setting.state.program("lab"))
        .argument("forward")
        .argument(format!("{address}:80={address}:{HTTP_NODE_PORT}"))
        .argument(format!("{address}:443={address}:{HTTPS_NODE_PORT}"))
}

fn dns(setting: &Setting) -> Component {
    let named = Component::new("named", setting.state.program("named"));
    internet::dns_flags(setting.state)
        .into_iter()
        .fold(named, Component::argument)
}

fn authority(setting: &Setting, authority: &internet::Authority) -> Component {
    let address = network::node_address(setting.index, 1);
    let pebble = Component::new(authority.name, setting.state.program("pebble"))
        .need(super::Need::Port(SocketAddr::from((address, 53))));
    authority
        .flags(setting.state, address)
        .into_iter()
        .fold(pebble, Component::argument)
        // It waits up to 15 s before it looks, so that clients learn to wait. Ours know.
        .variable("PEBBLE_VA_NOSLEEP", "1")
}
