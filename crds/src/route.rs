//! Route: a hostname, and the service that answers for it. Written by the operator for each
//! instance, by the chart for the platform's own services; read by the gateway.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{app_definition::Protocol, quantity};

/// A hostname and path, and the service that answers there.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[expect(
    clippy::duplicated_attributes,
    reason = "several columns are of the same type"
)]
#[kube(
    group = "tutti.dev",
    version = "v1alpha1",
    kind = "Route",
    namespaced,
    status = "RouteStatus",
    derive = "PartialEq",
    shortname = "rt",
    category = "tutti",
    doc = "A hostname and path, and the service that answers there. One namespace holds a hostname: the first.",
    crates(kube_core = "::kube_core", kube = "::kube_derive"),
    selectable = ".spec.hostname",
    printcolumn(name = "Hostname", type_ = "string", json_path = ".spec.hostname"),
    printcolumn(name = "Path", type_ = "string", json_path = ".spec.pathPrefix"),
    printcolumn(
        name = "Service",
        type_ = "string",
        json_path = ".spec.backend.service"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct RouteSpec {
    /// The hostname, in lower case and without a trailing dot; `*.acme.example` for all names directly
    /// below one that have no Route of their own. Cannot be changed.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new("self == oldSelf").message("hostname: cannot be changed; make another Route, and delete this one"),
        validation = Rule::new("self.matches('^([*][.])?([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?[.])*[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')")
            .message("hostname: a hostname in lower case, such as 'www.acme.example': no https://, no port, no path, an asterisk only as its first part, no dot at the end"),
    )]
    pub hostname: String,

    /// Requests whose path begins with it, at whole segments; the longest one wins.
    #[serde(default = "root_path")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(
        validation = Rule::new("self.matches('^/([^/?#]+(/[^/?#]+)*)?$')")
            .message("pathPrefix: a path such as '/' or '/shop': it begins with a slash, and has no slash at its end, no empty part, no ? and no #"),
    )]
    pub path_prefix: String,

    /// Who answers.
    pub backend: Backend,

    /// Who may pass: `public` is everybody, `members` are those of the organization that are signed
    /// in, `admins` are its admins.
    #[serde(default)]
    pub access: Access,

    /// Visitors are led on to this hostname, with path and query, and nothing is asked of the
    /// service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new("self.matches('^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?[.])*[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')")
            .message("redirectTo: a hostname in lower case, such as 'www.acme.example': no https://, no port, no path"),
    )]
    pub redirect_to: Option<String>,

    /// Browsers are told to use nothing but HTTPS for this hostname, for as many seconds
    /// (RFC 6797). Nothing is told when not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 63_072_000))]
    pub hsts_seconds: Option<i64>,

    /// Plain HTTP is answered too, instead of being redirected to HTTPS.
    #[serde(default)]
    pub plain_http: bool,

    /// How long things may take.
    #[serde(default)]
    pub timeouts: Timeouts,

    /// The largest request body.
    #[serde(default = "default_body_limit")]
    #[schemars(length(max = 20))]
    #[x_kube(validation = quantity::BODY.rule("bodyLimit"))]
    pub body_limit: String,

    /// The largest head of a request, as far as the gateway's own limit allows it.
    #[serde(default = "default_header_limit")]
    #[schemars(length(max = 20))]
    #[x_kube(validation = quantity::HEAD.rule("headerLimit"))]
    pub header_limit: String,
}

fn root_path() -> String {
    "/".to_owned()
}

fn default_body_limit() -> String {
    "100Mi".to_owned()
}

fn default_header_limit() -> String {
    "32Ki".to_owned()
}

/// A Service in the Route's own namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// Name of the Service.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
            .message("service: the name of a Service: lower-case letters, digits and dashes, beginning with a letter"),
    )]
    pub service: String,
    /// Port of the Service.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// What is spoken there: `http` is HTTP/1.1, WebSocket included; `h2c` is HTTP/2 without TLS.
    #[serde(default)]
    pub protocol: Protocol,
}

/// Who may pass.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Everybody.
    #[default]
    Public,
    /// Members of the organization that are signed in.
    Members,
    /// Its admins.
    Admins,
}

/// How long things may take, in seconds.
#[derive(JsonSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// To send the head of a request, as far as the gateway's own limit allows it. It is known whose
    /// it is by the name in the TLS handshake; without one, and for plain HTTP, the gateway's holds.
    #[serde(default = "default_header_seconds")]
    #[schemars(range(min = 1, max = 60))]
    pub header_seconds: u32,
    /// Until the backend begins its answer.
    #[serde(default = "default_response_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub response_seconds: u32,
    /// Without a byte in either direction, once an answer or an upgraded connection has begun.
    #[serde(default = "default_idle_seconds")]
    #[schemars(range(min = 1, max = 86400))]
    pub idle_seconds: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header_seconds: default_header_seconds(),
            response_seconds: default_response_seconds(),
            idle_seconds: default_idle_seconds(),
        }
    }
}

fn default_header_seconds() -> u32 {
    10
}

fn default_response_seconds() -> u32 {
    120
}

fn default_idle_seconds() -> u32 {
    300
}

/// What the operator found.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct RouteStatus {
    /// The generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: both of the following; without a `BackendReady`, the first.
    /// `Accepted`: the hostname is held by this Route's namespace, and the gateway serves it.
    /// `BackendReady`: requests are answered; otherwise reason and message are shown to the visitor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
}
