//! Do these answers lead to the gateway? When all of them show only the target or the gateway's
//! addresses, for IPv4 and for IPv6: an authority may ask any of them. Where a CNAME leads out of the zone
//! its servers do not know, and what resolvers find there counts.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    TTL, Verdict, Wanted,
    answers::{Failure, Look, View, found, seconds_left},
    chain::{self, End, walk},
    mend, name,
    verify::{Question, wanted_cname},
};
use crate::health::Finding;

/// Where one server says that the hostname leads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pointing {
    Here,
    /// Some of its addresses are the gateway's.
    Partly,
    Elsewhere,
    Nowhere,
    Loop,
    TooLong,
    /// To another name, whose addresses this server does not have.
    Onward,
    Unknown(Failure),
}

fn pointing(view: &View, question: &Question<'_>, gateway: &[IpAddr]) -> Pointing {
    let mut ours = 0;
    let mut others = 0;
    let mut leads_on = false;
    for answer in [&view.ipv4, &view.ipv6] {
        let walk = walk(question.asked, answer);
        if walk.names.contains(&question.target) {
            ours += 1;
            continue;
        }
        match walk.end {
            End::Addresses(addresses) => {
                for address in &addresses {
                    if gateway.contains(address) {
                        ours += 1;
                    } else {
                        others += 1;
                    }
                }
            }
            End::Loop => return Pointing::Loop,
            End::TooLong => return Pointing::TooLong,
            // Who asks for the other family too gets no answer at all.
            End::Failed(failure) => return Pointing::Unknown(failure),
            End::NoRecords => leads_on |= walk.names.len() > 1,
            // A name that does not exist has no records of any type, unless the server contradicts
            // itself.
            End::NoSuchName => {}
        }
    }
    match (ours, others) {
        (0, 0) if leads_on => Pointing::Onward,
        (0, 0) => Pointing::Nowhere,
        (_, 0) => Pointing::Here,
        (0, _) => Pointing::Elsewhere,
        _ => Pointing::Partly,
    }
}

/// Whether the hostname leads to the gateway, whoever is asked.
#[must_use]
pub fn points_here(question: &Question<'_>, look: &Look) -> Verdict {
    let wanted = wanted_addresses(question, look);
    let found = found(look, View::addresses);
    let views = |views: &[View]| -> Vec<Pointing> {
        views
            .iter()
            .map(|view| pointing(view, question, &look.gateway))
            .collect()
    };
    let authorities = views(&look.authorities);
    let resolvers = views(&look.resolvers);
    let finding = judge_pointing(question, look, &authorities, &resolvers, &mend(&wanted));
    let is_well = finding.state == crate::health::State::Well;
    Verdict {
        finding,
        found,
        wanted: if is_well { Vec::new() } else { wanted },
    }
}

fn judge_pointing(
    question: &Question<'_>,
    look: &Look,
    authorities: &[Pointing],
    resolvers: &[Pointing],
    mend: &str,
) -> Finding {
    let hostname = question.asked;
    let answered: BTreeSet<Pointing> = authorities
        .iter()
        .copied()
        .filter(|pointing| !matches!(pointing, Pointing::Unknown(_)))
        .collect();
    let Some(first) = answered.first().copied() else {
        // What resolvers make of it is more telling than silence: they say SERVFAIL.
        return silent(hostname, resolvers.iter().chain(authorities).min().copied());
    };
    if answered.len() > 1 {
        return Finding::on_its_way(
            "AuthoritiesDisagree",
            format!(
                "the name servers of {hostname} do not say the same (yet); if this lasts, have the \
                 zone transferred to all of them"
            ),
            None,
        );
    }
    let led = match first {
        Pointing::Onward => found_onward(resolvers),
        known => known,
    };
    match led {
        Pointing::Here => {}
        Pointing::Partly => {
            return Finding::stuck(
                "PointsPartlyElsewhere",
                format!(
                    "{hostname} leads here, and elsewhere too: visitors and authorities use any of \
                     its addresses, IPv6 first; remove the others, or {mend}"
                ),
            );
        }
        Pointing::Elsewhere => {
            return Finding::stuck(
                "PointsElsewhere",
                format!("{hostname} leads elsewhere; {mend}"),
            );
        }
        Pointing::Unknown(_) => return silent(hostname, Some(led)),
        Pointing::Nowhere | Pointing::Onward => {
            return Finding::stuck("NoRecord", format!("{hostname} leads nowhere yet; {mend}"));
        }
        Pointing::Loop => return chain::loops(hostname, mend),
        Pointing::TooLong => return chain::is_too_long(hostname, mend),
    }
    if resolvers.contains(&Pointing::Unknown(Failure::Bogus)) {
        return dnssec_broken(hostname);
    }
    let late: Vec<&View> = look
        .resolvers
        .iter()
        .zip(resolvers)
        .filter(|(_, pointing)| **pointing != Pointing::Here)
        .map(|(view, _)| view)
        .collect();
    // One that is out of order must not hold everything up.
    let all_late_fail = late.iter().all(|view| view.ipv4.failure().is_some());
    let is_outvoted = all_late_fail && late.len() * 2 < look.resolvers.len();
    if !late.is_empty() && !is_outvoted {
        let servers: Vec<&str> = late.iter().map(|view| view.server.as_str()).collect();
        return Finding::on_its_way(
            "CachesAreStale",
            format!(
                "the name servers lead {hostname} here, but {} still keeps what was before{}",
                servers.join(", "),
                seconds_left(&late)
            ),
            None,
        );
    }
    Finding::well("PointsHere", format!("{hostname} leads to the gateway"))
}

/// Where resolvers find what leads out of its zone. One of them that finds the gateway is not enough.
fn found_onward(resolvers: &[Pointing]) -> Pointing {
    let is_at = |wanted: &[Pointing]| resolvers.iter().any(|it| wanted.contains(it));
    let is_elsewhere = is_at(&[Pointing::Elsewhere, Pointing::Partly]);
    if is_elsewhere && is_at(&[Pointing::Here, Pointing::Partly]) {
        return Pointing::Partly;
    }
    let first = resolvers.iter().min().copied();
    first.unwrap_or(Pointing::Unknown(Failure::TimedOut))
}

/// Nobody says where it leads; the most telling of what was said instead.
fn silent(hostname: &str, worst: Option<Pointing>) -> Finding {
    match worst {
        Some(Pointing::Unknown(Failure::Bogus)) => dnssec_broken(hostname),
        Some(Pointing::Unknown(
            failure @ (Failure::ServerFailed | Failure::Refused | Failure::NotAuthoritative),
        )) => Finding::stuck(
            "DnsServerFailed",
            format!(
                "the name servers of {hostname} do not answer for it: {failure}; see that the zone \
                 is loaded there, and that the registry names the right servers"
            ),
        ),
        _ => Finding::on_its_way(
            "DnsSilent",
            format!("no server that is authoritative for {hostname} answers"),
            None,
        ),
    }
}

fn dnssec_broken(hostname: &str) -> Finding {
    Finding::stuck(
        "DnssecBroken",
        format!(
            "resolvers that validate refuse {hostname}: its DNSSEC signatures do not fit; have the \
             zone signed again, or the DS record at the registry mended or removed"
        ),
    )
}

/// A CNAME to the target; at an apex the gateway's addresses.
fn wanted_addresses(question: &Question<'_>, look: &Look) -> Vec<Wanted> {
    if !name::is_apex(question.hostname, look.zone.as_deref()) {
        return vec![wanted_cname(question)];
    }
    let record = |address: &IpAddr| Wanted {
        name: question.hostname.to_owned(),
        kind: if address.is_ipv4() { "A" } else { "AAAA" },
        value: address.to_string(),
        ttl: TTL,
    };
    look.gateway.iter().map(record).collect()
}
