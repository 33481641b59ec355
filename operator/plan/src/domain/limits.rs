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
    registered: Buckets,
    sets: Buckets,
    failures: Buckets,
    paused_until: Option<Timestamp>,
}

/// When it is full again; `None`: it is.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    full_at: Option<Timestamp>,
}

/// Those of many names. One that is full again is forgotten.
#[derive(Clone, Debug, Default)]
struct Buckets {
    by_name: HashMap<String, Bucket>,
    /// How many there may be before the full ones are looked for.
    tidy_at: usize,
}

impl Buckets {
    /// So few are not worth a search.
    const FEW: usize = 1024;

    fn of(&self, name: &str) -> Bucket {
        self.by_name.get(name).copied().unwrap_or_default()
    }

    fn take(&mut self, name: &str, limit: Limit, at: Timestamp) {
        if self.by_name.len() >= self.tidy_at.max(Self::FEW) {
            self.by_name.retain(|_, bucket| bucket.full_at > Some(at));
            self.tidy_at = self.by_name.len() * 2;
        }
        let bucket = self.by_name.entry(name.to_owned()).or_default();
        bucket.take(limit, at);
    }

    fn give_back(&mut self, name: &str, limit: Limit) {
        if let Some(bucket) = self.by_name.get_mut(name) {
            bucket.give_back(limit);
        }
    }
}

impl Limit {
    fn interval(self) -> SignedDuration {
        self.period / i32::try_from(self.most.max(1)).unwrap_or(i32::MAX)
    }
}

impl Bucket {
    /// From when on there is a token.
    fn next(self, limit: Limit, now: Timestamp) -> Timestamp {
        self.after(0, limit, now)
    }

    /// The same, after so many others have taken one.
    fn after(self, others: usize, limit: Limit, now: Timestamp) -> Timestamp {
        // It lacks one token per interval until it is full; all but one may be lacking.
        let slack = limit.period - limit.interval();
        let others = i32::try_from(others).unwrap_or(i32::MAX);
        let full = self.full_at.map_or(now, |full| full.max(now));
        let at = full.saturating_add(limit.interval() * others - slack);
        at.unwrap_or(now).max(now)
    }

    fn give_back(&mut self, limit: Limit) {
        self.full_at = self.full_at.map(|full| full - limit.interval());
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
            self.sets.take(&request.hostname, limit, at);
        }
        if let Some(limit) = self.limits.per_registered_domain
            && request.kind == Kind::First
        {
            self.registered.take(&request.registered, limit, at);
        }
    }

    /// Nothing came of an order: what counts certificates does not count it.
    pub fn not_certified(&mut self, request: &Request) {
        if request.kind == Kind::AnnouncedRenewal {
            return;
        }
        if let Some(limit) = self.limits.per_exact_set {
            self.sets.give_back(&request.hostname, limit);
        }
        if let Some(limit) = self.limits.per_registered_domain
            && request.kind == Kind::First
        {
            self.registered.give_back(&request.registered, limit);
        }
    }

    /// A validation failed.
    pub fn failed(&mut self, hostname: &str, at: Timestamp) {
        if let Some(limit) = self.limits.failures_per_name {
            self.failures.take(hostname, limit, at);
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
        let account = ("orders of the account", self.account(request, 0, now));
        self.own_waits(request, now)
            .into_iter()
            .chain([account])
            .filter(|(_, until)| *until > now)
            .max_by_key(|(_, until)| *until)
            .map(|(limit, until)| Wait { limit, until })
    }

    /// Whether nothing stands against an order but the orders of others.
    #[must_use]
    pub fn may(&self, request: &Request, now: Timestamp) -> bool {
        let own = self.own_waits(request, now);
        own.iter().all(|(_, until)| *until <= now)
    }

    /// When an order may be made after so many others, as far as can be foreseen.
    #[must_use]
    pub fn turn(&self, request: &Request, others: usize, now: Timestamp) -> Timestamp {
        let own = self.own_waits(request, now).map(|(_, until)| until);
        let account = self.account(request, others, now);
        own.into_iter().fold(account, Timestamp::max)
    }

    fn account(&self, request: &Request, others: usize, now: Timestamp) -> Timestamp {
        let paused = self.paused_until.unwrap_or(now);
        let limit = self.limits.orders;
        let next = limit
            .filter(|_| request.kind != Kind::AnnouncedRenewal)
            .map_or(now, |limit| self.orders.after(others, limit, now));
        next.max(paused)
    }

    /// All limits but those of the account.
    fn own_waits(&self, request: &Request, now: Timestamp) -> [(&'static str, Timestamp); 3] {
        let next = |limit: Option<Limit>, buckets: &Buckets, name: &str| {
            limit.map_or(now, |limit| buckets.of(name).next(limit, now))
        };
        let Limits {
            orders: _,
            per_registered_domain,
            per_exact_set,
            failures_per_name,
        } = self.limits;
        let per_exact_set = per_exact_set.filter(|_| request.kind != Kind::AnnouncedRenewal);
        let per_registered_domain = per_registered_domain.filter(|_| request.kind == Kind::First);
        [
            (
                "failed validations of the name",
                next(failures_per_name, &self.failures, &request.hostname),
            ),
            (
                "certificates for the same name",
                next(per_exact_set, &self.sets, &request.hostname),
            ),
            (
                "certificates of the registered domain",
                next(per_registered_domain, &self.registered, &request.registered),
            ),
        ]
    }
}

/// Whom an authority's refusal is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Everybody: the account's own limit.
    Account,
    /// First certificates below this registered domain.
    Registered(String),
    /// This name.
    Name,
    /// This name, until a person lifts it: it has failed too often.
    Paused,
}

/// What a refusal by `rateLimited` (RFC 8555 §6.6) is about, by its words: those that Let's Encrypt and
/// others with its software give. Names stand in them too, which may be made of any word: only phrases
/// with a space count, which no name has. What is not understood is about the name alone.
#[must_use]
pub fn refused(words: &str) -> Refused {
    let names = |phrase: &str| words.contains(phrase);
    if names("temporarily prevented from requesting certificates") {
        return Refused::Paused;
    }
    if names("too many new orders") || names("too many new registrations") {
        return Refused::Account;
    }
    if names("already issued for") && !names("exact set") {
        let registered = words.split('"').nth(1);
        return registered.map_or(Refused::Name, |it| Refused::Registered(it.to_owned()));
    }
    Refused::Name
}
