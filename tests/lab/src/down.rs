//! `lab down` and `lab stop`: end exactly what `up` started and remove exactly what it made.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};

use crate::{
    cgroup, forward, launch, leftovers, network,
    process::wait_until,
    state::{Record, State, current_boot, node_name},
    steps::Steps,
    tell,
};

/// What is being ended is gone after some tens of milliseconds; the rest is for a machine under
/// load.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends the lab but keeps its data: a later `up` resumes.
pub fn stop(state: &State) -> Result<()> {
    let _lock = state.lock()?;
    let mut record = state.record()?;
    let removed = end(state, &mut record, true)?;
    forget(state, &mut record)?;
    tell(&removed, "the lab was not running");
    tell!(
        "kept: {} (a later `lab up` resumes)",
        state.root().display()
    );
    Ok(())
}

/// Ends the lab and removes its data; the cache stays.
pub fn down(state: &State) -> Result<()> {
    if !state.path("lab.json").exists() {
        tell!("there is no lab at {}", state.root().display());
        return Ok(());
    }
    let lock = state.lock()?;
    let mut record = state.record()?;
    let steps = Steps::new();
    let mut removed = steps.step("end the nodes", |_| end(state, &mut record, false))?;
    let before = record.clone();
    forget(state, &mut record)?;
    steps.step("remove the data", |_| {
        // The record goes last: a `down` that fails half-way can be called again.
        for entry in fs::read_dir(state.root())?.flatten() {
            if entry.file_name() != "lab.json" && entry.file_name() != "lock" {
                remove(&entry.path())?;
            }
        }
        remove(&state.path("lab.json"))?;
        drop(lock);
        remove(state.root())
    })?;
    removed.push(format!("folder {}", state.root().display()));
    steps.step("look whether anything is left", |_| {
        refuse_leftovers(state, &before)
    })?;
    tell(&removed, "nothing was there");
    Ok(())
}

fn end(state: &State, record: &mut Record, gently: bool) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    if forward::stop(record) {
        removed.push("forwarder of the ports".to_owned());
    }
    // Workers first: their pods can still tell the API server that they go.
    for node in (1..=record.nodes).rev() {
        if launch::stop(record, node, gently) {
            removed.push(format!(
                "{} with its processes, mounts and rules",
                node_name(node)
            ));
        }
    }
    removed.extend(network::remove(record)?);
    // After another boot it is empty, or another lab's.
    let folders = if record.boot == current_boot() {
        cgroup::remove(record.index)?
    } else {
        0
    };
    if folders > 0 {
        removed.push(format!("{folders} cgroup folders"));
    }
    if !network::another_lab_runs(record.index) {
        for folder in &record.made_folders {
            // Only if it is empty: then no one else has put anything there.
            if fs::remove_dir(folder).is_ok() {
                removed.push(format!("folder {}", folder.display()));
            }
        }
    }
    let socket = state.docker_socket();
    if socket.exists() {
        fs::remove_file(socket)?;
    }
    // Before the data is removed: through a mount of ours that is left, it would be somebody else's.
    refuse_leftovers(state, record)?;
    Ok(removed)
}

/// Fails and names what the lab has left on the machine.
fn refuse_leftovers(state: &State, record: &Record) -> Result<()> {
    let mut left = Vec::new();
    wait_until(PATIENCE, || {
        left = leftovers::find(state, record);
        left.is_empty()
    });
    ensure!(
        left.is_empty(),
        "the lab has ended, but this is left of it; end or remove it, and run this again:\n  {}",
        left.join("\n  ")
    );
    Ok(())
}

/// Records that nothing of the lab is on the machine any more, except for its data.
fn forget(state: &State, record: &mut Record) -> Result<()> {
    record.processes.clear();
    record.made_folders.clear();
    record.saved_settings.clear();
    record.opened_forward_chain = false;
    record.boot.clear();
    state.save(record)
}

fn remove(path: &Path) -> Result<()> {
    let found = fs::symlink_metadata(path)?;
    let outcome = if found.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    outcome.with_context(|| format!("cannot remove {}", path.display()))
}

fn tell(removed: &[String], nothing: &str) {
    if removed.is_empty() {
        tell!("{nothing}");
    }
    for line in removed {
        tell!("removed: {line}");
    }
}
