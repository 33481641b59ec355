//! Running programs, and ending exactly the processes that the lab started: each is recorded by
//! its pid and start time, so a pid that was given to another process is never touched.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// How many lines of a program's output an error repeats: enough for the cause, not a flood.
const SHOWN_LINES: usize = 12;

/// A process that outlives the command that started it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its pid on the host.
    pub pid: i32,
    /// Field 22 of `/proc/<pid>/stat`: clock ticks after boot. With the pid it names one process.
    pub start_ticks: u64,
    /// Seconds since the epoch, for people.
    pub started_at: u64,
}

impl Process {
    /// The record of a process that runs now.
    pub fn of(pid: i32) -> Result<Self> {
        let start_ticks = start_ticks(pid).with_context(|| format!("process {pid} has ended"))?;
        let started_at = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map(|since| since.as_secs())
            .unwrap_or_default();
        Ok(Self {
            pid,
            start_ticks,
            started_at,
        })
    }

    /// Whether this very process still runs (a zombie does not).
    pub fn is_alive(&self) -> bool {
        start_ticks(self.pid) == Some(self.start_ticks)
    }

    /// Sends a signal, if the process is still the recorded one.
    pub fn signal(&self, signal: Signal) {
        if self.is_alive()
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            // It may end between the look and the signal: then there is nothing to do.
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits until the process is gone; false when it still runs after `patience`.
    pub fn wait_gone(&self, patience: Duration) -> bool {
        wait_until(patience, || !self.is_alive())
    }
}

/// Asks `done` every 50 ms (quick for a person, cheap for the machine) until it says yes.
pub fn wait_until(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a process runs; a zombie does not.
pub fn is_running(pid: i32) -> bool {
    start_ticks(pid).is_some()
}

/// The start time of a process in clock ticks, or nothing when it is gone or a zombie.
fn start_ticks(pid: i32) -> Option<u64> {
    parse_start_ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_start_ticks(stat: &str) -> Option<u64> {
    // The name is in brackets and may hold spaces and brackets: count from the last one.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    // Field 22 of the line, so the 19th after the state (field 3).
    fields.nth(18)?.parse().ok()
}

/// The parent of every process that runs, as the host sees them: (pid, parent).
pub fn parents() -> Vec<(i32, i32)> {
    let Ok(folder) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    folder
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (_, rest) = stat.rsplit_once(')')?;
            let parent = rest.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect()
}

/// Kills every process that was started with this word in its command line.
pub fn kill_by_word(word: &str) {
    kill_where("cmdline", word);
}

/// Kills the processes of a container of the lab as the kernel does it: none of them is told, and
/// kubelet learns of it afterwards. Returns how many there were.
///
/// `id` is containerd's; the cgroup of a container is called like it.
pub fn kill_container(id: &str) -> usize {
    kill_where("cgroup", id)
}

/// Kills every process whose file of this name under `/proc` contains a word.
fn kill_where(file: &str, word: &str) -> usize {
    let mut killed = 0;
    for (pid, _) in parents() {
        let text = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        if String::from_utf8_lossy(&text).contains(word)
            && let Ok(process) = Process::of(pid)
        {
            process.signal(Signal::KILL);
            killed += 1;
        }
    }
    killed
}

/// Runs a program to its end and returns what it printed.
pub fn run(command: &mut Command) -> Result<String> {
    run_with_input(command, None)
}

/// Runs a program with something to read.
pub fn run_with_input(command: &mut Command, input: Option<&str>) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let writer = child
        .stdin
        .take()
        .zip(input.map(str::to_owned))
        .map(|(mut pipe, text)| {
            // A thread of its own: a program that prints before it has read all would block us.
            thread::spawn(move || {
                let _ = pipe.write_all(text.as_bytes());
            })
        });
    let output = child.wait_with_output()?;
    if let Some(writer) = writer {
        let _ = writer.join();
    }
    if !output.status.success() {
        let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
        bail!(
            "{name} {} failed ({}):\n{}",
            arguments.join(" "),
            output.status,
            last_lines(&String::from_utf8_lossy(&output.stderr), SHOWN_LINES)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a long program with all its output in a file, which an error names.
pub fn run_logged(command: &mut Command, log: &Path) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot start {name}"))?;
    if !status.success() {
        bail!("{name} failed ({status})\n{}", tail(log));
    }
    Ok(())
}

/// The end of a log file and where it is, for errors.
pub fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    format!(
        "{}\n(all of it: {})",
        last_lines(&text, SHOWN_LINES),
        log.display()
    )
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_read_past_a_name_with_brackets() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 4242 99 1";
        assert_eq!(parse_start_ticks(stat), Some(4242));
    }

    #[test]
    fn a_zombie_does_not_run() {
        assert_eq!(
            parse_start_ticks("7 (a) Z 1 7 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 4242 9"),
            None
        );
    }

    #[test]
    fn another_process_with_the_same_pid_is_not_ours() {
        let own = Process::of(std::process::id() as i32).unwrap();
        assert!(own.is_alive());
        let other = Process {
            start_ticks: own.start_ticks + 1,
            ..own
        };
        assert!(!other.is_alive());
    }

    #[test]
    fn only_the_last_lines_are_shown() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
    }
}
