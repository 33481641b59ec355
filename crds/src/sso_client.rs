//! SsoClient: an application that people sign in to by idm. Written by the operator for instances whose app does
//! so, by hand for applications elsewhere; idm alone reads it and answers.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_core::Rule;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Addresses that one may be registered with.
pub const MOST_ADDRESSES: usize = 100;

/// An application that people sign in to by idm.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[expect(
    clippy::duplicated_attributes,
    reason = "several columns are of the same type"
)]
#[kube(
    group = "tutti.dev",
    version = "v1alpha1",
    kind = "SsoClient",
    namespaced,
    status = "SsoClientStatus",
    derive = "PartialEq",
    shortname = "sso",
    category = "tutti",
    doc = "An application that people of an organization sign in to by idm. Its credentials come into a Secret beside it.",
    crates(kube_core = "::kube_core", kube = "::kube_derive"),
    selectable = ".spec.instance",
    printcolumn(name = "Protocol", type_ = "string", json_path = ".spec.protocol"),
    printcolumn(name = "Instance", type_ = "string", json_path = ".spec.instance"),
    printcolumn(name = "Client", type_ = "string", json_path = ".status.clientId"),
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
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.instance) == has(oldSelf.instance)").message("instance: cannot be changed; make another SsoClient, and delete this one"))]
pub struct SsoClientSpec {
    /// What it speaks: `oidc` is OpenID Connect, by an authorization code and a client secret.
    pub protocol: ClientProtocol,

    /// The AppInstance of this namespace that it is for: who may open that may sign in. Without one it is an
    /// application elsewhere, and whoever may open every app of the organization may sign in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 40),
        regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$")
    )]
    #[x_kube(validation = Rule::new("self == oldSelf").message("instance: cannot be changed; make another SsoClient, and delete this one"))]
    pub instance: Option<String>,

    /// Where a browser may be led back to with the answer of a sign-in; compared letter by letter.
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 500)))]
    #[x_kube(
        validation = in_full("redirectUris"),
        validation = by_tls("redirectUris"),
        validation = without_asterisk("redirectUris"),
        validation = without_fragment("redirectUris"),
    )]
    pub redirect_uris: Vec<String>,

    /// Where a browser may be led on to after a sign-out; compared letter by letter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 500)))]
    #[x_kube(
        validation = in_full("postLogoutRedirectUris"),
        validation = by_tls("postLogoutRedirectUris"),
        validation = without_asterisk("postLogoutRedirectUris"),
        validation = without_fragment("postLogoutRedirectUris"),
    )]
    pub post_logout_redirect_uris: Vec<String>,

    /// The Secret of this namespace that idm makes, with `clientId`, `clientSecret`, `issuer` and `backchannel`,
    /// where its server finds idm inside of the cluster. It goes with this object. Cannot be changed.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')")
            .message("secret: the name of a Secret is wanted: lower case letters, digits, dots and dashes"),
        validation = Rule::new("self == oldSelf").message("secret: cannot be changed; make another SsoClient, and delete this one"),
    )]
    pub secret: String,
}

/// What such an application speaks.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientProtocol {
    /// OpenID Connect.
    Oidc,
}

/// What idm made of it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct SsoClientStatus {
    /// The generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Its `client_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The value of `tutti.dev/rotate-secret` that was heeded last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_for: Option<String>,
    /// The SHA-256 of the client secret: another one says that it was replaced. It is of 256 random bits, so nobody
    /// learns from it what the secret is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_digest: Option<String>,
    /// `Ready`: people can sign in by it; otherwise the reason says what keeps them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
}

/// A rule on a list of addresses: all of them are so.
fn all(condition: &str, message: &str) -> Rule {
    Rule::new(format!("self.all(uri, {condition})")).message(message)
}

/// A host, and nothing before it: what stands before an `@` is taken for the host by people.
fn in_full(field: &str) -> Rule {
    all(
        r"uri.matches('^[a-z]+://[^/?#@]+([/?#].*)?$') && uri.matches('^[!-~]+$') && !uri.contains('\\')",
        &format!(
            "{field}: addresses in full, such as 'https://shop.example.com/callback': with a host, without a user name, without spaces, backslashes and letters that are not ASCII"
        ),
    )
}

/// RFC 8252 §7.3 and §8.3: what stays on the machine needs no TLS.
fn by_tls(field: &str) -> Rule {
    all(
        r"uri.startsWith('https://') || uri.matches('^http://(127[.]0[.]0[.]1|localhost|\\[::1\\])(:[0-9]{1,5})?([/?#].*)?$')",
        &format!(
            "{field}: https:// only; http:// is for a program on somebody's own machine, at 127.0.0.1, [::1] or localhost"
        ),
    )
}

fn without_asterisk(field: &str) -> Rule {
    all(
        "!uri.contains('*')",
        &format!(
            "{field}: no asterisk; addresses are compared letter by letter, so name each of them"
        ),
    )
}

/// RFC 6749 §3.1.2.
fn without_fragment(field: &str) -> Rule {
    all(
        "!uri.contains('#')",
        &format!("{field}: without '#' and what follows; browsers keep that to themselves"),
    )
}
