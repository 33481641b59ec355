//! The API server's audit log, which holds the calls of the measured operator and of nobody else.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    path::PathBuf,
};

use anyhow::Result;
use jiff::Timestamp;
use serde::Deserialize;

/// A call: for watches, that it began.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    pub verb: String,
    pub stage: String,
    #[serde(default)]
    pub object_ref: Reference,
    pub request_received_timestamp: Timestamp,
    pub stage_timestamp: Timestamp,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Reference {
    #[serde(default)]
    pub resource: String,
    #[serde(default)]
    pub subresource: String,
}

/// The log, read from where it was left.
pub struct Audit {
    path: PathBuf,
    offset: u64,
}

impl Audit {
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, offset: 0 }
    }

    /// The calls since the last time.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn news(&mut self) -> Result<Vec<Call>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut reader = BufReader::new(file);
        let mut calls = Vec::new();
        let mut line = String::new();
        loop {
            line.clear();
            let length = reader.read_line(&mut line)?;
            if !line.ends_with('\n') {
                return Ok(calls);
            }
            self.offset += u64::try_from(length)?;
            let call: Call = serde_json::from_str(&line)?;
            let counts = if call.verb == "watch" {
                "ResponseStarted"
            } else {
                "ResponseComplete"
            };
            if call.stage == counts {
                calls.push(call);
            }
        }
    }
}

/// `12 list, 12 watch, 3 patch`; the lease is told apart.
#[must_use]
pub fn by_verb(calls: &[Call]) -> String {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for call in calls {
        let verb = if call.object_ref.resource == "leases" {
            format!("{} of the lease", call.verb)
        } else {
            call.verb.clone()
        };
        *counts.entry(verb).or_default() += 1;
    }
    if counts.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<String> = counts
        .iter()
        .map(|(verb, n)| format!("{n} {verb}"))
        .collect();
    shown.join(", ")
}
