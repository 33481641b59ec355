//! SsoClients in a real API server: each is registered, gets its Secret, and says how it stands.

use std::{sync::Arc, time::Duration};

use idm::{clients, secret::Digest};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use lab::control_plane::ControlPlane;
use serde_json::{Value, json};
use tokio::{sync::Mutex, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::support::{BACKCHANNEL, ORIGIN, Stage, until};

/// Held by each test: whose replicas run says of the others' SsoClients that they are of no organization, for each test
/// has a database of its own, and all have one API server.
static ALONE: Mutex<()> = Mutex::const_new(());
/// How often the tests' replicas look after Secrets.
const OFTEN: Duration = Duration::from_millis(200);

fn object(name: &str, secret: &str) -> crds::SsoClient {
    let object = json!({
        "apiVersion": "tutti.dev/v1alpha1", "kind": "SsoClient", "metadata": { "name": name },
        "spec": {
            "protocol": "oidc", "redirectUris": ["https://shop.example/callback"], "secret": secret,
        },
    });
    serde_json::from_value(object).unwrap()
}

async fn namespace(client: &Client, name: &str) {
    let object: Namespace =
        serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
    let api: Api<Namespace> = Api::all(client.clone());
    api.create(&PostParams::default(), &object).await.unwrap();
}

/// A replica that registers until it is told to stop.
fn follow(stage: &Stage, client: &Client, stop: &CancellationToken) -> JoinHandle<()> {
    let app = Arc::clone(&stage.app);
    let follow = clients::watch::follow(app, client.clone(), OFTEN, stop.clone());
    tokio::spawn(follow)
}

/// Reason and client id of one that has a status.
async fn standing(api: &Api<crds::SsoClient>, name: &str) -> (String, Option<String>) {
    let object = api.get(name).await.unwrap();
    let status = object.status.unwrap_or_default();
    let reason = crds::condition::find(&status.conditions, "Ready").map(|it| it.reason.clone());
    (reason.unwrap_or_default(), status.client_id)
}

fn values(secret: &Secret) -> (String, String, String) {
    let data = secret.data.as_ref().unwrap();
    let value = |name: &str| String::from_utf8(data[name].0.clone()).unwrap();
    (value("clientId"), value("clientSecret"), value("issuer"))
}

#[tokio::test]
async fn a_client_gets_a_secret_that_is_replaced_when_asked_and_goes_with_it() {
    let _alone = ALONE.lock().await;
    let plane = ControlPlane::shared().await.unwrap();
    let client = plane.client().await.unwrap();
    plane.install(&crds::all()).await.unwrap();
    namespace(&client, "clients").await;
    namespace(&client, "nobodys").await;
    let stage = Stage::start().await;
    stage.organization("clients").await;
    let objects: Api<crds::SsoClient> = Api::namespaced(client.clone(), "clients");
    let elsewhere: Api<crds::SsoClient> = Api::namespaced(client.clone(), "nobodys");
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "clients");
    let foreign: Secret = serde_json::from_value(json!({
        "metadata": { "name": "foreign" }, "stringData": { "clientSecret": "mine" },
    }))
    .unwrap();
    let params = PostParams::default();
    secrets.create(&params, &foreign).await.unwrap();
    objects
        .create(&params, &object("shop", "shop-sso"))
        .await
        .unwrap();
    objects
        .create(&params, &object("thief", "foreign"))
        .await
        .unwrap();
    elsewhere
        .create(&params, &object("lost", "lost-sso"))
        .await
        .unwrap();

    let stop = CancellationToken::new();
    // Two replicas make one secret.
    let watches = [(); 2].map(|()| follow(&stage, &client, &stop));
    until(async || standing(&objects, "shop").await.0 == "Registered").await;
    let (uid, secret, issuer) = values(&secrets.get("shop-sso").await.unwrap());
    assert_eq!(standing(&objects, "shop").await.1, Some(uid.clone()));
    assert_eq!(issuer, ORIGIN);
    let data = secrets.get("shop-sso").await.unwrap().data.unwrap();
    assert_eq!(data["backchannel"].0, BACKCHANNEL.as_bytes());
    let known = async || {
        let mut connection = stage.pool.acquire().await.unwrap();
        clients::store::find(&mut connection, &uid).await.unwrap()
    };
    let registered = known().await.unwrap();
    assert!(registered.has_secret(&secret, stage.app.now()));
    assert_eq!(registered.redirect_uris, ["https://shop.example/callback"]);

    // What is not ours to register or to write.
    until(async || standing(&objects, "thief").await.0 == "SecretTaken").await;
    let untouched = secrets.get("foreign").await.unwrap();
    assert_eq!(untouched.data.unwrap().len(), 1);
    until(async || standing(&elsewhere, "lost").await.0 == "NoOrganization").await;

    // Another address, and another secret; the one before is good for a while.
    let change: Value = json!({
        "metadata": { "annotations": { "tutti.dev/rotate-secret": "1" } },
        "spec": { "redirectUris": ["https://www.shop.example/callback"] },
    });
    let patch = Patch::Merge(&change);
    objects
        .patch("shop", &PatchParams::default(), &patch)
        .await
        .unwrap();
    until(async || {
        let status = objects.get("shop").await.unwrap().status.unwrap();
        status.rotated_for.as_deref() == Some("1")
    })
    .await;
    let (same, another, _) = values(&secrets.get("shop-sso").await.unwrap());
    assert_eq!(same, uid);
    assert_ne!(another, secret);
    let registered = known().await.unwrap();
    assert_eq!(
        registered.redirect_uris,
        ["https://www.shop.example/callback"]
    );
    for secret in [&secret, &another] {
        assert!(registered.has_secret(secret, stage.app.now()));
    }
    let deeds = stage.deeds().await;
    let of = |word: &str| deeds.iter().filter(|deed| *deed == word).count();
    assert_eq!(
        (of("ClientSecretReplaced"), of("ClientRemoved")),
        (1, 0),
        "{deeds:?}"
    );

    let gone = DeleteParams::default();
    objects.delete("shop", &gone).await.unwrap();
    until(async || known().await.is_none()).await;
    stop.cancel();
    for watch in watches {
        watch.await.unwrap();
    }
    objects.delete("thief", &gone).await.unwrap();
    elsewhere.delete("lost", &gone).await.unwrap();
}

#[tokio::test]
async fn a_secret_that_is_removed_comes_back_and_another_object_of_the_name_is_another_client() {
    let _alone = ALONE.lock().await;
    let plane = ControlPlane::shared().await.unwrap();
    let client = plane.client().await.unwrap();
    plane.install(&crds::all()).await.unwrap();
    namespace(&client, "removed").await;
    let stage = Stage::start().await;
    stage.organization("removed").await;
    let objects: Api<crds::SsoClient> = Api::namespaced(client.clone(), "removed");
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "removed");
    let (params, gone) = (PostParams::default(), DeleteParams::default());
    let shop = object("shop", "shop-sso");
    objects.create(&params, &shop).await.unwrap();
    let stop = CancellationToken::new();
    let watches = [(); 2].map(|()| follow(&stage, &client, &stop));
    until(async || standing(&objects, "shop").await.0 == "Registered").await;
    let (uid, secret, _) = values(&secrets.get("shop-sso").await.unwrap());
    let known = async |uid: &str| {
        let mut connection = stage.pool.acquire().await.unwrap();
        clients::store::find(&mut connection, uid).await.unwrap()
    };

    secrets.delete("shop-sso", &gone).await.unwrap();
    until(async || secrets.get_opt("shop-sso").await.unwrap().is_some()).await;
    let back = secrets.get("shop-sso").await.unwrap();
    let (same, another, _) = values(&back);
    assert_eq!(same, uid);
    assert_ne!(another, secret);
    let digest = Digest::of(another.as_bytes()).hex();
    assert_eq!(
        back.metadata.annotations.unwrap()["tutti.dev/secret-digest"],
        digest
    );
    // Whoever reads the secret at its start is told that there is another one.
    until(async || {
        let status = objects.get("shop").await.unwrap().status.unwrap();
        status.secret_digest.as_ref() == Some(&digest)
    })
    .await;

    // One that was written when the database did not take it: nobody could sign in by it.
    let wrong = json!({ "metadata": { "annotations": { "tutti.dev/secret-digest": "0" } } });
    let patch = Patch::Merge(&wrong);
    secrets
        .patch("shop-sso", &PatchParams::default(), &patch)
        .await
        .unwrap();
    until(async || {
        let (_, secret, _) = values(&secrets.get("shop-sso").await.unwrap());
        let client = known(&uid).await.unwrap();
        secret != another && client.has_secret(&secret, stage.app.now())
    })
    .await;

    // Nothing removes Secrets with their owner here; until it is forgotten its Secret would come back.
    objects.delete("shop", &gone).await.unwrap();
    until(async || known(&uid).await.is_none()).await;
    secrets.delete("shop-sso", &gone).await.unwrap();
    objects.create(&params, &shop).await.unwrap();
    until(async || standing(&objects, "shop").await.0 == "Registered").await;
    let (other, ..) = values(&secrets.get("shop-sso").await.unwrap());
    assert_ne!(other, uid);
    assert!(known(&uid).await.is_none() && known(&other).await.is_some());
    stop.cancel();
    for watch in watches {
        watch.await.unwrap();
    }
    objects.delete("shop", &gone).await.unwrap();
}

#[tokio::test]
async fn what_the_api_server_refuses_is_told_at_the_client() {
    let _alone = ALONE.lock().await;
    let plane = ControlPlane::shared().await.unwrap();
    let client = plane.client().await.unwrap();
    plane.install(&crds::all()).await.unwrap();
    namespace(&client, "leaving").await;
    let stage = Stage::start().await;
    stage.organization("leaving").await;
    let objects: Api<crds::SsoClient> = Api::namespaced(client.clone(), "leaving");
    let (params, gone) = (PostParams::default(), DeleteParams::default());
    objects
        .create(&params, &object("shop", "shop-sso"))
        .await
        .unwrap();
    // Nothing is made any more in a namespace that is going away.
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.delete("leaving", &gone).await.unwrap();
    let stop = CancellationToken::new();
    let watch = follow(&stage, &client, &stop);
    until(async || standing(&objects, "shop").await.0 == "SecretRefused").await;
    let status = objects.get("shop").await.unwrap().status.unwrap();
    let told = &status.conditions[0].message;
    assert!(told.contains("it is being terminated"), "{told}");
    stop.cancel();
    watch.await.unwrap();
    objects.delete("shop", &gone).await.unwrap();
}
