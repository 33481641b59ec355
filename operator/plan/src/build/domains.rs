//! The customer's own hostnames: each a Domain, which proves it and orders its certificate. The
//! Route follows when it is proven (`routes.rs`).

use crds::{Domain, DomainSpec};

use super::metadata::{self, COMPONENT_WEB};
use crate::{check::Wish, names};

pub(super) fn build(wish: &Wish<'_>) -> Vec<Domain> {
    let domain = |hostname: &String| {
        let name = names::domain(&wish.name, hostname);
        Domain {
            metadata: metadata::owned(wish, name, COMPONENT_WEB),
            spec: DomainSpec::new(hostname, &wish.name),
            status: None,
        }
    };
    wish.instance.spec.domains.iter().map(domain).collect()
}
