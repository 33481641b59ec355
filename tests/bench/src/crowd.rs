//! P1, many at once: 1,000 instances created as fast as the API server takes them, until all are
//! Ready. Against a script that applies the very same objects, so many at once, and waits until
//! they are ready. The world (`world.rs`) takes the place of controllers, scheduler and kubelet.

use std::{path::Path, time::Instant};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    children,
    figures::{keep, table},
    instances::{self, Key},
    process,
    stage::{Calls, Stage},
};

const ORGANIZATIONS: usize = 20;
/// Objects that the script writes at once: as many as the operator may have under way.
const AT_ONCE: usize = 64;

/// # Errors
/// When something does not work.
pub async fn run(stage: &Stage, folder: &Path, count: usize) -> Result<String> {
    let organizations: Vec<String> = (0..ORGANIZATIONS).map(|n| format!("crowd-{n}")).collect();
    let mut operator = stage.operator(Calls::Uncounted)?;
    operator.wait_ready().await?;
    stage.found(&organizations).await?;
    let client = stage.plane.client().await?;
    let mut readiness = instances::Readiness::watch(&client).await?;
    let before = readiness.count();
    let keys: Vec<Key> = organizations
        .iter()
        .cycle()
        .take(count)
        .enumerate()
        .map(|(n, organization)| (organization.clone(), format!("crowd-{n:05}")))
        .collect();

    let cpu = process::cpu_of_children();
    let begun = Instant::now();
    instances::make_all(&client, "wordpress", "6.8", &keys, 16).await?;
    let made = begun.elapsed().as_secs_f64();
    readiness.wait(before + count).await?;
    let ours = begun.elapsed().as_secs_f64();
    let ours_cpu = process::cpu_since(&cpu);
    let memory = process::memory(operator.process.id(), "VmHWM");
    operator.process.stop()?;
    eprintln!("P1 crowd: {ours:.1} s; {ours_cpu}");

    // The sample's jobs are gone by now: what an instance consists of in the end.
    let (namespace, name) = keys.first().context("no instance is wished")?;
    let all = children::read(&client, namespace).await?;
    let sample = children::of_instance(&all, name);
    let mut applied = Vec::new();
    let mut expected = children::Expected::new();
    for n in 0..ORGANIZATIONS {
        stage.make_namespace(&format!("floor-{n}")).await?;
    }
    for n in 0..count {
        let namespace = format!("floor-{}", n % ORGANIZATIONS);
        let children = children::renamed(&sample, name, &format!("floor-{n:05}"))?;
        expected.extend(children::expected(&namespace, &children));
        applied.extend(children.into_iter().map(|child| (namespace.clone(), child)));
    }
    let mut readiness = children::Readiness::watch(&client).await?;
    let cpu = process::cpu_of_children();
    let begun = Instant::now();
    // Both at once: what is ready early is told early.
    let (written, ready) = futures_util::join!(
        children::apply(&client, applied, AT_ONCE),
        readiness.wait(expected)
    );
    written.and(ready)?;
    let floor = begun.elapsed().as_secs_f64();
    let floor_cpu = process::cpu_since(&cpu);
    eprintln!("P1 crowd, floor: {floor:.1} s; {floor_cpu}");
    keep(
        folder,
        "p1-crowd",
        &json!({ "instances": count, "children": sample.len(), "ours": ours, "made": made,
            "floor": floor, "ours_cpu": ours_cpu, "floor_cpu": floor_cpu, "operator_mb": memory }),
    )?;
    let rows = vec![vec![
        format!(
            "{count} instances, {} lasting children each, s (≤ 60)",
            sample.len()
        ),
        format!("{ours:.1}"),
        format!("{floor:.1}"),
        format!("{:.2}", ours / floor),
    ]];
    let head = ["", "ours", "floor: a script, 64 at once", "ours ÷ floor"];
    Ok(format!(
        "{}\nAll AppInstances were written after {made:.1} s. The operator's largest memory: {memory:.0} MB. CPU used: with the operator {ours_cpu}; by the script {floor_cpu}.\n",
        table(&head, &rows)
    ))
}
