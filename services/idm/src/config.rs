//! What can be set, by flag or environment. Read once in `main`; everything is checked before anything
//! starts, and an error names the flag and the mend. Secrets come by file, or by environment.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use axum::http::Uri;
use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;
use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use service::LogArgs;
use sqlx::postgres::PgConnectOptions;

use crate::{
    app::Settings,
    brand::{Brand, Colour, Logo},
    keys::cipher::{Cipher, Unsealed},
    mail::delivery::Delivery,
    sessions::Lifetimes,
};

/// Who somebody is, and what they may do: sign-in for every app of Tutti.
#[derive(Clone, Debug, Parser)]
#[command(name = "idm", version)]
pub struct Config {
    /// Without one it serves
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(flatten)]
    pub web: WebArgs,
    #[command(flatten)]
    pub brand: BrandArgs,
    #[command(flatten)]
    pub sessions: SessionArgs,
    /// File with the one-time code that makes the first administrator
    #[arg(long, env = "TUTTI_BOOTSTRAP_CODE_FILE")]
    pub bootstrap_code_file: Option<PathBuf>,
    /// File with 32 or more random letters and digits, that the keys in the database are encrypted with
    #[arg(long, env = "TUTTI_ENCRYPTION_KEY_FILE")]
    pub encryption_key_file: Option<PathBuf>,
    /// Know organizations and apps as the cluster has them; without it, as pages have made them
    #[arg(long, env = "TUTTI_WATCH_CLUSTER")]
    pub watch_cluster: bool,
    #[command(flatten)]
    pub mail: MailArgs,
    #[command(flatten)]
    pub services: ServicesArgs,
    #[command(flatten)]
    pub clients: ClientsArgs,
    #[command(flatten)]
    pub log: LogArgs,
    /// Check the configuration, print what is in force, and exit with 0 or 1
    #[arg(long)]
    pub check_config: bool,
}

/// What it can do but serve.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// For when nobody can sign in; each is written down in the audit trail
    #[command(subcommand)]
    Admin(AdminCommand),
}

/// What whoever may run a command in the pod may do.
#[derive(Clone, Debug, Subcommand)]
pub enum AdminCommand {
    /// Make an administrator of the platform, and print their password
    Create {
        /// Their e-mail address
        #[arg(long)]
        email: String,
        /// Their name
        #[arg(long)]
        name: String,
    },
    /// Give somebody a new password, print it, and sign them out everywhere
    ResetPassword {
        /// Their e-mail address
        #[arg(long)]
        email: String,
        /// Take their authenticator app away, too
        #[arg(long)]
        remove_totp: bool,
    },
    /// Look whether the audit trail is whole
    VerifyAudit,
}

/// Where the data is.
#[derive(Args, Clone, Debug)]
pub struct DatabaseArgs {
    /// File with the URL of the PostgreSQL database: postgres://user:password@host:5432/idm
    #[arg(long, env = "TUTTI_DATABASE_URL_FILE")]
    pub database_url_file: Option<PathBuf>,
    /// The URL itself, by environment only
    #[arg(skip = database_url_of_environment())]
    pub database_url: Option<SecretString>,
    /// Connections of this replica
    #[arg(long, env = "TUTTI_DATABASE_CONNECTIONS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=500))]
    pub database_connections: u32,
}

/// A flag would show it to everybody who lists processes.
fn database_url_of_environment() -> Option<SecretString> {
    let url = std::env::var("TUTTI_DATABASE_URL").ok()?;
    (!url.is_empty()).then(|| url.into())
}

/// Where it is reached.
#[derive(Args, Clone, Debug)]
pub struct WebArgs {
    /// Where pages are answered; the gateway stands before it
    #[arg(long, env = "TUTTI_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Where health and metrics are answered; never to be reached from outside
    #[arg(long, env = "TUTTI_ADMIN_LISTEN", default_value = "0.0.0.0:8081")]
    pub admin_listen: SocketAddr,
    /// Where browsers find it, such as https://id.example.com
    #[arg(long, env = "TUTTI_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// Ranges of proxies before it whose X-Forwarded-For and X-Request-Id count
    #[arg(long, env = "TUTTI_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<IpNet>,
    /// Seconds to go on serving after SIGTERM, until no new connection is sent here
    #[arg(long, env = "TUTTI_DRAIN_DELAY", default_value_t = 5)]
    pub drain_delay: u64,
}

/// What the platform looks like.
#[derive(Args, Clone, Debug)]
pub struct BrandArgs {
    /// Its name on pages
    #[arg(long, env = "TUTTI_BRAND_NAME", default_value = "Tutti")]
    pub brand_name: String,
    /// Its colour, such as #2f6fed
    #[arg(long, env = "TUTTI_BRAND_COLOUR", default_value = "#2f6fed")]
    pub brand_colour: String,
    /// Its logo, a file that ends with .svg, .png or .webp
    #[arg(long, env = "TUTTI_BRAND_LOGO")]
    pub brand_logo: Option<PathBuf>,
}

/// How long somebody stays signed in.
#[derive(Args, Clone, Debug)]
pub struct SessionArgs {
    /// Minutes without a request after which a session ends
    #[arg(long, env = "TUTTI_SESSION_IDLE_MINUTES", default_value_t = 720, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub session_idle_minutes: u32,
    /// Hours after which a session ends, however busy it is
    #[arg(long, env = "TUTTI_SESSION_HOURS", default_value_t = 168, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub session_hours: u32,
}

/// How mails are delivered.
#[derive(Args, Clone, Debug)]
pub struct MailArgs {
    /// File with the URL of the SMTP server: smtps://user:password@mail.example.com, or
    /// smtp://user:password@mail.example.com:587?tls=required; without one mails wait
    #[arg(long, env = "TUTTI_SMTP_URL_FILE", requires = "mail_from")]
    pub smtp_url_file: Option<PathBuf>,
    /// Whom mails are from, such as "Acme <no-reply@example.com>"
    #[arg(long, env = "TUTTI_MAIL_FROM")]
    pub mail_from: Option<String>,
}

impl MailArgs {
    /// The server, where there is one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn delivery(&self) -> Result<Option<Delivery>, BadConfig> {
        let Some(path) = &self.smtp_url_file else {
            return Ok(None);
        };
        let url = read_secret("--smtp-url-file", path)?;
        let from = self.mail_from.as_deref().unwrap_or_default();
        Delivery::new(&url, from).map(Some).map_err(BadConfig::Mail)
    }
}

/// Services that ask what somebody may.
#[derive(Args, Clone, Debug)]
pub struct ServicesArgs {
    /// Where they ask; never to be reached from outside
    #[arg(long, env = "TUTTI_SERVICES_LISTEN", default_value = "0.0.0.0:8082")]
    pub services_listen: SocketAddr,
    /// ServiceAccounts that may ask, such as tutti-system:gateway; without any nobody is answered there
    #[arg(long, env = "TUTTI_SERVICES", value_delimiter = ',', value_parser = service_account)]
    pub services: Vec<String>,
}

/// Servers of applications that people sign in to.
#[derive(Args, Clone, Debug)]
pub struct ClientsArgs {
    /// Where they prove themselves inside of the cluster; never to be reached from outside
    #[arg(long, env = "TUTTI_CLIENTS_LISTEN", default_value = "0.0.0.0:8083")]
    pub clients_listen: SocketAddr,
    /// How they find that, such as http://idm-clients.tutti-system.svc:8083; without it nobody is answered there
    #[arg(long, env = "TUTTI_CLIENTS_URL")]
    pub clients_url: Option<String>,
}

fn service_account(text: &str) -> Result<String, String> {
    let is_label = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte)
            })
    };
    match text.split_once(':') {
        Some((namespace, name)) if is_label(namespace) && is_label(name) => Ok(text.to_owned()),
        _ => Err(
            "write <namespace>:<name> of a ServiceAccount, such as tutti-system:gateway".to_owned(),
        ),
    }
}

/// What is wrong with the configuration, and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum BadConfig {
    #[error("--database-url-file is missing, and so is TUTTI_DATABASE_URL; give one of the two")]
    NoDatabase,
    #[error("the database's URL is none; write postgres://user:password@host:5432/idm")]
    DatabaseUrl,
    #[error("{flag}: {} cannot be read", path.display())]
    File {
        flag: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(
        "--encryption-key-file is missing; give a file with 32 or more random letters and digits, the same one to every replica"
    )]
    NoEncryptionKey,
    #[error("--encryption-key-file: {0}")]
    EncryptionKey(Unsealed),
    #[error("{flag}: {} is empty", path.display())]
    EmptyFile { flag: &'static str, path: PathBuf },
    #[error(
        "--public-url: {0:?} is not where browsers can find a service; write https://id.example.com, without a path"
    )]
    PublicUrl(String),
    #[error(
        "--clients-url: {0:?} is not where a server can be; write http://idm-clients.tutti-system.svc:8083, without a path"
    )]
    ClientsUrl(String),
    #[error("--brand-colour: {0:?} is no colour; write one such as #2f6fed")]
    Colour(String),
    #[error("--brand-logo: {} does not end with .svg, .png or .webp", .0.display())]
    Logo(PathBuf),
    #[error(
        "--smtp-url-file, --mail-from: {0}; write smtps://user:password@mail.example.com into the file, and give a sender such as \"Acme <no-reply@example.com>\""
    )]
    Mail(String),
    #[error("--listen and --admin-listen are the same address; give each its own port")]
    SameAddress,
}

impl ClientsArgs {
    /// The URL without a slash at the end. There may be no TLS: inside of the cluster it is as between the gateway and
    /// apps.
    fn backchannel(&self) -> Result<Option<String>, BadConfig> {
        let Some(url) = self.clients_url.as_deref().filter(|url| !url.is_empty()) else {
            return Ok(None);
        };
        let bad = || BadConfig::ClientsUrl(url.to_owned());
        let uri = Uri::from_str(url).map_err(|_| bad())?;
        let is_well = matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.path_and_query().is_none_or(|rest| rest.as_str() == "/")
            && uri.authority().is_some_and(|it| !it.as_str().contains('@'));
        is_well
            .then(|| Some(url.trim_end_matches('/').to_owned()))
            .ok_or_else(bad)
    }
}

impl DatabaseArgs {
    /// How to connect; the file comes first.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn options(&self) -> Result<PgConnectOptions, BadConfig> {
        let url = match (&self.database_url_file, &self.database_url) {
            (Some(path), _) => read_secret("--database-url-file", path)?,
            (None, Some(url)) => url.clone(),
            (None, None) => return Err(BadConfig::NoDatabase),
        };
        let options =
            PgConnectOptions::from_str(url.expose_secret()).map_err(|_| BadConfig::DatabaseUrl)?;
        Ok(options.application_name("idm").options([
            // No statement of ours takes a second; one that waits for a lock is given up in time for the
            // person who waits for the page.
            ("statement_timeout", "10s"),
            ("lock_timeout", "5s"),
            // A replica that died between two statements holds its rows no longer.
            ("idle_in_transaction_session_timeout", "15s"),
        ]))
    }
}

impl Config {
    /// What no flag tells of, for `--check-config`: whether it is there, and no value.
    #[must_use]
    pub fn by_environment_only(&self) -> &'static str {
        let database = &self.database;
        match (&database.database_url_file, &database.database_url) {
            (None, Some(_)) => "TUTTI_DATABASE_URL  (environment, not shown)\n",
            _ => "",
        }
    }

    /// What serving needs, checked.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn settings(&self) -> Result<Settings, BadConfig> {
        self.database.options()?;
        self.mail.delivery()?;
        let web = &self.web;
        if web.listen == web.admin_listen && web.listen.port() != 0 {
            return Err(BadConfig::SameAddress);
        }
        let colour = &self.brand.brand_colour;
        let logo = self
            .brand
            .brand_logo
            .as_deref()
            .map(read_logo)
            .transpose()?;
        let code = self.bootstrap_code_file.as_deref();
        Ok(Settings {
            public_origin: origin(web.public_url.as_deref().unwrap_or_default())?,
            backchannel: self.clients.backchannel()?,
            trusted_proxies: web.trusted_proxies.clone(),
            brand: Arc::new(Brand {
                name: self.brand.brand_name.clone(),
                colour: Colour::parse(colour).ok_or_else(|| BadConfig::Colour(colour.clone()))?,
                logo,
            }),
            lifetimes: Lifetimes {
                idle: SignedDuration::from_mins(self.sessions.session_idle_minutes.into()),
                longest: SignedDuration::from_hours(self.sessions.session_hours.into()),
            },
            bootstrap_code: code
                .map(|path| read_secret("--bootstrap-code-file", path))
                .transpose()?,
            cipher: Arc::new(self.cipher()?),
        })
    }

    fn cipher(&self) -> Result<Cipher, BadConfig> {
        let path = self.encryption_key_file.as_deref();
        let path = path.ok_or(BadConfig::NoEncryptionKey)?;
        let key = read_secret("--encryption-key-file", path)?;
        Cipher::new(&key).map_err(BadConfig::EncryptionKey)
    }
}

/// An empty file is a Secret that was written by half.
fn read_secret(flag: &'static str, path: &Path) -> Result<SecretString, BadConfig> {
    let text = fs::read_to_string(path).map_err(|source| BadConfig::File {
        flag,
        path: path.to_owned(),
        source,
    })?;
    let text = text.trim();
    if text.is_empty() {
        return Err(BadConfig::EmptyFile {
            flag,
            path: path.to_owned(),
        });
    }
    Ok(text.into())
}

fn read_logo(path: &Path) -> Result<Logo, BadConfig> {
    Logo::read(path)
        .map_err(|source| BadConfig::File {
            flag: "--brand-logo",
            path: path.to_owned(),
            source,
        })?
        .ok_or_else(|| BadConfig::Logo(path.to_owned()))
}

/// A URL as browsers name it in `Origin`. Without TLS only on a person's own machine: our cookies are not
/// sent there by any browser otherwise.
fn origin(url: &str) -> Result<String, BadConfig> {
    let bad = || BadConfig::PublicUrl(url.to_owned());
    let uri = Uri::from_str(url).map_err(|_| bad())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(bad());
    };
    let host = authority.host();
    let is_local =
        matches!(host, "localhost" | "127.0.0.1" | "[::1]") || host.ends_with(".localhost");
    let is_well = (scheme == "https" || (scheme == "http" && is_local))
        && uri.path_and_query().is_none_or(|rest| rest.as_str() == "/")
        && !authority.as_str().contains('@');
    let default_port = if scheme == "https" { 443 } else { 80 };
    let port = authority.port_u16().filter(|port| *port != default_port);
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    is_well
        .then(|| format!("{scheme}://{}{port}", host.to_ascii_lowercase()))
        .ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_becomes_the_origin_that_browsers_name() {
        for (url, expected) in [
            ("https://ID.example.com/", Some("https://id.example.com")),
            ("https://id.example.com:443", Some("https://id.example.com")),
            (
                "https://id.example.com:8443",
                Some("https://id.example.com:8443"),
            ),
            (
                "http://id.tutti.localhost:8080",
                Some("http://id.tutti.localhost:8080"),
            ),
            ("http://id.example.com", None),
            ("https://id.example.com/path", None),
            ("https://ann@id.example.com", None),
            ("id.example.com", None),
            ("", None),
        ] {
            assert_eq!(origin(url).ok().as_deref(), expected, "{url:?}");
        }
    }

    #[test]
    fn an_error_names_the_flag_and_a_secret_is_in_no_output() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let url = file("url", "postgres://idm:hidden-word@db/idm\n");
        let key = file("key", "a-hidden-key-of-more-than-32-characters\n");
        let parse = |more: &[&str]| {
            let base = [
                "idm",
                "--database-url-file",
                &url,
                "--encryption-key-file",
                &key,
                "--public-url",
                "https://id.example.com",
            ];
            Config::try_parse_from(base.iter().chain(more)).unwrap()
        };
        let code = file("code", " one-time \n");
        let config = parse(&["--bootstrap-code-file", &code]);
        let settings = config.settings().unwrap();
        assert_eq!(
            settings.bootstrap_code.as_ref().unwrap().expose_secret(),
            "one-time"
        );
        let shown = format!("{config:?} {settings:?}");
        assert!(
            !shown.contains("hidden") && !shown.contains("one-time"),
            "{shown}"
        );

        let (empty, short) = (file("empty", "\n"), file("short", "too-short\n"));
        for (more, flag) in [
            (["--bootstrap-code-file", &empty], "--bootstrap-code-file"),
            (["--brand-colour", "blue"], "--brand-colour"),
            (["--brand-logo", "logo.exe"], "--brand-logo"),
            (["--brand-logo", "gone.svg"], "--brand-logo"),
            (["--admin-listen", "0.0.0.0:8080"], "--admin-listen"),
            (["--clients-url", "idm:8083"], "--clients-url"),
            (["--clients-url", "http://idm/oauth2"], "--clients-url"),
            (["--clients-url", "http://ann@idm"], "--clients-url"),
        ] {
            let error = parse(&more).settings().unwrap_err().to_string();
            assert!(error.contains(flag), "{error}");
        }
        for (file, words) in [
            (None, "is missing"),
            (Some(empty), "is empty"),
            (Some(short), "has 9 characters; give it 32 or more"),
        ] {
            let config = Config {
                encryption_key_file: file.map(PathBuf::from),
                ..parse(&[])
            };
            let error = config.settings().unwrap_err().to_string();
            assert!(error.starts_with("--encryption-key-file"), "{error}");
            assert!(error.contains(words), "{error}");
        }
    }
}
