//! Shows a person what a command does: one line per step, with the time it took. On a terminal the
//! running step has a bar, or a spinner where nothing can be counted. Elsewhere (a log, a CI, ssh
//! without a terminal) each item of a step is a line when it ends, and a step that has said nothing
//! for a while says what it is at.

use std::{
    fmt,
    io::{IsTerminal, Write, stdout},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};

/// How long a step without a terminal says nothing at most.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

type Output = Arc<Mutex<dyn Write + Send>>;

/// The steps of one command.
pub struct Steps {
    on_terminal: bool,
    longest_silence: Duration,
    output: Output,
    begun: Instant,
}

/// The step that runs now: what it does at the moment can be shown beside its name.
pub struct Step {
    bar: Option<ProgressBar>,
    name: String,
    begun: Instant,
    output: Output,
    now: Mutex<Now>,
}

/// What a step is at.
struct Now {
    /// How many items there are; 0 where nothing is counted.
    items: usize,
    ended: usize,
    running: Vec<String>,
    detail: String,
    spoke: Instant,
}

impl Step {
    /// Says that so many (more) items are to come: from here on a bar shows how many have ended.
    pub fn count(&self, more: usize) {
        let mut now = self.now();
        now.items += more;
        let items = now.items;
        drop(now);
        if let Some(bar) = &self.bar {
            bar.set_length(items as u64);
            bar.set_style(style(
                "{spinner:>6}  {msg} [{bar:24}] {pos}/{len} ({elapsed})",
            ));
        }
    }

    /// Runs one item of the step and shows how long it took. Several may run at once.
    pub fn item<T>(&self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let begun = Instant::now();
        self.now().running.push(name.to_owned());
        self.show();
        let outcome = work();
        let mut now = self.now();
        if let Some(place) = now.running.iter().position(|running| running == name) {
            now.running.remove(place);
        }
        drop(now);
        match outcome {
            Ok(value) => {
                self.ended(name, begun.elapsed());
                Ok(value)
            }
            Err(error) => {
                self.line(&format!(
                    "        {name} FAILED ({})",
                    seconds(begun.elapsed())
                ));
                Err(error)
            }
        }
    }

    /// Does some work for each of these, so many at once; they count as items of the step. After a
    /// failure those that are under way end, and no other begins.
    pub fn side_by_side<I: Sync, T: Send>(
        &self,
        at_once: usize,
        these: &[I],
        work: impl Fn(&I) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        self.count(these.len());
        let waiting = Mutex::new(these.iter());
        let done = Mutex::new(Ok(Vec::new()));
        let next = || {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.next()
        };
        thread::scope(|scope| {
            for _ in 0..at_once {
                scope.spawn(|| {
                    while let Some(item) = next() {
                        let outcome = work(item);
                        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                        match (&mut *done, outcome) {
                            (Ok(all), Ok(value)) => all.push(value),
                            (Ok(_), Err(error)) => {
                                *done = Err(error);
                                while next().is_some() {}
                            }
                            (Err(_), _) => {}
                        }
                    }
                });
            }
        });
        done.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// An item has ended, for those who run it elsewhere.
    pub fn ended(&self, name: &str, time: Duration) {
        let mut now = self.now();
        now.ended += 1;
        now.detail.clear();
        let place = match now.items {
            0 => String::new(),
            items => format!("{}/{items} ", now.ended),
        };
        drop(now);
        self.line(&format!("        {place}{name} ({})", seconds(time)));
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
        self.show();
    }

    /// Shows a detail of the running step: at once on a terminal, elsewhere when the step has been
    /// silent for long.
    pub fn detail(&self, text: &str) {
        text.clone_into(&mut self.now().detail);
        self.show();
    }

    /// Says something that must not be overlooked.
    pub fn say(&self, text: &str) {
        self.line(&format!("  ! {text}"));
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self) {
        if let Some(bar) = &self.bar {
            bar.set_message(self.message());
        }
    }

    /// The step's name, the items that run, and the detail.
    fn message(&self) -> String {
        let now = self.now();
        [
            self.name.as_str(),
            &now.running.join(", "),
            now.detail.as_str(),
        ]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(": ")
    }

    fn line(&self, text: &str) {
        self.now().spoke = Instant::now();
        match &self.bar {
            Some(bar) => bar.suspend(|| write_line(&self.output, text)),
            None => write_line(&self.output, text),
        }
    }

    /// Speaks up each time the step has been silent for long, until it ends.
    fn speak_up(&self, ended: &mpsc::Receiver<()>, longest_silence: Duration) {
        loop {
            let pause = longest_silence.saturating_sub(self.now().spoke.elapsed());
            match ended.recv_timeout(pause) {
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
            if self.now().spoke.elapsed() < longest_silence {
                continue;
            }
            let (ended, items) = {
                let now = self.now();
                (now.ended, now.items)
            };
            let place = match items {
                0 => String::new(),
                items => format!(", {ended}/{items} done"),
            };
            self.line(&format!(
                "   ...  {} ({} so far{place})",
                self.message(),
                seconds(self.begun.elapsed())
            ));
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
            longest_silence: LONGEST_SILENCE,
            output: Arc::new(Mutex::new(stdout())),
            begun: Instant::now(),
        }
    }

    /// Runs one step and shows how it went. An error says in which step it came up.
    pub fn step<T>(&self, name: &str, work: impl FnOnce(&Step) -> Result<T>) -> Result<T> {
        let begun = Instant::now();
        let step = Step {
            bar: self.on_terminal.then(|| spinner(name)),
            name: name.to_owned(),
            begun,
            output: Arc::clone(&self.output),
            now: Mutex::new(Now {
                items: 0,
                ended: 0,
                running: Vec::new(),
                detail: String::new(),
                spoke: begun,
            }),
        };
        let outcome = thread::scope(|scope| {
            let (end, ended) = mpsc::channel();
            if !self.on_terminal {
                let step = &step;
                scope.spawn(move || step.speak_up(&ended, self.longest_silence));
            }
            let outcome = work(&step);
            // The other half hears of it and ends.
            drop(end);
            outcome
        });
        if let Some(bar) = &step.bar {
            bar.finish_and_clear();
        }
        let sign = if outcome.is_ok() { "ok" } else { "FAILED" };
        let time = seconds(begun.elapsed());
        write_line(&self.output, &format!("{sign:>6}  {name} ({time})"));
        outcome.with_context(|| format!("in the step \"{name}\""))
    }

    /// The time since the command began.
    pub fn elapsed(&self) -> String {
        seconds(self.begun.elapsed())
    }
}

/// Nobody may be listening any more (`lab up | head`): the work goes on all the same.
fn write_line(output: &Output, text: &str) {
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = writeln!(output, "{text}");
    let _ = output.flush();
}

/// What [`tell!`](crate::tell) does.
pub fn tell(text: fmt::Arguments<'_>) {
    let _ = writeln!(stdout(), "{text}");
}

/// Prints a line for a person. Unlike `println!` it does not panic when the reader has gone, as in
/// `lab status | head`.
#[macro_export]
macro_rules! tell {
    () => { $crate::steps::tell(format_args!("")) };
    ($($text:tt)+) => { $crate::steps::tell(format_args!($($text)+)) };
}

fn spinner(name: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(name.to_owned());
    bar.set_style(style("{spinner:>6}  {msg} ({elapsed})"));
    // Ten turns a second look alive without costing anything.
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .progress_chars("=> ")
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

    /// Steps without a terminal, and what they print.
    fn steps(longest_silence: Duration) -> (Steps, Arc<Mutex<Vec<u8>>>) {
        let text = Arc::new(Mutex::new(Vec::new()));
        let steps = Steps {
            on_terminal: false,
            longest_silence,
            output: text.clone(),
            begun: Instant::now(),
        };
        (steps, text)
    }

    fn lines(text: &Mutex<Vec<u8>>) -> Vec<String> {
        let text = text.lock().unwrap();
        let text = String::from_utf8_lossy(&text);
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn long_times_are_told_in_minutes() {
        assert_eq!(seconds(Duration::from_millis(1234)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(247)), "4 min 07 s");
    }

    #[test]
    fn without_a_terminal_every_item_is_a_line_with_its_place_and_time() {
        let (steps, text) = steps(Duration::from_secs(60));
        let outcome: Result<()> = steps.step("programs", |step| {
            step.count(2);
            step.item("kubernetes", || Ok(()))?;
            step.item("calico", || anyhow::bail!("no network"))
        });
        assert!(outcome.is_err());
        let lines = lines(&text);
        assert!(
            lines[0].starts_with("        1/2 kubernetes (0.0 s"),
            "{lines:?}"
        );
        assert!(lines[1].starts_with("        calico FAILED ("), "{lines:?}");
        assert!(lines[2].starts_with("FAILED  programs ("), "{lines:?}");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn a_long_item_says_what_it_is_at_and_for_how_long() {
        let (steps, text) = steps(Duration::from_millis(50));
        steps
            .step("programs", |step| {
                step.count(1);
                step.item("kubernetes", || {
                    step.detail("linking");
                    thread::sleep(Duration::from_millis(200));
                    Ok(())
                })
            })
            .unwrap();
        let lines = lines(&text);
        assert!(
            lines[0].starts_with("   ...  programs: kubernetes: linking (0."),
            "{lines:?}"
        );
        assert!(lines[0].ends_with("0/1 done)"), "{lines:?}");
        assert!(lines.len() >= 4, "{lines:?}");
    }

    #[test]
    fn what_is_done_side_by_side_is_done_once_and_stops_at_a_failure() {
        let (steps, _) = steps(Duration::from_secs(60));
        let all: Vec<u32> = (0..100).collect();
        let mut doubled = steps
            .step("all", |step| {
                step.side_by_side(4, &all, |item| Ok(item * 2))
            })
            .unwrap();
        doubled.sort_unstable();
        assert_eq!(doubled, (0..100).map(|item| item * 2).collect::<Vec<_>>());
        let begun = Mutex::new(0);
        let outcome = steps.step("some", |step| {
            step.side_by_side(1, &all, |item| {
                *begun.lock().unwrap() += 1;
                anyhow::ensure!(*item < 3, "{item} is too many");
                Ok(())
            })
        });
        let told = format!("{:#}", outcome.unwrap_err());
        assert!(told.contains("3 is too many"), "{told}");
        assert_eq!(*begun.lock().unwrap(), 4);
    }

    #[test]
    fn a_short_step_is_one_line() {
        let (steps, text) = steps(Duration::from_secs(60));
        steps.step("network", |_| Ok(())).unwrap();
        let lines = lines(&text);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("    ok  network ("), "{lines:?}");
    }
}
