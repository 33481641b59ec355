//! Services: stable names for the app's pods and for the database.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use super::metadata::{self, COMPONENT_DATABASE, COMPONENT_WEB};
use crate::{check::Wish, engine, names};

/// The port of the app's Service; the pod's own port is the definition's.
pub(super) const SERVICE_PORT: i32 = 80;

pub(super) fn build(wish: &Wish<'_>) -> Vec<Service> {
    let web = service(
        wish,
        metadata::owned(wish, wish.name.clone(), COMPONENT_WEB),
        COMPONENT_WEB,
        "http",
        SERVICE_PORT,
    );
    let database = engine::facts(wish.definition.database.engine).map(|facts| {
        service(
            wish,
            metadata::owned(wish, names::database(&wish.name), COMPONENT_DATABASE),
            COMPONENT_DATABASE,
            "database",
            facts.port,
        )
    });
    std::iter::once(web).chain(database).collect()
}

fn service(
    wish: &Wish<'_>,
    metadata: ObjectMeta,
    component: &str,
    port_name: &str,
    port: i32,
) -> Service {
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(metadata::selector(&wish.name, component)),
            ports: Some(vec![ServicePort {
                name: Some(port_name.to_owned()),
                port,
                target_port: Some(IntOrString::String(port_name.to_owned())),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}
