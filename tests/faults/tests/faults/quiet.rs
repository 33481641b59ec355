//! Nothing changes: nothing is written, and nothing read beside watches and the lease (R9).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crds::{AppDefinition, condition};
use faults::{
    incarnation::Manner,
    mischief::Mischief,
    run::{Life, listing},
    stage::{self, Stage},
    stories::{self, Goal, Story},
};
use kube::{Api, ResourceExt};

/// How long nothing must happen.
const PEACE: Duration = Duration::from_secs(30);
/// The same after a start: everything that it does follows within milliseconds.
const PEACE_AFTER_START: Duration = Duration::from_secs(2);

#[test]
fn an_unchanged_instance_costs_nothing() {
    stage::test(async |stage| {
        let mut life = Life::begin(stage, "quiet", &Manner::default()).await?;
        for story in &Story::FULL_LIFE[..6] {
            life.tell(*story, Mischief::Calm).await?;
        }
        wait_for_the_first_look(&life).await?;
        life.operator.proxy.arm(Mischief::Calm);
        tokio::time::sleep(PEACE).await;
        check_silence(&life)?;
        for _ in 0..3 {
            restart_in_silence(&mut life).await?;
        }
        Ok(())
    });
}

#[test]
fn a_restart_costs_nothing_for_any_app_of_the_catalogue() {
    stage::test(async |stage| {
        let definitions: Api<AppDefinition> = Api::all(stage.client.clone());
        for definition in definitions.list(&Default::default()).await? {
            one_app(stage, &definition)
                .await
                .with_context(|| definition.name_any())?;
        }
        Ok(())
    });
}

async fn one_app(stage: &'static Stage, definition: &AppDefinition) -> Result<()> {
    let mut life = Life::begin(stage, "catalogue", &Manner::default()).await?;
    let newest = definition.spec.versions.first().context("no version")?;
    let api = &life.ground.instances;
    stories::order(api, &definition.name_any(), &newest.version).await?;
    life.reach(Goal::Running).await?;
    restart_in_silence(&mut life).await
}

/// The DNS does not answer here: the first look ends when its patience does, and is news.
async fn wait_for_the_first_look(life: &Life) -> Result<()> {
    let instances = &life.ground.instances;
    for _ in 0..300 {
        let all = instances.list(&Default::default()).await?;
        let told = all.iter().filter_map(|instance| {
            let conditions = &instance.status.as_ref()?.conditions;
            condition::find(conditions, condition::DOMAINS_READY)
        });
        if told
            .into_iter()
            .any(|domains| domains.message.contains("authoritative"))
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("nobody looked at the domain")
}

async fn restart_in_silence(life: &mut Life) -> Result<()> {
    life.restart().await?;
    while !life.operator.is_ready() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(PEACE_AFTER_START).await;
    ensure!(
        life.operator.reconciliations() >= 1,
        "nobody looked at the instance"
    );
    check_silence(life)
}

fn check_silence(life: &Life) -> Result<()> {
    let calls = life.operator.proxy.calls();
    let spoken = calls
        .iter()
        .filter(|call| !call.is_watching && !call.is_lease)
        // A domain that waits for its record is looked up now and then, and says when.
        .filter(|call| !call.path.contains("/domains/"))
        .count();
    ensure!(spoken == 0, "{spoken} calls:\n{}", listing(&life.operator));
    Ok(())
}
