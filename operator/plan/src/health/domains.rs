//! How the customer's own hostnames stand. Each tells on its Domain what is wrong; the app is not
//! kept down by any of them.

use crds::AppInstance;

use super::{Finding, count};
use crate::Observed;

/// `None` when there is no hostname but the default one.
pub(super) fn judge(instance: &AppInstance, observed: &Observed) -> Option<Finding> {
    let mut hostnames: Vec<&str> = observed
        .domains
        .iter()
        .map(|domain| domain.hostname.as_str())
        .chain(instance.spec.domains.iter().map(String::as_str))
        .collect();
    hostnames.sort_unstable();
    hostnames.dedup();
    if hostnames.is_empty() {
        return None;
    }
    let ready = |hostname: &str| {
        let seen = observed.domains.iter().find(|it| it.hostname == hostname);
        seen.and_then(|domain| domain.ready.as_ref())
    };
    let mut waiting = hostnames
        .iter()
        .filter(|hostname| ready(hostname).is_none_or(|ready| ready.status != "True"));
    let Some(first) = waiting.next() else {
        return Some(Finding::well(
            "Served",
            format!(
                "{} served with a certificate",
                count(hostnames.len(), "domain")
            ),
        ));
    };
    let message = ready(first).map_or_else(
        || format!("{first} is about to be looked at"),
        |ready| in_instance(&ready.message),
    );
    let more = match waiting.count() {
        0 => String::new(),
        more => format!("; and {} more wait: kubectl get domains", more),
    };
    Some(Finding::on_its_way(
        "DomainsWait",
        format!("{message}{more}"),
        None,
    ))
}

/// The message of a Domain names its own field; here the hostname stands in another.
fn in_instance(message: &str) -> String {
    match message.strip_prefix("spec.hostname: ") {
        Some(rest) => format!("spec.domains: {rest}"),
        None => message.to_owned(),
    }
}
