//! Zones of an owner, of strangers and of the platform, and what the owner wishes: that is found by a
//! search of the records themselves, with the owner's zone written down beside each name. Nothing of what
//! is tested has a say in it but the values of the TXT records, which only have to differ.

use std::collections::BTreeSet;

use plan::domain::{
    answers::{Answer, Data, Failure, Record, View, plain},
    proof_value,
};
use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};

use super::super::{GATEWAY, TARGET, a, aaaa, cname, txt};

/// Who wants the hostname: the first is the one of whom is asked whether its owner wished for it, the
/// second races the first.
pub const CLAIMANTS: [Claimant; 2] = [
    Claimant {
        namespace: "claimant",
        uid: "uid-of-claimant",
        target: TARGET,
    },
    Claimant {
        namespace: "rival",
        uid: "uid-of-rival",
        target: "blog-abcdefghjk.apps.tutti.example",
    },
];

/// The platform's own zone.
pub const ZONE: &str = "apps.tutti.example";

/// The most CNAMEs on a way that resolvers follow to its end.
const FOLLOWED: usize = 12;

/// An organization.
pub struct Claimant {
    pub namespace: &'static str,
    pub uid: &'static str,
    /// The own name of its instance.
    pub target: &'static str,
}

/// A hostname that is claimed.
pub struct Claim {
    pub hostname: &'static str,
    /// The zone that somebody registered, who alone can wish for it; none: no customer can have it.
    pub owner: Option<&'static str>,
}

const fn of_acme(hostname: &'static str) -> Claim {
    Claim {
        hostname,
        owner: Some("acme.example"),
    }
}

/// "аcme" with a Cyrillic а.
const ALIKE: &str = "xn--cme-5cd.example";

const fn of_the_look_alike(hostname: &'static str) -> Claim {
    Claim {
        hostname,
        owner: Some(ALIKE),
    }
}

const fn of_nobody(hostname: &'static str) -> Claim {
    Claim {
        hostname,
        owner: None,
    }
}

const OF_CUSTOMERS: [Claim; 6] = [
    of_acme("www.acme.example"),
    of_acme("acme.example"),
    of_acme("shop.eu.acme.example"),
    of_acme("*.acme.example"),
    of_the_look_alike(ALIKE),
    of_the_look_alike("www.xn--cme-5cd.example"),
];

const OF_NOBODY: [Claim; 6] = [
    // The platform's own.
    of_nobody("tutti.example"),
    of_nobody("www.apps.tutti.example"),
    of_nobody("*.apps.tutti.example"),
    of_nobody(TARGET),
    // Claims are in lower case.
    of_nobody("www.Acme.example"),
    // Everybody's.
    of_nobody("github.io"),
];

/// Now and then one that no customer can have.
pub fn claim(throw: &mut StdRng) -> &'static Claim {
    if throw.random_bool(0.2) {
        OF_NOBODY.choose(throw).unwrap()
    } else {
        claim_of_a_customer(throw)
    }
}

pub fn claim_of_a_customer(throw: &mut StdRng) -> &'static Claim {
    OF_CUSTOMERS.choose(throw).unwrap()
}

/// Where anything may stand.
const NAMES: [&str; 17] = [
    "acme.example",
    "www.acme.example",
    "web.acme.example",
    "*.acme.example",
    "*.eu.acme.example",
    "shop.eu.acme.example",
    "x.acme.example",
    ALIKE,
    "www.xn--cme-5cd.example",
    "*.xn--cme-5cd.example",
    // Names that anybody may come to own: the claimant among them.
    "acme.cloudhost.example",
    "evil.example",
    "*.evil.example",
    "acme.github.io",
    "a.evil.example",
    // The platform gives names in its zone by itself.
    "www.apps.tutti.example",
    "*.apps.tutti.example",
];

/// Whether the owner wants the name to be a claimant's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    No,
    Yes,
    /// Yes, at the end of a way that is longer than what is followed.
    FarAway,
}

#[derive(Clone)]
pub struct World {
    pub records: Vec<Record>,
    pub claim: &'static Claim,
    /// Where the zone ends for which its servers speak; none: they speak for all zones.
    zone: Option<&'static str>,
}

impl World {
    pub fn thrown(claim: &'static Claim, throw: &mut StdRng) -> Self {
        let mut world = Self {
            records: Vec::new(),
            claim,
            // Servers of somebody who hosts many zones answer for all of them.
            zone: (!throw.random_bool(0.3)).then_some(claim.owner.unwrap_or("tutti.example")),
        };
        for name in NAMES {
            if throw.random_bool(0.55) {
                world.fill(name, throw);
            }
        }
        world.throw_proof(throw);
        match throw.random_range(0..20) {
            0 => world.lay_a_way(throw),
            1 => world.lay_a_circle(),
            _ => {}
        }
        for claimant in &CLAIMANTS {
            world.records.retain(|it| it.name != claimant.target);
            world.records.push(a(claimant.target, GATEWAY));
        }
        for record in &mut world.records {
            record.ttl = throw.random_range(1..3600);
        }
        world
    }

    fn fill(&mut self, name: &str, throw: &mut StdRng) {
        let target = CLAIMANTS[usize::from(throw.random_bool(0.3))].target;
        let is_owners = self.is_owners(name);
        let is_apex = ["acme.example", ALIKE].contains(&name);
        match throw.random_range(0..if is_apex { 3 } else { 6 }) {
            0 => self.records.push(a(name, GATEWAY)),
            1 => self.records.push(a(name, "198.51.100.7")),
            2 => {
                self.records.push(a(name, GATEWAY));
                self.records.push(aaaa(name, "2001:db8::7"));
            }
            3 => self.records.push(cname(name, target)),
            // Strangers lead here more often: one of them is the claimant.
            4 if !is_owners => self.records.push(cname(name, target)),
            _ => {
                let concrete: Vec<&&str> = NAMES.iter().filter(|n| !n.starts_with('*')).collect();
                self.records
                    .push(cname(name, concrete.choose(throw).unwrap()));
            }
        }
    }

    fn throw_proof(&mut self, throw: &mut StdRng) {
        let hostname = self.claim.hostname;
        let base = hostname.trim_start_matches("*.");
        let texts = [
            proof_value("uid-of-claimant", hostname),
            proof_value("uid-of-rival", hostname),
            proof_value("uid-of-another", hostname),
            proof_value("uid-of-claimant", "other.example"),
            // What a name of the same looks would have.
            proof_value("uid-of-claimant", "www.acme.example.looks-alike.example"),
            proof_value("uid-of-claimant", hostname).to_uppercase(),
            "v=spf1 -all".to_owned(),
        ];
        let different: BTreeSet<&String> = texts.iter().collect();
        assert_eq!(different.len(), texts.len(), "{texts:?}");
        let challenge = format!("_tutti-challenge.{base}");
        let owner = self.claim.owner.unwrap_or("tutti.example");
        match throw.random_range(0..10) {
            0 => self.records.push(txt(&challenge, &texts[0])),
            1 => self.records.push(txt(&challenge, &texts[1])),
            2 => {
                let some = texts[throw.random_range(0..texts.len())].as_str();
                self.records.push(txt(&challenge, some));
            }
            // An owner who wants both of them.
            3 => {
                self.records.push(txt(&challenge, &texts[0]));
                self.records.push(txt(&challenge, &texts[1]));
            }
            4 => {
                self.records.push(cname(&challenge, "evil.example"));
                self.records.push(txt("evil.example", &texts[0]));
            }
            5 => {
                let proofs = format!("proofs.{owner}");
                let some = texts[throw.random_range(0..texts.len())].as_str();
                self.records.push(cname(&challenge, &proofs));
                self.records.push(txt(&proofs, some));
            }
            6 => self.records.push(txt("evil.example", &texts[0])),
            // Where the look-alike, or the one that it looks like, would have it.
            7 => {
                let other = if owner == ALIKE {
                    "acme.example"
                } else {
                    ALIKE
                };
                let there = format!("_tutti-challenge.{other}");
                self.records.push(txt(&there, &texts[0]));
            }
            _ => {}
        }
    }

    /// A way of the owner's own names that is short, as long as can be, or too long.
    fn lay_a_way(&mut self, throw: &mut StdRng) {
        let owner = self.claim.owner.unwrap_or("tutti.example");
        let mut name = self.asked();
        self.records.retain(|it| it.name != name);
        for number in 1..throw.random_range(2..15) {
            let next = format!("n{number}.{owner}");
            self.records.push(cname(&name, &next));
            name = next;
        }
        self.records.push(cname(&name, TARGET));
    }

    fn lay_a_circle(&mut self) {
        let owner = self.claim.owner.unwrap_or("tutti.example");
        let (asked, other) = (self.asked(), format!("round.{owner}"));
        self.records.retain(|it| it.name != asked);
        self.records.push(cname(&asked, &other));
        self.records.push(cname(&other, &asked));
    }

    /// The name that is looked up.
    pub fn asked(&self) -> String {
        self.claim.hostname.replace('*', "tutti-check")
    }

    /// The name of the TXT record.
    pub fn challenge(&self) -> String {
        let base = self.claim.hostname.trim_start_matches("*.");
        format!("_tutti-challenge.{base}")
    }

    fn is_owners(&self, name: &str) -> bool {
        self.claim.owner.is_some_and(|owner| {
            name.strip_suffix(owner)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }

    /// Records at a name, a wildcard's included (RFC 4592); `None` when there is no such name.
    fn at(&self, name: &str) -> Option<Vec<Record>> {
        let of = |name: &str| -> Vec<Record> {
            let here = self.records.iter().filter(|it| it.name == name);
            here.cloned().collect()
        };
        // A name between others exists, too, and a wildcard does not cover it.
        let exists = |name: &str| {
            let below = format!(".{name}");
            self.records
                .iter()
                .any(|it| it.name == name || it.name.ends_with(&below))
        };
        if exists(name) {
            return Some(of(name));
        }
        let mut above = name;
        while let Some((_, parent)) = above.split_once('.') {
            if exists(parent) {
                let mut covered = of(&format!("*.{parent}"));
                for record in &mut covered {
                    name.clone_into(&mut record.name);
                }
                return (!covered.is_empty()).then_some(covered);
            }
            above = parent;
        }
        None
    }

    /// What a resolver finds. An authoritative server stops where its zone ends, and shows a circle where
    /// a resolver fails over it.
    fn answer(&self, asked: &str, wanted: fn(&Data) -> bool, is_authority: bool) -> Answer {
        let mut found: Vec<Record> = Vec::new();
        let mut name = plain(asked);
        let within = self.zone.filter(|_| is_authority);
        for _ in 0..=FOLLOWED {
            let is_round = found.iter().any(|it| it.name == name);
            let is_over = within.is_some_and(|zone| !name.ends_with(zone));
            if is_over || (is_authority && is_round) {
                return Answer::NoRecords(found);
            }
            let Some(records) = self.at(&name) else {
                return Answer::NoSuchName(found);
            };
            let next = records.iter().find_map(|record| match &record.data {
                Data::Cname(next) => Some((record.clone(), next.clone())),
                _ => None,
            });
            if let Some((record, next)) = next {
                name = next;
                found.push(record);
                continue;
            }
            let some: Vec<Record> = records.into_iter().filter(|r| wanted(&r.data)).collect();
            if some.is_empty() {
                return Answer::NoRecords(found);
            }
            found.extend(some);
            return Answer::Records(found);
        }
        if is_authority {
            Answer::NoRecords(found)
        } else {
            Answer::Failed(Failure::ServerFailed)
        }
    }

    pub fn view(&self, server: &str, is_authority: bool) -> View {
        let asked = self.asked();
        let ask = |name: &str, wanted| self.answer(name, wanted, is_authority);
        View {
            server: server.to_owned(),
            ipv4: ask(&asked, |data| matches!(data, Data::A(_))),
            ipv6: ask(&asked, |data| matches!(data, Data::Aaaa(_))),
            proof: ask(&self.challenge(), |data| matches!(data, Data::Txt(_))),
        }
    }

    /// How many CNAMEs of the owner's the way from a name to where `is_there` has; `None` when it does not
    /// come there, or leaves the owner's names.
    fn way(&self, from: &str, is_there: impl Fn(&str, &[Record]) -> bool) -> Option<usize> {
        let mut seen = BTreeSet::new();
        let mut name = from.to_owned();
        while self.is_owners(&name) && seen.insert(name.clone()) {
            let records = self.at(&name).unwrap_or_default();
            if is_there(&name, &records) {
                return Some(seen.len() - 1);
            }
            name = records.iter().find_map(|record| match &record.data {
                Data::Cname(next) => Some(next.clone()),
                _ => None,
            })?;
            if is_there(&name, &[]) {
                return Some(seen.len());
            }
        }
        None
    }

    /// Whether the owner wants the name to be this claimant's.
    pub fn wish(&self, claimant: &Claimant) -> Wish {
        let proof = Data::Txt(proof_value(claimant.uid, self.claim.hostname));
        // Where one name leads is no wish about all of them.
        let leads = if self.claim.hostname.starts_with('*') {
            None
        } else {
            self.way(&self.asked(), |name, _| name == claimant.target)
        };
        let tells = self.way(&self.challenge(), |_, records| {
            records.iter().any(|record| record.data == proof)
        });
        // Eight CNAMEs are promised; what is proven a little beyond that is its owner's wish all the same.
        match leads.into_iter().chain(tells).min() {
            None => Wish::No,
            Some(0..=8) => Wish::Yes,
            Some(_) => Wish::FarAway,
        }
    }
}
