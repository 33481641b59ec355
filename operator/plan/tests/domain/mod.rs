//! A customer's own hostname: names, answers as they were recorded, and generated worlds.

mod limits;
mod name;
mod order;
mod pace;
mod report;
mod verify;
mod worlds;

use plan::domain::answers::{Answer, Data, Look, Record, View};

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
        no_authority: None,
        resolvers: vec![view("9.9.9.9", records), view("1.1.1.1", records)],
        gateway: vec![GATEWAY.parse().unwrap()],
        caa: Vec::new(),
        delegation: Vec::new(),
    }
}

/// Every reason is a text in CamelCase; so are the names of conditions, which are there as well.
#[test]
fn every_reason_stands_in_the_operations_page_with_its_meaning_and_mend() {
    let page = include_str!("../../../../docs/operations/domains.md");
    let sources = [
        include_str!("../../src/domain/certificate.rs"),
        include_str!("../../src/domain/name.rs"),
        include_str!("../../src/domain/reach.rs"),
        include_str!("../../src/domain/report.rs"),
        include_str!("../../src/domain/verify.rs"),
        include_str!("../../../src/domain/steps.rs"),
    ];
    let text = regex::Regex::new(r#""([A-Z][a-z]+[A-Z][A-Za-z0-9]+)""#).unwrap();
    let mut count = 0;
    for source in sources {
        for found in text.captures_iter(source) {
            let reason = &found[1];
            assert!(page.contains(&format!("`{reason}`")), "{reason}");
            count += 1;
        }
    }
    assert!(
        count > 60,
        "{count} are found only: has their form changed?"
    );
}
