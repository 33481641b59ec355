//! A certificate order, step by step. Which step is decided in `plan::domain::order`; what came of it is
//! left in the status. A pass ends when somebody has to be waited for, and once there is an answer for
//! the gateways to give.

use std::sync::Arc;

use crds::{
    Domain,
    condition::{self, Time},
    domain::{
        Challenge, ChallengeAnswer, ChallengeRecord, DomainStatus, Order, OrderFailure, OrderStep,
    },
};
use instant_acme::{ChallengeType, Error};
use jiff::{SignedDuration, Timestamp};
use plan::{
    domain::{
        certificate, limits,
        line::{self, Turn},
        order::{self, Next, Said},
        report::{self, Checked},
    },
    health::Finding,
};

use super::{
    Domains,
    acme::{Authority, is_account_lost, is_bad_nonce},
    authorities::{Asked, Setback},
    certificates,
    config::Directory,
    registered,
    upkeep::chance,
    waits::Awaited,
};
use crate::failure::Failure;

/// After an order that is dropped without a failure, or trouble that names no time.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(1);
/// An answer that is not in place for so long is said to be waited for.
const SAID_AFTER: SignedDuration = SignedDuration::from_secs(5);
/// After trouble with an authority.
const TROUBLE_AGAIN: SignedDuration = SignedDuration::from_secs(10);
/// So long an authority may say that an order is ready which it was asked to finalize already.
const LAG: SignedDuration = SignedDuration::from_secs(10);
/// Steps and questions of a pass at most: ask what became of it, finalize, ask, download.
const STEPS: u32 = 4;

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

impl Domains {
    /// What the last holder of a hostname had, perhaps with a key of his own, is not presented for the
    /// next one.
    async fn take_away(&self, hostname: &str, serial: &str) -> Result<(), Failure> {
        let kept = self.certificates.leaf(hostname).await;
        let is_his =
            kept.is_some_and(|leaf| certificates::serial(&leaf).as_deref() == Some(serial));
        if !is_his {
            return Ok(());
        }
        self.remove_certificate(hostname).await
    }

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
            // Whose it is has the certificate, too, and the place in the line.
            if self.others(domain).is_empty() {
                self.authorities.leave(hostname);
            }
            self.withdraw(status).await;
            // The organization goes on with it where the name is still its own.
            if let Some(certificate) = &status.certificate
                && !checked.is_siblings
            {
                self.take_away(hostname, &certificate.serial).await?;
            }
            (status.order, status.certificate) = (None, None);
            return Ok(Step {
                certified: waits(),
                again: None,
            });
        }
        if let Some(secret) = &domain.spec.certificate_secret {
            if status.order.is_some() {
                self.drop_order(domain, status, None, now).await;
            } else {
                self.authorities.leave(hostname);
            }
            // What was presented once is looked after for as long as the name is held.
            if !checked.is_proven && status.certificate.is_none() {
                return Ok(Step {
                    certified: waits(),
                    again: None,
                });
            }
            let brought = self
                .certificates
                .bring(&self.client, domain, secret, now)
                .await;
            let mut certified =
                certificate::brought(brought.as_ref().map(|(_, until)| *until), now);
            if let Ok((leaf, _)) = brought {
                let mut kept = leaf.status(hostname, None, leaf.not_after);
                kept.renew_at = None;
                status.certificate = Some(kept);
                if let Err(why) = self.revoke_if_asked(domain, status, now).await {
                    certified = certificate::unrevoked(&certified.message, &why);
                }
            }
            return Ok(Step {
                certified,
                again: None,
            });
        }
        let missing = if self.authorities.is_empty() {
            Some(Finding::stuck(
                "NoAuthority",
                "the platform has no certificate authority; its operators name one in the \
                 chart's value acme.directories",
            ))
        } else if domain.spec.is_dns01() && self.challenges.place(hostname).is_none() {
            Some(Finding::stuck(
                "NoDnsProvider",
                "the platform cannot write DNS records, which dns-01 needs; its operators set \
                 acme.dns01 of the chart; or set spec.challenge to http-01, or bring a \
                 certificate in spec.certificateSecret",
            ))
        } else {
            None
        };
        if let Some(missing) = missing {
            return Ok(Step {
                certified: certificate::cannot_be_had(status, missing, now),
                again: None,
            });
        }
        if checked.has_looked() && status.order.is_none() {
            self.miss_what_is_gone(hostname, status).await;
        }
        let mut awaited = certificate::Awaited {
            unrevoked: self.revoke_if_asked(domain, status, now).await.err(),
            ..certificate::Awaited::default()
        };
        let again = match self
            .take_step(domain, checked, status, &mut awaited, now)
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
                awaited.trouble = Some(message);
                let asks_another = status.order.is_none() && self.authorities.is_there(now);
                until.filter(|_| !asks_another).or(Some(now + ASK_AGAIN))
            }
            Err(Halt::Authority(Setback::Paused { words, until })) => {
                awaited.paused = Some((words, until));
                self.drop_order(domain, status, None, now).await;
                Some(until)
            }
            Err(Halt::Cluster(message)) => {
                awaited.trouble = Some(message);
                Some(now + TROUBLE_AGAIN)
            }
        };
        let is_revoked = status.revoked.as_ref().is_some_and(|revoked| {
            status
                .certificate
                .as_ref()
                .is_some_and(|it| it.serial == revoked.serial)
        });
        let is_asked = status.order.is_none() && !is_revoked && awaited.trouble.is_none();
        if is_asked && self.windows.is_due(hostname, checked.has_looked(), now) {
            self.ask_for_the_window(hostname, status, now).await;
        }
        let window = self.windows.again(hostname);
        let window = window.filter(|at| is_asked && *at > now);
        let mut certified = certificate::judge(status, &awaited, now);
        let waits_for_checks = awaited == certificate::Awaited::default() && !checked.may_order;
        if waits_for_checks && status.order.is_none() {
            certified = certificate::while_waiting(status, certified, now);
        }
        let rests = order::pause_ends(order::failed(status)).max(order::due(status));
        let again = again.or_else(|| (rests > now).then_some(rests));
        let again = again.into_iter().chain(window).min();
        Ok(Step { certified, again })
    }

    /// A certificate that somebody deleted or changed is none, and another is ordered. Read with each look.
    async fn miss_what_is_gone(&self, hostname: &str, status: &mut DomainStatus) {
        let Some(known) = &status.certificate else {
            return;
        };
        // What is not told now is told at the next look.
        if let Ok(false) = self.certificates.is_kept(hostname, &known.serial).await {
            tracing::warn!(hostname, secret = known.secret, "the certificate is gone");
            status.certificate = None;
        }
    }

    async fn take_step(
        &self,
        domain: &Domain,
        checked: &Checked,
        status: &mut DomainStatus,
        awaited: &mut certificate::Awaited,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Halt> {
        let hostname = domain.spec.hostname.as_str();
        let preferred = self.authorities.preferred(now);
        let mut said = None;
        let mut is_answered = false;
        // As far as nobody has to be waited for. After a crash each step is found done, or is done again.
        for _ in 0..STEPS {
            let order = status.order.clone();
            let facts = order::Facts {
                now,
                order: order.as_ref(),
                authority_says: said.clone(),
                may_order: checked.may_order,
                looked_at: checked.looked_at(
                    order::authority(order.as_ref(), preferred.map(|it| it.name.as_str())),
                    status,
                    now,
                ),
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
                    let again = self.create(domain, preferred, status, awaited, now).await?;
                    if status.order.is_none() {
                        return Ok(again);
                    }
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
                            let again = if status.answer.is_some() {
                                self.ask_gateways_again(domain, Awaited::Answer, now)
                            } else {
                                self.waits.again(hostname, Awaited::Answer, now)
                            };
                            // What takes moments is not worth a word.
                            let waited = now.duration_since(order.since.0);
                            awaited.answer = (waited > SAID_AFTER).then_some(why);
                            return Ok(Some(again));
                        }
                    }
                }
                (Next::AskToLook, Some(order)) => {
                    let authority = self.authority(&order).await?;
                    let asked = authority.ask_to_look(&order.url, kind_of(domain)).await;
                    self.heard(&authority, hostname, &order, asked, now).await?;
                    status.order = Some(Order {
                        step: OrderStep::Validating,
                        since: Time(now),
                        ..order
                    });
                    return Ok(Some(self.waits.again(hostname, Awaited::Authority, now)));
                }
                (Next::AskWhatBecame, Some(order)) => {
                    let authority = self.authority(&order).await?;
                    let (state, why) = self
                        .heard(
                            &authority,
                            hostname,
                            &order,
                            authority.state(&order.url).await,
                            now,
                        )
                        .await?;
                    // It was asked for the certificate, and lags behind itself.
                    let lags = state == Said::Ready
                        && order.step == OrderStep::Finalizing
                        && now.duration_since(order.since.0) < LAG;
                    match state {
                        Said::Pending | Said::Processing
                            if !order::is_given_up(&order, Some(&state), now) =>
                        {
                            let again = self.waits.again(hostname, Awaited::Authority, now);
                            return Ok(Some(again));
                        }
                        _ if lags => {
                            let again = self.waits.again(hostname, Awaited::Authority, now);
                            return Ok(Some(again));
                        }
                        Said::Invalid => {
                            self.authorities
                                .note(&order.authority, |line| line.failed(hostname, now));
                            let why = why.unwrap_or_else(|| "it does not say why".to_owned());
                            let message = format!("{}: {why}", order.authority);
                            self.drop_order(domain, status, Some(message), now).await;
                            return Ok(None);
                        }
                        state => said = Some(state),
                    }
                }
                (Next::Finalize, Some(order)) => {
                    self.finalize_order(domain, order, status, now).await?;
                    said = None;
                }
                (Next::Download, Some(order)) => {
                    return self.download(domain, &order, status, now).await;
                }
                (Next::Drop { has_failed }, order) => {
                    let message = has_failed.then(|| {
                        let authority = order.map(|order| order.authority).unwrap_or_default();
                        let waited = if said == Some(Said::Processing) {
                            "the certificate was not made within a day"
                        } else {
                            "the order came no further for ten minutes"
                        };
                        format!("{authority}: {waited}")
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
        preferred: Option<&Directory>,
        status: &mut DomainStatus,
        awaited: &mut certificate::Awaited,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Halt> {
        let hostname = &domain.spec.hostname;
        let Some(directory) = preferred else {
            return Ok(None);
        };
        // Of another authority it is no renewal there.
        let before = status.certificate.as_ref();
        let before = before.filter(|it| it.authority.as_ref() == Some(&directory.name));
        let replaced = match before {
            Some(_) => self.certificates.identifier(hostname).await,
            None => None,
        };
        let proven = condition::find(&status.conditions, report::OWNERSHIP_PROVEN);
        let request = limits::Request {
            hostname: hostname.clone(),
            registered: registered(&domain.spec),
            kind: match (&replaced, before) {
                (Some(_), _) => limits::Kind::AnnouncedRenewal,
                (None, Some(_)) => limits::Kind::Renewal,
                (None, None) => limits::Kind::First,
            },
            // A place in line is kept: by a time that no look moves.
            since: before.map_or_else(
                || {
                    proven
                        .filter(|it| it.status == "True")
                        .map_or(now, |it| it.last_transition_time.0)
                },
                |certificate| certificate.not_after.0,
            ),
        };
        let reached = self.authorities.reach(&directory.name, now).await;
        let authority = reached.map_err(Halt::Authority)?;
        if let Some(again) = self.stand_in_line(directory, &request, awaited, now)? {
            return Ok(Some(again));
        }
        let mut created = authority.create(hostname, replaced.clone()).await;
        // It does not know the certificate or not as ours, has replaced it already, or does not know
        // what replacing is.
        let refuses_replacing = match &created {
            Err(Error::Unsupported(_)) => true,
            Err(Error::Other(cause)) => cause.to_string().contains("replaces field mismatch"),
            Err(error @ Error::Api(problem)) => {
                let status = problem.status.unwrap_or_default();
                let is_of_the_account = is_account_lost(error) || is_bad_nonce(error);
                (400..500).contains(&status) && status != 429 && !is_of_the_account
            }
            _ => false,
        };
        if replaced.is_some() && refuses_replacing {
            // This one counts like any other, and may have to wait.
            let request = limits::Request {
                kind: limits::Kind::Renewal,
                ..request
            };
            if let Some(again) = self.stand_in_line(directory, &request, awaited, now)? {
                return Ok(Some(again));
            }
            created = authority.create(hostname, None).await;
        }
        let url = match created {
            Ok(url) => url,
            Err(error) => {
                let setback = self
                    .authorities
                    .failed(
                        &directory.name,
                        (Asked::Order, &authority),
                        hostname,
                        &error,
                        now,
                    )
                    .await;
                if matches!(setback, Setback::Refusal(_)) {
                    self.metrics.ordered(&directory.name, false);
                }
                if setback != Setback::Gone {
                    self.authorities
                        .note(&directory.name, |line| line.nothing_came(hostname));
                }
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

    /// When an order is asked for again that has to wait for its turn; `None` when it may be made.
    fn stand_in_line(
        &self,
        directory: &Directory,
        request: &limits::Request,
        awaited: &mut certificate::Awaited,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Halt> {
        let turn = self.authorities.turn(&directory.name, request, now);
        Ok(
            match turn.map_err(|error| Halt::Cluster(error.to_string()))? {
                Turn::Now => None,
                Turn::InLine(place) => {
                    let again = line::ask_again(place.turn, now);
                    awaited.place = Some(place);
                    Some(again)
                }
                Turn::Paused { words, until } => {
                    awaited.paused = Some((words, until));
                    Some(until)
                }
            },
        )
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
            .heard(&authority, &domain.spec.hostname, order, challenge, now)
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
                    .await?;
                Ok(Some(now))
            }
        }
    }

    async fn finalize_order(
        &self,
        domain: &Domain,
        order: Order,
        status: &mut DomainStatus,
        now: Timestamp,
    ) -> Result<(), Halt> {
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
        self.heard(&authority, hostname, &order, asked, now).await?;
        // Its patience is not renewed by asking again.
        let since = match order.step {
            OrderStep::Finalizing => order.since.clone(),
            _ => Time(now),
        };
        status.order = Some(Order {
            step: OrderStep::Finalizing,
            since,
            ..order
        });
        Ok(())
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
        let Some(chain) = self.heard(&authority, hostname, order, chain, now).await? else {
            return Ok(Some(self.waits.again(hostname, Awaited::Authority, now)));
        };
        let cluster = |error: anyhow::Error| Halt::Cluster(format!("{error:#}"));
        let kept = self.certificates.keep(hostname, &chain).await;
        let leaf = kept.map_err(cluster)?;
        let window = match certificates::identifier(&chain) {
            Some(id) => authority.window(&id).await,
            None => None,
        };
        self.windows
            .asked(hostname, window.map(|(_, again)| again), now);
        let window = window.map(|(window, _)| window);
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
        self.authorities
            .note(&order.authority, |line| line.certified(hostname));
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
            let hostname = &domain.spec.hostname;
            self.authorities
                .note(&order.authority, |line| line.nothing_came(hostname));
        }
        let count = status.failure.as_ref().map_or(0, |failure| failure.count);
        status.failure = Some(OrderFailure {
            count: count.saturating_add(1),
            at: Time(now),
            message,
        });
    }

    async fn authority(&self, order: &Order) -> Result<Arc<Authority>, Halt> {
        let reached = self.authorities.reach(&order.authority, (self.clock)());
        reached.await.map_err(Halt::Authority)
    }

    async fn heard<T>(
        &self,
        authority: &Authority,
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
                    .failed(
                        &order.authority,
                        (Asked::Step, authority),
                        hostname,
                        &error,
                        now,
                    )
                    .await;
                Err(Halt::Authority(setback))
            }
        }
    }
}
