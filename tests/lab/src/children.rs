//! Processes of a test, and their folder. Nothing of them stays behind, even when the test is killed:
//! the kernel ends the processes with their parent, and a shell that waits for the end of a pipe
//! tidies up.

use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};

use crate::process::{self, Process};

/// Memory, where there is some: what is written there costs no disk.
const MEMORY: &str = "/dev/shm";
/// They look whether their parent lives now and then.
const ORPHANS_END_WITHIN: Duration = Duration::from_secs(10);

/// Processes in the order in which they were started, and their folder. Dropping it ends and
/// removes them.
pub struct Children {
    running: Vec<(String, Child)>,
    folder: PathBuf,
    /// Held open: its end tells the shell to tidy up.
    janitor: Option<(Child, ChildStdin)>,
}

impl Children {
    /// None yet, and a folder for what they write.
    ///
    /// # Errors
    /// When no folder can be made.
    pub fn new(name: &str) -> Result<Self> {
        let folder = make_folder(name)?;
        Ok(Self {
            running: Vec::new(),
            janitor: Some(start_janitor(&folder)?),
            folder,
        })
    }

    /// Their folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Has a command of the shell's run when all are gone, such as one that takes back what was done
    /// to the machine.
    ///
    /// # Errors
    /// When the shell is gone.
    pub fn finally(&mut self, command: &str) -> Result<()> {
        let (_, pipe) = self.janitor.as_mut().context("the shell has no input")?;
        Ok(writeln!(pipe, "{command}")?)
    }

    /// The folder of what they print.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// What one of them has printed.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    /// Starts one; what it prints is added to its log.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(
        &mut self,
        name: &str,
        program: &Path,
        flags: &[String],
        variables: &[(&str, String)],
    ) -> Result<()> {
        fs::create_dir_all(self.logs())?;
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.log(name))?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(flags)
            .envs(variables.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = bear(command)
            .with_context(|| format!("cannot start {name} (setpriv is of util-linux)"))?;
        self.running.push((name.to_owned(), child));
        Ok(())
    }

    /// Waits until one of them listens.
    ///
    /// # Errors
    /// When it ends, or does not listen in time.
    pub fn wait_port(&mut self, name: &str, address: SocketAddr, patience: Duration) -> Result<()> {
        let end = Instant::now() + patience;
        while TcpStream::connect(address).is_err() {
            let log = self.log(name);
            let child = self.running.iter_mut().find(|(known, _)| known == name);
            if let Some((_, child)) = child
                && let Some(status) = child.try_wait()?
            {
                bail!("{name} ended ({status}): {}", process::tail(&log));
            }
            if Instant::now() >= end {
                bail!("{name} does not listen: {}", process::tail(&log));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Kills one, and waits until it is gone.
    pub fn kill(&mut self, name: &str) {
        self.running.retain_mut(|(known, child)| {
            if known == name {
                end(child);
            }
            known != name
        });
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        // The last one started first, so that none complains about the loss of another.
        for (_, child) in self.running.iter_mut().rev() {
            end(child);
        }
        if let Some((mut janitor, pipe)) = self.janitor.take() {
            drop(pipe);
            let _ = janitor.wait();
        }
    }
}

/// Killed and not asked: nothing of it is kept.
/// Its own children end by themselves when they notice; the next one of its name may need what they hold.
fn end(child: &mut Child) {
    let pid = i32::try_from(child.id()).unwrap_or_default();
    let orphans: Vec<Process> = process::parents()
        .into_iter()
        .filter(|(_, parent)| *parent == pid)
        .filter_map(|(own, _)| Process::of(own).ok())
        .collect();
    let _ = child.kill();
    let _ = child.wait();
    for orphan in orphans {
        orphan.wait_gone(ORPHANS_END_WITHIN);
    }
}

type Birth = (Command, mpsc::Sender<std::io::Result<Child>>);

/// Starts a process on a thread that lives as long as this process: the kernel ends a process when
/// the *thread* that started it ends, so that no thread of a test may be the one.
fn bear(command: Command) -> Result<Child> {
    static BIRTHS: LazyLock<mpsc::Sender<Birth>> = LazyLock::new(|| {
        let (births, wanted) = mpsc::channel::<Birth>();
        thread::spawn(move || {
            for (mut command, told) in wanted {
                let _ = told.send(command.spawn());
            }
        });
        births
    });
    let (tell, told) = mpsc::channel();
    let broken = || anyhow!("the thread that starts processes broke");
    BIRTHS.send((command, tell)).map_err(|_| broken())?;
    Ok(told.recv().map_err(|_| broken())??)
}

fn make_folder(name: &str) -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("tutti-{name}-{}-{count}", std::process::id());
    let places = [PathBuf::from(MEMORY), std::env::temp_dir()];
    places
        .iter()
        .map(|place| place.join(&name))
        .find(|folder| fs::create_dir(folder).is_ok())
        .ok_or_else(|| anyhow!("no folder can be made in {places:?}"))
}

/// Waits for the end of a pipe, does what was said through it, and removes the folder. In a process group of its own: what kills
/// the tests' group does not kill it.
fn start_janitor(folder: &Path) -> Result<(Child, ChildStdin)> {
    const SCRIPT: &str = r#"later=:; while read -r line; do later="$line; $later"; done
        sleep 0.1; eval "$later"; for _ in 1 2 3 4 5; do rm -rf -- "$0" && exit; sleep 0.2; done"#;
    let mut janitor = Command::new("sh")
        .args(["-c", SCRIPT])
        .arg(folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start sh")?;
    let pipe = janitor.stdin.take().context("sh has no input")?;
    Ok((janitor, pipe))
}
