//! Nothing changes: nothing is written, and nothing read beside watches and the lease (R9).

use std::time::Duration;

use anyhow::{Result, ensure};
use faults::{
    incarnation::Manner,
    mischief::Mischief,
    run::{Life, listing},
    stage,
    stories::Story,
};

/// How long nothing must happen.
const PEACE: Duration = Duration::from_secs(30);

#[test]
fn an_unchanged_instance_costs_nothing_even_after_a_restart() {
    stage::test(async |stage| {
        let mut life = Life::begin(stage, "quiet", &Manner::default()).await?;
        for story in &Story::FULL_LIFE[..6] {
            life.tell(*story, Mischief::Calm).await?;
        }
        life.operator.proxy.arm(Mischief::Calm);
        tokio::time::sleep(PEACE).await;
        check_silence(&life)?;
        for _ in 0..3 {
            life.restart().await?;
            while !life.operator.is_ready() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
            ensure!(
                life.operator.reconciliations() >= 1,
                "nobody looked at the instance"
            );
            check_silence(&life)?;
        }
        Ok(())
    });
}

fn check_silence(life: &Life) -> Result<()> {
    let calls = life.operator.proxy.calls();
    let spoken = calls
        .iter()
        .filter(|call| !call.is_watching && !call.is_lease)
        .count();
    ensure!(spoken == 0, "{spoken} calls:\n{}", listing(&life.operator));
    Ok(())
}
