//! The authority's limits, in virtual time.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use plan::domain::limits::{Budget, Kind, Limit, Limits, Request};

fn request(hostname: &str, kind: Kind, since: i64) -> Request {
    let registered = hostname.split_once('.').unwrap().1;
    Request {
        hostname: hostname.to_owned(),
        registered: registered.to_owned(),
        kind,
        since: Timestamp::from_second(since).unwrap(),
    }
}

fn first(hostname: &str) -> Request {
    request(hostname, Kind::First, 0)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

/// An authority that counts tokens in fractions, second by second: written apart from what it
/// judges.
struct Authority {
    limits: [(f64, f64); 3],
    tokens: HashMap<(usize, String), (f64, Timestamp)>,
}

impl Authority {
    fn new() -> Self {
        let day = 24.0 * 3600.0;
        Self {
            limits: [
                (300.0, 300.0 / (3.0 * 3600.0)),
                (50.0, 50.0 / (7.0 * day)),
                (5.0, 5.0 / (7.0 * day)),
            ],
            tokens: HashMap::new(),
        }
    }

    fn order(&mut self, request: &Request, now: Timestamp) -> Result<(), &'static str> {
        if request.kind == Kind::AnnouncedRenewal {
            return Ok(());
        }
        let mut keys = vec![(0, String::new()), (2, request.hostname.clone())];
        if request.kind == Kind::First {
            keys.push((1, request.registered.clone()));
        }
        for key in &keys {
            let (most, rate) = self.limits[key.0];
            let (left, then) = self.tokens.get(key).copied().unwrap_or((most, now));
            let passed = now.duration_since(then).as_secs_f64();
            let left = (left + passed * rate).min(most);
            self.tokens.insert(key.clone(), (left, now));
            // Fractions of fractions are no token.
            if left < 1.0 - 1e-6 {
                return Err(["orders", "registered domain", "exact set"][key.0]);
            }
        }
        for key in keys {
            self.tokens.get_mut(&key).unwrap().0 -= 1.0;
        }
        Ok(())
    }
}

/// R13: 10,000 names of 300 registered domains, and 500 renewals among them.
#[test]
fn ten_thousand_names_are_ordered_without_one_refusal_in_the_time_that_it_must_take() {
    let mut waiting: Vec<Request> = (0..10_000)
        .map(|n| request(&format!("n{n}.d{}.example", n % 300), Kind::First, n))
        .collect();
    waiting.extend((0..400).map(|n| request(&format!("r{n}.d1.example"), Kind::Renewal, n)));
    waiting
        .extend((0..100).map(|n| request(&format!("a{n}.d1.example"), Kind::AnnouncedRenewal, n)));
    let mut authority = Authority::new();
    let mut budget = Budget::new(Limits::lets_encrypt());
    let mut now = at(0);
    let mut last_renewal = now;
    let mut passes = 0;
    while !waiting.is_empty() {
        let admitted: Vec<Request> = budget.admit(&waiting, now).into_iter().cloned().collect();
        for request in &admitted {
            let told = authority.order(request, now);
            assert_eq!(told, Ok(()), "{} at {now}", request.hostname);
            if request.kind != Kind::First {
                last_renewal = now;
            }
        }
        waiting.retain(|request| !admitted.contains(request));
        now += SignedDuration::from_secs(36);
        passes += 1;
        assert!(passes < 20_000, "{} still wait", waiting.len());
    }
    // 10,400 orders that count: 300 at once, one each 36 seconds from then on.
    let least = SignedDuration::from_secs((10_400 - 300) * 36);
    let took = now.duration_since(at(0));
    assert!(
        took.as_secs_f64() <= least.as_secs_f64() * 1.05,
        "{took} against {least}"
    );
    // Renewals came first: 300 at once and 100 after.
    let renewals = last_renewal.duration_since(at(0));
    assert!(
        renewals <= SignedDuration::from_secs(101 * 36),
        "{renewals}"
    );
}

#[test]
fn a_registered_domain_that_is_used_up_holds_nobody_else_up() {
    let mut budget = Budget::new(Limits::lets_encrypt());
    let many: Vec<Request> = (0..60)
        .map(|n| first(&format!("n{n:02}.acme.example")))
        .collect();
    assert_eq!(budget.admit(&many, at(0)).len(), 50);
    let wait = budget.wait(&many[59], at(0)).unwrap();
    assert_eq!(wait.limit, "certificates of the registered domain");
    // 50 in a week: one each 3 h 21 min 36 s.
    assert_eq!(wait.until, at(12_096));
    let mut both = many[50..].to_vec();
    both.push(first("www.other.example"));
    let admitted = budget.admit(&both, at(1));
    assert_eq!(admitted.len(), 1);
    assert_eq!(admitted[0].hostname, "www.other.example");
}

#[test]
fn five_failures_of_a_name_are_followed_by_a_pause_of_twelve_minutes() {
    let mut budget = Budget::new(Limits::lets_encrypt());
    let www = first("www.acme.example");
    for second in 0..5 {
        assert_eq!(budget.wait(&www, at(second)), None);
        budget.failed("www.acme.example", at(second));
    }
    let wait = budget.wait(&www, at(5)).unwrap();
    assert_eq!(wait.limit, "failed validations of the name");
    assert_eq!(wait.until, at(720));
    assert_eq!(budget.wait(&first("shop.acme.example"), at(5)), None);
}

#[test]
fn a_refusal_with_a_time_is_obeyed_by_all() {
    let mut budget = Budget::new(Limits::default());
    budget.refused(at(60));
    budget.refused(at(30));
    let waiting = [
        first("www.acme.example"),
        request("www.acme.example", Kind::AnnouncedRenewal, 0),
    ];
    assert!(budget.admit(&waiting, at(59)).is_empty());
    assert_eq!(budget.admit(&waiting, at(60)).len(), 2);
}

#[test]
fn the_line_is_foreseen_as_it_then_comes() {
    let limits = Limits {
        orders: Some(Limit {
            most: 2,
            period: SignedDuration::from_secs(20),
        }),
        ..Limits::default()
    };
    let mut budget = Budget::new(limits);
    let waiting = [
        request("d.acme.example", Kind::First, 2),
        request("c.acme.example", Kind::First, 1),
        request("b.acme.example", Kind::Renewal, 9),
        request("a.acme.example", Kind::AnnouncedRenewal, 99),
    ];
    assert_eq!(budget.orders_left(at(0)), Some(2));
    let seen = budget.forecast(&waiting, at(0));
    assert_eq!(
        seen,
        [
            ("a.acme.example", 1, at(0)),
            ("b.acme.example", 2, at(0)),
            ("c.acme.example", 3, at(0)),
            ("d.acme.example", 4, at(10)),
        ]
    );
    let names: Vec<&str> = budget
        .admit(&waiting, at(0))
        .iter()
        .map(|r| r.hostname.as_str())
        .collect();
    assert_eq!(
        names,
        ["a.acme.example", "b.acme.example", "c.acme.example"]
    );
    assert_eq!(budget.orders_left(at(0)), Some(0));
    assert!(budget.admit(&waiting[..1], at(9)).is_empty());
    assert_eq!(budget.admit(&waiting[..1], at(10)).len(), 1);
}
