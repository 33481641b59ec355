//! `lab up`: from whatever there is to a lab that runs. Every step looks first and does only what
//! is missing, so a second call changes nothing, and a call after a failure or a reboot resumes.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};

use crate::{
    Lab,
    cache::Cache,
    cluster, docker,
    doctor::{self, Finding, Gravity},
    forward, images, internet, launch, network,
    packages::{self, News},
    pki, programs,
    state::{Record, State, node_name, write_whole},
    steps::{Step, Steps},
    tell,
};

/// Brings the lab up; `nodes` is at least how many the cluster shall have.
pub fn up(state: &State, cache: &Cache, nodes: Option<u8>) -> Result<Lab> {
    let steps = Steps::new();
    steps.step("look at this machine", |step| {
        refuse_problems(&doctor::examine(state), step)
    })?;
    let _lock = state.lock()?;
    let mut record = begin(state, cache, nodes)?;
    let record = &mut record;

    steps.step("Debian packages", |step| {
        let missing = packages::missing();
        if missing.is_empty() {
            return Ok(());
        }
        let log = state.path("logs/packages.log");
        packages::install(&missing, &log, |news| match news {
            News::Count(packages) => step.count(packages),
            News::Doing(what) => step.detail(what),
            News::Installed(package, time) => step.ended(package, time),
        })?;
        // Some could not be tried before their programs were there.
        refuse_problems(&doctor::kernel(), step)
    })?;
    steps.step("programs", |step| {
        programs::provide(cache, state, step)?;
        provide_own_program(state)
    })?;
    let base = steps.step("base image", |_| {
        images::provide_base(cache, state, images::RELEASE)
    })?;
    steps.step("certificates", |_| {
        pki::provide(state, record.index)?;
        (1..=record.nodes).try_for_each(|node| pki::provide_node(state, record.index, node))
    })?;
    steps.step("network", |_| {
        let outcome = network::provide(record);
        // Saved either way: `down` has to undo also the half of it.
        state.save(record)?;
        outcome
    })?;
    start_nodes(&steps, state, record)?;
    steps.step("objects of the network", |_| {
        cluster::provide_network_objects(state)
    })?;
    load_images(&steps, state, cache, record, &base)?;
    steps.step("nodes are ready", |_| {
        cluster::wait_for_nodes(state, record)
    })?;
    steps.step("DNS, storage and metrics", |step| {
        cluster::provide_volume_folder(state)?;
        cluster::provide_services(state)?;
        cluster::wait_for_services(state, step)
    })?;
    steps.step("ports of this machine", |step| {
        let is_new = forward::provide(state, record)?;
        if is_new && (record.http_port, record.https_port) != (Some(80), Some(443)) {
            step.say(&format!(
                "80 or 443 is taken here: the platform answers on {} and {} instead",
                record.http_port.unwrap_or_default(),
                record.https_port.unwrap_or_default(),
            ));
        }
        Ok(())
    })?;
    steps.step("certificate authorities", |_| {
        internet::provide_roots(state, record.index)
    })?;
    tell!(
        "the lab is up ({}); eval \"$(make -s env)\" points your shell at it",
        steps.elapsed()
    );
    Lab::at(state.clone())
}

/// Names what a person should know, and ends when something makes a lab impossible.
fn refuse_problems(findings: &[Finding], step: &Step) -> Result<()> {
    let mut problems = Vec::new();
    for finding in findings {
        match finding.gravity {
            Gravity::Fine => {}
            Gravity::Note if finding.mend.is_empty() => step.say(&finding.fact),
            Gravity::Note => step.say(&format!("{}: {}", finding.fact, finding.mend)),
            Gravity::Problem => problems.push(format!("{}: {}", finding.fact, finding.mend)),
        }
    }
    if !problems.is_empty() {
        bail!(
            "this machine cannot hold a lab:\n{}\n{}",
            problems.join("\n"),
            doctor::WAY_OUT
        );
    }
    Ok(())
}

/// The record of the lab that is there, or of a new one.
fn begin(state: &State, cache: &Cache, nodes: Option<u8>) -> Result<Record> {
    let mut record = state.record()?;
    let wanted = nodes.unwrap_or(1).max(1);
    if record.nodes == 0 {
        cache.limit_registry()?;
        record.index = network::free_index()?;
        record.nodes = wanted;
    } else if wanted > record.nodes {
        record.nodes = wanted;
    } else if nodes.is_some_and(|nodes| nodes < record.nodes) {
        bail!(
            "the lab has {} nodes, and none is taken away; `lab down` first for a smaller one",
            record.nodes
        );
    }
    state.save(&record)?;
    Ok(record)
}

/// The processes of nodes run a copy, so that building this program anew never disturbs them.
fn provide_own_program(state: &State) -> Result<()> {
    let own: PathBuf = std::env::current_exe().context("cannot find this program")?;
    let copy = state.program("lab");
    let content = fs::read(&own)?;
    if fs::read(&copy).is_ok_and(|old| old == content) {
        return Ok(());
    }
    write_whole(&copy, &content)?;
    fs::set_permissions(&copy, fs::metadata(&own)?.permissions())?;
    Ok(())
}

fn start_nodes(steps: &Steps, state: &State, record: &mut Record) -> Result<()> {
    steps.step("start of the control plane", |_| {
        if launch::provide(state, record, 1)? {
            state.save(record)?;
        }
        cluster::wait_for_api_server(state)
    })?;
    for node in 2..=record.nodes {
        steps.step(&format!("start of {}", node_name(node)), |_| {
            launch::provide(state, record, node).map(|_| ())
        })?;
    }
    Ok(())
}

fn load_images(
    steps: &Steps,
    state: &State,
    cache: &Cache,
    record: &Record,
    base: &std::path::Path,
) -> Result<()> {
    steps.step("images", |step| {
        for node in 1..=record.nodes {
            let supervisor = launch::supervisor(record, node)
                .with_context(|| format!("{} has ended", node_name(node)))?;
            images::provide_in_node(cache, state, node, supervisor.pid, base, step)?;
        }
        step.count(1);
        step.item("base image for builds", || {
            docker::provide_base(state, images::RELEASE, base)
        })
    })
}
