//! P1, one instance: AppInstance created → all children written → Ready seen on a watch, where
//! scheduler and kubelet take no time. Against a script that applies the very same objects
//! concurrently and waits until they are ready (the floor), and against `helm install` of them
//! without `--wait`, until all exist. Rounds of the three in turn; a fresh operator in each.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    children,
    figures::{Series, keep, table},
    instances,
    stage::{Calls, Stage},
};

const INSTANCE: &str = "sample";

#[derive(Default, serde::Serialize)]
struct Rounds {
    ours: Series,
    ours_written: Series,
    ours_calls: Series,
    floor: Series,
    floor_written: Series,
    helm: Series,
}

/// # Errors
/// When something does not work.
pub async fn run(stage: &mut Stage, folder: &Path, rounds: u32) -> Result<String> {
    let mut figures = Rounds::default();
    let mut count = 0;
    // The first one fills caches, and does not count.
    for round in 0..=rounds {
        let mut kept = Rounds::default();
        let children = ours(stage, round, &mut kept).await?;
        floor(stage, round, &children, &mut kept).await?;
        stage.make_namespace(&format!("p1-helm-{round}")).await?;
        helm(stage, round, &children, folder, &mut kept)?;
        count = children.len();
        eprintln!("P1 round {round}: {}", serde_json::to_string(&kept)?);
        if round > 0 {
            keep(folder, "p1", &json!(kept))?;
            figures.ours.0.extend(kept.ours.0);
            figures.ours_written.0.extend(kept.ours_written.0);
            figures.ours_calls.0.extend(kept.ours_calls.0);
            figures.floor.0.extend(kept.floor.0);
            figures.floor_written.0.extend(kept.floor_written.0);
            figures.helm.0.extend(kept.helm.0);
        }
    }
    let Rounds {
        ours,
        ours_written,
        ours_calls,
        floor,
        floor_written,
        helm,
    } = &figures;
    let rows = vec![
        vec![
            format!("created → Ready, ms ({count} children)"),
            ours.show(0),
            floor.show(0),
            ours.over(floor).show(2),
            format!("{} (all exist)", helm.show(0)),
            helm.over(ours).show(1),
        ],
        vec![
            "created → last child written, ms".to_owned(),
            ours_written.show(0),
            floor_written.show(0),
            ours_written.over(floor_written).show(2),
            helm.show(0),
            helm.over(ours_written).show(1),
        ],
    ];
    let head = [
        "",
        "ours",
        "floor: a script, concurrently",
        "ours ÷ floor (≤ 1.3)",
        "helm install",
        "helm ÷ ours (≥ 3)",
    ];
    Ok(format!(
        "{}\nCalls of the operator from creation to Ready: {}.\n",
        table(&head, &rows),
        ours_calls.show(0)
    ))
}

async fn ours(stage: &mut Stage, round: u32, kept: &mut Rounds) -> Result<Vec<children::Child>> {
    let namespace = format!("p1-{round}");
    let mut operator = stage.operator(Calls::Counted)?;
    operator.wait_ready().await?;
    stage.found(std::slice::from_ref(&namespace)).await?;
    let client = stage.plane.client().await?;
    let mut readiness = instances::Readiness::watch(&client).await?;
    let before = readiness.count();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    stage.audit.news()?;

    let key = (namespace.clone(), INSTANCE.to_owned());
    let (begun, born) = (Instant::now(), Timestamp::now());
    instances::make(&client, "wordpress", "6.8", &key).await?;
    readiness.wait(before + 1).await?;
    kept.ours.push(milliseconds(begun));

    let children = children::read(&client, &namespace).await?;
    let calls = stage.audit.news()?;
    let is_child =
        |resource: &str| !["appinstances", "events", "organizations", "leases"].contains(&resource);
    let written = calls
        .iter()
        .filter(|call| ["patch", "create", "update"].contains(&call.verb.as_str()))
        .filter(|call| {
            call.object_ref.subresource.is_empty() && is_child(&call.object_ref.resource)
        })
        .map(|call| call.stage_timestamp)
        .max()
        .context("no child was written")?;
    kept.ours_written
        .push(written.duration_since(born).as_secs_f64() * 1e3);
    kept.ours_calls.push(calls.len() as f64);
    if std::env::var_os("TUTTI_BENCH_TIMELINE").is_some() {
        for call in &calls {
            let at = |time: Timestamp| time.duration_since(born).as_secs_f64() * 1e3;
            eprintln!(
                "{:7.1} – {:7.1} ms {} {}/{}",
                at(call.request_received_timestamp),
                at(call.stage_timestamp),
                call.verb,
                call.object_ref.resource,
                call.object_ref.subresource
            );
        }
    }
    operator.process.stop()?;
    Ok(children)
}

async fn floor(
    stage: &Stage,
    round: u32,
    children: &[children::Child],
    kept: &mut Rounds,
) -> Result<()> {
    let namespace = format!("p1-floor-{round}");
    stage.make_namespace(&namespace).await?;
    let client = stage.plane.client().await?;
    let mut readiness = children::Readiness::watch(&client).await?;
    let all = children
        .iter()
        .map(|child| (namespace.clone(), child.clone()))
        .collect();
    let begun = Instant::now();
    children::apply(&client, all, children.len()).await?;
    kept.floor_written.push(milliseconds(begun));
    readiness
        .wait(children::expected(&namespace, children))
        .await?;
    kept.floor.push(milliseconds(begun));
    Ok(())
}

fn helm(
    stage: &Stage,
    round: u32,
    children: &[children::Child],
    folder: &Path,
    kept: &mut Rounds,
) -> Result<()> {
    let chart = folder.join("chart");
    children::chart(&chart, children)?;
    let home = folder.join("helm");
    fs::create_dir_all(&home)?;
    let begun = Instant::now();
    let output = Command::new(stage.plane.kubectl.with_file_name("helm"))
        .args(["install", INSTANCE])
        .arg(&chart)
        .args(["--namespace", &format!("p1-helm-{round}")])
        .env("KUBECONFIG", &stage.plane.kubeconfig)
        .env("HELM_CACHE_HOME", &home)
        .env("HELM_CONFIG_HOME", &home)
        .env("HELM_DATA_HOME", &home)
        .env("KUBECACHEDIR", home.join("kube"))
        .env("HOME", &home)
        .stdin(Stdio::null())
        .output()
        .context("cannot start helm")?;
    kept.helm.push(milliseconds(begun));
    if !output.status.success() {
        bail!("helm: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}
