//! Wishes that cannot be granted: for each, within seconds, a reason and a message that names the
//! field or the fact and the mend. An instance beside them notices nothing.

use std::time::Instant;

use anyhow::{Result, ensure};
use crds::condition;
use journeys::{App, Innocent, Organization, PAGE, Story};
use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;
use serde_json::{Value, json};

/// Within seconds, on a node that is busy with other stories.
const SOON: u64 = 30;
/// Where Kubernetes has to make volumes and start pods first.
const STARTED: u64 = 60;

#[tokio::test]
async fn a_wish_that_contradicts_the_catalogue_is_explained() -> Result<()> {
    let story = Story::begin("wish").await?;
    let (app, organization, innocent) = Innocent::with(&story).await?;
    let name = app.name.as_str();

    for (instance, wish, reason, words) in [
        (
            "app",
            json!({"app": "no-such-app", "version": "1"}),
            "UnknownApp",
            vec!["spec.app", "no-such-app", "kubectl get appdef"],
        ),
        (
            "version",
            json!({"app": name, "version": "9"}),
            "UnknownVersion",
            vec!["spec.version", "it has 1"],
        ),
        (
            "size",
            json!({"app": name, "version": "1", "size": "huge"}),
            "UnknownSize",
            vec!["spec.size", "huge", "it has tiny"],
        ),
        (
            "setting",
            json!({"app": name, "version": "1", "settings": {"colour": "red"}}),
            "UnknownSetting",
            vec!["spec.settings.colour", "it has note"],
        ),
        (
            "volume",
            json!({"app": name, "version": "1", "storage": {"attic": "1Gi"}}),
            "UnknownVolume",
            vec!["spec.storage.attic", "it has content"],
        ),
        (
            "room",
            json!({"app": name, "version": "1", "storage": {"content": "900Gi"}}),
            "QuotaExceeded",
            vec!["spec.storage", "content 900Gi", "spec.quota.storage"],
        ),
        (
            "replicas",
            json!({"app": "wordpress", "version": "6.8", "replicas": 2}),
            "TooManyReplicas",
            vec!["spec.replicas", "1 at most"],
        ),
    ] {
        organization.order(instance, wish).await?;
        explained(&organization, instance, SOON, reason, &words).await?;
        // Nothing half made.
        let pods = organization.pods(instance, "web").await?.len();
        ensure!(pods == 0, "{instance} has {pods} pods");
        organization.delete(instance).await?;
    }

    // A name that nobody can have stops nothing but itself.
    let zone = json!({"app": name, "version": "1", "domains": ["mine.tutti.localhost"]});
    organization.order("zone", zone).await?;
    organization.ready("zone").await?;
    organization
        .domain("mine.tutti.localhost", "NameIsThePlatforms")
        .await?;

    // These the API server itself refuses.
    let long = "a".repeat(41);
    refused(
        &organization,
        &long,
        json!({"app": name, "version": "1"}),
        "at most 40 characters",
    )
    .await?;
    refused(
        &organization,
        "shop-database",
        json!({"app": name, "version": "1"}),
        "choose a name that does not end so",
    )
    .await?;
    refused(
        &organization,
        "url",
        json!({"app": name, "version": "1", "domains": ["https://a.example/"]}),
        "domains: the name alone, such as 'www.acme.example': no https://, no port, no path",
    )
    .await?;
    let grown = json!({"app": name, "version": "1", "storage": {"content": "128Mi"}});
    organization.order("storage", grown).await?;
    let smaller = json!({"app": name, "version": "1", "storage": {"content": "64Mi"}});
    refused(&organization, "storage", smaller, "volumes only grow").await?;

    innocent.is_unharmed(&organization).await?;
    organization.end().await
}

#[tokio::test]
async fn a_definition_that_does_not_work_is_explained() -> Result<()> {
    let story = Story::begin("defect").await?;
    let (_app, organization, innocent) = Innocent::with(&story).await?;

    let absent = App::define(&story, |spec| {
        spec["versions"][0]["image"] = json!("no-such-image:1");
    })
    .await?;
    organization
        .order("absent", json!({"app": absent.name, "version": "1"}))
        .await?;
    explained(
        &organization,
        "absent",
        STARTED,
        "ImageCannotBePulled",
        &["no-such-image:1", "versions[].image"],
    )
    .await?;

    // Its server cannot make its folder, says so, and ends.
    let crashing = App::define(&story, |spec| {
        spec["security"]["writablePaths"] = json!(["/tmp"]);
    })
    .await?;
    organization
        .order("crashing", json!({"app": crashing.name, "version": "1"}))
        .await?;
    // Kubernetes itself takes some seconds until an end becomes a loop.
    explained(
        &organization,
        "crashing",
        STARTED,
        "CrashLooping",
        &["exit code 1", "Read-only file system"],
    )
    .await?;

    let broken = App::define(&story, |spec| {
        for part in ["requests", "limits"] {
            spec["sizes"][0][part]["memory"] = json!("0");
        }
    })
    .await?;
    let (reason, message) = broken.judgement().await?;
    ensure!(
        reason == "BrokenSize" && message.contains("sizes"),
        "{reason}: {message}"
    );
    organization
        .order("broken", json!({"app": broken.name, "version": "1"}))
        .await?;
    explained(
        &organization,
        "broken",
        SOON,
        "DefinitionInvalid",
        &[&broken.name, "mend the definition"],
    )
    .await?;
    broken.redefine(|_| {}).await?;
    organization.ready("broken").await?;

    innocent.is_unharmed(&organization).await?;
    organization.end().await
}

#[tokio::test]
async fn what_belongs_to_another_or_is_used_up_is_explained() -> Result<()> {
    let story = Story::begin("claim").await?;
    let (app, organization, innocent) = Innocent::with(&story).await?;
    let quota = json!({"quota": {"memory": "100Mi"}});
    let other = story.organization_with(quota).await?;
    // A word that no message has.
    let holder = "treasury";
    let domain = format!("www.claimed-{:08x}.test", rand::random::<u32>());

    organization
        .order(
            holder,
            json!({"app": app.name, "version": "1", "domains": [domain]}),
        )
        .await?;
    organization.ready(holder).await?;
    other
        .order(
            "second",
            json!({"app": app.name, "version": "1", "domains": [domain]}),
        )
        .await?;
    let taken = other.domain(&domain, "HostnameTaken").await?;
    let told = serde_json::to_string(&taken)?;
    ensure!(
        !told.contains(holder) && !told.contains(&organization.name),
        "another customer's names are told: {told}"
    );
    // The app itself is well, and says which of its hostnames is not.
    let second = other.ready("second").await?;
    let conditions = second.status.unwrap_or_default().conditions;
    let domains = condition::find(&conditions, condition::DOMAINS_READY);
    ensure!(
        domains.is_some_and(|it| it.status == "False" && it.message.contains(&domain)),
        "{domains:?}"
    );
    // The first one gives it up, and the second gets it.
    organization.delete(holder).await?;
    other.domain(&domain, "NotProven").await?;

    other
        .order("third", json!({"app": app.name, "version": "1"}))
        .await?;
    explained(
        &other,
        "third",
        SOON,
        "QuotaExceeded",
        &["memory", "spec.quota"],
    )
    .await?;
    let still = journeys::ready(&other.instance("second").await?).cloned();
    ensure!(
        still.is_some_and(|ready| ready.status == "True"),
        "the quota's use harms another"
    );

    let quota = json!({"quota": {"instances": 1}});
    let small = story.organization_with(quota).await?;
    let wish = json!({"app": app.name, "version": "1"});
    small.order("only", wish.clone()).await?;
    small.ready("only").await?;
    small.order("more", wish).await?;
    let words = ["may have 1 instances", "spec.quota.instances"];
    explained(&small, "more", SOON, "QuotaExceeded", &words).await?;
    small.delete("only").await?;
    small.ready("more").await?;
    small.end().await?;

    innocent.is_unharmed(&organization).await?;
    other.end().await?;
    organization.end().await
}

#[tokio::test]
async fn a_secret_that_was_deleted_is_explained_and_generated_anew_on_request() -> Result<()> {
    let story = Story::begin("secret").await?;
    let (_app, organization, innocent) = Innocent::with(&story).await?;
    let old = organization.secret("innocent-token").await?;
    let secrets = organization.objects::<Secret>();
    secrets
        .delete("innocent-token", &DeleteParams::default())
        .await?;
    let mend = "kubectl annotate appi/innocent";
    explained(
        &organization,
        "innocent",
        SOON,
        "SecretMissing",
        &["innocent-token", mend],
    )
    .await?;
    let page = story.site(&innocent.url)?.page(PAGE).await?;
    ensure!(page.status == 200, "what runs goes on running: {page:?}");

    let annotate =
        |value: Value| json!({"metadata": {"annotations": {"tutti.dev/regenerate-secret": value}}});
    organization
        .merge("innocent", annotate(json!("innocent-token")))
        .await?;
    journeys::within(
        60,
        "another Secret is there, and a pod that knows it",
        || async {
            organization.ready("innocent").await?;
            let new = organization.secret("innocent-token").await?;
            ensure!(new != old, "the same secret");
            let pod = organization.pod("innocent", "web").await?;
            let seen = organization.bash(&pod, "echo $TOKEN").await?;
            ensure!(
                seen.trim() != old,
                "the pod was restarted with the old value"
            );
            ensure!(seen.trim() == new, "the pod has a third value");
            Ok(())
        },
    )
    .await?;
    let new = organization.secret("innocent-token").await?;
    organization
        .merge("innocent", annotate(Value::Null))
        .await?;
    organization.ready("innocent").await?;
    let kept = organization.secret("innocent-token").await?;
    ensure!(kept == new, "taking the annotation away changed the secret");
    organization.end().await
}

/// Waits for the reason; its message must contain the words.
async fn explained(
    organization: &Organization,
    instance: &str,
    seconds: u64,
    reason: &str,
    words: &[&str],
) -> Result<String> {
    let start = Instant::now();
    let message = organization.reason(instance, seconds, reason).await?;
    for word in words {
        ensure!(
            message.contains(word),
            "{reason} does not say {word:?}: {message}"
        );
    }
    println!("{:.1} s {reason}: {message}", start.elapsed().as_secs_f64());
    Ok(message)
}

/// The API server does not take it, and says why.
async fn refused(
    organization: &Organization,
    instance: &str,
    wish: Value,
    words: &str,
) -> Result<()> {
    match organization.order(instance, wish).await {
        Ok(_) => anyhow::bail!("{instance} was accepted; expected: {words}"),
        Err(error) => {
            let text = format!("{error:#}");
            ensure!(text.contains(words), "{instance}: {text}");
            Ok(())
        }
    }
}
