//! What Domains tell the gateway: what a certificate authority is answered (RFC 8555 §8.3), and which
//! hostnames are known but not let in. And what the operator is answered when it asks through a
//! hostname whether it leads here.

use std::{collections::HashMap, sync::Arc};

use crds::{
    Domain,
    condition::{self, ROUTED},
    domain::{CHALLENGE_PATH, ChallengeAnswer, PREFLIGHT, preflight_answer},
};
use futures_util::StreamExt;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher},
};
use service::Check;

use crate::{
    gateway::Gateway,
    watch::{Changed, Pauses, follow},
};

/// Longest token that is answered.
const LONGEST: usize = 256;
/// The operator's reason for a hostname that was let in, and is not any more.
const LOST: &str = "ProofLostForGood";
/// And for one that may be proven, and that no instance answers.
const NO_INSTANCE: &str = "NoInstance";

/// What is kept of a Domain; nothing of one that is served and has no order under way.
#[derive(Clone, Debug)]
pub struct Told {
    hostname: Box<str>,
    answer: Option<ChallengeAnswer>,
    closed: Option<Closed>,
}

/// Why a hostname that is known is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Nobody has proven it yet.
    NotYet,
    /// It is not proven any more, for longer than is waited.
    Lost,
}

impl Told {
    fn of(domain: Domain) -> Option<Self> {
        let status = domain.status.unwrap_or_default();
        let closed = condition::find(&status.conditions, ROUTED)
            .filter(|routed| routed.status != "True" && routed.reason != NO_INSTANCE)
            .map(|routed| match routed.reason.as_str() {
                LOST => Closed::Lost,
                _ => Closed::NotYet,
            });
        let told = Self {
            hostname: domain.spec.hostname.into(),
            answer: status.answer,
            closed,
        };
        (told.answer.is_some() || told.closed.is_some()).then_some(told)
    }
}

/// By hostname.
#[derive(Debug, Default)]
pub struct Domains(HashMap<Box<str>, Arc<Told>>);

impl Domains {
    /// From what stands on the Domains. Of several for one hostname the one that is answered for
    /// counts.
    pub fn build<'a>(told: impl Iterator<Item = &'a Arc<Told>>) -> Self {
        let mut domains: HashMap<Box<str>, Arc<Told>> = HashMap::new();
        for told in told {
            let known = domains.get(&told.hostname);
            if known.is_none_or(|known| known.answer.is_none()) {
                domains.insert(told.hostname.clone(), Arc::clone(told));
            }
        }
        Self(domains)
    }

    /// The answer for a path of a host; `None` when it is nobody's question.
    #[must_use]
    pub fn answer(&self, host: &str, path: &str, zone: &str) -> Option<String> {
        let token = path.strip_prefix(CHALLENGE_PATH)?;
        let known = self.0.get(host).and_then(|told| told.answer.as_ref());
        if let Some(known) = known.filter(|known| known.token == token) {
            return Some(known.key_authorization.clone());
        }
        let is_plain = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
        // An authority's token that begins like this was found before.
        (token.starts_with(PREFLIGHT) && token.len() <= LONGEST && token.bytes().all(is_plain))
            .then(|| preflight_answer(token, zone))
    }

    /// Why a host is not let in; `None` when it is not known at all.
    #[must_use]
    pub fn closed(&self, host: &str) -> Option<Closed> {
        let above = || host.split_once('.').map(|(_, above)| format!("*.{above}"));
        let told = self.0.get(host);
        told.or_else(|| self.0.get(above()?.as_str()))?.closed
    }
}

/// Follows all Domains for as long as the program runs; sets the check after the first whole list.
pub async fn watch(client: Client, gateway: Arc<Gateway>, check: Check) {
    let events = watcher(Api::<Domain>::all(client), watcher::Config::default())
        .backoff(Pauses::default())
        .boxed();
    let keep = |domain: Domain, _: Option<&Arc<Told>>| Told::of(domain).map(Arc::new);
    let report = |known: &std::collections::BTreeMap<_, Arc<Told>>, _: Changed<'_>| {
        gateway
            .domains
            .store(Arc::new(Domains::build(known.values())));
        check.set(true);
    };
    let health = gateway.metrics.watch("Domain");
    follow("Domain", events, health, keep, report).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(hostname: &str, status: serde_json::Value) -> Option<Arc<Told>> {
        let domain = serde_json::from_value(json!({
            "apiVersion": "tutti.dev/v1alpha1", "kind": "Domain",
            "metadata": {"name": "x", "namespace": "o"},
            "spec": {"hostname": hostname, "instance": "shop"},
            "status": status,
        }));
        Told::of(domain.unwrap()).map(Arc::new)
    }

    fn routed(status: &str, reason: &str) -> serde_json::Value {
        json!({"conditions": [{
            "type": "Routed", "status": status, "reason": reason, "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]})
    }

    fn domains() -> Domains {
        let answer = json!({"answer": {"token": "abc_DEF", "keyAuthorization": "abc_DEF.thumb"}});
        let all = [
            told("www.acme.test", answer),
            told("new.acme.test", routed("False", "NotProvenYet")),
            told("old.acme.test", routed("False", LOST)),
            told("shop.acme.test", routed("True", "Proven")),
            told("idle.acme.test", routed("False", NO_INSTANCE)),
            told("*.wild.test", routed("False", "NotProvenYet")),
        ];
        Domains::build(all.iter().flatten())
    }

    fn answer(host: &str, path: &str) -> Option<String> {
        domains().answer(host, path, "apps.example")
    }

    #[test]
    fn a_token_is_answered_for_its_own_hostname_only() {
        let path = "/.well-known/acme-challenge/abc_DEF";
        assert_eq!(
            answer("www.acme.test", path).as_deref(),
            Some("abc_DEF.thumb")
        );
        assert_eq!(answer("other.test", path), None);
        assert_eq!(
            answer("www.acme.test", "/.well-known/acme-challenge/x"),
            None
        );
        assert_eq!(answer("www.acme.test", "/abc_DEF"), None);
    }

    #[test]
    fn the_operators_question_is_answered_for_every_hostname_and_echoes_nothing_else() {
        let asks = |token: &str| answer("any.test", &format!("{CHALLENGE_PATH}{token}"));
        assert_eq!(
            asks("tutti-0a1b").as_deref(),
            Some("tutti-0a1b.apps.example")
        );
        assert_eq!(asks("tutti-<script>"), None);
        assert_eq!(asks(&format!("tutti-{}", "a".repeat(300))), None);
        assert_eq!(asks("other"), None);
    }

    #[test]
    fn a_hostname_that_is_known_and_not_let_in_says_which_it_is() {
        let domains = domains();
        assert_eq!(domains.closed("new.acme.test"), Some(Closed::NotYet));
        assert_eq!(domains.closed("old.acme.test"), Some(Closed::Lost));
        assert_eq!(domains.closed("shop.acme.test"), None);
        assert_eq!(domains.closed("www.acme.test"), None);
        // It may be proven; nothing is there.
        assert_eq!(domains.closed("idle.acme.test"), None);
        assert_eq!(domains.closed("unknown.test"), None);
        // Also below a wildcard, where it has no Domain of its own.
        assert_eq!(domains.closed("any.wild.test"), Some(Closed::NotYet));
        assert_eq!(domains.closed("far.any.wild.test"), None);
        assert_eq!(domains.closed("wild.test"), None);
    }
}
