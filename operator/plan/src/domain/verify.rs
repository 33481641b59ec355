//! Do these answers prove the domain, do they point here, and may our authority certify it?
//!
//! The rules, in words:
//!
//! - A hostname is **proven** when every authoritative server that answered, at least one, and more
//!   than half of the resolvers show either a CNAME to the instance's own target, or the TXT record
//!   of the organization. What leads there must be the owner's: a CNAME through somebody else's
//!   name proves that one's wish, not the owner's (a forgotten CNAME to a name that anybody can
//!   register is how domains are stolen).
//! - It **points here** when all of these show only the target or the gateway's addresses, for IPv4
//!   and for IPv6: an authority may ask any of them.
//! - CAA **allows** when the nearest set of records does (RFC 8659, RFC 8657). Not knowing is no.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    Verdict, Wanted,
    answers::{Answer, Data, Failure, Look, Record, View},
    name, proof_name,
};
use crate::health::Finding;

/// CNAMEs that are followed. Resolvers of authorities give up at about ten.
pub const LONGEST_CHAIN: usize = 8;
/// Time to live of records that we ask for, in seconds.
const TTL: u32 = 300;

/// What is asked of the answers.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The hostname, `*.` included.
    pub hostname: &'a str,
    /// The name that was looked up: the hostname, or one below a wildcard.
    pub asked: &'a str,
    /// The instance's own name under the platform's zone; unguessable, never given to another.
    pub target: &'a str,
    /// The organization's TXT record, see [`super::proof_value`].
    pub proof: &'a str,
}

/// Where a name leads according to one answer.
struct Walk<'a> {
    /// Names on the way, the first one asked included.
    names: Vec<&'a str>,
    end: End,
}

enum End {
    Addresses(Vec<IpAddr>),
    NoSuchName,
    NoRecords,
    Loop,
    TooLong,
    Failed(Failure),
}

fn walk<'a>(asked: &'a str, answer: &'a Answer) -> Walk<'a> {
    let mut names = vec![asked];
    let records = answer.records();
    let end = loop {
        let here = names.last().copied().unwrap_or(asked);
        if let Some(next) = cname(here, records) {
            if names.contains(&next) {
                break End::Loop;
            }
            names.push(next);
            if names.len() > LONGEST_CHAIN + 1 {
                break End::TooLong;
            }
            continue;
        }
        let addresses: Vec<IpAddr> = records
            .iter()
            .filter(|record| record.name == here)
            .filter_map(address)
            .collect();
        break match answer {
            Answer::Failed(failure) => End::Failed(*failure),
            _ if !addresses.is_empty() => End::Addresses(addresses),
            Answer::NoSuchName(_) => End::NoSuchName,
            Answer::Records(_) | Answer::NoRecords(_) => End::NoRecords,
        };
    };
    Walk { names, end }
}

fn cname<'a>(name: &str, records: &'a [Record]) -> Option<&'a str> {
    records.iter().find_map(|record| match &record.data {
        Data::Cname(target) if record.name == name => Some(target.as_str()),
        _ => None,
    })
}

fn address(record: &Record) -> Option<IpAddr> {
    match &record.data {
        Data::A(address) => Some(IpAddr::V4(*address)),
        Data::Aaaa(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

// --- ownership ---

/// What one server's answers say of the proof.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    Cname,
    Txt,
    /// A CNAME to the target, or the right TXT, at a name of somebody else.
    ThroughAnother,
    /// A TXT record of ours, of another organization or of an earlier one.
    OfAnother,
    None,
    Unknown(Failure),
}

fn proof(view: &View, question: &Question<'_>) -> Proof {
    // Either family will do: they share the CNAME, or the server contradicts itself.
    let mut through_another = false;
    for answer in [&view.ipv4, &view.ipv6] {
        let walk = walk(question.asked, answer);
        let Some(at) = walk.names.iter().position(|name| *name == question.target) else {
            continue;
        };
        let way = walk.names.get(..at).unwrap_or_default();
        let others = [&view.ipv4, &view.ipv6].map(|answer| leads_to(question, answer));
        if others.contains(&Some(false)) {
            // One family leads there and the other elsewhere: no wish that could be relied on.
            continue;
        }
        if way
            .iter()
            .all(|name| name::have_one_owner(name, question.hostname))
        {
            return Proof::Cname;
        }
        through_another = true;
    }
    let at = proof_name(question.hostname);
    let mut of_another = false;
    for record in view.proof.records() {
        let Data::Txt(text) = &record.data else {
            continue;
        };
        let is_ours = text.trim() == question.proof;
        let is_the_owners = name::have_one_owner(&record.name, question.hostname)
            && walk_names(&at, &view.proof).contains(&record.name.as_str());
        match (is_ours, is_the_owners) {
            (true, true) => return Proof::Txt,
            (true, false) => through_another = true,
            (false, _) => of_another |= text.trim().starts_with("tutti="),
        }
    }
    if through_another {
        return Proof::ThroughAnother;
    }
    if of_another {
        return Proof::OfAnother;
    }
    // A name that fails is no name without records.
    let failure = [&view.ipv4, &view.ipv6, &view.proof]
        .iter()
        .find_map(|answer| answer.failure());
    failure.map_or(Proof::None, Proof::Unknown)
}

/// Names on the way from `asked` as long as they are the owner's.
fn walk_names<'a>(asked: &'a str, answer: &'a Answer) -> Vec<&'a str> {
    let names = walk(asked, answer).names;
    names
        .into_iter()
        .take_while(|name| name::have_one_owner(name, asked))
        .collect()
}

/// Whether an answer's way passes the target; `None` when it says nothing.
fn leads_to(question: &Question<'_>, answer: &Answer) -> Option<bool> {
    let walk = walk(question.asked, answer);
    if walk.names.contains(&question.target) {
        return Some(true);
    }
    match walk.end {
        // Without the CNAME there can be no other records of the name, but a server that does not
        // know this type may say so.
        End::NoRecords if walk.names.len() == 1 => None,
        End::Failed(_) => None,
        _ => Some(false),
    }
}

/// Whether the hostname is its organization's.
#[must_use]
pub fn ownership(question: &Question<'_>, look: &Look) -> Verdict {
    let wanted = wanted_proofs(question);
    let found = found(look, |view| {
        let mut records: Vec<&Record> = view.ipv4.records().iter().collect();
        records.extend(
            view.ipv6
                .records()
                .iter()
                .filter(|r| !view.ipv4.records().contains(r)),
        );
        records.extend(view.proof.records());
        records
    });
    let verdict = |finding| Verdict {
        finding,
        found: found.clone(),
        wanted: wanted.clone(),
    };
    let hostname = question.hostname;
    let mend = mend(&wanted);

    let authorities: Vec<(&View, Proof)> = proofs(&look.authorities, question);
    let answered: Vec<&(&View, Proof)> = authorities
        .iter()
        .filter(|(_, proof)| !matches!(proof, Proof::Unknown(_)))
        .collect();
    if answered.is_empty() {
        let (reason, what) = silent(look, &authorities);
        return verdict(Finding::on_its_way(
            reason,
            format!("no server that is authoritative for {hostname} tells whose it is: {what}"),
            None,
        ));
    }
    let is_proof = |proof: &Proof| matches!(proof, Proof::Cname | Proof::Txt);
    if answered.iter().all(|(_, proof)| is_proof(proof)) {
        let resolvers = proofs(&look.resolvers, question);
        let agreeing = resolvers
            .iter()
            .filter(|(_, proof)| is_proof(proof))
            .count();
        if agreeing * 2 <= resolvers.len() {
            let late: Vec<&View> = resolvers
                .iter()
                .filter(|(_, proof)| !is_proof(proof))
                .map(|(view, _)| *view)
                .collect();
            return verdict(Finding::on_its_way(
                "ProofNotYetEverywhere",
                format!(
                    "the authoritative servers prove {hostname}, but {} of {} resolvers do not \
                     show it yet{}",
                    late.len(),
                    resolvers.len(),
                    seconds_left(&late)
                ),
                None,
            ));
        }
        let by_cname = answered.iter().any(|(_, proof)| *proof == Proof::Cname);
        return Verdict {
            finding: if by_cname {
                Finding::well(
                    "ProvenByCname",
                    format!("{hostname} has a CNAME to {}", question.target),
                )
            } else {
                Finding::well(
                    "ProvenByTxt",
                    format!(
                        "{} has this organization's TXT record",
                        proof_name(hostname)
                    ),
                )
            },
            found,
            wanted: Vec::new(),
        };
    }
    if answered.iter().any(|(_, proof)| is_proof(proof)) {
        let without: Vec<&str> = answered
            .iter()
            .filter(|(_, proof)| !is_proof(proof))
            .map(|(view, _)| view.server.as_str())
            .collect();
        return verdict(Finding::on_its_way(
            "AuthoritiesDisagree",
            format!(
                "some authoritative servers prove {hostname}, {} do not (yet); if this lasts, have \
                 the zone transferred to all of them",
                without.join(", ")
            ),
            None,
        ));
    }
    let says = |wanted: Proof| answered.iter().any(|(_, proof)| *proof == wanted);
    if says(Proof::ThroughAnother) {
        return verdict(Finding::stuck(
            "ProofThroughAnother",
            format!(
                "{hostname} leads here through a name that somebody else may own, which proves \
                 nothing; {mend}"
            ),
        ));
    }
    if says(Proof::OfAnother) {
        return verdict(Finding::stuck(
            "ProofOfAnother",
            format!(
                "{} has a TXT record of another organization or another hostname; {mend}",
                proof_name(hostname)
            ),
        ));
    }
    verdict(Finding::stuck(
        "NotProven",
        format!("nothing proves yet that {hostname} is yours; {mend}"),
    ))
}

fn proofs<'a>(views: &'a [View], question: &Question<'_>) -> Vec<(&'a View, Proof)> {
    views
        .iter()
        .map(|view| (view, proof(view, question)))
        .collect()
}

/// The CNAME (not at an apex), or the TXT record.
fn wanted_proofs(question: &Question<'_>) -> Vec<Wanted> {
    let txt = wanted_txt(question.hostname, question.proof);
    if name::is_apex(question.hostname) {
        vec![txt]
    } else {
        vec![wanted_cname(question), txt]
    }
}

/// The TXT record that proves a hostname, wherever it points.
#[must_use]
pub fn wanted_txt(hostname: &str, proof: &str) -> Wanted {
    Wanted {
        name: proof_name(hostname),
        kind: "TXT",
        value: format!("\"{proof}\""),
        ttl: TTL,
    }
}

fn wanted_cname(question: &Question<'_>) -> Wanted {
    Wanted {
        name: question.hostname.to_owned(),
        kind: "CNAME",
        value: format!("{}.", question.target),
        ttl: TTL,
    }
}

fn mend(wanted: &[Wanted]) -> String {
    let records: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    format!("set: {}", records.join("  or: "))
}

// --- pointing ---

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
    Unknown(FailureRank),
}

/// Which failure is told when there are several: the most telling first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum FailureRank {
    Bogus,
    ServerFailed,
    Refused,
    Malformed,
    TimedOut,
}

impl From<Failure> for FailureRank {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Bogus => Self::Bogus,
            Failure::ServerFailed => Self::ServerFailed,
            Failure::Refused => Self::Refused,
            Failure::Malformed => Self::Malformed,
            Failure::TimedOut => Self::TimedOut,
        }
    }
}

fn pointing(view: &View, question: &Question<'_>, gateway: &[IpAddr]) -> Pointing {
    let mut ours = 0;
    let mut others = 0;
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
            End::Failed(failure) => return Pointing::Unknown(failure.into()),
            // A name that does not exist has no records of any type, unless the server contradicts
            // itself.
            End::NoSuchName | End::NoRecords => {}
        }
    }
    match (ours, others) {
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
    let found = found(look, |view| {
        let mut records: Vec<&Record> = view.ipv4.records().iter().collect();
        records.extend(
            view.ipv6
                .records()
                .iter()
                .filter(|r| !view.ipv4.records().contains(r)),
        );
        records
    });
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
        let worst = resolvers.iter().chain(authorities).min().copied();
        return match worst {
            Some(Pointing::Unknown(FailureRank::Bogus)) => dnssec_broken(hostname),
            Some(Pointing::Unknown(FailureRank::ServerFailed | FailureRank::Refused)) => {
                Finding::stuck(
                    "DnsServerFailed",
                    format!(
                        "the name servers of {hostname} do not answer for it (SERVFAIL or \
                         REFUSED); see that the zone is loaded there, and that the registry names \
                         the right servers"
                    ),
                )
            }
            _ => Finding::on_its_way(
                "DnsSilent",
                format!("no server that is authoritative for {hostname} answers"),
                None,
            ),
        };
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
    match first {
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
        Pointing::Nowhere | Pointing::Unknown(_) => {
            return Finding::stuck("NoRecord", format!("{hostname} leads nowhere yet; {mend}"));
        }
        Pointing::Loop => {
            return Finding::stuck(
                "ChainLoops",
                format!("the CNAMEs of {hostname} go round in a circle; {mend}"),
            );
        }
        Pointing::TooLong => {
            return Finding::stuck(
                "ChainTooLong",
                format!(
                    "{hostname} leads through more than {LONGEST_CHAIN} CNAMEs, and resolvers give \
                     up; {mend}"
                ),
            );
        }
    }
    if resolvers.contains(&Pointing::Unknown(FailureRank::Bogus)) {
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
    if !name::is_apex(question.hostname) {
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

// --- CAA ---

/// What is asked of CAA records.
#[derive(Clone, Copy, Debug)]
pub struct Certifier<'a> {
    /// The names by which the authority finds itself in CAA records; none: it does not look.
    pub identities: &'a [String],
    /// The account that we have there.
    pub account: Option<&'a str>,
    /// `http-01` or `dns-01`.
    pub method: &'a str,
}

/// Whether the authority may certify the hostname.
#[must_use]
pub fn caa(question: &Question<'_>, look: &Look, certifier: &Certifier<'_>) -> Verdict {
    let verdict = |finding, found, wanted| Verdict {
        finding,
        found,
        wanted,
    };
    for (name, answer) in &look.caa {
        if let Some(failure) = answer.failure() {
            return verdict(
                Finding::on_its_way(
                    "CaaCannotBeRead",
                    format!(
                        "authorities refuse a name whose CAA records they cannot read, and {name} \
                         gives {failure}; see to its name servers"
                    ),
                    None,
                ),
                Vec::new(),
                Vec::new(),
            );
        }
        let set: Vec<(&Record, bool, &str, &str)> = answer
            .records()
            .iter()
            .filter_map(|record| match &record.data {
                Data::Caa {
                    critical,
                    tag,
                    value,
                } => Some((record, *critical, tag.as_str(), value.as_str())),
                _ => None,
            })
            .collect();
        if set.is_empty() {
            continue;
        }
        let found: Vec<String> = set.iter().map(|(record, ..)| record.to_string()).collect();
        if certifier.identities.is_empty() {
            break;
        }
        return if set_allows(question, &set, certifier) {
            let message = format!("the CAA records of {name} allow our authority");
            verdict(Finding::well("CaaAllows", message), found, Vec::new())
        } else {
            let tag = if name::is_wildcard(question.hostname) {
                "issuewild"
            } else {
                "issue"
            };
            let wanted = vec![Wanted {
                name: name.clone(),
                kind: "CAA",
                value: format!(
                    "0 {tag} \"{}\"",
                    certifier.identities.first().map_or("", String::as_str)
                ),
                ttl: TTL,
            }];
            let message = format!(
                "the CAA records of {name} forbid our authority to certify {}; add, beside what is \
                 there: {}",
                question.hostname,
                wanted.first().map(ToString::to_string).unwrap_or_default()
            );
            verdict(Finding::stuck("CaaForbids", message), found, wanted)
        };
    }
    verdict(
        Finding::well("NoCaa", "no CAA record stands against our authority"),
        Vec::new(),
        Vec::new(),
    )
}

/// RFC 8659 §4, RFC 8657.
fn set_allows(
    question: &Question<'_>,
    set: &[(&Record, bool, &str, &str)],
    certifier: &Certifier<'_>,
) -> bool {
    const KNOWN: [&str; 6] = [
        "issue",
        "issuewild",
        "iodef",
        "issuemail",
        "issuevmc",
        "contactemail",
    ];
    let is_tag = |tag: &str, wanted: &str| tag.eq_ignore_ascii_case(wanted);
    let is_unknown = |tag: &str| !KNOWN.iter().any(|known| is_tag(tag, known));
    if set
        .iter()
        .any(|(_, critical, tag, _)| *critical && is_unknown(tag))
    {
        return false;
    }
    let of = |wanted: &'static str| {
        let values: Vec<&str> = set
            .iter()
            .filter(|(_, _, tag, _)| is_tag(tag, wanted))
            .map(|(_, _, _, value)| *value)
            .collect();
        values
    };
    let mut values = of("issue");
    if name::is_wildcard(question.hostname) {
        let wild = of("issuewild");
        if !wild.is_empty() {
            values = wild;
        }
    }
    // A set that only says other things restricts nobody.
    values.is_empty() || values.iter().any(|value| value_allows(value, certifier))
}

fn value_allows(value: &str, certifier: &Certifier<'_>) -> bool {
    let mut parts = value.split(';').map(str::trim);
    let issuer = parts.next().unwrap_or_default();
    let is_ours = certifier
        .identities
        .iter()
        .any(|identity| identity.eq_ignore_ascii_case(issuer.trim_end_matches('.')));
    is_ours
        && parts.filter(|part| !part.is_empty()).all(|parameter| {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let (key, value) = (key.trim(), value.trim());
            match key.to_ascii_lowercase().as_str() {
                "validationmethods" => value
                    .split(',')
                    .any(|method| method.trim() == certifier.method),
                // Before there is an account, it is not the one that is named.
                "accounturi" => certifier.account == Some(value),
                // Other parameters are the authority's own matter.
                _ => true,
            }
        })
}

// --- delegation ---

/// Whether more than half of the resolvers show the CNAME by which the challenge of a hostname is
/// left to the platform.
#[must_use]
pub fn delegation(look: &Look, name: &str, target: &str) -> Verdict {
    let shows = |answer: &Answer| cname(name, answer.records()) == Some(target);
    let agreeing = look
        .delegation
        .iter()
        .filter(|(_, answer)| shows(answer))
        .count();
    let found: Vec<String> = look
        .delegation
        .iter()
        .flat_map(|(server, answer)| {
            let said: Vec<String> = answer
                .records()
                .iter()
                .map(|record| format!("{record} ({server})"))
                .collect();
            said
        })
        .collect();
    if agreeing * 2 > look.delegation.len() {
        return Verdict {
            finding: Finding::well(
                "Delegated",
                format!("{name} leads to a name of the platform's"),
            ),
            found,
            wanted: Vec::new(),
        };
    }
    let wanted = vec![Wanted {
        name: name.to_owned(),
        kind: "CNAME",
        value: format!("{target}."),
        ttl: TTL,
    }];
    Verdict {
        finding: Finding::stuck(
            "NotDelegated",
            format!(
                "the challenge is answered by a record of the platform's; {}",
                mend(&wanted)
            ),
        ),
        found,
        wanted,
    }
}

// --- words ---

/// What was seen, once per fact, with those who said it.
fn found<'a>(look: &'a Look, records: impl Fn(&'a View) -> Vec<&'a Record>) -> Vec<String> {
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

/// Why no authoritative server told anything.
fn silent(look: &Look, authorities: &[(&View, Proof)]) -> (&'static str, String) {
    let bogus = |view: &View| {
        [&view.ipv4, &view.ipv6, &view.proof]
            .iter()
            .any(|answer| answer.failure() == Some(Failure::Bogus))
    };
    if look.resolvers.iter().any(bogus) {
        return (
            "DnssecBroken",
            "its DNSSEC signatures do not fit".to_owned(),
        );
    }
    if authorities.is_empty() {
        let failure = look.no_authority.unwrap_or(Failure::TimedOut);
        return (
            "AuthoritiesSilent",
            format!("looking for them gave {failure}"),
        );
    }
    let said: Vec<String> = authorities
        .iter()
        .map(|(view, proof)| match proof {
            Proof::Unknown(failure) => format!("{}: {failure}", view.server),
            _ => view.server.clone(),
        })
        .collect();
    ("AuthoritiesSilent", said.join(", "))
}

/// How long caches keep what they have: ", for 280 seconds at most".
fn seconds_left(views: &[&View]) -> String {
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
