//! Starts a node from the host: writes what its processes read, makes the namespaces, connects the
//! network, and says go.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::{
    cache::Cache,
    cgroup,
    components::{self, Setting},
    images::PAUSE_IMAGE,
    internet, network,
    node::NodePlan,
    process::{Process, parents, tail, wait_until},
    programs::link,
    state::{Record, State, current_boot, node_name, write_whole},
    templates::render,
};

/// Where the CNI programs are that do not come from Calico.
const PLUGIN_FOLDER: &str = "/usr/lib/cni";
/// Folders of the host that components write to whatever they are told; inside of a node
/// something of the node's own is mounted there.
const FIXED_PLACES: [(&str, &str); 5] = [
    ("etc-docker", "/etc/docker"),
    ("var-lib-calico", "/var/lib/calico"),
    ("var-lib-cni", "/var/lib/cni"),
    ("var-lib-kubelet", "/var/lib/kubelet"),
    ("var-log", "/var/log"),
];

/// The record's name for a node's first process.
pub fn supervisor_name(node: u8) -> String {
    format!("{} supervisor", node_name(node))
}

fn holder_name(node: u8) -> String {
    format!("{} namespaces", node_name(node))
}

/// The node's first process, if it runs.
pub fn supervisor(record: &Record, node: u8) -> Option<&Process> {
    record
        .processes
        .get(&supervisor_name(node))
        .filter(|process| record.boot == current_boot() && process.is_alive())
}

/// Starts a node unless it runs; says whether it did.
pub fn provide(state: &State, record: &mut Record, node: u8) -> Result<bool> {
    let index = record.index;
    if let Some(running) = supervisor(record, node) {
        network::route_pods(index, node, record.nodes, running.pid)?;
        return Ok(false);
    }
    let setting = Setting { state, index, node };
    write_configuration(&setting)?;
    for (_, place) in FIXED_PLACES {
        if !Path::new(place).exists() {
            fs::create_dir_all(place)?;
            record.made_folders.push(place.into());
            state.save(record)?;
        }
    }
    let plan = write_plan(&setting)?;
    cgroup::remove_leftovers(index, &setting.node_name())?;
    cgroup::make(index, &setting.node_name())?;
    cgroup::make(index, "docker")?;

    let log = setting.path("logs/node.log");
    let output = fs::File::options().create(true).append(true).open(&log)?;
    // setsid, so that closing the terminal is no business of the node's; it does not fork here.
    let mut holder = Command::new("setsid")
        .args([
            "unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--fork",
        ])
        .args([
            "--kill-child",
            "--mount-proc",
            "--propagation",
            "slave",
            "--",
        ])
        .arg(state.program("lab"))
        .arg("node")
        .arg(&plan)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .context("cannot start unshare")?;
    let holder_pid = holder.id() as i32;
    record
        .processes
        .insert(holder_name(node), Process::of(holder_pid)?);
    state.save(record)?;

    let mut first = None;
    // unshare forks at once; a second is for a machine under load.
    wait_until(Duration::from_secs(10), || {
        first = child_of(holder_pid);
        first.is_some() || holder.try_wait().is_ok_and(|ended| ended.is_some())
    });
    let Some(first) = first else {
        bail!(
            "the namespaces of {} cannot be made: {}",
            setting.node_name(),
            tail(&log)
        );
    };
    record
        .processes
        .insert(supervisor_name(node), Process::of(first)?);
    state.save(record)?;

    let connected = cgroup::move_components(index, &setting.node_name(), first)
        .and_then(|()| network::attach(index, node, record.nodes, first));
    if let Err(error) = connected {
        let _ = holder.kill();
        let _ = holder.wait();
        return Err(error);
    }
    let mut pipe = holder
        .stdin
        .take()
        .context("unshare has no standard input")?;
    pipe.write_all(b"go\n")?;
    Ok(true)
}

fn child_of(parent: i32) -> Option<i32> {
    parents()
        .into_iter()
        .find(|(_, its_parent)| *its_parent == parent)
        .map(|(pid, _)| pid)
}

/// Ends a node; gently lets its pods and databases end by themselves first.
pub fn stop(record: &Record, node: u8, gently: bool) -> bool {
    let Some(process) = supervisor(record, node) else {
        return false;
    };
    if gently {
        process.signal(Signal::TERM);
        // The supervisor gives its children 10 s and then ends by itself.
        if process.wait_gone(Duration::from_secs(15)) {
            return true;
        }
    }
    process.signal(Signal::KILL);
    // The kernel ends every process of the namespace before it lets go of the first.
    process.wait_gone(Duration::from_secs(20));
    if let Some(holder) = record.processes.get(&holder_name(node)) {
        holder.wait_gone(Duration::from_secs(5));
    }
    true
}

fn write_plan(setting: &Setting) -> Result<PathBuf> {
    let plan = NodePlan {
        name: setting.node_name(),
        folder: setting.path(""),
        mounts: FIXED_PLACES
            .iter()
            .map(|(source, place)| (setting.path(source), PathBuf::from(place)))
            .collect(),
        components: components::of_node(setting),
    };
    let place = setting.path("plan.json");
    write_whole(&place, serde_json::to_string_pretty(&plan)?.as_bytes())?;
    Ok(place)
}

/// The configuration files of a node's components.
fn write_configuration(setting: &Setting) -> Result<()> {
    let state = setting.state;
    let folder = state.node_path(setting.node, "");
    let folder = folder.display().to_string();
    let folder = folder.trim_end_matches('/');
    let pki = state.path("pki").display().to_string();
    let cgroup = format!("/{}/{}", cgroup::name(setting.index), setting.node_name());
    let write = |place: PathBuf, template: &str, values: &[(&str, &str)]| {
        write_whole(&place, render(template, values)?.as_bytes())
    };
    for folder in ["logs", "pod-logs", "volume-plugins", "kubelet"] {
        fs::create_dir_all(setting.path(folder))?;
    }
    let resolvers: String = network::resolvers()
        .iter()
        .map(|address| format!("nameserver {address}\n"))
        .collect();
    write_whole(&setting.path("resolv.conf"), resolvers.as_bytes())?;
    write(
        setting.path("kubelet.yaml"),
        include_str!("../manifests/kubelet.yaml"),
        &[
            ("PKI", &pki),
            ("NODE", &setting.node_name()),
            ("FOLDER", folder),
            ("CGROUP", &cgroup),
            ("DNS", &network::DNS_SERVICE_ADDRESS.to_string()),
            (
                "FAIL_CGROUP_V1",
                if cgroup::is_version_2() {
                    "true"
                } else {
                    "false"
                },
            ),
        ],
    )?;
    write(
        setting.path("containerd.toml"),
        include_str!("../manifests/containerd.toml"),
        &[
            ("FOLDER", folder),
            ("PAUSE", PAUSE_IMAGE),
            (
                "RESTRICT_SCORE",
                if may_lower_scores() { "false" } else { "true" },
            ),
        ],
    )?;
    write(
        setting.path("cni/net.d/10-calico.conflist"),
        include_str!("../manifests/calico-cni.json"),
        &[
            ("NODE", &setting.node_name()),
            ("MTU", &network::outgoing_mtu().to_string()),
            ("FOLDER", folder),
            ("POD_RANGE", &network::pod_range(setting.node)),
            ("PKI", &pki),
        ],
    )?;
    // containerd takes one folder of programs: links to Calico's and to Debian's.
    link(&state.program("calico"), &setting.path("cni/bin/calico"))?;
    for plugin in ["host-local", "portmap", "loopback", "bridge"] {
        link(
            &Path::new(PLUGIN_FOLDER).join(plugin),
            &setting.path(&format!("cni/bin/{plugin}")),
        )?;
    }
    if setting.node == 1 {
        internet::provide(state, setting.index)?;
        write_whole(
            &state.path("audit-policy.yaml"),
            include_bytes!("../manifests/audit-policy.yaml"),
        )?;
        write_whole(&state.path("docker.json"), b"{}\n")?;
        write(
            state.path("registry.yaml"),
            include_str!("../manifests/registry.yaml"),
            &[
                (
                    "FOLDER",
                    &Cache::from_environment().registry().display().to_string(),
                ),
                ("PORT", &network::REGISTRY_PORT.to_string()),
            ],
        )?;
    }
    Ok(())
}

/// CAP_SYS_RESOURCE, bit 24, is missing on some machines even for root.
pub fn may_lower_scores() -> bool {
    has_capability(24)
}

/// Whether this process has a capability, by its number.
pub fn has_capability(bit: u32) -> bool {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("CapEff:"))?;
            u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok()
        })
        .is_some_and(|set| set & (1 << bit) != 0)
}
