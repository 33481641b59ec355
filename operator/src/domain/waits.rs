//! Since when somebody else is waited for, and so when they are asked again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use plan::domain::pace;

/// What somebody else has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Gateways give the answer, or servers of a zone show it.
    Answer,
    /// The authority has looked, or has signed.
    Authority,
    /// Gateways present the certificate.
    Served,
    /// There is a gateway that is ready.
    Gateway,
}

/// Since when what is waited for, by hostname.
#[derive(Default)]
pub struct Waits(Mutex<HashMap<String, (Awaited, Timestamp)>>);

impl Waits {
    /// When it is asked again.
    pub fn again(&self, hostname: &str, awaited: Awaited, now: Timestamp) -> Timestamp {
        let mut waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = match waits.get(hostname) {
            Some((known, since)) if *known == awaited => *since,
            _ => {
                waits.insert(hostname.to_owned(), (awaited, now));
                now
            }
        };
        let waited = now.duration_since(since);
        now + match awaited {
            Awaited::Gateway => pace::ask_untold(waited),
            _ => pace::ask_again(waited),
        }
    }

    /// Nothing is waited for any more.
    pub fn forget(&self, hostname: &str) {
        let mut waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waits.remove(hostname);
    }
}
