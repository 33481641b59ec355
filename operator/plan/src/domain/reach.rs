//! Does our own request come back to us? Before an authority asks for its token, we ask for one of
//! ours through the public name, as it would (RFC 8555 §8.3): plain HTTP, port 80. The name may lead to
//! anything that is within the operator's reach, so not every address is asked.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{address::why_not_public, answers::Record};
use crate::health::Finding;

/// What became of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reach {
    /// Our own answer came back.
    Ours,
    /// Somebody answered, and it was not us.
    Another {
        /// HTTP status.
        status: u16,
        /// The header `Server`.
        server: Option<String>,
        /// Headers that only one kind of proxy sends, by name.
        headers: Vec<String>,
    },
    /// Led on to a place that an authority does not follow: another port, or no HTTP.
    RedirectedAway {
        /// Where to.
        to: String,
    },
    /// No connection.
    Unreachable {
        /// Address and port that were tried, and why not.
        why: String,
    },
    /// Nobody was asked: an address is neither the internet's nor the gateway's.
    NotPublic {
        /// The record with that address.
        record: String,
        /// What the address is instead.
        is: String,
    },
    /// Our own answer came back by one family of addresses; by the other it did not.
    NotByOne {
        /// An address of the other.
        at: IpAddr,
        /// What became of the request there.
        met: Box<Reach>,
    },
}

/// Where the request may go: to one address of each family, IPv6 first, as authorities prefer it. Of
/// other addresses than the internet's only the gateway's own are asked.
///
/// # Errors
/// What is to be said instead, when nobody may be asked.
pub fn destinations(records: &[Record], gateway: &[IpAddr]) -> Result<Vec<IpAddr>, Reach> {
    let mut found = Vec::new();
    for record in records {
        let Some(address) = record.address() else {
            continue;
        };
        let why_not = why_not_public(address).filter(|_| !gateway.contains(&address));
        if let Some(is) = why_not {
            return Err(Reach::NotPublic {
                record: record.to_string(),
                is: is.to_owned(),
            });
        }
        found.push(address);
    }
    let ipv6 = found.iter().find(|it| it.is_ipv6());
    let ipv4 = found.iter().find(|it| it.is_ipv4());
    let places: Vec<IpAddr> = ipv6.into_iter().chain(ipv4).copied().collect();
    if places.is_empty() {
        return Err(Reach::Unreachable {
            why: "it has no address".to_owned(),
        });
    }
    Ok(places)
}

/// What the request to each of these addresses comes to.
#[must_use]
pub fn together(met: Vec<(IpAddr, Reach)>) -> Reach {
    let (ours, others): (Vec<_>, Vec<_>) =
        met.into_iter().partition(|(_, met)| *met == Reach::Ours);
    let mut silent = Vec::new();
    for (at, met) in others {
        match met {
            _ if !ours.is_empty() => {
                let met = Box::new(met);
                return Reach::NotByOne { at, met };
            }
            Reach::Unreachable { why } => silent.push(why),
            // More telling than silence.
            answered => return answered,
        }
    }
    if ours.is_empty() {
        return Reach::Unreachable {
            why: silent.join(", "),
        };
    }
    Reach::Ours
}

/// Services that stand between visitors and us, by the header that gives them away.
const PROXIES: [(&str, &str); 7] = [
    ("cf-ray", "Cloudflare"),
    ("x-amz-cf-id", "Amazon CloudFront"),
    ("x-vercel-id", "Vercel"),
    ("x-nf-request-id", "Netlify"),
    ("x-served-by", "Fastly"),
    ("x-akamai-transformed", "Akamai"),
    ("x-sucuri-id", "Sucuri"),
];

/// The headers that are worth keeping of an answer.
pub fn telling_headers() -> impl Iterator<Item = &'static str> {
    PROXIES.iter().map(|(header, _)| *header)
}

/// Judges the request.
#[must_use]
pub fn judge(hostname: &str, reach: &Reach) -> Finding {
    let path = "http://<name>/.well-known/acme-challenge/";
    match reach {
        Reach::Ours => Finding::well(
            "Reachable",
            format!("a request for http://{hostname} comes to the gateway"),
        ),
        Reach::Another {
            status,
            server,
            headers,
        } => {
            let proxy = PROXIES
                .iter()
                .find(|(header, _)| headers.iter().any(|seen| seen.eq_ignore_ascii_case(header)));
            match proxy {
                Some((_, who)) => Finding::stuck(
                    "AnsweredByAProxy",
                    format!(
                        "{who} answers for {hostname} by itself (status {status}); have it pass \
                         {path} on to us, or turn it off for this name until there is a certificate"
                    ),
                ),
                None => Finding::stuck(
                    "AnsweredByAnother",
                    format!(
                        "somebody else{} answers for http://{hostname} (status {status}); see that \
                         the address is the gateway's, and that no router in between keeps port 80 \
                         for itself",
                        server
                            .as_ref()
                            .map(|server| format!(" ({server})"))
                            .unwrap_or_default()
                    ),
                ),
            }
        }
        Reach::RedirectedAway { to } => Finding::stuck(
            "RedirectedAway",
            format!(
                "http://{hostname} is led on to {to}, where authorities do not follow; have {path} \
                 answered without"
            ),
        ),
        Reach::Unreachable { why } => Finding::stuck(
            "Unreachable",
            format!(
                "http://{hostname} cannot be reached on port 80: {why}; have the firewall let it \
                 through to the gateway"
            ),
        ),
        Reach::NotPublic { record, is } => Finding::stuck(
            "AddressNotPublic",
            format!(
                "{hostname} leads to an address that is neither the internet's nor the gateway's, \
                 and nobody was asked there: the address of {record} is {is}; have the name lead to \
                 the gateway"
            ),
        ),
        Reach::NotByOne { at, met } => by_one(hostname, *at, met),
    }
}

fn by_one(hostname: &str, at: IpAddr, met: &Reach) -> Finding {
    let family = if at.is_ipv6() { "IPv6" } else { "IPv4" };
    // Authorities and browsers take the other family then; and the operator may have one only.
    if let Reach::Unreachable { why } = met {
        return Finding::well(
            "Reachable",
            format!(
                "a request for http://{hostname} comes to the gateway, but from here not by \
                 {family}: {why}; if visitors do not come by {family} either, have the firewall let \
                 it through, or remove the record"
            ),
        );
    }
    let finding = judge(hostname, met);
    Finding {
        message: format!("by {family} ({at}) {}", finding.message),
        ..finding
    }
}
