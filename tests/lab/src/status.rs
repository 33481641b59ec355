//! `lab status`: what runs where, since when, and what it costs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;

use crate::{
    Lab, forward, launch,
    node::ComponentReport,
    process::{parents, run},
    programs::kubectl,
    state::{Record, State, node_name},
    steps::seconds,
    tell,
};

/// Prints how the lab is.
pub fn print(state: &State) -> Result<()> {
    let record = state.record()?;
    if record.nodes == 0 {
        tell!("there is no lab at {}; run make up", state.root().display());
        return Ok(());
    }
    tell!("lab {} at {}", record.index, state.root().display());
    let mut all = 0;
    for node in 1..=record.nodes {
        all += print_node(state, &record, node);
    }
    match forward::running(&record) {
        Some(process) => tell!("ports: forwarded, up for {}", age(process.started_at)),
        None => tell!("ports: not forwarded; run make up"),
    }
    tell!("memory in all: {}", mebibytes(all));
    let Ok(lab) = Lab::at(state.clone()) else {
        tell!("not everything runs; run make up");
        return Ok(());
    };
    tell!("API server:    {}", lab.api_server);
    tell!(
        "platform:      {} and names below it (http: {})",
        plan::check::url("tutti.localhost", lab.https_port),
        lab.http_port
    );
    tell!(
        "registry:      {} (from pods, nodes and builds)",
        lab.registry
    );
    tell!("dockerd:       unix://{}", lab.docker_socket.display());
    tell!("authority:     {}", lab.trust.display());
    tell!("audit log:     {}", lab.audit_log.display());
    match run(kubectl(state).args([
        "get",
        "nodes",
        "--output",
        CONDITIONS,
        "--request-timeout=5s",
    ])) {
        Ok(table) => tell!("{}", table.trim_end()),
        Err(error) => tell!("the API server does not answer: {error:#}"),
    }
    Ok(())
}

const CONDITIONS: &str = "custom-columns=NODE:.metadata.name,\
    READY:.status.conditions[?(@.type=='Ready')].status,\
    MEMORY-PRESSURE:.status.conditions[?(@.type=='MemoryPressure')].status,\
    DISK-PRESSURE:.status.conditions[?(@.type=='DiskPressure')].status,\
    VERSION:.status.nodeInfo.kubeletVersion";

/// Prints a node and returns the memory of everything in it, pods included.
fn print_node(state: &State, record: &Record, node: u8) -> u64 {
    let name = node_name(node);
    let Some(supervisor) = launch::supervisor(record, node) else {
        tell!("{name}: not running; run make up");
        return 0;
    };
    tell!(
        "{name}: {}, process {}, up for {}",
        crate::network::node_address(record.index, node),
        supervisor.pid,
        age(supervisor.started_at)
    );
    let reports: BTreeMap<String, ComponentReport> =
        fs::read_to_string(state.node_path(node, "components.json"))
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
    let inside = descendants(supervisor.pid);
    // The supervisor knows the pids of its namespace; the kernel tells both.
    let by_inner: BTreeMap<i32, i32> = inside
        .iter()
        .filter_map(|pid| Some((inner_pid(*pid)?, *pid)))
        .collect();
    let mut all = 0;
    let mut others: BTreeSet<i32> = inside.iter().copied().collect();
    for (component, report) in &reports {
        let pid = report.pid.and_then(|inner| by_inner.get(&inner)).copied();
        let memory = pid.map(resident).unwrap_or_default();
        let place = match pid {
            Some(pid) => format!("{:>9}  process {pid}", mebibytes(memory)),
            None => "not running".to_owned(),
        };
        let again = match report.restarts {
            0 => String::new(),
            times => format!(", started again {times} times"),
        };
        tell!("  {component:<24} {place}{again}");
        all += memory;
        if let Some(pid) = pid {
            others.remove(&pid);
        }
    }
    let pods: u64 = others.iter().map(|pid| resident(*pid)).sum();
    tell!(
        "  {:<24} {:>9}  {} processes",
        "pods and their shims",
        mebibytes(pods),
        others.len()
    );
    all + pods
}

fn descendants(root: i32) -> Vec<i32> {
    let parents = parents();
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(
            parents
                .iter()
                .filter(|(_, its)| *its == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    found
}

/// The pid inside of the node: the second number of NSpid (a pod's own namespace adds a third).
fn inner_pid(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("NSpid:"))?;
    line.split_whitespace().nth(2)?.parse().ok()
}

/// Resident memory in bytes.
fn resident(pid: i32) -> u64 {
    fs::read_to_string(format!("/proc/{pid}/status"))
        .ok()
        .and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .unwrap_or_default()
        * 1024
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn age(started_at: u64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let age = now.saturating_sub(Duration::from_secs(started_at));
    match age.as_secs() {
        long if long >= 3600 => format!("{} h {:02} min", long / 3600, long % 3600 / 60),
        _ => seconds(age),
    }
}
