//! How domains are looked at and certified: one file, which the chart writes.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use jiff::SignedDuration;
use plan::domain::limits::{Limit, Limits};
use serde::{Deserialize, Serialize};

/// Everything that the file may say.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DomainsConfig {
    /// How the DNS is asked.
    #[serde(default)]
    pub dns: DnsConfig,
    /// Who certifies, in order of preference.
    #[serde(default)]
    pub acme: AcmeConfig,
}

/// How the DNS is asked.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DnsConfig {
    /// Resolvers, each an address, or address and port. All are asked; more than half must agree.
    pub resolvers: Vec<String>,
    /// Seconds that a question may take.
    pub timeout_seconds: u16,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            // Three that have nothing to do with each other.
            resolvers: ["1.1.1.1", "8.8.8.8", "9.9.9.9"].map(str::to_owned).into(),
            timeout_seconds: 5,
        }
    }
}

/// Who certifies.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AcmeConfig {
    /// Authorities in order of preference: the next one is asked while one does not answer.
    pub directories: Vec<Directory>,
    /// How records of challenges are written.
    pub dns01: Dns01Config,
}

/// How records of challenges are written.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Dns01Config {
    /// A zone of the platform's that customers delegate the names of their challenges into.
    pub delegation_zone: Option<String>,
    /// By dynamic updates.
    pub rfc2136: Option<Rfc2136>,
}

/// A DNS server that takes dynamic updates (RFC 2136), signed with a key (TSIG, RFC 8945).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rfc2136 {
    /// Its address, with a port where it is not 53.
    pub server: String,
    /// The zones that it takes updates for.
    pub zones: Vec<String>,
    /// The key's name there.
    pub key_name: String,
    /// `hmac-sha256`, `hmac-sha384` or `hmac-sha512`.
    #[serde(default = "hmac_sha256")]
    pub key_algorithm: String,
    /// A Secret of the operator's namespace with `key`, in base64.
    pub key_secret: String,
}

fn hmac_sha256() -> String {
    "hmac-sha256".to_owned()
}

impl Rfc2136 {
    /// The server's address.
    ///
    /// # Errors
    /// It is none.
    pub fn server(&self) -> anyhow::Result<SocketAddr> {
        address(&self.server)
    }
}

fn address(text: &str) -> anyhow::Result<SocketAddr> {
    text.parse::<SocketAddr>()
        .or_else(|_| text.parse::<IpAddr>().map(|it| SocketAddr::new(it, 53)))
        .with_context(|| format!("{text:?} is no address, such as 9.9.9.9 or 10.0.0.1:53"))
}

/// A certificate authority that speaks RFC 8555.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Directory {
    /// Its name here, in messages and on Domains.
    pub name: String,
    /// Its directory (RFC 8555 §7.1.1).
    pub url: String,
    /// Whom it may write to, each as `mailto:somebody@example.com`.
    #[serde(default)]
    pub contacts: Vec<String>,
    /// Its terms of service were read and agreed to. Without this no account is made.
    #[serde(default)]
    pub terms_of_service_agreed: bool,
    /// A profile of its own, such as `shortlived`.
    #[serde(default)]
    pub profile: Option<String>,
    /// Who we are there already (RFC 8555 §7.3.4): a Secret of the operator's namespace with `keyId`
    /// and `key` (base64url).
    #[serde(default)]
    pub external_account_secret: Option<String>,
    /// Who signed the certificate of the directory itself (PEM); the usual authorities when left out.
    #[serde(default)]
    pub ca_bundle: Option<String>,
    /// The number of the account's key. A higher one than before has the key changed (RFC 8555 §7.3.5).
    #[serde(default)]
    pub key_generation: u32,
    /// Its names in CAA records (RFC 8659).
    #[serde(default)]
    pub caa_identities: Vec<String>,
    /// Its rate limits; Let's Encrypt's when left out.
    #[serde(default)]
    pub limits: LimitsConfig,
}

/// Rate limits of an authority.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum LimitsConfig {
    /// By name.
    Known(KnownLimits),
    /// By numbers; one that is left out does not exist.
    Own(OwnLimits),
}

/// Limits that have a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum KnownLimits {
    /// Those that Let's Encrypt documents; other authorities' are wider.
    LetsEncrypt,
    /// It has none.
    None,
}

/// Limits in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OwnLimits {
    /// Orders of the account.
    #[serde(default)]
    pub orders: Option<OwnLimit>,
    /// First certificates below a registered domain.
    #[serde(default)]
    pub per_registered_domain: Option<OwnLimit>,
    /// Certificates of the same name.
    #[serde(default)]
    pub per_exact_set: Option<OwnLimit>,
    /// Failed validations of a name.
    #[serde(default)]
    pub failures_per_name: Option<OwnLimit>,
}

/// So many within so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OwnLimit {
    /// At once, and again within the time.
    pub most: u32,
    /// The time.
    pub seconds: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self::Known(KnownLimits::LetsEncrypt)
    }
}

impl LimitsConfig {
    /// As they are reckoned with.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let limit = |own: &Option<OwnLimit>| {
            own.map(|own| Limit {
                most: own.most,
                period: SignedDuration::from_secs(i64::from(own.seconds)),
            })
        };
        match self {
            Self::Known(KnownLimits::LetsEncrypt) => Limits::lets_encrypt(),
            Self::Known(KnownLimits::None) => Limits::default(),
            Self::Own(own) => Limits {
                orders: limit(&own.orders),
                per_registered_domain: limit(&own.per_registered_domain),
                per_exact_set: limit(&own.per_exact_set),
                failures_per_name: limit(&own.failures_per_name),
            },
        }
    }

    fn is_possible(&self) -> bool {
        let Limits {
            orders,
            per_registered_domain,
            per_exact_set,
            failures_per_name,
        } = self.limits();
        [
            orders,
            per_registered_domain,
            per_exact_set,
            failures_per_name,
        ]
        .iter()
        .flatten()
        .all(|limit| limit.most > 0 && limit.period.is_positive())
    }
}

impl DomainsConfig {
    /// Reads the file; the defaults when there is none.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(file) = file else {
            return Ok(Self::default());
        };
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let config: Self = serde_saphyr::from_str(&text)
            .with_context(|| format!("{} is not as it should be", file.display()))?;
        config
            .check()
            .with_context(|| format!("{} cannot be used", file.display()))?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            !self.dns.resolvers.is_empty(),
            "dns.resolvers: name at least one"
        );
        self.resolvers()?;
        let dns01 = &self.acme.dns01;
        if let Some(rfc2136) = &dns01.rfc2136 {
            rfc2136.server().context("acme.dns01.rfc2136.server")?;
            let algorithm = rfc2136.key_algorithm.as_str();
            ensure!(
                matches!(algorithm, "hmac-sha256" | "hmac-sha384" | "hmac-sha512"),
                "acme.dns01.rfc2136.keyAlgorithm: {algorithm}: hmac-sha256, hmac-sha384 and \
                 hmac-sha512 are known"
            );
            if let Some(zone) = dns01.delegation_zone.as_ref().filter(|it| !it.is_empty()) {
                ensure!(
                    rfc2136
                        .zones
                        .iter()
                        .any(|it| plan::domain::name::is_within(zone, it)),
                    "acme.dns01.delegationZone: {zone} lies in none of acme.dns01.rfc2136.zones"
                );
            }
        }
        let mut names = BTreeSet::new();
        for directory in &self.acme.directories {
            let name = &directory.name;
            ensure!(
                names.insert(name),
                "acme.directories: {name}: two have this name"
            );
            ensure!(
                directory.terms_of_service_agreed,
                "acme.directories: {name}: read its terms of service, and say \
                 termsOfServiceAgreed: true"
            );
            ensure!(
                directory.url.starts_with("https://"),
                "acme.directories: {name}: url has to begin with https://"
            );
            ensure!(
                directory.limits.is_possible(),
                "acme.directories: {name}: limits: most and seconds have to be more than 0; leave out \
                 a limit that does not exist"
            );
            let is_label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            ensure!(
                !name.is_empty() && name.len() <= 40 && name.chars().all(is_label),
                "acme.directories: name {name:?}: lower-case letters, digits and dashes"
            );
        }
        Ok(())
    }

    /// The resolvers' addresses.
    ///
    /// # Errors
    /// One that is no address.
    pub fn resolvers(&self) -> anyhow::Result<Vec<SocketAddr>> {
        let parse = |text: &String| address(text).context("dns.resolvers");
        self.dns.resolvers.iter().map(parse).collect()
    }

    /// How long a question to the DNS may take.
    #[must_use]
    pub fn patience(&self) -> Duration {
        Duration::from_secs(u64::from(self.dns.timeout_seconds.clamp(1, 60)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<DomainsConfig, String> {
        let folder = std::env::temp_dir();
        let file = folder.join(format!(
            "tutti-domains-{}-{}.yaml",
            std::process::id(),
            text.len()
        ));
        std::fs::write(&file, text).unwrap();
        let config = DomainsConfig::read(Some(&file)).map_err(|error| format!("{error:#}"));
        std::fs::remove_file(file).unwrap();
        config
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        let agreed = "acme:\n  directories:\n    - name: le\n      url: https://ca.test/dir\n";
        assert!(read(agreed).unwrap_err().contains("termsOfServiceAgreed"));
        let misspelt = "dns:\n  resolver: [9.9.9.9]\n";
        assert!(read(misspelt).unwrap_err().contains("resolver"));
        let name = "dns:\n  resolvers: [dns.example]\n";
        assert!(read(name).unwrap_err().contains("dns.example"));
        let plain = "acme:\n  directories:\n    - name: le\n      url: http://ca.test/dir\n      \
                     termsOfServiceAgreed: true\n";
        assert!(read(plain).unwrap_err().contains("https://"));
        let limits = |text: &str| {
            read(&format!(
                "acme:\n  directories:\n    - name: own\n      url: https://ca.test/dir\n      \
                 termsOfServiceAgreed: true\n      limits: {text}\n"
            ))
        };
        let own = limits("{ orders: { most: 2, seconds: 20 } }").unwrap();
        let own = own.acme.directories[0].limits.limits();
        assert_eq!(
            own.orders.map(|it| (it.most, it.period.as_secs())),
            Some((2, 20))
        );
        assert_eq!(own.per_registered_domain, None);
        let named = limits("letsEncrypt").unwrap().acme.directories[0]
            .limits
            .limits();
        assert_eq!(named, Limits::lets_encrypt());
        assert!(
            limits("{ orders: { most: 0, seconds: 20 } }")
                .unwrap_err()
                .contains("more than 0")
        );
        assert!(limits("{ order: { most: 1, seconds: 20 } }").is_err());
    }

    #[test]
    fn what_is_in_force_is_shown_as_the_file_may_be_written() {
        let written = "dns:\n  resolvers: [9.9.9.9]\nacme:\n  directories:\n    - name: own\n      \
                       url: https://ca.test/dir\n      termsOfServiceAgreed: true\n      limits: \
                       { orders: { most: 2, seconds: 20 } }\n  dns01:\n    rfc2136:\n      server: \
                       10.0.0.1\n      zones: [c.test]\n      keyName: k\n      keySecret: key\n";
        let shown = serde_saphyr::to_string(&read(written).unwrap()).unwrap();
        assert!(shown.contains("timeoutSeconds: 5"), "{shown}");
        let again = serde_saphyr::to_string(&read(&shown).unwrap()).unwrap();
        assert_eq!(again, shown);
    }

    #[test]
    fn an_address_without_a_port_is_asked_at_53() {
        let config =
            read("dns:\n  resolvers: [9.9.9.9, '10.0.0.1:5353', '2620:fe::fe']\n").unwrap();
        let ports: Vec<u16> = config
            .resolvers()
            .unwrap()
            .iter()
            .map(SocketAddr::port)
            .collect();
        assert_eq!(ports, [53, 5353, 53]);
    }
}
