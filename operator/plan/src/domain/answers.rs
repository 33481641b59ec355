//! What servers said of a name, as data: what `operator/src/domain/dns.rs` brings home, and what tests
//! make up. Names are [`plain`].

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

/// Everything that was seen in one look at a hostname.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Look {
    /// What each server that is authoritative for the hostname says of it.
    pub authorities: Vec<View>,
    /// The zone that it lies in: the nearest name at or above it that has servers of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Why no server that is authoritative was found, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_authority: Option<Failure>,
    /// What each of the configured resolvers says of it.
    pub resolvers: Vec<View>,
    /// Where the instance's own target leads: the addresses of the gateway.
    pub gateway: Vec<IpAddr>,
    /// The CAA records of the hostname and of each name above it, from the hostname upwards, as
    /// far as the first that has some (RFC 8659 §3).
    pub caa: Vec<(String, Answer)>,
    /// What each of the configured resolvers says of the name whose CNAME delegates the challenge,
    /// where that is asked for.
    #[serde(default)]
    pub delegation: Vec<(String, Answer)>,
}

/// What one server says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// Its name, or its address.
    pub server: String,
    /// IPv4 addresses of the hostname, with the CNAMEs on the way.
    pub ipv4: Answer,
    /// IPv6 addresses of the hostname, with the CNAMEs on the way.
    pub ipv6: Answer,
    /// TXT records at the name where an organization proves the hostname.
    pub proof: Answer,
}

impl View {
    /// Records of both kinds of address; the CNAMEs on the way to both once.
    #[must_use]
    pub fn addresses(&self) -> Vec<&Record> {
        let (ipv4, ipv6) = (self.ipv4.records(), self.ipv6.records());
        let more = ipv6.iter().filter(|record| !ipv4.contains(record));
        ipv4.iter().chain(more).collect()
    }
}

/// An answer to one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// Records: the answer section, CNAMEs included.
    Records(Vec<Record>),
    /// The name does not exist, not even with other types. What was on the way to it is kept.
    NoSuchName(Vec<Record>),
    /// The name exists, without records of this type. What was on the way to it is kept.
    NoRecords(Vec<Record>),
    /// There is no answer.
    Failed(Failure),
}

/// Why there is no answer; of several failures the first is the most telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Failure {
    /// SERVFAIL, and an answer when the resolver is told not to validate: broken DNSSEC.
    Bogus,
    /// SERVFAIL.
    ServerFailed,
    /// REFUSED, or another code that gives no answer.
    Refused,
    /// A server that should have the zone refers to others, or tells what it has from others.
    NotAuthoritative,
    /// What came is no DNS, or no answer to our question.
    Malformed,
    /// Nothing came in time.
    TimedOut,
    /// No zone has the name, or no server of its zone has an address.
    NoServer,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServerFailed => "SERVFAIL",
            Self::Bogus => "broken DNSSEC",
            Self::Refused => "REFUSED",
            Self::NotAuthoritative => "an answer without authority (lame delegation)",
            Self::Malformed => "no valid DNS answer",
            Self::TimedOut => "no answer in time",
            Self::NoServer => "no server with an address",
        })
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Whose it is.
    pub name: String,
    /// Seconds for which it may be kept.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Another name for it.
    Cname(String),
    /// Text, its strings joined (RFC 7208 §3.3's rule, which everybody follows).
    Txt(String),
    /// Who may certify it (RFC 8659).
    Caa {
        /// Somebody who does not know the tag must not certify.
        critical: bool,
        /// `issue`, `issuewild`, `iodef` or one to come.
        tag: String,
        /// Its value.
        value: String,
    },
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.data {
            Data::A(address) => write!(f, "{name} A {address}"),
            Data::Aaaa(address) => write!(f, "{name} AAAA {address}"),
            Data::Cname(target) => write!(f, "{name} CNAME {target}"),
            Data::Txt(text) => write!(f, "{name} TXT {text:?}"),
            Data::Caa {
                critical,
                tag,
                value,
            } => write!(f, "{name} CAA {} {tag} {value:?}", u8::from(*critical) << 7),
        }
    }
}

impl Record {
    /// The address, if it says one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match &self.data {
            Data::A(address) => Some(IpAddr::V4(*address)),
            Data::Aaaa(address) => Some(IpAddr::V6(*address)),
            _ => None,
        }
    }
}

impl Answer {
    /// The records that were there, also those that only lead to nothing.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        match self {
            Self::Records(records) | Self::NoSuchName(records) | Self::NoRecords(records) => {
                records
            }
            Self::Failed(_) => &[],
        }
    }

    /// Why there is no answer.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Self::Failed(failure) => Some(*failure),
            _ => None,
        }
    }
}

/// A name as it stands here: in lower case (RFC 4343), without a dot at the end. Servers answer in the
/// case in which they were asked, or in which somebody wrote it into the zone.
#[must_use]
pub fn plain(name: &str) -> String {
    let text = name.to_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

/// What was seen, once per fact, with those who said it.
pub(super) fn found<'a>(
    look: &'a Look,
    records: impl Fn(&'a View) -> Vec<&'a Record>,
) -> Vec<String> {
    let mut facts: Vec<(String, Vec<&str>)> = Vec::new();
    for view in look.authorities.iter().chain(&look.resolvers) {
        let mut said: Vec<String> = records(view).iter().map(ToString::to_string).collect();
        if said.is_empty() {
            said.push(match view.ipv4.failure().or_else(|| view.ipv6.failure()) {
                Some(failure) => failure.to_string(),
                None => "no record".to_owned(),
            });
        }
        for fact in said {
            match facts.iter_mut().find(|(known, _)| *known == fact) {
                Some((_, servers)) => servers.push(&view.server),
                None => facts.push((fact, vec![&view.server])),
            }
        }
    }
    facts
        .into_iter()
        .map(|(fact, servers)| format!("{fact} ({})", servers.join(", ")))
        .collect()
}

/// How long caches keep what they have: ", for 280 seconds at most".
pub(super) fn seconds_left(views: &[&View]) -> String {
    let longest = views
        .iter()
        .flat_map(|view| [&view.ipv4, &view.ipv6, &view.proof])
        .flat_map(Answer::records)
        .map(|record| record.ttl)
        .max();
    match longest {
        Some(seconds) => format!(", for {seconds} seconds at most"),
        None => "; what a zone does not have is forgotten after its SOA's minimum".to_owned(),
    }
}
