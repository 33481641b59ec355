//! What can be set, by flag or environment. Read once in `main`; everything is checked before
//! anything starts, and an error names the flag and the mend.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Parser;
use http::Uri;
use ipnet::IpNet;
use service::LogArgs;

use crate::{
    door::Address,
    gateway::{Limits, Settings},
    headers::normalise_host,
    listen::Drain,
};

/// The one door of Tutti: TLS for every hostname, and the way to the service behind it.
#[derive(Clone, Debug, Parser)]
#[command(name = "gateway", version)]
pub struct Config {
    /// Where plain HTTP is listened to
    #[arg(long, env = "TUTTI_HTTP_LISTEN", default_value = "0.0.0.0:8080")]
    pub http_listen: SocketAddr,
    /// Where HTTPS is listened to
    #[arg(long, env = "TUTTI_HTTPS_LISTEN", default_value = "0.0.0.0:8443")]
    pub https_listen: SocketAddr,
    /// Where health and metrics are listened to; never to be reached from outside
    #[arg(long, env = "TUTTI_ADMIN_LISTEN", default_value = "0.0.0.0:8081")]
    pub admin_listen: SocketAddr,
    /// Namespace of the Secrets of type kubernetes.io/tls [default: the pod's own, POD_NAMESPACE]
    #[arg(long, env = "TUTTI_CERTIFICATE_NAMESPACE")]
    pub certificate_namespace: Option<String>,
    /// The pod's own namespace
    #[arg(long, env = "POD_NAMESPACE", hide = true)]
    pub pod_namespace: Option<String>,
    /// The platform's own zone, such as apps.example.com; its wildcard certificate is shown to strangers
    #[arg(long, env = "TUTTI_PLATFORM_ZONE")]
    pub platform_zone: String,
    /// Port under which clients reach HTTPS
    #[arg(long, env = "TUTTI_PUBLIC_HTTPS_PORT", default_value_t = 443)]
    pub public_https_port: u16,
    /// Port under which clients reach plain HTTP
    #[arg(long, env = "TUTTI_PUBLIC_HTTP_PORT", default_value_t = 80)]
    pub public_http_port: u16,
    /// Seconds to go on serving after SIGTERM, until no new connection is sent here
    #[arg(long, env = "TUTTI_DRAIN_DELAY", default_value_t = 5)]
    pub drain_delay: u64,
    /// Seconds that open connections may take to end after that
    #[arg(long, env = "TUTTI_DRAIN_SECONDS", default_value_t = 25)]
    pub drain_seconds: u64,
    /// Ranges of proxies before us whose X-Forwarded-For, -Proto and X-Request-Id count
    #[arg(long, env = "TUTTI_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<IpNet>,
    /// Threads [default: one per core]
    #[arg(long, env = "TUTTI_WORKERS")]
    pub workers: Option<usize>,
    #[command(flatten)]
    pub door: DoorArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub log: LogArgs,
    /// Check the configuration, print what is in force, and exit with 0 or 1
    #[arg(long)]
    pub check_config: bool,
}

/// Where people sign in; all of it, or nothing.
#[derive(Clone, Debug, clap::Args)]
pub struct DoorArgs {
    /// Where people sign in, such as https://id.example.com
    #[arg(long, env = "TUTTI_SIGN_IN_URL")]
    pub sign_in_url: Option<String>,
    /// Where services ask idm, such as http://idm-services.tutti-system.svc:8082
    #[arg(long, env = "TUTTI_IDM_URL")]
    pub idm_url: Option<String>,
    /// File with our ServiceAccount's token for the audience tutti-idm
    #[arg(long, env = "TUTTI_IDM_TOKEN_FILE")]
    pub idm_token_file: Option<PathBuf>,
}

/// What clients may use up.
#[derive(Clone, Debug, clap::Args)]
pub struct LimitArgs {
    /// Open connections of clients; over it, new ones are closed at once
    #[arg(long, env = "TUTTI_MAX_CONNECTIONS", default_value_t = 16_384)]
    pub max_connections: usize,
    /// Bytes of a request's head
    #[arg(long, env = "TUTTI_MAX_HEADER_BYTES", default_value_t = 32 * 1024)]
    pub max_header_bytes: usize,
    /// Seconds to send a request's head, and to stay idle on HTTP/1.1
    #[arg(long, env = "TUTTI_HEADER_SECONDS", default_value_t = 10)]
    pub header_seconds: u64,
    /// Seconds for a TLS handshake
    #[arg(long, env = "TUTTI_HANDSHAKE_SECONDS", default_value_t = 10)]
    pub handshake_seconds: u64,
    /// Seconds that a client may take nothing of its answer
    #[arg(long, env = "TUTTI_STALL_SECONDS", default_value_t = 300)]
    pub stall_seconds: u64,
    /// Requests at once on one HTTP/2 connection
    #[arg(long, env = "TUTTI_MAX_STREAMS", default_value_t = 200)]
    pub max_streams: u32,
}

/// What is wrong with the configuration, and how to mend it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadConfig {
    #[error(
        "--platform-zone: {0:?} is not a DNS zone; give one such as apps.example.com, without *. and without a port"
    )]
    Zone(String),
    #[error(
        "--certificate-namespace is missing and POD_NAMESPACE is not set; give the namespace of the TLS Secrets"
    )]
    CertificateNamespace,
    #[error("--sign-in-url, --idm-url and --idm-token-file belong together; {missing} is missing")]
    DoorIncomplete { missing: &'static str },
    #[error("{flag}: {given:?} is no address of a service; give {example}, without a path")]
    Url {
        flag: &'static str,
        given: String,
        example: &'static str,
    },
    #[error("{first} and {second} are the same address; give each its own port")]
    SameAddress {
        first: &'static str,
        second: &'static str,
    },
    #[error("{flag}: {given} is out of range; give {range}")]
    OutOfRange {
        flag: &'static str,
        given: u64,
        range: &'static str,
    },
}

impl Config {
    /// Checks what clap cannot.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), BadConfig> {
        let zone = &self.platform_zone;
        if normalise_host(zone.as_bytes()).as_deref() != Some(zone) || !zone.contains('.') {
            return Err(BadConfig::Zone(zone.clone()));
        }
        self.certificate_namespace()?;
        self.door()?;
        let addresses = [
            ("--http-listen", self.http_listen),
            ("--https-listen", self.https_listen),
            ("--admin-listen", self.admin_listen),
        ];
        for (at, (first, one)) in addresses.iter().enumerate() {
            for (second, other) in addresses.iter().skip(at + 1) {
                if one == other && one.port() != 0 {
                    return Err(BadConfig::SameAddress { first, second });
                }
            }
        }
        let limits = &self.limits;
        let ranges: [(
            &'static str,
            u64,
            std::ops::RangeInclusive<u64>,
            &'static str,
        ); 7] = [
            (
                "--workers",
                self.workers.unwrap_or(1) as u64,
                1..=1_024,
                "1 to 1024",
            ),
            (
                "--max-connections",
                limits.max_connections as u64,
                1..=1_000_000,
                "1 to 1000000",
            ),
            (
                "--max-header-bytes",
                limits.max_header_bytes as u64,
                8_192..=1_048_576,
                "8192 to 1048576",
            ),
            (
                "--header-seconds",
                limits.header_seconds,
                1..=3_600,
                "1 to 3600",
            ),
            (
                "--handshake-seconds",
                limits.handshake_seconds,
                1..=3_600,
                "1 to 3600",
            ),
            (
                "--stall-seconds",
                limits.stall_seconds,
                1..=86_400,
                "1 to 86400",
            ),
            (
                "--max-streams",
                limits.max_streams.into(),
                1..=10_000,
                "1 to 10000",
            ),
        ];
        for (flag, given, range, words) in ranges {
            if !range.contains(&given) {
                return Err(BadConfig::OutOfRange {
                    flag,
                    given,
                    range: words,
                });
            }
        }
        Ok(())
    }

    /// # Errors
    /// When neither the flag nor the pod's namespace is set.
    pub fn certificate_namespace(&self) -> Result<&str, BadConfig> {
        self.certificate_namespace
            .as_deref()
            .or(self.pod_namespace.as_deref())
            .filter(|namespace| !namespace.is_empty())
            .ok_or(BadConfig::CertificateNamespace)
    }

    /// Where people sign in; `None` where nobody can.
    ///
    /// # Errors
    /// When only a part of it is set, or an address is none.
    pub fn door(&self) -> Result<Option<Address>, BadConfig> {
        // An empty variable is how charts say "not set".
        let set = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
        let DoorArgs {
            sign_in_url,
            idm_url,
            idm_token_file,
        } = &self.door;
        let (sign_in, services) = (set(sign_in_url), set(idm_url));
        let token = idm_token_file
            .clone()
            .filter(|file| !file.as_os_str().is_empty());
        let missing = |missing| move || BadConfig::DoorIncomplete { missing };
        if sign_in.is_none() && services.is_none() && token.is_none() {
            return Ok(None);
        }
        let sign_in = sign_in.ok_or_else(missing("--sign-in-url"))?;
        let services = services.ok_or_else(missing("--idm-url"))?;
        Ok(Some(Address {
            sign_in: origin("--sign-in-url", &sign_in, "https", "https://id.example.com")?,
            services: origin(
                "--idm-url",
                &services,
                "http",
                "http://idm-services.tutti-system.svc:8082",
            )?,
            token: token.ok_or_else(missing("--idm-token-file"))?,
        }))
    }

    #[must_use]
    pub fn settings(&self) -> Settings {
        let limits = &self.limits;
        Settings {
            zone: self.platform_zone.clone(),
            public_http_port: self.public_http_port,
            public_https_port: self.public_https_port,
            trusted_proxies: self.trusted_proxies.clone(),
            limits: Limits {
                connections: limits.max_connections,
                header_bytes: limits.max_header_bytes,
                header_timeout: Duration::from_secs(limits.header_seconds),
                handshake_timeout: Duration::from_secs(limits.handshake_seconds),
                stall_timeout: Duration::from_secs(limits.stall_seconds),
                streams: limits.max_streams,
            },
        }
    }

    #[must_use]
    pub fn drain(&self) -> Drain {
        Drain {
            delay: Duration::from_secs(self.drain_delay),
            grace: Duration::from_secs(self.drain_seconds),
        }
    }
}

/// Scheme, host and port, without a slash at the end.
fn origin(
    flag: &'static str,
    given: &str,
    scheme: &str,
    example: &'static str,
) -> Result<String, BadConfig> {
    let is_origin = |uri: &Uri| {
        uri.scheme_str() == Some(scheme)
            && uri.host().is_some_and(|host| !host.is_empty())
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
    };
    match given.parse::<Uri>() {
        Ok(uri) if is_origin(&uri) => Ok(given.trim_end_matches('/').to_owned()),
        _ => Err(BadConfig::Url {
            flag,
            given: given.to_owned(),
            example,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(flags: &[&str]) -> Config {
        let base = [
            "gateway",
            "--platform-zone",
            "apps.example",
            "--certificate-namespace",
            "tutti",
        ];
        Config::parse_from(base.iter().chain(flags))
    }

    #[test]
    fn the_door_is_set_as_a_whole_or_not_at_all() {
        let whole = [
            "--sign-in-url",
            "https://id.apps.example:8443/",
            "--idm-url",
            "http://idm-services.tutti-system.svc:8082",
            "--idm-token-file",
            "/token",
        ];
        assert!(config(&[]).door().unwrap().is_none());
        assert!(
            config(&["--sign-in-url", "", "--idm-url", ""])
                .door()
                .unwrap()
                .is_none()
        );
        let door = config(&whole).door().unwrap().unwrap();
        assert_eq!(door.sign_in, "https://id.apps.example:8443");
        let wrong = |flags: &[&str]| config(flags).check().unwrap_err().to_string();
        assert!(wrong(&whole[..4]).contains("--idm-token-file is missing"));
        for url in ["http://id.apps.example", "id.apps.example", "https://a/b"] {
            let mut flags = whole;
            flags[1] = url;
            assert!(wrong(&flags).starts_with("--sign-in-url: "), "{url}");
        }
    }

    #[test]
    fn what_is_wrong_names_the_flag_and_the_mend() {
        assert_eq!(config(&[]).check(), Ok(()));
        let wrong = |flags: &[&str]| config(flags).check().unwrap_err().to_string();
        assert!(
            wrong(&["--admin-listen", "0.0.0.0:8443"])
                .starts_with("--https-listen and --admin-listen")
        );
        assert!(
            wrong(&["--max-header-bytes", "1"])
                .contains("--max-header-bytes: 1 is out of range; give 8192")
        );
        for zone in [
            "*.apps.example",
            "apps",
            "apps.example:443",
            "Apps.Example",
            "",
        ] {
            let mut config = config(&[]);
            config.platform_zone = zone.to_owned();
            assert!(
                config
                    .check()
                    .unwrap_err()
                    .to_string()
                    .starts_with("--platform-zone"),
                "{zone}"
            );
        }
    }

    #[test]
    fn trusted_proxies_are_ranges() {
        let settings = config(&["--trusted-proxies", "10.0.0.0/8,192.168.0.1/32"]).settings();
        assert_eq!(settings.trusted_proxies.len(), 2);
        assert!(
            Config::try_parse_from([
                "gateway",
                "--platform-zone",
                "a.b",
                "--trusted-proxies",
                "here"
            ])
            .is_err()
        );
    }
}
