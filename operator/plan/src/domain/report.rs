//! What is said of a domain: each check a condition, in the order in which one follows on another;
//! `Ready` is the first that is not well. What comes after it waits, and says for what.

use crds::{
    Domain,
    condition::{self, Condition, Time},
    domain::{DnsRecord, DomainStatus},
};
use jiff::{SignedDuration, Timestamp};

use super::{
    Verdict, Wanted,
    answers::Look,
    caa::Certifier,
    pace,
    reach::Reach,
    verdicts::{remembered, verdicts},
};
use crate::health::{self, Finding, State, WARNINGS};

/// The name is one that a customer can have.
pub const NAME_VALID: &str = "NameValid";
/// It is held by this organization, and by no other.
pub const HOSTNAME_HELD: &str = "HostnameHeld";
/// The DNS proves that it is the organization's.
pub const OWNERSHIP_PROVEN: &str = "OwnershipProven";
/// It leads to the gateway.
pub const POINTS_HERE: &str = "PointsHere";
/// CAA records allow our authority.
pub const AUTHORITY_ALLOWED: &str = "AuthorityAllowed";
/// Our own request through it comes back to us.
pub const REACHABLE: &str = "Reachable";

/// The name of its challenge leads to a name that the platform may write.
pub const DELEGATED: &str = "ChallengeDelegated";
/// There is a certificate for it, and it is valid.
pub const CERTIFIED: &str = "Certified";
/// Every gateway presents it.
pub const SERVED: &str = "Served";

/// The checks before a certificate, in their order: which are needed depends on how the authority is
/// shown that the name is ours.
#[must_use]
pub fn checks(domain: &Domain, is_delegated: bool) -> Vec<&'static str> {
    let mut checks = vec![NAME_VALID, HOSTNAME_HELD, OWNERSHIP_PROVEN];
    if domain.spec.certificate_secret.is_some() {
        checks.push(POINTS_HERE);
    } else if domain.spec.is_dns01() {
        checks.push(AUTHORITY_ALLOWED);
        if is_delegated {
            checks.push(DELEGATED);
        }
        checks.push(POINTS_HERE);
    } else {
        checks.extend([POINTS_HERE, AUTHORITY_ALLOWED, REACHABLE]);
    }
    checks
}

/// Those of them that have to be well before an authority is asked: by DNS-01 a name is certified
/// before it is led here.
#[must_use]
pub fn before_order(domain: &Domain, is_delegated: bool) -> Vec<&'static str> {
    let mut checks = checks(domain, is_delegated);
    checks.retain(|check| !domain.spec.is_dns01() || *check != POINTS_HERE);
    checks
}

/// Who has the hostname.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// This Domain.
    This,
    /// Another Domain of this namespace, of that name.
    Sibling(String),
    /// Another organization.
    Another,
    /// Another organization had it, and may have it back until then.
    HeldBack(Timestamp),
}

/// What the report depends on beside the Domain itself.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The instance's own name under the platform's zone; `None` when there is no such instance, or
    /// it has no address yet.
    pub target: Option<&'a str>,
    /// UID of the organization.
    pub organization_uid: &'a str,
    /// The platform's zone.
    pub zone: &'a str,
    /// Who has the hostname.
    pub holder: Holder,
    /// What was seen just now; `None` when nobody looked in this pass.
    pub look: Option<&'a Look>,
    /// What became of our own request; `None` when none was made in this pass.
    pub reach: Option<&'a Reach>,
    /// Who shall certify it.
    pub certifier: Certifier<'a>,
    /// The name of its challenge, and where that has to lead, when a record of the platform's answers
    /// it.
    pub delegation: Option<(&'a str, &'a str)>,
    /// It is the platform's own: nobody has to prove it.
    pub is_platforms: bool,
}

/// The checks of the DNS, and what follows from them.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    checks: Vec<&'static str>,
    verdicts: Vec<(&'static str, Verdict)>,
    has_looked: bool,
    target: Option<String>,
    certifier: Option<String>,
    /// Whether the name is valid, and this Domain's.
    pub is_held: bool,
    /// Whether it is another Domain's of the organization.
    pub is_siblings: bool,
    /// Whether it is proven, too.
    pub is_proven: bool,
    /// Whether an authority may be asked.
    pub may_order: bool,
}

impl Checked {
    /// Whether somebody looked in this pass.
    #[must_use]
    pub fn has_looked(&self) -> bool {
        self.has_looked
    }

    /// When an authority was looked for last: in this pass, or before.
    #[must_use]
    pub fn looked_at(
        &self,
        authority: Option<&str>,
        status: &DomainStatus,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if self.has_looked {
            (self.certifier.as_deref() == authority).then_some(now)
        } else {
            looked_at(status, authority)
        }
    }
}

/// What the gateways were seen to present.
#[must_use]
pub fn served(hostname: &str, presents: Result<(), String>) -> Finding {
    match presents {
        Ok(()) => Finding::well(
            "Served",
            format!("every gateway presents the certificate of {hostname}"),
        ),
        Err(why) => Finding::on_its_way(
            "BeingServed",
            format!("not every gateway presents it yet: {why}"),
            None,
        ),
    }
}

/// What became of certificate and service, beside what the status says of them.
#[derive(Clone, Debug)]
pub struct Progress {
    /// How the certificate stands, see [`super::certificate::judge`].
    pub certified: Finding,
    /// Whether every gateway presents it; `None` when nobody asked in this pass.
    pub served: Option<Finding>,
}

/// The name that is looked up for a hostname: any one below a wildcard.
#[must_use]
pub fn asked(hostname: &str) -> String {
    match hostname.strip_prefix("*.") {
        Some(base) => format!("tutti-check.{base}"),
        None => hostname.to_owned(),
    }
}

/// Whether it is time to look: never looked, changed, asked to, or due; or the instance has another name
/// than the last look was made for.
#[must_use]
pub fn is_due(
    domain: &Domain,
    target: Option<&str>,
    look_now: Option<&str>,
    now: Timestamp,
) -> bool {
    let status = domain.status.as_ref();
    let known = status.and_then(|status| status.target.as_deref());
    let next = status.and_then(|status| status.next_look_at.as_ref());
    let seen = status.and_then(|status| status.observed_generation);
    let heeded = status.and_then(|status| status.looked_for.as_deref());
    next.is_none_or(|next| next.0 <= now)
        || seen != domain.metadata.generation
        || look_now.is_some_and(|wanted| heeded != Some(wanted))
        || target.is_some_and(|target| known != Some(target))
}

/// When an authority was looked for last; `None` when the last look was for another one, which may
/// be allowed what this one is not.
#[must_use]
pub fn looked_at(status: &DomainStatus, authority: Option<&str>) -> Option<Timestamp> {
    let is_the_same = status.looked_at_for.as_deref() == authority;
    let looked_at = status.looked_at.as_ref().filter(|_| is_the_same);
    looked_at.map(|at| at.0)
}

/// Makes the checks.
#[must_use]
pub fn check(domain: &Domain, facts: &Facts<'_>) -> Checked {
    let before = domain.status.clone().unwrap_or_default();
    let verdicts = verdicts(domain, facts, &before);
    let is_well = |check: &str| {
        verdicts
            .iter()
            .any(|(name, verdict)| *name == check && verdict.finding.state == State::Well)
    };
    let checks = checks(domain, facts.delegation.is_some());
    let before_order = before_order(domain, facts.delegation.is_some());
    Checked {
        has_looked: facts.look.is_some(),
        target: facts.target.map(str::to_owned),
        certifier: facts.certifier.name.map(str::to_owned),
        is_held: is_well(NAME_VALID) && is_well(HOSTNAME_HELD),
        is_siblings: matches!(facts.holder, Holder::Sibling(_)),
        is_proven: is_well(NAME_VALID) && is_well(HOSTNAME_HELD) && is_well(OWNERSHIP_PROVEN),
        may_order: before_order.iter().all(|check| is_well(check)),
        checks,
        verdicts,
    }
}

/// The status of a domain after a pass. `status` is what the pass left of it: order, answer,
/// certificate and failure are taken as they are.
#[must_use]
pub fn conclude(
    domain: &Domain,
    look_now: Option<&str>,
    checked: &Checked,
    progress: &Progress,
    status: DomainStatus,
    (now, chance): (Timestamp, f64),
) -> DomainStatus {
    let before = domain
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    let has_looked = checked.has_looked;
    let proven_at = (has_looked && checked.is_proven)
        .then_some(Time(now))
        .or_else(|| status.proven_at.clone());
    let routed = routed(domain, checked, proven_at.as_ref(), now);
    let conditions = conditions(domain, checked, &routed, progress, before, now);
    let ready = condition::find(&conditions, condition::READY);
    let was = condition::find(before, condition::READY);
    // Looks become quick again whenever what is awaited changes.
    let waiting_since = match (&status.waiting_since, ready, was) {
        (Some(since), Some(ready), Some(was)) if ready.reason == was.reason => since.clone(),
        _ => Time(now),
    };
    let next_look_at = if has_looked {
        let is_well = condition::is_true(&conditions, condition::READY);
        let next = pace::next_look(is_well, waiting_since.0, now, chance);
        Some(Time(next))
    } else {
        status.next_look_at.clone()
    };
    let mut records: Vec<DnsRecord> = Vec::new();
    let mut found: Vec<String> = Vec::new();
    for (_, verdict) in &checked.verdicts {
        for wanted in verdict.wanted.iter().map(record) {
            if !records.contains(&wanted) {
                records.push(wanted);
            }
        }
        for fact in &verdict.found {
            if !found.contains(fact) {
                found.push(fact.clone());
            }
        }
    }
    let looked_for = look_now.map(str::to_owned);
    // Who has to win the name first does not wait for a look.
    let is_told = has_looked || !checked.is_held;
    DomainStatus {
        observed_generation: domain.metadata.generation,
        conditions,
        records: if is_told { records } else { status.records },
        found: if has_looked { found } else { status.found },
        looked_at: has_looked.then_some(Time(now)).or(status.looked_at),
        target: if has_looked || checked.target.is_none() {
            checked.target.clone()
        } else {
            status.target
        },
        looked_at_for: if has_looked {
            checked.certifier.clone()
        } else {
            status.looked_at_for
        },
        next_look_at,
        looked_for: looked_for.or(status.looked_for),
        waiting_since: Some(waiting_since),
        proven_at,
        ..status
    }
}

/// A hostname that is not proven any more is served on for this long: a registrar's mistake should
/// not take a shop from the net. Documented in `docs/operations/domains.md`.
pub const GRACE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Whether the instance has a Route for it.
fn routed(domain: &Domain, checked: &Checked, proven_at: Option<&Time>, now: Timestamp) -> Finding {
    let hostname = &domain.spec.hostname;
    let is_held = checked
        .verdicts
        .iter()
        .any(|(check, verdict)| *check == HOSTNAME_HELD && verdict.finding.state == State::Well);
    if checked.is_proven {
        return Finding::well("Proven", format!("visitors of {hostname} are let in"));
    }
    if is_held && checked.target.is_none() {
        return Finding::stuck(
            "NoInstance",
            format!("there is no instance that visitors of {hostname} could be led to"),
        );
    }
    let ends = proven_at
        .filter(|_| is_held)
        .and_then(|at| at.0.checked_add(GRACE).ok());
    match ends {
        Some(ends) if ends > now => Finding::well(
            "ProofLost",
            format!(
                "{hostname} is not proven any more; visitors are let in until {}",
                super::certificate::minute(ends)
            ),
        ),
        Some(_) => Finding::stuck(
            "ProofLostForGood",
            format!("{hostname} was not proven for a week: visitors are not let in any more"),
        ),
        None => Finding::stuck(
            "NotProvenYet",
            format!("visitors of {hostname} are not let in before it is proven"),
        ),
    }
}

fn record(wanted: &Wanted) -> DnsRecord {
    DnsRecord {
        name: wanted.name.clone(),
        type_: wanted.kind.to_owned(),
        value: wanted.value.clone(),
        ttl: i64::from(wanted.ttl),
    }
}

/// Reasons that time alone may end.
pub const ON_THEIR_WAY: [&str; 8] = [
    "ProofNotYetEverywhere",
    "AuthoritiesDisagree",
    "AuthoritiesSilent",
    "DnssecBroken",
    "CachesAreStale",
    "DnsSilent",
    "BeingServed",
    "Waiting",
];

/// Every reason that a check of the DNS gives: what is remembered is one of these.
pub const REASONS: [&str; 39] = [
    "ProvenByCname",
    "ProvenByTxt",
    "NotProven",
    "ProofOfAnother",
    "ProofThroughAnother",
    "ProofNotYetEverywhere",
    "AuthoritiesDisagree",
    "AuthoritiesSilent",
    "NoInstance",
    "PointsHere",
    "ThroughAProxy",
    "NoRecord",
    "PointsElsewhere",
    "PointsPartlyElsewhere",
    "CachesAreStale",
    "ChainLoops",
    "ChainTooLong",
    "DnssecBroken",
    "DnsServerFailed",
    "DnsSilent",
    "NoCaa",
    "CaaAllows",
    "CaaForbids",
    "CaaCannotBeRead",
    "Reachable",
    "AnsweredByAProxy",
    "AnsweredByAnother",
    "RedirectedAway",
    "Unreachable",
    "AddressNotPublic",
    "HostnameHeld",
    "HostnameTaken",
    "HostnameHeldBack",
    "Delegated",
    "NotDelegated",
    "ThePlatformsOwn",
    "Served",
    "BeingServed",
    "Waiting",
];

/// Whatever else is to be said: a name that is taken for another one is seen too late by its owner.
fn beside_the_look_alike(ready: Finding, checked: &Checked) -> Finding {
    let mut findings = checked.verdicts.iter().map(|(_, verdict)| &verdict.finding);
    match findings.find(|it| it.reason == "NameLooksLikeAnother") {
        Some(name) => Finding {
            message: format!("{}; mind: {}", ready.message, name.message),
            ..ready
        },
        None => ready,
    }
}

fn conditions(
    domain: &Domain,
    checked: &Checked,
    routed: &Finding,
    progress: &Progress,
    before: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    let generation = domain.metadata.generation;
    let make = |type_: &str, status, finding: &Finding| {
        health::make(before, type_, status, finding, generation, now)
    };
    let truth = |finding: &Finding| {
        if finding.state == State::Well {
            "True"
        } else {
            "False"
        }
    };
    let served = progress.served.clone().unwrap_or_else(|| {
        // Of a name that another one holds what was seen is not true any more.
        let known = condition::find(before, SERVED).filter(|_| checked.is_held);
        known.map_or_else(
            || Finding::on_its_way("Waiting", "waits for a certificate", None),
            |known| remembered(known, before),
        )
    });
    let mut steps: Vec<(&'static str, Option<&Finding>)> = checked
        .checks
        .iter()
        .map(|check| {
            let verdict = checked.verdicts.iter().find(|(name, _)| name == check);
            (*check, verdict.map(|(_, verdict)| &verdict.finding))
        })
        .collect();
    steps.push((CERTIFIED, Some(&progress.certified)));
    steps.push((SERVED, Some(&served)));
    let blocking = steps.iter().find_map(|(step, finding)| match finding {
        Some(finding) if finding.state != State::Well => Some((*step, (*finding).clone())),
        Some(_) => None,
        None => Some((
            *step,
            Finding::on_its_way("Waiting", "waits for its turn", None),
        )),
    });
    let ready = blocking.as_ref().map_or_else(
        || {
            let message = format!("https://{} is served", domain.spec.hostname);
            let certified = &progress.certified;
            // Only a person does what is wanted then.
            if WARNINGS.contains(&certified.reason) {
                let message = format!("{message}; its certificate: {}", certified.message);
                Finding {
                    message,
                    ..certified.clone()
                }
            } else {
                Finding::well("Served", message)
            }
        },
        |(_, finding)| finding.clone(),
    );
    let ready = beside_the_look_alike(ready, checked);
    let mut all = vec![make(condition::READY, truth(&ready), &ready)];
    for (step, finding) in steps {
        all.push(match (finding, &blocking) {
            (Some(finding), _) => make(step, truth(finding), finding),
            (None, blocking) => {
                let for_what = blocking.as_ref().map_or("its turn", |(step, _)| *step);
                let waits = Finding::on_its_way("Waiting", format!("waits for {for_what}"), None);
                make(step, "Unknown", &waits)
            }
        });
        if step == OWNERSHIP_PROVEN {
            all.push(make(condition::ROUTED, truth(routed), routed));
        }
    }
    match ready.state {
        State::Stuck => all.push(make(condition::STALLED, "True", &ready)),
        State::OnItsWay(_) => all.push(make(condition::RECONCILING, "True", &ready)),
        State::Well | State::AtRest => {}
    }
    all
}
