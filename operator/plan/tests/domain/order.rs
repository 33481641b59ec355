//! The order's steps, with an authority in a few lines that does what RFC 8555 §7.1.6 draws.

use crds::{
    condition::Time,
    domain::{Order, OrderStep},
};
use jiff::{SignedDuration, Timestamp};
use plan::domain::order::{Facts, Next, Said, next, pause_ends, renew_at};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Pending,
    Ready,
    Valid,
}

/// What lies at the authority, and what is saved in the cluster.
struct World {
    now: i64,
    orders: Vec<State>,
    /// Saved: the order and, once finalized, its key.
    order: Option<(usize, Order)>,
    key: Option<usize>,
    has_certificate: bool,
    looked_at: Option<Timestamp>,
    is_answered: bool,
    steps: usize,
    /// The process dies at this effect, before or after it happens.
    dies: Option<(usize, bool)>,
}

impl World {
    fn new(dies: Option<(usize, bool)>) -> Self {
        Self {
            now: 0,
            orders: Vec::new(),
            order: None,
            key: None,
            has_certificate: false,
            looked_at: None,
            is_answered: false,
            steps: 0,
            dies,
        }
    }

    fn says(&self) -> Option<Said> {
        let (number, _) = self.order.as_ref()?;
        Some(match self.orders[*number] {
            State::Pending => Said::Pending,
            State::Ready => Said::Ready,
            State::Valid => Said::Valid,
        })
    }

    fn save(&mut self, number: usize, step: OrderStep) {
        self.order = Some((
            number,
            Order {
                authority: "ca".to_owned(),
                url: format!("https://ca.example/order/{number}"),
                step,
                since: Time(at(self.now)),
                created_at: Time(at(self.now)),
            },
        ));
    }

    /// One pass. What happens at the authority and what is saved are two things: between them, and
    /// before the first, the process may die.
    fn pass(&mut self) {
        self.now += 1;
        let order = self.order.clone();
        let facts = Facts {
            now: at(self.now),
            order: order.as_ref().map(|(_, order)| order),
            authority_says: self.says(),
            may_order: true,
            looked_at: self.looked_at,
            is_answered: self.is_answered,
            due: at(0),
            failed: (0, None),
            turn: at(0),
        };
        let step = next(&facts);
        self.steps += 1;
        let dies = self.dies.filter(|(at, _)| *at == self.steps);
        if dies == Some((self.steps, false)) {
            return;
        }
        let number = order
            .as_ref()
            .map_or(self.orders.len(), |(number, _)| *number);
        let saved = match step {
            Next::Look => {
                self.looked_at = Some(at(self.now));
                None
            }
            Next::Create => {
                self.orders.push(State::Pending);
                Some(OrderStep::Answering)
            }
            // Saved before it is used: the gateways read it.
            Next::AwaitAnswer => {
                self.is_answered = true;
                None
            }
            Next::AskToLook => {
                self.orders[number] = State::Ready;
                Some(OrderStep::Validating)
            }
            Next::Finalize => {
                // The key is saved first, and kept when it is there.
                self.key.get_or_insert(number);
                self.orders[number] = State::Valid;
                Some(OrderStep::Finalizing)
            }
            Next::Download => {
                assert_eq!(self.key, Some(number), "a certificate without its key");
                if dies.is_none() {
                    self.has_certificate = true;
                }
                None
            }
            Next::AskWhatBecame | Next::Rest(_) => None,
            Next::Drop { .. } => panic!("nothing failed"),
        };
        if dies.is_some() {
            return;
        }
        if let Some(step) = saved {
            self.save(number, step);
        }
    }
}

#[test]
fn a_crash_at_any_step_costs_one_more_order_at_most() {
    let mut clean = World::new(None);
    while !clean.has_certificate {
        clean.pass();
        assert!(clean.steps < 20);
    }
    assert_eq!(clean.orders.len(), 1);
    for step in 1..=clean.steps {
        for after in [false, true] {
            let mut world = World::new(Some((step, after)));
            while !world.has_certificate {
                world.pass();
                assert!(world.steps < 40, "died at {step}, {after}: it never ends");
            }
            assert!(
                world.orders.len() <= 2,
                "died at {step}, {after}: {}",
                world.orders.len()
            );
        }
    }
}

fn order(step: OrderStep, since: i64) -> Order {
    Order {
        authority: "ca".to_owned(),
        url: "https://ca.example/order/1".to_owned(),
        step,
        since: Time(at(since)),
        created_at: Time(at(since)),
    }
}

fn facts(order: Option<&Order>) -> Facts<'_> {
    Facts {
        now: at(100),
        order,
        authority_says: None,
        may_order: true,
        looked_at: Some(at(99)),
        is_answered: true,
        due: at(0),
        failed: (0, None),
        turn: at(0),
    }
}

#[test]
fn nobody_is_asked_before_it_can_succeed() {
    let fine = facts(None);
    assert_eq!(next(&fine), Next::Create);
    let refused = |change: fn(&mut Facts<'_>)| {
        let mut facts = facts(None);
        change(&mut facts);
        next(&facts)
    };
    assert_eq!(refused(|f| f.may_order = false), Next::Rest(at(400)));
    assert_eq!(refused(|f| f.turn = at(107)), Next::Rest(at(107)));
    assert_eq!(refused(|f| f.due = at(108)), Next::Rest(at(108)));
    assert_eq!(
        refused(|f| f.failed = (1, Some(at(99)))),
        Next::Rest(at(219))
    );
    assert_eq!(refused(|f| f.looked_at = None), Next::Look);
    assert_eq!(refused(|f| f.looked_at = Some(at(-201))), Next::Look);
}

#[test]
fn an_order_goes_on_only_when_every_gateway_answers_and_the_proof_still_holds() {
    let answering = order(OrderStep::Answering, 90);
    let mut now = facts(Some(&answering));
    now.authority_says = Some(Said::Pending);
    assert_eq!(next(&now), Next::AskToLook);
    now.is_answered = false;
    assert_eq!(next(&now), Next::AwaitAnswer);
    now.looked_at = Some(at(-300));
    assert_eq!(next(&now), Next::Look);
    now.may_order = false;
    assert_eq!(next(&now), Next::Drop { has_failed: false });
}

#[test]
fn an_order_that_failed_or_hangs_is_dropped_and_one_that_is_unknown_is_no_failure() {
    let validating = order(OrderStep::Validating, 0);
    let mut now = facts(Some(&validating));
    now.authority_says = Some(Said::Invalid);
    assert_eq!(next(&now), Next::Drop { has_failed: true });
    now.authority_says = Some(Said::Unknown);
    assert_eq!(next(&now), Next::Drop { has_failed: false });
    now.authority_says = Some(Said::Pending);
    assert_eq!(next(&now), Next::AskWhatBecame);
    now.now = at(601);
    assert_eq!(next(&now), Next::Drop { has_failed: true });
}

#[test]
fn an_authority_that_says_it_makes_the_certificate_is_given_a_day() {
    let finalizing = order(OrderStep::Finalizing, 0);
    let mut now = facts(Some(&finalizing));
    now.now = at(3600);
    assert_eq!(next(&now), Next::AskWhatBecame);
    now.authority_says = Some(Said::Processing);
    assert_eq!(next(&now), Next::AskWhatBecame);
    now.authority_says = Some(Said::Valid);
    assert_eq!(next(&now), Next::Download);
    now.authority_says = Some(Said::Ready);
    assert_eq!(next(&now), Next::Drop { has_failed: true });
    (now.now, now.authority_says) = (at(24 * 3600 + 1), Some(Said::Processing));
    assert_eq!(next(&now), Next::Drop { has_failed: true });
}

/// R14: an authority that is away for a month is asked at most 35 times per name.
#[test]
fn failures_are_followed_by_ever_longer_pauses() {
    let mut now = at(0);
    let mut tries = 0;
    while now < at(30 * 24 * 3600) {
        tries += 1;
        now = pause_ends((tries, Some(now)));
    }
    assert!((28..=35).contains(&tries), "{tries}");
    assert_eq!(pause_ends((0, None)), Timestamp::MIN);
}

#[test]
fn a_certificate_is_renewed_in_the_window_of_its_authority_or_after_two_thirds_of_its_life() {
    let day = SignedDuration::from_hours(24);
    let end = at(0) + day * 90;
    let window = Some((at(0) + day * 58, at(0) + day * 60));
    assert_eq!(renew_at(at(0), end, window, 0.0), at(0) + day * 58);
    assert_eq!(renew_at(at(0), end, window, 0.5), at(0) + day * 59);
    assert_eq!(renew_at(at(0), end, None, 0.0), at(0) + day * 60);
    let early = renew_at(at(0), end, None, 1.0);
    assert!(
        early < at(0) + day * 60 && early > at(0) + day * 57,
        "{early}"
    );
    // A window that is no window.
    let wrong = Some((end, at(0)));
    assert_eq!(renew_at(at(0), end, wrong, 0.0), at(0) + day * 60);
}

/// Short-lived certificates, those of the years to come, and those of today.
#[test]
fn whatever_its_lifetime_is_a_certificate_is_renewed_in_its_third_third_or_in_the_window() {
    for days in [6, 45, 64, 90] {
        let life = SignedDuration::from_hours(24 * days);
        let (begin, end) = (at(0), at(0) + life);
        let two_thirds = begin + life * 2 / 3;
        let window = (begin + life / 2, begin + life * 11 / 20);
        // It cannot be meant: the certificate is over before.
        let too_late = (begin + life / 2, end + life);
        for chance in [0.0, 0.3, 1.0] {
            for window in [None, Some(too_late)] {
                let due = renew_at(begin, end, window, chance);
                assert!(
                    (two_thirds - life / 50..=two_thirds).contains(&due),
                    "{days} days, {chance}: {due}"
                );
            }
            let due = renew_at(begin, end, Some(window), chance);
            assert!(
                (window.0..=window.1).contains(&due),
                "{days} days, {chance}: {due}"
            );
            // Nothing is asked before it, and it is not missed.
            let second = SignedDuration::from_secs(1);
            let mut asked = facts(None);
            (asked.due, asked.now, asked.looked_at) = (due, due - second, Some(due - second));
            assert_eq!(next(&asked), Next::Rest(due), "{days} days");
            asked.now = due;
            assert_eq!(next(&asked), Next::Create, "{days} days");
        }
    }
}
