//! The rights of operator and gateway: each one they have, they use; none they use is one that they
//! were refused. Told by the API server's audit log, after all other stories have been played (what no
//! other needs is in `journeys/what_rarely_happens.rs`). What follows takes the platform away.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use journeys::{PLATFORM, Story, within};
use k8s_openapi::api::{
    core::v1::Pod,
    rbac::v1::{ClusterRole, PolicyRule, Role},
};
use kube::{Api, api::ListParams};
use operator::rbac::{self, SECRETS_ROLE, Scope};
use serde_json::Value;

/// A program of the platform, as the API server knows it.
struct Program {
    name: &'static str,
    user: &'static str,
    granted: BTreeSet<Right>,
}

/// Group, resource and verb.
type Right = (String, String, String);

#[tokio::test(flavor = "multi_thread")]
async fn every_right_of_our_services_is_used_and_none_is_missing() -> Result<()> {
    let story = Story::begin("rights").await?;
    let log = story.lab.audit_log.clone();
    let operator = Program {
        name: "operator",
        user: "system:serviceaccount:tutti-system:operator",
        granted: [Scope::Cluster, Scope::Namespace]
            .into_iter()
            .flat_map(|scope| rights(rbac::rules(scope).rules))
            // Looked for by the API server itself where something is bound; no request is called so.
            .filter(|(_, _, verb)| verb != "bind")
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
    uses_its_rights(&story, &log, &gateway).await?;
    let everywhere: ClusterRole = story.all().get("tutti-idm").await?;
    let organizations: ClusterRole = story.all().get(SECRETS_ROLE).await?;
    let idm = Program {
        name: "idm",
        user: "system:serviceaccount:tutti-system:idm",
        granted: [everywhere.rules, organizations.rules]
            .into_iter()
            .flat_map(|rules| rights(rules.unwrap_or_default()))
            .collect(),
    };
    uses_its_rights(&story, &log, &idm).await
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
