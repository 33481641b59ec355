//! The first process of a node, `lab node`: pid 1 in the node's namespaces. It prepares mounts and
//! settings, starts the node's components, starts again what dies, and reaps what others leave
//! behind. When it ends the kernel ends everything in the node; nothing of a node survives it.

mod prepare;

use std::{
    collections::HashMap,
    fs,
    io::Read,
    net::TcpStream,
    os::unix::fs::FileTypeExt,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use serde::{Deserialize, Serialize};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::interval,
};

use crate::{
    components::{Component, Need},
    state::write_whole,
};

/// How often waiting components are looked at: unseen by people, free for the machine.
const TICK: Duration = Duration::from_millis(100);
/// The first pause before a component is started again, doubled up to the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A component that ran this long was well: its next pause is the first one again.
const WELL_AFTER: Duration = Duration::from_secs(30);
/// What databases in pods get to write their last page when a node stops.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// A log that is longer than this is put aside when its component starts.
const LONGEST_LOG: u64 = 20 * 1024 * 1024;

/// All that the first process of a node has to know; written by `lab up`.
#[derive(Debug, Serialize, Deserialize)]
pub struct NodePlan {
    /// The node's name, also its host name.
    pub name: String,
    /// The node's folder.
    pub folder: PathBuf,
    /// Folders of the node that are mounted on usual places: (source, place).
    pub mounts: Vec<(PathBuf, PathBuf)>,
    /// The processes.
    pub components: Vec<Component>,
}

/// What `status` reads about a component.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ComponentReport {
    /// The pid inside of the node, while it runs.
    pub pid: Option<i32>,
    /// How often it was started again.
    pub restarts: u32,
}

enum Stage {
    Waiting { not_before: Instant },
    Running { pid: i32, since: Instant },
}

struct Supervised {
    component: Component,
    stage: Stage,
    pause: Duration,
    restarts: u32,
}

/// Runs a node until it is told to stop.
pub fn supervise(plan: &Path) -> Result<()> {
    if std::process::id() != 1 {
        bail!("`lab node` is started by `lab up`, as the first process of a namespace");
    }
    wait_for_go()?;
    let text = fs::read_to_string(plan).with_context(|| format!("no {}", plan.display()))?;
    let plan: NodePlan = serde_json::from_str(&text)?;
    prepare::prepare(&plan)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run_components(plan))
}

/// The network is made from outside once this process exists; a word on standard input says that
/// it is there. If `lab up` dies before, the pipe closes without the word and the node ends too.
fn wait_for_go() -> Result<()> {
    let mut word = String::new();
    std::io::stdin().read_to_string(&mut word)?;
    if word.trim() != "go" {
        bail!("`lab up` ended before the node was connected");
    }
    Ok(())
}

async fn run_components(plan: NodePlan) -> Result<()> {
    let mut ended_child = signal(SignalKind::child())?;
    let mut told_to_stop = signal(SignalKind::terminate())?;
    let mut tick = interval(TICK);
    let now = Instant::now();
    let mut all: Vec<Supervised> = plan
        .components
        .iter()
        .cloned()
        .map(|component| Supervised {
            component,
            stage: Stage::Waiting { not_before: now },
            pause: FIRST_PAUSE,
            restarts: 0,
        })
        .collect();
    loop {
        let changed = tokio::select! {
            _ = tick.tick() => start_due(&mut all, &plan.folder),
            _ = ended_child.recv() => reap(&mut all),
            _ = told_to_stop.recv() => {
                stop(&mut all).await;
                return Ok(());
            }
        };
        if changed {
            report(&all, &plan.folder);
        }
    }
}

fn start_due(all: &mut [Supervised], folder: &Path) -> bool {
    let now = Instant::now();
    let mut changed = false;
    for one in all {
        let Stage::Waiting { not_before } = one.stage else {
            continue;
        };
        if now < not_before || !one.component.needs.iter().all(is_met) {
            continue;
        }
        match start(&one.component, folder) {
            Ok(pid) => {
                println!("started {} as process {pid}", one.component.name);
                one.stage = Stage::Running { pid, since: now };
            }
            Err(error) => {
                println!("cannot start {}: {error:#}", one.component.name);
                one.wait_again(now);
            }
        }
        changed = true;
    }
    changed
}

impl Supervised {
    fn wait_again(&mut self, now: Instant) {
        if let Stage::Running { since, .. } = self.stage
            && now - since > WELL_AFTER
        {
            self.pause = FIRST_PAUSE;
        }
        self.stage = Stage::Waiting {
            not_before: now + self.pause,
        };
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.restarts += 1;
    }
}

fn is_met(need: &Need) -> bool {
    match need {
        Need::Path(path) => match fs::metadata(path) {
            // A socket that no one listens on is a leftover.
            Ok(found) if found.file_type().is_socket() => UnixStream::connect(path).is_ok(),
            found => found.is_ok(),
        },
        // The other end is on this machine: it answers at once or not at all.
        Need::Port(address) => TcpStream::connect_timeout(address, TICK).is_ok(),
    }
}

fn start(component: &Component, folder: &Path) -> Result<i32> {
    let log = folder.join("logs").join(format!("{}.log", component.name));
    if fs::metadata(&log).is_ok_and(|found| found.len() > LONGEST_LOG) {
        fs::rename(&log, log.with_extension("log.old"))?;
    }
    fs::create_dir_all(folder.join("logs"))?;
    let file = fs::File::options().create(true).append(true).open(&log)?;
    let child = Command::new(&component.program)
        .args(&component.arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/")
        .envs(&component.environment)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()?;
    // Not waited for here: `reap` waits for every child, also those that components leave behind.
    Ok(child.id() as i32)
}

/// Collects all that ended, ours and orphans; says whether one of the components was among them.
fn reap(all: &mut [Supervised]) -> bool {
    let mut changed = false;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        let pid = pid.as_raw_nonzero().get();
        for one in all.iter_mut() {
            if matches!(one.stage, Stage::Running { pid: running, .. } if running == pid) {
                one.wait_again(Instant::now());
                println!(
                    "{} ended (exit {:?}, signal {:?}); next start in {:?} at the earliest",
                    one.component.name,
                    status.exit_status(),
                    status.terminating_signal(),
                    one.pause
                );
                changed = true;
            }
        }
    }
    changed
}

fn report(all: &[Supervised], folder: &Path) {
    let reports: HashMap<&str, ComponentReport> = all
        .iter()
        .map(|one| {
            let pid = match one.stage {
                Stage::Running { pid, .. } => Some(pid),
                Stage::Waiting { .. } => None,
            };
            (
                one.component.name.as_str(),
                ComponentReport {
                    pid,
                    restarts: one.restarts,
                },
            )
        })
        .collect();
    if let Ok(text) = serde_json::to_string_pretty(&reports) {
        // Only `status` misses it when the disk is full; the node goes on.
        let _ = write_whole(&folder.join("components.json"), text.as_bytes());
    }
}

/// The kubelet first, so that it starts nothing again; then all others are asked to end, the
/// processes of pods among them. What does not listen ends with this process.
async fn stop(all: &mut [Supervised]) {
    let end = Instant::now() + STOP_PATIENCE;
    for one in all.iter().filter(|one| one.component.name == "kubelet") {
        if let Stage::Running { pid, .. } = one.stage {
            terminate(pid);
            while Instant::now() < end && is_there(pid) {
                while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
                tokio::time::sleep(TICK).await;
            }
        }
    }
    for pid in everyone_else() {
        terminate(pid);
    }
    while Instant::now() < end && !everyone_else().into_iter().all(is_shim) {
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        tokio::time::sleep(TICK).await;
    }
}

fn terminate(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, Signal::TERM);
    }
}

fn is_there(pid: i32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

/// A shim stays until containerd takes it down; it has nothing of its own to save.
fn is_shim(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .is_ok_and(|name| name.starts_with("containerd-shim"))
}

fn everyone_else() -> Vec<i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| *pid != 1)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervised() -> Supervised {
        Supervised {
            component: Component {
                name: "x".to_owned(),
                program: "/bin/true".into(),
                arguments: Vec::new(),
                environment: Default::default(),
                needs: Vec::new(),
            },
            stage: Stage::Waiting {
                not_before: Instant::now(),
            },
            pause: FIRST_PAUSE,
            restarts: 0,
        }
    }

    #[test]
    fn pauses_grow_to_a_limit_while_a_component_keeps_dying() {
        let mut one = supervised();
        let now = Instant::now();
        for _ in 0..10 {
            one.stage = Stage::Running { pid: 7, since: now };
            one.wait_again(now);
        }
        assert_eq!(one.pause, LONGEST_PAUSE);
        assert_eq!(one.restarts, 10);
    }

    #[test]
    fn a_component_that_was_well_is_started_again_at_once() {
        let mut one = supervised();
        one.pause = LONGEST_PAUSE;
        let since = Instant::now();
        one.stage = Stage::Running { pid: 7, since };
        one.wait_again(since + WELL_AFTER * 2);
        assert_eq!(one.pause, FIRST_PAUSE * 2);
    }

    #[test]
    fn a_missing_file_is_not_met_and_a_present_one_is() {
        assert!(!is_met(&Need::Path("/no/such/file".into())));
        assert!(is_met(&Need::Path("/proc/self".into())));
    }
}
