//! What the operator may do: one table, each line with its reason. The chart's roles are printed
//! from it (`operator rbac`), and a test on a real cluster proves that each verb is used.
//!
//! Server-side apply of an object that does not exist needs `create` beside `patch`.

use k8s_openapi::api::rbac::v1::PolicyRule;
pub use plan::organization::SECRETS_ROLE;
use serde::Serialize;

/// Which role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scope {
    /// In the whole cluster.
    Cluster,
    /// In its own namespace.
    Namespace,
}

/// Rules as the chart includes them.
#[derive(Serialize)]
pub struct Rules {
    /// The rules.
    pub rules: Vec<PolicyRule>,
}

/// Group, resources, verbs and the reason.
type Line = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
);

const CLUSTER: &[Line] = &[
    (
        "tutti.dev",
        &[
            "appdefinitions",
            "organizations",
            "appinstances",
            "routes",
            "domains",
        ],
        &["list", "watch"],
        "what people wish for",
    ),
    (
        "tutti.dev",
        &["appinstances", "organizations", "domains"],
        &["patch"],
        "finalizers",
    ),
    (
        "tutti.dev",
        &[
            "appdefinitions/status",
            "organizations/status",
            "appinstances/status",
            "routes/status",
            "domains/status",
        ],
        &["patch"],
        "what came of the wishes",
    ),
    (
        "tutti.dev",
        &["routes"],
        &["create", "patch", "delete"],
        "hostnames of instances",
    ),
    (
        "tutti.dev",
        &["domains"],
        &["create", "delete"],
        "customers' own hostnames, for instances that name them",
    ),
    (
        "tutti.dev",
        &["ssoclients"],
        &["list", "watch", "create", "patch", "delete"],
        "who signs people in to an app",
    ),
    (
        "",
        &["services"],
        &["list", "watch", "create", "patch", "delete"],
        "names of apps and databases",
    ),
    (
        "",
        &["serviceaccounts"],
        &["get", "list", "watch", "create", "patch"],
        "identities of pods, never somebody else's; they go with their instances",
    ),
    (
        "",
        &["persistentvolumeclaims"],
        &["get", "list", "watch", "create", "patch", "delete"],
        "volumes, never somebody else's; deleted only with an instance whose policy is Delete",
    ),
    (
        "",
        &["secrets"],
        &["create", "get", "list", "watch", "patch", "delete"],
        "generated secrets, watched, read and relabelled as metadata only, and deleted only with an \
         instance whose policy is Delete; certificates and their keys, which customers bring too, \
         accounts with authorities; those of the platform's own services",
    ),
    (
        "",
        &["pods"],
        &["list", "watch"],
        "why an app does not answer; which gateways there are to ask",
    ),
    (
        "",
        &["pods/log"],
        &["get"],
        "the last line of an app that crashes",
    ),
    (
        "",
        &["events"],
        &["list"],
        "why a database or a job has no pod",
    ),
    (
        "",
        &["namespaces"],
        &["get", "list", "watch", "create", "patch", "delete"],
        "organizations",
    ),
    (
        "",
        &["resourcequotas", "limitranges"],
        &["list", "watch", "create", "patch"],
        "fences of organizations",
    ),
    (
        "apps",
        &["deployments"],
        &["list", "watch", "create", "patch"],
        "apps; they go with their instances",
    ),
    (
        "apps",
        &["statefulsets"],
        &["list", "watch", "create", "patch", "delete"],
        "databases",
    ),
    (
        "batch",
        &["jobs"],
        &["get", "list", "watch", "create", "patch", "delete"],
        "installation and upgrade jobs, never somebody else's",
    ),
    (
        "batch",
        &["cronjobs"],
        &["list", "watch", "create", "patch", "delete"],
        "periodic jobs",
    ),
    (
        "networking.k8s.io",
        &["networkpolicies"],
        &["list", "watch", "create", "patch", "delete"],
        "who may talk to whom",
    ),
    (
        "rbac.authorization.k8s.io",
        &["rolebindings"],
        &["list", "watch", "create", "patch", "delete"],
        "idm's right to the Secrets of an organization, and not of what it leaves",
    ),
    (
        "policy",
        &["poddisruptionbudgets"],
        &["list", "watch", "create", "patch", "delete"],
        "how many pods may be moved at once",
    ),
    (
        "events.k8s.io",
        &["events"],
        &["create", "patch"],
        "news, with the conditions' words",
    ),
];

const NAMESPACE: &[Line] = &[
    (
        "coordination.k8s.io",
        &["leases"],
        &["get", "create", "patch"],
        "which replica leads",
    ),
    (
        "",
        &["configmaps"],
        &["list", "watch", "create", "patch", "delete"],
        "hostnames that are kept for their last owners",
    ),
];

/// The rules of a role.
#[must_use]
pub fn rules(scope: Scope) -> Rules {
    let lines = match scope {
        Scope::Cluster => CLUSTER,
        Scope::Namespace => NAMESPACE,
    };
    let owned = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
    let rules = lines.iter().map(|(group, resources, verbs, _)| PolicyRule {
        api_groups: Some(vec![(*group).to_owned()]),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    });
    let mut rules: Vec<PolicyRule> = rules.collect();
    if scope == Scope::Cluster {
        rules.push(bind());
    }
    Rules { rules }
}

/// To whom this one role is given, and where, the operator may say without having it by itself. It is asked for with
/// each `rolebindings` above, and by no request of its own.
fn bind() -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec!["rbac.authorization.k8s.io".to_owned()]),
        resources: Some(vec!["clusterroles".to_owned()]),
        resource_names: Some(vec![SECRETS_ROLE.to_owned()]),
        verbs: vec!["bind".to_owned()],
        ..PolicyRule::default()
    }
}

/// The rules of a role as they stand in the chart.
///
/// # Errors
/// When the rules cannot be written as YAML.
pub fn to_yaml(scope: Scope) -> Result<String, serde_saphyr::ser::Error> {
    let yaml = serde_saphyr::to_string(&rules(scope))?;
    Ok(format!(
        "# Generated from operator/src/rbac.rs by `make generate`. Do not edit.\n{yaml}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_grants_exactly_these_rules() {
        for (scope, granted) in [
            (
                Scope::Cluster,
                include_str!("../../charts/tutti/files/operator-cluster-role.yaml"),
            ),
            (
                Scope::Namespace,
                include_str!("../../charts/tutti/files/operator-role.yaml"),
            ),
        ] {
            let printed = to_yaml(scope).ok();
            assert!(
                printed.as_deref() == Some(granted),
                "the role of scope {scope:?} is not up to date: make generate"
            );
        }
    }

    #[test]
    fn the_chart_has_the_role_that_the_operator_binds() {
        let chart = include_str!("../../charts/tutti/templates/idm/role.yaml");
        assert!(chart.contains(&format!("name: {SECRETS_ROLE}\n")));
    }

    #[test]
    fn nothing_is_granted_by_a_wildcard_and_nothing_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for (group, resources, verbs, reason) in CLUSTER.iter().chain(NAMESPACE) {
            assert!(!reason.is_empty());
            for resource in *resources {
                for verb in *verbs {
                    assert!(
                        !resource.contains('*') && !verb.contains('*'),
                        "{resource} {verb}"
                    );
                    assert!(
                        seen.insert((group, resource, verb)),
                        "{group} {resource} {verb} twice"
                    );
                }
            }
        }
    }
}
