//! When is the next look, and the next question? Somebody who sets a record wants to see it at once;
//! somebody who never does should cost nothing.

use jiff::{SignedDuration, Timestamp};

/// While something is awaited: up to this age, a look this often. Documented in
/// `docs/operations/domains.md`.
const WAITING: [(SignedDuration, SignedDuration); 3] = [
    (SignedDuration::from_mins(20), SignedDuration::from_secs(15)),
    (SignedDuration::from_hours(3), SignedDuration::from_mins(2)),
    (
        SignedDuration::from_hours(48),
        SignedDuration::from_mins(20),
    ),
];
/// Later than that.
const DAILY: SignedDuration = SignedDuration::from_hours(24);
/// While all is well: a name that is taken away must not stay unnoticed for a day.
const WATCHING: SignedDuration = SignedDuration::from_hours(1);

/// What is under way somewhere else is asked again after half the time that it took so far, and no
/// sooner than this: an authority or a gateway that is quick takes some milliseconds.
const SOONEST: SignedDuration = SignedDuration::from_millis(25);
/// And no later than this.
const LATEST: SignedDuration = SignedDuration::from_secs(5);

/// How long to wait until something is asked again that is waited for since `waited`.
#[must_use]
pub fn ask_again(waited: SignedDuration) -> SignedDuration {
    (waited / 2).clamp(SOONEST, LATEST)
}

/// The latest for what tells of itself when it is there: only for when it went unheard.
const LATEST_UNTOLD: SignedDuration = SignedDuration::from_mins(1);

/// How long to wait for what has not told of itself since `waited`.
#[must_use]
pub fn ask_untold(waited: SignedDuration) -> SignedDuration {
    (waited / 2).clamp(SOONEST, LATEST_UNTOLD)
}

/// When to look again at a domain that has stood as it does since `since`.
///
/// `is_well`: nothing is awaited. `chance`, from 0 to 1, spreads the looks of many domains by a
/// tenth: they were often written at once.
#[must_use]
pub fn next_look(is_well: bool, since: Timestamp, now: Timestamp, chance: f64) -> Timestamp {
    let age = now.duration_since(since);
    let wait = if is_well {
        WATCHING
    } else {
        WAITING
            .iter()
            .find(|(until, _)| age < *until)
            .map_or(DAILY, |(_, wait)| *wait)
    };
    let wait = wait.as_secs_f64() * (0.95 + 0.1 * chance.clamp(0.0, 1.0));
    now.saturating_add(SignedDuration::from_secs_f64(wait))
        .unwrap_or(now)
}
