//! What the proxy does to calls.

use std::time::Duration;

use http::StatusCode;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// The trouble of one run.
#[derive(Clone, Debug)]
pub enum Mischief {
    /// None.
    Calm,
    /// This is done to one write.
    Once(Which, Deed),
    /// Calls fail by chance.
    Weather {
        /// How many of them, from 0 to 1.
        probability: f64,
        /// How.
        kind: Weather,
        /// Chance itself.
        seed: u64,
    },
    /// Nothing reaches the API server for this long after the first call.
    Outage(Duration),
}

/// Which write it happens to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one with this number, from 1.
    Number(u64),
    /// This very one.
    Point(Point),
}

/// A write, as it is known in every life: children are written beside each other, so that a number means
/// another one each time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Method and path, without what is another in each life.
    pub what: String,
    /// The first, the second… of its kind in a story, from 1.
    pub nth: u64,
}

/// A write that comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Its number, from 1.
    pub number: u64,
    /// What it is.
    pub point: Point,
}

impl Which {
    fn is(&self, write: &Write) -> bool {
        match self {
            Self::Number(number) => *number == write.number,
            Self::Point(point) => *point == write.point,
        }
    }
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Refused with this status, before anything happened.
    Status(u16),
    /// Refused with 429, and a second to wait.
    TooMany,
    /// Never applied, never answered.
    Silence,
    /// Applied, never answered.
    AppliedInSilence,
}

/// What to do with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Forward,
    /// The operator dies before the call reaches the API server.
    KillBefore,
    /// The operator dies after the call was applied, before it knows.
    KillAfter,
    /// The call is applied, and the connection breaks instead of an answer.
    LoseAnswer,
    Break,
    Answer(StatusCode, Option<u64>),
    Silence {
        is_applied: bool,
    },
}

/// What must do no harm at any write.
pub const BLOWS: [Deed; 3] = [Deed::KillBefore, Deed::KillAfter, Deed::LoseAnswer];

impl Deed {
    /// The mischief of doing it to the write with this number.
    pub fn at(self, number: u64) -> Mischief {
        Mischief::Once(Which::Number(number), self)
    }
}

/// Decides call by call.
pub struct Mischievous {
    mischief: Mischief,
    chance: StdRng,
    begun: Option<std::time::Instant>,
}

impl Mischievous {
    pub fn new(mischief: Mischief) -> Self {
        let seed = match &mischief {
            Mischief::Weather { seed, .. } => *seed,
            _ => 0,
        };
        Self {
            mischief,
            chance: StdRng::seed_from_u64(seed),
            begun: None,
        }
    }

    /// The deed for a call, which may be a write.
    pub fn decide(&mut self, write: Option<&Write>) -> Deed {
        match &self.mischief {
            Mischief::Calm => Deed::Forward,
            Mischief::Once(which, deed) if write.is_some_and(|write| which.is(write)) => *deed,
            Mischief::Weather {
                probability, kind, ..
            } if self.chance.random_bool(*probability) => match kind {
                Weather::Status(code) => Deed::Answer(
                    StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                    None,
                ),
                Weather::TooMany => Deed::Answer(StatusCode::TOO_MANY_REQUESTS, Some(1)),
                Weather::Silence => Deed::Silence { is_applied: false },
                Weather::AppliedInSilence => Deed::Silence { is_applied: true },
            },
            Mischief::Outage(length) => {
                let begun = *self.begun.get_or_insert_with(std::time::Instant::now);
                if begun.elapsed() < *length {
                    Deed::Break
                } else {
                    Deed::Forward
                }
            }
            _ => Deed::Forward,
        }
    }
}
