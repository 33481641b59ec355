//! What there is in a cluster, a real API server: organizations that were made with kubectl, the apps that
//! home leads to, and the hostnames that the door leads to.

use std::sync::Arc;

use idm::{
    cluster::watch,
    organizations::{self, Role},
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
    core::{ApiResource, DynamicObject},
};
use lab::control_plane::ControlPlane;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{Stage, until};

async fn put(client: &Client, object: Value) {
    let of = |object: &Value| {
        let kind = object["kind"].as_str().unwrap().to_owned();
        let resource = match kind.as_str() {
            "Namespace" => ApiResource::erase::<k8s_openapi::api::core::v1::Namespace>(&()),
            "Organization" => ApiResource::erase::<crds::Organization>(&()),
            "Route" => ApiResource::erase::<crds::Route>(&()),
            "AppDefinition" => ApiResource::erase::<crds::AppDefinition>(&()),
            _ => ApiResource::erase::<crds::AppInstance>(&()),
        };
        match object["metadata"]["namespace"].as_str() {
            Some(namespace) => {
                Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource)
            }
            None => Api::<DynamicObject>::all_with(client.clone(), &resource),
        }
    };
    let name = object["metadata"]["name"].as_str().unwrap();
    let params = PatchParams::apply("tests").force();
    let api = of(&object);
    api.patch(name, &params, &Patch::Apply(&object))
        .await
        .unwrap();
    if !object["status"].is_null() {
        api.patch_status(name, &params, &Patch::Apply(&object))
            .await
            .unwrap();
    }
}

fn organization(name: &str, title: &str) -> Value {
    json!({
        "apiVersion": "tutti.dev/v1alpha1", "kind": "Organization",
        "metadata": { "name": name }, "spec": { "title": title },
    })
}

fn instance(name: &str, url: &str) -> Value {
    json!({
        "apiVersion": "tutti.dev/v1alpha1", "kind": "AppInstance",
        "metadata": { "name": name, "namespace": "acme" },
        "spec": { "app": "wordpress", "version": "6.8" },
        "status": { "url": url },
    })
}

/// A Route, as the operator writes it; `accepted` is its condition.
fn route(name: &str, hostname: &str, instance: Option<&str>, accepted: &str) -> Value {
    let labels = instance.map(|instance| json!({ "app.kubernetes.io/instance": instance }));
    let mut route = json!({
        "apiVersion": "tutti.dev/v1alpha1", "kind": "Route",
        "metadata": { "name": name, "namespace": "doors" },
        "spec": { "hostname": hostname, "backend": { "service": "web", "port": 80 } },
        "status": { "conditions": [{
            "type": "Accepted", "status": accepted, "reason": "Tested", "message": "",
            "lastTransitionTime": "2026-11-27T00:00:00Z",
        }] },
    });
    if let Some(labels) = labels {
        route["metadata"]["labels"] = labels;
    }
    route
}

#[tokio::test]
async fn the_door_knows_the_hostnames_of_routes_that_are_served() {
    let plane = ControlPlane::shared().await.unwrap();
    let client = plane.client().await.unwrap();
    plane.install(&crds::all()).await.unwrap();
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "doors" },
    });
    put(&client, namespace).await;
    put(&client, organization("doors", "Doors")).await;
    for route in [
        route("one", "one.doors.example", Some("shop"), "True"),
        route("all", "*.doors.example", Some("wiki"), "True"),
        route("taken", "taken.doors.example", Some("shop"), "False"),
        route("platform", "id.doors.example", None, "True"),
    ] {
        put(&client, route).await;
    }
    let stage = Stage::start().await;
    let stop = CancellationToken::new();
    let mirrors = [(); 2].map(|()| {
        let follow = watch::follow(Arc::clone(&stage.app), client.clone(), stop.clone());
        tokio::spawn(follow)
    });
    let known = async || -> Vec<(String, String)> {
        sqlx::query_as(
            "select hostname, instance from hostnames where organization = 'doors' order by hostname",
        )
        .fetch_all(&stage.pool)
        .await
        .unwrap()
    };
    let are = async |expected: &[(&str, &str)]| {
        let expected: Vec<(String, String)> = expected
            .iter()
            .map(|(hostname, instance)| ((*hostname).to_owned(), (*instance).to_owned()))
            .collect();
        until(async || known().await == expected).await;
    };
    are(&[("*.doors.example", "wiki"), ("one.doors.example", "shop")]).await;
    // One is served by now, another not any more, and one is another instance's.
    put(
        &client,
        route("taken", "taken.doors.example", Some("shop"), "True"),
    )
    .await;
    put(
        &client,
        route("one", "one.doors.example", Some("shop"), "False"),
    )
    .await;
    put(
        &client,
        route("all", "*.doors.example", Some("shop"), "True"),
    )
    .await;
    are(&[("*.doors.example", "shop"), ("taken.doors.example", "shop")]).await;
    let routes: Api<crds::Route> = Api::namespaced(client.clone(), "doors");
    for name in ["all", "taken"] {
        routes.delete(name, &DeleteParams::default()).await.unwrap();
    }
    are(&[]).await;
    stop.cancel();
    for mirror in mirrors {
        mirror.await.unwrap();
    }
}

#[tokio::test]
async fn what_is_made_with_kubectl_is_found_at_home_and_what_is_gone_is_not() {
    let plane = ControlPlane::shared().await.unwrap();
    let client = plane.client().await.unwrap();
    plane.install(&crds::all()).await.unwrap();
    let text = include_str!("../../../../apps/wordpress/app.yaml");
    put(&client, serde_saphyr::from_str(text).unwrap()).await;
    put(&client, organization("acme", "Acme")).await;
    put(
        &client,
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "acme" } }),
    )
    .await;
    put(&client, instance("blog", "https://blog.example.com")).await;

    let stage = Stage::start().await;
    let stop = CancellationToken::new();
    let mirrors = [(); 2].map(|()| {
        // Two replicas write the same.
        let follow = watch::follow(Arc::clone(&stage.app), client.clone(), stop.clone());
        tokio::spawn(follow)
    });
    stage.staff("root@example.com").await;
    let root = stage.sign_in("root@example.com").await;
    until(async || root.get("/organizations").await.body.contains("Acme")).await;

    // Who is in it finds its apps, where they sign people in.
    let (uid, ann) = stage.signed_in("ann@example.com").await;
    let mut connection = stage.pool.acquire().await.unwrap();
    let acme = organizations::store::find(&mut connection, "acme");
    stage
        .join(&acme.await.unwrap().unwrap(), &uid, Role::PowerUser)
        .await;
    let blog = r#"<a href="https://blog.example.com/wp-login.php">WordPress</a>"#;
    until(async || ann.get("/").await.body.contains(blog)).await;

    // Another title, another address, and two of the same app.
    put(&client, organization("acme", "Acme Works")).await;
    put(&client, instance("blog", "https://www.acme.example")).await;
    put(&client, instance("news", "https://news.acme.example")).await;
    until(async || {
        let page = ann.get("/").await.body;
        page.contains("Acme Works")
            && page
                .contains(r#"<a href="https://www.acme.example/wp-login.php">WordPress (blog)</a>"#)
            && page.contains("WordPress (news)")
    })
    .await;

    let instances: Api<crds::AppInstance> = Api::namespaced(client.clone(), "acme");
    instances
        .delete("news", &DeleteParams::default())
        .await
        .unwrap();
    until(async || {
        let page = ann.get("/").await.body;
        !page.contains("news") && page.contains(">WordPress</a>")
    })
    .await;
    let made: i64 = sqlx::query_scalar(
        "select count(*) from audit where deed = 'OrganizationMade' and details->>'name' = 'acme'",
    )
    .fetch_one(&stage.pool)
    .await
    .unwrap();
    assert_eq!(made, 1, "by whichever replica");
    stop.cancel();
    for mirror in mirrors {
        mirror.await.unwrap();
    }
}
