//! How a certificate stands, in words.

use crds::domain::{DomainStatus, OrderStep};
use jiff::{SignedDuration, Timestamp};

use super::order;
use crate::health::Finding;

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

/// Judges the certificate of a domain whose checks are well, or were when it was ordered.
///
/// `place`: it waits in line. `trouble`: what kept the last step from being done, in words.
#[must_use]
pub fn judge(
    status: &DomainStatus,
    place: Option<&Place>,
    trouble: Option<&str>,
    now: Timestamp,
) -> Finding {
    if let Some(certificate) = &status.certificate
        && certificate.not_after.0 > now
    {
        return valid(certificate, status, trouble);
    }
    if let Some(trouble) = trouble {
        return Finding::on_its_way("AuthorityTrouble", trouble, None);
    }
    if let Some(order) = &status.order {
        let what = match order.step {
            OrderStep::Answering => "the answer to its challenge is put in place",
            OrderStep::Validating => "it looks whether the hostname is ours",
            OrderStep::Finalizing => "it makes the certificate",
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
                next.strftime("%Y-%m-%d %H:%M UTC"),
                crds::labels::LOOK_NOW,
            ),
        );
    }
    if let Some(place) = place {
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

/// While the checks before it are not well: what is valid stays so, all else waits for them.
#[must_use]
pub fn while_waiting(status: &DomainStatus, judged: Finding, now: Timestamp) -> Finding {
    let is_valid = status
        .certificate
        .as_ref()
        .is_some_and(|certificate| certificate.not_after.0 > now);
    if is_valid || status.failure.is_some() {
        judged
    } else {
        Finding::on_its_way("Waiting", "waits for the checks before", None)
    }
}

/// Days before the end of a certificate that somebody brought when it is warned about.
const WARNING: SignedDuration = SignedDuration::from_hours(21 * 24);

/// Judges a certificate that somebody brought: its end, or what is wrong with it.
#[must_use]
pub fn brought(certificate: Result<Timestamp, &String>, now: Timestamp) -> Finding {
    match certificate {
        Err(what) => Finding::stuck("BroughtCertificateUnusable", what.clone()),
        Ok(until) if until.duration_since(now) < WARNING => Finding::well(
            "BroughtCertificateEndsSoon",
            format!(
                "brought by you, until {}; put a new one into the Secret",
                until.strftime("%Y-%m-%d %H:%M UTC")
            ),
        ),
        Ok(until) => Finding::well(
            "Brought",
            format!(
                "brought by you, until {}",
                until.strftime("%Y-%m-%d %H:%M UTC")
            ),
        ),
    }
}

fn valid(
    certificate: &crds::domain::Certificate,
    status: &DomainStatus,
    trouble: Option<&str>,
) -> Finding {
    let day = |at: &Timestamp| at.strftime("%Y-%m-%d %H:%M UTC").to_string();
    let until = day(&certificate.not_after.0);
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
        .map(|at| format!(", renewed on {}", day(&at.0)))
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
