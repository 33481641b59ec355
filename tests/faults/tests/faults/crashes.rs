//! The operator is killed before and after each of its writes, or an answer is lost (R1, R2).

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Context as _, Result, ensure};
use faults::{
    incarnation::Manner,
    mischief::Mischief,
    run::{self, Life, Outcome, secrets_made},
    stage::{self, Stage},
    stories::Story,
};
use futures_util::{StreamExt as _, stream};

/// Passes that are enough after any start (R1), beside those that news from others lead to.
const MOST_PASSES: u64 = 5;
/// The number of writes varies by a few: passes that come close together are one.
const MARGIN: u64 = 3;

#[test]
fn killed_before_any_write_it_ends_as_if_it_had_not_been() {
    stage::test(|stage| every_write(stage, "killed before", Mischief::KillBefore));
}

#[test]
fn killed_after_any_write_it_ends_as_if_it_had_not_been() {
    stage::test(|stage| every_write(stage, "killed after", Mischief::KillAfter));
}

#[test]
fn a_lost_answer_to_any_write_does_no_harm() {
    stage::test(|stage| every_write(stage, "answer lost", Mischief::LoseAnswer));
}

/// What was found of one story.
#[derive(Default)]
struct Tally {
    points: u64,
    most_passes: u64,
    most_news: u64,
}

/// Lives through all stories: the first life has the fault at the first write of each story, the
/// second at the second, until every write of every story had it.
async fn every_write(stage: &'static Stage, what: &str, fault: fn(u64) -> Mischief) -> Result<()> {
    let begun = Instant::now();
    // Ordering is in both chains, and looked at in the shorter one.
    let chains = [&Story::FULL_LIFE[1..], &Story::RETURN[..]];
    let mut lives = Vec::new();
    let mut writes = 0;
    for (chain, looked_at) in [Story::FULL_LIFE.as_slice(), &Story::RETURN]
        .into_iter()
        .zip(chains)
    {
        let mut most = 0;
        for story in looked_at {
            let points = points_of(&run::clean(stage, *story).await?.outcome);
            most = most.max(points);
            writes += points - MARGIN;
        }
        lives.extend((1..=most).map(|number| (chain, looked_at, number)));
    }
    let lives = lives
        .into_iter()
        .map(|(chain, looked_at, number)| async move {
            let told = live(stage, chain, looked_at, number, fault).await;
            told.map_err(|error| format!("{what} write {number}: {error:#}"))
        });
    let told: Vec<_> = stream::iter(lives).buffer_unordered(8).collect().await;
    let mut tallies: BTreeMap<Story, Tally> = BTreeMap::new();
    let mut failures = Vec::new();
    for life in told {
        match life {
            Ok(outcomes) => {
                for (story, outcome) in outcomes {
                    let tally = tallies.entry(story).or_default();
                    tally.points += 1;
                    tally.most_passes = tally.most_passes.max(outcome.passes);
                    tally.most_news = tally.most_news.max(outcome.news);
                }
            }
            Err(failure) => failures.push(failure),
        }
    }
    let mut points = 0;
    for (story, tally) in &tallies {
        points += tally.points;
        eprintln!(
            "{what}: {story:?} at {} writes; at most {} passes, {} news",
            tally.points, tally.most_passes, tally.most_news
        );
    }
    eprintln!("{what}: {points} points in {:?}", begun.elapsed());
    ensure!(failures.is_empty(), "{}", failures.join("\n\n"));
    // Two writes of one story are one when a pass comes late; most are as on a clear day.
    ensure!(
        points * 4 >= writes * 3,
        "{points} faults at {writes} writes: what did the others test?"
    );
    Ok(())
}

fn points_of(clean: &Outcome) -> u64 {
    clean
        .calls
        .iter()
        .filter(|call| call.write.is_some())
        .count() as u64
        + MARGIN
}

/// One life; what is returned are the stories in which the fault happened.
async fn live(
    stage: &'static Stage,
    chain: &[Story],
    looked_at: &[Story],
    number: u64,
    fault: fn(u64) -> Mischief,
) -> Result<Vec<(Story, Outcome)>> {
    let _place = stage.place().await;
    let mut life = Life::begin(stage, "crash", &Manner::default()).await?;
    let mut outcomes = Vec::new();
    for story in chain {
        let clean = &run::clean(stage, *story).await?.outcome;
        let mischief = if looked_at.contains(story) && number <= points_of(clean) {
            fault(number)
        } else {
            Mischief::Calm
        };
        let outcome = life.tell(*story, mischief.clone()).await?;
        if outcome.has_fired {
            let told = || format!("{story:?} with {mischief:?}");
            life.come_to_end(*story).await.with_context(told)?;
            check(&mischief, clean, &outcome).with_context(told)?;
            outcomes.push((*story, outcome));
        }
    }
    Ok(outcomes)
}

fn check(fault: &Mischief, clean: &Outcome, found: &Outcome) -> Result<()> {
    ensure!(
        secrets_made(&found.calls) <= secrets_made(&clean.calls),
        "a Secret was made twice"
    );
    let is_restarted = !matches!(fault, Mischief::LoseAnswer(_));
    ensure!(
        !is_restarted || found.passes <= MOST_PASSES + found.news,
        "{} passes after the restart, {} of them for news",
        found.passes,
        found.news
    );
    Ok(())
}
