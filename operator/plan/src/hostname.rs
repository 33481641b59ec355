//! Who holds a hostname? One namespace in the cluster: the first.
//!
//! A Route that was accepted stays accepted for as long as it exists, whatever comes later; among
//! those that were not, the oldest is next. The operator sees all Routes through one watch, whose
//! order is the API server's, so that an older Route cannot turn up after a younger one.

use std::collections::BTreeMap;

use crds::{Route, condition};
use kube_core::ResourceExt;

/// What is to be said of a Route's hostname.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Its namespace holds the hostname.
    Held,
    /// Another Route holds it.
    Taken {
        /// By which Route, if that is of the same namespace: others' names are nobody's business.
        by: Option<String>,
    },
}

/// The claim of every Route, by namespace and name.
#[must_use]
pub fn claims(routes: &[&Route]) -> BTreeMap<(String, String), Claim> {
    let mut by_hostname: BTreeMap<&str, Vec<&Route>> = BTreeMap::new();
    for route in routes {
        by_hostname
            .entry(&route.spec.hostname)
            .or_default()
            .push(route);
    }
    let mut claims = BTreeMap::new();
    for mut contenders in by_hostname.into_values() {
        contenders.sort_by_key(|route| precedence(route));
        let Some(holder) = contenders.first().copied() else {
            continue;
        };
        let mut paths: BTreeMap<&str, &Route> = BTreeMap::new();
        for route in contenders {
            let key = (route.namespace().unwrap_or_default(), route.name_any());
            let claim = if route.namespace() != holder.namespace() {
                Claim::Taken { by: None }
            } else if let Some(other) = paths.get(route.spec.path_prefix.as_str()) {
                // Within the namespace that holds it, each path has one Route.
                Claim::Taken {
                    by: Some(other.name_any()),
                }
            } else {
                paths.insert(&route.spec.path_prefix, route);
                Claim::Held
            };
            claims.insert(key, claim);
        }
    }
    claims
}

/// Smaller comes first: accepted before not, then by age, then by UID so that it is never a toss.
fn precedence(route: &Route) -> (bool, Option<jiff::Timestamp>, String) {
    let accepted = route
        .status
        .as_ref()
        .is_some_and(|status| condition::is_true(&status.conditions, condition::ACCEPTED));
    (
        !accepted,
        route.creation_timestamp().map(|time| time.0),
        route.uid().unwrap_or_default(),
    )
}
