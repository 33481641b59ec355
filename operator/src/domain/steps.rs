//! A certificate order, one step a pass. Which step is decided in `plan::domain::order`; what came of
//! it is left in the status, which is saved before the next one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crds::{
    Domain,
    condition::Time,
    domain::{
        Challenge, ChallengeAnswer, ChallengeRecord, DomainStatus, Order, OrderFailure, OrderStep,
        Revoked,
    },
    labels,
};
use instant_acme::{ChallengeType, Error, RevocationReason};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use plan::{
    domain::{
        certificate::{self, Place},
        limits,
        order::{self, Next, Said},
        report::Checked,
    },
    health::Finding,
};

use super::{Domains, authorities::Setback, certificates, registered};
use crate::failure::Failure;

/// An authority that is at work is asked again this soon.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(1);
/// After trouble with an authority.
const TROUBLE_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// What a pass came to.
pub struct Step {
    /// How the certificate stands.
    pub certified: Finding,
    /// When the next step is due.
    pub again: Option<Timestamp>,
}

/// What kept a step from being done.
enum Halt {
    Authority(Setback),
    Cluster(String),
}

fn kind_of(domain: &Domain) -> ChallengeType {
    match domain.spec.challenge.unwrap_or_default() {
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::Dns01 => ChallengeType::Dns01,
    }
}

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

/// How often an authority is asked when it wants a certificate to be renewed.
const WINDOW_AGAIN: SignedDuration = SignedDuration::from_hours(6);

/// When which hostname's authority was asked for its window.
#[derive(Default)]
pub struct Windows(Mutex<HashMap<String, Timestamp>>);

impl Windows {
    /// Whether it is time to ask again; it counts as asked then.
    fn is_due(&self, hostname: &str, now: Timestamp) -> bool {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = asked
            .get(hostname)
            .is_none_or(|at| now.duration_since(*at) >= WINDOW_AGAIN);
        if is_due {
            asked.insert(hostname.to_owned(), now);
        }
        is_due
    }
}

/// Spreads renewals over their window; the same for a certificate each time.
fn chance(serial: &str) -> f64 {
    // 32 bits are exact in a float.
    f64::from((plan::digest::number(serial) >> 32) as u32) / f64::from(u32::MAX)
}

impl Domains {
    /// Takes the next step towards a certificate, if one is due.
    ///
    /// # Errors
    /// When the cluster does not keep what has to be kept.
    pub(super) async fn advance(
        &self,
        domain: &Domain,
        checked: &Checked,
        status: &mut DomainStatus,
        now: Timestamp,
    ) -> Result<Step, Failure> {
        let hostname = &domain.spec.hostname;
        let waits = || Finding::on_its_way("Waiting", "waits for the checks before", None);
        if !checked.is_held {
            // Whose it is has the certificate, too.
            self.authorities.leave(hostname);
            self.withdraw(status).await;
            (status.order, status.certificate) = (None, None);
            return Ok(Step {
                certified: waits(),
                again: None,
            });
        }
        if let Some(secret) = &domain.spec.certificate_secret {
            self.authorities.leave(hostname);
            self.withdraw(status).await;
            status.order = None;
            if !checked.is_proven {
                return Ok(Step {
                    certified: certificate::while_waiting(status, waits(), now),
                    again: None,
                });
            }
            let brought = self
                .certificates
                .bring(&self.client, domain, secret, now)
                .await;
            let certified = certificate::brought(brought.as_ref().map(|leaf| leaf.not_after), now);
            if let Ok(leaf) = brought {
                let mut kept = leaf.status(hostname, None, leaf.not_after);
                kept.renew_at = None;
                status.certificate = Some(kept);
            }
            return Ok(Step {
                certified,
                again: None,
            });
        }
        if self.authorities.is_empty() {
            return Ok(Step {
                certified: Finding::stuck(
                    "NoAuthority",
                    "the platform has no certificate authority; its operators name one in the \
                     chart's value acme.directories",
                ),
                again: None,
            });
        }
        if domain.spec.is_dns01() && self.challenges.place(hostname).is_none() {
            return Ok(Step {
                certified: Finding::stuck(
                    "NoDnsProvider",
                    "the platform cannot write DNS records, which dns-01 needs; its operators set \
                     acme.dns01 of the chart; or set spec.challenge to http-01, or bring a \
                     certificate in spec.certificateSecret",
                ),
                again: None,
            });
        }
        let mut place = None;
        let mut trouble = None;
        if let Err(message) = self.revoke_if_asked(domain, status, now).await {
            trouble = Some(message);
        }
        let again = match self
            .take_step(domain, checked, status, &mut place, now)
            .await
        {
            Ok(again) => again,
            Err(Halt::Authority(Setback::Refusal(message))) => {
                self.drop_order(domain, status, Some(message), now).await;
                None
            }
            Err(Halt::Authority(Setback::Gone)) => {
                self.drop_order(domain, status, None, now).await;
                Some(now + ASK_AGAIN)
            }
            Err(Halt::Authority(Setback::Trouble { message, until })) => {
                // Another authority may be there.
                let preferred = self.authorities.preferred(now).map(|it| it.name.as_str());
                let asked = status.order.as_ref().map(|order| order.authority.as_str());
                let is_left = asked.is_some_and(|asked| preferred != Some(asked));
                if is_left {
                    self.drop_order(domain, status, None, now).await;
                }
                trouble = Some(message);
                let asks_another = status.order.is_none() && self.authorities.is_there(now);
                until.filter(|_| !asks_another).or(Some(now + ASK_AGAIN))
            }
            Err(Halt::Cluster(message)) => {
                trouble = Some(message);
                Some(now + TROUBLE_AGAIN)
            }
        };
        let is_revoked = status.revoked.as_ref().is_some_and(|revoked| {
            status
                .certificate
                .as_ref()
                .is_some_and(|it| it.serial == revoked.serial)
        });
        let is_asked = status.order.is_none() && !is_revoked && trouble.is_none();
        if checked.has_looked() && is_asked && self.windows.is_due(hostname, now) {
            self.ask_for_the_window(hostname, status, now).await;
        }
        let mut certified = certificate::judge(status, place.as_ref(), trouble.as_deref(), now);
        if place.is_none() && status.order.is_none() && !checked.may_order && trouble.is_none() {
            certified = certificate::while_waiting(status, certified, now);
        }
        let rests = order::pause_ends(order::failed(status)).max(order::due(status));
        let again = again.or_else(|| (rests > now).then_some(rests));
        Ok(Step { certified, again })
    }

    async fn take_step(
        &self,
        domain: &Domain,
        checked: &Checked,
        status: &mut DomainStatus,
        place: &mut Option<Place>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Halt> {
        let hostname = domain.spec.hostname.as_str();
        let looked_at = if checked.has_looked() {
            Some(now)
        } else {
            status.looked_at.as_ref().map(|at| at.0)
        };
        let mut said = None;
        let mut is_answered = false;
        // Asking changes nothing, and the answer leads to the step itself.
        for _ in 0..3 {
            let order = status.order.clone();
            let facts = order::Facts {
                now,
                order: order.as_ref(),
                authority_says: said.clone(),
                may_order: checked.may_order,
                looked_at,
                is_answered,
                due: order::due(status),
                failed: order::failed(status),
                turn: now,
            };
            let next = order::next(&facts);
            tracing::debug!(?next, "order");
            match (next, order) {
                // What stands against an order is looked at again anyway.
                (Next::Rest(_), None) if !checked.may_order => {
                    self.authorities.leave(hostname);
                    return Ok(None);
                }
                (Next::Rest(until), _) => return Ok((until > now).then_some(until)),
                (Next::Look, _) => return Ok(Some(now + ASK_AGAIN)),
                (Next::Create, _) => {
                    return self.create(domain, status, place, now).await;
                }
                (Next::AwaitAnswer, Some(order)) => {
                    let given = match (&status.answer, &status.challenge_record) {
                        (Some(answer), _) => {
                            let (token, text) = (&answer.token, &answer.key_authorization);
                            self.gateways.all_answer(hostname, token, text).await
                        }
                        (None, Some(record)) => {
                            self.dns.all_show(&record.name, &record.value).await
                        }
                        (None, None) => {
                            return self.find_answer(domain, &order, status, now).await;
                        }
                    };
                    match given {
                        Ok(()) => is_answered = true,
                        Err(why) => {
                            tracing::debug!(why, "the answer is not in place yet");
                            let waited = now.duration_since(order.since.0);
                            let is_soon = waited < SignedDuration::from_secs(5);
                            let pause = if is_soon && status.answer.is_some() {
                                200
                            } else {
                                2_000
                            };
                            return Ok(Some(now + SignedDuration::from_millis(pause)));
                        }
                    }
                }
                (Next::AskToLook, Some(order)) => {
                    let authority = self.authority(&order).await?;
                    let asked = authority.ask_to_look(&order.url, kind_of(domain)).await;
                    self.heard(hostname, &order, asked, now).await?;
                    status.order = Some(Order {
                        step: OrderStep::Validating,
                        since: Time(now),
                        ..order
                    });
                    return Ok(Some(now));
                }
                (Next::AskWhatBecame, Some(order)) => {
                    let authority = self.authority(&order).await?;
                    let (state, why) = self
                        .heard(hostname, &order, authority.state(&order.url).await, now)
                        .await?;
                    match state {
                        Said::Pending | Said::Processing => return Ok(Some(now + ASK_AGAIN)),
                        Said::Invalid => {
                            self.authorities.refused(&order.authority, hostname, now);
                            let why = why.unwrap_or_else(|| "it does not say why".to_owned());
                            let message = format!("{}: {why}", order.authority);
                            self.drop_order(domain, status, Some(message), now).await;
                            return Ok(None);
                        }
                        state => said = Some(state),
                    }
                }
                (Next::Finalize, Some(order)) => {
                    return self.finalize_order(domain, order, status, now).await;
                }
                (Next::Download, Some(order)) => {
                    return self.download(domain, &order, status, now).await;
                }
                (Next::Drop { has_failed }, order) => {
                    let message = has_failed.then(|| {
                        let authority = order.map(|order| order.authority).unwrap_or_default();
                        format!("{authority}: the order came no further for ten minutes")
                    });
                    self.drop_order(domain, status, message, now).await;
                    return Ok(Some(now + ASK_AGAIN));
                }
                // Without an order there is nothing to go on with.
                (_, None) => return Ok(None),
            }
        }
        Ok(Some(now))
    }

    async fn create(
        &self,
        domain: &Domain,
        status: &mut DomainStatus,
        place: &mut Option<Place>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Halt> {
        let hostname = &domain.spec.hostname;
        let Some(directory) = self.authorities.preferred(now) else {
            return Ok(None);
        };
        let before = status.certificate.as_ref();
        let replaced = match before.filter(|it| it.authority.as_ref() == Some(&directory.name)) {
            Some(_) => self.certificates.identifier(hostname).await,
            None => None,
        };
        let request = limits::Request {
            hostname: hostname.clone(),
            registered: registered(&domain.spec),
            kind: match (&replaced, before) {
                (Some(_), _) => limits::Kind::AnnouncedRenewal,
                (None, Some(_)) => limits::Kind::Renewal,
                (None, None) => limits::Kind::First,
            },
            since: before.map_or_else(
                || status.proven_at.as_ref().map_or(now, |at| at.0),
                |certificate| certificate.not_after.0,
            ),
        };
        let reached = self.authorities.reach(&directory.name, now).await;
        let authority = reached.map_err(Halt::Authority)?;
        let turn = self.authorities.turn(&directory.name, &request, now);
        let (waiting, left) = self.authorities.line(&directory.name, now);
        self.metrics.set_line(&directory.name, waiting, left);
        if let Some(waits) = turn.map_err(|error| Halt::Cluster(error.to_string()))? {
            // The line may move faster than foreseen.
            let again = waits.turn.min(now + SignedDuration::from_mins(1));
            *place = Some(waits);
            return Ok(Some(again.max(now + ASK_AGAIN)));
        }
        let mut created = authority.create(hostname, replaced.clone()).await;
        // It does not know the certificate or not as ours, has replaced it already, or does not know
        // what replacing is.
        let refuses_replacing = match &created {
            Err(Error::Unsupported(_)) => true,
            Err(Error::Other(cause)) => cause.to_string().contains("replaces field mismatch"),
            Err(Error::Api(problem)) => {
                let kind = problem.r#type.as_deref().unwrap_or_default();
                let status = problem.status.unwrap_or_default();
                (400..500).contains(&status)
                    && status != 429
                    && ![":accountDoesNotExist", ":badNonce"]
                        .iter()
                        .any(|other| kind.ends_with(other))
            }
            _ => false,
        };
        if replaced.is_some() && refuses_replacing {
            created = authority.create(hostname, None).await;
        }
        let url = match created {
            Ok(url) => url,
            Err(error) => {
                let setback = self
                    .authorities
                    .failed(&directory.name, hostname, &error, now)
                    .await;
                return Err(Halt::Authority(setback));
            }
        };
        self.withdraw(status).await;
        status.order = Some(Order {
            authority: directory.name.clone(),
            url,
            step: OrderStep::Answering,
            since: Time(now),
            created_at: Time(now),
        });
        Ok(Some(now))
    }

    async fn find_answer(
        &self,
        domain: &Domain,
        order: &Order,
        status: &mut DomainStatus,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Halt> {
        let authority = self.authority(order).await?;
        let challenge = authority.challenge(&order.url, kind_of(domain)).await;
        match self
            .heard(&domain.spec.hostname, order, challenge, now)
            .await?
        {
            Some(challenge) if domain.spec.is_dns01() => {
                let Some(place) = self.challenges.place(&domain.spec.hostname) else {
                    return Ok(None);
                };
                let added = self.challenges.add(&place.name, &challenge.txt).await;
                added.map_err(Halt::Cluster)?;
                status.challenge_record = Some(ChallengeRecord {
                    name: place.name,
                    value: challenge.txt,
                });
                Ok(Some(now))
            }
            Some(challenge) => {
                status.answer = Some(ChallengeAnswer {
                    token: challenge.token,
                    key_authorization: challenge.key_authorization,
                });
                Ok(Some(now))
            }
            // An authorization of before still holds.
            None => {
                self.finalize_order(domain, order.clone(), status, now)
                    .await
            }
        }
    }

    async fn finalize_order(
        &self,
        domain: &Domain,
        order: Order,
        status: &mut DomainStatus,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Halt> {
        let hostname = &domain.spec.hostname;
        let kind = domain.spec.key.unwrap_or_default();
        let cluster = |error: anyhow::Error| Halt::Cluster(format!("{error:#}"));
        let key = self
            .certificates
            .next_key(hostname, kind)
            .await
            .map_err(cluster)?;
        let request = certificates::Certificates::request(hostname, &key).map_err(cluster)?;
        let authority = self.authority(&order).await?;
        let asked = authority.finalize(&order.url, &request).await;
        self.heard(hostname, &order, asked, now).await?;
        status.order = Some(Order {
            step: OrderStep::Finalizing,
            since: Time(now),
            ..order
        });
        Ok(Some(now))
    }

    async fn download(
        &self,
        domain: &Domain,
        order: &Order,
        status: &mut DomainStatus,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Halt> {
        let hostname = &domain.spec.hostname;
        let authority = self.authority(order).await?;
        let chain = authority.download(&order.url).await;
        let Some(chain) = self.heard(hostname, order, chain, now).await? else {
            return Ok(Some(now + ASK_AGAIN));
        };
        let cluster = |error: anyhow::Error| Halt::Cluster(format!("{error:#}"));
        let kept = self.certificates.keep(hostname, &chain).await;
        let leaf = kept.map_err(cluster)?;
        let window = match certificates::identifier(&chain) {
            Some(id) => authority.window(&id).await,
            None => None,
        };
        let chance = chance(&leaf.serial);
        let renew_at = order::renew_at(leaf.not_before, leaf.not_after, window, chance);
        // One that is due when it comes, by a clock that is wrong, is not ordered without end.
        let renew_at = renew_at.max(now + SignedDuration::from_hours(1));
        status.certificate = Some(leaf.status(hostname, Some(&order.authority), renew_at));
        self.authorities.leave(hostname);
        self.withdraw(status).await;
        status.order = None;
        status.failure = None;
        self.metrics.ordered(&order.authority, true);
        tracing::info!(
            authority = order.authority,
            serial = leaf.serial,
            not_after = %leaf.not_after,
            "a certificate is there"
        );
        Ok(Some(now))
    }

    /// Takes back what answered the authority. A record that cannot be removed does no harm.
    async fn withdraw(&self, status: &mut DomainStatus) {
        status.answer = None;
        if let Some(record) = status.challenge_record.take()
            && let Err(error) = self.challenges.remove(&record.name, &record.value).await
        {
            tracing::warn!(
                error,
                name = record.name,
                "a record stays that answered a challenge"
            );
        }
    }

    /// Ends an order; with a message it counts as failed.
    async fn drop_order(
        &self,
        domain: &Domain,
        status: &mut DomainStatus,
        message: Option<String>,
        now: Timestamp,
    ) {
        self.authorities.leave(&domain.spec.hostname);
        self.withdraw(status).await;
        if let Err(error) = self.certificates.forget_next(&domain.spec.hostname).await {
            tracing::warn!(%error, "the key of a certificate that did not come stays");
        }
        let order = status.order.take();
        let Some(message) = message else { return };
        tracing::warn!(message, "a certificate order failed");
        if let Some(order) = order {
            self.metrics.ordered(&order.authority, false);
        }
        let count = status.failure.as_ref().map_or(0, |failure| failure.count);
        status.failure = Some(OrderFailure {
            count: count.saturating_add(1),
            at: Time(now),
            message,
        });
    }

    async fn authority(&self, order: &Order) -> Result<Arc<super::acme::Authority>, Halt> {
        let reached = self.authorities.reach(&order.authority, Timestamp::now());
        reached.await.map_err(Halt::Authority)
    }

    /// Revokes the certificate that the annotation names, once; a new one is due then.
    async fn revoke_if_asked(
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
            return wrong("<reason>/<serial> is wanted, such as keyCompromise/795b3b46");
        };
        let Some(code) = revocation_reason(reason) else {
            return wrong(
                "the reason is one of unspecified, keyCompromise, affiliationChanged, superseded, \
                 cessationOfOperation",
            );
        };
        let is_done = status
            .revoked
            .as_ref()
            .is_some_and(|it| it.serial == serial);
        if serial != certificate.serial || is_done {
            return Ok(());
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
        let is_revoked = |error: &Error| {
            let Error::Api(problem) = error else {
                return false;
            };
            let kind = problem.r#type.as_deref().unwrap_or_default();
            kind.ends_with(":alreadyRevoked")
        };
        if let Err(error) = authority.revoke(&leaf, code).await
            && !is_revoked(&error)
        {
            let setback = self
                .authorities
                .failed(name, &domain.spec.hostname, &error, now)
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
    async fn ask_for_the_window(&self, hostname: &str, status: &mut DomainStatus, now: Timestamp) {
        let Some(certificate) = &mut status.certificate else {
            return;
        };
        let Some(name) = &certificate.authority else {
            return;
        };
        let Ok(authority) = self.authorities.reach(name, now).await else {
            return;
        };
        let Some(id) = self.certificates.identifier(hostname).await else {
            return;
        };
        if let Some(window) = authority.window(&id).await {
            let chance = chance(&certificate.serial);
            let (from, to) = (certificate.not_before.0, certificate.not_after.0);
            let renew_at = order::renew_at(from, to, Some(window), chance);
            certificate.renew_at = Some(Time(renew_at));
        }
    }

    async fn heard<T>(
        &self,
        hostname: &str,
        order: &Order,
        result: Result<T, Error>,
        now: Timestamp,
    ) -> Result<T, Halt> {
        match result {
            Ok(value) => {
                self.authorities.answered(&order.authority);
                Ok(value)
            }
            Err(error) => {
                let setback = self
                    .authorities
                    .failed(&order.authority, hostname, &error, now)
                    .await;
                Err(Halt::Authority(setback))
            }
        }
    }
}
