//! Is this a hostname that a customer can have? What the API server's rules cannot see: punycode,
//! the public suffix list, the platform's own zone, names that look like another.
//!
//! Rules: RFC 1035 §2.3.4 (lengths), RFC 5891 (IDNA), <https://publicsuffix.org>, UTS 39.

use std::net::Ipv6Addr;

use psl::Psl as _;
use unicode_security::{MixedScript as _, confusable_detection::skeleton};

use crate::health::Finding;

/// Characters of the longest name (RFC 1035 §2.3.4), without the dot at its end.
pub const LONGEST: usize = 253;

/// The name below which a wildcard stands; any other hostname as it is.
#[must_use]
pub fn base(hostname: &str) -> &str {
    hostname.strip_prefix("*.").unwrap_or(hostname)
}

/// Whether it stands for all names below one.
#[must_use]
pub fn is_wildcard(hostname: &str) -> bool {
    hostname.starts_with("*.")
}

/// The domain that somebody registered: the public suffix and one label. Names below it have the
/// same owner, as far as anybody can tell from outside. `None` for a public suffix itself.
#[must_use]
pub fn registrable(hostname: &str) -> Option<&str> {
    let domain = psl::List.domain(base(hostname).as_bytes())?;
    std::str::from_utf8(domain.as_bytes()).ok()
}

/// Whether two names were registered by the same owner.
#[must_use]
pub fn have_one_owner(one: &str, other: &str) -> bool {
    registrable(one).is_some_and(|domain| registrable(other) == Some(domain))
}

/// Whether the name is that of a zone: no CNAME is possible there, because its SOA and NS records stand
/// there (RFC 1034 §3.6.2). `zone` is the one that it lies in, where that is known; else, and where a
/// registry would make a zone of it, it is one when it has no label before the registered one.
#[must_use]
pub fn is_apex(hostname: &str, zone: Option<&str>) -> bool {
    let is_registered = registrable(hostname) == Some(hostname);
    // Whoever lets others have names below a suffix of his own makes no zones for them.
    let is_given_as_a_name = zone.is_some() && has_private_suffix(hostname);
    !is_wildcard(hostname) && (zone == Some(hostname) || (is_registered && !is_given_as_a_name))
}

/// Whether the public suffix is no registry's, such as `github.io`.
fn has_private_suffix(hostname: &str) -> bool {
    let suffix = psl::List.suffix(hostname.as_bytes());
    suffix.is_some_and(|suffix| suffix.typ() == Some(psl::Type::Private))
}

/// Whether `name` is `zone` or below it.
#[must_use]
pub fn is_within(name: &str, zone: &str) -> bool {
    name.strip_suffix(zone)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Judges a hostname that has the form of one.
///
/// `zone` is the platform's own; `may_be_wildcard` when it is proven by DNS-01.
#[must_use]
pub fn judge(hostname: &str, zone: &str, may_be_wildcard: bool) -> Finding {
    let name = base(hostname);
    let refused =
        |reason, message: String| Finding::stuck(reason, format!("spec.hostname: {message}"));
    if let Some(message) = malformed(name) {
        return refused("NameMalformed", message);
    }
    if is_wildcard(hostname) && !may_be_wildcard {
        return refused(
            "WildcardNeedsDns01",
            format!(
                "{hostname} stands for every name below {name}, which authorities certify by \
                 DNS-01 only; set spec.challenge to dns-01, or name single hostnames"
            ),
        );
    }
    if is_within(name, zone) {
        return refused(
            "NameIsThePlatforms",
            format!(
                "{hostname} lies in the platform's own zone {zone}, which it gives names in by \
                 itself; use a domain of your own"
            ),
        );
    }
    if is_within(zone, name) {
        return refused(
            "NameIsThePlatforms",
            format!("the platform's own zone {zone} lies below {hostname}; use another domain"),
        );
    }
    if is_public_suffix(name) {
        return refused(
            "NameIsAPublicSuffix",
            format!(
                "{name} is a public suffix: many owners register names below it, so nobody can \
                 have all of it; use a name below it that is yours, such as www.example.{name}"
            ),
        );
    }
    let (unicode, decoded) = idna::domain_to_unicode(name);
    let encoded = idna::domain_to_ascii_strict(&unicode);
    if decoded.is_err() || encoded.is_err() || encoded.is_ok_and(|encoded| encoded != name) {
        return refused(
            "NameIsNoIdna",
            format!(
                "{hostname} has a label that begins with xn-- and is no internationalised name \
                 (RFC 5891); write the name as your registrar shows it in ASCII"
            ),
        );
    }
    match look_alike(&unicode) {
        Some(other) => Finding::well(
            "NameLooksLikeAnother",
            format!(
                "{hostname} reads {unicode}, which looks like {other}; be sure that it is the one \
                 you mean"
            ),
        ),
        None if unicode == name => Finding::well("NameValid", format!("{hostname} is a hostname")),
        None => Finding::well("NameValid", format!("{hostname} reads {unicode}")),
    }
}

/// What is wrong with the form, for names that did not come through the API server's rules.
fn malformed(name: &str) -> Option<String> {
    if name.len() > LONGEST {
        return Some(format!(
            "the name has {} characters; names have at most {LONGEST}",
            name.len()
        ));
    }
    let top = name.rsplit('.').next().unwrap_or_default();
    let is_ipv4 = !top.is_empty() && top.bytes().all(|c| c.is_ascii_digit());
    if is_ipv4 || name.parse::<Ipv6Addr>().is_ok() {
        return Some(format!(
            "{name:?} is an address; certificates and this platform are for hostnames"
        ));
    }
    if !name.contains('.') {
        return Some(format!(
            "{name:?} has no dot; a full hostname such as www.acme.example is wanted"
        ));
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if let Some(label) = name.split('.').find(|label| !is_label(label)) {
        return Some(format!(
            "{label:?} in {name:?} is no label of a hostname: 1 to 63 lower-case letters, digits \
             and dashes, no dash at either end"
        ));
    }
    None
}

/// Whether many owners register names below it.
fn is_public_suffix(name: &str) -> bool {
    registrable(name).is_none()
}

/// What a name with letters of other scripts can be taken for.
fn look_alike(unicode: &str) -> Option<String> {
    let suspicious = unicode.split('.').any(|label| {
        let skeleton: String = skeleton(label).collect();
        !label.is_ascii() && (skeleton.is_ascii() || !label.is_single_script())
    });
    // Letter by letter, because the skeleton of an m is rn.
    suspicious.then(|| {
        let letter = |letter: char| -> String {
            if letter.is_ascii() {
                letter.to_string()
            } else {
                skeleton(letter.encode_utf8(&mut [0; 4])).collect()
            }
        };
        unicode.chars().map(letter).collect()
    })
}
