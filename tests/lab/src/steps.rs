//! Shows a person what `lab up` does: one line per step, with the time it took. On a terminal the
//! running step turns; elsewhere each step is a plain line when it ends.

use std::{
    io::{IsTerminal, stdout},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};

/// The steps of one command.
pub struct Steps {
    on_terminal: bool,
    begun: Instant,
}

/// The step that runs now: what it does at the moment can be shown beside its name.
pub struct Step {
    bar: Option<ProgressBar>,
    name: String,
}

impl Step {
    /// Shows a detail of the running step; on a terminal only.
    pub fn detail(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}: {text}", self.name));
        }
    }

    /// Says something that must not be overlooked.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("  ! {text}")),
            None => println!("  ! {text}"),
        }
    }
}

impl Default for Steps {
    fn default() -> Self {
        Self::new()
    }
}

impl Steps {
    /// Starts counting.
    pub fn new() -> Self {
        Self {
            on_terminal: stdout().is_terminal(),
            begun: Instant::now(),
        }
    }

    /// Runs one step and shows how it went. An error says in which step it came up.
    pub fn step<T>(&self, name: &str, work: impl FnOnce(&Step) -> Result<T>) -> Result<T> {
        let begun = Instant::now();
        let step = Step {
            bar: self.on_terminal.then(|| spinner(name)),
            name: name.to_owned(),
        };
        let outcome = work(&step);
        if let Some(bar) = &step.bar {
            bar.finish_and_clear();
        }
        let sign = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("{sign:>6}  {name} ({})", seconds(begun.elapsed()));
        outcome.with_context(|| format!("in the step \"{name}\""))
    }

    /// The time since the command began.
    pub fn elapsed(&self) -> String {
        seconds(self.begun.elapsed())
    }
}

fn spinner(name: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(name.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{spinner:>6}  {msg} ({elapsed})") {
        bar.set_style(style);
    }
    // Ten turns a second look alive without costing anything.
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// A duration as people say it.
pub fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_times_are_told_in_minutes() {
        assert_eq!(seconds(Duration::from_millis(1234)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(247)), "4 min 07 s");
    }
}
