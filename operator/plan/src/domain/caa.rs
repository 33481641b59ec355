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
        if set_allows(question, &set, certifier) {
            let message = format!("the CAA records of {name} allow our authority");
            return verdict(Finding::well("CaaAllows", message), found, Vec::new());
        }
        let (message, wanted) = forbidden(question, name, &set, certifier);
        return verdict(Finding::stuck("CaaForbids", message), found, wanted);
    }
    verdict(
        Finding::well("NoCaa", "no CAA record stands against our authority"),
        Vec::new(),
        Vec::new(),
    )
}

/// A set of CAA records: each with its flag, its tag and its value.
type Set<'a> = [(&'a Record, bool, &'a str, &'a str)];

/// What is in the way, and the record that mends it, where one of the owner's does.
fn forbidden(
    question: &Question<'_>,
    name: &str,
    set: &Set<'_>,
    certifier: &Certifier<'_>,
) -> (String, Vec<Wanted>) {
    let hostname = question.hostname;
    if let Some((record, ..)) = unknown_critical(set) {
        let message = format!(
            "{record} says by its flag 128 that nobody who does not know its tag may certify \
             {hostname} (RFC 8659 §4.1), and another record beside it does not change that; remove \
             it, or set its flag to 0"
        );
        return (message, Vec::new());
    }
    let tag = if name::is_wildcard(hostname) {
        "issuewild"
    } else {
        "issue"
    };
    let identity = certifier.identities.first().map_or("", String::as_str);
    let owner = set
        .first()
        .map_or(name, |(record, ..)| record.name.as_str());
    let wanted = Wanted {
        name: owner.to_owned(),
        kind: "CAA",
        value: format!("0 {tag} \"{identity}\""),
        ttl: TTL,
    };
    if owner == name {
        let message = format!(
            "the CAA records of {name} forbid our authority to certify {hostname}; add, beside what \
             is there: {wanted}"
        );
        return (message, vec![wanted]);
    }
    let led = format!(
        "{name} is led on by a CNAME to {owner}, whose CAA records forbid our authority to certify \
         {hostname}; beside a CNAME {name} can have none of its own (RFC 8659 §3)"
    );
    if name::have_one_owner(owner, hostname) {
        let message = format!("{led}; add, beside what is there: {wanted}");
        return (message, vec![wanted]);
    }
    let message = format!(
        "{led}; have whoever owns {owner} add: {wanted}  or lead {name} here by A and AAAA records, \
         and not by that CNAME"
    );
    (message, Vec::new())
}

/// A record that forbids those who do not know its tag (RFC 8659 §4.1).
fn unknown_critical<'a>(set: &'a Set<'a>) -> Option<&'a (&'a Record, bool, &'a str, &'a str)> {
    // Those that Let's Encrypt's boulder knows, too: what it refuses is not to be asked for.
    const KNOWN: [&str; 4] = ["issue", "issuewild", "iodef", "issuemail"];
    let is_known = |tag: &str| KNOWN.iter().any(|known| tag.eq_ignore_ascii_case(known));
    set.iter()
        .find(|(_, critical, tag, _)| *critical && !is_known(tag))
}

/// RFC 8659 §4, RFC 8657.
fn set_allows(question: &Question<'_>, set: &Set<'_>, certifier: &Certifier<'_>) -> bool {
    if unknown_critical(set).is_some() {
        return false;
    }
    let is_tag = |tag: &str, wanted: &str| tag.eq_ignore_ascii_case(wanted);
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
