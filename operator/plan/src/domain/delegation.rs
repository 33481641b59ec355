//! Is the challenge of a hostname left to the platform?

use super::{
    TTL, Verdict, Wanted,
    answers::{Answer, Look},
    chain::cname,
    mend, name,
};
use crate::health::Finding;

/// Whether more than half of the resolvers show the CNAME by which the challenge of a hostname is
/// left to the platform.
#[must_use]
pub fn judge(look: &Look, name: &str, target: &str) -> Verdict {
    if name.len() > name::LONGEST {
        let message = format!(
            "the name of its challenge, {name}, would have {} characters, and names have at most {} \
             (RFC 1035 §2.3.4): by DNS-01 nobody can certify it; set spec.challenge to http-01, or \
             bring a certificate in spec.certificateSecret",
            name.len(),
            name::LONGEST
        );
        return Verdict {
            finding: Finding::stuck("NotDelegated", message),
            found: Vec::new(),
            wanted: Vec::new(),
        };
    }
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
