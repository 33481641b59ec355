//! The authority's limits, in virtual time.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use jiff::{SignedDuration, Timestamp};
use plan::domain::{
    limits::{self, Budget, Kind, Limit, Limits, Refused, Request},
    line::{self, Line, Turn},
};

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

/// Names below one registered domain, in the order in which they come.
fn below_acme(count: usize) -> Vec<Request> {
    let names = (0..count).map(|n| format!("n{n:03}.acme.example"));
    names.map(|name| first(&name)).collect()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

/// An authority that counts tokens in fractions, second by second: written apart from what it
/// judges.
struct Authority {
    limits: [(f64, f64); 4],
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
                (5.0, 5.0 / 3600.0),
            ],
            tokens: HashMap::new(),
        }
    }

    fn order(&mut self, request: &Request, now: Timestamp) -> Result<(), &'static str> {
        if request.kind == Kind::AnnouncedRenewal {
            return Ok(());
        }
        if self.left((3, request.hostname.clone()), now) < 1.0 - 1e-6 {
            return Err("failed validations");
        }
        let mut keys = vec![(0, String::new()), (2, request.hostname.clone())];
        if request.kind == Kind::First {
            keys.push((1, request.registered.clone()));
        }
        for key in &keys {
            let left = self.left(key.clone(), now);
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

    /// A failed validation counts; the order that it was for has brought no certificate.
    fn failed(&mut self, request: &Request, now: Timestamp) {
        let key = (3, request.hostname.clone());
        self.left(key.clone(), now);
        self.tokens.get_mut(&key).unwrap().0 -= 1.0;
        for key in [
            (1, request.registered.clone()),
            (2, request.hostname.clone()),
        ] {
            self.left(key.clone(), now);
            self.tokens.get_mut(&key).unwrap().0 += 1.0;
        }
    }

    fn left(&mut self, key: (usize, String), now: Timestamp) -> f64 {
        let (most, rate) = self.limits[key.0];
        let (left, then) = self.tokens.get(&key).copied().unwrap_or((most, now));
        let passed = now.duration_since(then).as_secs_f64();
        let left = (left + passed * rate).min(most);
        self.tokens.insert(key, (left, now));
        left
    }
}

/// Asks for all of them, one after another; who may order.
fn ask<'a>(line: &mut Line, all: &'a [Request], now: Timestamp) -> Vec<&'a str> {
    let may = |request: &&Request| line.turn(request, now) == Turn::Now;
    let admitted = all.iter().filter(may);
    admitted.map(|request| request.hostname.as_str()).collect()
}

/// R13: 10,000 names of 300 registered domains and 500 renewals, each of which asks when it was told to,
/// and not before. A hundred names fail as often as they may, and more.
#[test]
fn ten_thousand_names_are_ordered_without_one_refusal_in_the_time_that_it_must_take() {
    let mut requests: Vec<Request> = (0..10_000)
        .map(|n| request(&format!("n{n}.d{}.example", n % 300), Kind::First, n))
        .collect();
    requests.extend((0..400).map(|n| request(&format!("r{n}.d1.example"), Kind::Renewal, n)));
    requests
        .extend((0..100).map(|n| request(&format!("a{n}.d1.example"), Kind::AnnouncedRenewal, n)));
    let mut failures: HashMap<usize, u32> = (0..100).map(|n| (n * 97, 7)).collect();
    let counted: u32 = 10_400 + failures.values().sum::<u32>();

    let mut authority = Authority::new();
    let mut line = Line::new(Limits::lets_encrypt());
    let mut last_renewal = at(0);
    let mut asks: BinaryHeap<Reverse<(Timestamp, usize)>> =
        (0..requests.len()).map(|n| Reverse((at(0), n))).collect();
    // All are known before the first one is told: they stand on Domains.
    let mut end = at(0);
    let mut asked = 0;
    while let Some(Reverse((now, number))) = asks.pop() {
        asked += 1;
        let request = &requests[number];
        match line.turn(request, now) {
            Turn::Now => {}
            Turn::InLine(place) => {
                assert!(place.turn > now, "{place:?} at {now}");
                asks.push(Reverse((line::ask_again(place.turn, now), number)));
                continue;
            }
            paused @ Turn::Paused { .. } => panic!("{paused:?}"),
        }
        let told = authority.order(request, now);
        assert_eq!(told, Ok(()), "{} at {now}", request.hostname);
        if request.kind != Kind::First {
            last_renewal = last_renewal.max(now);
        }
        end = now;
        if let Some(left) = failures.get_mut(&number).filter(|left| **left > 0) {
            *left -= 1;
            authority.failed(request, now);
            line.failed(&request.hostname, now);
            // Sooner than the operator's own pauses end.
            asks.push(Reverse((now + SignedDuration::from_secs(10), number)));
        }
    }
    // 300 at once, one each 36 seconds from then on.
    let least = f64::from((counted - 300) * 36);
    let took = end.duration_since(at(0)).as_secs_f64();
    println!("{took} s, and {least} at least; {asked} questions");
    assert!(took <= least * 1.05);
    // Each is done a few dozen times: that is what the operator and the API server do for it.
    assert!(asked < requests.len() * 120, "{asked} questions");
    // Renewals went before all that still waited when they asked: 400 of them.
    let renewals = last_renewal.duration_since(at(0));
    assert!(
        renewals <= SignedDuration::from_secs(401 * 36),
        "{renewals}"
    );
}

#[test]
fn a_registered_domain_that_is_used_up_holds_nobody_else_up() {
    let mut line = Line::new(Limits::lets_encrypt());
    let many = below_acme(60);
    assert_eq!(ask(&mut line, &many, at(0)).len(), 50);
    // 50 in a week: one each 3 h 21 min 36 s.
    let Turn::InLine(place) = line.turn(&many[50], at(0)) else {
        panic!("it may order");
    };
    assert_eq!(place.limit, "certificates of the registered domain");
    assert_eq!((place.number, place.turn), (1, at(12_096)));
    let mut both = many[50..].to_vec();
    both.push(first("www.other.example"));
    assert_eq!(ask(&mut line, &both, at(1)), ["www.other.example"]);
}

#[test]
fn a_thousand_names_that_wait_for_their_own_domain_stand_in_nobodys_way() {
    let mut line = Line::new(Limits::lets_encrypt());
    let many = below_acme(1000);
    assert_eq!(ask(&mut line, &many, at(0)).len(), 50);
    let late = [request("www.other.example", Kind::First, 9_999_999)];
    assert_eq!(ask(&mut line, &late, at(1)), ["www.other.example"]);
}

#[test]
fn an_order_of_which_nothing_came_is_not_counted_as_a_certificate() {
    let mut line = Line::new(Limits::lets_encrypt());
    let www = first("www.acme.example");
    for second in 0..20 {
        assert_eq!(line.turn(&www, at(second)), Turn::Now);
        line.nothing_came("www.acme.example");
    }
    for second in 20..25 {
        assert_eq!(line.turn(&www, at(second)), Turn::Now);
        line.certified("www.acme.example");
    }
    line.nothing_came("www.acme.example");
    assert!(matches!(line.turn(&www, at(25)), Turn::InLine(_)));
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

/// What Let's Encrypt's software says, with names that are made of its words.
#[test]
fn a_refusal_is_of_those_whom_its_words_name() {
    let of = |words: &str| limits::refused(words);
    assert_eq!(
        of(
            "too many new orders (300) from this account in the last 3h0m0s, retry after 2026-01-01"
        ),
        Refused::Account
    );
    assert_eq!(
        of(
            "too many certificates (50) already issued for \"accounting-orders.example\" in the last \
            168h0m0s, retry after 2026-01-01 00:00:00 UTC"
        ),
        Refused::Registered("accounting-orders.example".to_owned())
    );
    assert_eq!(
        of(
            "too many certificates (5) already issued for this exact set of identifiers in the last \
            168h0m0s"
        ),
        Refused::Name
    );
    assert_eq!(
        of("too many failed authorizations (5) for \"account.example\" in the last 1h0m0s"),
        Refused::Name
    );
    assert_eq!(
        of(
            "Your account is temporarily prevented from requesting certificates for www.acme.example \
            and possibly others. Please visit: https://portal.example/unpause?jwt=x"
        ),
        Refused::Paused
    );
    assert_eq!(of("slow down, account.example"), Refused::Name);
}

#[test]
fn a_refusal_holds_those_whom_it_is_about_and_no_others() {
    let www = first("www.acme.example");
    let shop = first("shop.acme.example");
    let renewal = request("old.acme.example", Kind::Renewal, 0);
    let other = first("www.other.example");
    let all = [www, shop, renewal, other].map(|it| it.clone());
    let told = |refused, until: Option<Timestamp>| {
        let mut line = Line::new(Limits::default());
        let until = line.refused("www.acme.example", refused, "the words", until, at(0));
        (line, until)
    };
    let names = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();

    let (mut line, _) = told(Refused::Account, Some(at(60)));
    assert!(ask(&mut line, &all, at(59)).is_empty());
    assert_eq!(ask(&mut line, &all, at(60)).len(), 4);

    let (mut line, _) = told(Refused::Registered("acme.example".to_owned()), Some(at(60)));
    let may = names(&["old.acme.example", "www.other.example"]);
    assert_eq!(ask(&mut line, &all, at(1)), may);

    let (mut line, _) = told(Refused::Name, Some(at(60)));
    assert!(!ask(&mut line, &all, at(1)).contains(&"www.acme.example"));
    assert_eq!(ask(&mut line, &all[..1], at(60)).len(), 1);
    // Without a time nothing is known.
    assert_eq!(told(Refused::Name, None).1, None);

    // A pause ends by a person, or is tried again after a day.
    let (mut line, until) = told(Refused::Paused, None);
    assert_eq!(until, Some(at(24 * 3600)));
    assert!(
        matches!(line.turn(&all[0], at(3600)), Turn::Paused { words, .. } if words == "the words")
    );
    assert_eq!(line.turn(&all[1], at(3600)), Turn::Now);
    line.forgive("www.acme.example");
    assert_eq!(line.turn(&all[0], at(3601)), Turn::Now);
}

#[test]
fn who_waits_long_asks_now_and_then_and_at_its_turn() {
    let asks = |turn: i64| line::ask_again(at(turn), at(0));
    assert_eq!(asks(1), at(1));
    assert_eq!(asks(60), at(60));
    assert_eq!(asks(120), at(60));
    assert_eq!(asks(36_000), at(3 * 3600));
    assert_eq!(asks(-5), at(0));
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
    let mut line = Line::new(limits);
    let waiting = [
        request("a.acme.example", Kind::AnnouncedRenewal, 99),
        request("b.acme.example", Kind::Renewal, 9),
        request("c.acme.example", Kind::First, 1),
        request("d.acme.example", Kind::First, 2),
    ];
    assert_eq!(line.orders_left(at(0)), Some(2));
    let may = ask(&mut line, &waiting, at(0));
    assert_eq!(may, ["a.acme.example", "b.acme.example", "c.acme.example"]);
    assert_eq!((line.orders_left(at(0)), line.len()), (Some(0), 1));
    let Turn::InLine(place) = line.turn(&waiting[3], at(0)) else {
        panic!("it may order");
    };
    assert_eq!((place.number, place.turn), (1, at(10)));
    // A renewal that comes later goes before it.
    let renewal = request("e.acme.example", Kind::Renewal, 50);
    assert!(matches!(line.turn(&renewal, at(1)), Turn::InLine(place) if place.turn == at(10)));
    let late = [waiting[3].clone(), renewal];
    assert!(ask(&mut line, &late, at(9)).is_empty());
    assert_eq!(ask(&mut line, &late, at(10)), ["e.acme.example"]);
    assert_eq!(ask(&mut line, &late[..1], at(20)), ["d.acme.example"]);
    assert!(line.is_empty());
}
