//! What the proxy does to calls.

use std::time::Duration;

use http::StatusCode;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// The trouble of one run.
#[derive(Clone, Debug)]
pub enum Mischief {
    /// None.
    Calm,
    /// The operator dies before this write reaches the API server.
    KillBefore(u64),
    /// The operator dies after this write was applied, before it knows.
    KillAfter(u64),
    /// This write is applied, and the connection breaks instead of an answer.
    LoseAnswer(u64),
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
    KillBefore,
    KillAfter,
    LoseAnswer,
    Break,
    Answer(StatusCode, Option<u64>),
    Silence { is_applied: bool },
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

    /// The deed for a call; `write` is its number among the writes.
    pub fn decide(&mut self, write: Option<u64>) -> Deed {
        match &self.mischief {
            Mischief::Calm => Deed::Forward,
            Mischief::KillBefore(number) if write == Some(*number) => Deed::KillBefore,
            Mischief::KillAfter(number) if write == Some(*number) => Deed::KillAfter,
            Mischief::LoseAnswer(number) if write == Some(*number) => Deed::LoseAnswer,
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
