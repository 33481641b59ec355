//! The rights of operator and gateway: each one they have, they use; none they use is one that they
//! were refused. Told by the API server's audit log, after all other stories have been played. What
//! follows takes the platform away.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use crds::{AppDefinition, AppInstance, condition};
use journeys::{PLATFORM, Story, within};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    batch::v1::CronJob,
    core::v1::{Pod, Secret},
    policy::v1::PodDisruptionBudget,
    rbac::v1::{ClusterRole, PolicyRule, Role},
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use operator::rbac::{self, Scope};
use serde_json::{Value, json};

/// A program of the platform, as the API server knows it.
struct Program {
    name: &'static str,
    user: &'static str,
    granted: BTreeSet<Right>,
}

/// Group, resource and verb.
type Right = (String, String, String);

#[tokio::test(flavor = "multi_thread")]
async fn every_right_of_the_operator_is_used_and_none_is_missing() -> Result<()> {
    let story = Story::begin("rights").await?;
    play_what_others_leave_out(&story).await?;

    let log = story.lab.audit_log.clone();
    let operator = Program {
        name: "operator",
        user: "system:serviceaccount:tutti-system:operator",
        granted: [Scope::Cluster, Scope::Namespace]
            .into_iter()
            .flat_map(|scope| rights(rbac::rules(scope).rules))
            .collect(),
    };
    uses_its_rights(&story, &log, &operator).await?;
    let everywhere: ClusterRole = story.all().get("tutti-gateway").await?;
    let certificates: Role = story.platform().get("gateway").await?;
    let gateway = Program {
        name: "gateway",
        user: "system:serviceaccount:tutti-system:gateway",
        granted: [everywhere.rules, certificates.rules]
            .into_iter()
            .flat_map(|rules| rights(rules.unwrap_or_default()))
            .collect(),
    };
    uses_its_rights(&story, &log, &gateway).await
}

async fn uses_its_rights(story: &Story, log: &Path, program: &Program) -> Result<()> {
    let pods = pods_of_this_version(story, program.name).await?;
    let Program { name, granted, .. } = program;
    // The log is written in batches, a second behind.
    within(
        30,
        &format!("the audit log tells that the {name} used every right"),
        || async {
            let (used, refused) = rights_in(log, program.user, &pods)?;
            // What is granted is refused while the platform is uninstalled: roles go before pods.
            let missing: Vec<&Right> = refused.difference(granted).collect();
            ensure!(missing.is_empty(), "the {name} was refused: {missing:?}");
            let unused: Vec<&Right> = granted.difference(&used).collect();
            ensure!(
                unused.is_empty(),
                "granted to the {name}, and never used: {unused:?}"
            );
            Ok(())
        },
    )
    .await
}

/// A definition that loses its database, its periodic job and a replica; a name that is taken.
async fn play_what_others_leave_out(story: &Story) -> Result<()> {
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

    // A Secret that loses a label is found again.
    let secrets = organization.objects::<Secret>();
    let unmarked = json!({"metadata": {"labels": {"app.kubernetes.io/instance": null}}});
    let by_hand = PatchParams::default();
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

    // A database without a pod: only events say why.
    let quota = json!({"quota": {"memory": "1Mi"}});
    let poor = story.organization_with(quota).await?;
    poor.order("poor", json!({"app": app, "version": "1"}))
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

/// How the names of a program's pods begin in its present version: a lab that was upgraded also
/// remembers what another version did.
async fn pods_of_this_version(story: &Story, program: &str) -> Result<String> {
    let pods: Api<Pod> = story.platform();
    let selector = ListParams::default().labels(&format!("app.kubernetes.io/name={program}"));
    let found = pods.list(&selector).await?;
    let newest = found
        .iter()
        .max_by_key(|pod| pod.metadata.creation_timestamp.clone().map(|time| time.0))
        .with_context(|| format!("no {program} runs in {PLATFORM}"))?;
    let name = newest.metadata.name.clone().unwrap_or_default();
    let version = name.rsplit_once('-').map(|(version, _)| version.to_owned());
    version.with_context(|| format!("{name} is no pod of a Deployment"))
}

fn definition(name: &str, engine: &str, has_job: bool) -> Value {
    let resources = json!({"cpu": "10m", "memory": "32Mi"});
    let mut spec = json!({
        "title": "Rights",
        "description": "Loses what it had.",
        "versions": [{"version": "1", "image": "wordpress:6.8"}],
        "port": {"number": 8080},
        "health": {"path": "/healthz"},
        "database": {"engine": engine},
        "secrets": [{"name": "token"}],
        "sizes": [{
            "name": "small",
            "requests": resources,
            "limits": resources,
            "database": {"requests": resources, "limits": resources},
        }],
        "security": {"runAsUser": 33, "runAsGroup": 33},
    });
    if engine != "none" {
        spec["database"]["version"] = "11.8".into();
    }
    if has_job {
        spec["jobs"] = json!([{
            "name": "tick", "when": "periodic", "schedule": "@yearly", "command": ["true"],
        }]);
    }
    json!({
        "apiVersion": "tutti.dev/v1alpha1",
        "kind": "AppDefinition",
        "metadata": {"name": name},
        "spec": spec,
    })
}

fn rights(rules: Vec<PolicyRule>) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.unwrap_or_default() {
            for resource in rule.resources.clone().unwrap_or_default() {
                for verb in &rule.verbs {
                    rights.insert((group.clone(), resource.clone(), verb.clone()));
                }
            }
        }
    }
    rights
}

/// What a user did and was refused, by the audit log.
fn rights_in(log: &Path, user: &str, pods: &str) -> Result<(BTreeSet<Right>, BTreeSet<Right>)> {
    let (mut used, mut refused) = (BTreeSet::new(), BTreeSet::new());
    let file = File::open(log).with_context(|| format!("cannot read {}", log.display()))?;
    for line in BufReader::new(file).lines() {
        let line = line?;
        if !line.contains(user) {
            continue;
        }
        // The last line may be half written.
        let Ok(event) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let reference = &event["objectRef"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if event["user"]["username"] != user || reference["resource"].is_null() {
            continue;
        }
        let resource = match reference["subresource"].as_str() {
            Some(sub) => format!("{}/{sub}", text(&reference["resource"])),
            None => text(&reference["resource"]),
        };
        let pod = &event["user"]["extra"]["authentication.kubernetes.io/pod-name"][0];
        let is_of_this_version = pod.as_str().is_some_and(|pod| pod.starts_with(pods));
        // The lease is made once in the life of a cluster, by whichever version came first.
        if !is_of_this_version && reference["resource"] != "leases" {
            continue;
        }
        let right = |verb: &str| {
            (
                text(&reference["apiGroup"]),
                resource.clone(),
                verb.to_owned(),
            )
        };
        let code = event["responseStatus"]["code"].as_u64().unwrap_or_default();
        let verb = text(&event["verb"]);
        let reason = text(&event["annotations"]["authorization.k8s.io/decision"]);
        if code == 403 && reason == "forbid" {
            refused.insert(right(&verb));
            continue;
        }
        // Server-side apply that creates needs both rights.
        if verb == "patch" && code == 201 {
            used.insert(right("create"));
        }
        used.insert(right(&verb));
    }
    Ok((used, refused))
}
