//! Hostnames whose instance or owner changes: what is said of them at once, and what is served no more.

use std::time::{Duration, Instant};

use anyhow::ensure;
use crds::{condition, domain::DomainStatus};
use faults::{
    domains::Owner,
    stage::{self, PATIENCE},
    stories::{self, Goal, INSTANCE},
};
use jiff::{SignedDuration, Timestamp};

/// A condition's status and reason.
fn said<'a>(status: &'a DomainStatus, type_: &str) -> (&'a str, &'a str) {
    let found = condition::find(&status.conditions, type_);
    found.map_or(("", ""), |it| (it.status.as_str(), it.reason.as_str()))
}

#[test]
fn a_domain_is_told_at_once_that_its_instance_is_gone_and_that_it_is_there_again() {
    stage::test(async |stage| {
        let owner = Owner::found(stage, Default::default()).await?;
        owner.ask_for("alone").await?;
        owner.becomes_ready("alone", false).await?;
        // It is looked at once more while all is well: the next look by itself is in an hour.
        owner.look_again("alone", 1).await?;
        let begun = Instant::now();
        loop {
            let next = owner.status("alone").await?.next_look_at;
            let in_half_an_hour = Timestamp::now() + SignedDuration::from_mins(30);
            if next.is_some_and(|next| next.0 > in_half_an_hour) {
                break;
            }
            ensure!(begun.elapsed() < PATIENCE, "it is not looked at");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let ground = &owner.life.ground;
        ground
            .instances
            .delete(INSTANCE, &Default::default())
            .await?;
        owner.proof_says("alone", "NoInstance").await?;
        let status = owner.status("alone").await?;
        for type_ in [condition::READY, condition::ROUTED] {
            let said = said(&status, type_);
            ensure!(said == ("False", "NoInstance"), "{type_}: {said:?}");
        }
        ensure!(status.target.is_none(), "{:?}", status.target);
        stories::order(&ground.instances, "demo", "1.0").await?;
        owner.life.reach(Goal::Running).await?;
        owner.becomes_ready("alone", false).await
    });
}
