//! The operator is killed before and after each of its writes, or an answer is lost (R1, R2).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use faults::{
    incarnation::Manner,
    mischief::{Deed, Mischief, Point, Which},
    run::{self, Life, Outcome, secrets_made},
    stage::{self, Stage},
    stories::Story,
};
use futures_util::{StreamExt as _, stream};

/// Passes that are enough after any start (R1), beside those that news from others lead to.
const MOST_PASSES: u64 = 5;
/// How often lives begin that wait for a write.
const TRIES: u32 = 3;
/// How many of them wait beside each other for one that did not come when it was waited for first.
const AGAIN: usize = 4;

#[test]
fn killed_before_any_write_it_ends_as_if_it_had_not_been() {
    stage::test(|stage| every_write(stage, Deed::KillBefore));
}

#[test]
fn killed_after_any_write_it_ends_as_if_it_had_not_been() {
    stage::test(|stage| every_write(stage, Deed::KillAfter));
}

#[test]
fn a_lost_answer_to_any_write_does_no_harm() {
    stage::test(|stage| every_write(stage, Deed::LoseAnswer));
}

/// What was found of one story.
#[derive(Default)]
struct Tally {
    hit: BTreeSet<Point>,
    most_passes: u64,
    most_news: u64,
}

/// Writes of each story that were not hit yet.
type Aims = BTreeMap<Story, Vec<Point>>;

/// Lives through all stories again and again: in each life every story has the blow at a write that did
/// not have it yet, until every object's had, but for those that are not written in every life.
async fn every_write(stage: &'static Stage, blow: Deed) -> Result<()> {
    let begun = Instant::now();
    let mut tallies: BTreeMap<Story, Tally> = BTreeMap::new();
    let mut left = Vec::new();
    // Ordering is in both chains, and looked at in the shorter one.
    for (chain, looked_at) in [
        (Story::FULL_LIFE.as_slice(), &Story::FULL_LIFE[1..]),
        (Story::RETURN.as_slice(), Story::RETURN.as_slice()),
    ] {
        let mut aims = Aims::new();
        for story in looked_at {
            aims.insert(*story, points_of(&run::clean(stage, *story).await?.outcome));
        }
        for _ in 0..TRIES {
            for (story, outcome, point) in lives(stage, chain, &aims, blow).await? {
                let tally = tallies.entry(story).or_default();
                tally.hit.insert(point);
                tally.most_passes = tally.most_passes.max(outcome.passes);
                tally.most_news = tally.most_news.max(outcome.news);
            }
            // The same object is written as often as passes come, and those that come close together are
            // one; but each is written once in every life.
            for (story, points) in &mut aims {
                let hit = tallies.get(story).map(|tally| &tally.hit);
                let is_hit = |point: &Point| hit.is_some_and(|hit| hit.contains(point));
                points.retain(|point| point.nth == 1 && !is_hit(point));
                points.sort();
                points.dedup();
                let once = std::mem::take(points);
                *points = std::iter::repeat_n(once, AGAIN).flatten().collect();
            }
        }
        for (story, mut points) in aims {
            points.truncate(points.len() / AGAIN);
            left.push((story, points));
        }
    }
    let mut points = 0;
    for (story, tally) in &tallies {
        points += tally.hit.len();
        eprintln!(
            "{blow:?}: {story:?} at {} writes; at most {} passes, {} news",
            tally.hit.len(),
            tally.most_passes,
            tally.most_news
        );
    }
    eprintln!("{blow:?}: {points} points in {:?}", begun.elapsed());
    // What came once, and in no life that waited for it: an event that was told twice, a key of the moment.
    left.retain(|(_, points): &(_, Vec<_>)| !points.is_empty());
    let missed: usize = left.iter().map(|(_, points)| points.len()).sum();
    eprintln!("{blow:?}: never came again: {left:?}");
    // One in fifty.
    ensure!(missed * 50 <= points, "never hit: {left:#?}");
    Ok(())
}

/// The writes of a story without a fault.
fn points_of(clean: &Outcome) -> Vec<Point> {
    let writes = clean.calls.iter().filter_map(|call| call.write.as_ref());
    writes.map(|write| write.point.clone()).collect()
}

/// As many lives as the story with the most writes needs; what is returned are the blows that fell.
async fn lives(
    stage: &'static Stage,
    chain: &[Story],
    aims: &Aims,
    blow: Deed,
) -> Result<Vec<(Story, Outcome, Point)>> {
    let most = aims.values().map(Vec::len).max().unwrap_or_default();
    let lives = (0..most).map(|number| {
        let aim =
            |(story, points): (&Story, &Vec<Point>)| Some((*story, points.get(number).cloned()?));
        live(stage, chain, aims.iter().filter_map(aim).collect(), blow)
    });
    let told: Vec<_> = stream::iter(lives).buffer_unordered(8).collect().await;
    let mut fallen = Vec::new();
    let mut failures = Vec::new();
    for life in told {
        match life {
            Ok(outcomes) => fallen.extend(outcomes),
            Err(failure) => failures.push(format!("{failure:#}")),
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n\n"));
    Ok(fallen)
}

/// One life; what is returned are the stories in which the blow fell.
async fn live(
    stage: &'static Stage,
    chain: &[Story],
    aims: BTreeMap<Story, Point>,
    blow: Deed,
) -> Result<Vec<(Story, Outcome, Point)>> {
    let _place = stage.place().await;
    let mut life = Life::begin(stage, "crash", &Manner::default()).await?;
    let mut fallen = Vec::new();
    for story in chain {
        let clean = &run::clean(stage, *story).await?.outcome;
        let aim = aims.get(story);
        let mischief = aim.map_or(Mischief::Calm, |point| {
            Mischief::Once(Which::Point(point.clone()), blow)
        });
        let outcome = life.tell(*story, mischief).await?;
        if let Some(point) = aim
            && outcome.has_fired
        {
            let told = || format!("{story:?}, {blow:?} at {point:?}");
            life.come_to_end(*story).await.with_context(told)?;
            check(blow, clean, &outcome).with_context(told)?;
            fallen.push((*story, outcome, point.clone()));
        }
    }
    Ok(fallen)
}

fn check(blow: Deed, clean: &Outcome, found: &Outcome) -> Result<()> {
    ensure!(
        secrets_made(&found.calls) <= secrets_made(&clean.calls),
        "a Secret was made twice"
    );
    ensure!(
        blow == Deed::LoseAnswer || found.passes <= MOST_PASSES + found.news,
        "{} passes after the restart, {} of them for news",
        found.passes,
        found.news
    );
    Ok(())
}
