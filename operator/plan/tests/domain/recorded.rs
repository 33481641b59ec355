//! Recorded answers: `answers/*.yaml`, one trouble each. A file says which complaint it is of, what was
//! asked of whom and what came, as `dig` prints it, and what has to be said of the hostname then. Most of
//! those reports tell what was seen and leave out the answers: these are filled in as servers give them.
//! Names and addresses are those of documentation (RFC 2606, RFC 5737, RFC 3849).

use std::{collections::BTreeMap, fs, path::PathBuf};

use crds::{condition, domain::Challenge};
use plan::domain::{
    answers::{Answer, Data, Failure, Look, Record, View, plain},
    proof_name,
    reach::Reach,
    report,
};
use serde::Deserialize;

use super::{
    GATEWAY, none,
    report::{domain, now, pass, seen},
};

/// A trouble that was recorded.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recorded {
    /// As the operations page has them: whose, and its number.
    pub complaints: Vec<String>,
    hostname: String,
    #[serde(default)]
    challenge: Challenge,
    /// What became of our own request; it came back to us when left out.
    #[serde(default)]
    unreachable: Option<String>,
    looks: Vec<Asked>,
    /// Reasons by condition.
    conditions: BTreeMap<String, String>,
    is_ordered: bool,
    /// What is in `status.found`, or in the message of `Ready`.
    #[serde(default)]
    said: Vec<String>,
}

/// Servers that all answered so.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    authorities: Vec<String>,
    #[serde(default)]
    resolvers: Vec<String>,
    answers: String,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/domain/answers")
}

/// The names of all of them.
pub fn names() -> Vec<String> {
    let files = fs::read_dir(folder()).unwrap().map(|it| it.unwrap().path());
    files
        .map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

pub fn read(name: &str) -> Recorded {
    let text = fs::read_to_string(folder().join(format!("{name}.yaml"))).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Gives the answers to one pass, and looks whether it says what the file wants.
#[track_caller]
pub fn says_what_is_recorded(name: &str) {
    let recorded = read(name);
    let mut wish = domain(&recorded.hostname);
    wish.spec.challenge = Some(recorded.challenge);
    let mut there = seen(recorded.look());
    there.reach = Some(match &recorded.unreachable {
        Some(why) => Reach::Unreachable { why: why.clone() },
        None => Reach::Ours,
    });
    let (domain, checked) = pass(wish, &there, now());
    let status = domain.status.unwrap();
    for (condition, reason) in &recorded.conditions {
        let found = condition::find(&status.conditions, condition).unwrap();
        assert_eq!(&found.reason, reason, "{name}: {condition}: {found:#?}");
    }
    assert_eq!(checked.may_order, recorded.is_ordered, "{name}");
    let ready = condition::find(&status.conditions, condition::READY).unwrap();
    for words in &recorded.said {
        let is_found = status.found.iter().any(|fact| fact.contains(words));
        assert!(
            is_found || ready.message.contains(words),
            "{name}: {words:?} is not in {:#?} or {:?}",
            status.found,
            ready.message
        );
    }
}

impl Recorded {
    fn look(&self) -> Look {
        let views = |servers: fn(&Asked) -> &Vec<String>| -> Vec<View> {
            let all = self.looks.iter().flat_map(|asked| {
                let view = |server: &String| self.view(server, &asked.answers);
                servers(asked).iter().map(view).collect::<Vec<_>>()
            });
            all.collect()
        };
        Look {
            authorities: views(|asked| &asked.authorities),
            resolvers: views(|asked| &asked.resolvers),
            gateway: vec![GATEWAY.parse().unwrap()],
            ..Look::default()
        }
    }

    fn view(&self, server: &str, text: &str) -> View {
        let asked = report::asked(&self.hostname);
        let mut answers = answers(text);
        let mut take = |name: &str, type_: &str| {
            let key = (name.to_owned(), type_.to_owned());
            answers.remove(&key).unwrap_or_else(none)
        };
        let view = View {
            server: server.to_owned(),
            ipv4: take(&asked, "A"),
            ipv6: take(&asked, "AAAA"),
            proof: take(&proof_name(&self.hostname), "TXT"),
        };
        assert!(answers.is_empty(), "{server}: not asked: {answers:?}");
        view
    }
}

/// Answers by name and type. Each begins with `;; <name> <type>: <status>`; its records follow.
fn answers(text: &str) -> BTreeMap<(String, String), Answer> {
    let mut sections: Vec<(&str, Vec<Record>)> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix(";; ") {
            Some(question) => sections.push((question, Vec::new())),
            None => sections.last_mut().unwrap().1.push(record(line)),
        }
    }
    let answer = |(question, records): (&str, Vec<Record>)| {
        let (asked, status) = question.split_once(": ").unwrap();
        let (name, type_) = asked.split_once(' ').unwrap();
        let is_wanted = |record: &Record| !matches!(record.data, Data::Cname(_));
        let answer = match status {
            "NOERROR" if records.iter().any(is_wanted) => Answer::Records(records),
            "NOERROR" => Answer::NoRecords(records),
            "NXDOMAIN" => Answer::NoSuchName(records),
            "SERVFAIL" => Answer::Failed(Failure::ServerFailed),
            "REFUSED" => Answer::Failed(Failure::Refused),
            "connection timed out" => Answer::Failed(Failure::TimedOut),
            other => panic!("what is {other}?"),
        };
        ((plain(name), type_.to_owned()), answer)
    };
    sections.into_iter().map(answer).collect()
}

/// A record as `dig` prints it.
fn record(line: &str) -> Record {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, ttl, "IN", type_, data @ ..] = &words[..] else {
        panic!("no record: {line}")
    };
    let data = data.join(" ");
    Record {
        name: plain(name),
        ttl: ttl.parse().unwrap(),
        data: match *type_ {
            "A" => Data::A(data.parse().unwrap()),
            "AAAA" => Data::Aaaa(data.parse().unwrap()),
            "CNAME" => Data::Cname(plain(&data)),
            "TXT" => Data::Txt(data.trim_matches('"').to_owned()),
            other => panic!("what is {other}?"),
        },
    }
}
