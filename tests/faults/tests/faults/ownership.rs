//! What is somebody else's is never taken over: an object of the same name in the namespace, or a
//! namespace of an organization's name.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crds::{Organization, condition};
use faults::{
    incarnation::{Incarnation, Manner},
    run::{Ground, Life},
    stage::{self, PATIENCE},
    stories::{Goal, Story},
    world,
};
use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    core::DynamicObject,
};
use operator::cache::Kind;
use serde_json::{Value, json};

/// Objects of the names that an instance needs. Most share no field with what the operator would
/// write, so that a server-side apply alone would meet no conflict.
fn strangers() -> Vec<(Kind, &'static str, Value)> {
    let pod = json!({
        "metadata": { "labels": { "who": "me" } },
        "spec": { "containers": [{ "name": "mine", "image": "mine:1" }] },
    });
    let selector = json!({ "matchLabels": { "who": "me" } });
    vec![
        (
            Kind::Deployment,
            "shop",
            json!({ "spec": { "selector": selector, "template": pod } }),
        ),
        (
            Kind::StatefulSet,
            "shop-database",
            json!({ "spec": { "selector": selector, "serviceName": "x", "template": pod } }),
        ),
        (
            Kind::Service,
            "shop",
            json!({ "spec": { "selector": { "who": "me" }, "ports": [{ "name": "x", "port": 9 }] } }),
        ),
        (Kind::ServiceAccount, "shop", json!({})),
        (
            Kind::NetworkPolicy,
            "shop",
            json!({ "spec": { "podSelector": { "matchLabels": { "who": "me" } } } }),
        ),
        (
            Kind::Route,
            "shop",
            json!({ "spec": { "hostname": "mine.example.com", "backend": { "service": "mine", "port": 1 } } }),
        ),
        (
            Kind::SsoClient,
            "shop",
            json!({ "spec": {
                "protocol": "oidc", "redirectUris": ["https://mine.example.com/"], "secret": "mine",
            } }),
        ),
        (
            Kind::Secret,
            "shop-database",
            json!({ "stringData": { "password": "mine" } }),
        ),
        (
            Kind::Secret,
            "shop-admin-password",
            json!({ "stringData": { "value": "mine" } }),
        ),
        (
            Kind::PersistentVolumeClaim,
            "shop-files",
            json!({ "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": { "requests": { "storage": "1Gi" } },
            }}),
        ),
        (
            Kind::CronJob,
            "shop-tidy",
            json!({ "spec": {
                "schedule": "0 0 1 1 *",
                "jobTemplate": { "spec": { "template": {
                    "spec": { "restartPolicy": "Never", "containers": [{ "name": "mine", "image": "mine:1" }] },
                }}},
            }}),
        ),
    ]
}

#[test]
fn an_object_of_somebody_else_is_left_alone_and_the_instance_says_so() {
    stage::test(async |stage| {
        let checks = strangers()
            .into_iter()
            .map(|(kind, name, body)| async move {
                let _place = stage.place().await;
                let life = Life::begin(stage, "stranger", &Manner::default()).await?;
                respected(&life, kind, name, body)
                    .await
                    .with_context(|| format!("{kind:?} {name}"))
            });
        let checks: Vec<Result<()>> = stream::iter(checks).buffer_unordered(5).collect().await;
        let failures: Vec<String> = checks
            .into_iter()
            .filter_map(Result::err)
            .map(|error| format!("{error:#}"))
            .collect();
        ensure!(failures.is_empty(), "{}", failures.join("\n"));
        Ok(())
    });
}

async fn respected(life: &Life, kind: Kind, name: &str, mut body: Value) -> Result<()> {
    let resource = kind.api_resource();
    body["apiVersion"] = json!(resource.api_version);
    body["kind"] = json!(resource.kind);
    body["metadata"] = json!({ "name": name });
    let client = life.ground.stage.client.clone();
    let namespace = &life.ground.namespace;
    let api = &Api::<DynamicObject>::namespaced_with(client, namespace, &resource);
    let object = serde_json::from_value::<DynamicObject>(body)?;
    api.create(&PostParams::default(), &object).await?;
    // The world says of a stranger's object what it says of all.
    let mut before = plain(api, name).await?;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = plain(api, name).await?;
        if now == before {
            break;
        }
        before = now;
    }
    Story::Provision.act(&life.ground.instances).await?;
    let message = life.ready_says("NameTaken").await?;
    ensure!(message.contains(name), "{message}");
    let after = plain(api, name).await?;
    ensure!(before == after, "it was changed from {before} to {after}");
    // Out of the way, it does not stand in the way any more.
    api.delete(name, &DeleteParams::background()).await?;
    life.reach(Goal::Running).await?;
    Ok(())
}

async fn plain(api: &Api<DynamicObject>, name: &str) -> Result<Value> {
    let mut found = api.get(name).await?;
    // Its status is the world's, and so is what that notes on it.
    let annotations = found.annotations_mut();
    annotations.retain(|key, _| !world::ANNOTATIONS.contains(&key.as_str()));
    if let Some(data) = found.data.as_object_mut() {
        data.remove("status");
    }
    Ok(
        json!({ "uid": found.uid(), "labels": found.labels(), "data": found.data,
        "annotations": found.annotations(), "owners": found.owner_references() }),
    )
}

#[test]
fn a_foreign_namespace_does_not_become_an_organizations() {
    stage::test(async |stage| {
        let ground = Ground::new(stage, "foreign");
        let namespaces: Api<Namespace> = Api::all(stage.client.clone());
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(ground.namespace.clone());
        namespaces
            .create(&PostParams::default(), &namespace)
            .await?;
        let content = ground.objects::<ConfigMap>();
        let mut object = ConfigMap::default();
        object.metadata.name = Some("theirs".to_owned());
        content.create(&PostParams::default(), &object).await?;
        let before = namespaces.get(&ground.namespace).await?;
        let operator = Incarnation::start(stage, &ground.namespace, &Manner::default()).await?;
        let organizations: Api<Organization> = Api::all(stage.client.clone());
        let wish = json!({
            "apiVersion": "tutti.dev/v1alpha1",
            "kind": "Organization",
            "metadata": { "name": ground.namespace },
            "spec": { "title": "Acme", "deletionPolicy": "Delete" },
        });
        let params = PatchParams::apply("tests");
        organizations
            .patch(&ground.namespace, &params, &Patch::Apply(wish))
            .await?;
        let begun = Instant::now();
        loop {
            let found = organizations
                .get(&ground.namespace)
                .await?
                .status
                .unwrap_or_default();
            let ready = condition::find(&found.conditions, condition::READY);
            if ready.is_some_and(|ready| ready.reason == "NamespaceTaken") {
                break;
            }
            ensure!(begun.elapsed() < PATIENCE, "{found:?}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        organizations
            .delete(&ground.namespace, &DeleteParams::default())
            .await?;
        let begun = Instant::now();
        while organizations.get_opt(&ground.namespace).await?.is_some() {
            ensure!(begun.elapsed() < PATIENCE, "it does not go");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        let after = namespaces.get(&ground.namespace).await?;
        ensure!(
            after.metadata == before.metadata,
            "the namespace was changed"
        );
        ensure!(
            content.get_opt("theirs").await?.is_some(),
            "its content is gone"
        );
        drop(operator);
        Ok(())
    });
}
