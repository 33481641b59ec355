//! TXT records of challenges (RFC 8555 §8.4): written where the platform may write, which is its own
//! zones, and names of theirs that customers delegate to.

use std::{net::SocketAddr, pin::Pin, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::StreamExt as _;
use hickory_net::{DnsHandle, NetError, runtime::TokioRuntimeProvider, udp::UdpClientStream};
use hickory_proto::{
    op::{DnsRequest, Message, ResponseCode, update_message},
    rr::{Name, RData, RecordSet, RecordType, TSigner, rdata::TXT, rdata::tsig::TsigAlgorithm},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use plan::domain::name::is_within;

use super::config::{Dns01Config, Rfc2136};

/// An update, tries included.
const PATIENCE: Duration = Duration::from_secs(5);
/// Seconds by which clocks may differ (RFC 8945 §5.2.3).
const FUDGE: u16 = 300;
/// Seconds: nobody shall keep one for long.
const TTL: u32 = 5;

type Outcome<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Somebody who can write records: by dynamic updates now, by a webhook some day.
pub trait Records: Send + Sync {
    /// Whether a name lies where it may write.
    fn covers(&self, name: &str) -> bool;

    /// Adds a TXT record beside those that are there. Adding it again changes nothing.
    ///
    /// Errors are told on the object: they name what to mend, and no secret.
    fn add<'a>(&'a self, name: &'a str, value: &'a str) -> Outcome<'a>;

    /// Removes a TXT record of this value, if there is one.
    fn remove<'a>(&'a self, name: &'a str, value: &'a str) -> Outcome<'a>;
}

/// Where challenges are answered by records, as the configuration says.
pub struct Challenges {
    writer: Option<Box<dyn Records>>,
    /// The zone that customers delegate into.
    delegation_zone: Option<String>,
}

/// Where the record of a hostname's challenge is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The name that is written.
    pub name: String,
    /// The name that has to lead there by a CNAME, unless it is the same.
    pub delegated: Option<String>,
}

impl Challenges {
    /// As the configuration says.
    #[must_use]
    pub fn new(client: Client, namespace: &str, config: &Dns01Config) -> Self {
        let writer = config.rfc2136.clone().map(|config| {
            let secrets = Api::namespaced(client, namespace);
            Box::new(DynamicUpdates { config, secrets }) as Box<dyn Records>
        });
        Self {
            writer,
            delegation_zone: config
                .delegation_zone
                .clone()
                .filter(|zone| !zone.is_empty()),
        }
    }

    /// Where the challenge of a hostname is answered; `None` when the platform cannot.
    #[must_use]
    pub fn place(&self, hostname: &str) -> Option<Place> {
        let writer = self.writer.as_ref()?;
        let base = plan::domain::name::base(hostname);
        let name = format!("_acme-challenge.{base}");
        if writer.covers(&name) {
            return Some(Place {
                name,
                delegated: None,
            });
        }
        let zone = self.delegation_zone.as_ref()?;
        let written = format!("{}.{zone}", plan::digest::of_text(base));
        writer.covers(&written).then_some(Place {
            name: written,
            delegated: Some(name),
        })
    }

    /// Adds the record of a challenge.
    ///
    /// # Errors
    /// Why not, in words for the object.
    pub async fn add(&self, name: &str, value: &str) -> Result<(), String> {
        match &self.writer {
            Some(writer) => writer.add(name, value).await,
            None => Err("the platform cannot write DNS records".to_owned()),
        }
    }

    /// Removes it.
    ///
    /// # Errors
    /// Why not, in words for the log.
    pub async fn remove(&self, name: &str, value: &str) -> Result<(), String> {
        match &self.writer {
            Some(writer) => writer.remove(name, value).await,
            None => Ok(()),
        }
    }
}

/// Dynamic updates (RFC 2136), signed (RFC 8945).
struct DynamicUpdates {
    config: Rfc2136,
    secrets: Api<Secret>,
}

impl Records for DynamicUpdates {
    fn covers(&self, name: &str) -> bool {
        self.zone(name).is_some()
    }

    fn add<'a>(&'a self, name: &'a str, value: &'a str) -> Outcome<'a> {
        Box::pin(async move {
            let (records, zone) = self.records(name, value)?;
            self.send(update_message::append(records, zone, false, true))
                .await
        })
    }

    fn remove<'a>(&'a self, name: &'a str, value: &'a str) -> Outcome<'a> {
        Box::pin(async move {
            let (records, zone) = self.records(name, value)?;
            self.send(update_message::delete_by_rdata(records, zone, true))
                .await
        })
    }
}

impl DynamicUpdates {
    /// The longest of the zones that a name lies in.
    fn zone(&self, name: &str) -> Option<&str> {
        let zones = self.config.zones.iter().map(String::as_str);
        zones
            .filter(|zone| is_within(name, zone))
            .max_by_key(|zone| zone.len())
    }

    fn records(&self, name: &str, value: &str) -> Result<(RecordSet, Name), String> {
        let zone = self
            .zone(name)
            .ok_or_else(|| format!("{name} lies in no zone of acme.dns01.rfc2136.zones"))?;
        let absolute = |text: &str| {
            let mut name = Name::from_ascii(text).map_err(|error| format!("{text}: {error}"))?;
            name.set_fqdn(true);
            Ok::<_, String>(name)
        };
        let mut records = RecordSet::with_ttl(absolute(name)?, RecordType::TXT, TTL);
        records.add_rdata(RData::TXT(TXT::new(vec![value.to_owned()])));
        Ok((records, absolute(zone)?))
    }

    async fn signer(&self) -> Result<TSigner, String> {
        let Rfc2136 {
            key_name,
            key_algorithm,
            key_secret,
            ..
        } = &self.config;
        let algorithm = match key_algorithm.as_str() {
            "hmac-sha256" => TsigAlgorithm::HmacSha256,
            "hmac-sha384" => TsigAlgorithm::HmacSha384,
            _ => TsigAlgorithm::HmacSha512,
        };
        let wrong =
            |what: &str| format!("acme.dns01.rfc2136.keySecret: Secret {key_secret}: {what}");
        let secret = self.secrets.get_opt(key_secret).await;
        let secret = secret
            .map_err(|error| wrong(&error.to_string()))?
            .ok_or_else(|| wrong("it does not exist"))?;
        let key = secret.data.as_ref().and_then(|data| data.get("key"));
        let key = key.ok_or_else(|| wrong("it has no `key`"))?;
        let key = String::from_utf8_lossy(&key.0);
        let key = STANDARD
            .decode(key.trim())
            .map_err(|_| wrong("`key` is not base64"))?;
        let name = Name::from_ascii(key_name).map_err(|error| wrong(&error.to_string()))?;
        TSigner::new(key, algorithm, name, FUDGE).map_err(|error| wrong(&error.to_string()))
    }

    async fn send(&self, update: Message) -> Result<(), String> {
        let server: SocketAddr = self
            .config
            .server()
            .map_err(|error| format!("acme.dns01.rfc2136.server: {error:#}"))?;
        let exchange = UdpClientStream::builder(server, TokioRuntimeProvider::default())
            .with_timeout(Some(PATIENCE))
            .with_signer(Some(self.signer().await?))
            .exchange();
        let asked = async { exchange.send(DnsRequest::from(update)).next().await };
        let key_is_wrong = || {
            format!(
                "the DNS server {server} does not know the key {:?}, or has another one of this \
                 name, or another time of day; see acme.dns01.rfc2136",
                self.config.key_name
            )
        };
        let answer = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Some(Ok(answer))) => answer.into_message(),
            // Who does not know our key does not sign the refusal (RFC 8945 §5.3.2).
            Ok(Some(Err(NetError::Proto(_)))) => return Err(key_is_wrong()),
            Ok(Some(Err(error))) => {
                return Err(format!(
                    "the DNS server {server} does not take the update: {error}"
                ));
            }
            Ok(None) | Err(_) => return Err(format!("the DNS server {server} does not answer")),
        };
        match answer.metadata.response_code {
            ResponseCode::NoError => Ok(()),
            ResponseCode::NotAuth | ResponseCode::BADSIG | ResponseCode::BADKEY => {
                Err(key_is_wrong())
            }
            code => Err(format!(
                "the DNS server {server} refuses the update: {code}"
            )),
        }
    }
}
