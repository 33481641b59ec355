//! NetworkPolicies: what is let through beside the organization's default-deny.
//!
//! ```text
//! gateway ──> web ──> database        web, job ──> internet (unless the app needs none)
//!                                     web, job ──> idm (where people sign in by it)
//!             job ──> web, database   everybody ──> DNS (the organization's own policy)
//! ```

use std::collections::BTreeMap;

use crds::app_definition::{Egress, SsoProtocol};
use k8s_openapi::{
    api::networking::v1::{
        IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule,
        NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
        util::intstr::IntOrString,
    },
};

use super::metadata::{self, COMPONENT_DATABASE, COMPONENT_JOB, COMPONENT_WEB};
use crate::{check::Wish, engine, names};

/// What is not the internet: private, shared, link-local, loopback and multicast ranges
/// (RFC 1918, 6598, 3927, 1122, 5771, 1112). Clusters lie in these, and cloud metadata services.
const NOT_INTERNET: [&str; 9] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/4",
    "240.0.0.0/4",
];
/// The same for IPv6: everything but global unicast 2000::/3 is left out by naming only that.
const INTERNET_V6: &str = "2000::/3";

pub(super) fn build(wish: &Wish<'_>) -> Vec<NetworkPolicy> {
    let mut policies = vec![app(wish)];
    if let Some(facts) = engine::facts(wish.definition.database.engine) {
        policies.push(database(wish, facts.port));
    }
    policies
}

/// The app's pods and jobs.
fn app(wish: &Wish<'_>) -> NetworkPolicy {
    let web_port = wish.definition.port.number;
    let platform = wish.context.platform;
    let gateway = platform_pods(&platform.gateway_namespace, &platform.gateway_labels);
    let mut egress = vec![egress_to(
        vec![component(wish, COMPONENT_WEB)],
        Some(web_port),
    )];
    if let Some(facts) = engine::facts(wish.definition.database.engine) {
        egress.push(egress_to(
            vec![component(wish, COMPONENT_DATABASE)],
            Some(facts.port),
        ));
    }
    if wish.definition.network.egress == Egress::Internet {
        egress.push(egress_to(
            vec![
                block("0.0.0.0/0", Some(NOT_INTERNET.map(str::to_owned).to_vec())),
                block(INTERNET_V6, None),
            ],
            None,
        ));
    }
    if let Some(idm) = &platform.idm
        && wish.definition.sso.protocol == SsoProtocol::Oidc
    {
        egress.push(egress_to(
            vec![platform_pods(&idm.namespace, &idm.labels)],
            Some(idm.port),
        ));
    }
    NetworkPolicy {
        metadata: metadata::owned(wish, wish.name.clone(), COMPONENT_WEB),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some([(crds::labels::INSTANCE.to_owned(), wish.name.clone())].into()),
                match_expressions: Some(vec![LabelSelectorRequirement {
                    key: crds::labels::COMPONENT.to_owned(),
                    operator: "In".to_owned(),
                    values: Some(vec![COMPONENT_WEB.to_owned(), COMPONENT_JOB.to_owned()]),
                }]),
            }),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: Some(vec![gateway, component(wish, COMPONENT_JOB)]),
                ports: Some(vec![tcp(web_port)]),
            }]),
            egress: Some(egress),
        }),
    }
}

/// The database's pod: only this instance's app and jobs come in, nothing goes out.
fn database(wish: &Wish<'_>, port: i32) -> NetworkPolicy {
    NetworkPolicy {
        metadata: metadata::owned(wish, names::database(&wish.name), COMPONENT_DATABASE),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(metadata::label_selector(wish, COMPONENT_DATABASE)),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: Some(vec![
                    component(wish, COMPONENT_WEB),
                    component(wish, COMPONENT_JOB),
                ]),
                ports: Some(vec![tcp(port)]),
            }]),
            // Said, so that it is ours.
            egress: Some(Vec::new()),
        }),
    }
}

/// Pods of the platform's own.
fn platform_pods(namespace: &str, pods: &BTreeMap<String, String>) -> NetworkPolicyPeer {
    let namespace = [("kubernetes.io/metadata.name", namespace)];
    let pods = pods.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    NetworkPolicyPeer {
        namespace_selector: Some(labels(namespace.into_iter())),
        pod_selector: Some(labels(pods)),
        ..NetworkPolicyPeer::default()
    }
}

fn component(wish: &Wish<'_>, component: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(metadata::label_selector(wish, component)),
        ..NetworkPolicyPeer::default()
    }
}

fn block(cidr: &str, except: Option<Vec<String>>) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: cidr.to_owned(),
            except,
        }),
        ..NetworkPolicyPeer::default()
    }
}

fn egress_to(to: Vec<NetworkPolicyPeer>, port: Option<i32>) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: Some(to),
        ports: port.map(|port| vec![tcp(port)]),
    }
}

fn tcp(port: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(port)),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    }
}

fn labels<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> LabelSelector {
    LabelSelector {
        match_labels: Some(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()),
        ..LabelSelector::default()
    }
}
