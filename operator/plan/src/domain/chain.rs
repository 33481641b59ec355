//! Where a name leads according to one answer: CNAMEs, and what they end with.

use std::net::IpAddr;

use super::answers::{Answer, Data, Failure, Record};
use crate::health::Finding;

/// CNAMEs that are followed. Resolvers of authorities give up at about ten.
pub const LONGEST_CHAIN: usize = 8;

/// Where a name leads according to one answer.
pub(super) struct Walk<'a> {
    /// Names on the way, the first one asked included.
    pub(super) names: Vec<&'a str>,
    pub(super) end: End,
}

pub(super) enum End {
    Addresses(Vec<IpAddr>),
    NoSuchName,
    NoRecords,
    Loop,
    TooLong,
    Failed(Failure),
}

/// Whether the CNAMEs of an answer lead back to where they have been.
#[must_use]
pub fn goes_round(asked: &str, answer: &Answer) -> bool {
    matches!(walk(asked, answer).end, End::Loop)
}

pub(super) fn walk<'a>(asked: &'a str, answer: &'a Answer) -> Walk<'a> {
    let mut names = vec![asked];
    let records = answer.records();
    let end = loop {
        let here = names.last().copied().unwrap_or(asked);
        if let Some(next) = cname(here, records) {
            if names.contains(&next) {
                break End::Loop;
            }
            // The first name is asked for, and no CNAME leads to it.
            if names.len() > LONGEST_CHAIN {
                break End::TooLong;
            }
            names.push(next);
            continue;
        }
        let addresses: Vec<IpAddr> = records
            .iter()
            .filter(|record| record.name == here)
            .filter_map(Record::address)
            .collect();
        break match answer {
            Answer::Failed(failure) => End::Failed(*failure),
            _ if !addresses.is_empty() => End::Addresses(addresses),
            Answer::NoSuchName(_) => End::NoSuchName,
            Answer::Records(_) | Answer::NoRecords(_) => End::NoRecords,
        };
    };
    Walk { names, end }
}

pub(super) fn cname<'a>(name: &str, records: &'a [Record]) -> Option<&'a str> {
    records.iter().find_map(|record| match &record.data {
        Data::Cname(target) if record.name == name => Some(target.as_str()),
        _ => None,
    })
}

pub(super) fn loops(hostname: &str, mend: &str) -> Finding {
    Finding::stuck(
        "ChainLoops",
        format!("the CNAMEs of {hostname} go round in a circle; {mend}"),
    )
}

pub(super) fn is_too_long(hostname: &str, mend: &str) -> Finding {
    Finding::stuck(
        "ChainTooLong",
        format!(
            "{hostname} leads through more than {LONGEST_CHAIN} CNAMEs, and resolvers give up; {mend}"
        ),
    )
}
