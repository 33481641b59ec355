//! How the hostnames stand.

use crds::condition;

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
            None => {
                return Finding::on_its_way(
                    "HostnameBeingClaimed",
                    format!("{hostname} is being claimed"),
                    None,
                );
            }
            Some(accepted) if accepted.status != "True" => {
                return Finding::stuck("HostnameTaken", accepted.message.clone());
            }
            Some(_) => {}
        }
    }
    Finding::well(
        "Held",
        format!("{} held", count(desired.routes.len(), "hostname")),
    )
}
