//! How the hostnames stand.

use crds::condition::{self, Condition};

use super::{Finding, count};
use crate::{DesiredState, Observed};

pub(super) fn judge(desired: &DesiredState, observed: &Observed) -> Finding {
    for route in &desired.routes {
        let hostname = &route.spec.hostname;
        let accepted = observed
            .routes
            .get(hostname)
            .and_then(|conditions| condition::find(conditions, condition::ACCEPTED));
        match accepted {
            // A domain more does not make an app less ready; it says so itself.
            None if *hostname == desired.host => return being_claimed(hostname),
            None => {}
            Some(accepted) if accepted.status != "True" => {
                return taken(accepted);
            }
            Some(_) => {}
        }
    }
    Finding::well(
        "Held",
        format!("{} held", count(desired.routes.len(), "hostname")),
    )
}

/// Nobody has decided yet who holds it.
pub(super) fn being_claimed(hostname: &str) -> Finding {
    Finding::on_its_way(
        "HostnameBeingClaimed",
        format!("{hostname} is being claimed"),
        None,
    )
}

/// Somebody else holds it, as the Route says.
pub(super) fn taken(accepted: &Condition) -> Finding {
    Finding::stuck("HostnameTaken", accepted.message.clone())
}
