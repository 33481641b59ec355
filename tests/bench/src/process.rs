//! Processes that are measured: they end with us, and the kernel tells what they used.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// Ticks of `/proc/<pid>/stat` per second, on every Linux of the last decades.
const TICKS: f64 = 100.0;

/// A process that is killed when dropped.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts it on some cores (`0`, `0,1`); it writes to a log.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(cores: &str, command: &[&str], vars: &[(&str, &str)], log: &Path) -> Result<Self> {
        let log = fs::File::create(log)?;
        // Each of the three becomes the next: the id stays.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "taskset", "--cpu-list", cores])
            .args(command)
            .envs(vars.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { child })
    }

    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// # Errors
    /// When it has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("the process ended: {status}"),
            None => Ok(()),
        }
    }

    /// Asks it to end, and waits.
    ///
    /// # Errors
    /// When it does not end within 20 seconds.
    pub fn stop(mut self) -> Result<()> {
        Command::new("kill").arg(self.id().to_string()).status()?;
        let end = Instant::now() + Duration::from_secs(20);
        while self.child.try_wait()?.is_none() {
            if Instant::now() > end {
                bail!("the process does not end");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // nginx's workers end with their master only when it is asked.
        for child in children(self.id()) {
            let _ = Command::new("kill").arg(child.to_string()).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| {
            text.split_whitespace()
                .filter_map(|id| id.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

/// Seconds of CPU that a process and its children have used.
#[must_use]
pub fn cpu_seconds(pid: u32) -> f64 {
    let own = fs::read_to_string(format!("/proc/{pid}/stat")).map_or(0.0, |text| {
        // The name may hold spaces; what follows it does not.
        let rest = text.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |at: usize| {
            fields
                .get(at)
                .and_then(|field| field.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        (ticks(11) + ticks(12)) / TICKS
    });
    own + children(pid).into_iter().map(cpu_seconds).sum::<f64>()
}

/// Our children by name, and the seconds of CPU each has used.
#[must_use]
pub fn cpu_of_children() -> Vec<(String, f64)> {
    children(std::process::id())
        .into_iter()
        .map(|pid| (name(pid), cpu_seconds(pid)))
        .chain([("bench".to_owned(), own_cpu())])
        .collect()
}

/// The program's name; `/proc/<pid>/comm` has its first 15 letters only.
fn name(pid: u32) -> String {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let program = command.split(|byte| *byte == 0).next().unwrap_or_default();
    let program = String::from_utf8_lossy(program);
    program.rsplit('/').next().unwrap_or_default().to_owned()
}

fn own_cpu() -> f64 {
    let pid = std::process::id();
    let all = cpu_seconds(pid);
    all - children(pid).into_iter().map(cpu_seconds).sum::<f64>()
}

/// What each used since, busiest first: `kube-apiserver 30.1 s, …`.
#[must_use]
pub fn cpu_since(before: &[(String, f64)]) -> String {
    let mut used: Vec<(String, f64)> = cpu_of_children()
        .into_iter()
        .map(|(name, now)| {
            let then = before.iter().find(|(known, _)| *known == name);
            let since = now - then.map_or(0.0, |(_, then)| *then);
            (name, since)
        })
        .filter(|(_, seconds)| *seconds >= 0.1)
        .collect();
    used.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let shown: Vec<String> = used
        .iter()
        .map(|(name, seconds)| format!("{name} {seconds:.1} s"))
        .collect();
    shown.join(", ")
}

/// A line of `/proc/<pid>/status`, in megabytes: `VmHWM` is the largest resident memory.
#[must_use]
pub fn memory(pid: u32, what: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    text.lines()
        .find(|line| line.starts_with(what))
        .and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok())
        .map_or(f64::NAN, |kilobytes| kilobytes * 1024.0 / 1e6)
}
