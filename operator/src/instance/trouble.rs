//! Trouble: what Kubernetes tells only on request. The last line of a crashing container's log,
//! and the event that says why a StatefulSet or Job has no pod.
//!
//! Asked only while something is wrong, and not again before [`AGAIN`] has passed.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api,
    api::{ListParams, LogParams},
};
use plan::{Observed, context::PodSeen, names};
use regex::Regex;

use super::Instances;
use crate::cache::{InstanceKey, Kind};

/// How long what was found out holds.
const AGAIN: Duration = Duration::from_secs(10);
/// A StatefulSet or Job makes its pod within this time, unless something is wrong.
const POD_IS_MADE_WITHIN: Duration = Duration::from_secs(3);
/// A log line longer than this says no more in a condition.
const LONGEST_LINE: usize = 200;

/// After how many restarts a log was read, and its last line.
type LastLine = (i32, Option<String>);

/// What was found out, and when.
#[derive(Default)]
pub struct Troubles {
    /// By pod: an instance that is well has none, and costs its passes nothing.
    logs: Mutex<HashMap<InstanceKey, HashMap<String, LastLine>>>,
    podless: Mutex<HashMap<InstanceKey, HashMap<Owner, Podless>>>,
}

/// Kind and name of what makes a pod.
type Owner = (Kind, String);

struct Podless {
    since: Instant,
    asked: Option<Instant>,
    failure: Option<String>,
    /// It was given up: no more will be said of it.
    is_over: bool,
}

impl Podless {
    fn since_now() -> Self {
        Self {
            since: Instant::now(),
            asked: None,
            failure: None,
            is_over: false,
        }
    }

    /// When there may be more to hear of it.
    fn look_again(&self) -> Option<Duration> {
        match self.asked {
            None => Some(POD_IS_MADE_WITHIN),
            Some(_) if self.is_over => None,
            Some(_) => Some(AGAIN),
        }
    }

    fn is_to_be_asked_about(&self) -> bool {
        match self.asked {
            None => self.is_over || self.since.elapsed() >= POD_IS_MADE_WITHIN,
            Some(asked) => !self.is_over && asked.elapsed() >= AGAIN,
        }
    }
}

impl Troubles {
    /// Adds to what was seen what has to be asked for.
    pub async fn look(&self, operator: &Instances, key: &InstanceKey, observed: &mut Observed) {
        for pod in &mut observed.pods {
            if plan::health::wants_log(pod) {
                pod.last_log_line = self.last_line(operator, key, pod).await;
            }
        }
        self.forget_pods_but(key, &observed.pods);
        self.look_for_missing_pods(operator, key, observed).await;
    }

    /// When to look again: Kubernetes sends no event of its own for these.
    pub fn look_again(&self, key: &InstanceKey) -> Option<Duration> {
        let podless = self.podless.lock().unwrap_or_else(PoisonError::into_inner);
        let own = podless.get(key)?;
        own.values().filter_map(Podless::look_again).min()
    }

    /// Forgets an instance that is gone.
    pub fn forget(&self, key: &InstanceKey) {
        self.podless
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
        self.forget_pods_but(key, &[]);
    }

    /// Forgets the logs of this instance's pods that are gone.
    fn forget_pods_but(&self, key: &InstanceKey, pods: &[PodSeen]) {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(own) = logs.get_mut(key) else {
            return;
        };
        own.retain(|name, _| pods.iter().any(|pod| pod.name == *name));
        if own.is_empty() {
            logs.remove(key);
        }
    }

    async fn last_line(
        &self,
        operator: &Instances,
        key: &InstanceKey,
        pod: &PodSeen,
    ) -> Option<String> {
        {
            let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((restarts, line)) = logs.get(key).and_then(|own| own.get(&pod.name))
                && *restarts == pod.restarts
            {
                return line.clone();
            }
        }
        let api: Api<Pod> = Api::namespaced(operator.client.clone(), &key.namespace);
        let params = LogParams {
            previous: pod.waiting.is_some() && pod.restarts > 0,
            tail_lines: Some(5),
            limit_bytes: Some(4096),
            ..LogParams::default()
        };
        let log = match api.logs(&pod.name, &params).await {
            Ok(log) => log,
            Err(error) => {
                tracing::debug!(pod = pod.name, %error, "its log cannot be read");
                return None;
            }
        };
        let line = log
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .map(presentable);
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        logs.entry(key.clone())
            .or_default()
            .insert(pod.name.clone(), (pod.restarts, line.clone()));
        line
    }

    /// A StatefulSet or Job says only in events why it has no pod.
    async fn look_for_missing_pods(
        &self,
        operator: &Instances,
        key: &InstanceKey,
        observed: &mut Observed,
    ) {
        let owners = without_pod(key, observed);
        self.forget_owners_but(key, &owners);
        for (owner, is_over) in owners {
            let failure = self.why_podless(operator, key, &owner, is_over).await;
            let (kind, name) = owner;
            if kind != Kind::Job {
                if let Some(database) = &mut observed.database {
                    database.failure = failure;
                }
            } else if let Some(job) = observed.jobs.get_mut(&name) {
                job.podless = failure;
            } else if let Some(run) = observed.runs.get_mut(&name) {
                run.job.podless = failure;
            }
        }
    }

    /// Forgets what has its pod by now, or is gone.
    fn forget_owners_but(&self, key: &InstanceKey, owners: &[(Owner, bool)]) {
        let mut podless = self.podless.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(own) = podless.get_mut(key) else {
            return;
        };
        own.retain(|owner, _| owners.iter().any(|(other, _)| other == owner));
        if own.is_empty() {
            podless.remove(key);
        }
    }

    /// What the events say, or said a moment ago.
    async fn why_podless(
        &self,
        operator: &Instances,
        key: &InstanceKey,
        owner: &Owner,
        is_over: bool,
    ) -> Option<String> {
        {
            let mut podless = self.podless.lock().unwrap_or_else(PoisonError::into_inner);
            let own = podless.entry(key.clone()).or_default();
            let trouble = own.entry(owner.clone()).or_insert_with(Podless::since_now);
            trouble.is_over = is_over;
            if !trouble.is_to_be_asked_about() {
                return trouble.failure.clone();
            }
            trouble.asked = Some(Instant::now());
        }
        let api: Api<Event> = Api::namespaced(operator.client.clone(), &key.namespace);
        let (kind, name) = owner;
        let fields =
            format!("involvedObject.kind={kind:?},involvedObject.name={name},reason=FailedCreate");
        let answer = api.list(&ListParams::default().fields(&fields)).await;
        let mut podless = self.podless.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = podless.get_mut(key).and_then(|own| own.get_mut(owner))?;
        match answer {
            Ok(events) => {
                let last = events.items.into_iter().next_back();
                trouble.failure = last.and_then(|event| event.message);
            }
            Err(error) => {
                tracing::debug!(%error, "events cannot be listed");
                if is_over {
                    trouble.asked = None;
                }
            }
        }
        trouble.failure.clone()
    }
}

/// What should have a pod, and has none: the database, else a job that has not ended; and runs of
/// periodic jobs. With each, whether it was given up.
fn without_pod(key: &InstanceKey, observed: &Observed) -> Vec<(Owner, bool)> {
    let has_pod = |job: &str| observed.pods.iter().any(|pod| pod.is_of_job(job));
    let mut owners = Vec::new();
    if let Some(database) = &observed.database
        && database.wished > 0
        && database.replicas == 0
    {
        owners.push(((Kind::StatefulSet, names::database(&key.name)), false));
    } else if let Some((name, _)) = observed
        .jobs
        .iter()
        .find(|(name, job)| !job.succeeded && job.failed.is_none() && !has_pod(name))
    {
        owners.push(((Kind::Job, name.clone()), false));
    }
    let runs = observed.runs.iter();
    owners.extend(
        runs.filter(|(name, run)| run.is_podless() && !has_pod(name))
            .map(|(name, run)| ((Kind::Job, name.clone()), run.job.failed.is_some())),
    );
    owners
}

/// A value that is called a secret: quoted, or up to the next blank.
const NAMED_SECRET: &str = r#"(?i)((?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|credentials?)[\w-]*["']?(?:\s*(?:=>|[=:])\s*|\s+is\s+))(?:"[^"]*"?|'[^']*'?|[^\s,;)}]+)"#;
/// The same without a word between: quoted, or it is prose.
const QUOTED_SECRET: &str = r#"(?i)((?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|credentials?)\s+)(?:"[^"]*"?|'[^']*'?)"#;
/// What follows a scheme of HTTP authentication.
const AUTHORIZATION: &str = r"(?i)\b((?:bearer|basic)\s+)[\w.~+/=-]{8,}";
/// The password in an address.
const URL_PASSWORD: &str = r"(://[^\s/:@]*:)[^\s/@]+@";

/// A log line as it may stand in a status: short, printable, and without what looks like a secret.
fn presentable(line: &str) -> String {
    static SECRETS: LazyLock<Option<Vec<Regex>>> = LazyLock::new(|| {
        let patterns = [NAMED_SECRET, QUOTED_SECRET, AUTHORIZATION, URL_PASSWORD];
        patterns.iter().map(|it| Regex::new(it).ok()).collect()
    });
    // Rather no line than one in which nobody looked for secrets.
    let Some(secrets) = SECRETS.as_ref() else {
        return String::new();
    };
    let mut line: String = line.trim().chars().filter(|c| !c.is_control()).collect();
    for secret in secrets {
        line = secret.replace_all(&line, "${1}***").into_owned();
    }
    match line.char_indices().nth(LONGEST_LINE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_does_not_reach_a_status() {
        for (line, shown) in [
            (
                "FATAL: DB_PASSWORD=hunter2 refused",
                "FATAL: DB_PASSWORD=*** refused",
            ),
            ("token: abc", "token: ***"),
            (
                r#"{"password": "x y", "a": 1}"#,
                r#"{"password": ***, "a": 1}"#,
            ),
            ("the password is hunter2", "the password is ***"),
            (
                "Authorization: Bearer abcdef.ghijkl",
                "Authorization: Bearer ***",
            ),
            ("mysql://shop:hunter2@db/shop", "mysql://shop:***db/shop"),
            ("redis://:hunter2@cache/0", "redis://:***cache/0"),
            ("using password 'hunter2'", "using password ***"),
            ("[pwd => 'a b']", "[pwd => ***]"),
            (
                "the password of the user is wrong",
                "the password of the user is wrong",
            ),
            ("plain words", "plain words"),
        ] {
            assert_eq!(presentable(line), shown);
        }
    }

    #[test]
    fn a_long_line_is_cut_at_a_character() {
        let line = "ä".repeat(500);
        assert_eq!(presentable(&line).chars().count(), LONGEST_LINE + 1);
    }
}
