//! The life of a Domain: look → judge → order, a step at a time → report.
//!
//! | step | file |
//! |---|---|
//! | whose instance has got or lost its name | `targets.rs` |
//! | who holds the hostname | `holders.rs` |
//! | look | `dns.rs`, `preflight.rs` (our own request through the name, by `exchange.rs`) |
//! | judge | `plan::domain::report`: pure |
//! | order | `steps.rs`; what the gateways answer: `gateways.rs`; which authority and whose turn: `authorities.rs`; asking it: `acme.rs`; since when it is waited for: `waits.rs` |
//! | keep | `certificates.rs`, `brought.rs` (what is wrong with one that somebody brought), `browsers.rs` (what browsers take); revocation, and when to renew: `upkeep.rs` |
//! | report | here: one status write, when it changed |

pub mod acme;
pub mod authorities;
mod brought;
mod browsers;
pub mod certificates;
pub mod config;
pub mod dns;
mod exchange;
pub mod gateways;
pub mod holders;
pub mod preflight;
pub mod records;
mod steps;
pub mod targets;
mod upkeep;
mod waits;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crds::{
    Domain, DomainSpec, condition,
    domain::{Certificate, DomainStatus, PREFLIGHT},
    labels,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    Api, Client, Resource as _, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{
        controller::Action,
        reflector::{ObjectRef, Store},
    },
};
use plan::domain::{
    answers::Look,
    caa::Certifier,
    holder::{Kept, is_proven, is_proven_again},
    limits, name, order, proof_value,
    reach::Reach,
    report::{self, Checked, Facts, Holder},
    verify::{self, Question},
};
use rand::RngExt as _;
use tokio::sync::mpsc::UnboundedSender;

use self::{
    authorities::{Authorities, WaitsFor},
    certificates::Certificates,
    config::DomainsConfig,
    dns::Dns,
    gateways::Gateways,
    holders::Holders,
    preflight::Preflight,
    records::Challenges,
    upkeep::Windows,
    waits::{Awaited, Waits},
};
use crate::{
    backoff::Backoffs, cache::Cache, failure::Failure, metrics::Metrics, news::News, run::Clock,
    written::Written,
};

/// How soon a Domain is looked at again of which the watch has not told what we wrote ourselves.
const UNTOLD_AGAIN: Duration = Duration::from_millis(100);
/// How often [`insist`] writes.
const WRITES: u32 = 6;
/// And how long it waits between.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// What reconciling a Domain needs.
pub struct Domains {
    client: Client,
    cache: Cache,
    zone: String,
    dns: Dns,
    gateways: Gateways,
    authorities: Authorities,
    certificates: Certificates,
    challenges: Challenges,
    windows: Windows,
    waits: Waits,
    holders: Holders,
    namespace: String,
    touch: UnboundedSender<ObjectRef<Domain>>,
    /// Domains whose hostname somebody else has proven: they are looked at now.
    challenged: Mutex<HashSet<ObjectRef<Domain>>>,
    metrics: Metrics,
    news: News,
    written: Written<ObjectRef<Domain>>,
    backoff: Backoffs<ObjectRef<Domain>>,
    clock: Clock,
}

/// Where Domains live, beside the cluster.
pub struct Surroundings<'a> {
    /// The file.
    pub config: &'a DomainsConfig,
    /// Facts of the platform.
    pub platform: &'a plan::Platform,
    /// The operator's own namespace: accounts, notes.
    pub namespace: &'a str,
    /// Names that are kept.
    pub kept: Store<ConfigMap>,
    /// The gateway's pods.
    pub gateways: Store<Pod>,
    /// What time it is.
    pub clock: Clock,
}

impl Domains {
    /// Everything that reconciling needs.
    ///
    /// # Errors
    /// When a resolver is no address.
    pub fn new(
        client: Client,
        cache: Cache,
        surroundings: Surroundings<'_>,
        touch: UnboundedSender<ObjectRef<Domain>>,
        metrics: Metrics,
    ) -> anyhow::Result<Self> {
        let Surroundings {
            config,
            platform,
            namespace,
            kept,
            gateways,
            clock,
        } = surroundings;
        let domains = Self {
            dns: Dns {
                resolvers: config.resolvers()?.into(),
                authority_port: 53,
                patience: config.patience(),
            },
            gateways: Gateways::new(gateways),
            authorities: Authorities::new(client.clone(), namespace, &config.acme.directories),
            certificates: Certificates::new(client.clone(), &platform.gateway_namespace),
            challenges: Challenges::new(client.clone(), namespace, &config.acme.dns01),
            windows: Windows::default(),
            waits: Waits::default(),
            namespace: platform.gateway_namespace.clone(),
            holders: Holders::new(client.clone(), namespace, &cache, kept),
            zone: platform.zone.clone(),
            news: News::new(client.clone()),
            written: Written::default(),
            backoff: Backoffs::new(Duration::from_millis(500), Duration::from_secs(60)),
            clock,
            client,
            cache,
            touch,
            challenged: Mutex::default(),
            metrics,
        };
        domains.remember();
        for directory in &config.acme.directories {
            domains.metrics.expect_orders(&directory.name);
        }
        Ok(domains)
    }

    /// Fills the authorities' budgets from what stands on the Domains, the oldest order first.
    fn remember(&self) {
        let mut orders: Vec<(Timestamp, String, limits::Request)> = Vec::new();
        for domain in self.cache.domains.state() {
            let Some(status) = &domain.status else {
                continue;
            };
            let certificate = status.certificate.as_ref();
            let certified =
                certificate.and_then(|it| Some((it.authority.clone()?, it.not_before.0)));
            let order = status.order.as_ref();
            let ordered = order.map(|order| (order.authority.clone(), order.created_at.0));
            for (authority, at) in certified.into_iter().chain(ordered) {
                let request = limits::Request {
                    hostname: domain.spec.hostname.clone(),
                    registered: registered(&domain.spec),
                    kind: limits::Kind::First,
                    since: at,
                };
                orders.push((at, authority, request));
            }
        }
        orders.sort_by_key(|(at, ..)| *at);
        for (at, authority, request) in orders {
            self.authorities
                .note(&authority, |line| line.remember(&request, at));
        }
    }
}

/// What a look has brought.
struct Seen {
    look: Look,
    /// The DNS proves that the hostname is the organization's.
    is_proven: bool,
    /// What became of our own request; `None` when none was made.
    reach: Option<Reach>,
}

/// Writes again, a few times, what would be lost if it were not written.
///
/// # Errors
/// What the API server says against it at last, or at once when it refuses it.
async fn insist<T, F>(write: impl Fn() -> F) -> Result<T, kube::Error>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    for _ in 1..WRITES {
        match write().await {
            Err(error) if may_pass(&error) => tokio::time::sleep(WRITE_AGAIN).await,
            written => return written,
        }
    }
    write().await
}

fn may_pass(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 429 | 500..),
        _ => true,
    }
}

fn registered(spec: &DomainSpec) -> String {
    name::registrable(&spec.hostname)
        .unwrap_or(&spec.hostname)
        .to_owned()
}

/// Makes one Domain true, as far as one step goes.
///
/// # Errors
/// A [`Failure`]; [`retry`] decides when to try again.
#[tracing::instrument(
    name = "reconcile",
    skip_all,
    fields(
        kind = "Domain",
        object = %ObjectRef::from_obj(domain.as_ref()),
        hostname = domain.spec.hostname,
        generation = domain.metadata.generation,
    )
)]
pub async fn reconcile(domain: Arc<Domain>, operator: Arc<Domains>) -> Result<Action, Failure> {
    let started = std::time::Instant::now();
    let key = ObjectRef::from_obj(domain.as_ref());
    let look = || operator.cache.domains.get(&key);
    let Some(domain) = operator.written.latest(&key, domain, look).await else {
        return Ok(Action::requeue(UNTOLD_AGAIN));
    };
    let result = acme::listening(operator.make_true(&domain)).await;
    operator
        .metrics
        .reconciled("domain", started.elapsed(), result.as_ref().err());
    if result.is_ok() {
        operator.backoff.reset(&key);
    }
    result
}

/// When to try again after a failure.
#[must_use]
pub fn retry(domain: Arc<Domain>, failure: &Failure, operator: Arc<Domains>) -> Action {
    let key = ObjectRef::from_obj(domain.as_ref());
    let wait = operator.backoff.next(&key);
    tracing::warn!(
        object = %key,
        error = failure.chain(),
        retry_seconds = wait.as_secs_f32(),
        "reconciliation failed"
    );
    Action::requeue(wait)
}

impl Domains {
    async fn make_true(&self, domain: &Domain) -> Result<Action, Failure> {
        let now = (self.clock)();
        if domain.metadata.deletion_timestamp.is_some() {
            return self.finalize(domain, now).await;
        }
        let has_finalizer = domain
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == labels::DOMAIN_FINALIZER);
        // The platform's own goes with the platform, when nobody is left to give it back.
        if !has_finalizer && !self.is_platforms(domain) {
            self.take_finalizer(domain).await?;
        }
        let look_now = domain.annotations().get(labels::LOOK_NOW).cloned();
        let look_now = look_now.as_deref();
        let target = self.target(domain);
        let organization = self.holders.organization(domain);
        let mut status = domain.status.clone().unwrap_or_default();
        let is_asked = look_now.is_some_and(|wanted| status.looked_for.as_deref() != Some(wanted));
        if is_asked {
            // Somebody has mended what was refused, or knows that somebody is there again.
            status.failure = None;
            let waits_for = match &status.order {
                Some(order) => WaitsFor::One(&order.authority),
                None if domain.spec.certificate_secret.is_some() => WaitsFor::Nobody,
                None if order::due(&status) <= now => WaitsFor::Anybody,
                None => WaitsFor::Nobody,
            };
            let hostname = &domain.spec.hostname;
            self.authorities.ask_again(hostname, &waits_for, now);
        }
        let place = self.place(domain);
        let is_delegated = place
            .as_ref()
            .is_some_and(|place| place.delegated.is_some());
        let preferred = self.authorities.preferred(now).map(|it| it.name.as_str());
        let is_challenged = self.challenged().remove(&ObjectRef::from_obj(domain));
        let is_due = is_challenged
            || self.comes_into_it(domain, now)
            || report::is_due(domain, target.as_deref(), look_now, now)
            || order::wants_look(domain, is_delegated, preferred, now);
        let seen = if is_due {
            self.look(domain, target.as_deref(), &organization).await
        } else {
            None
        };
        let holder = self.claim(domain, seen.as_ref(), is_challenged, now);
        let is_holder = holder == Holder::This;
        if is_holder && is_proven_again(domain) {
            let forgotten = self.holders.forget(&domain.spec.hostname).await;
            forgotten.map_err(|source| observe("the note that keeps the hostname", source))?;
        }
        let authority = order::authority(status.order.as_ref(), preferred);
        let account = match authority.filter(|_| seen.is_some()) {
            Some(name) => self.authorities.account_url(name).await,
            None => None,
        };
        let facts = Facts {
            target: target.as_deref(),
            organization_uid: &organization,
            zone: &self.zone,
            holder,
            look: seen.as_ref().map(|seen| &seen.look),
            reach: seen.as_ref().and_then(|seen| seen.reach.as_ref()),
            is_platforms: self.is_platforms(domain),
            delegation: place.as_ref().and_then(|place| {
                let delegated = place.delegated.as_deref()?;
                Some((delegated, place.name.as_str()))
            }),
            certifier: Certifier {
                name: authority,
                identities: self.authorities.caa_identities(authority),
                method: domain.spec.challenge.unwrap_or_default().name(),
                account: account.as_deref(),
            },
        };
        let checked = report::check(domain, &facts);
        let step = self.advance(domain, &checked, &mut status, now).await?;
        for (name, waiting, left, is_failing) in self.authorities.standing(now) {
            self.metrics.set_authority(name, waiting, left, is_failing);
        }
        let served = self.served(domain, &status, &checked).await;
        let is_served = served
            .as_ref()
            .is_none_or(|it| it.state == plan::health::State::Well);
        if served.is_some() && is_served {
            self.waits.forget(&domain.spec.hostname);
        }
        let progress = report::Progress {
            certified: step.certified,
            served,
        };
        let chance = rand::rng().random_range(0.0..1.0);
        let status = report::conclude(domain, look_now, &checked, &progress, status, (now, chance));
        // A look that is due and cannot be made comes with whatever makes it possible.
        let next_look = status.next_look_at.as_ref().map(|at| at.0);
        let next_look = next_look.filter(|_| seen.is_some() || !is_due);
        let is_lost = seen.is_some() && !is_proven(&status);
        let was_proven = domain.status.as_ref().is_some_and(is_proven);
        self.write_status(domain, status).await?;
        if is_lost && (was_proven || (is_challenged && is_holder)) {
            self.challenge(self.others(domain));
        }
        let again = [
            next_look,
            step.again,
            (!is_served).then(|| self.ask_gateways_again(domain, Awaited::Served, now)),
        ];
        // Nothing to wait for: a name that nobody can have, or no instance yet, which tells when it is.
        let Some(again) = again.into_iter().flatten().min() else {
            return Ok(Action::await_change());
        };
        let wait = again.duration_since((self.clock)());
        Ok(Action::requeue(wait.try_into().unwrap_or_default()))
    }

    /// The platform's own zone, whose certificate the chart asks for in the platform's namespace.
    fn is_platforms(&self, domain: &Domain) -> bool {
        domain.metadata.namespace.as_ref() == Some(&self.namespace)
            && name::base(&domain.spec.hostname) == self.zone
    }

    /// Where a record answers the challenge of a Domain.
    fn place(&self, domain: &Domain) -> Option<records::Place> {
        let is_dns01 = domain.spec.is_dns01();
        is_dns01.then(|| self.challenges.place(&domain.spec.hostname))?
    }

    /// The instance's own name, once it has one.
    fn target(&self, domain: &Domain) -> Option<String> {
        if self.is_platforms(domain) {
            return Some(self.zone.clone());
        }
        let namespace = domain.namespace().unwrap_or_default();
        let instance = ObjectRef::new(&domain.spec.instance).within(&namespace);
        let instance = self.cache.instances.get(&instance)?;
        instance.status.as_ref()?.host.clone()
    }

    /// Looks at the DNS, and asks ourselves through the name when that may come here. `None` when
    /// there is nothing to look for.
    async fn look(
        &self,
        domain: &Domain,
        target: Option<&str>,
        organization: &str,
    ) -> Option<Seen> {
        let target = target?;
        let hostname = domain.spec.hostname.as_str();
        let is_platforms = self.is_platforms(domain);
        let judged = name::judge(hostname, &self.zone, true).state;
        if judged != plan::health::State::Well && !is_platforms {
            return None;
        }
        let asked = report::asked(hostname);
        let wish = dns::Wish {
            hostname,
            asked: &asked,
            target,
        };
        let place = self.place(domain);
        let delegated = place.as_ref().and_then(|place| place.delegated.as_deref());
        let (mut look, delegation) =
            futures_util::join!(self.dns.look(wish), self.dns.delegation(delegated));
        look.delegation = delegation;
        let proof = proof_value(organization, hostname);
        let question = Question {
            hostname,
            asked: &asked,
            target,
            proof: &proof,
        };
        let mut seen = Seen {
            is_proven: verify::ownership(&question, &look).finding.state
                == plan::health::State::Well,
            look,
            reach: None,
        };
        if is_platforms || domain.spec.is_dns01() || !seen.is_proven {
            return Some(seen);
        }
        let token = format!("{PREFLIGHT}{:032x}", rand::rng().random::<u128>());
        let records = self.dns.address_records(&asked).await;
        let preflight = Preflight {
            hostname: &asked,
            zone: &self.zone,
            token: &token,
            port: preflight::PORT,
        };
        let reach = preflight.reach(&records, &seen.look.gateway).await;
        seen.reach = Some(reach);
        Some(seen)
    }

    /// Whether whoever was before it is gone since: it was told that it cannot have the name, and can.
    fn comes_into_it(&self, domain: &Domain, now: Timestamp) -> bool {
        let conditions = domain.status.as_ref().map(|status| &*status.conditions);
        let held = condition::find(conditions.unwrap_or_default(), report::HOSTNAME_HELD);
        held.is_some_and(|held| held.status == "False")
            && self.holders.holder(domain, false, now) == Holder::This
    }

    /// Who holds the hostname. Another's name that nobody has proven is taken over by a proof.
    fn claim(
        &self,
        domain: &Domain,
        seen: Option<&Seen>,
        is_challenged: bool,
        now: Timestamp,
    ) -> Holder {
        if self.is_platforms(domain) {
            return Holder::This;
        }
        let holder = self.holders.holder(domain, false, now);
        if holder == Holder::This || !seen.is_some_and(|seen| seen.is_proven) {
            return holder;
        }
        let holder = self.holders.holder(domain, true, now);
        let others = self.others(domain);
        if holder == Holder::This {
            self.wake(others);
        } else if !is_challenged {
            // Both have proven it, one of them perhaps long ago. Whoever looks because of that asks nobody in turn:
            // three would go on for ever.
            self.challenge(others);
        }
        holder
    }

    /// Has Domains looked at now, whatever their schedule says: who had proven the name may have lost it,
    /// and who waits for it may win it.
    fn challenge(&self, domains: Vec<ObjectRef<Domain>>) {
        self.challenged().extend(domains.iter().cloned());
        self.wake(domains);
    }

    fn challenged(&self) -> MutexGuard<'_, HashSet<ObjectRef<Domain>>> {
        self.challenged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Other Domains of its hostname that stay.
    fn others(&self, domain: &Domain) -> Vec<ObjectRef<Domain>> {
        let uid = domain.metadata.uid.as_deref();
        self.holders.others(&domain.spec.hostname, uid)
    }

    fn wake(&self, domains: Vec<ObjectRef<Domain>>) {
        for domain in domains {
            let _ = self.touch.send(domain);
        }
    }

    /// Whether every gateway presents the certificate; asked until it is so, and with each look.
    async fn served(
        &self,
        domain: &Domain,
        status: &DomainStatus,
        checked: &Checked,
    ) -> Option<plan::health::Finding> {
        let certificate = status.certificate.as_ref().filter(|_| checked.is_held)?;
        let is_new = domain
            .status
            .as_ref()
            .and_then(|before| before.certificate.as_ref())
            .is_none_or(|before| before.serial != certificate.serial);
        let was_served = condition::is_true(&status.conditions, report::SERVED);
        if was_served && !is_new && !checked.has_looked() {
            return None;
        }
        let asked = report::asked(&domain.spec.hostname);
        let presents = self.gateways.all_present(&asked, &certificate.serial).await;
        Some(report::served(&domain.spec.hostname, presents))
    }

    /// When gateways are asked again for what is awaited of them. While there is none their watch tells
    /// when there is.
    fn ask_gateways_again(&self, domain: &Domain, awaited: Awaited, now: Timestamp) -> Timestamp {
        let awaited = if self.gateways.are_away() {
            Awaited::Gateway
        } else {
            awaited
        };
        self.waits.again(&domain.spec.hostname, awaited, now)
    }

    async fn write_status(&self, domain: &Domain, after: DomainStatus) -> Result<(), Failure> {
        let before = domain.status.clone().unwrap_or_default();
        self.measure(domain, after.certificate.as_ref());
        if before == after {
            return Ok(());
        }
        let name = domain.name_any();
        let patch = serde_json::json!({
            "apiVersion": "tutti.dev/v1alpha1",
            "kind": "Domain",
            "metadata": { "name": name, "uid": domain.uid() },
            "status": after,
        });
        let params = PatchParams::apply(labels::MANAGER).force();
        let (api, patch) = (self.api(domain), Patch::Apply(&patch));
        let write = || api.patch_status(&name, &params, &patch);
        // An order that nobody took note of is made again, at the cost of the authority's limits.
        let written = if before.order == after.order {
            write().await
        } else {
            insist(write).await
        };
        match written {
            Ok(answer) => {
                self.written
                    .note(&ObjectRef::from_obj(domain), answer.meta());
                self.metrics.wrote();
            }
            // Deleted meanwhile.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(source) => {
                return Err(Failure::Report {
                    name,
                    source: Box::new(source),
                });
            }
        }
        self.news.tell(
            domain.object_ref(&()),
            &before.conditions,
            &after.conditions,
        );
        Ok(())
    }

    /// When the certificate of a Domain ends, and when it is renewed. One that has none of a hostname that
    /// another Domain of the organization has does not speak of it.
    fn measure(&self, domain: &Domain, certificate: Option<&Certificate>) {
        let hostname = &domain.spec.hostname;
        let had = domain
            .status
            .as_ref()
            .and_then(|it| it.certificate.as_ref());
        if certificate.is_none() && (had.is_none() || self.has_sibling(domain)) {
            return;
        }
        let times = certificate.map(|it| {
            let renewal = it.renew_at.as_ref().map(|at| at.0.as_second());
            (it.not_after.0.as_second(), renewal)
        });
        let namespace = domain.namespace().unwrap_or_default();
        self.metrics.set_certificate(&namespace, hostname, times);
    }

    /// Whether the organization has another Domain of the same hostname.
    fn has_sibling(&self, domain: &Domain) -> bool {
        let namespace = domain.namespace();
        self.others(domain)
            .iter()
            .any(|other| other.namespace == namespace)
    }

    fn api(&self, domain: &Domain) -> Api<Domain> {
        Api::namespaced(self.client.clone(), &domain.namespace().unwrap_or_default())
    }

    /// Puts the certificate away, keeps the name for its owner, and lets the next one have a look.
    async fn finalize(&self, domain: &Domain, now: Timestamp) -> Result<Action, Failure> {
        let finalizers = domain.finalizers();
        if !finalizers.iter().any(|it| it == labels::DOMAIN_FINALIZER) {
            return Ok(Action::await_change());
        }
        let hostname = &domain.spec.hostname;
        if let Some(kept) = self.leaves_kept(domain, now) {
            let noted = self.holders.keep(hostname, &kept).await;
            noted.map_err(|source| Failure::Apply {
                kind: "ConfigMap".to_owned(),
                name: format!("that keeps {hostname}"),
                source: Box::new(source),
            })?;
            return Ok(Action::requeue(UNTOLD_AGAIN));
        }
        let status = domain.status.as_ref();
        let was_held = status
            .is_some_and(|status| condition::is_true(&status.conditions, report::HOSTNAME_HELD));
        // Of a name that another holds these are his.
        if was_held || self.others(domain).is_empty() {
            self.authorities.leave(hostname);
            self.waits.forget(hostname);
            self.windows.forget(hostname);
        }
        let record = status.and_then(|status| status.challenge_record.as_ref());
        if let Some(record) = record
            && let Err(error) = self.challenges.remove(&record.name, &record.value).await
        {
            tracing::warn!(
                error,
                name = record.name,
                "a record stays that answered a challenge"
            );
        }
        // Another Domain of the organization takes the certificate over.
        if was_held && !self.is_platforms(domain) && !self.has_sibling(domain) {
            self.remove_certificate(hostname).await?;
        }
        self.give_finalizer_back(domain).await?;
        if let Err(error) = self.holders.tidy(now).await {
            tracing::warn!(%error, "notes of hostnames that are free now stay");
        }
        self.measure(domain, None);
        self.wake(self.others(domain));
        Ok(Action::await_change())
    }

    async fn remove_certificate(&self, hostname: &str) -> Result<(), Failure> {
        let removed = self.certificates.remove(hostname).await;
        removed.map_err(|source| Failure::Delete {
            kind: "Secret".to_owned(),
            name: Certificates::secret_name(hostname),
            source: Box::new(source),
        })
    }

    /// The note that has to be written before a Domain goes: none when the watch has told of it, so that
    /// nobody finds the name free in between.
    fn leaves_kept(&self, domain: &Domain, now: Timestamp) -> Option<Kept> {
        let kept = Kept::of(domain, &self.holders.organization(domain), now)?;
        let is_noted = self.holders.kept(&domain.spec.hostname).as_ref() == Some(&kept);
        (!is_noted && !self.is_platforms(domain)).then_some(kept)
    }

    async fn take_finalizer(&self, domain: &Domain) -> Result<(), Failure> {
        let patch = serde_json::json!({
            "apiVersion": "tutti.dev/v1alpha1",
            "kind": "Domain",
            "metadata": {
                "name": domain.name_any(),
                "uid": domain.uid(),
                "finalizers": [labels::DOMAIN_FINALIZER],
            },
        });
        // A manager of its own: what the instance's plan says of a Domain has no finalizer.
        let params = PatchParams::apply(FINALIZER_MANAGER).force();
        self.change_finalizers(domain, &params, &Patch::Apply(&patch))
            .await
    }

    /// Whoever put it there: a restored object has it from somebody else.
    async fn give_finalizer_back(&self, domain: &Domain) -> Result<(), Failure> {
        let mut rest = domain.finalizers().to_vec();
        rest.retain(|finalizer| finalizer != labels::DOMAIN_FINALIZER);
        let patch = serde_json::json!({
            "metadata": {
                "uid": domain.uid(),
                "resourceVersion": domain.resource_version(),
                "finalizers": rest,
            },
        });
        self.change_finalizers(domain, &PatchParams::default(), &Patch::Merge(&patch))
            .await
    }

    async fn change_finalizers(
        &self,
        domain: &Domain,
        params: &PatchParams,
        patch: &Patch<&serde_json::Value>,
    ) -> Result<(), Failure> {
        let name = domain.name_any();
        match self.api(domain).patch_metadata(&name, params, patch).await {
            Ok(answer) => {
                self.written
                    .note(&ObjectRef::from_obj(domain), &answer.metadata);
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(source) => Err(Failure::Finalizer {
                name,
                source: Box::new(source),
            }),
        }
    }
}

/// Field manager of the finalizer.
const FINALIZER_MANAGER: &str = "tutti-operator-domain";

fn observe(what: &str, source: kube::Error) -> Failure {
    Failure::Observe {
        what: what.to_owned(),
        source,
    }
}
