//! A real PostgreSQL for tests: Debian's server on a loopback port, as an unprivileged person, with its
//! data in memory where there is room. One per test binary ([`Postgres::shared`]); each test has a
//! database of its own, copied from a migrated one ([`Postgres::database`]). Nothing stays behind, even
//! when the test is killed ([`crate::children`]).
//!
//! Not for keeping anything: what a test wrote is gone with its process.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::Read,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio::sync::{Mutex as AsyncMutex, OnceCell};

use crate::{cache, children::Children, packages, process::run};

/// Where Debian keeps its versions, one folder each.
const VERSIONS: &str = "/usr/lib/postgresql";
/// The package that brings the distribution's version.
const PACKAGE: &str = "postgresql";
/// Who may own a server's data, in order of preference; initdb refuses root.
const OWNERS: [&str; 2] = ["postgres", "nobody"];
/// A loaded machine takes several times the usual two seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// A port that was free may be taken before the server listens on it.
const TRIES: u32 = 3;
/// Bytes that must be free in memory before data is kept there; the databases of one test binary take
/// a tenth.
const ROOM: u64 = 1 << 30;
/// Each test has a pool or two.
const CONNECTIONS: u32 = 300;

/// A server that runs as long as this value, or as long as the process.
pub struct Postgres {
    address: SocketAddr,
    password: String,
    owner: Owner,
    programs: PathBuf,
    data: PathBuf,
    is_durable: bool,
    children: Mutex<Children>,
    /// The templates that were made.
    templates: AsyncMutex<HashSet<&'static str>>,
    count: AtomicU32,
}

impl Postgres {
    /// The one of this process, without fsync; the first caller starts it.
    ///
    /// # Errors
    /// See [`Postgres::start`].
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Postgres> = OnceCell::const_new();
        SHARED.get_or_try_init(|| Self::start(false)).await
    }

    /// Starts a server and waits until it listens. A durable one waits for the disk at each commit
    /// (fsync), as a benchmark wants it.
    ///
    /// # Errors
    /// When it cannot be installed, made or started.
    pub async fn start(is_durable: bool) -> Result<Self> {
        tokio::task::spawn_blocking(move || {
            let mut tries = 1;
            loop {
                match Self::start_once(is_durable) {
                    Err(error) if tries < TRIES => {
                        eprintln!("PostgreSQL did not start, once more: {error:#}");
                        tries += 1;
                    }
                    outcome => return outcome,
                }
            }
        })
        .await?
    }

    fn start_once(is_durable: bool) -> Result<Self> {
        let mut children = Children::new("postgres")?;
        let programs = provide(&children.folder().join("packages.log"))?;
        let owner = Owner::find()?;
        let data = data_folder(&mut children)?;
        let password = random_text()?;
        let password_file = data.join("password");
        fs::write(&password_file, &password)?;
        let cluster = data.join("cluster");
        for place in [&data, &password_file] {
            chown(place, Some(owner.user), Some(owner.group))?;
        }
        let made = run(Command::new("setpriv")
            .args(owner.flags())
            .arg(programs.join("initdb"))
            .current_dir(&data)
            .arg(format!("--pgdata={}", cluster.display()))
            .arg(format!("--pwfile={}", password_file.display()))
            .args(["--username=postgres", "--auth=scram-sha-256"])
            .args(["--encoding=UTF8", "--locale=C.UTF-8"])
            .args(["--no-sync", "--no-instructions"]));
        fs::remove_file(&password_file)?;
        made.context("cannot make a cluster")?;
        // A killed server leaves its segment of System V memory; its number is in the lock file's last
        // line but one.
        let lock = cluster.join("postmaster.pid");
        children.finally(&format!(
            "ipcrm --shmem-id $(sed -n 7p '{}' | tr -s ' ' | cut -d' ' -f3)",
            lock.display()
        ))?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let server = Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            password,
            owner,
            programs,
            data: cluster,
            is_durable,
            children: Mutex::new(children),
            templates: AsyncMutex::default(),
            count: AtomicU32::new(0),
        };
        server.start_again()?;
        Ok(server)
    }

    /// Starts it after [`Postgres::kill`], on the same port and with the same data.
    ///
    /// # Errors
    /// When it ends.
    pub fn start_again(&self) -> Result<()> {
        let switch = |on: bool| if on { "on" } else { "off" };
        let settings = [
            format!("listen_addresses={}", self.address.ip()),
            format!("port={}", self.address.port()),
            format!("max_connections={CONNECTIONS}"),
            format!("fsync={}", switch(self.is_durable)),
            format!("full_page_writes={}", switch(self.is_durable)),
            // Without fsync, too: what was committed outlives a server that is killed.
            "synchronous_commit=on".to_owned(),
            "unix_socket_directories=".to_owned(),
            // In the data folder, which is removed, and not in /dev/shm.
            "dynamic_shared_memory_type=mmap".to_owned(),
        ];
        // It goes back to the folder that it was started in, and must be allowed to.
        let mut flags = vec![
            format!("--chdir={}", self.data.display()),
            "setpriv".to_owned(),
        ];
        // The kernel forgets with a change of person that the process ends with its parent.
        flags.push("--pdeathsig=KILL".to_owned());
        flags.extend(self.owner.flags());
        flags.push(self.programs.join("postgres").display().to_string());
        flags.extend(["-D".to_owned(), self.data.display().to_string()]);
        flags.extend(settings.into_iter().flat_map(|one| ["-c".to_owned(), one]));
        let mut children = self.children();
        children.spawn("postgres", Path::new("env"), &flags, &[])?;
        children.wait_port("postgres", self.address, PATIENCE)?;
        drop(children);
        self.wait_ready()
    }

    /// Kills it, as when its machine fails. What was committed is there when it starts again.
    pub fn kill(&self) {
        self.children().kill("postgres");
    }

    /// A new database for one test, and its URL. It is a copy of a template, which the first caller has
    /// made: `migrate` gets the URL of an empty database, and closes its connections before it returns.
    ///
    /// # Errors
    /// When the migration fails, or the server refuses.
    pub async fn database(
        &self,
        template: &'static str,
        migrate: impl AsyncFnOnce(&str) -> Result<()>,
    ) -> Result<String> {
        // One at a time: a template that somebody is connected to cannot be copied.
        let mut templates = self.templates.lock().await;
        if !templates.contains(template) {
            self.execute(&format!("create database {template}")).await?;
            migrate(&self.url(template)).await?;
            // Connections that were closed are seen to be a moment later.
            let ended = format!(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '{template}'"
            );
            self.execute(&ended).await?;
            templates.insert(template);
        }
        let name = format!("{template}_{}", self.count.fetch_add(1, Ordering::Relaxed));
        self.execute(&format!("create database {name} template {template}"))
            .await?;
        Ok(self.url(&name))
    }

    /// Executes one statement as superuser in the database `postgres`.
    ///
    /// # Errors
    /// What the server has against it.
    async fn execute(&self, statement: &str) -> Result<()> {
        let mut command = self.psql(statement);
        tokio::task::spawn_blocking(move || run(&mut command)).await??;
        Ok(())
    }

    /// The URL of a database, as its superuser.
    fn url(&self, database: &str) -> String {
        let Self {
            address, password, ..
        } = self;
        format!("postgres://postgres:{password}@{address}/{database}")
    }

    fn psql(&self, statement: &str) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command
            .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"])
            .arg(format!("--host={}", self.address.ip()))
            .arg(format!("--port={}", self.address.port()))
            .args(["--username=postgres", "--dbname=postgres"])
            .arg(format!("--command={statement}"))
            .env("PGPASSWORD", &self.password);
        command
    }

    /// It listens before it has recovered, and refuses everybody until then.
    fn wait_ready(&self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            match run(&mut self.psql("select 1")) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() >= end => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn children(&self) -> MutexGuard<'_, Children> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who owns the data.
#[derive(Clone, Copy)]
struct Owner {
    user: u32,
    group: u32,
}

impl Owner {
    fn find() -> Result<Self> {
        let known = |name: &str| {
            let number = |flag: &str| -> Result<u32> {
                Ok(run(Command::new("id").args([flag, name]))?.trim().parse()?)
            };
            Some(Self {
                user: number("-u").ok()?,
                group: number("-g").ok()?,
            })
        };
        OWNERS
            .iter()
            .find_map(|name| known(name))
            .with_context(|| format!("this machine knows none of {OWNERS:?}; initdb refuses root"))
    }

    /// What makes setpriv run a program as this person.
    fn flags(self) -> [String; 4] {
        [
            format!("--reuid={}", self.user),
            format!("--regid={}", self.group),
            "--clear-groups".to_owned(),
            "--".to_owned(),
        ]
    }
}

/// The folder of the newest version's programs; installs Debian's when there is none.
fn provide(log: &Path) -> Result<PathBuf> {
    if let Some(found) = newest(Path::new(VERSIONS)) {
        return Ok(found);
    }
    // Test binaries that run beside each other would both install it.
    let place = cache::Cache::from_environment();
    fs::create_dir_all(place.root())?;
    let lock = File::create(place.root().join("postgresql.lock"))?;
    lock.lock()?;
    if newest(Path::new(VERSIONS)).is_none() {
        eprintln!("installing Debian's {PACKAGE}");
        packages::install(&[PACKAGE], log, |_| {})?;
    }
    newest(Path::new(VERSIONS)).with_context(|| format!("{PACKAGE} brought no {VERSIONS}/*/bin"))
}

/// The programs of the newest version below a folder.
fn newest(versions: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(versions).ok()?.flatten();
    entries
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let programs = entry.path().join("bin");
            programs
                .join("initdb")
                .is_file()
                .then_some((version, programs))
        })
        .max()
        .map(|(_, programs)| programs)
}

/// A folder of its own, in memory where there is room.
fn data_folder(children: &mut Children) -> Result<PathBuf> {
    let folder = children.folder().join("data");
    fs::create_dir(&folder)?;
    let free = rustix::fs::statvfs(&folder)?;
    if free.f_bavail * free.f_frsize >= ROOM {
        return Ok(folder);
    }
    let name = children
        .folder()
        .file_name()
        .context("a folder without a name")?;
    let folder = std::env::temp_dir().join("tutti-data").join(name);
    fs::create_dir_all(&folder)?;
    children.finally(&format!("rm -rf -- '{}'", folder.display()))?;
    Ok(folder)
}

/// 128 random bits as hexadecimal digits.
fn random_text() -> Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(cache::hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_that_is_whole_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        for version in ["9", "15", "17", "common"] {
            fs::create_dir_all(folder.path().join(version).join("bin")).unwrap();
        }
        for version in ["9", "15"] {
            fs::write(folder.path().join(version).join("bin/initdb"), "").unwrap();
        }
        let found = newest(folder.path()).unwrap();
        assert!(found.ends_with("15/bin"), "{}", found.display());
    }

    #[tokio::test]
    async fn a_database_is_a_copy_and_outlives_a_killed_server() {
        let server = Postgres::start(true).await.unwrap();
        let migrate = async |url: &str| {
            let mut psql = Command::new(server.programs.join("psql"));
            run(psql.arg(url).args(["-c", "create table marks (mark text)"])).map(|_| ())
        };
        let ask = |url: &str, statement: &str| {
            let mut psql = Command::new(server.programs.join("psql"));
            run(psql.arg(url).args(["--tuples-only", "-c", statement])).unwrap()
        };
        let one = server.database("copied", migrate).await.unwrap();
        let unused = async |_: &str| anyhow::bail!("the template is made once");
        let other = server.database("copied", unused).await.unwrap();
        ask(&one, "insert into marks values ('kept')");
        server.kill();
        server.start_again().unwrap();
        assert_eq!(ask(&one, "select mark from marks").trim(), "kept");
        assert_eq!(ask(&other, "select count(*) from marks").trim(), "0");
    }
}
