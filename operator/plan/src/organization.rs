//! What an organization becomes: a namespace with quota, limits, a network closed in both
//! directions and Pod Security labels, in which idm may write Secrets.

use std::collections::BTreeMap;

use crds::{Organization, labels, organization::PodSecurity};
use k8s_openapi::{
    api::{
        core::v1::{
            LimitRange, LimitRangeItem, LimitRangeSpec, Namespace, ResourceQuota, ResourceQuotaSpec,
        },
        networking::v1::{
            NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort,
            NetworkPolicySpec,
        },
        rbac::v1::{RoleBinding, RoleRef, Subject},
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use kube_core::ResourceExt;
use serde::Serialize;

use crate::{
    context::Idm,
    quota::{CPU, MEMORY, STORAGE},
};

/// Name of the quota, the limits, the policies and the binding in each namespace.
pub const FENCE: &str = "tutti";
/// The ClusterRole of the chart by which idm writes Secrets. It is bound in namespaces of organizations and nowhere
/// else.
pub const SECRETS_ROLE: &str = "tutti-idm-secrets";

/// Everything that an organization consists of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DesiredOrganization {
    /// Its namespace.
    pub namespace: Namespace,
    /// What it may use.
    pub quota: ResourceQuota,
    /// What a container may use that does not say so itself.
    pub limits: LimitRange,
    /// Nothing in, nothing out, but DNS.
    pub network_policy: NetworkPolicy,
    /// idm gives applications their credentials there.
    pub binding: Option<RoleBinding>,
}

/// Builds all objects of an organization.
#[must_use]
pub fn desired(organization: &Organization, idm: Option<&Idm>) -> DesiredOrganization {
    let name = organization.name_any();
    DesiredOrganization {
        namespace: namespace(&name, organization.spec.pod_security),
        quota: quota(&name, organization),
        limits: limits(&name),
        network_policy: network_policy(&name),
        binding: idm.map(|idm| binding(&name, idm)),
    }
}

/// Whether a namespace that exists may become this organization's: it says so itself, or it was its
/// until somebody took the label away or changed it. A namespace that somebody else made for something
/// else is never taken, nor one that an earlier organization left and that says another's name since.
///
/// `has_it`: the organization's own status says that it has its namespace.
#[must_use]
pub fn may_adopt(namespace: &ObjectMeta, organization: &str, has_it: bool) -> bool {
    let label = namespace
        .labels
        .as_ref()
        .and_then(|labels| labels.get(labels::ORGANIZATION));
    if label.is_some_and(|owner| owner == organization) {
        return true;
    }
    let annotations = namespace.annotations.as_ref();
    has_it && annotations.is_some_and(|all| all.contains_key(labels::PLAN))
}

fn namespace(name: &str, pod_security: PodSecurity) -> Namespace {
    let standard = match pod_security {
        PodSecurity::Restricted => "restricted",
        PodSecurity::Baseline => "baseline",
    };
    let mut labels = BTreeMap::from([
        (labels::ORGANIZATION.to_owned(), name.to_owned()),
        (labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned()),
    ]);
    for mode in ["enforce", "audit", "warn"] {
        labels.insert(
            format!("pod-security.kubernetes.io/{mode}"),
            standard.to_owned(),
        );
    }
    Namespace {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }
}

fn fence(namespace: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(FENCE.to_owned()),
        namespace: Some(namespace.to_owned()),
        labels: Some(BTreeMap::from([(
            labels::MANAGED_BY.to_owned(),
            labels::MANAGER.to_owned(),
        )])),
        ..ObjectMeta::default()
    }
}

/// How many instances there may be is not among it: a quota on objects of a kind refuses all of
/// them until its controller has counted, and its refusal stands on no object. See
/// `check::quota_has_room`.
fn quota(namespace: &str, organization: &Organization) -> ResourceQuota {
    let quota = &organization.spec.quota;
    ResourceQuota {
        metadata: fence(namespace),
        spec: Some(ResourceQuotaSpec {
            hard: Some(BTreeMap::from([
                (CPU.to_owned(), Quantity(quota.cpu.clone())),
                (MEMORY.to_owned(), Quantity(quota.memory.clone())),
                (STORAGE.to_owned(), Quantity(quota.storage.clone())),
            ])),
            ..ResourceQuotaSpec::default()
        }),
        status: None,
    }
}

/// For containers that people run by hand beside their apps, such as `kubectl debug`.
fn limits(namespace: &str) -> LimitRange {
    let quantities = |cpu: &str, memory: &str| {
        Some(BTreeMap::from([
            ("cpu".to_owned(), Quantity(cpu.to_owned())),
            ("memory".to_owned(), Quantity(memory.to_owned())),
        ]))
    };
    LimitRange {
        metadata: fence(namespace),
        spec: Some(LimitRangeSpec {
            limits: vec![LimitRangeItem {
                type_: "Container".to_owned(),
                default: quantities("500m", "256Mi"),
                default_request: quantities("50m", "64Mi"),
                ..LimitRangeItem::default()
            }],
        }),
    }
}

fn binding(namespace: &str, idm: &Idm) -> RoleBinding {
    RoleBinding {
        metadata: fence(namespace),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: SECRETS_ROLE.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: idm.account.clone(),
            namespace: Some(idm.namespace.clone()),
            ..Subject::default()
        }]),
    }
}

fn network_policy(namespace: &str) -> NetworkPolicy {
    let port = |port: IntOrString, protocol: &str| NetworkPolicyPort {
        port: Some(port),
        protocol: Some(protocol.to_owned()),
        end_port: None,
    };
    // Policies see the pod's port and not the Service's: where DNS servers run without privileges
    // that is not 53, but it has these names in every distribution.
    let named = |name: &str, protocol: &str| port(IntOrString::String(name.to_owned()), protocol);
    let dns = |protocol: &str| port(IntOrString::Int(53), protocol);
    let selector = |key: &str, value: &str| {
        Some(LabelSelector {
            match_labels: Some(BTreeMap::from([(key.to_owned(), value.to_owned())])),
            ..LabelSelector::default()
        })
    };
    NetworkPolicy {
        metadata: fence(namespace),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector::default()),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            // Empty and not left out: what is not said is nobody's, and a rule that somebody adds would
            // stay.
            ingress: Some(Vec::new()),
            egress: Some(vec![NetworkPolicyEgressRule {
                to: Some(vec![NetworkPolicyPeer {
                    namespace_selector: selector("kubernetes.io/metadata.name", "kube-system"),
                    pod_selector: selector("k8s-app", "kube-dns"),
                    ..NetworkPolicyPeer::default()
                }]),
                ports: Some(vec![
                    dns("UDP"),
                    dns("TCP"),
                    named("dns", "UDP"),
                    named("dns-tcp", "TCP"),
                ]),
            }]),
        }),
    }
}
