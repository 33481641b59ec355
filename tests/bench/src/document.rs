//! Writes what was measured into `docs/benchmarks.md`, between `<!-- begin:x -->` and
//! `<!-- end:x -->`. What stands around it is written by hand.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

/// Replaces one measured part.
///
/// # Errors
/// When the document cannot be written, or has no such part.
pub fn replace(document: &Path, part: &str, text: &str) -> Result<()> {
    let before = fs::read_to_string(document)?;
    let (begin, end) = (
        format!("<!-- begin:{part} -->\n"),
        format!("<!-- end:{part} -->"),
    );
    let missing = || format!("{} has no part {part:?}", document.display());
    let (head, rest) = before.split_once(&begin).with_context(missing)?;
    let (_, tail) = rest.split_once(&end).with_context(missing)?;
    fs::write(document, format!("{head}{begin}{text}{end}{tail}"))?;
    Ok(())
}

/// Where, when and how quietly a benchmark ran.
#[must_use]
pub fn circumstances(command: &str) -> String {
    let first = |path: &str, key: &str| -> String {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key));
        let value = line.unwrap_or_default().split(':').nth(1);
        value.unwrap_or_default().trim().to_owned()
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "Measured {} by `{command}` on {cores} cores ({}), {} of memory, Linux {}. The lab's {}.\n",
        jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC"),
        first("/proc/cpuinfo", "model name"),
        first("/proc/meminfo", "MemTotal"),
        kernel.trim(),
        lab::versions(),
    )
}

/// The share of both cores that others use while we do nothing for two seconds, and the load.
#[must_use]
pub fn quiet() -> String {
    let read = || -> (u64, u64) {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = line
            .split_whitespace()
            .skip(1)
            .filter_map(|field| field.parse().ok())
            .collect();
        let idle: u64 = ticks.iter().skip(3).take(2).sum();
        (ticks.iter().take(8).sum(), idle)
    };
    let before = read();
    std::thread::sleep(std::time::Duration::from_secs(2));
    let after = read();
    let all = after.0.saturating_sub(before.0).max(1);
    let busy = all.saturating_sub(after.1.saturating_sub(before.1));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "Just before, others used {} % of the cores; load average {}.\n",
        busy * 100 / all,
        load.split_whitespace()
            .take(3)
            .collect::<Vec<_>>()
            .join(" "),
    )
}

/// The first line that a program says about its version.
#[must_use]
pub fn version(program: &str, flag: &str) -> String {
    let Ok(output) = Command::new(program).arg(flag).output() else {
        return format!("{program}: missing");
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines().next().unwrap_or_default().trim().to_owned()
}
