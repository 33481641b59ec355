//! Routes: the default host, and the customer's own domains as far as they are proven.

use crds::{
    Route, RouteSpec,
    route::{Backend, Timeouts},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    metadata::{self, COMPONENT_WEB},
    services::SERVICE_PORT,
};
use crate::{check::Wish, names};

pub(super) fn build(wish: &Wish<'_>) -> Vec<Route> {
    let metadata = metadata::owned(wish, wish.name.clone(), COMPONENT_WEB);
    let mut default = route(wish, metadata, &wish.host);
    // Plain HTTP is an exception for the default host only.
    default.spec.plain_http = wish.definition.plain_http;
    let domains = wish.context.observed.domains.iter();
    let own = domains.filter(|domain| domain.is_routed).map(|domain| {
        let name = names::domain(&wish.name, &domain.hostname);
        let metadata = metadata::owned(wish, name, COMPONENT_WEB);
        let mut route = route(wish, metadata, &domain.hostname);
        route.spec.redirect_to.clone_from(&domain.redirect_to);
        route.spec.hsts_seconds = domain.hsts_seconds;
        route
    });
    std::iter::once(default).chain(own).collect()
}

fn route(wish: &Wish<'_>, metadata: ObjectMeta, hostname: &str) -> Route {
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
            access: wish.instance.spec.access,
            redirect_to: None,
            hsts_seconds: None,
            plain_http: false,
            timeouts: Timeouts {
                header_seconds: wish.definition.http.header_seconds,
                response_seconds: wish.definition.http.response_seconds,
                idle_seconds: wish.definition.http.idle_seconds,
            },
            body_limit: wish.definition.http.body_limit.clone(),
            header_limit: wish.definition.http.header_limit.clone(),
        },
        status: None,
    }
}
