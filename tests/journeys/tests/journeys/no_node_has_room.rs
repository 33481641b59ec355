//! What no node has room for never starts. The instance says so, and the mend that it names is one:
//! with a smaller size it runs.

use anyhow::{Result, ensure};
use crds::{AppInstance, condition};
use journeys::{App, Story};
use serde_json::{Value, json};

#[tokio::test]
async fn a_database_that_found_no_room_runs_with_a_smaller_size() -> Result<()> {
    let database = json!({"engine": "mariadb", "version": "11.8"});
    let bend = |spec: &mut Value| {
        spec["database"] = database.clone();
        spec["sizes"] = json!([
            {"name": "small", "requests": resources("64Mi"), "limits": resources("256Mi"), "database": both("256Mi")},
            {"name": "giant", "requests": resources("64Mi"), "limits": resources("256Mi"), "database": both("1Ti")},
        ]);
    };
    shrinks("room", bend, condition::DATABASE_READY, "DatabaseAnswers").await
}

#[tokio::test]
async fn an_installation_that_found_no_room_runs_with_a_smaller_size() -> Result<()> {
    let bend = |spec: &mut Value| {
        spec["jobs"] = json!([{"name": "install", "when": "install", "command": ["true"]}]);
        spec["sizes"] = json!([
            {"name": "small", "requests": resources("64Mi"), "limits": resources("256Mi")},
            {"name": "giant", "requests": resources("1Ti"), "limits": resources("1Ti")},
        ]);
    };
    shrinks("room-job", bend, condition::WORKLOAD_READY, "Answering").await
}

fn resources(memory: &str) -> Value {
    json!({"cpu": "10m", "memory": memory})
}

fn both(memory: &str) -> Value {
    json!({"requests": resources(memory), "limits": resources(memory)})
}

/// An instance of a size that no node has room for, and then of a small one: `part` says first why it
/// waits, and in the end `reason`.
async fn shrinks(
    name: &'static str,
    bend: impl FnOnce(&mut Value),
    part: &'static str,
    reason: &'static str,
) -> Result<()> {
    let story = Story::begin(name).await?;
    let organization = story
        .organization_with(json!({"quota": {"memory": "2Ti"}}))
        .await?;
    let app = App::define(&story, bend).await?;
    organization
        .order(
            "shop",
            json!({"app": app.name, "version": "1", "size": "giant"}),
        )
        .await?;
    let said = move |found: &AppInstance| {
        let conditions = found.status.as_ref().map(|status| &status.conditions);
        conditions
            .and_then(|all| condition::find(all, part))
            .cloned()
    };
    let says = |reason: &'static str| {
        move |found: &AppInstance| said(found).is_some_and(|said| said.reason == reason)
    };
    let found = organization
        .until("shop", 60, "it says NoNodeFits", says("NoNodeFits"))
        .await?;
    let message = said(&found).map(|said| said.message).unwrap_or_default();
    ensure!(message.contains("smaller size"), "{message}");

    organization
        .change("shop", json!({"size": "small"}))
        .await?;
    organization
        .until("shop", 120, "it runs", says(reason))
        .await?;
    organization.end().await
}
