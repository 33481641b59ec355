//! AppInstance: one running app of one organization.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_core::{Message, Rule};
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{domain::IPV6, quantity, route::Access};

/// In a rule: what was wished of volumes may not have been granted. It may be taken back, down to what
/// there is, which the operator sees to.
const NOT_GRANTED: &str = "(has(oldSelf.status) && has(oldSelf.status.conditions) && oldSelf.status.conditions.exists(c, c.reason in ['StorageCannotGrow', 'StorageCannotShrink', 'UnknownVolume', 'QuotaExceeded']))";

/// In a rule: what has a sentence of its own.
const NO_DOMAIN: &str = "[^ -~]|[/:*_A-Z]|[.]$|^[0-9.]+$";

/// In a rule: a full hostname, without a wildcard.
const DOMAIN: &str = "^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?[.])+[a-z]([-a-z0-9]{0,61}[a-z0-9])?$";

/// One running app of one organization: its own database, storage, network, secrets and address.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[kube(
    group = "tutti.dev",
    version = "v1alpha1",
    kind = "AppInstance",
    namespaced,
    status = "AppInstanceStatus",
    derive = "PartialEq",
    shortname = "appi",
    category = "tutti",
    doc = "One running app of one organization: its own database, storage, network, secrets and address.",
    crates(kube_core = "::kube_core", kube = "::kube_derive"),
    attr = "x_kube(crates(kube_core = \"::kube_core\"))",
    scale(spec_replicas_path = ".spec.replicas", status_replicas_path = ".status.replicas", label_selector_path = ".status.selector"),
    selectable = ".spec.app",
    printcolumn(name = "App", type_ = "string", json_path = ".spec.app"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Size", type_ = "string", json_path = ".status.size", priority = 1),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.replicas", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name: lower-case letters, digits and dashes, beginning with a letter: host names are made from it"),
    validation = Rule::new("self.metadata.name.size() <= 40")
        .message("metadata.name: at most 40 characters, so that the names of the objects made from it stay within 63"),
    validation = Rule::new(format!("!has(oldSelf.spec.storage) || !has(self.spec.storage) || {NOT_GRANTED} || self.spec.storage.all(name, !(name in oldSelf.spec.storage) || !isQuantity(self.spec.storage[name]) || !isQuantity(oldSelf.spec.storage[name]) || quantity(self.spec.storage[name]).compareTo(quantity(oldSelf.spec.storage[name])) >= 0)"))
        .message("spec.storage: volumes only grow; give a size that is not smaller than the present one"),
    validation = Rule::new("!self.metadata.name.endsWith('-database')")
        .message("metadata.name: the database of an instance 'shop' is called 'shop-database'; choose a name that does not end so"),
)]
#[serde(rename_all = "camelCase")]
pub struct AppInstanceSpec {
    /// The AppDefinition that it is an instance of, such as `wordpress`. Cannot be changed.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("app: an instance stays what it is; delete it and make another one"))]
    pub app: String,

    /// The version to run, one of the definition's. Changing it upgrades the instance where the
    /// definition says that this is possible.
    #[schemars(length(min = 1, max = 20))]
    pub version: String,

    /// The size, one of the definition's; its first when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    pub size: Option<String>,

    /// How many pods serve it; 1 when left out. `kubectl scale appi/<name>` sets it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: Option<i32>,

    /// The customer's own hostnames for it, beside its default address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "domains_schema")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub domains: Vec<String>,

    /// Sizes of its volumes by name, such as `{data: 10Gi, database: 5Gi}`, where they differ from
    /// the definition's. They only grow; a volume whose size is left out again stays as it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "storage_schema")]
    #[x_kube(
        validation = Rule::new("self.all(name, !isQuantity(self[name]) || quantity(self[name]).compareTo(quantity('1Mi')) >= 0)")
            .message("storage: a volume has at least 1Mi; give the unit too, such as '10Gi'"),
    )]
    pub storage: BTreeMap<String, String>,

    /// Settings of the app by name; the definition says which there are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "settings_schema")]
    #[x_kube(validation = Rule::new(r"self.all(name, !self[name].matches('[\x00-\x08\x0B-\x1F\x7F]'))")
        .message("settings: a value holds a control character; remove it"))]
    pub settings: BTreeMap<String, String>,

    /// Who may open it: `public` is everybody, `members` are those of the organization that may open its
    /// apps and are signed in, `admins` are its admins. What is not public, and is no page, such as an
    /// API or a feed, is refused without a sign-in, too.
    #[serde(default)]
    pub access: Access,

    /// No pods run, everything is kept, and its addresses say that it is stopped.
    #[serde(default)]
    pub stopped: bool,

    /// The operator leaves its objects alone, for somebody's maintenance. Status is still updated.
    #[serde(default)]
    pub paused: bool,

    /// What becomes of volumes and secrets when it is deleted. `Retain`: they are kept, and a new
    /// instance of the same name takes them up again. `Delete`: they are deleted, too.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// What becomes of data on deletion.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum DeletionPolicy {
    /// It is kept; a new object of the same name takes it up again.
    #[default]
    Retain,
    /// It is deleted.
    Delete,
}

/// Each name has its rules, so that the API server says which one it is.
fn domains_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let rule =
        |rule: &str, told: &str| Rule::new(rule).message(format!("domains: {told}").as_str());
    let other = format!("self.matches('{NO_DOMAIN}') || self.matches('{DOMAIN}')");
    let told = "'domains: \\'' + self + '\\' is not a full hostname in lower case, such as \
                www.acme.example: parts of letters, digits and dashes, no dash at either end, of at \
                most 63 characters'";
    schemars::json_schema!({
        "type": "array",
        "maxItems": 20,
        "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 253,
            "x-kubernetes-validations": [
                rule(
                    &format!("!self.matches('[/:]') || self.matches('{IPV6}')"),
                    "the name alone, such as 'www.acme.example': no https://, no port, no path",
                ),
                rule("!self.endsWith('.')", "without the dot at the end"),
                rule("!self.matches('[A-Z]') || self.contains(':')", "in lower case"),
                rule(
                    &format!("!self.matches('^[0-9.]+$|{IPV6}')"),
                    "a name, no address: no authority certifies one here",
                ),
                rule(
                    "!self.contains('_')",
                    "no underscore; hostnames have letters, digits and dashes only",
                ),
                rule(
                    "!self.contains('*')",
                    "no asterisk; write a Domain for all names below one, with challenge 'dns-01'",
                ),
                rule(
                    "!self.matches('[^ -~]')",
                    "a name with other letters than a to z is written as the DNS has it, such as \
                     'xn--bcher-kva.example' for 'bücher.example'; your registrar shows that form",
                ),
                Rule::new(other).message(Message::Expression(told.to_owned())),
            ],
        },
    })
}

fn storage_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 9,
        "additionalProperties": {
            "type": "string",
            "maxLength": 20,
            "x-kubernetes-validations": [quantity::SIZE.rule("storage")],
        },
    })
}

fn settings_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 30,
        "additionalProperties": { "type": "string", "maxLength": 1024 },
    })
}

/// What the operator found and did.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct AppInstanceStatus {
    /// The generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is true of it, `Ready` first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// Its default address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The host of its default address: also the target of the customer's CNAME records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The version that is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The size that it has: the one asked for, or the definition's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Pods of the app that there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Label selector of the app's pods, for autoscalers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Names of the Secrets that were generated for it. One of these that is missing was lost, and
    /// is not silently replaced by another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// The volumes that were made for it, or taken up. One of these that is missing was lost, and is
    /// not silently replaced by an empty one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
}

/// A PersistentVolumeClaim with an instance's data.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Its UID: another one of the same name holds other data.
    pub uid: String,
}
