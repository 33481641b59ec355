//! Domain: a customer's own hostname. Written by the operator for each of an instance's `domains`,
//! or by hand; the only owner of its proof, its certificate order, its certificate and its renewal.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// In a rule: an IPv6 address, as URLs have it, too.
pub(crate) const IPV6: &str = "^[[]?[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f.:]*[]]?(:[0-9]+)?$";

/// A customer's own hostname for one of their instances.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[expect(
    clippy::duplicated_attributes,
    reason = "several columns are of the same type"
)]
#[kube(
    group = "tutti.dev",
    version = "v1alpha1",
    kind = "Domain",
    namespaced,
    status = "DomainStatus",
    derive = "PartialEq",
    shortname = "dom",
    category = "tutti",
    doc = "A customer's own hostname: proof that it is theirs, certificate and renewal. `kubectl describe` names the records to set.",
    crates(kube_core = "::kube_core", kube = "::kube_derive"),
    selectable = ".spec.hostname",
    selectable = ".spec.instance",
    printcolumn(name = "Hostname", type_ = "string", json_path = ".spec.hostname"),
    printcolumn(name = "Instance", type_ = "string", json_path = ".spec.instance"),
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
        name = "Expires",
        type_ = "string",
        json_path = ".status.certificate.notAfter"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!self.hostname.startsWith('*.') || (has(self.challenge) && self.challenge == 'dns-01') || has(self.certificateSecret)")
        .message("challenge: a wildcard hostname is certified by DNS-01 only; set challenge to 'dns-01', or bring a certificate in certificateSecret"),
    validation = Rule::new("!has(self.redirectTo) || self.redirectTo != self.hostname")
        .message("redirectTo: a hostname cannot lead to itself"),
)]
pub struct DomainSpec {
    /// The hostname, in lower case; `*.acme.example` for all names directly below one. Cannot be
    /// changed.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new("self == oldSelf").message("hostname: cannot be changed; make another Domain, and delete this one"),
        validation = Rule::new(format!("!self.matches('[/:]') || self.matches('{IPV6}')")).message("hostname: the name alone, such as 'www.acme.example': no https://, no port, no path"),
        validation = Rule::new("!self.endsWith('.')").message("hostname: without the dot at the end"),
        validation = Rule::new("self == self.lowerAscii() || self.contains(':')").message("hostname: in lower case"),
        validation = Rule::new(format!("!self.matches('^[0-9.]+$|{IPV6}')")).message("hostname: a name, no address: no authority certifies one here"),
        validation = Rule::new("!self.contains('_')").message("hostname: no underscore; hostnames have letters, digits and dashes only"),
        validation = Rule::new("!self.matches('[^ -~]')").message("hostname: a name with other letters than a to z is written as the DNS has it, such as 'xn--bcher-kva.example' for 'bücher.example'; your registrar shows that form"),
        validation = Rule::new("self.contains('.') || self.matches('[/:]')").message("hostname: a full hostname with a dot, such as 'www.acme.example'"),
        validation = Rule::new("self.endsWith('.') || self.matches('[/:]') || self.matches('^([*][.])?([^.]{1,63}[.])*[^.]{1,63}$')").message("hostname: each part between dots has 1 to 63 characters"),
        validation = Rule::new("self.contains('/') || self.contains(':') || self.contains('_') || self.matches('[^ -~]') || self != self.lowerAscii() || self.endsWith('.') || self.matches('^[.]|[.][.]') || self.matches('^([*][.])?([a-z0-9]([-a-z0-9]*[a-z0-9])?[.])*[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
            .message("hostname: letters, digits and dashes, no dash at either end of a part; an asterisk only as its first part"),
    )]
    pub hostname: String,

    /// The AppInstance of this namespace that answers.
    #[schemars(
        length(min = 1, max = 40),
        regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub instance: String,

    /// Visitors are led on to this hostname, with path and query: `www.acme.example` to
    /// `acme.example`, say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?[.])+[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("redirectTo: a full hostname in lower case is wanted, such as 'acme.example': no https://, no path, no asterisk, no dot at the end"))]
    pub redirect_to: Option<String>,

    /// How the certificate authority is shown that the hostname is ours to answer for; http-01
    /// when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<Challenge>,

    /// The kind of its certificate's key; ECDSA-P256 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyKind>,

    /// A Secret of this namespace, of type kubernetes.io/tls, with a certificate of one's own; no
    /// authority is asked then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')")
        .message("certificateSecret: the name of a Secret of this namespace is wanted: lower case letters, digits, dots and dashes"))]
    pub certificate_secret: Option<String>,

    /// Browsers are told to use nothing but HTTPS for this hostname (RFC 6797), for as many
    /// seconds. Until then they show nothing when the certificate is not right, and nobody can tell
    /// them otherwise but this site by HTTPS (with 0): begin with an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 63_072_000))]
    pub hsts_seconds: Option<i64>,
}

impl DomainSpec {
    /// A hostname for an instance; the rest is left to whoever wants it otherwise.
    #[must_use]
    pub fn new(hostname: &str, instance: &str) -> Self {
        Self {
            hostname: hostname.to_owned(),
            instance: instance.to_owned(),
            redirect_to: None,
            challenge: None,
            key: None,
            certificate_secret: None,
            hsts_seconds: None,
        }
    }

    /// Whether the authority reads a TXT record.
    #[must_use]
    pub fn is_dns01(&self) -> bool {
        self.challenge == Some(Challenge::Dns01)
    }
}

/// Where authorities ask a gateway for the answer to a challenge (RFC 8555 §8.3).
pub const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";
/// Tokens of the operator's own questions there begin with this.
pub const PREFLIGHT: &str = "tutti-";

/// What every gateway of a platform answers to a question of the operator's own.
#[must_use]
pub fn preflight_answer(token: &str, zone: &str) -> String {
    format!("{token}.{zone}")
}

/// How an authority is shown that a hostname is ours to answer for (RFC 8555 §8).
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum Challenge {
    /// It asks the gateway for a token.
    #[default]
    #[serde(rename = "http-01")]
    Http01,
    /// It reads a TXT record that the operator writes.
    #[serde(rename = "dns-01")]
    Dns01,
}

impl Challenge {
    /// Its name in the protocol.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::Dns01 => "dns-01",
        }
    }
}

/// The kind of a certificate's key. It is made anew for each certificate.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum KeyKind {
    /// Elliptic curve P-256: small and quick.
    #[default]
    #[serde(rename = "ECDSA-P256")]
    EcdsaP256,
    /// For clients of before 2012.
    #[serde(rename = "RSA-2048")]
    Rsa2048,
}

/// What the operator found and did.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct DomainStatus {
    /// The generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is true of it, `Ready` first, then in the order in which the checks follow on another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// Records to set, ready to paste. Where a name has more than one kind, one of them is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<DnsRecord>,
    /// What was seen in the DNS, and who said so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<String>,
    /// When the last look was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<Time>,
    /// The instance's own name, which the last look was made for: where a CNAME leads. None while there
    /// is no such instance, or it has no address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The authority that the last look was made for: what it may, another one may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at_for: Option<String>,
    /// When the next look is. The annotation `tutti.dev/look-now`, with any new value, asks for one
    /// at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_look_at: Option<Time>,
    /// The value of `tutti.dev/look-now` that was heeded last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_for: Option<String>,
    /// Since when what is awaited has been awaited; looks become rarer from here on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Time>,
    /// When it was proven last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven_at: Option<Time>,
    /// What the gateway answers to the authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<ChallengeAnswer>,
    /// The record that answers the authority, written by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge_record: Option<ChallengeRecord>,
    /// The certificate order under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// The certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// The certificate that was revoked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Revoked>,
    /// Orders that failed in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<OrderFailure>,
}

/// A certificate that was revoked.
#[derive(JsonSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Revoked {
    /// Its serial number.
    pub serial: String,
    /// Why (RFC 5280 §5.3.1).
    pub reason: String,
    /// When it was revoked.
    pub at: Time,
}

/// Orders that failed in a row; the next one waits longer each time.
#[derive(JsonSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderFailure {
    /// How many.
    pub count: i32,
    /// When the last one failed.
    pub at: Time,
    /// Why, in the authority's words.
    pub message: String,
}

/// A DNS record.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsRecord {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_: String,
    /// Its value, as zone files write it.
    pub value: String,
    /// Seconds for which it may be kept.
    pub ttl: i64,
}

/// An answer that the gateway gives under `/.well-known/acme-challenge/` (RFC 8555 §8.3).
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChallengeAnswer {
    /// The last part of the path.
    pub token: String,
    /// The body. It is no secret: the authority asks for it in plain HTTP.
    pub key_authorization: String,
}

/// A TXT record that answers a challenge (RFC 8555 §8.4).
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChallengeRecord {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A certificate order (RFC 8555 §7.4) as far as it has come.
#[derive(JsonSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The authority, by its name in the operator's configuration.
    pub authority: String,
    /// The order's own address there.
    pub url: String,
    /// How far it has come.
    pub step: OrderStep,
    /// Since when.
    pub since: Time,
    /// When it was made.
    pub created_at: Time,
}

/// How far an order has come. One step, saved, come back.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum OrderStep {
    /// It was made; the answer to its challenge is being put in place.
    Answering,
    /// The authority was asked to look.
    Validating,
    /// The key was made and the certificate asked for.
    Finalizing,
}

/// The certificate that the gateway presents.
#[derive(JsonSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// The Secret that it lies in.
    pub secret: String,
    /// The authority that it came from, by its name in the operator's configuration; none for one
    /// that somebody brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// Serial number, in hexadecimal.
    pub serial: String,
    /// Who signed it.
    pub issuer: String,
    /// From when on it holds.
    pub not_before: Time,
    /// Until when.
    pub not_after: Time,
    /// When it is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_at: Option<Time>,
}
