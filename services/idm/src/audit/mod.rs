//! The audit trail: who changed what somebody may do, and who tried to sign in. Each entry is written in
//! the transaction of its deed, is never changed, and holds the digest of the one before: a changed, missing
//! or added entry breaks the chain (`verify`). The chain is pure; `store` appends and reads.
//!
//! Not a log: what a program did stands there. No entry holds a secret, nor what a stranger typed.

pub mod http;
pub mod store;

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::secret::Digest;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    SignedIn,
    SignInRefused,
    SignInThrottled,
    SignedOut,
    SessionEnded,
    OtherSessionsEnded,
    PersonMade,
    PersonChanged,
    PasswordChanged,
    PasswordReset,
    TotpSetUp,
    TotpRemoved,
    RecoveryCodesMade,
    RecoveryCodeUsed,
    BootstrapRefused,
    BootstrapDone,
    OrganizationMade,
    PersonInvited,
    InvitationRevoked,
    InvitationAccepted,
    RoleChanged,
    MemberRemoved,
    MemberLeft,
    TeamMade,
    TeamRenamed,
    TeamDeleted,
    TeamMemberAdded,
    TeamMemberRemoved,
    InstanceGiven,
    InstanceTaken,
    ClientMade,
    ClientChanged,
    ClientSecretReplaced,
    ClientRemoved,
    ConnectionRevoked,
}

impl fmt::Display for Deed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor<'a> {
    /// A person, by uid.
    Person(&'a str),
    /// Somebody who is not signed in.
    Visitor,
    /// The command in the pod, by whoever may run it.
    BreakGlass,
    /// Whoever wrote the object in the cluster.
    Cluster,
}

impl fmt::Display for Actor<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Person(uid) => uid,
            Self::Visitor => "visitor",
            Self::BreakGlass => "break-glass",
            Self::Cluster => "cluster",
        })
    }
}

/// Where a deed came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin<'a> {
    pub address: Option<&'a str>,
    /// The request's id, as the answer and the log have it.
    pub request: Option<&'a str>,
}

/// An entry that is to be written.
#[derive(Clone, Debug)]
pub struct New<'a> {
    pub actor: Actor<'a>,
    pub deed: Deed,
    /// The uid of what it was done to.
    pub subject: Option<&'a str>,
    /// The uid of the organization whose admins may read it.
    pub organization: Option<&'a str>,
    pub details: &'a [(&'static str, &'a str)],
}

impl<'a> New<'a> {
    /// An entry without organization and details.
    #[must_use]
    pub fn by(actor: Actor<'a>, deed: Deed, subject: Option<&'a str>) -> Self {
        Self {
            actor,
            deed,
            subject,
            organization: None,
            details: &[],
        }
    }
}

/// An entry as it is exported; the fields and their order are what its digest is taken of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    pub sequence: i64,
    /// To the microsecond, which is what the database keeps.
    pub at: Timestamp,
    pub actor: String,
    pub deed: String,
    pub subject: Option<String>,
    pub organization: Option<String>,
    pub address: Option<String>,
    pub request: Option<String>,
    pub details: BTreeMap<String, String>,
}

/// An entry in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub entry: Entry,
    pub previous: Digest,
    pub digest: Digest,
}

/// Where the chain begins.
pub const BEGINNING: Digest = Digest([0; 32]);

/// The digest of an entry that follows one of digest `previous`: SHA-256 over both.
///
/// # Errors
/// Never: a struct of texts has a JSON.
pub fn digest(previous: &Digest, entry: &Entry) -> Result<Digest, serde_json::Error> {
    let mut hash = Sha256::new();
    hash.update(previous.as_slice());
    hash.update(serde_json::to_vec(entry)?);
    Ok(Digest(hash.finalize().into()))
}

/// What is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("entry {0} is not what was written")]
    Changed(i64),
    #[error("entry {0} does not follow the one before: one was taken out, put in or replaced")]
    Unchained(i64),
    #[error("the trail ends with entry {found}, and {expected} was written")]
    Cut { found: i64, expected: i64 },
}

/// Walks along a chain, entry by entry.
#[derive(Clone, Debug)]
pub struct Walk {
    sequence: i64,
    digest: Digest,
}

impl Default for Walk {
    fn default() -> Self {
        Self {
            sequence: 0,
            digest: BEGINNING,
        }
    }
}

impl Walk {
    /// Takes the next entry.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn step(&mut self, link: &Link) -> Result<(), Broken> {
        let sequence = link.entry.sequence;
        if sequence != self.sequence + 1 || link.previous != self.digest {
            return Err(Broken::Unchained(sequence));
        }
        if !digest(&link.previous, &link.entry).is_ok_and(|digest| digest == link.digest) {
            return Err(Broken::Changed(sequence));
        }
        (self.sequence, self.digest) = (sequence, link.digest);
        Ok(())
    }

    /// Compares where it ended with where the trail ends. Says how many entries there are.
    ///
    /// # Errors
    /// When entries are missing at the end.
    pub fn end(self, sequence: i64, digest: &Digest) -> Result<i64, Broken> {
        if (self.sequence, self.digest) == (sequence, *digest) {
            Ok(sequence)
        } else {
            Err(Broken::Cut {
                found: self.sequence,
                expected: sequence,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(length: i64) -> Vec<Link> {
        let mut previous = BEGINNING;
        (1..=length)
            .map(|sequence| {
                let entry = Entry {
                    sequence,
                    at: Timestamp::UNIX_EPOCH,
                    actor: "visitor".into(),
                    deed: Deed::SignInRefused.to_string(),
                    subject: None,
                    organization: None,
                    address: Some("192.0.2.1".into()),
                    request: None,
                    details: BTreeMap::from([("reason".into(), "WrongPassword".into())]),
                };
                let link = Link {
                    digest: digest(&previous, &entry).unwrap(),
                    entry,
                    previous,
                };
                previous = link.digest;
                link
            })
            .collect()
    }

    fn verify(links: &[Link], whole: &[Link]) -> Result<i64, Broken> {
        let mut walk = Walk::default();
        links.iter().try_for_each(|link| walk.step(link))?;
        let last = whole.last().unwrap();
        walk.end(last.entry.sequence, &last.digest)
    }

    #[test]
    fn whatever_is_done_to_a_chain_breaks_it() {
        let whole = chain(4);
        assert_eq!(verify(&whole, &whole), Ok(4));

        let mut changed = whole.clone();
        changed[1].entry.actor = "usr-somebody".into();
        assert_eq!(verify(&changed, &whole), Err(Broken::Changed(2)));
        // With a digest of its own it does not fit the next one.
        changed[1].digest = digest(&changed[1].previous, &changed[1].entry).unwrap();
        assert_eq!(verify(&changed, &whole), Err(Broken::Unchained(3)));

        let mut missing = whole.clone();
        missing.remove(2);
        assert_eq!(verify(&missing, &whole), Err(Broken::Unchained(4)));
        let swapped = [whole[1].clone(), whole[0].clone()];
        assert_eq!(verify(&swapped, &whole), Err(Broken::Unchained(2)));
        assert_eq!(
            verify(&whole[..3], &whole),
            Err(Broken::Cut {
                found: 3,
                expected: 4
            })
        );
    }
}
