//! What no other story brings about: a definition that loses its database, its periodic job, its sign-in
//! and a replica; a client secret that is replaced; a Secret without its label; a database without room; a name that is taken; a domain that is
//! given up and asked for again. `zz1_rights` reads afterwards whether the operator may do all that.

use anyhow::{Context as _, Result, ensure};
use crds::{AppDefinition, AppInstance, Organization, SsoClient, SsoClientStatus, condition};
use journeys::{Story, within};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    batch::v1::CronJob,
    core::v1::{Pod, ResourceQuota, Secret},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

#[tokio::test]
async fn what_rarely_happens_is_done_as_well() -> Result<()> {
    let story = Story::begin("rare").await?;
    let organization = story.organization().await?;
    let definitions: Api<AppDefinition> = story.all();
    let app = organization.name.clone();
    let full = definition(&app, "mariadb", true);
    let params = PatchParams::apply("journeys").force();
    definitions
        .patch(&app, &params, &Patch::Apply(&full))
        .await?;
    organization
        .order("leaves", json!({"app": app, "version": "1", "replicas": 2}))
        .await?;
    let databases = organization.objects::<StatefulSet>();
    let jobs = organization.objects::<CronJob>();
    let budgets = organization.objects::<PodDisruptionBudget>();
    within(30, "database, periodic job and budget are made", || async {
        databases.get("leaves-database").await?;
        jobs.get("leaves-tick").await?;
        budgets.get("leaves").await?;
        Ok(())
    })
    .await?;

    // idm registers it, and replaces its secret when it is asked to.
    let by_hand = PatchParams::default();
    let clients = organization.objects::<SsoClient>();
    within(60, "the app is registered for sign-in", || async {
        let status = clients.get("leaves").await?.status.unwrap_or_default();
        ensure!(is_registered(&status), "{status:?}");
        Ok(())
    })
    .await?;
    let asked = json!({"metadata": {"annotations": {"tutti.dev/rotate-secret": "1"}}});
    clients
        .patch("leaves", &by_hand, &Patch::Merge(asked))
        .await?;
    within(30, "it has another client secret", || async {
        let status = clients.get("leaves").await?.status.unwrap_or_default();
        ensure!(status.rotated_for.as_deref() == Some("1"), "{status:?}");
        Ok(())
    })
    .await?;

    // A Secret that loses a label is found again.
    let secrets = organization.objects::<Secret>();
    let unmarked = json!({"metadata": {"labels": {"app.kubernetes.io/instance": null}}});
    secrets
        .patch("leaves-token", &by_hand, &Patch::Merge(unmarked))
        .await?;
    within(30, "the Secret has its label again", || async {
        let secret = secrets.get_metadata("leaves-token").await?;
        let labels = secret.metadata.labels.unwrap_or_default();
        ensure!(labels.contains_key("app.kubernetes.io/instance"));
        Ok(())
    })
    .await?;

    // A database without a pod: only events say why. Nothing that has no room is begun, so that the
    // quota is made smaller afterwards.
    let poor = story.organization().await?;
    poor.order("poor", json!({"app": app, "version": "1"}))
        .await?;
    let pods = poor.objects::<Pod>();
    within(60, "its database has a pod", || async {
        Ok(pods.get("poor-database-0").await?)
    })
    .await?;
    let organizations: Api<Organization> = story.all();
    let quota = json!({"spec": {"quota": {"memory": "1Mi"}}});
    organizations
        .patch(&poor.name, &PatchParams::default(), &Patch::Merge(quota))
        .await?;
    let counted = poor.objects::<ResourceQuota>();
    within(30, "Kubernetes has the smaller quota", || async {
        let status = counted.get("tutti").await?.status.unwrap_or_default();
        let hard = status.hard.unwrap_or_default();
        ensure!(hard.get("requests.memory").is_some_and(|it| it.0 == "1Mi"));
        Ok(())
    })
    .await?;
    pods.delete("poor-database-0", &DeleteParams::default())
        .await?;
    let says_why = |found: &AppInstance| {
        let conditions = found.status.as_ref().map(|status| &status.conditions);
        let database = conditions.and_then(|all| condition::find(all, condition::DATABASE_READY));
        database.is_some_and(|database| database.reason == "QuotaExceeded")
    };
    poor.until("poor", 30, "DatabaseReady says QuotaExceeded", says_why)
        .await?;
    poor.end().await?;

    // The engine of a definition cannot be changed: another one takes its place.
    definitions.delete(&app, &DeleteParams::default()).await?;
    within(30, "the definition is gone", || async {
        ensure!(definitions.get_opt(&app).await?.is_none());
        Ok(())
    })
    .await?;
    let bare = definition(&app, "none", false);
    definitions
        .patch(&app, &params, &Patch::Apply(&bare))
        .await?;
    organization
        .change("leaves", json!({"replicas": 1}))
        .await?;
    within(30, "what is planned no more is deleted", || async {
        ensure!(databases.get_opt("leaves-database").await?.is_none());
        ensure!(jobs.get_opt("leaves-tick").await?.is_none());
        ensure!(budgets.get_opt("leaves").await?.is_none());
        ensure!(clients.get_opt("leaves").await?.is_none());
        Ok(())
    })
    .await?;

    let taken: Secret = serde_json::from_value(json!({
        "metadata": {"name": "taken-token"},
        "stringData": {"value": "somebody else's"},
    }))?;
    organization
        .objects::<Secret>()
        .create(&PostParams::default(), &taken)
        .await?;
    organization
        .order("taken", json!({"app": app, "version": "1"}))
        .await?;
    organization.reason("taken", 30, "NameTaken").await?;
    // A domain that is proven has a Route, its certificate a Secret, and its name a note afterwards.
    let hostname = format!("{}.test", organization.name);
    let target = organization
        .instance("leaves")
        .await?
        .status
        .and_then(|status| status.host);
    let target = target.context("no default host")?;
    let name = format!("www.{hostname}");
    story.set_record(&name, "CNAME", &target)?;
    organization
        .change("leaves", json!({"domains": [name]}))
        .await?;
    organization.domain(&name, "Served").await?;
    organization
        .change("leaves", json!({"domains": []}))
        .await?;
    let domains = organization.objects::<crds::Domain>();
    within(30, "the Domain is gone", || async {
        ensure!(domains.list(&ListParams::default()).await?.items.is_empty());
        Ok(())
    })
    .await?;
    // Asked for again, the note is not needed any more.
    organization
        .change("leaves", json!({"domains": [name]}))
        .await?;
    organization.domain(&name, "Served").await?;
    definitions.delete(&app, &DeleteParams::default()).await?;
    organization.end().await
}

fn is_registered(status: &SsoClientStatus) -> bool {
    condition::is_true(&status.conditions, condition::READY)
}

/// `has_all`: a periodic job, and a sign-in by the platform.
fn definition(name: &str, engine: &str, has_all: bool) -> Value {
    let resources = json!({"cpu": "10m", "memory": "32Mi"});
    let mut spec = json!({
        "title": "Rights",
        "description": "Loses what it had.",
        "versions": [{"version": "1", "image": "wordpress:6.8"}],
        "port": {"number": 8080},
        "health": {"path": "/healthz"},
        "database": {"engine": engine},
        "secrets": [{"name": "token"}],
        "sizes": [{"name": "small", "requests": resources, "limits": resources}],
        "security": {"runAsUser": 33, "runAsGroup": 33},
    });
    if engine != "none" {
        spec["database"]["version"] = "11.8".into();
        spec["sizes"][0]["database"] = json!({"requests": resources, "limits": resources});
    }
    if has_all {
        spec["jobs"] = json!([{
            "name": "tick", "when": "periodic", "schedule": "@yearly", "command": ["true"],
        }]);
        spec["sso"] = json!({"protocol": "oidc", "loginPath": "/in", "callbackPath": "/back"});
        spec["env"] = json!([{"name": "OIDC_CLIENT_SECRET", "sso": "clientSecret"}]);
    }
    json!({
        "apiVersion": "tutti.dev/v1alpha1",
        "kind": "AppDefinition",
        "metadata": {"name": name},
        "spec": spec,
    })
}
