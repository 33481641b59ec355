//! The certificate order: what next? One step, saved, come back. Every step can be done again after
//! a crash: what was not saved is asked of the authority anew.
//!
//! ```text
//!            create            answer            ask to look          finalize        download
//! (nothing) ───────> Answering ──────> (in place) ─────────> Validating ─────> Finalizing ─────> certificate
//!     ^                  │                                        │                │
//!     └──────────────────┴──────── refused, expired, gone ────────┴────────────────┘
//! ```

use crds::{
    Domain, condition,
    domain::{DomainStatus, Order, OrderStep},
};
use jiff::{SignedDuration, Timestamp};

use super::report;

/// An order that got no further for this long is given up: authorities keep them for hours, and
/// another one costs less than a customer who waits.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);
/// An authority that says that it is making the certificate (RFC 8555 §7.1.6, `processing`) is given this
/// long: another order would have it made twice.
pub const LONGEST_MAKING: SignedDuration = SignedDuration::from_hours(24);
/// After a failed order the next one waits this long; twice as long after each further one.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_mins(2);
/// And no longer than that: R14 allows 35 tries in a month.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(30);
/// Shortly before an order goes on, the DNS must have been looked at: it may have changed.
const FRESH: SignedDuration = SignedDuration::from_mins(5);

/// What is known of a domain when the next step is chosen.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Now.
    pub now: Timestamp,
    /// The order under way.
    pub order: Option<&'a Order>,
    /// What the authority says of it; `None` when it was not asked yet.
    pub authority_says: Option<Said>,
    /// Whether every check that comes before an order is well.
    pub may_order: bool,
    /// When the checks were made, for the authority that is asked.
    pub looked_at: Option<Timestamp>,
    /// Whether every gateway gives the answer that the authority will ask for.
    pub is_answered: bool,
    /// When a certificate is due: now or earlier when there is none.
    pub due: Timestamp,
    /// Orders that failed in a row, and when the last one did.
    pub failed: (u32, Option<Timestamp>),
    /// From when on the authority's limits allow one.
    pub turn: Timestamp,
}

/// What the authority says of an order (RFC 8555 §7.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It waits for the challenge.
    Pending,
    /// It may be finalized.
    Ready,
    /// The certificate is being made.
    Processing,
    /// The certificate is there.
    Valid,
    /// It failed.
    Invalid,
    /// There is no such order.
    Unknown,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing to do until then.
    Rest(Timestamp),
    /// A look at the DNS comes first.
    Look,
    /// An order is made.
    Create,
    /// The answer to the challenge is put in place, and until then nothing is asked.
    AwaitAnswer,
    /// The authority is asked to look.
    AskToLook,
    /// What became of it is asked.
    AskWhatBecame,
    /// A key is made and the certificate asked for.
    Finalize,
    /// The certificate is fetched.
    Download,
    /// The order is dropped, as failed or as lost.
    Drop {
        /// Whether it counts as a failure of this name.
        has_failed: bool,
    },
}

/// Chooses the next step.
#[must_use]
pub fn next(facts: &Facts<'_>) -> Next {
    match facts.order {
        Some(order) => go_on(facts, order),
        None => begin(facts),
    }
}

/// The authority that is asked next: that of the order under way, else the preferred one.
#[must_use]
pub fn authority<'a>(order: Option<&'a Order>, preferred: Option<&'a str>) -> Option<&'a str> {
    order.map(|order| order.authority.as_str()).or(preferred)
}

/// Whether an order that is under way or due, with the preferred authority, waits for a fresh look. One
/// that cannot be made comes after the looks that are made anyway.
#[must_use]
pub fn wants_look(
    domain: &Domain,
    is_delegated: bool,
    preferred: Option<&str>,
    now: Timestamp,
) -> bool {
    let status = domain.status.clone().unwrap_or_default();
    let was_well = |check: &str| condition::is_true(&status.conditions, check);
    let facts = Facts {
        now,
        order: status.order.as_ref(),
        authority_says: None,
        may_order: report::before_order(domain, is_delegated)
            .iter()
            .all(|check| was_well(check)),
        looked_at: report::looked_at(&status, authority(status.order.as_ref(), preferred)),
        is_answered: false,
        due: due(&status),
        failed: failed(&status),
        turn: now,
    };
    next(&facts) == Next::Look
}

/// When a certificate is due.
#[must_use]
pub fn due(status: &DomainStatus) -> Timestamp {
    let certificate = status.certificate.as_ref();
    certificate
        .and_then(|it| it.renew_at.as_ref())
        .map_or(Timestamp::MIN, |at| at.0)
}

/// Orders that failed in a row, and when the last one did.
#[must_use]
pub fn failed(status: &DomainStatus) -> (u32, Option<Timestamp>) {
    status.failure.as_ref().map_or((0, None), |failure| {
        let count = u32::try_from(failure.count).unwrap_or(u32::MAX);
        (count, Some(failure.at.0))
    })
}

fn begin(facts: &Facts<'_>) -> Next {
    let from = facts.due.max(facts.turn).max(pause_ends(facts.failed));
    if from > facts.now {
        return Next::Rest(from);
    }
    if !facts.may_order {
        // The doctor looks again by himself.
        return Next::Rest(facts.now + FRESH);
    }
    if is_fresh(facts) {
        Next::Create
    } else {
        Next::Look
    }
}

fn go_on(facts: &Facts<'_>, order: &Order) -> Next {
    match facts.authority_says {
        Some(Said::Invalid) => return Next::Drop { has_failed: true },
        Some(Said::Unknown) => return Next::Drop { has_failed: false },
        _ => {}
    }
    if is_given_up(order, facts.authority_says.as_ref(), facts.now) {
        return Next::Drop { has_failed: true };
    }
    match order.step {
        OrderStep::Answering => {
            if !facts.may_order {
                // What was proven is not any more: nobody is asked to certify it.
                return Next::Drop { has_failed: false };
            }
            match facts.authority_says {
                // An authorization of before still holds.
                Some(Said::Ready) if is_fresh(facts) => Next::Finalize,
                _ if !is_fresh(facts) => Next::Look,
                _ if !facts.is_answered => Next::AwaitAnswer,
                _ => Next::AskToLook,
            }
        }
        // It flipped between our look and the authority's.
        OrderStep::Validating if !facts.may_order => Next::Drop { has_failed: false },
        OrderStep::Validating => match facts.authority_says {
            Some(Said::Ready) => Next::Finalize,
            Some(Said::Valid) => Next::Download,
            _ => Next::AskWhatBecame,
        },
        OrderStep::Finalizing => match facts.authority_says {
            Some(Said::Valid) => Next::Download,
            // A crash came between the key and the question.
            Some(Said::Ready) => Next::Finalize,
            _ => Next::AskWhatBecame,
        },
    }
}

/// Whether an order came no further for too long. Of a certificate that was asked for the authority says
/// first whether it is making it.
#[must_use]
pub fn is_given_up(order: &Order, says: Option<&Said>, now: Timestamp) -> bool {
    let patience = match (order.step, says) {
        (OrderStep::Finalizing, None | Some(Said::Processing | Said::Valid)) => LONGEST_MAKING,
        _ => PATIENCE,
    };
    now.duration_since(order.since.0) > patience
}

fn is_fresh(facts: &Facts<'_>) -> bool {
    facts
        .looked_at
        .is_some_and(|at| facts.now.duration_since(at) <= FRESH)
}

/// When another try may be made after so many failures.
#[must_use]
pub fn pause_ends((failures, last): (u32, Option<Timestamp>)) -> Timestamp {
    let Some(last) = last.filter(|_| failures > 0) else {
        return Timestamp::MIN;
    };
    let pause = FIRST_PAUSE
        .checked_mul(1 << (failures - 1).min(10))
        .map_or(LONGEST_PAUSE, |pause| pause.min(LONGEST_PAUSE));
    last.saturating_add(pause).unwrap_or(Timestamp::MAX)
}

/// When a certificate is renewed: within the window that its authority suggests (RFC 9773), else
/// when two thirds of its life are over. `chance`, from 0 to 1, spreads many over the window.
#[must_use]
pub fn renew_at(
    not_before: Timestamp,
    not_after: Timestamp,
    window: Option<(Timestamp, Timestamp)>,
    chance: f64,
) -> Timestamp {
    let chance = chance.clamp(0.0, 1.0);
    let within = |from: Timestamp, to: Timestamp| {
        let width = to.duration_since(from).max(SignedDuration::ZERO);
        from + SignedDuration::from_secs_f64(width.as_secs_f64() * chance)
    };
    let life = not_after
        .duration_since(not_before)
        .max(SignedDuration::ZERO);
    let two_thirds = not_before + life * 2 / 3;
    match window {
        // A window that ends after the certificate is a mistake.
        Some((from, to)) if from <= to && to <= not_after => within(from, to),
        _ => two_thirds - SignedDuration::from_secs_f64(life.as_secs_f64() * 0.02 * chance),
    }
}
