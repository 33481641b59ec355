//! A customer's own hostname: names, answers as they were recorded, and generated worlds.

mod address;
mod complaints;
mod holder;
mod limits;
mod name;
mod order;
mod pace;
mod reach;
mod recorded;
mod report;
mod verify;
mod worlds;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crds::condition;
use plan::domain::{
    answers::{Answer, Data, Look, Record, View},
    report::{
        AUTHORITY_ALLOWED, CERTIFIED, DELEGATED, HOSTNAME_HELD, NAME_VALID, OWNERSHIP_PROVEN,
        POINTS_HERE, REACHABLE, REASONS, SERVED,
    },
};

pub const TARGET: &str = "shop-abcdefghjk.apps.tutti.example";
pub const GATEWAY: &str = "203.0.113.10";

/// One record of a time to live of five minutes.
pub fn record(name: &str, data: Data) -> Record {
    Record {
        name: name.to_owned(),
        ttl: 300,
        data,
    }
}

pub fn cname(name: &str, target: &str) -> Record {
    record(name, Data::Cname(target.to_owned()))
}

pub fn a(name: &str, address: &str) -> Record {
    record(name, Data::A(address.parse().unwrap()))
}

pub fn aaaa(name: &str, address: &str) -> Record {
    record(name, Data::Aaaa(address.parse().unwrap()))
}

pub fn txt(name: &str, text: &str) -> Record {
    record(name, Data::Txt(text.to_owned()))
}

pub fn none() -> Answer {
    Answer::NoRecords(Vec::new())
}

/// A server that gives these records for IPv4, and for IPv6 what of them is no address.
pub fn view(server: &str, records: &[Record]) -> View {
    let (proof, addresses): (Vec<_>, Vec<_>) = records
        .iter()
        .cloned()
        .partition(|record| record.name.starts_with("_tutti-challenge."));
    let of = |wanted: fn(&Data) -> bool| {
        let some: Vec<Record> = addresses
            .iter()
            .filter(|record| matches!(record.data, Data::Cname(_)) || wanted(&record.data))
            .cloned()
            .collect();
        if some.iter().any(|record| wanted(&record.data)) {
            Answer::Records(some)
        } else {
            Answer::NoRecords(some)
        }
    };
    View {
        server: server.to_owned(),
        ipv4: of(|data| matches!(data, Data::A(_))),
        ipv6: of(|data| matches!(data, Data::Aaaa(_))),
        proof: if proof.is_empty() {
            none()
        } else {
            Answer::Records(proof)
        },
    }
}

/// Two authoritative servers and two resolvers that all give these records.
pub fn look(records: &[Record]) -> Look {
    Look {
        authorities: vec![
            view("ns1.acme.example", records),
            view("ns2.acme.example", records),
        ],
        zone: Some("acme.example".to_owned()),
        no_authority: None,
        resolvers: vec![view("9.9.9.9", records), view("1.1.1.1", records)],
        gateway: vec![GATEWAY.parse().unwrap()],
        caa: Vec::new(),
        delegation: Vec::new(),
    }
}

/// The rows of every table of the operations page with this head, cell by cell.
fn rows(head: &str) -> Vec<Vec<&'static str>> {
    let page = include_str!("../../../../docs/operations/domains.md");
    let mut is_within = false;
    let mut rows = Vec::new();
    for line in page.lines() {
        if line == head {
            is_within = true;
        } else if !line.starts_with('|') {
            is_within = false;
        } else if is_within && !line.starts_with("|---") {
            let cells = line.trim_matches('|').split('|');
            rows.push(cells.map(str::trim).collect());
        }
    }
    rows
}

/// Every source of a Domain's reasons, and that of its instance's, without their tests.
fn sources() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("src/health/domains.rs")];
    for folder in ["src/domain", "../src/domain"] {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    files.retain(|file| file.extension().is_some_and(|it| it == "rs"));
    let read = |file| {
        let text = fs::read_to_string(file).unwrap();
        text.split("#[cfg(test)]").next().unwrap().to_owned()
    };
    files.iter().map(read).collect()
}

/// Each reason with the words in front of it: what makes a finding, what hands on to that, or nothing
/// but a space where reason and message are a pair first.
fn reasons(sources: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let reason =
        r#"(\bwell|\bstuck|\bon_its_way|\bat_rest|\brefused|\s)\(\s*"([A-Z][A-Za-z0-9]*)","#;
    let reason = regex::Regex::new(reason).unwrap();
    let mut reasons: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for found in reason.captures_iter(sources) {
        let (_, [by, reason]) = found.extract();
        reasons.entry(reason).or_default().insert(by);
    }
    reasons
}

#[test]
fn every_reason_stands_in_the_operations_page_with_its_meaning_and_mend_and_no_other_does() {
    let sources = sources();
    let given = reasons(&sources);
    let mut told = BTreeSet::new();
    for row in rows("| reason | meaning | mend |") {
        let [names, meaning, mend] = row[..] else {
            panic!("not three cells: {row:?}")
        };
        for reason in names.split(", ").map(|name| name.trim_matches('`')) {
            let by = given.get(reason);
            let by = by.unwrap_or_else(|| panic!("nothing gives the reason {reason}"));
            assert!(!meaning.is_empty(), "what does {reason} mean?");
            let is_to_be_mended = by.contains("stuck") || by.contains("refused");
            assert!(!is_to_be_mended || !mend.is_empty(), "what mends {reason}?");
            told.insert(reason);
        }
    }
    let untold: Vec<_> = given
        .keys()
        .filter(|reason| !told.contains(**reason))
        .collect();
    assert!(untold.is_empty(), "not in the page: {untold:?}");
}

#[test]
fn no_reason_is_given_in_a_form_that_is_not_looked_for() {
    let sources = sources();
    let given = reasons(&sources);
    assert!(given.len() > 60, "{} are found only", given.len());
    let made = regex::Regex::new(r#"Finding::\w+\(\s*([^"\s,]+)"#).unwrap();
    let handed_on: Vec<&str> = made
        .captures_iter(&sources)
        .map(|found| found.get(1).unwrap().as_str())
        .collect();
    // In name.rs by `refused`, in verify.rs as a pair.
    assert_eq!(handed_on, ["reason", "reason"]);
}

#[test]
fn what_a_look_says_is_remembered_under_its_own_name() {
    for source in [
        include_str!("../../src/domain/reach.rs"),
        include_str!("../../src/domain/verify.rs"),
        include_str!("../../src/domain/chain.rs"),
        include_str!("../../src/domain/pointing.rs"),
        include_str!("../../src/domain/caa.rs"),
        include_str!("../../src/domain/delegation.rs"),
    ] {
        for (reason, _) in reasons(source) {
            assert!(REASONS.contains(&reason), "{reason} would be forgotten");
        }
    }
    let sources = sources();
    let given = reasons(&sources);
    for reason in REASONS {
        assert!(given.contains_key(reason), "nothing gives {reason}");
    }
}

#[test]
fn every_condition_stands_in_the_operations_page_in_its_order() {
    let conditions: Vec<String> = rows("| condition | `True` means |")
        .iter()
        .map(|row| row[0].trim_matches('`').to_owned())
        .collect();
    let all = [
        NAME_VALID,
        HOSTNAME_HELD,
        OWNERSHIP_PROVEN,
        condition::ROUTED,
        POINTS_HERE,
        AUTHORITY_ALLOWED,
        REACHABLE,
        DELEGATED,
        CERTIFIED,
        SERVED,
    ];
    assert_eq!(conditions, all);
}
