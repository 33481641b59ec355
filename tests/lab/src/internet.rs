//! What stands for the internet: a DNS server that knows every name there is (BIND), and two
//! certificate authorities (Pebble; the second one asks for an external account binding). People
//! and tests set records with `lab dns`, as customers do at their registrar's.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    Lab, network, packages,
    process::run_with_input,
    state::{State, write_whole},
    templates::render,
};

/// The platform's zone in the lab.
const PLATFORM_ZONE: &str = "tutti.localhost";
/// The Secret that the operator signs updates with.
const UPDATE_SECRET: &str = "dns-update";
/// Seconds for which a record may be kept, unless somebody says otherwise: people change their minds.
const TTL: u32 = 5;

/// How long authorities may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// A certificate authority of the lab.
#[derive(Clone, Copy, Debug)]
pub struct Authority {
    /// Its name, also of its process.
    pub name: &'static str,
    /// Where it speaks RFC 8555.
    pub port: u16,
    /// Where it tells of itself: its root certificate.
    pub management: u16,
    /// Who may have an account: key identifier and key (RFC 8555 §7.3.4).
    pub binding: Option<(&'static str, &'static str)>,
}

/// Both authorities. Their certificates are worth nothing anywhere else, so the key is no secret.
pub const AUTHORITIES: [Authority; 2] = [
    Authority {
        name: "pebble",
        port: 14000,
        management: 15000,
        binding: None,
    },
    Authority {
        name: "pebble-bound",
        port: 14001,
        management: 15001,
        binding: Some(("lab", "bGFiLWxhYi1sYWItbGFiLWxhYi1sYWItbGFiLWxhYi0")),
    },
];

impl Authority {
    /// Its directory (RFC 8555 §7.1.1).
    #[must_use]
    pub fn directory(&self, address: Ipv4Addr) -> String {
        format!("https://{address}:{}/dir", self.port)
    }

    /// Writes what it reads: the file's place is [`Authority::file`].
    pub fn provide(&self, state: &State, address: Ipv4Addr) -> Result<()> {
        let keys = match self.binding {
            Some((id, key)) => serde_json::json!({ id: key }),
            None => serde_json::json!({}),
        };
        let text = render(
            include_str!("../manifests/pebble.json"),
            &[
                ("ADDRESS", &address.to_string()),
                ("PORT", &self.port.to_string()),
                ("MANAGEMENT", &self.management.to_string()),
                ("PKI", &state.path("pki").display().to_string()),
                ("BINDING", &self.binding.is_some().to_string()),
                ("KEYS", &keys.to_string()),
            ],
        )?;
        write_whole(&self.file(state), text.as_bytes())
    }

    /// What it reads.
    #[must_use]
    pub fn file(&self, state: &State) -> PathBuf {
        state.path(format!("{}.json", self.name))
    }

    /// How it is called: beside its file, where it asks the DNS.
    #[must_use]
    pub fn flags(&self, state: &State, address: Ipv4Addr) -> Vec<String> {
        vec![
            "-strict".to_owned(),
            "-config".to_owned(),
            self.file(state).display().to_string(),
            "-dnsserver".to_owned(),
            format!("{address}:53"),
        ]
    }

    /// What it says itself of a certificate, by its serial number in hexadecimal: `Valid`, or `Revoked`
    /// with the number of the reason (RFC 5280 §5.3.1).
    pub async fn says_of(
        &self,
        client: &reqwest::Client,
        address: Ipv4Addr,
        serial: &str,
    ) -> Result<(String, Option<u64>)> {
        let management = self.management;
        let url = format!("https://{address}:{management}/cert-status-by-serial/{serial}");
        let answer = client.get(url).send().await?.error_for_status()?;
        let said: serde_json::Value = serde_json::from_slice(&answer.bytes().await?)?;
        let status = said["Status"].as_str().context("it says no status")?;
        Ok((status.to_owned(), said["Reason"].as_u64()))
    }

    /// Where its root certificate is told: a new one at each start.
    #[must_use]
    pub fn root(&self, address: Ipv4Addr) -> String {
        format!("https://{address}:{}/roots/0", self.management)
    }
}

/// The folder of the zones.
pub fn dns_folder(state: &State) -> PathBuf {
    state.path("dns")
}

/// How the DNS server is called.
#[must_use]
pub fn dns_flags(state: &State) -> Vec<String> {
    let configuration = dns_folder(state).join("named.conf");
    // In the foreground, with its log on standard error.
    vec![
        "-g".to_owned(),
        "-4".to_owned(),
        "-c".to_owned(),
        configuration.display().to_string(),
    ]
}

/// Writes what DNS and authorities read. Zones that exist are kept with what people set.
pub fn provide(state: &State, index: u8) -> Result<()> {
    let address = network::node_address(index, 1);
    provide_program(state)?;
    provide_dns(state, address, PLATFORM_ZONE)?;
    for authority in &AUTHORITIES {
        authority.provide(state, address)?;
    }
    Ok(())
}

/// Writes what a DNS server at an address reads: every name under `test`, and a platform's zone,
/// all names of which lead to that address.
pub fn provide_dns(state: &State, address: Ipv4Addr, platform: &str) -> Result<()> {
    let address = &address.to_string();
    let folder = dns_folder(state);
    fs::create_dir_all(&folder)?;
    let secret = provide_key(state)?;
    let configuration = render(
        include_str!("../manifests/named.conf"),
        &[
            ("SECRET", &secret),
            ("FOLDER", &folder.display().to_string()),
            ("ADDRESS", address),
            ("PLATFORM", platform),
        ],
    )?;
    write_private(&folder.join("named.conf"), configuration.as_bytes())?;
    for (file, template) in [
        ("root.zone", include_str!("../manifests/root.zone")),
        ("test.zone", include_str!("../manifests/test.zone")),
        ("platform.zone", include_str!("../manifests/platform.zone")),
    ] {
        let place = folder.join(file);
        if !place.exists() {
            let text = render(template, &[("ADDRESS", address)])?;
            write_whole(&place, text.as_bytes())?;
        }
    }
    Ok(())
}

/// The DNS server as a program of the lab: a copy, because Debian confines the program at its own
/// place to Debian's folders (AppArmor).
pub fn provide_program(state: &State) -> Result<()> {
    let original = packages::locate("named").context("named is missing; it is Debian's bind9")?;
    let copy = state.program("named");
    let content = fs::read(&original)?;
    if fs::read(&copy).is_ok_and(|old| old == content) {
        return Ok(());
    }
    write_whole(&copy, &content)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// The key that updates are signed with (TSIG, RFC 8945), in base64.
pub fn provide_key(state: &State) -> Result<String> {
    let place = key_file(state);
    if let Ok(text) = fs::read_to_string(&place) {
        return Ok(text.trim().to_owned());
    }
    let mut random = [0_u8; 32];
    fs::File::open("/dev/urandom")
        .and_then(|mut source| std::io::Read::read_exact(&mut source, &mut random))
        .context("no random numbers")?;
    let text = STANDARD.encode(random);
    write_private(&place, text.as_bytes())?;
    Ok(text)
}

fn key_file(state: &State) -> PathBuf {
    dns_folder(state).join("tsig.key")
}

fn write_private(place: &Path, content: &[u8]) -> Result<()> {
    write_whole(place, content)?;
    fs::set_permissions(place, fs::Permissions::from_mode(0o600))?;
    Ok(())
}

/// Waits until the authorities answer, and adds to those who are trusted who they are: they have new
/// roots after each start, and what they signed before is still in use.
///
/// # Errors
/// When one of them does not answer.
pub fn provide_roots(state: &State, index: u8) -> Result<()> {
    let address = network::node_address(index, 1);
    let lab = fs::read(state.path("tls/ca.crt"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let place = roots_file(state);
    let known = fs::read_to_string(&place).unwrap_or_default();
    let trusted = runtime.block_on(async {
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&lab)?])
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()?;
        let mut trusted = known.clone();
        for authority in &AUTHORITIES {
            let url = authority.root(address);
            let begun = Instant::now();
            let root = loop {
                match root(&client, &url).await {
                    Ok(root) => break root,
                    Err(error) if begun.elapsed() > PATIENCE => {
                        return Err(error.context(format!("{} does not answer", authority.name)));
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            };
            if !trusted.contains(&root) {
                trusted.push_str(&root);
            }
        }
        Ok(trusted)
    })?;
    if trusted == known {
        return Ok(());
    }
    write_whole(&place, trusted.as_bytes())
}

async fn root(client: &reqwest::Client, url: &str) -> Result<String> {
    let answer = client.get(url).send().await?.error_for_status()?;
    Ok(answer.text().await?)
}

/// The file of the authorities' roots, the oldest first: that of the platform's certificate.
#[must_use]
pub fn roots_file(state: &State) -> PathBuf {
    state.path("tls/trust.crt")
}

/// The file of the chart's values that name the lab's internet.
#[must_use]
pub fn values_file(state: &State) -> PathBuf {
    state.path("internet-values.json")
}

/// Values of the chart: the lab's resolver, and its authorities. The second one stands by.
///
/// # Errors
/// When the file cannot be written.
pub fn write_values(lab: &Lab) -> Result<PathBuf> {
    let address = lab.node_address;
    let bundle = fs::read_to_string(lab.state().path("tls/ca.crt"))?;
    let directories: Vec<serde_json::Value> = AUTHORITIES
        .iter()
        .map(|authority| {
            let mut directory = serde_json::json!({
                "name": authority.name,
                "url": authority.directory(address),
                "contacts": ["mailto:operations@acme.test"],
                "termsOfServiceAgreed": true,
                "caBundle": bundle,
                "caaIdentities": ["pebble.letsencrypt.org"],
                // Of those who name none Pebble takes any.
                "profile": "classic",
                "limits": "none",
            });
            if authority.binding.is_some() {
                directory["externalAccountSecret"] = authority.name.into();
            }
            directory
        })
        .collect();
    let values = serde_json::json!({
        "platform": { "certificate": { "acme": true } },
        "dns": { "resolvers": [format!("{address}:53")] },
        "acme": {
            "directories": directories,
            "dns01": {
                "delegationZone": format!("acme.{PLATFORM_ZONE}"),
                "rfc2136": {
                    "server": format!("{address}:53"),
                    "zones": [PLATFORM_ZONE],
                    "keyName": "lab",
                    "keySecret": UPDATE_SECRET,
                },
            },
        },
    });
    let place = values_file(lab.state());
    write_whole(&place, serde_json::to_string_pretty(&values)?.as_bytes())?;
    Ok(place)
}

/// The Secrets that these values name, as objects.
///
/// # Errors
/// When the lab has no key for its DNS.
pub fn secrets(lab: &Lab, namespace: &str) -> Result<Vec<serde_json::Value>> {
    let key =
        fs::read_to_string(key_file(lab.state())).context("the lab has no DNS; run make up")?;
    let mut secrets: Vec<serde_json::Value> = AUTHORITIES
        .iter()
        .filter_map(|authority| {
            let (id, key) = authority.binding?;
            Some(serde_json::json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": { "name": authority.name, "namespace": namespace },
                "stringData": { "keyId": id, "key": key },
            }))
        })
        .collect();
    secrets.push(serde_json::json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": UPDATE_SECRET, "namespace": namespace },
        "stringData": { "key": key.trim() },
    }));
    Ok(secrets)
}

/// A change of a record, as `lab dns` takes it.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Change {
    /// Set a record in place of all of its type, and of a CNAME, which is alone at its name: lab dns set www.acme.test CNAME blog-x.tutti.localhost
    Set {
        /// Its name.
        name: String,
        /// A, AAAA, CNAME, TXT, CAA, NS or MX.
        #[arg(value_name = "TYPE")]
        kind: String,
        /// Its values, each as zone files write it; several make several records.
        #[arg(required = true)]
        values: Vec<String>,
        /// Seconds for which it may be kept.
        #[arg(long, default_value_t = TTL)]
        ttl: u32,
    },
    /// Remove the records of a name, all of them or those of one type.
    Delete {
        /// Its name.
        name: String,
        /// A, AAAA, CNAME, TXT, CAA, NS or MX.
        #[arg(value_name = "TYPE")]
        kind: Option<String>,
    },
}

/// Changes a record of the lab's DNS, with a signed update (RFC 2136).
///
/// # Errors
/// What the DNS server has against it.
pub fn change(state: &State, change: &Change) -> Result<()> {
    let record = state.record()?;
    ensure!(record.nodes > 0, "there is no lab; run make up");
    update_dns(
        state,
        network::node_address(record.index, 1),
        &update(change)?,
    )
}

/// Sends updates, as `nsupdate` reads them, to the DNS server at an address.
pub fn update_dns(state: &State, address: Ipv4Addr, updates: &str) -> Result<()> {
    let secret = fs::read_to_string(key_file(state)).context("the lab has no DNS; run make up")?;
    let text = format!(
        "server {address}\nkey hmac-sha256:lab {}\n{updates}send\n",
        secret.trim(),
    );
    let program = packages::locate("nsupdate")
        .context("nsupdate is missing; it is in Debian's bind9-dnsutils")?;
    run_with_input(&mut Command::new(program), Some(&text))
        .map(drop)
        .context("the lab's DNS does not take the change")
}

/// A change as `nsupdate` reads it.
pub fn update(change: &Change) -> Result<String> {
    let (Change::Set { name, .. } | Change::Delete { name, .. }) = change;
    // Without it nsupdate asks whose the name is, and is led round by CNAMEs that go round.
    let zone = if name.trim_end_matches('.').ends_with(PLATFORM_ZONE) {
        PLATFORM_ZONE
    } else {
        "test"
    };
    Ok(format!("zone {zone}.\n{}", records(change)?))
}

fn records(change: &Change) -> Result<String> {
    Ok(match change {
        Change::Set {
            name,
            kind,
            values,
            ttl,
        } => {
            let (name, kind) = (checked_name(name)?, checked_kind(kind)?);
            // A CNAME is alone at its name (RFC 1034 §3.6.2): what was there goes in the same moment.
            let mut text = if kind == "CNAME" {
                format!("update delete {name}\n")
            } else {
                format!("update delete {name} CNAME\nupdate delete {name} {kind}\n")
            };
            for value in values {
                ensure!(!value.contains('\n'), "a value is one line");
                let value = absolute(&kind, value);
                text.push_str(&format!("update add {name} {ttl} {kind} {value}\n"));
            }
            text
        }
        Change::Delete { name, kind: None } => {
            format!("update delete {}\n", checked_name(name)?)
        }
        Change::Delete {
            name,
            kind: Some(kind),
        } => format!(
            "update delete {} {}\n",
            checked_name(name)?,
            checked_kind(kind)?
        ),
    })
}

/// With a dot at its end, so that it means the same everywhere.
fn checked_name(name: &str) -> Result<String> {
    let is_one = |c: char| c.is_ascii_alphanumeric() || "-_.*".contains(c);
    ensure!(
        !name.is_empty() && name.chars().all(is_one),
        "{name}: a DNS name is wanted, such as www.acme.test"
    );
    let name = name.trim_end_matches('.');
    ensure!(
        name == "test"
            || name.ends_with(".test")
            || name == PLATFORM_ZONE
            || name.ends_with(&format!(".{PLATFORM_ZONE}")),
        "{name}: the lab's internet has names under test (and {PLATFORM_ZONE}) only"
    );
    Ok(format!("{name}."))
}

fn checked_kind(kind: &str) -> Result<String> {
    let kind = kind.to_ascii_uppercase();
    match kind.as_str() {
        "A" | "AAAA" | "CNAME" | "TXT" | "CAA" | "NS" | "MX" => Ok(kind),
        _ => bail!("{kind}: A, AAAA, CNAME, TXT, CAA, NS and MX are known"),
    }
}

/// A name as a value is meant from the root; text is quoted, as registrars' forms do it.
fn absolute(kind: &str, value: &str) -> String {
    match kind {
        "CNAME" | "NS" | "MX" if !value.ends_with('.') => format!("{value}."),
        "TXT" if !value.starts_with('"') => format!("\"{value}\""),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, kind: &str, value: &str) -> Result<String> {
        update(&Change::Set {
            name: name.to_owned(),
            kind: kind.to_owned(),
            values: vec![value.to_owned()],
            ttl: 5,
        })
    }

    #[test]
    fn a_record_takes_the_place_of_those_of_its_type() {
        assert_eq!(
            set("www.acme.test", "cname", "blog.tutti.localhost").unwrap(),
            "zone test.\n\
             update delete www.acme.test.\n\
             update add www.acme.test. 5 CNAME blog.tutti.localhost.\n"
        );
        assert!(
            set("_tutti-challenge.acme.test", "TXT", "tutti=1")
                .unwrap()
                .ends_with("TXT \"tutti=1\"\n")
        );
    }

    #[test]
    fn a_name_of_elsewhere_and_a_value_of_two_lines_are_refused() {
        assert!(set("www.example.com", "A", "192.0.2.1").is_err());
        assert!(set("www.acme.test", "SRV", "0").is_err());
        assert!(set("www.acme.test", "TXT", "a\nsend").is_err());
        assert!(set("www acme.test", "A", "192.0.2.1").is_err());
    }
}
