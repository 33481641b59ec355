//! What becomes of a certificate that is there: it is revoked on request, and its authority is asked
//! when it wants it to be renewed (RFC 9773).

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crds::{
    Domain,
    condition::Time,
    domain::{DomainStatus, Revoked},
    labels,
};
use instant_acme::RevocationReason;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use plan::domain::order;

use super::{Domains, acme::is_revoked, authorities::Asked, certificates};

/// The reasons that somebody who holds a certificate may give (RFC 5280 §5.3.1).
fn revocation_reason(name: &str) -> Option<RevocationReason> {
    Some(match name {
        "unspecified" => RevocationReason::Unspecified,
        "keyCompromise" => RevocationReason::KeyCompromise,
        "affiliationChanged" => RevocationReason::AffiliationChanged,
        "superseded" => RevocationReason::Superseded,
        "cessationOfOperation" => RevocationReason::CessationOfOperation,
        _ => return None,
    })
}

/// When an authority that does not say so is asked again when it wants a certificate to be renewed
/// (RFC 9773 §4.3.3).
const WINDOW_AGAIN: SignedDuration = SignedDuration::from_hours(6);
/// Sooner and later than this it is not asked, whatever it says (§4.3.2 leaves the bounds to us).
const SOONEST: SignedDuration = SignedDuration::from_mins(5);
const LATEST: SignedDuration = SignedDuration::from_hours(24);

/// From when on which hostname's authority may be asked for its window again.
#[derive(Default)]
pub struct Windows(Mutex<HashMap<String, Timestamp>>);

impl Windows {
    fn times(&self) -> MutexGuard<'_, HashMap<String, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is a Domain's no more.
    pub fn forget(&self, hostname: &str) {
        self.times().remove(hostname);
    }

    /// From when on it may be asked again; `None` when it was not asked in this life.
    pub fn again(&self, hostname: &str) -> Option<Timestamp> {
        self.times().get(hostname).copied()
    }

    /// Whether it is time to ask. What was never asked comes with a look, which spreads many of them.
    pub fn is_due(&self, hostname: &str, has_looked: bool, now: Timestamp) -> bool {
        self.again(hostname).map_or(has_looked, |at| at <= now)
    }

    /// It was asked, and wants to be asked again after so long, if it says.
    pub fn asked(&self, hostname: &str, again: Option<Duration>, now: Timestamp) {
        let wait = again.map_or(WINDOW_AGAIN, |wait| {
            let wait = SignedDuration::try_from(wait).unwrap_or(LATEST);
            wait.clamp(SOONEST, LATEST)
        });
        self.times().insert(hostname.to_owned(), now + wait);
    }
}

/// Spreads renewals over their window; the same for a certificate each time.
pub(super) fn chance(serial: &str) -> f64 {
    // 32 bits are exact in a float.
    f64::from((plan::digest::number(serial) >> 32) as u32) / f64::from(u32::MAX)
}

impl Domains {
    /// Revokes the certificate that the annotation names, once; a new one is due then.
    pub(super) async fn revoke_if_asked(
        &self,
        domain: &Domain,
        status: &mut DomainStatus,
        now: Timestamp,
    ) -> Result<(), String> {
        let Some(wish) = domain.annotations().get(labels::REVOKE) else {
            return Ok(());
        };
        let Some(certificate) = &mut status.certificate else {
            return Ok(());
        };
        let wrong = |what: &str| Err(format!("annotation {}: {what}", labels::REVOKE));
        let Some((reason, serial)) = wish.split_once('/') else {
            return wrong(&format!(
                "<reason>/<serial> is wanted, such as keyCompromise/{}",
                certificate.serial
            ));
        };
        let Some(code) = revocation_reason(reason) else {
            return wrong(
                "the reason is one of unspecified, keyCompromise, affiliationChanged, superseded, \
                 cessationOfOperation",
            );
        };
        // As openssl prints it.
        let serial = serial.replace(':', "").to_ascii_lowercase();
        let serial = serial.trim();
        if status
            .revoked
            .as_ref()
            .is_some_and(|it| it.serial == serial)
        {
            return Ok(());
        }
        if serial != certificate.serial {
            return wrong(&format!(
                "{serial:?} is not the serial number of the certificate in use, which is {}; take \
                 the annotation away, or name that one",
                certificate.serial
            ));
        }
        let Some(name) = &certificate.authority else {
            return wrong("a certificate that you brought is revoked by who gave it to you");
        };
        let authority = self.authorities.reach(name, now).await;
        let authority = authority.map_err(|setback| setback.to_string())?;
        let leaf = self.certificates.leaf(&domain.spec.hostname).await;
        let leaf = leaf.ok_or("the certificate to revoke cannot be read")?;
        if certificates::serial(&leaf).as_deref() != Some(serial) {
            return wrong("it is not the certificate in use any more");
        }
        if let Err(error) = authority.revoke(&leaf, code).await
            && !is_revoked(&error)
        {
            let setback = self
                .authorities
                .failed(
                    name,
                    (Asked::Step, &authority),
                    &domain.spec.hostname,
                    &error,
                    now,
                )
                .await;
            return Err(format!("the certificate cannot be revoked: {setback}"));
        }
        tracing::warn!(serial, reason, "a certificate was revoked on request");
        certificate.renew_at = Some(Time(now));
        status.revoked = Some(Revoked {
            serial: serial.to_owned(),
            reason: reason.to_owned(),
            at: Time(now),
        });
        Ok(())
    }

    /// Asks again when the authority wants the certificate to be renewed: it may want it sooner than
    /// it did (RFC 9773 §4.3).
    pub(super) async fn ask_for_the_window(
        &self,
        hostname: &str,
        status: &mut DomainStatus,
        now: Timestamp,
    ) {
        let Some(certificate) = &mut status.certificate else {
            return;
        };
        let Some(name) = &certificate.authority else {
            return;
        };
        self.windows.asked(hostname, None, now);
        let Ok(authority) = self.authorities.reach(name, now).await else {
            return;
        };
        let Some(id) = self.certificates.identifier(hostname).await else {
            return;
        };
        if let Some((window, again)) = authority.window(&id).await {
            self.windows.asked(hostname, Some(again), now);
            let chance = chance(&certificate.serial);
            let (from, to) = (certificate.not_before.0, certificate.not_after.0);
            let renew_at = order::renew_at(from, to, Some(window), chance);
            // A window that lies in the past for every certificate does not have one ordered at each look.
            let renew_at = renew_at.max(from + SignedDuration::from_hours(1));
            certificate.renew_at = Some(Time(renew_at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_asked_for_its_window_again_when_it_wants_to_be_within_bounds() {
        let windows = Windows::default();
        let now = Timestamp::UNIX_EPOCH;
        assert!(!windows.is_due("www", false, now) && windows.is_due("www", true, now));
        for (wanted, minutes) in [
            (None, 6 * 60),
            (Some(3 * 3600), 3 * 60),
            (Some(0), 5),
            (Some(u64::MAX), 24 * 60),
        ] {
            windows.asked("www", wanted.map(Duration::from_secs), now);
            let at = now + SignedDuration::from_mins(minutes);
            assert!(windows.is_due("www", false, at), "{wanted:?}");
            let before = at - SignedDuration::from_secs(1);
            assert!(!windows.is_due("www", true, before), "{wanted:?}");
        }
    }
}
