//! Conditions: what is true of an object, why, and since when.
//!
//! Kubernetes API conventions: a list keyed by `type`, `Ready` first and set on first sight,
//! each with a reason in CamelCase that names the fact, a message for a person and the
//! generation it speaks of.

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The summary of all others; what `kubectl wait --for=condition=Ready` asks for.
pub const READY: &str = "Ready";
/// kstatus: something is under way and will end by itself.
pub const RECONCILING: &str = "Reconciling";
/// kstatus: nothing will happen until somebody changes something.
pub const STALLED: &str = "Stalled";
/// Generated secrets exist.
pub const SECRETS_READY: &str = "SecretsReady";
/// Volumes are there in the wished size.
pub const STORAGE_READY: &str = "StorageReady";
/// The database answers.
pub const DATABASE_READY: &str = "DatabaseReady";
/// The app's own pods answer.
pub const WORKLOAD_READY: &str = "WorkloadReady";
/// Every hostname is held and served.
pub const ROUTE_READY: &str = "RouteReady";
/// The customer's own hostnames are proven, certified and served; no part of `Ready`.
pub const DOMAINS_READY: &str = "DomainsReady";
/// The last run of every periodic job ended well; no part of `Ready`.
pub const PERIODIC_JOBS_READY: &str = "PeriodicJobsReady";
/// On a Domain: it is proven, so that its instance has a Route for it.
pub const ROUTED: &str = "Routed";
/// On a Route: the hostname is held by this Route.
pub const ACCEPTED: &str = "Accepted";
/// On a Route: requests can be answered; otherwise the reason is shown to the visitor.
pub const BACKEND_READY: &str = "BackendReady";

/// The condition of this type, if it was ever set.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition of this type is set and `True`.
#[must_use]
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}
