//! Organization: a customer. It becomes a namespace of the same name, fenced in.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{app_instance::DeletionPolicy, quantity};

/// A customer: a namespace with quota, limits, a network closed in both directions and Pod
/// Security labels.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[kube(
    group = "tutti.dev",
    version = "v1alpha1",
    kind = "Organization",
    status = "OrganizationStatus",
    derive = "PartialEq",
    shortname = "org",
    category = "tutti",
    doc = "A customer: a namespace of the same name with quota, limits, a network closed in both directions and Pod Security labels.",
    crates(kube_core = "::kube_core", kube = "::kube_derive"),
    attr = "x_kube(crates(kube_core = \"::kube_core\"))",
    printcolumn(name = "Title", type_ = "string", json_path = ".spec.title"),
    printcolumn(name = "Instances", type_ = "integer", json_path = ".status.instances"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')")
        .message("metadata.name: the name of the organization is the name of its namespace: 1 to 63 lower-case letters, digits and dashes, beginning with a letter"),
    validation = Rule::new("!(self.metadata.name in ['default', 'tutti-system']) && !self.metadata.name.startsWith('kube-')")
        .message("metadata.name: this namespace belongs to the cluster or the platform; choose another name"),
)]
#[serde(rename_all = "camelCase")]
pub struct OrganizationSpec {
    /// What the organization is called in front of people.
    #[schemars(length(min = 1, max = 120))]
    pub title: String,

    /// What all its instances together may use.
    #[serde(default)]
    pub quota: Quota,

    /// Which Pod Security Standard its pods must satisfy: `restricted`, or `baseline` for apps that
    /// must run as root.
    #[serde(default)]
    pub pod_security: PodSecurity,

    /// What becomes of the namespace, with volumes and secrets that were kept in it, when the
    /// organization is deleted: `Retain` keeps it, `Delete` deletes it. It is never deleted while
    /// instances remain.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// Whether a namespace belongs to the cluster or the platform: no organization may have it. The kind's own
/// rule says the same.
#[must_use]
pub fn is_reserved(namespace: &str) -> bool {
    ["default", "tutti-system"].contains(&namespace) || namespace.starts_with("kube-")
}

/// What an organization may use, over all its instances.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Cores promised to pods (sum of requests).
    #[serde(default = "default_cpu")]
    #[schemars(length(max = 20))]
    #[x_kube(validation = quantity::CPU.rule("cpu"))]
    pub cpu: String,
    /// Memory promised to pods (sum of requests).
    #[serde(default = "default_memory")]
    #[schemars(length(max = 20))]
    #[x_kube(validation = quantity::BYTES.rule("memory"))]
    pub memory: String,
    /// Size of all volumes together.
    #[serde(default = "default_storage")]
    #[schemars(length(max = 20))]
    #[x_kube(validation = quantity::BYTES.rule("storage"))]
    pub storage: String,
    /// How many instances.
    #[serde(default = "default_instances")]
    #[schemars(range(min = 0, max = 10000))]
    pub instances: i32,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            cpu: default_cpu(),
            memory: default_memory(),
            storage: default_storage(),
            instances: default_instances(),
        }
    }
}

fn default_cpu() -> String {
    "8".to_owned()
}

fn default_memory() -> String {
    "16Gi".to_owned()
}

fn default_storage() -> String {
    "200Gi".to_owned()
}

fn default_instances() -> i32 {
    20
}

/// Pod Security Standards, see <https://kubernetes.io/docs/concepts/security/pod-security-standards/>.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PodSecurity {
    /// The strictest; every app of the catalogue satisfies it unless it says `RootUser`.
    #[default]
    Restricted,
    /// For apps that must run as root.
    Baseline,
}

/// What the operator found and did.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct OrganizationStatus {
    /// The generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many instances it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<i32>,
    /// `Ready`: instances can be made in its namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
}
