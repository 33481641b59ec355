//! Do these answers prove the domain?
//!
//! A hostname is **proven** when every authoritative server that answered, at least one, and more than
//! half of the resolvers show either a CNAME to the instance's own target, or the TXT record of the
//! organization. What leads there must be the owner's: a CNAME through somebody else's name proves that
//! one's wish, not the owner's (a forgotten CNAME to a name that anybody can register is how domains
//! are stolen).

use super::{
    TTL, Verdict, Wanted,
    answers::{Answer, Data, Failure, Look, View, found, seconds_left},
    chain::{self, End, walk},
    mend, name, proof_name,
};
use crate::health::Finding;

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
    // One name below a wildcard may be a tenant's of its owner, and says nothing of all the others.
    let followed = [&view.ipv4, &view.ipv6]
        .into_iter()
        .filter(|_| !name::is_wildcard(question.hostname));
    for answer in followed {
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
    let wanted = wanted_proofs(question, look.zone.as_deref());
    let found = found(look, |view| {
        let mut records = view.addresses();
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
    let ends = answered
        .iter()
        .flat_map(|(view, _)| [&view.ipv4, &view.ipv6])
        .map(|answer| walk(question.asked, answer).end);
    for end in ends {
        match end {
            End::Loop => return verdict(chain::loops(hostname, &mend)),
            End::TooLong => return verdict(chain::is_too_long(hostname, &mend)),
            _ => {}
        }
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

/// The CNAME (not at an apex, nor for a wildcard), or the TXT record.
fn wanted_proofs(question: &Question<'_>, zone: Option<&str>) -> Vec<Wanted> {
    let is_told_by_cname =
        !name::is_apex(question.hostname, zone) && !name::is_wildcard(question.hostname);
    let cname = is_told_by_cname.then(|| wanted_cname(question));
    let txt = wanted_txt(question.hostname, question.proof);
    cname.into_iter().chain(txt).collect()
}

/// The TXT record that proves a hostname, wherever it points; `None` where its name would be longer
/// than names can be (RFC 1035 §2.3.4).
#[must_use]
pub fn wanted_txt(hostname: &str, proof: &str) -> Option<Wanted> {
    let name = proof_name(hostname);
    (name.len() <= name::LONGEST).then(|| Wanted {
        name,
        kind: "TXT",
        value: format!("\"{proof}\""),
        ttl: TTL,
    })
}

pub(super) fn wanted_cname(question: &Question<'_>) -> Wanted {
    Wanted {
        name: question.hostname.to_owned(),
        kind: "CNAME",
        value: format!("{}.", question.target),
        ttl: TTL,
    }
}

/// Why no authoritative server told anything.
fn silent(look: &Look, authorities: &[(&View, Proof)]) -> (&'static str, String) {
    let bogus = |view: &View| {
        [&view.ipv4, &view.ipv6, &view.proof]
            .iter()
            .any(|answer| answer.failure() == Some(Failure::Bogus))
    };
    if look.no_authority == Some(Failure::Bogus) || look.resolvers.iter().any(bogus) {
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
