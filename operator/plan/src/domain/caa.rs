//! May our authority certify the hostname? When the nearest set of CAA records allows it (RFC 8659,
//! RFC 8657). Not knowing is no.

use super::{
    TTL, Verdict, Wanted,
    answers::{Data, Look, Record},
    name,
    verify::Question,
};
use crate::health::Finding;

/// What is asked of CAA records.
#[derive(Clone, Copy, Debug)]
pub struct Certifier<'a> {
    /// What the authority is called here; none: there is none to ask.
    pub name: Option<&'a str>,
    /// The names by which the authority finds itself in CAA records; none: it does not look.
    pub identities: &'a [String],
    /// The account that we have there.
    pub account: Option<&'a str>,
    /// `http-01` or `dns-01`.
    pub method: &'a str,
}

/// Whether the authority may certify the hostname.
#[must_use]
pub fn judge(question: &Question<'_>, look: &Look, certifier: &Certifier<'_>) -> Verdict {
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
