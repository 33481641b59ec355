//! A database for which no node has room never starts. The instance says so, and the mend that it names
//! is one: with a smaller size the database runs.

use anyhow::{Result, ensure};
use crds::{AppInstance, condition};
use journeys::{App, Story};
use serde_json::json;

#[tokio::test]
async fn a_database_that_found_no_room_runs_with_a_smaller_size() -> Result<()> {
    let story = Story::begin("room").await?;
    let organization = story
        .organization_with(json!({"quota": {"memory": "2Ti"}}))
        .await?;
    let resources = |memory: &str| json!({"cpu": "10m", "memory": memory});
    let size = |name: &str, memory: &str| {
        json!({
            "name": name,
            "requests": resources("64Mi"),
            "limits": resources("256Mi"),
            "database": {"requests": resources(memory), "limits": resources(memory)},
        })
    };
    let app = App::define(&story, |spec| {
        spec["database"] = json!({"engine": "mariadb", "version": "11.8"});
        spec["sizes"] = json!([size("small", "256Mi"), size("giant", "1Ti")]);
    })
    .await?;
    organization
        .order(
            "shop",
            json!({"app": app.name, "version": "1", "size": "giant"}),
        )
        .await?;
    let says = |reason: &'static str| {
        move |found: &AppInstance| {
            let conditions = found.status.as_ref().map(|status| &status.conditions);
            let said = conditions.and_then(|all| condition::find(all, condition::DATABASE_READY));
            said.is_some_and(|said| said.reason == reason)
        }
    };
    let found = organization
        .until(
            "shop",
            60,
            "DatabaseReady says NoNodeFits",
            says("NoNodeFits"),
        )
        .await?;
    let conditions = found.status.map(|status| status.conditions);
    let message = conditions
        .as_deref()
        .and_then(|all| condition::find(all, condition::DATABASE_READY))
        .map(|said| said.message.clone())
        .unwrap_or_default();
    ensure!(message.contains("smaller size"), "{message}");

    organization
        .change("shop", json!({"size": "small"}))
        .await?;
    organization
        .until("shop", 120, "the database answers", says("DatabaseAnswers"))
        .await?;
    organization.end().await
}
