//! How a certificate stands, in words.

use crds::domain::{Certificate, DomainStatus, OrderStep};
use jiff::{SignedDuration, Timestamp};

use super::order;
use crate::health::Finding;

/// A certificate that is made for so long is said to be waited for, and until when.
const SAID_AFTER: SignedDuration = SignedDuration::from_mins(2);

/// A place in an authority's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub number: usize,
    /// About when it is its turn.
    pub turn: Timestamp,
    /// Which limit it waits for.
    pub limit: String,
}

/// What a certificate waits for, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Awaited {
    /// Its turn in a line.
    pub place: Option<Place>,
    /// An end of what kept the last step from being done, in words.
    pub trouble: Option<String>,
    /// A person, who has to lift what the authority says, or the time when it is tried again.
    pub paused: Option<(String, Timestamp)>,
    /// A wish to have it revoked that cannot be fulfilled: why not, in words.
    pub unrevoked: Option<String>,
    /// Somebody who does not give the answer to the challenge yet, in words.
    pub answer: Option<String>,
}

/// A certificate, in words, that is not revoked though that is wished.
#[must_use]
pub fn unrevoked(certificate: &str, why: &str) -> Finding {
    let message = format!("{certificate}; it is not revoked: {why}");
    Finding::well("RevocationNotDone", message)
}

/// Judges the certificate of a domain whose checks are well, or were when it was ordered.
#[must_use]
pub fn judge(status: &DomainStatus, awaited: &Awaited, now: Timestamp) -> Finding {
    let paused = awaited.paused.as_ref().map(|(words, _)| words);
    let trouble = awaited.trouble.as_ref().or(paused).map(String::as_str);
    if let Some(certificate) = in_force(status, now) {
        if let Some(why) = &awaited.unrevoked {
            let (issuer, until) = (&certificate.issuer, minute(certificate.not_after.0));
            return unrevoked(&format!("by {issuer} until {until}"), why);
        }
        return valid(certificate, status, trouble);
    }
    if let Some((words, until)) = &awaited.paused {
        return Finding::stuck(
            "NamePaused",
            format!(
                "the authority has paused the name, because it failed too often: {words}; lift that \
                 where it says, and set the annotation {} to a new value; it is tried again at {} \
                 anyway",
                crds::labels::LOOK_NOW,
                minute(*until),
            ),
        );
    }
    if let Some(trouble) = trouble {
        return Finding::on_its_way("AuthorityTrouble", trouble, None);
    }
    if let Some(order) = &status.order {
        let what = match (order.step, &awaited.answer) {
            (OrderStep::Answering, Some(why)) => {
                format!("the answer to its challenge is not in place yet: {why}")
            }
            (OrderStep::Answering, None) => {
                "the answer to its challenge is put in place".to_owned()
            }
            (OrderStep::Validating, _) => "it looks whether the hostname is ours".to_owned(),
            (OrderStep::Finalizing, _) => making(order.since.0, now),
        };
        return Finding::on_its_way("Ordering", format!("{}: {what}", order.authority), None);
    }
    if let Some(failure) = &status.failure {
        let count = u32::try_from(failure.count).unwrap_or(u32::MAX);
        let next = order::pause_ends((count, Some(failure.at.0)));
        return Finding::stuck(
            "OrderFailed",
            format!(
                "the authority refused the certificate: {}; mend that; the next try is at {}, or \
                 earlier with a new value of the annotation {}",
                failure.message,
                minute(next),
                crds::labels::LOOK_NOW,
            ),
        );
    }
    if let Some(place) = &awaited.place {
        let wait = place.turn.duration_since(now).max(SignedDuration::ZERO);
        return Finding::on_its_way(
            "InLine",
            format!(
                "{} in line, about {}: the limit of {} is used up",
                ordinal(place.number),
                minutes(wait),
                place.limit
            ),
            None,
        );
    }
    if status.certificate.is_some() {
        return Finding::stuck(
            "CertificateExpired",
            "the certificate is over, and a new one cannot be ordered: see the conditions before",
        );
    }
    Finding::on_its_way("Waiting", "waits for the checks before", None)
}

/// A time as messages have it.
#[must_use]
pub fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn making(since: Timestamp, now: Timestamp) -> String {
    if now.duration_since(since) < SAID_AFTER {
        return "it makes the certificate".to_owned();
    }
    format!(
        "it has been making the certificate since {}, and is given time until {}",
        minute(since),
        minute(since + order::LONGEST_MAKING)
    )
}

/// The certificate, while it is not over.
fn in_force(status: &DomainStatus, now: Timestamp) -> Option<&Certificate> {
    let certificate = status.certificate.as_ref();
    certificate.filter(|certificate| certificate.not_after.0 > now)
}

/// While the checks before it are not well: what is valid stays so, all else waits for them.
#[must_use]
pub fn while_waiting(status: &DomainStatus, judged: Finding, now: Timestamp) -> Finding {
    if in_force(status, now).is_some() || status.failure.is_some() {
        judged
    } else {
        Finding::on_its_way("Waiting", "waits for the checks before", None)
    }
}

/// When nobody can be asked for one: what is valid is served on, and says what its renewal waits for.
#[must_use]
pub fn cannot_be_had(status: &DomainStatus, why: Finding, now: Timestamp) -> Finding {
    match in_force(status, now) {
        Some(certificate) => valid(certificate, status, Some(&why.message)),
        None => why,
    }
}

/// Days before the end of a certificate that somebody brought when it is warned about.
const WARNING: SignedDuration = SignedDuration::from_hours(21 * 24);

/// Judges a certificate that somebody brought: its end, or what is wrong with it.
#[must_use]
pub fn brought(certificate: Result<Timestamp, &String>, now: Timestamp) -> Finding {
    match certificate {
        Err(what) => Finding::stuck("BroughtCertificateUnusable", what.clone()),
        Ok(until) if until <= now => Finding::stuck(
            "BroughtCertificateUnusable",
            format!(
                "the certificate that you brought ended on {}; put a new one into the Secret",
                minute(until)
            ),
        ),
        Ok(until) if until.duration_since(now) < WARNING => Finding::well(
            "BroughtCertificateEndsSoon",
            format!(
                "brought by you, until {}; put a new one into the Secret",
                minute(until)
            ),
        ),
        Ok(until) => Finding::well(
            "Brought",
            format!("brought by you, until {}", minute(until)),
        ),
    }
}

fn valid(certificate: &Certificate, status: &DomainStatus, trouble: Option<&str>) -> Finding {
    let until = minute(certificate.not_after.0);
    let issuer = &certificate.issuer;
    if let Some(trouble) = trouble {
        return Finding::well(
            "RenewalWaits",
            format!("by {issuer} until {until}; its renewal waits: {trouble}"),
        );
    }
    if let Some(failure) = &status.failure {
        return Finding::well(
            "RenewalFailed",
            format!(
                "by {issuer} until {until}; its renewal failed {} times: {}",
                failure.count, failure.message
            ),
        );
    }
    if status.order.is_some() {
        return Finding::well(
            "Renewing",
            format!("by {issuer} until {until}; being renewed"),
        );
    }
    let renewed = certificate
        .renew_at
        .as_ref()
        .map(|at| format!(", renewed on {}", minute(at.0)))
        .unwrap_or_default();
    Finding::well("Certified", format!("by {issuer} until {until}{renewed}"))
}

fn ordinal(number: usize) -> String {
    let suffix = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}

fn minutes(wait: SignedDuration) -> String {
    match (wait.as_secs() + 59) / 60 {
        0 | 1 => "a minute".to_owned(),
        minutes @ 2..120 => format!("{minutes} minutes"),
        minutes => format!("{} hours", (minutes + 59) / 60),
    }
}
