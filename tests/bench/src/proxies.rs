//! The servers that P4 compares, each with one thread on core 0 in front of the same upstream, with
//! the same certificate, TLS 1.3 only, kept-alive connections to the upstream and no access log.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tokio::net::TcpStream;

use crate::{
    process::Process,
    stage::{beside_us, free_port},
};

pub const HOST: &str = "bench.apps.test";
const SERVER: &str = "0";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Gateway,
    Floor,
    Haproxy,
    Nginx,
    Caddy,
}

impl Kind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Floor => "floor: hyper + rustls",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Caddy => "Caddy",
        }
    }
}

/// What all of them need.
pub struct Setting {
    pub folder: PathBuf,
    pub upstream: u16,
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Where the gateway finds Kubernetes.
    pub kubeconfig: PathBuf,
    pub caddy: Option<PathBuf>,
}

/// One that listens.
pub struct Server {
    pub process: Process,
    pub port: u16,
}

impl Setting {
    /// Starts one, and waits until it listens.
    ///
    /// # Errors
    /// When it does not.
    pub async fn start(&self, kind: Kind) -> Result<Server> {
        let port = free_port()?;
        let log = self.folder.join(format!("{kind:?}.log").to_lowercase());
        let process = match kind {
            Kind::Gateway => self.gateway(port, &log)?,
            Kind::Floor => Process::start(
                SERVER,
                &[
                    &beside_us("bench")?,
                    "floor-proxy",
                    &format!("127.0.0.1:{port}"),
                    &format!("127.0.0.1:{}", self.upstream),
                    &show(&self.certificate),
                    &show(&self.key),
                ],
                &[],
                &log,
            )?,
            Kind::Haproxy => {
                let file = self.write("haproxy.cfg", &self.haproxy(port))?;
                Process::start(SERVER, &["haproxy", "-db", "-f", &file], &[], &log)?
            }
            Kind::Nginx => {
                let file = self.write("nginx.conf", &self.nginx(port))?;
                Process::start(SERVER, &["nginx", "-c", &file], &[], &log)?
            }
            Kind::Caddy => {
                let file = self.write("Caddyfile", &self.caddyfile(port))?;
                let caddy = self
                    .caddy
                    .as_deref()
                    .map(show)
                    .context("Caddy is missing")?;
                let home = show(&self.folder);
                Process::start(
                    SERVER,
                    &[&caddy, "run", "--adapter", "caddyfile", "--config", &file],
                    &[
                        ("GOMAXPROCS", "1"),
                        ("HOME", &home),
                        ("XDG_DATA_HOME", &home),
                        ("XDG_CONFIG_HOME", &home),
                    ],
                    &log,
                )?
            }
        };
        let mut server = Server { process, port };
        server.wait_listening(&log).await?;
        Ok(server)
    }

    /// The upstream, on the other core: nginx that answers at once with 1 KiB.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_upstream(&self) -> Result<Server> {
        let http = format!(
            "server {{ listen 127.0.0.1:{}; location / {{ default_type text/plain; return 200 \"{}\"; }} }}",
            self.upstream,
            "x".repeat(1024)
        );
        let file = self.write("upstream.conf", &self.nginx_with("upstream", &http))?;
        let log = self.folder.join("upstream.log");
        let process = Process::start("1", &["nginx", "-c", &file], &[], &log)?;
        let mut server = Server {
            process,
            port: self.upstream,
        };
        server.wait_listening(&log).await?;
        Ok(server)
    }

    /// The gateway resolves names of services; in a mount namespace of its own, /etc/hosts knows one.
    fn gateway(&self, port: u16, log: &Path) -> Result<Process> {
        let hosts = self.write("hosts", "127.0.0.1 localhost upstream.bench.svc\n")?;
        let kubeconfig = show(&self.kubeconfig);
        let script = format!("mount --bind {hosts} /etc/hosts && exec \"$@\"");
        let listen = |flag: &str, port: u16| format!("--{flag}-listen=127.0.0.1:{port}");
        Process::start(
            SERVER,
            &[
                "unshare",
                "--mount",
                "--",
                "sh",
                "-c",
                &script,
                "gateway",
                &beside_us("gateway")?,
                "--platform-zone=apps.test",
                "--certificate-namespace=bench",
                "--workers=1",
                "--log-filter=warn",
                &listen("https", port),
                &listen("http", free_port()?),
                &listen("admin", free_port()?),
            ],
            &[("KUBECONFIG", &kubeconfig)],
            log,
        )
    }

    fn haproxy(&self, port: u16) -> String {
        // One file for both.
        let both = self.folder.join("haproxy.pem");
        format!(
            "global\n  nbthread 1\n  maxconn 4000\n  ssl-default-bind-options ssl-min-ver TLSv1.3\n\
             defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  option forwardfor\n  http-reuse always\n\
             frontend front\n  bind 127.0.0.1:{port} ssl crt {} alpn h2,http/1.1\n  http-request set-header X-Forwarded-Proto https\n  default_backend back\n\
             backend back\n  server upstream 127.0.0.1:{}\n",
            both.display(),
            self.upstream
        )
    }

    fn nginx(&self, port: u16) -> String {
        let http = format!(
            "upstream back {{ server 127.0.0.1:{}; keepalive 256; keepalive_requests 1000000000; }}\n\
             server {{\n  listen 127.0.0.1:{port} ssl http2;\n  ssl_certificate {};\n  ssl_certificate_key {};\n  ssl_protocols TLSv1.3;\n\
             location / {{\n  proxy_pass http://back;\n  proxy_http_version 1.1;\n  proxy_set_header Connection \"\";\n  proxy_set_header Host $host;\n\
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n  proxy_set_header X-Forwarded-Proto https;\n}} }}",
            self.upstream,
            self.certificate.display(),
            self.key.display()
        );
        self.nginx_with("nginx", &http)
    }

    fn nginx_with(&self, name: &str, http: &str) -> String {
        let at = |what: &str| {
            self.folder
                .join(format!("{name}-{what}"))
                .display()
                .to_string()
        };
        format!(
            "daemon off;\nuser root;\nworker_processes 1;\npid {};\nerror_log stderr warn;\nevents {{ worker_connections 16384; }}\n\
             http {{\naccess_log off;\nkeepalive_requests 1000000000;\nclient_body_temp_path {};\nproxy_temp_path {};\nfastcgi_temp_path {};\n\
             uwsgi_temp_path {};\nscgi_temp_path {};\n{http}\n}}\n",
            at("pid"),
            at("body"),
            at("proxy"),
            at("fastcgi"),
            at("uwsgi"),
            at("scgi")
        )
    }

    fn caddyfile(&self, port: u16) -> String {
        format!(
            "{{\n\tadmin off\n\tauto_https off\n\tservers {{\n\t\tprotocols h1 h2\n\t}}\n}}\n\
             https://{HOST}:{port} {{\n\tbind 127.0.0.1\n\ttls {} {} {{\n\t\tprotocols tls1.3\n\t}}\n\
             \treverse_proxy 127.0.0.1:{} {{\n\t\ttransport http {{\n\t\t\tkeepalive_idle_conns_per_host 256\n\t\t}}\n\t}}\n}}\n",
            self.certificate.display(),
            self.key.display(),
            self.upstream
        )
    }

    fn write(&self, name: &str, text: &str) -> Result<String> {
        let path = self.folder.join(name);
        fs::write(&path, text)?;
        Ok(show(&path))
    }
}

impl Server {
    async fn wait_listening(&mut self, log: &Path) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let seen = || fs::read_to_string(log).unwrap_or_default();
            self.process.check().with_context(seen)?;
            if TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("nobody listens: {}", seen());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Installs the Debian packages that are missing.
///
/// # Errors
/// When that fails.
pub fn provide() -> Result<()> {
    let programs = [
        ("haproxy", "haproxy"),
        ("nginx", "nginx-light"),
        ("h2load", "nghttp2-client"),
    ];
    let missing: Vec<&str> = programs
        .iter()
        .filter(|(program, _)| {
            !Path::new("/usr/sbin").join(program).exists()
                && !Path::new("/usr/bin").join(program).exists()
        })
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    // Neither started nor enabled: these machines may be somebody's.
    let log = std::env::temp_dir().join("tutti-bench-packages.log");
    lab::packages::install(&missing, &log, |_| {})
}

/// A peer from the cache, or built into it with Go, when that takes no longer than ten minutes.
#[must_use]
pub fn go_program(name: &str, package: &str, version: &str) -> Option<PathBuf> {
    let folder = lab::cache::Cache::from_environment().entry(&format!("{name}@{version}"));
    let program = folder.join(name);
    if !program.exists() {
        eprintln!("building {name} {version}");
        let status = Command::new("timeout")
            .args(["600", "go", "install", "-trimpath", "-ldflags", "-s -w"])
            .arg(format!("{package}@{version}"))
            .env("CGO_ENABLED", "0")
            .env("GOBIN", &folder)
            .status();
        eprintln!("built: {status:?}");
    }
    program.exists().then_some(program)
}

fn show(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}
