//! How many tries somebody has. Pure; the levels lie in the database, so that all replicas count together.
//!
//! A try fills a bucket by one, time empties it, a full one refuses. A browser that somebody has signed in
//! with before has a bucket of its own and knows no other: whoever fills an account's or an address's
//! bucket locks out strangers to the account only, never its owner.

use jiff::{SignedDuration, Timestamp};

/// Tries in a row, and how long it takes until there is one more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Tries that an empty bucket takes.
    pub capacity: u32,
    /// Until one more is free.
    pub pace: SignedDuration,
}

/// Strangers to an account, all together: some 480 guesses a day, which zxcvbn's score of 3 (10^8 guesses)
/// outlives by centuries.
pub const ACCOUNT: Rule = Rule {
    capacity: 10,
    pace: SignedDuration::from_mins(3),
};
/// One address, or one network of IPv6: an office shares it.
pub const ADDRESS: Rule = Rule {
    capacity: 50,
    pace: SignedDuration::from_secs(20),
};
/// A browser that is known to the account.
pub const DEVICE: Rule = Rule {
    capacity: 10,
    pace: SignedDuration::from_mins(1),
};

/// A bucket as it was left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Tries that are remembered.
    pub tries: f64,
    /// When it was so.
    pub at: Timestamp,
    /// Whether it was said that it is full.
    pub is_told: bool,
}

/// What becomes of a try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It may be made; the bucket is then so.
    Admitted(Level),
    /// It may not.
    Refused(Refused),
}

/// A try that may not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// There is room again after it.
    pub wait: SignedDuration,
    /// Whether it is the first one that is refused.
    pub is_news: bool,
}

impl Refused {
    /// Both: one waits for the later.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            wait: self.wait.max(other.wait),
            is_news: self.is_news || other.is_news,
        }
    }
}

impl Rule {
    /// Judges one try.
    #[must_use]
    pub fn judge(self, level: Option<Level>, now: Timestamp) -> Verdict {
        let left = self.left(level, now);
        let capacity = f64::from(self.capacity);
        if left + 1.0 <= capacity {
            return Verdict::Admitted(Level {
                tries: left + 1.0,
                at: now,
                is_told: false,
            });
        }
        let missing = left + 1.0 - capacity;
        let wait = SignedDuration::from_secs_f64((missing * self.pace.as_secs_f64()).ceil());
        let is_news = level.is_none_or(|level| !level.is_told);
        Verdict::Refused(Refused { wait, is_news })
    }

    /// What is left of it now. A clock that went back empties nothing.
    fn left(self, level: Option<Level>, now: Timestamp) -> f64 {
        let Some(level) = level else { return 0.0 };
        let passed = now.duration_since(level.at).as_secs_f64().max(0.0);
        (level.tries - passed / self.pace.as_secs_f64()).max(0.0)
    }

    /// When a full bucket is empty again; its row is of no use then.
    #[must_use]
    pub fn memory(self) -> SignedDuration {
        self.pace * i32::try_from(self.capacity).unwrap_or(i32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULE: Rule = Rule {
        capacity: 3,
        pace: SignedDuration::from_secs(60),
    };

    fn second(number: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + number).unwrap()
    }

    #[test]
    fn a_full_bucket_refuses_once_as_news_until_time_has_made_room() {
        let mut level = None;
        for _ in 0..3 {
            let Verdict::Admitted(next) = RULE.judge(level, second(0)) else {
                panic!("refused at {level:?}");
            };
            level = Some(next);
        }
        let refused = |is_news, seconds| {
            let wait = SignedDuration::from_secs(seconds);
            Verdict::Refused(Refused { wait, is_news })
        };
        assert_eq!(RULE.judge(level, second(0)), refused(true, 60));
        let told = level.map(|level| Level {
            is_told: true,
            ..level
        });
        assert_eq!(RULE.judge(told, second(20)), refused(false, 40));
        assert!(matches!(RULE.judge(told, second(60)), Verdict::Admitted(level) if !level.is_told));
        // A clock that is behind makes no room.
        assert_eq!(RULE.judge(level, second(-3_600)), refused(true, 60));
    }

    proptest! {
        /// Whatever somebody does, in `n` paces they get no more tries than the capacity and n.
        #[test]
        fn no_pattern_of_tries_gets_more_than_its_share(gaps in prop::collection::vec(0_i64..200, 1..80)) {
            let (mut level, mut now, mut admitted) = (None, 0, 0_i64);
            for gap in gaps {
                now += gap;
                if let Verdict::Admitted(next) = RULE.judge(level, second(now)) {
                    admitted += 1;
                    level = Some(next);
                }
            }
            prop_assert!(admitted <= 3 + now / 60);
        }

        #[test]
        fn whoever_waits_as_told_is_admitted(tries in 0.0_f64..10.0, passed in 0_i64..500) {
            let level = Some(Level { tries, at: second(0), is_told: true });
            if let Verdict::Refused(Refused { wait, .. }) = RULE.judge(level, second(passed)) {
                let then = second(passed) + wait;
                prop_assert!(matches!(RULE.judge(level, then), Verdict::Admitted(_)));
            }
        }
    }
}
