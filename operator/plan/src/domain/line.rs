//! The line before an authority: whose turn it is, at the pace that its limits allow, renewals before
//! new names and who has waited longest first. Nobody waits because somebody else's domain is used up.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    certificate::Place,
    limits::{Budget, Kind, Limits, Refused, Request},
};

/// A name that an authority has paused is tried again after so long.
const PAUSED: SignedDuration = SignedDuration::from_hours(24);
/// Who waits long asks again this often all the same: the line may move faster than foreseen.
const LONGEST: SignedDuration = SignedDuration::from_hours(3);
/// Who waits no longer than twice that asks at the turn itself.
const SHORTEST: SignedDuration = SignedDuration::from_secs(30);
/// So many of those ahead are looked at one by one; all others are taken for some who will order.
const LOOKED_AT: usize = 25;

/// What somebody who wants to order is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is their turn: their order is counted.
    Now,
    /// Later.
    InLine(Place),
    /// The authority has paused the name, in its words.
    Paused {
        /// What it said.
        words: String,
        /// When it is tried again.
        until: Timestamp,
    },
}

/// Whom a refusal is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Whom {
    Name(String),
    Registered(String),
}

#[derive(Clone, Debug)]
struct Held {
    until: Timestamp,
    /// Of a pause.
    words: Option<String>,
}

/// The line of one authority.
#[derive(Clone, Debug, Default)]
pub struct Line {
    budget: Budget,
    /// Those further up come first.
    waiting: Vec<Request>,
    /// What is known of those in line.
    known: HashMap<String, Request>,
    held: HashMap<Whom, Held>,
    /// The last order of each name, until it has failed.
    ordered: HashMap<String, Request>,
}

fn rank(request: &Request) -> (Kind, Timestamp, &str) {
    (request.kind, request.since, &request.hostname)
}

/// When somebody whose turn comes then asks again.
#[must_use]
pub fn ask_again(turn: Timestamp, now: Timestamp) -> Timestamp {
    let half = turn.duration_since(now) / 2;
    if half <= SHORTEST {
        turn.max(now)
    } else {
        now + half.min(LONGEST)
    }
}

impl Line {
    /// Nobody waits, and everything is left.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            budget: Budget::new(limits),
            ..Self::default()
        }
    }

    /// Asks whose turn it is; who has to wait keeps a place.
    pub fn turn(&mut self, request: &Request, now: Timestamp) -> Turn {
        self.held.retain(|_, held| held.until > now);
        if let Some(told) = self.told(request) {
            self.leave(&request.hostname);
            return told;
        }
        self.join(request);
        let turn = self.budget.turn(request, self.others(request, now), now);
        if turn <= now {
            self.budget.ordered(request, now);
            self.leave(&request.hostname);
            self.ordered
                .insert(request.hostname.clone(), request.clone());
            return Turn::Now;
        }
        let limit = self.budget.wait(request, now);
        let number = self.place(request) + 1;
        // Who waits for a domain of their own stands in nobody's way meanwhile.
        if !self.budget.may(request, now) {
            self.leave(&request.hostname);
        }
        Turn::InLine(Place {
            number,
            turn,
            limit: limit
                .map_or("orders of the account", |wait| wait.limit)
                .to_owned(),
        })
    }

    /// What the authority itself has said about this name, or its domain.
    fn told(&self, request: &Request) -> Option<Turn> {
        let name = self.held.get(&Whom::Name(request.hostname.clone()));
        let registered = self
            .held
            .get(&Whom::Registered(request.registered.clone()))
            .filter(|_| request.kind == Kind::First);
        let held = name.or(registered)?;
        Some(match &held.words {
            Some(words) => Turn::Paused {
                words: words.clone(),
                until: held.until,
            },
            None => Turn::InLine(Place {
                number: 1,
                turn: held.until,
                limit: "this name or its domain, as the authority says,".to_owned(),
            }),
        })
    }

    fn join(&mut self, request: &Request) {
        if self.known.get(&request.hostname) != Some(request) {
            self.leave(&request.hostname);
            self.waiting.insert(self.place(request), request.clone());
            self.known.insert(request.hostname.clone(), request.clone());
        }
    }

    /// How many are ahead.
    fn place(&self, request: &Request) -> usize {
        let rank_of = rank(request);
        self.waiting.partition_point(|other| rank(other) < rank_of)
    }

    /// How many of those ahead will order before.
    fn others(&self, request: &Request, now: Timestamp) -> usize {
        if request.kind == Kind::AnnouncedRenewal {
            return 0;
        }
        let ahead = self.place(request);
        let looked_at = self.waiting.iter().take(ahead.min(LOOKED_AT));
        let others = looked_at
            .filter(|other| other.kind != Kind::AnnouncedRenewal && self.budget.may(other, now));
        others.count() + ahead.saturating_sub(LOOKED_AT)
    }

    /// It does not wait any more.
    pub fn leave(&mut self, hostname: &str) {
        if let Some(request) = self.known.remove(hostname) {
            self.waiting.remove(self.place(&request));
        }
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Orders that are left to the account now; `None`: as many as one likes.
    #[must_use]
    pub fn orders_left(&self, now: Timestamp) -> Option<u32> {
        self.budget.orders_left(now)
    }

    /// An order that was made in an earlier life.
    pub fn remember(&mut self, request: &Request, at: Timestamp) {
        self.budget.ordered(request, at);
    }

    /// A validation failed.
    pub fn failed(&mut self, hostname: &str, at: Timestamp) {
        self.budget.failed(hostname, at);
        self.nothing_came(hostname);
    }

    /// No certificate came of an order: what counts certificates does not count it.
    pub fn nothing_came(&mut self, hostname: &str) {
        if let Some(request) = self.ordered.remove(hostname) {
            self.budget.not_certified(&request);
        }
    }

    /// A certificate came of an order.
    pub fn certified(&mut self, hostname: &str) {
        self.ordered.remove(hostname);
    }

    /// The authority has refused an order: whom it holds, until when.
    pub fn refused(
        &mut self,
        hostname: &str,
        refused: Refused,
        words: &str,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let is_pause = refused == Refused::Paused;
        let until = until.or_else(|| is_pause.then(|| now + PAUSED))?;
        let held = Held {
            until,
            words: is_pause.then(|| words.to_owned()),
        };
        match refused {
            Refused::Account => {
                self.budget.refused(until);
                return Some(until);
            }
            Refused::Registered(domain) => {
                self.held.insert(Whom::Registered(domain), held.clone());
            }
            Refused::Name | Refused::Paused => {}
        }
        // Also who takes it for a renewal, or for another domain than the authority does.
        self.held.insert(Whom::Name(hostname.to_owned()), held);
        Some(until)
    }

    /// Somebody knows that the authority has nothing against this name any more.
    pub fn forgive(&mut self, hostname: &str) {
        self.held.remove(&Whom::Name(hostname.to_owned()));
    }
}
