//! Generated worlds (R16): zones of an owner, of a look-alike, of strangers and of the platform, in which
//! names lead to each other, round or too far, below wildcards; servers that lie, fail, lag behind or
//! answer in mixed case; hostnames that nobody can have; one organization or two that race for a name
//! whose owner may or may not want it to be theirs, and names that are kept for another one (R17).
//! Whatever the others do, a hostname is proven only where its owner's own records say so; and where
//! nobody lies, it is.
//!
//! What the owner wishes is found by a search of the world itself, not of answers: `worlds/world.rs`.

mod servers;
mod world;

use std::collections::BTreeMap;

use crds::{
    Domain, DomainSpec,
    condition::{self, Time},
    domain::{Challenge, DomainStatus, Order, OrderStep},
};
use jiff::{SignedDuration, Timestamp};
use plan::{
    domain::{
        answers::{Data, Look},
        caa::Certifier,
        certificate,
        holder::{Contender, KEPT_FOR, Kept, choose},
        order::{self, Next, Said},
        pointing::points_here,
        proof_value,
        reach::Reach,
        report::{self, Checked, Holder},
        verify::{Question, ownership},
    },
    health::State,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use self::{
    servers::seen,
    world::{CLAIMANTS, Claimant, Wish, World, ZONE},
};
use super::{GATEWAY, report::certificate};

/// How many worlds; `TUTTI_LONG` makes it twenty times as many.
const WORLDS: u64 = 5_000;

/// Looks at each world of a life.
const PASSES: u64 = 5;

fn worlds() -> u64 {
    if std::env::var_os("TUTTI_LONG").is_some() {
        20 * WORLDS
    } else {
        WORLDS
    }
}

/// Reasons with how often each was given: whatever is generated has to be met.
#[derive(Default)]
struct Met(BTreeMap<String, u64>);

impl Met {
    fn note(&mut self, domain: &Domain) {
        for condition in &domain.status.as_ref().unwrap().conditions {
            *self.0.entry(condition.reason.clone()).or_default() += 1;
        }
    }

    fn all_of(&self, reasons: &[&str]) {
        let often = |reason: &&&str| self.0.get(**reason).is_some_and(|count| *count >= 10);
        let seldom: Vec<&&str> = reasons.iter().filter(|it| !often(it)).collect();
        assert!(seldom.is_empty(), "{seldom:?} of {:#?}", self.0);
    }
}

/// A hostname and those who want it.
struct Life {
    seed: u64,
    world: World,
    domains: Vec<Domain>,
    was_wished: Vec<bool>,
    /// UID of the holder, as long as nobody forgets it.
    held: Option<String>,
    kept: Option<Kept>,
    now: Timestamp,
}

/// How often something happened, in all lives.
#[derive(Default)]
struct Count {
    asked: u64,
    certified: u64,
    let_in: u64,
    dropped: u64,
    /// Races that were won: over when the world had stood still for a while.
    won: u64,
    moved: u64,
}

impl Life {
    fn begin(seed: u64, throw: &mut StdRng) -> Self {
        let claim = world::claim(throw);
        let now = Timestamp::UNIX_EPOCH;
        let racing = 1 + usize::from(throw.random_bool(0.5));
        let domains = CLAIMANTS.iter().take(racing).map(|claimant| {
            let mut domain = Domain::new("www", DomainSpec::new(claim.hostname, "shop"));
            domain.metadata.namespace = Some(claimant.namespace.to_owned());
            domain.metadata.uid = Some(format!("domain-of-{}", claimant.namespace));
            domain.metadata.generation = Some(1);
            let after = SignedDuration::from_secs(throw.random_range(0..3));
            domain.metadata.creation_timestamp = Some(Time(now + after));
            domain.spec.challenge = Some(if claim.hostname.starts_with('*') {
                Challenge::Dns01
            } else {
                Challenge::Http01
            });
            domain
        });
        let domains: Vec<Domain> = domains.collect();
        let kept_for = ["claimant", "rival", "gone"].choose(throw).unwrap();
        let kept = throw.random_bool(0.1).then(|| Kept {
            namespace: (*kept_for).to_owned(),
            organization: None,
            until: now + KEPT_FOR,
        });
        Self {
            seed,
            world: World::thrown(claim, throw),
            was_wished: vec![false; domains.len()],
            domains,
            held: None,
            kept,
            now,
        }
    }

    /// Whether the owner wants it, and nobody else has a right to it.
    fn wish(&self, number: usize) -> Wish {
        let claimant = &CLAIMANTS[number];
        let is_kept = |kept: &Kept| kept.namespace != claimant.namespace;
        if self.kept.as_ref().is_some_and(is_kept) {
            return Wish::No;
        }
        self.world.wish(claimant)
    }

    /// As the operator decides it: anew with each pass, with what it remembers, over what the statuses say.
    fn holder(&mut self, number: usize, is_proven_now: bool) -> Holder {
        let claims = self.domains.iter().zip(CLAIMANTS.iter());
        let mut contenders: Vec<Contender> = claims
            .map(|(domain, claimant)| Contender::of(domain, claimant.uid))
            .collect();
        contenders[number].is_proven |= is_proven_now;
        let chosen = choose(
            &contenders,
            self.held.as_deref(),
            self.kept.as_ref(),
            self.now,
        );
        let Some(chosen) = chosen else {
            return Holder::HeldBack(self.kept.as_ref().unwrap().until);
        };
        self.held = Some(chosen.uid.clone());
        if chosen.uid == contenders[number].uid {
            Holder::This
        } else {
            Holder::Another
        }
    }

    fn claim(&mut self, number: usize, look: Option<&Look>, count: &mut Count) -> Holder {
        let holder = self.holder(number, false);
        let is_proven = |look| {
            let (asked, claimant) = (self.world.asked(), &CLAIMANTS[number]);
            let hostname = self.world.claim.hostname;
            let proof = proof_value(claimant.uid, hostname);
            ownership(&question(hostname, &asked, claimant, &proof), look)
                .finding
                .state
                == State::Well
        };
        if holder == Holder::This || !look.is_some_and(is_proven) {
            return holder;
        }
        let holder = self.holder(number, true);
        count.moved += u64::from(holder == Holder::This);
        holder
    }

    /// One pass over one of them, with a look or without.
    fn pass(&mut self, number: usize, look: Option<&Look>, throw: &mut StdRng, count: &mut Count) {
        let claimant = &CLAIMANTS[number];
        let wish = self.wish(number);
        self.was_wished[number] |= wish != Wish::No;
        let holder = self.claim(number, look, count);
        let domain = self.domains[number].clone();
        let facts = report::Facts {
            target: Some(claimant.target),
            organization_uid: claimant.uid,
            zone: ZONE,
            holder,
            look,
            reach: look.map(|_| &Reach::Ours),
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
        if !checked.is_held {
            // It goes with the name.
            (status.order, status.certificate) = (None, None);
        }
        if look.is_some() {
            self.advance(number, wish, &checked, &mut status, throw, count);
        }
        let progress = report::Progress {
            certified: certificate::judge(&status, &certificate::Awaited::default(), self.now),
            served: None,
        };
        let now = (self.now, 0.5);
        let status = report::conclude(&domain, None, &checked, &progress, status, now);
        self.domains[number].status = Some(status);
    }

    /// As many steps as there are in a life without a crash. Its authority certifies whatever it is asked
    /// for: nothing but our own checks stands between a stranger and a certificate.
    fn advance(
        &self,
        number: usize,
        wish: Wish,
        checked: &Checked,
        status: &mut DomainStatus,
        throw: &mut StdRng,
        count: &mut Count,
    ) {
        let (seed, now) = (self.seed, self.now);
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
                due: order::due(status),
                failed: (0, None),
                turn: now,
            });
            let next = match step {
                Next::Create => OrderStep::Answering,
                Next::AskToLook => OrderStep::Validating,
                Next::Finalize => OrderStep::Finalizing,
                Next::Drop { .. } => {
                    status.order = None;
                    count.dropped += 1;
                    return;
                }
                // What was asked for while it was wished may come.
                Next::Download => {
                    assert!(self.was_wished[number], "life {seed}: certified");
                    count.certified += 1;
                    let mut certificate = certificate(now + SignedDuration::from_hours(1));
                    certificate.renew_at = Some(Time(now + SignedDuration::from_mins(2)));
                    (status.order, status.certificate) = (None, Some(certificate));
                    return;
                }
                _ => return,
            };
            assert!(
                wish != Wish::No,
                "life {seed}, {now}, claimant {number}: {step:?} against the owner's wish\n{:#?}",
                self.world.records
            );
            count.asked += 1;
            status.order = Some(Order {
                authority: "ca".to_owned(),
                url: "https://ca.example/order/1".to_owned(),
                step: next,
                since: Time(now),
                created_at: Time(now),
            });
            // Now and then the process waits here for the next look.
            if throw.random_bool(0.4) {
                return;
            }
        }
    }

    /// All of them look, in any order; whoever loses the name hears of it at once.
    fn round(&mut self, before: Option<&World>, throw: &mut StdRng, count: &mut Count) {
        let begins = throw.random_range(0..self.domains.len());
        for turn in 0..self.domains.len() {
            let number = (begins + turn) % self.domains.len();
            let look = match before {
                Some(before) => seen(&self.world, before, &CLAIMANTS[number], throw).0,
                None => servers::honest(&self.world),
            };
            self.pass(number, Some(&look), throw, count);
            for other in (0..self.domains.len()).filter(|other| *other != number) {
                self.pass(other, None, throw, count);
            }
            let let_in: Vec<usize> = (0..self.domains.len())
                .filter(|number| self.is_let_in(*number))
                .collect();
            let (seed, now) = (self.seed, self.now);
            assert!(let_in.len() < 2, "life {seed}, {now}: both are let in");
            for number in let_in {
                assert!(
                    self.was_wished[number],
                    "life {seed}, {now}: visitors of claimant {number} are let in"
                );
                count.let_in += 1;
            }
            let certified = self.domains.iter().filter(|domain| {
                let status = domain.status.as_ref();
                status.is_some_and(|status| status.certificate.is_some())
            });
            let certified = certified.count();
            assert!(certified < 2, "life {seed}, {now}: both have certificates");
        }
    }

    fn is_let_in(&self, number: usize) -> bool {
        let status = self.domains[number].status.as_ref();
        status.is_some_and(|it| condition::is_true(&it.conditions, condition::ROUTED))
    }
}

fn question<'a>(
    hostname: &'a str,
    asked: &'a str,
    claimant: &'a Claimant,
    proof: &'a str,
) -> Question<'a> {
    Question {
        hostname,
        asked,
        target: claimant.target,
        proof,
    }
}

/// Lives of a hostname in worlds that change between one look and the next, also between the look before
/// an order and the one before its certificate.
#[test]
fn in_no_world_is_anything_asked_of_an_authority_or_a_visitor_let_in_against_the_owners_wish() {
    let (mut count, mut met) = (Count::default(), Met::default());
    for seed in 0..worlds() {
        let mut throw = StdRng::seed_from_u64(1_000_000 + seed);
        let mut life = Life::begin(seed, &mut throw);
        for pass in 0..PASSES {
            let before = life.world.clone();
            if pass > 0 && throw.random_bool(0.3) {
                life.world = World::thrown(life.world.claim, &mut throw);
            }
            if throw.random_bool(0.1) {
                life.held = None;
            }
            life.round(Some(&before), &mut throw, &mut count);
            life.domains.iter().for_each(|domain| met.note(domain));
            life.now += SignedDuration::from_mins(1);
        }
        // The weather clears: of those whom the owner wants, one has the name.
        for _ in 0..2 {
            life.now += SignedDuration::from_mins(1);
            life.round(None, &mut throw, &mut count);
        }
        let all = 0..life.domains.len();
        let wanted = all.clone().filter(|it| life.wish(*it) == Wish::Yes);
        if wanted.count() > 0 {
            let winner = all.clone().find(|number| life.is_let_in(*number));
            let winner = winner
                .unwrap_or_else(|| panic!("life {seed}: nobody has it\n{:#?}", life.world.records));
            assert!(
                life.wish(winner) != Wish::No,
                "life {seed}: {winner} has it"
            );
            count.won += u64::from(all.len() > 1);
        }
    }
    met.all_of(&[
        "NameIsThePlatforms",
        "NameMalformed",
        "NameIsAPublicSuffix",
        "NameLooksLikeAnother",
        "HostnameTaken",
        "HostnameHeldBack",
        "ProvenByCname",
        "ProvenByTxt",
        "NotProven",
        "ProofOfAnother",
        "ProofThroughAnother",
        "ProofNotYetEverywhere",
        "AuthoritiesDisagree",
        "AuthoritiesSilent",
        "DnssecBroken",
        "ChainLoops",
        "ChainTooLong",
        "ProofLost",
        "PointsHere",
        "ThroughAProxy",
        "PointsPartlyElsewhere",
        "NoRecord",
        "CachesAreStale",
        "Certified",
        "Renewing",
    ]);
    let Count {
        asked,
        certified,
        let_in,
        dropped,
        won,
        moved,
    } = count;
    let lives = worlds();
    assert!(
        asked * 2 > lives
            && certified * 20 > lives
            && let_in * 2 > lives
            && dropped * 100 > lives
            && won * 50 > lives
            && moved * 100 > lives,
        "{asked} {certified} {let_in} {dropped} {won} {moved}"
    );
}

#[test]
fn in_no_world_is_a_name_proven_that_its_owner_did_not_lead_here() {
    let worlds = worlds();
    let (mut proven, mut refused, mut pointing) = (0, 0, 0);
    let claimant = &CLAIMANTS[0];
    for seed in 0..worlds {
        let mut throw = StdRng::seed_from_u64(seed);
        let claim = world::claim_of_a_customer(&mut throw);
        let world = World::thrown(claim, &mut throw);
        // What was true before: caches and servers that lag behind show it.
        let before = World::thrown(claim, &mut throw);
        let wish = world.wish(claimant);
        let (look, is_honest) = seen(&world, &before, claimant, &mut throw);
        let (asked, proof) = (world.asked(), proof_value(claimant.uid, claim.hostname));
        let question = question(claim.hostname, &asked, claimant, &proof);
        let said = ownership(&question, &look);
        let is_proven = said.finding.state == State::Well;
        assert!(
            !is_proven || wish != Wish::No,
            "world {seed}: {} was proven ({}) against its owner's wish\n{:#?}\n{look:#?}",
            claim.hostname,
            said.finding.reason,
            world.records
        );
        if is_honest {
            // Resolvers must get an answer.
            let is_answered = look.resolvers.iter().all(|v| v.ipv4.failure().is_none());
            assert!(
                is_proven || wish != Wish::Yes || !is_answered,
                "world {seed}: {} is {}, and its owner wished for it\n{:#?}",
                claim.hostname,
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
