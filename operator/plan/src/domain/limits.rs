//! The authority's rate limits, mirrored: who may order now, and when it is whose turn. What an
//! authority would refuse is not asked of it.
//!
//! Each limit is a bucket of tokens that fills evenly, as Let's Encrypt documents them
//! (<https://letsencrypt.org/docs/rate-limits/>). A bucket is kept as one time: that at which it is
//! full again (the generic cell rate algorithm). Nothing of this is stored: buckets are filled anew
//! from the times that stand on the Domains.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

/// So many at once, and as many again evenly over the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Tokens of a full bucket.
    pub most: u32,
    /// In this time an empty one is full again.
    pub period: SignedDuration,
}

/// An authority's limits. One that it does not have is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Orders of an account.
    pub orders: Option<Limit>,
    /// Certificates below one registered domain, of all accounts.
    pub per_registered_domain: Option<Limit>,
    /// Certificates for exactly the same names.
    pub per_exact_set: Option<Limit>,
    /// Failed validations of one name.
    pub failures_per_name: Option<Limit>,
}

impl Limits {
    /// Those that Let's Encrypt documents.
    #[must_use]
    pub fn lets_encrypt() -> Self {
        let limit = |most, hours| {
            Some(Limit {
                most,
                period: SignedDuration::from_hours(hours),
            })
        };
        Self {
            orders: limit(300, 3),
            per_registered_domain: limit(50, 7 * 24),
            per_exact_set: limit(5, 7 * 24),
            failures_per_name: limit(5, 1),
        }
    }
}

/// A wish for an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The hostname.
    pub hostname: String,
    /// The domain that it was registered under.
    pub registered: String,
    /// What it is for.
    pub kind: Kind,
    /// Since when it waits; for a renewal, when the certificate expires.
    pub since: Timestamp,
}

/// What an order is for. Those further up come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A renewal that says which certificate it replaces (RFC 9773): no limit counts it.
    AnnouncedRenewal,
    /// Another renewal: the limit of the registered domain does not count it.
    Renewal,
    /// The first certificate of a name.
    First,
}

/// Which limit stands against an order, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Which.
    pub limit: &'static str,
    /// Until when.
    pub until: Timestamp,
}

/// What is left of the limits.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    limits: Limits,
    orders: Bucket,
    registered: HashMap<String, Bucket>,
    sets: HashMap<String, Bucket>,
    failures: HashMap<String, Bucket>,
    paused_until: Option<Timestamp>,
}

/// When it is full again; `None`: it is.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    full_at: Option<Timestamp>,
}

impl Limit {
    fn interval(self) -> SignedDuration {
        self.period / i32::try_from(self.most.max(1)).unwrap_or(i32::MAX)
    }
}

impl Bucket {
    /// From when on there is a token.
    fn next(self, limit: Limit, now: Timestamp) -> Timestamp {
        // It lacks one token per interval until it is full; all but one may be lacking.
        let slack = limit.period - limit.interval();
        self.full_at.map_or(now, |full| (full - slack).max(now))
    }

    fn take(&mut self, limit: Limit, at: Timestamp) {
        let from = self.full_at.map_or(at, |full| full.max(at));
        self.full_at = Some(from + limit.interval());
    }
}

impl Budget {
    /// Everything is left.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// An order was made.
    pub fn ordered(&mut self, request: &Request, at: Timestamp) {
        if request.kind == Kind::AnnouncedRenewal {
            return;
        }
        if let Some(limit) = self.limits.orders {
            self.orders.take(limit, at);
        }
        if let Some(limit) = self.limits.per_exact_set {
            let set = self.sets.entry(request.hostname.clone()).or_default();
            set.take(limit, at);
        }
        if let Some(limit) = self.limits.per_registered_domain
            && request.kind == Kind::First
        {
            let registered = self.registered.entry(request.registered.clone());
            registered.or_default().take(limit, at);
        }
    }

    /// A validation failed.
    pub fn failed(&mut self, hostname: &str, at: Timestamp) {
        if let Some(limit) = self.limits.failures_per_name {
            let failures = self.failures.entry(hostname.to_owned()).or_default();
            failures.take(limit, at);
        }
    }

    /// The authority said 429, with this `Retry-After`.
    pub fn refused(&mut self, until: Timestamp) {
        self.paused_until = self.paused_until.max(Some(until));
    }

    /// Orders that are left to the account now; `None`: as many as one likes.
    #[must_use]
    pub fn orders_left(&self, now: Timestamp) -> Option<u32> {
        let limit = self.limits.orders?;
        let lacking = self
            .orders
            .full_at
            .map_or(SignedDuration::ZERO, |full| full.duration_since(now));
        let lacking = lacking.as_nanos().max(0);
        let interval = limit.interval().as_nanos().max(1);
        let used = u32::try_from((lacking + interval - 1) / interval).unwrap_or(u32::MAX);
        Some(limit.most.saturating_sub(used))
    }

    /// What stands longest against an order, if anything does.
    #[must_use]
    pub fn wait(&self, request: &Request, now: Timestamp) -> Option<Wait> {
        let mut waits = self.own_waits(request, now);
        waits.push(("orders of the account", self.account(request, now)));
        waits
            .into_iter()
            .filter(|(_, until)| *until > now)
            .max_by_key(|(_, until)| *until)
            .map(|(limit, until)| Wait { limit, until })
    }

    /// Those who may order now, renewals before new names and who has waited longest first; their
    /// orders are counted. Nobody waits because somebody else's domain is used up.
    pub fn admit<'a>(&mut self, waiting: &'a [Request], now: Timestamp) -> Vec<&'a Request> {
        let mut admitted = Vec::new();
        for request in in_line(waiting) {
            if self
                .own_waits(request, now)
                .iter()
                .any(|(_, until)| *until > now)
            {
                continue;
            }
            if self.account(request, now) > now {
                // Nor may anybody behind: the same bucket serves all.
                break;
            }
            self.ordered(request, now);
            admitted.push(request);
        }
        admitted
    }

    /// When it is whose turn, as far as can be foreseen: hostname, place in line from 1, time.
    #[must_use]
    pub fn forecast<'a>(
        &self,
        waiting: &'a [Request],
        now: Timestamp,
    ) -> Vec<(&'a str, usize, Timestamp)> {
        let mut ahead = self.clone();
        in_line(waiting)
            .into_iter()
            .enumerate()
            .map(|(index, request)| {
                let own = ahead.own_waits(request, now);
                let own = own.into_iter().map(|(_, until)| until).max().unwrap_or(now);
                let account = ahead.account(request, now);
                let turn = own.max(account);
                // Who waits for his own domain takes nothing from others meanwhile.
                if own <= account {
                    ahead.ordered(request, turn);
                }
                (request.hostname.as_str(), index + 1, turn)
            })
            .collect()
    }

    fn account(&self, request: &Request, now: Timestamp) -> Timestamp {
        let paused = self.paused_until.unwrap_or(now);
        let limit = self.limits.orders;
        let next = limit
            .filter(|_| request.kind != Kind::AnnouncedRenewal)
            .map_or(now, |limit| self.orders.next(limit, now));
        next.max(paused)
    }

    /// All limits but those of the account.
    fn own_waits(&self, request: &Request, now: Timestamp) -> Vec<(&'static str, Timestamp)> {
        let next = |limit: Option<Limit>, buckets: &HashMap<String, Bucket>, key: &str| {
            let bucket = buckets.get(key).copied().unwrap_or_default();
            limit.map_or(now, |limit| bucket.next(limit, now))
        };
        let Limits {
            orders: _,
            per_registered_domain,
            per_exact_set,
            failures_per_name,
        } = self.limits;
        let mut waits = vec![(
            "failed validations of the name",
            next(failures_per_name, &self.failures, &request.hostname),
        )];
        if request.kind != Kind::AnnouncedRenewal {
            waits.push((
                "certificates for the same name",
                next(per_exact_set, &self.sets, &request.hostname),
            ));
        }
        if request.kind == Kind::First {
            waits.push((
                "certificates of the registered domain",
                next(per_registered_domain, &self.registered, &request.registered),
            ));
        }
        waits
    }
}

fn in_line(waiting: &[Request]) -> Vec<&Request> {
    let mut line: Vec<&Request> = waiting.iter().collect();
    line.sort_by_key(|request| (request.kind, request.since, &request.hostname));
    line
}
