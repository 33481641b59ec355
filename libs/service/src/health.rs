//! Readiness and liveness: facts that the work sets and [`crate::admin`] answers with.
//!
//! Ready means "send me work"; a program with several conditions names each as a check, and
//! `/readyz` says in words which ones are missing. Alive means "do not restart me"; it only ever
//! goes from true to false, when the program knows that nothing but a restart can help.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Named checks; ready when all of them are. Without checks it is ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    checks: Arc<Mutex<Vec<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    /// Why it is not ready; `None` when it is.
    missing: Option<String>,
}

impl Readiness {
    /// A new check, not ready until it is set. Asking for the same name again gives the same check.
    pub fn check(&self, name: impl Into<String>) -> Check {
        let name = name.into();
        let mut checks = lock(&self.checks);
        let index = checks
            .iter()
            .position(|entry| entry.name == name)
            .unwrap_or_else(|| {
                checks.push(Entry {
                    name,
                    missing: Some("not yet".to_owned()),
                });
                checks.len() - 1
            });
        Check {
            checks: Arc::clone(&self.checks),
            index,
        }
    }

    /// One line for each check that is not ready: `name: why`. Empty when ready.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        lock(&self.checks)
            .iter()
            .filter_map(|entry| {
                entry
                    .missing
                    .as_ref()
                    .map(|why| format!("{}: {why}", entry.name))
            })
            .collect()
    }

    /// Whether every check is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        lock(&self.checks)
            .iter()
            .all(|entry| entry.missing.is_none())
    }
}

/// One condition of readiness, held by the part of the program that knows about it.
#[derive(Clone, Debug)]
pub struct Check {
    checks: Arc<Mutex<Vec<Entry>>>,
    index: usize,
}

impl Check {
    /// Ready, or not for no particular reason.
    pub fn set(&self, ready: bool) {
        self.write((!ready).then(|| "not ready".to_owned()));
    }

    /// Not ready, and why, for the person who reads `/readyz`.
    pub fn set_missing(&self, why: impl Into<String>) {
        self.write(Some(why.into()));
    }

    fn write(&self, missing: Option<String>) {
        if let Some(entry) = lock(&self.checks).get_mut(self.index) {
            entry.missing = missing;
        }
    }
}

/// Whether a restart is the only thing that can help.
#[derive(Clone, Debug, Default)]
pub struct Liveness {
    failure: Arc<Mutex<Option<String>>>,
}

impl Liveness {
    /// Asks to be restarted. The first reason is kept.
    pub fn fail(&self, reason: impl Into<String>) {
        lock(&self.failure).get_or_insert_with(|| reason.into());
    }

    /// Why a restart is needed, if it is.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        lock(&self.failure).clone()
    }
}

/// A panic while holding it leaves whole values behind, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_only_when_every_check_is_and_the_missing_ones_are_named() {
        let readiness = Readiness::default();
        assert!(readiness.is_ready());
        let (routes, certificates) = (readiness.check("routes"), readiness.check("certificates"));
        assert_eq!(
            readiness.missing(),
            ["routes: not yet", "certificates: not yet"]
        );

        routes.set(true);
        certificates.set_missing("no certificate covers *.apps.example");
        assert_eq!(
            readiness.missing(),
            ["certificates: no certificate covers *.apps.example"]
        );
        assert!(!readiness.is_ready());

        certificates.set(true);
        assert!(readiness.is_ready());
    }

    #[test]
    fn the_same_name_is_the_same_check() {
        let readiness = Readiness::default();
        let first = readiness.check("routes");
        readiness.check("routes").set(true);
        assert!(readiness.is_ready());
        first.set(false);
        assert_eq!(readiness.missing(), ["routes: not ready"]);
    }

    #[test]
    fn liveness_keeps_the_first_reason() {
        let liveness = Liveness::default();
        assert_eq!(liveness.failure(), None);
        liveness.fail("lost the lease");
        liveness.fail("and then something else");
        assert_eq!(liveness.failure().as_deref(), Some("lost the lease"));
    }
}
