//! Events: what says the same is counted, what says something else is an event of its own.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use faults::{
    incarnation::Manner,
    mischief::Mischief,
    run::Life,
    stage::{self, PATIENCE},
    stories::{self, Story},
};
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use serde_json::json;

/// Which sizes were refused in events, and how often each.
async fn refused(life: &Life) -> Result<Vec<(String, i32)>> {
    let events = life.ground.objects::<Event>();
    let found = events.list(&ListParams::default()).await?;
    let refusals = found
        .items
        .into_iter()
        .filter(|event| event.reason.as_deref() == Some("UnknownSize"));
    let mut sizes: Vec<(String, i32)> = refusals
        .map(|event| {
            let note = event.note.unwrap_or_default();
            let size = ["huge", "giant"].into_iter().find(|it| note.contains(it));
            let count = event.series.map_or(1, |series| series.count);
            (size.unwrap_or(&note).to_owned(), count)
        })
        .collect();
    sizes.sort();
    Ok(sizes)
}

async fn order(life: &Life, size: &str) -> Result<()> {
    stories::change(&life.ground.instances, json!({ "size": size })).await
}

/// Waits until these sizes were refused so often.
async fn are_told(life: &Life, wanted: &[(&str, i32)]) -> Result<()> {
    let begun = Instant::now();
    loop {
        let told = refused(life).await?;
        let is_so = told.iter().map(|(size, count)| (size.as_str(), *count));
        if is_so.eq(wanted.iter().copied()) {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{told:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_second_refusal_in_other_words_is_an_event_of_its_own_and_the_same_words_are_counted() {
    stage::test(async |stage| {
        let mut life = Life::begin(stage, "events", &Manner::default()).await?;
        life.tell(Story::Provision, Mischief::Calm).await?;
        order(&life, "huge").await?;
        are_told(&life, &[("huge", 1)]).await?;
        order(&life, "giant").await?;
        are_told(&life, &[("giant", 1), ("huge", 1)]).await?;
        order(&life, "huge").await?;
        are_told(&life, &[("giant", 1), ("huge", 2)]).await
    });
}
