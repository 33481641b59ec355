//! Debian packages: what the lab takes from the distribution instead of building it. Their services
//! are neither started nor enabled: the lab starts what it needs inside of its nodes, and a daemon
//! on the whole machine is nobody's wish.

use std::{
    collections::{BTreeSet, HashMap},
    env, fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::process::{run, run_logged, tail};

/// A package, and a program of it that tells whether it is there.
const NEEDED: &[(&str, &str)] = &[
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("containernetworking-plugins", "/usr/lib/cni/portmap"),
    ("docker.io", "/usr/sbin/dockerd"),
    ("docker-registry", "docker-registry"),
    ("iptables", "iptables"),
    ("nftables", "nft"),
    ("conntrack", "conntrack"),
    ("ipset", "ipset"),
    ("socat", "socat"),
    ("iproute2", "ip"),
    ("kmod", "modprobe"),
    ("mmdebstrap", "mmdebstrap"),
    ("busybox-static", "busybox"),
    ("bind9", "named"),
    ("bind9-dnsutils", "nsupdate"),
];

/// Present only while packages are installed: it keeps their services from starting on the host.
/// It has no effect on a machine without an init system.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// Where packages put their units, and where scripts that count as one.
const UNIT_FOLDERS: [&str; 2] = ["usr/lib/systemd/system", "lib/systemd/system"];
const SCRIPT_FOLDER: &str = "etc/init.d";
/// What `systemctl enable` takes.
const UNIT_KINDS: [&str; 4] = ["service", "socket", "timer", "path"];

/// How an installation gets on.
#[derive(Debug, PartialEq, Eq)]
pub enum News<'a> {
    /// So many packages are to be installed, with all that they depend on.
    Count(usize),
    /// What happens now.
    Doing(&'a str),
    /// A package is there; what its unpacking and setting up took.
    Installed(&'a str, Duration),
}

/// The packages that are not installed.
pub fn missing() -> Vec<&'static str> {
    NEEDED
        .iter()
        .filter(|(_, program)| locate(program).is_none())
        .map(|(package, _)| *package)
        .collect()
}

/// Where a program is, in PATH and in the folders of root's PATH.
pub fn locate(program: &str) -> Option<PathBuf> {
    if program.starts_with('/') {
        return Some(PathBuf::from(program)).filter(|path| path.exists());
    }
    let path = env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin"])
        .map(|folder| Path::new(folder).join(program))
        .find(|place| place.is_file())
}

/// Installs packages. Services that come with them are not started, and disabled, so that they do
/// not start with the machine either; a service that was there before is left as it was.
pub fn install(packages: &[&str], log: &Path, mut news: impl FnMut(News<'_>)) -> Result<()> {
    news(News::Doing("reading Debian's package lists"));
    run_logged(apt().arg("update"), log)
        .context("cannot read Debian's package lists; is a mirror reachable?")?;
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    // Only to count: what is wrong with the request the installation itself says better.
    let plan = run(apt().arg("--simulate").args(&arguments)).unwrap_or_default();
    news(News::Count(count_installations(&plan)));

    let before = units(Path::new("/"));
    let masked = Mask::put()?;
    let outcome = run_apt(&arguments, log, &mut news);
    drop(masked);
    // Also after a failure: what is there by then must not start with the machine.
    let new: Vec<String> = units(Path::new("/")).difference(&before).cloned().collect();
    let disabled = disable(Path::new("/"), &new);
    outcome.with_context(|| format!("cannot install {}", packages.join(" ")))?;
    disabled
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Its news are read by `parse_status`.
        .env("LC_ALL", "C.UTF-8");
    command
}

/// Runs apt-get with its output in the log, and passes on what it says about its progress.
fn run_apt(arguments: &[&str], log: &Path, news: &mut impl FnMut(News<'_>)) -> Result<()> {
    // The shell gives apt a third output, on which it tells machines how it gets on.
    let mut shell = Command::new("sh");
    shell
        .args([
            "-c",
            "log=$1; shift; exec apt-get -o APT::Status-Fd=3 \"$@\" 3>&1 >>\"$log\" 2>&1",
            "sh",
        ])
        .arg(log)
        .args(arguments)
        .envs(
            apt()
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = shell.spawn().context("cannot start apt-get")?;
    let output = child.stdout.take().context("apt-get has no output")?;
    let mut progress = Progress::default();
    for line in BufReader::new(output).lines() {
        progress.read(&line?, news);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("apt-get failed ({status})\n{}", tail(log));
    }
    Ok(())
}

/// Lines of `apt-get --simulate` that name a package to be installed.
fn count_installations(plan: &str) -> usize {
    plan.lines()
        .filter(|line| line.starts_with("Inst "))
        .count()
}

/// What apt works on, and how long it has worked on each package.
#[derive(Default)]
struct Progress {
    current: Option<(String, Instant)>,
    times: HashMap<String, Duration>,
}

impl Progress {
    /// Reads `pmstatus:<package>:<percent>:<text>` and `dlstatus:<number>:<percent>:<text>`.
    fn read(&mut self, line: &str, news: &mut impl FnMut(News<'_>)) {
        let mut parts = line.splitn(4, ':');
        let (kind, subject) = (parts.next(), parts.next());
        let (Some(kind), Some(subject), Some(text)) = (kind, subject, parts.nth(1)) else {
            return;
        };
        // A foreign architecture's package is called name:arch: then the text begins later.
        let text = text.rsplit(':').next().unwrap_or(text).trim();
        if let Some((package, since)) = self.current.take() {
            *self.times.entry(package).or_default() += since.elapsed();
        }
        if kind != "pmstatus" {
            news(News::Doing(text));
            return;
        }
        if text.starts_with("Installed ") {
            let time = self.times.get(subject).copied().unwrap_or_default();
            news(News::Installed(subject, time));
        } else {
            self.current = Some((subject.to_owned(), Instant::now()));
            news(News::Doing(text));
        }
    }
}

/// The names of all units below a root. Links are other names of units, or hide one.
fn units(root: &Path) -> BTreeSet<String> {
    let files = |folder: &str| -> Vec<String> {
        let entries = fs::read_dir(root.join(folder)).into_iter().flatten();
        entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    };
    let scripts = files(SCRIPT_FOLDER).into_iter();
    let scripts = scripts.map(|name| format!("{name}.service"));
    let is_unit = |name: &String| {
        let kind = name.rsplit_once('.').map(|(_, kind)| kind);
        kind.is_some_and(|kind| UNIT_KINDS.contains(&kind))
    };
    let units = UNIT_FOLDERS.iter().flat_map(|folder| files(folder));
    units.filter(is_unit).chain(scripts).collect()
}

/// Keeps units from starting with the machine. This needs no systemd that runs; a machine that has
/// not even systemctl starts none.
fn disable(root: &Path, units: &[String]) -> Result<()> {
    let Some(systemctl) = locate("systemctl") else {
        return Ok(());
    };
    // One by one: systemctl does none when it does not like one, and some cannot be disabled
    // because they were never enabled.
    for unit in units {
        run(Command::new(&systemctl)
            .arg(format!("--root={}", root.display()))
            .args(["--quiet", "disable", unit]))
        .with_context(|| {
            format!("{unit} would start with the machine: run systemctl disable {unit}")
        })?;
    }
    Ok(())
}

struct Mask {
    ours: bool,
}

impl Mask {
    fn put() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        // 101: "action forbidden by policy".
        fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(Self { ours: true })
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_name_or_by_path() {
        assert!(locate("sh").is_some());
        assert!(locate("/bin/sh").is_some());
        assert!(locate("no-program-has-this-name").is_none());
    }

    #[test]
    fn dependencies_are_counted_too() {
        let plan = "Reading package lists...\nInst runc (1.1 Debian [amd64])\n\
                    Inst containerd [1.0] (1.7 Debian [amd64])\nConf runc (1.1 Debian [amd64])\n";
        assert_eq!(count_installations(plan), 2);
    }

    #[test]
    fn what_apt_says_is_told_on() {
        let mut told = Vec::new();
        let mut progress = Progress::default();
        for line in [
            "dlstatus:1:50.0000:Retrieving file 1 of 2 (1s remaining)",
            "pmstatus:runc:20.0000:Unpacking runc (amd64)",
            "pmstatus:runc:40.0000:Installed runc (amd64)",
            "pmstatus:dpkg-exec:40.0000:Running dpkg",
            "no news",
        ] {
            progress.read(line, &mut |news| {
                told.push(match news {
                    News::Count(count) => count.to_string(),
                    News::Doing(what) => what.to_owned(),
                    News::Installed(package, _) => format!("{package} is there"),
                });
            });
        }
        assert_eq!(
            told,
            [
                "Retrieving file 1 of 2 (1s remaining)",
                "Unpacking runc (amd64)",
                "runc is there",
                "Running dpkg"
            ]
        );
    }

    #[test]
    fn new_services_do_not_start_with_the_machine_and_old_ones_stay() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("usr/lib/systemd/system");
        let wanted = root
            .path()
            .join("etc/systemd/system/multi-user.target.wants");
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(&wanted).unwrap();
        let add = |name: &str| {
            let unit = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
            fs::write(folder.join(name), unit).unwrap();
            let target = Path::new("/usr/lib/systemd/system").join(name);
            std::os::unix::fs::symlink(target, wanted.join(name)).unwrap();
        };
        add("old.service");
        let before = units(root.path());
        add("new.service");
        fs::write(folder.join("never-enabled.service"), "[Service]\n").unwrap();
        fs::write(folder.join("README"), "").unwrap();
        let after = units(root.path());
        assert!(after.contains("new.service"));
        let new: Vec<String> = after.difference(&before).cloned().collect();
        assert_eq!(new, ["never-enabled.service", "new.service"]);
        if locate("systemctl").is_none() {
            return;
        }
        disable(root.path(), &new).unwrap();
        let left: Vec<_> = fs::read_dir(&wanted)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["old.service"]);
    }
}
