//! What is true of an instance, in words: conditions, what its visitors are told, and when to
//! look again.
//!
//! Each part (secrets, storage, database, workload, routes) is judged by itself into a
//! [`Finding`]; `Ready` is the first that is not well, or the good news. A finding that waits says
//! until when; one that is stuck names the mend.

mod clients;
mod database;
mod domains;
mod jobs;
mod periodic;
mod pods;
pub use pods::wants_log;
mod routes;
mod storage;
mod workload;

use crds::{
    AppInstance,
    condition::{self, Condition, Time},
};
use jiff::Timestamp;

use crate::{DesiredState, Observed, Rejection};

/// Reasons of what wants somebody although all else may be well: said beside whatever is told, and as
/// warnings.
pub const WARNINGS: [&str; 5] = [
    "BroughtCertificateEndsSoon",
    "NameLooksLikeAnother",
    periodic::FAILED,
    periodic::NOT_STARTED,
    "RevocationNotDone",
];

/// How something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Well, on its way, or stuck.
    pub state: State,
    /// The fact, in CamelCase.
    pub reason: &'static str,
    /// For a person: the fact and, when stuck, the mend.
    pub message: String,
}

/// Well, on its way, or stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it was wished.
    Well,
    /// It will end by itself, well or not, by this time if one is known.
    OnItsWay(Option<Timestamp>),
    /// Not running, as its owner wished.
    AtRest,
    /// Nothing will change until somebody does something.
    Stuck,
}

impl Finding {
    /// The status of a condition that is true when all is well.
    fn status(&self) -> &'static str {
        if self.state == State::Well {
            "True"
        } else {
            "False"
        }
    }

    /// All is well.
    pub fn well(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            state: State::Well,
            reason,
            message: message.into(),
        }
    }

    /// It will end by itself, by `until` if that is known.
    pub fn on_its_way(
        reason: &'static str,
        message: impl Into<String>,
        until: Option<Timestamp>,
    ) -> Self {
        let mut message = message.into();
        if let Some(until) = until {
            message = format!(
                "{message}; it is given until {}",
                until.strftime("%H:%M:%S UTC")
            );
        }
        Self {
            state: State::OnItsWay(until),
            reason,
            message,
        }
    }

    /// Not as an app usually is, but as its owner wished: neither on its way nor in trouble.
    fn at_rest(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            state: State::AtRest,
            reason,
            message: message.into(),
        }
    }

    /// Somebody has to act.
    pub fn stuck(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            state: State::Stuck,
            reason,
            message: message.into(),
        }
    }
}

/// Something that the API server refused, and which part it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The condition that it belongs to, such as [`condition::STORAGE_READY`].
    pub part: &'static str,
    /// The fact, in CamelCase.
    pub reason: &'static str,
    /// The fact in words, and the mend.
    pub message: String,
}

/// What to write into status, and when to look again.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// All conditions, `Ready` first.
    pub conditions: Vec<Condition>,
    /// What the gateway tells visitors: the condition `BackendReady` of the instance's Routes.
    pub backend: Finding,
    /// When the report changes by itself.
    pub look_again: Option<Timestamp>,
}

/// Names of our parts in the order in which trouble is reported: what is further down usually
/// suffers from what is further up.
const PARTS: [&str; 5] = [
    condition::SECRETS_READY,
    condition::STORAGE_READY,
    condition::DATABASE_READY,
    condition::WORKLOAD_READY,
    condition::ROUTE_READY,
];

/// The reason of a volume that stays as small as it is: the app goes on with it.
pub const STORAGE_CANNOT_GROW: &str = "StorageCannotGrow";

/// Judges an instance.
#[must_use]
pub fn report(
    instance: &AppInstance,
    plan: Result<&DesiredState, &Rejection>,
    observed: &Observed,
    refusals: &[Refusal],
    now: Timestamp,
) -> Report {
    let mut findings: Vec<(&'static str, Finding)> = Vec::new();
    let mut kept = Vec::new();
    let ready = match plan {
        Err(rejection) => {
            let why = refused(rejection);
            kept = parts_before(instance, observed, rejection, &why, now);
            why
        }
        Ok(desired) => {
            findings = judge_parts(instance, desired, observed, refusals, now);
            ready(instance, desired, &findings)
        }
    };
    let backend = backend(instance, &ready, &findings, observed);
    let look_again = findings
        .iter()
        .filter_map(|(_, finding)| match finding.state {
            State::OnItsWay(until) => until,
            _ => None,
        })
        .filter(|until| *until > now)
        .min();
    let mut conditions = conditions(instance, &ready, &findings, now);
    conditions.splice(1..1, kept);
    if let Some(domains) = domains::judge(instance, observed) {
        conditions.push(condition(instance, condition::DOMAINS_READY, &domains, now));
    }
    if let Some(jobs) = periodic::judge(instance, observed) {
        conditions.push(condition(
            instance,
            condition::PERIODIC_JOBS_READY,
            &jobs,
            now,
        ));
    }
    Report {
        conditions,
        backend,
        look_again,
    }
}

/// A wish that is not granted waits for a person, but for one whose organization is being made.
fn refused(rejection: &Rejection) -> Finding {
    let (reason, message) = (rejection.reason(), rejection.to_string());
    match rejection {
        Rejection::OrganizationNotFenced { .. } => Finding::on_its_way(reason, message, None),
        _ => Finding::stuck(reason, message),
    }
}

/// What was said of the parts: what runs is left as it is while a wish cannot be granted, and these
/// speak of an older generation. Of what answers no more they say so.
fn parts_before(
    instance: &AppInstance,
    observed: &Observed,
    rejection: &Rejection,
    why: &Finding,
    now: Timestamp,
) -> Vec<Condition> {
    let before = said_before(instance);
    let lost = match rejection {
        Rejection::SecretMissing { .. } => Some(condition::SECRETS_READY),
        Rejection::VolumeMissing { .. } => Some(condition::STORAGE_READY),
        _ => None,
    };
    let answers = |part: &str| match part {
        condition::DATABASE_READY => observed.database.as_ref().is_some_and(|d| d.ready > 0),
        condition::WORKLOAD_READY => observed.workload.as_ref().is_some_and(|w| w.ready > 0),
        _ => true,
    };
    before
        .iter()
        .filter(|condition| PARTS.contains(&condition.type_.as_str()))
        .map(|known| {
            if lost == Some(known.type_.as_str()) {
                return condition(instance, &known.type_, why, now);
            }
            if known.status != "True" || answers(&known.type_) {
                return known.clone();
            }
            let silent = Finding::stuck(
                "NotLookedAfter",
                "it answers no more, and nothing is mended while the wish cannot be granted: see \
                 Ready",
            );
            let generation = instance.metadata.generation;
            make(before, &known.type_, "False", &silent, generation, now)
        })
        .collect()
}

fn judge_parts(
    instance: &AppInstance,
    desired: &DesiredState,
    observed: &Observed,
    refusals: &[Refusal],
    now: Timestamp,
) -> Vec<(&'static str, Finding)> {
    let judged = [
        (condition::SECRETS_READY, judge_secrets(desired, observed)),
        (
            condition::STORAGE_READY,
            storage::judge(instance, desired, observed),
        ),
        (
            condition::DATABASE_READY,
            database::judge(instance, desired, observed, now),
        ),
        (
            condition::WORKLOAD_READY,
            workload::judge(instance, desired, observed, now),
        ),
        (
            condition::ROUTE_READY,
            Some(routes::judge(desired, observed)),
        ),
    ];
    PARTS
        .iter()
        .filter_map(|part| {
            if let Some(refusal) = refusals.iter().find(|refusal| refusal.part == *part) {
                return Some((
                    *part,
                    Finding::stuck(refusal.reason, refusal.message.clone()),
                ));
            }
            let (_, finding) = judged.iter().find(|(name, _)| name == part)?;
            finding.clone().map(|finding| (*part, finding))
        })
        .collect()
}

/// Our own, and the one that idm makes.
fn judge_secrets(desired: &DesiredState, observed: &Observed) -> Option<Finding> {
    match generated(desired, observed) {
        Some(finding) if finding.state != State::Well => Some(finding),
        well => clients::judge(desired, observed).or(well),
    }
}

fn generated(desired: &DesiredState, observed: &Observed) -> Option<Finding> {
    if desired.secrets.is_empty() {
        return None;
    }
    // Lost ones are a rejection: what is missing here was never made.
    let missing = desired.secrets.iter().find_map(|secret| {
        let name = secret.metadata.name.as_ref()?;
        (!observed.secrets.contains(name)).then_some(name)
    });
    Some(match missing {
        Some(name) => Finding::on_its_way(
            "SecretBeingGenerated",
            format!("secret {name} is being generated"),
            None,
        ),
        None => Finding::well(
            "Generated",
            format!(
                "{} generated, and kept",
                count(desired.secrets.len(), "secret")
            ),
        ),
    })
}

fn ready(
    instance: &AppInstance,
    desired: &DesiredState,
    findings: &[(&'static str, Finding)],
) -> Finding {
    let mut stuck = findings.iter().filter(|(_, f)| f.state == State::Stuck);
    if let Some((_, stuck)) =
        stuck.find(|(part, finding)| !instance.spec.stopped || keeps_it_down(part, finding))
    {
        return stuck.clone();
    }
    if instance.spec.stopped {
        let stopping = findings
            .iter()
            .find(|(_, f)| matches!(f.state, State::OnItsWay(_)));
        return stopping.map_or_else(
            || {
                Finding::at_rest(
                    "Stopped",
                    "stopped on request; set spec.stopped to false to start it",
                )
            },
            |(_, finding)| finding.clone(),
        );
    }
    if let Some((_, waiting)) = findings.iter().find(|(_, f)| f.state != State::Well) {
        if instance.spec.paused && waiting.state != State::AtRest {
            return Finding::at_rest(
                "Paused",
                format!(
                    "the operator leaves its objects alone until spec.paused is false; as they \
                     stand: {}",
                    waiting.message
                ),
            );
        }
        return waiting.clone();
    }
    let version = desired.version.as_deref().unwrap_or_default();
    Finding::well(
        "Running",
        format!("{} {version} answers at {}", instance.spec.app, desired.url),
    )
}

/// Whether a part that is stuck keeps the app from answering, or only one wish from coming true.
fn keeps_it_down(part: &str, finding: &Finding) -> bool {
    part != condition::ROUTE_READY && finding.reason != STORAGE_CANNOT_GROW
}

/// What visitors are told. It leaves out log lines, object names and limits: those are for the
/// owner, who reads them on the object.
fn backend(
    instance: &AppInstance,
    ready: &Finding,
    findings: &[(&'static str, Finding)],
    observed: &Observed,
) -> Finding {
    let answers = observed
        .workload
        .as_ref()
        .is_some_and(|workload| workload.ready > 0);
    if instance.spec.stopped {
        return Finding::at_rest("Stopped", "This site has been stopped by its owner.");
    }
    if answers {
        return Finding::well("Answering", "Requests are answered.");
    }
    match ready.state {
        // Without findings the wish as a whole was refused.
        State::Stuck
            if findings.is_empty()
                || findings.iter().any(|(part, finding)| {
                    finding.state == State::Stuck && keeps_it_down(part, finding)
                }) =>
        {
            Finding::stuck(
                ready.reason,
                "This site cannot start at the moment. Its owner finds the reason on the object.",
            )
        }
        State::AtRest | State::Stuck if instance.spec.paused => {
            Finding::at_rest("Paused", "This site is under maintenance.")
        }
        // What is stuck beside it is one wish; the app rests.
        State::AtRest | State::Stuck
            if ready.state == State::AtRest
                || findings.iter().any(|(_, f)| f.state == State::AtRest) =>
        {
            Finding::at_rest("Stopped", "This site has been stopped by its owner.")
        }
        State::Stuck => {
            let waiting = findings
                .iter()
                .find(|(_, finding)| matches!(finding.state, State::OnItsWay(_)));
            let reason = waiting.map_or("Starting", |(_, finding)| finding.reason);
            Finding::on_its_way("Starting", progress(reason), None)
        }
        _ => Finding::on_its_way("Starting", progress(ready.reason), None),
    }
}

/// How far a start is, for visitors.
fn progress(reason: &str) -> &'static str {
    match reason {
        "SecretBeingGenerated"
        | clients::NOT_REGISTERED
        | "VolumeBeingMade"
        | "WaitingForVolume" => "This site is being set up.",
        "DatabaseStarting" => "This site is starting: its database comes first.",
        "Installing" => "This site is being installed. It takes less than a minute, usually.",
        "Upgrading" => "This site is being upgraded.",
        "HostnameBeingClaimed" => "This site is getting its address.",
        _ => "This site is starting.",
    }
}

fn conditions(
    instance: &AppInstance,
    ready: &Finding,
    findings: &[(&'static str, Finding)],
    now: Timestamp,
) -> Vec<Condition> {
    let mut conditions = vec![condition(instance, condition::READY, ready, now)];
    conditions.extend(
        findings
            .iter()
            .map(|(part, finding)| condition(instance, part, finding, now)),
    );
    // kstatus reads these two when they are there, so that they are only there when true. An
    // instance that was stopped on request is neither.
    match ready.state {
        State::OnItsWay(_) => conditions.push(truth(instance, condition::RECONCILING, ready, now)),
        State::Stuck => conditions.push(truth(instance, condition::STALLED, ready, now)),
        State::Well | State::AtRest => {}
    }
    conditions
}

fn condition(instance: &AppInstance, type_: &str, finding: &Finding, now: Timestamp) -> Condition {
    let generation = instance.metadata.generation;
    let status = finding.status();
    make(
        said_before(instance),
        type_,
        status,
        finding,
        generation,
        now,
    )
}

fn truth(instance: &AppInstance, type_: &str, finding: &Finding, now: Timestamp) -> Condition {
    let generation = instance.metadata.generation;
    make(
        said_before(instance),
        type_,
        "True",
        finding,
        generation,
        now,
    )
}

/// The conditions that the instance has now.
fn said_before(instance: &AppInstance) -> &[Condition] {
    let status = instance.status.as_ref();
    status.map(|s| s.conditions.as_slice()).unwrap_or_default()
}

/// `Ready`, with `Reconciling` or `Stalled` beside it where that is so, for an object that has no
/// parts.
#[must_use]
pub fn summary(
    previous: &[Condition],
    finding: &Finding,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let make = |type_, status| make(previous, type_, status, finding, generation, now);
    match finding.state {
        State::Well => vec![make(condition::READY, "True")],
        State::AtRest => vec![make(condition::READY, "False")],
        State::OnItsWay(_) => vec![
            make(condition::READY, "False"),
            make(condition::RECONCILING, "True"),
        ],
        State::Stuck => vec![
            make(condition::READY, "False"),
            make(condition::STALLED, "True"),
        ],
    }
}

/// What stands on a Route of an instance: `BackendReady`, and `Ready`, which is true when the
/// hostname is held, too.
#[must_use]
pub fn route(known: &[Condition], backend: &Finding, now: Timestamp) -> [Condition; 2] {
    let accepted = condition::find(known, condition::ACCEPTED);
    let ready = match accepted {
        // Until that is decided the backend's news are news enough.
        None if backend.state == State::Well => routes::being_claimed("its hostname"),
        None => backend.clone(),
        Some(accepted) if accepted.status != "True" => routes::taken(accepted),
        Some(_) => backend.clone(),
    };
    let make = |type_, finding: &Finding| make(known, type_, finding.status(), finding, None, now);
    [
        make(condition::READY, &ready),
        make(condition::BACKEND_READY, backend),
    ]
}

/// A condition whose transition time is kept while its status stays.
#[must_use]
pub fn make(
    previous: &[Condition],
    type_: &str,
    status: &str,
    finding: &Finding,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    let since = condition::find(previous, type_)
        .filter(|before| before.status == status)
        .map_or(Time(now), |before| before.last_transition_time.clone());
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: finding.reason.to_owned(),
        message: finding.message.clone(),
        observed_generation: generation,
        last_transition_time: since,
    }
}

/// `1 secret`, `2 secrets`.
fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// When something that was created then is given up.
fn deadline(created: Option<Timestamp>, seconds: i64) -> Option<Timestamp> {
    created.and_then(|created| {
        created
            .checked_add(jiff::SignedDuration::from_secs(seconds))
            .ok()
    })
}
