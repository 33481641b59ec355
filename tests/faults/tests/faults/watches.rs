//! Watches that are late, repeat themselves or break, and operators that come and go (R3, R4).

use std::time::Duration;

use anyhow::{Context as _, Result};
use faults::{
    incarnation::Manner,
    mischief::Mischief,
    run::{Life, Progress},
    stage::{self, Stage},
    stories::Story,
    watches::Fog,
};
use futures_util::{StreamExt as _, future::try_join_all, stream};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

#[test]
fn watches_that_are_late_doubled_cut_or_out_of_date_change_nothing() {
    let late = Fog::Late(Duration::from_secs(1), Duration::from_secs(3));
    // Most of each is waiting: all go on at once.
    let fogs = [
        (late, Duration::from_millis(3600)),
        (Fog::Twice, Duration::from_millis(200)),
        (Fog::Cut(Duration::from_millis(200)), Duration::from_secs(2)),
        (Fog::GoneOnce, Duration::from_secs(1)),
    ];
    stage::test(async |stage| {
        try_join_all(fogs.map(|(fog, rest)| in_fog(stage, fog, rest))).await?;
        Ok(())
    });
}

async fn in_fog(stage: &'static Stage, fog: Fog, rest: Duration) -> Result<()> {
    let manner = Manner {
        fog,
        seed: rand::random(),
        ..Manner::default()
    };
    for chain in [Story::FULL_LIFE.as_slice(), &Story::RETURN] {
        let mut life = Life::begin(stage, "fog", &manner)
            .await?
            .patiently(rest, Duration::from_secs(120));
        for story in chain {
            life.tell(*story, Mischief::Calm).await?;
            life.come_to_end(*story)
                .await
                .with_context(|| format!("{story:?}, {manner:?}"))?;
        }
    }
    Ok(())
}

#[test]
fn an_operator_that_is_restarted_all_the_time_comes_to_the_same_end() {
    let lives = if stage::is_long() { 40 } else { 6 };
    stage::test(async |stage| {
        let lives = (0..lives).map(|_| async {
            let seed: u64 = rand::random();
            restless(stage, seed)
                .await
                .with_context(|| format!("seed {seed}"))
        });
        let lives: Vec<_> = stream::iter(lives).buffer_unordered(6).collect().await;
        lives.into_iter().collect()
    });
}

async fn restless(stage: &'static Stage, seed: u64) -> Result<()> {
    let _place = stage.place().await;
    let mut chance = StdRng::seed_from_u64(seed);
    let mut life = Life::begin(stage, "restless", &Manner::default()).await?;
    for story in Story::FULL_LIFE {
        story.prepare(&life.ground.instances).await?;
        story.act(&life.ground.instances).await?;
        for _ in 0..chance.random_range(1..4) {
            tokio::time::sleep(Duration::from_millis(chance.random_range(0..300))).await;
            life.restart().await?;
        }
        let progress = life.reach(story.goal()).await?;
        assert_eq!(progress, Progress::Reached);
        life.come_to_end(story)
            .await
            .with_context(|| format!("{story:?}"))?;
    }
    Ok(())
}
