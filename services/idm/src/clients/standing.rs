//! How an application stands, as the condition of its SsoClient says it. Pure.

use crds::condition::{self, Condition, READY, Time};
use jiff::Timestamp;

/// How an application stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Ready,
    /// Its namespace is of no organization that we know.
    NoOrganization(String),
    /// There is a Secret of the name, and it is somebody else's.
    SecretTaken(String),
    /// The API server does not take its Secret, in its words.
    SecretRefused(String),
}

impl Standing {
    fn reason(&self) -> &'static str {
        match self {
            Self::Ready => "Registered",
            Self::NoOrganization(_) => "NoOrganization",
            Self::SecretTaken(_) => "SecretTaken",
            Self::SecretRefused(_) => "SecretRefused",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Ready => "people can sign in by it".to_owned(),
            Self::NoOrganization(namespace) => format!(
                "namespace {namespace} is of no organization; write the SsoClient into the namespace of one"
            ),
            Self::SecretTaken(secret) => format!(
                "secret: there is a Secret {secret} that is not of this SsoClient; remove it, or make an SsoClient with another name in secret"
            ),
            Self::SecretRefused(words) => format!(
                "secret: the API server does not let idm write it, and is asked again every five seconds: {words}"
            ),
        }
    }

    /// The condition `Ready`; its transition time is kept while its status stays.
    #[must_use]
    pub fn condition(
        &self,
        before: &[Condition],
        generation: Option<i64>,
        now: Timestamp,
    ) -> Condition {
        let status = if *self == Self::Ready {
            "True"
        } else {
            "False"
        };
        let since = condition::find(before, READY).filter(|before| before.status == status);
        Condition {
            type_: READY.to_owned(),
            status: status.to_owned(),
            reason: self.reason().to_owned(),
            message: self.message(),
            observed_generation: generation,
            last_transition_time: since
                .map_or(Time(now), |before| before.last_transition_time.clone()),
        }
    }
}
