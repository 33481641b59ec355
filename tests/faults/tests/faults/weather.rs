//! The API server is out of sorts: conflicts, overload, errors, silence (R5), and an outage (R10).

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use faults::{
    incarnation::Manner,
    mischief::{Deed, Mischief, Weather},
    proxy::Call,
    run::{self, Life},
    stage::{self, Stage},
    stories::Story,
};
use futures_util::{StreamExt as _, stream};
use http::{Method, StatusCode};

const KINDS: [Weather; 7] = [
    Weather::Status(409),
    Weather::TooMany,
    Weather::Status(500),
    Weather::Status(503),
    Weather::Status(504),
    Weather::Silence,
    Weather::AppliedInSilence,
];
/// Waits between passes double up to a minute: a run without luck meets that a few times.
const PATIENCE: Duration = Duration::from_secs(400);
/// Calls that are enough, compared with a clear day.
const MOST_CALLS: f64 = 3.0;

#[test]
fn errors_now_and_then_or_in_one_of_ten_calls_delay_and_nothing_more() {
    stage::test(async |stage| {
        futures_util::try_join!(
            all_kinds(stage, 0.01, &Story::FULL_LIFE),
            all_kinds(stage, 0.1, &Story::FULL_LIFE),
        )?;
        Ok(())
    });
}

#[test]
#[ignore = "long: waits double with every failure; make test-long"]
fn errors_in_every_second_call_delay_and_nothing_more() {
    stage::test(async |stage| all_kinds(stage, 0.5, &[Story::Provision, Story::Destroy]).await);
}

async fn all_kinds(stage: &'static Stage, probability: f64, stories: &[Story]) -> Result<()> {
    let lives = KINDS.map(|kind| live(stage, kind, probability, stories));
    let lives: Vec<_> = stream::iter(lives)
        .buffer_unordered(KINDS.len())
        .collect()
        .await;
    lives.into_iter().collect()
}

async fn live(
    stage: &'static Stage,
    kind: Weather,
    probability: f64,
    stories: &[Story],
) -> Result<()> {
    let begun = Instant::now();
    let mut life = Life::begin(stage, "weather", &Manner::impatient())
        .await?
        .patiently(Duration::from_millis(150), PATIENCE);
    let (mut calls, mut clear) = (0, 0);
    for story in stories {
        let seed = rand::random();
        let weather = Mischief::Weather {
            probability,
            kind,
            seed,
        };
        let outcome = life.tell(*story, weather).await?;
        let clean = &run::clean(stage, *story).await?.outcome;
        if stories.len() == Story::FULL_LIFE.len() || *story == Story::Provision {
            life.come_to_end(*story).await?;
        }
        check_patience(&outcome.calls)?;
        calls += outcome.calls.len();
        clear += clean.calls.len();
    }
    let ratio = calls as f64 / clear as f64;
    eprintln!(
        "{kind:?} at {probability}: {calls} calls, {ratio:.2} times a clear day's, {:?}",
        begun.elapsed()
    );
    ensure!(
        ratio <= MOST_CALLS,
        "{kind:?} at {probability}: {ratio:.2} times the calls"
    );
    Ok(())
}

/// Whoever was told to wait has waited.
fn check_patience(calls: &[Call]) -> Result<()> {
    for (index, call) in calls.iter().enumerate() {
        let Deed::Answer(StatusCode::TOO_MANY_REQUESTS, Some(seconds)) = call.deed else {
            continue;
        };
        // Several objects are created at the same path.
        if call.method == Method::POST {
            continue;
        }
        let again = calls[index + 1..]
            .iter()
            .find(|other| other.path == call.path && other.method == call.method);
        if let Some(again) = again {
            let waited = again.at.duration_since(call.at);
            ensure!(
                waited >= Duration::from_secs(seconds) - Duration::from_millis(50),
                "{} was asked again after {waited:?}",
                call.path
            );
        }
    }
    Ok(())
}

#[test]
fn an_outage_during_a_deletion_only_delays_it() {
    stage::test(async |stage| {
        let mut life = Life::begin(stage, "outage", &Manner::impatient()).await?;
        for story in Story::FULL_LIFE {
            let mischief = match story {
                Story::Destroy | Story::Scale => Mischief::Outage(Duration::from_secs(3)),
                _ => Mischief::Calm,
            };
            life.tell(story, mischief).await?;
            life.come_to_end(story).await?;
        }
        Ok(())
    });
}
