//! Programs of the lab that do nothing for a while.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};

/// A program of the lab that does nothing until this is dropped.
pub struct Frozen(String);

impl Frozen {
    /// The one that was called by this name, and with this word; others on this machine have other
    /// files.
    pub fn new(program: &str, word: &str) -> Result<Self> {
        let processes = fs::read_dir("/proc")?.flatten();
        let mut ids = processes.filter_map(|entry| entry.file_name().into_string().ok());
        let process = ids.find(|id| {
            let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0);
            words
                .next()
                .is_some_and(|it| it.ends_with(program.as_bytes()))
                && words.any(|it| it == word.as_bytes())
        });
        let frozen = Self(process.with_context(|| format!("no {program} runs with {word}"))?);
        ensure!(frozen.signal("STOP")?, "it cannot be frozen");
        Ok(frozen)
    }

    fn signal(&self, signal: &str) -> Result<bool> {
        let kill = format!("kill -{signal} {}", self.0);
        Ok(Command::new("sh").args(["-c", &kill]).status()?.success())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // If it is gone, there is nothing to thaw.
        let _ = self.signal("CONT");
    }
}
