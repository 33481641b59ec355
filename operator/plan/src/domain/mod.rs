//! A customer's own hostname: is it one, whose is it, does it point here, may our authority certify
//! it, and what is the next step towards a certificate. What was seen is an argument; nothing is
//! asked here.
//!
//! ```text
//! name.rs    is this a hostname that a customer can have?
//! holder.rs  which organization holds it?
//! answers.rs what servers said, as data
//! verify.rs  do these answers prove the domain?
//! pointing.rs  do they lead here? Where each leads: chain.rs
//! caa.rs     may our authority certify it?
//! delegation.rs  is its challenge left to the platform?
//! address.rs  is this an address of the public internet?
//! reach.rs   where may our own request go, and does it come back to us?
//! limits.rs  may an order be made now, or when?
//! order.rs   the certificate order: what next?
//! certificate.rs  how does the certificate stand?
//! pace.rs    when is the next look?
//! verdicts.rs  what each check comes to
//! report.rs  all of it as conditions
//! ```

pub mod address;
pub mod answers;
pub mod caa;
pub mod certificate;
pub mod chain;
pub mod delegation;
pub mod holder;
pub mod limits;
pub mod line;
pub mod name;
pub mod order;
pub mod pace;
pub mod pointing;
pub mod reach;
pub mod report;
mod verdicts;
pub mod verify;

use crate::health::Finding;

/// Time to live of records that we ask for, in seconds.
const TTL: u32 = 300;

/// A record to set, ready to paste.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Owner name, without a dot at the end.
    pub name: String,
    /// `CNAME`, `A`, `AAAA`, `TXT` or `CAA`.
    pub kind: &'static str,
    /// Its value, as zone files write it.
    pub value: String,
    /// Seconds; short, so that a mistake does not last.
    pub ttl: u32,
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            name,
            kind,
            value,
            ttl,
        } = self;
        write!(f, "{name} {ttl} {kind} {value}")
    }
}

fn mend(wanted: &[Wanted]) -> String {
    let records: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    format!("set: {}", records.join("  or: "))
}

/// What a check came to: the finding, what was seen, and what would have been well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is well, in words.
    pub finding: Finding,
    /// What was seen, and where: `www.acme.test CNAME old.example (ns1.acme.test)`.
    pub found: Vec<String>,
    /// Records that would mend it: any one of these sets.
    pub wanted: Vec<Wanted>,
}

/// The name at which an organization proves a hostname that does not point here (yet).
#[must_use]
pub fn proof_name(hostname: &str) -> String {
    format!("_tutti-challenge.{}", name::base(hostname))
}

/// The value of that TXT record. It is no secret: that it stands in the zone is what proves. No two
/// organizations, and no two hostnames, have the same.
#[must_use]
pub fn proof_value(organization_uid: &str, hostname: &str) -> String {
    let token = crate::digest::of_text(&format!("{organization_uid}/{}", name::base(hostname)));
    format!("tutti={token}")
}
