//! P2: a fresh operator process in a cluster where everything is as it should be: until it is ready
//! and has looked at every instance, its largest memory, its calls by verb; then the calls of 60 idle
//! seconds. The floor of calls is one list and one watch per kind; of reads and writes, none.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use serde_json::json;

use crate::{
    audit, children,
    figures::{Series, keep, table},
    instances::{self, Key},
    process,
    stage::{Calls, PATIENCE, Stage},
};

const ORGANIZATIONS: usize = 50;
/// Instances under way at once while the cluster is filled.
const UNDER_WAY: usize = 250;
const IDLE: Duration = Duration::from_secs(60);

/// How much, how often.
pub struct Size {
    pub instances: Vec<usize>,
    pub starts: u32,
    /// Filling ends after this, with as many as there are.
    pub patience: Duration,
}

/// # Errors
/// When something does not work.
pub async fn run(stage: &mut Stage, folder: &Path, size: &Size) -> Result<String> {
    let mut rows = Vec::new();
    let mut notes = String::new();
    for &wished in &size.instances {
        let begun = Instant::now();
        let (count, each) = fill(stage, wished, size.patience).await?;
        let filling = begun.elapsed().as_secs_f64();
        eprintln!(
            "P2: {count} of {wished} instances with {each} children each after {filling:.0} s"
        );
        if count < wished {
            notes.push_str(&format!(
                "{wished} were wished; filling was ended after {:.0} s with {count}.\n",
                filling
            ));
        }
        let mut starts = Starts::default();
        for round in 1..=size.starts {
            start(stage, count, round == size.starts, &mut starts).await?;
        }
        eprintln!("P2: {}", serde_json::to_string(&starts)?);
        keep(
            folder,
            "p2",
            &json!({ "instances": count, "children": each, "filling_s": filling, "starts": starts }),
        )?;
        rows.push(vec![
            format!("{count} × {each} children"),
            starts.ready.show(2),
            starts.settled.show(2),
            starts.peak.show(0),
            starts.resident.show(0),
            starts.cpu.show(2),
            starts.calls.last().cloned().unwrap_or_default(),
            starts.idle.clone(),
        ]);
    }
    let head = [
        "instances",
        "ready, s",
        "all looked at, s (≤ 10)",
        "peak memory, MB (≤ 150)",
        "after, MB",
        "CPU, s",
        "calls until then",
        "calls in 60 idle s",
    ];
    Ok(format!("{}\n{notes}", table(&head, &rows)))
}

/// Makes instances until there are so many; how many there are, and how many children the first has.
async fn fill(stage: &Stage, wished: usize, patience: Duration) -> Result<(usize, usize)> {
    let end = Instant::now() + patience;
    let client = stage.plane.client().await?;
    let mut operator = stage.operator(Calls::Uncounted)?;
    operator.wait_ready().await?;
    let organizations: Vec<String> = (0..ORGANIZATIONS).map(|n| format!("p2-{n}")).collect();
    stage.found(&organizations).await?;
    let mut readiness = instances::Readiness::watch(&client).await?;
    let mut made = readiness.count();
    while made < wished && Instant::now() < end {
        let wave: Vec<Key> = (made..wished.min(made + UNDER_WAY))
            .map(|n| (format!("p2-{}", n % ORGANIZATIONS), format!("page-{n:05}")))
            .collect();
        instances::make_all(&client, "page", "1.0", &wave, 16).await?;
        made += wave.len();
        // The next wave begins when half of this one is done.
        readiness.wait(made - wave.len() / 2).await?;
    }
    readiness.wait(made).await?;
    let all = children::read(&client, "p2-0").await?;
    let each = children::of_instance(&all, "page-00000").len();
    tokio::time::sleep(Duration::from_secs(3)).await;
    operator.process.stop()?;
    Ok((made, each))
}

#[derive(Default, serde::Serialize)]
struct Starts {
    ready: Series,
    settled: Series,
    peak: Series,
    resident: Series,
    cpu: Series,
    calls: Vec<String>,
    idle: String,
}

async fn start(stage: &mut Stage, count: usize, is_last: bool, starts: &mut Starts) -> Result<()> {
    stage.audit.news()?;
    let count = u64::try_from(count)?;
    let begun = Instant::now();
    let mut operator = stage.operator(Calls::Counted)?;
    let pid = operator.process.id();
    operator.wait_ready().await?;
    starts.ready.push(begun.elapsed().as_secs_f64());
    // Until nothing more is looked at for two seconds; the moment of the last look counts.
    let (mut last, mut settled, mut cpu) = (0, Instant::now(), 0.0);
    while last < count || settled.elapsed() < Duration::from_secs(2) {
        let now = operator.reconciliations().await?;
        if now != last {
            (last, settled, cpu) = (now, Instant::now(), process::cpu_seconds(pid));
        }
        if begun.elapsed() > PATIENCE {
            bail!("the operator looked {last} times at {count} instances");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    starts
        .settled
        .push(settled.duration_since(begun).as_secs_f64());
    starts.cpu.push(cpu);
    starts.calls.push(audit::by_verb(&stage.audit.news()?));
    if is_last {
        tokio::time::sleep(IDLE).await;
        starts.idle = audit::by_verb(&stage.audit.news()?);
    }
    starts.peak.push(process::memory(pid, "VmHWM"));
    starts.resident.push(process::memory(pid, "VmRSS"));
    operator.process.stop()
}
