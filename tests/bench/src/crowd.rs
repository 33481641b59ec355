//! P1, many at once: 1,000 instances created as fast as the API server takes them, until all are
//! Ready. Against a script that applies the very same objects, so many at once, and waits until
//! they are ready.
//!
//! Measured on two grounds. Without nodes the world (`world.rs`) takes the place of controllers,
//! scheduler and kubelet, so that what remains is ours. With kwok's fake nodes all of these are
//! real but for the kubelet. Each candidate has a control plane of its own, with nothing else in it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::json;
use tokio::time::timeout;

use crate::{
    children::{self, Child},
    figures::{keep, table},
    instances::{self, Key},
    process,
    stage::{Calls, Ground, Operator, PATIENCE, Stage},
};

const ORGANIZATIONS: usize = 20;
/// Objects that the script writes at once: as many as the operator may have under way.
const AT_ONCE: usize = 64;
const NODES: u32 = 20;
const SAMPLE: &str = "crowd-sample";
/// What has come to nothing by then is stuck.
const LONGEST: Duration = Duration::from_secs(30 * 60);
/// Seconds between two of the app's periodic jobs, which begin in all instances at once.
const SCHEDULE: i64 = 5 * 60;

/// How many, and how exactly.
#[derive(Clone, Copy)]
pub struct Size {
    pub instances: usize,
    /// Begins just after the periodic jobs, so that both candidates have equally many beside them.
    pub on_schedule: bool,
}

struct Ours {
    seconds: f64,
    /// Until all `AppInstance`s were written.
    written: f64,
    cpu: String,
    memory: f64,
}

struct Floor {
    seconds: f64,
    cpu: String,
}

/// # Errors
/// When something does not work.
pub async fn run(folder: &Path, size: Size) -> Result<String> {
    let place = folder.join("stage");
    let count = size.instances;
    let sample = take_sample(&place).await?;
    let mut rows = Vec::new();
    let mut notes = String::new();
    for ground in [Ground::NoNodes, Ground::FakeNodes(NODES)] {
        let name = match ground {
            Ground::NoNodes => "no nodes: workloads are said to be ready at once".to_owned(),
            Ground::FakeNodes(nodes) => {
                format!("{nodes} fake nodes of kwok, with scheduler and controllers")
            }
        };
        let ours = measure_ours(&place, ground, size).await?;
        eprintln!("P1 crowd, {name}: ours {:.1} s; {}", ours.seconds, ours.cpu);
        let floor = measure_floor(&place, ground, size, &sample).await?;
        eprintln!(
            "P1 crowd, {name}: floor {:.1} s; {}",
            floor.seconds, floor.cpu
        );
        keep(
            folder,
            "p1-crowd",
            &json!({ "ground": name, "instances": count, "objects": sample.len(),
                "ours": ours.seconds, "made": ours.written, "floor": floor.seconds,
                "ours_cpu": ours.cpu, "floor_cpu": floor.cpu, "operator_mb": ours.memory }),
        )?;
        notes.push_str(&format!(
            "\n- {name}. All AppInstances were written after {:.1} s. The operator's largest memory: {:.0} MB. CPU used: with the operator {}; by the script {}.",
            ours.written, ours.memory, ours.cpu, floor.cpu
        ));
        rows.push(vec![
            name,
            format!("{:.1}", ours.seconds),
            format!("{:.1}", floor.seconds),
            format!("{:.2}", ours.seconds / floor.seconds),
        ]);
    }
    let head = [
        &format!("{count} instances, {} objects each", sample.len()),
        "ours, s (≤ 60)",
        "floor: a script, 64 at once, s",
        "ours ÷ floor",
    ];
    Ok(format!("{}{notes}\n", table(&head, &rows)))
}

/// What an instance consists of in the end, and the job that installs it.
async fn take_sample(place: &Path) -> Result<Vec<Child>> {
    let stage = Stage::start(place, Ground::NoNodes).await?;
    let organization = "crowd".to_owned();
    let operator = prepare(&stage, Ground::NoNodes, std::slice::from_ref(&organization)).await?;
    let client = stage.plane.client().await?;
    let mut readiness = instances::Readiness::watch(&client).await?;
    let key = (organization, SAMPLE.to_owned());
    let (namespace, name) = &key;
    let ready = async {
        instances::make(&client, "wordpress", "6.8", &key).await?;
        readiness.wait(1).await
    };
    let (job, ready) = timeout(PATIENCE, async {
        futures_util::join!(children::next_job(&client, namespace, name), ready)
    })
    .await
    .context("the sample is not ready")?;
    ready?;
    let mut sample = children::of_instance(&children::read(&client, namespace).await?, name);
    sample.retain(|child| !child.is_job());
    sample.push(job?);
    operator.process.stop()?;
    Ok(sample)
}

/// Founds organizations; the operator that has done it runs.
async fn prepare(stage: &Stage, ground: Ground, organizations: &[String]) -> Result<Operator> {
    let mut operator = stage.operator(Calls::Uncounted)?;
    operator.wait_ready().await?;
    stage.found(organizations).await?;
    if ground != Ground::NoNodes {
        stage.wait_quotas().await?;
    }
    Ok(operator)
}

async fn measure_ours(place: &Path, ground: Ground, size: Size) -> Result<Ours> {
    let stage = Stage::start(place, ground).await?;
    let operator = prepare(&stage, ground, &organizations()).await?;
    let keys = keys(size.instances);
    wait_schedule(ground, size).await;
    let client = stage.plane.client().await?;
    let mut readiness = instances::Readiness::watch(&client).await?;

    let cpu = process::cpu_of_children();
    let begun = Instant::now();
    instances::make_all(&client, "wordpress", "6.8", &keys, 16).await?;
    let written = begun.elapsed().as_secs_f64();
    timeout(LONGEST, readiness.wait(keys.len()))
        .await
        .with_context(|| format!("only {} instances are ready", readiness.count()))??;
    let ours = Ours {
        seconds: begun.elapsed().as_secs_f64(),
        written,
        cpu: process::cpu_since(&cpu),
        memory: process::memory(operator.process.id(), "VmHWM"),
    };
    operator.process.stop()?;
    Ok(ours)
}

async fn measure_floor(
    place: &Path,
    ground: Ground,
    size: Size,
    sample: &[Child],
) -> Result<Floor> {
    let stage = Stage::start(place, ground).await?;
    // The same namespaces, with all that an organization's have.
    let operator = prepare(&stage, ground, &organizations()).await?;
    operator.process.stop()?;
    let mut applied = Vec::new();
    let mut expected = children::Expected::new();
    for (namespace, name) in keys(size.instances) {
        let children = children::renamed(sample, SAMPLE, &name)?;
        expected.extend(children::expected(&namespace, &children));
        applied.extend(children.into_iter().map(|child| (namespace.clone(), child)));
    }
    wait_schedule(ground, size).await;
    let client = stage.plane.client().await?;
    let mut readiness = children::Readiness::watch(&client).await?;

    let cpu = process::cpu_of_children();
    let begun = Instant::now();
    // Both at once: what is ready early is told early.
    let (written, ready) = timeout(LONGEST, async {
        futures_util::join!(
            children::apply(&client, applied, AT_ONCE),
            readiness.wait(expected)
        )
    })
    .await
    .context("not all objects are ready")?;
    written.and(ready)?;
    Ok(Floor {
        seconds: begun.elapsed().as_secs_f64(),
        cpu: process::cpu_since(&cpu),
    })
}

fn organizations() -> Vec<String> {
    (0..ORGANIZATIONS).map(|n| format!("crowd-{n}")).collect()
}

/// The instances, the organizations in turn.
fn keys(count: usize) -> Vec<Key> {
    organizations()
        .into_iter()
        .cycle()
        .take(count)
        .enumerate()
        .map(|(n, organization)| (organization, format!("crowd-{n:05}")))
        .collect()
}

async fn wait_schedule(ground: Ground, size: Size) {
    // Without nodes there is nobody who begins periodic jobs.
    if ground == Ground::NoNodes || !size.on_schedule {
        return;
    }
    let past = Timestamp::now().as_second().rem_euclid(SCHEDULE);
    let left = u64::try_from(SCHEDULE - past).unwrap_or_default();
    tokio::time::sleep(Duration::from_secs(left + 1)).await;
}
