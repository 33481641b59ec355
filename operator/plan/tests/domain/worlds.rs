//! Generated worlds: zones of an owner and of strangers, servers that lie, fail or lag behind. In
//! each an organization claims a hostname whose owner may or may not want it to. Whatever the
//! others do, a hostname is proven only where its owner's own records say so; and where nobody
//! lies, it is.
//!
//! What the owner wishes is found by a search of the world itself, not of answers.

use std::{collections::BTreeSet, net::IpAddr};

use crds::{
    Domain, DomainSpec,
    condition::{self, Time},
    domain::{Challenge, Order, OrderStep},
};
use jiff::Timestamp;
use plan::{
    domain::{
        answers::{Answer, Data, Failure, Look, Record, View},
        caa::Certifier,
        certificate,
        order::{self, Next, Said},
        pointing::points_here,
        proof_value,
        reach::Reach,
        report::{self, Holder},
        verify::{Question, ownership},
    },
    health::State,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::{GATEWAY, TARGET, a, aaaa, cname, txt};

/// How many worlds; `TUTTI_LONG` makes it twenty times as many.
const WORLDS: u64 = 5_000;

const CLAIMED: [&str; 4] = [
    "www.acme.example",
    "acme.example",
    "shop.eu.acme.example",
    "*.acme.example",
];
const OWNERS: [&str; 7] = [
    "acme.example",
    "www.acme.example",
    "web.acme.example",
    "*.acme.example",
    "*.eu.acme.example",
    "shop.eu.acme.example",
    "x.acme.example",
];
/// Names that anybody may come to own: the claimant among them.
const STRANGERS: [&str; 5] = [
    "acme.cloudhost.example",
    "evil.example",
    "*.evil.example",
    "acme.github.io",
    "a.evil.example",
];

struct World {
    records: Vec<Record>,
    claimed: &'static str,
    proof: String,
}

impl World {
    fn thrown(throw: &mut StdRng) -> Self {
        let claimed = *CLAIMED.choose(throw).unwrap();
        let proof = proof_value("uid-of-claimant", claimed);
        let mut records = Vec::new();
        let names: Vec<&str> = OWNERS.iter().chain(&STRANGERS).copied().collect();
        for name in &names {
            if throw.random_bool(0.45) {
                continue;
            }
            let is_owners = OWNERS.contains(name);
            let can_be_cname = *name != "acme.example";
            match throw.random_range(0..if can_be_cname { 6 } else { 3 }) {
                0 => records.push(a(name, GATEWAY)),
                1 => records.push(a(name, "198.51.100.7")),
                2 => {
                    records.push(a(name, GATEWAY));
                    records.push(aaaa(name, "2001:db8::7"));
                }
                // Strangers lead here more often: one of them is the claimant.
                3 => records.push(cname(name, TARGET)),
                4 if !is_owners => records.push(cname(name, TARGET)),
                _ => {
                    let concrete: Vec<&&str> =
                        names.iter().filter(|n| !n.starts_with('*')).collect();
                    records.push(cname(name, concrete.choose(throw).unwrap()));
                }
            }
        }
        let base = claimed.trim_start_matches("*.");
        let texts = [
            proof.clone(),
            proof_value("uid-of-another", claimed),
            proof_value("uid-of-claimant", "other.example"),
            "v=spf1 -all".to_owned(),
        ];
        let challenge = format!("_tutti-challenge.{base}");
        match throw.random_range(0..8) {
            0 => records.push(txt(&challenge, &texts[0])),
            1 => records.push(txt(&challenge, &texts[throw.random_range(1..4)])),
            2 => {
                records.push(cname(&challenge, "evil.example"));
                records.push(txt("evil.example", &texts[0]));
            }
            3 => {
                records.push(cname(&challenge, "proofs.acme.example"));
                records.push(txt("proofs.acme.example", &texts[throw.random_range(0..4)]));
            }
            4 => records.push(txt("evil.example", &texts[0])),
            _ => {}
        }
        records.push(a(TARGET, GATEWAY));
        for record in &mut records {
            record.ttl = throw.random_range(1..3600);
        }
        Self {
            records,
            claimed,
            proof,
        }
    }

    /// The name that is looked up.
    fn asked(&self) -> String {
        self.claimed.replace('*', "tutti-check")
    }

    /// Records at a name, a wildcard's included (RFC 4592); `None` when there is no such name.
    fn at(&self, name: &str) -> Option<Vec<Record>> {
        let exact: Vec<Record> = self
            .records
            .iter()
            .filter(|r| r.name == name)
            .cloned()
            .collect();
        if !exact.is_empty() {
            return Some(exact);
        }
        // A name between others exists, too, and a wildcard does not cover it.
        if self
            .records
            .iter()
            .any(|r| r.name.ends_with(&format!(".{name}")))
        {
            return Some(Vec::new());
        }
        let (_, parent) = name.split_once('.')?;
        let wild = format!("*.{parent}");
        let covered: Vec<Record> = self
            .records
            .iter()
            .filter(|r| r.name == wild)
            .map(|r| Record {
                name: name.to_owned(),
                ..r.clone()
            })
            .collect();
        if !covered.is_empty() {
            return Some(covered);
        }
        let parent_exists = self
            .records
            .iter()
            .any(|r| r.name == parent || r.name.ends_with(&format!(".{parent}")));
        if parent_exists {
            return None;
        }
        // The wildcard of a name further up covers this one as well.
        let mut above = parent;
        while let Some((_, next)) = above.split_once('.') {
            let wild = format!("*.{next}");
            let covered: Vec<Record> = self
                .records
                .iter()
                .filter(|r| r.name == wild)
                .map(|r| Record {
                    name: name.to_owned(),
                    ..r.clone()
                })
                .collect();
            if !covered.is_empty() {
                return Some(covered);
            }
            if self
                .records
                .iter()
                .any(|r| r.name == next || r.name.ends_with(&format!(".{next}")))
            {
                return None;
            }
            above = next;
        }
        None
    }

    /// What a resolver finds; an authoritative server stops where its zone ends.
    fn answer(&self, asked: &str, wanted: fn(&Data) -> bool, within: Option<&str>) -> Answer {
        let mut found = Vec::new();
        let mut name = asked.to_owned();
        for _ in 0..12 {
            if within.is_some_and(|zone| !name.ends_with(zone)) {
                return Answer::NoRecords(found);
            }
            let Some(records) = self.at(&name) else {
                return Answer::NoSuchName(found);
            };
            if let Some(record) = records.iter().find(|r| matches!(r.data, Data::Cname(_))) {
                let Data::Cname(next) = &record.data else {
                    unreachable!()
                };
                name.clone_from(next);
                found.push(record.clone());
                continue;
            }
            let some: Vec<Record> = records.into_iter().filter(|r| wanted(&r.data)).collect();
            if some.is_empty() {
                return Answer::NoRecords(found);
            }
            found.extend(some);
            return Answer::Records(found);
        }
        Answer::Failed(Failure::ServerFailed)
    }

    fn view(&self, server: &str, within: Option<&str>) -> View {
        let challenge = format!("_tutti-challenge.{}", self.claimed.trim_start_matches("*."));
        View {
            server: server.to_owned(),
            ipv4: self.answer(&self.asked(), |d| matches!(d, Data::A(_)), within),
            ipv6: self.answer(&self.asked(), |d| matches!(d, Data::Aaaa(_)), within),
            proof: self.answer(&challenge, |d| matches!(d, Data::Txt(_)), within),
        }
    }

    /// Whether the owner's own records lead from a name to where `is_there`.
    fn owner_leads(&self, from: &str, is_there: impl Fn(&str, &[Record]) -> bool) -> bool {
        let mut seen = BTreeSet::new();
        let mut name = from.to_owned();
        while (name == "acme.example" || name.ends_with(".acme.example"))
            && seen.insert(name.clone())
        {
            let records = self.at(&name).unwrap_or_default();
            if is_there(&name, &records) {
                return true;
            }
            let next = records.iter().find_map(|r| match &r.data {
                Data::Cname(next) => Some(next.clone()),
                _ => None,
            });
            let Some(next) = next else { return false };
            if is_there(&next, &[]) {
                return true;
            }
            name = next;
        }
        false
    }

    fn is_wished(&self) -> bool {
        let challenge = format!("_tutti-challenge.{}", self.claimed.trim_start_matches("*."));
        // Where one name leads is no wish about all of them.
        let is_wildcard = self.claimed.starts_with('*');
        !is_wildcard && self.owner_leads(&self.asked(), |name, _| name == TARGET)
            || self.owner_leads(&challenge, |_, records| {
                records
                    .iter()
                    .any(|r| r.data == Data::Txt(self.proof.clone()))
            })
    }
}

/// What a liar says: that everything is as the claimant would have it.
fn lie(world: &World, server: &str) -> View {
    let asked = world.asked();
    let challenge = format!(
        "_tutti-challenge.{}",
        world.claimed.trim_start_matches("*.")
    );
    View {
        server: server.to_owned(),
        ipv4: Answer::Records(vec![cname(&asked, TARGET), a(TARGET, GATEWAY)]),
        ipv6: Answer::NoRecords(vec![cname(&asked, TARGET)]),
        proof: Answer::Records(vec![txt(&challenge, &world.proof)]),
    }
}

fn fail(view: &mut View, throw: &mut StdRng) {
    let failures = [
        Failure::ServerFailed,
        Failure::Bogus,
        Failure::Refused,
        Failure::NotAuthoritative,
        Failure::TimedOut,
        Failure::Malformed,
    ];
    let failure = *failures.choose(throw).unwrap();
    let which = throw.random_range(1..8);
    for (bit, answer) in [&mut view.ipv4, &mut view.ipv6, &mut view.proof]
        .into_iter()
        .enumerate()
    {
        if which >> bit & 1 == 1 {
            *answer = Answer::Failed(failure);
        }
    }
}

/// What is seen of a world, and whether nobody lies: one liar at most among the servers, one among the
/// resolvers, some that fail or lag behind.
fn seen(world: &World, before: &World, zone: Option<&str>, throw: &mut StdRng) -> (Look, bool) {
    let mut look = Look {
        authorities: ["ns1.acme.example", "ns2.acme.example"]
            .map(|s| world.view(s, zone))
            .into(),
        resolvers: ["9.9.9.9", "1.1.1.1", "8.8.8.8"]
            .map(|s| world.view(s, None))
            .into(),
        gateway: vec![GATEWAY.parse::<IpAddr>().unwrap()],
        ..Look::default()
    };
    if throw.random_bool(0.6) {
        return (look, true);
    }
    if throw.random_bool(0.5) {
        look.authorities[0] = lie(world, "ns1.acme.example");
    }
    if throw.random_bool(0.5) {
        look.resolvers[0] = lie(world, "9.9.9.9");
    }
    if throw.random_bool(0.3) {
        look.authorities[1] = before.view("ns2.acme.example", zone);
    }
    for view in look.authorities.iter_mut().chain(&mut look.resolvers) {
        if throw.random_bool(0.15) {
            fail(view, throw);
        }
    }
    if throw.random_bool(0.1) {
        look.authorities.clear();
    }
    (look, false)
}

fn worlds() -> u64 {
    if std::env::var_os("TUTTI_LONG").is_some() {
        20 * WORLDS
    } else {
        WORLDS
    }
}

/// Lives of a Domain in worlds that change between one look and the next. Its authority certifies
/// whatever it is asked for: nothing but our own checks stands between a stranger and a certificate.
#[test]
fn in_no_world_is_anything_asked_of_an_authority_or_a_visitor_let_in_against_the_owners_wish() {
    const PASSES: u64 = 5;
    let (mut asked, mut certified, mut let_in, mut refused) = (0, 0, 0, 0);
    for seed in 0..worlds() / PASSES {
        let mut throw = StdRng::seed_from_u64(1_000_000 + seed);
        let mut world = World::thrown(&mut throw);
        let zone = (!throw.random_bool(0.3)).then_some("acme.example");
        let mut domain = Domain::new("www", DomainSpec::new(world.claimed, "shop"));
        domain.metadata.generation = Some(1);
        domain.spec.challenge = Some(if world.claimed.starts_with('*') {
            Challenge::Dns01
        } else {
            Challenge::Http01
        });
        let mut was_wished = false;
        for pass in 0..PASSES {
            let now = Timestamp::from_second(i64::try_from(pass).unwrap() * 60).unwrap();
            let before = World {
                claimed: world.claimed,
                proof: world.proof.clone(),
                records: world.records.clone(),
            };
            if pass > 0 && throw.random_bool(0.3) {
                let claimed = world.claimed;
                world = World::thrown(&mut throw);
                (world.claimed, world.proof) = (claimed, proof_value("uid-of-claimant", claimed));
            }
            let wished = world.is_wished();
            was_wished |= wished;
            let (look, _) = seen(&world, &before, zone, &mut throw);
            let reach = Reach::Ours;
            let facts = report::Facts {
                target: Some(TARGET),
                organization_uid: "uid-of-claimant",
                zone: "apps.tutti.example",
                holder: Holder::This,
                look: Some(&look),
                reach: Some(&reach),
                certifier: Certifier {
                    name: None,
                    identities: &[],
                    account: None,
                    method: "http-01",
                },
                delegation: None,
                is_platforms: false,
            };
            let checked = report::check(&domain, &facts);
            let mut status = domain.status.clone().unwrap_or_default();
            // As many steps as there are in a life without a crash.
            for _ in 0..8 {
                let order = status.order.clone();
                let step = order::next(&order::Facts {
                    now,
                    order: order.as_ref(),
                    authority_says: order.as_ref().and_then(|order| match order.step {
                        OrderStep::Answering => None,
                        OrderStep::Validating => Some(Said::Ready),
                        OrderStep::Finalizing => Some(Said::Valid),
                    }),
                    may_order: checked.may_order,
                    looked_at: Some(now),
                    is_answered: true,
                    due: Timestamp::MIN,
                    failed: (0, None),
                    turn: now,
                });
                let next = match step {
                    Next::Create => OrderStep::Answering,
                    Next::AskToLook => OrderStep::Validating,
                    Next::Finalize => OrderStep::Finalizing,
                    Next::Drop { .. } => {
                        status.order = None;
                        refused += 1;
                        break;
                    }
                    // What was asked for while it was wished may come.
                    Next::Download => {
                        assert!(was_wished, "life {seed}: certified");
                        certified += 1;
                        break;
                    }
                    _ => break,
                };
                assert!(
                    wished,
                    "life {seed}, pass {pass}: {step:?} against the owner's wish\n{:#?}\n{look:#?}",
                    world.records
                );
                asked += 1;
                status.order = Some(Order {
                    authority: "ca".to_owned(),
                    url: "https://ca.example/order/1".to_owned(),
                    step: next,
                    since: Time(now),
                    created_at: Time(now),
                });
                // Now and then the process waits here for the next look.
                if throw.random_bool(0.4) {
                    break;
                }
            }
            let progress = report::Progress {
                certified: certificate::judge(&status, &certificate::Awaited::default(), now),
                served: None,
            };
            let status = report::conclude(&domain, None, &checked, &progress, status, (now, 0.5));
            let is_let_in = condition::is_true(&status.conditions, condition::ROUTED);
            assert!(
                !is_let_in || was_wished,
                "life {seed}, pass {pass}: visitors are let in"
            );
            let_in += u64::from(is_let_in);
            domain.status = Some(status);
        }
    }
    let lives = worlds() / PASSES;
    assert!(
        asked * 5 > lives && certified * 50 > lives && let_in * 5 > lives && refused * 100 > lives,
        "{asked} {certified} {let_in} {refused}"
    );
}

#[test]
fn in_no_world_is_a_name_proven_that_its_owner_did_not_lead_here() {
    let worlds = worlds();
    let (mut proven, mut refused, mut pointing) = (0, 0, 0);
    for seed in 0..worlds {
        let mut throw = StdRng::seed_from_u64(seed);
        let world = World::thrown(&mut throw);
        // What was true before: caches and servers that lag behind show it.
        let before = World {
            claimed: world.claimed,
            proof: world.proof.clone(),
            ..World::thrown(&mut throw)
        };
        // Servers of somebody who hosts many zones answer for all of them.
        let zone = (!throw.random_bool(0.3)).then_some("acme.example");
        let wished = world.is_wished();
        let (look, is_honest) = seen(&world, &before, zone, &mut throw);
        let asked = world.asked();
        let question = Question {
            hostname: world.claimed,
            asked: &asked,
            target: TARGET,
            proof: &world.proof,
        };
        let said = ownership(&question, &look);
        let is_proven = said.finding.state == State::Well;
        assert!(
            !is_proven || wished,
            "world {seed}: {} was proven ({}) against its owner's wish\n{:#?}\n{look:#?}",
            world.claimed,
            said.finding.reason,
            world.records
        );
        if is_honest {
            // Both families must not contradict each other, and resolvers must get an answer.
            let is_answered = look.resolvers.iter().all(|v| v.ipv4.failure().is_none());
            assert!(
                is_proven == wished || !is_answered,
                "world {seed}: {} is {}, its owner wished: {wished}\n{:#?}",
                world.claimed,
                said.finding.reason,
                world.records
            );
            let there = points_here(&question, &look);
            if there.finding.state == State::Well {
                pointing += 1;
                for view in &look.resolvers {
                    let seen = view.ipv4.records().iter().chain(view.ipv6.records());
                    let elsewhere = seen.clone().any(|r| match &r.data {
                        Data::A(address) => address.to_string() != GATEWAY,
                        Data::Aaaa(_) => true,
                        _ => false,
                    });
                    assert!(
                        !elsewhere,
                        "world {seed}: it points elsewhere as well\n{look:#?}"
                    );
                }
            }
        }
        if is_proven {
            proven += 1;
        } else {
            assert!(
                !said.wanted.is_empty(),
                "world {seed}: nothing is said to mend {}",
                said.finding.reason
            );
            refused += 1;
        }
    }
    // The worlds are no deserts.
    assert!(
        proven * 20 > worlds && refused * 20 > worlds && pointing * 50 > worlds,
        "{proven} {refused} {pointing}"
    );
}
