//! Routes: the default host, and the customer's own domains.

use crds::{
    Route, RouteSpec,
    route::{Access, Backend, Timeouts},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    metadata::{self, COMPONENT_WEB},
    services::SERVICE_PORT,
};
use crate::{check::Wish, names};

pub(super) fn build(wish: &Wish<'_>) -> Vec<Route> {
    let default = route(
        wish,
        metadata::owned(wish, wish.name.clone(), COMPONENT_WEB),
        &wish.host,
        wish.definition.plain_http,
    );
    let own = wish.instance.spec.domains.iter().map(|hostname| {
        let name = names::domain_route(&wish.name, hostname);
        // Plain HTTP is an exception for the default host only.
        route(
            wish,
            metadata::owned(wish, name, COMPONENT_WEB),
            hostname,
            false,
        )
    });
    std::iter::once(default).chain(own).collect()
}

fn route(wish: &Wish<'_>, metadata: ObjectMeta, hostname: &str, plain_http: bool) -> Route {
    Route {
        metadata,
        spec: RouteSpec {
            hostname: hostname.to_owned(),
            path_prefix: "/".to_owned(),
            backend: Backend {
                service: wish.name.clone(),
                port: SERVICE_PORT,
                protocol: wish.definition.port.protocol,
            },
            access: Access::Public,
            plain_http,
            timeouts: Timeouts {
                response_seconds: wish.definition.http.response_seconds,
                ..Timeouts::default()
            },
            body_limit: wish.definition.http.body_limit.clone(),
        },
        status: None,
    }
}
