//! Two operators at once (R8): without an election both work, and do everything once; with one,
//! the second takes over when the first dies.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use faults::{
    incarnation::{Incarnation, Manner},
    mischief::{Deed, Mischief},
    run::{self, Ground, Life, secrets_made},
    stage::{self, PATIENCE, Stage},
    stories::{Goal, Story},
};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;

#[test]
fn two_operators_at_once_do_everything_once() {
    let lives = if stage::is_long() { 20 } else { 4 };
    stage::test(async |stage| {
        for _ in 0..lives {
            let _place = stage.place().await;
            let mut life = Life::begin(stage, "rivals", &Manner::default())
                .await?
                .patiently(Duration::from_millis(500), Duration::from_secs(60));
            let rival =
                Incarnation::start(stage, &life.ground.namespace, &Manner::default()).await?;
            for story in Story::FULL_LIFE {
                rival.proxy.arm(Mischief::Calm);
                let outcome = life.tell(story, Mischief::Calm).await?;
                let clean = &run::clean(stage, story).await?.outcome;
                life.come_to_end(story)
                    .await
                    .with_context(|| format!("{story:?}"))?;
                let made = secrets_made(&outcome.calls) + secrets_made(&rival.proxy.calls());
                ensure!(
                    made == secrets_made(&clean.calls),
                    "{made} Secrets were made in {story:?}"
                );
            }
        }
        Ok(())
    });
}

#[test]
fn another_leads_soon_when_a_leader_dies() {
    stage::test(async |stage| {
        futures_util::try_join!(take_over(stage, 3), take_over(stage, 10),)?;
        Ok(())
    });
}

/// The leader is killed in the middle of an order, with its lease in its hand. How long the world is without
/// one depends on this machine, too, and is told; what it is made of is checked beside `operator::leader`.
async fn take_over(stage: &'static Stage, seconds: u16) -> Result<()> {
    let ground = Ground::new(stage, "lease");
    let (first, leases) = leader(&ground, seconds).await?;
    let second = contend(&ground, seconds, "second").await?;
    first.proxy.arm(Deed::KillAfter.at(5));
    Story::Provision.act(&ground.instances).await?;
    while !first.is_dead() {
        ensure!(!first.has_ended(), "it lost its lease before it was killed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let died = Instant::now();
    let left = holder(&leases).await?;
    ensure!(left.as_deref() == Some("first"), "{left:?} holds the lease");
    ensure!(second.proxy.writes() == 0, "both led");
    while second.proxy.writes() == 0 && died.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let taken = died.elapsed();
    eprintln!("a lease of {seconds} s was taken over after {taken:?}");
    ensure!(taken < PATIENCE, "nobody took over");
    ground
        .reach_and_rest(
            &second,
            Goal::Running,
            Duration::from_millis(200),
            Duration::from_secs(30),
        )
        .await?;
    Ok(())
}

/// A leader asks for its lease with a fifth of this for patience: a machine that has much else to do takes
/// no lease away from one that is to give it back.
const LONG_LEASE: u16 = 60;

#[test]
fn an_operator_that_is_told_to_end_finishes_what_it_has_begun_and_gives_its_lease_back() {
    stage::test(async |stage| {
        let ground = Ground::new(stage, "ending");
        let (operator, leases) = leader(&ground, LONG_LEASE).await?;
        operator.proxy.arm(Mischief::Calm);
        Story::Provision.act(&ground.instances).await?;
        while operator.proxy.writes() == 0 {
            ensure!(!operator.has_ended(), "it ended before it was told to");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        operator.stop();
        let told = Instant::now();
        while !operator.has_ended() {
            ensure!(told.elapsed() < PATIENCE, "it does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let calls = operator.proxy.calls();
        // Nobody waits for an event, the end of a process neither.
        let mut writes = calls
            .iter()
            .filter(|call| call.write.is_some() && !call.path.ends_with("/events"));
        let cut_off = writes.find(|call| call.status.is_none());
        ensure!(cut_off.is_none(), "{cut_off:?}");
        let holder = holder(&leases).await?.unwrap_or_default();
        ensure!(holder.is_empty(), "{holder} still holds the lease");
        Ok(())
    });
}

/// An operator that leads in an organization of its own, and the leases there.
async fn leader(ground: &Ground, seconds: u16) -> Result<(Incarnation, Api<Lease>)> {
    // The lease is in the organization's own namespace, which must be there before.
    let founder = Incarnation::start(ground.stage, &ground.namespace, &Manner::default()).await?;
    ground.found(&founder).await?;
    founder.kill();
    let first = contend(ground, seconds, "first").await?;
    let leases = ground.objects::<Lease>();
    while holder(&leases).await?.as_deref() != Some("first") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok((first, leases))
}

async fn contend(ground: &Ground, seconds: u16, name: &str) -> Result<Incarnation> {
    // Patiently: a call that the operator itself gives up would look like one that its end cut off.
    let manner = Manner {
        election: Some((seconds, name.to_owned())),
        ..Manner::default()
    };
    Incarnation::start(ground.stage, &ground.namespace, &manner).await
}

async fn holder(leases: &Api<Lease>) -> Result<Option<String>> {
    let lease = leases.get_opt(operator::leader::LEASE).await?;
    Ok(lease.and_then(|lease| lease.spec?.holder_identity))
}
