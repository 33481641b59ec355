//! Metrics: what operators of the platform count. Everything is below `idm_`.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// Every metric of idm.
#[derive(Clone)]
pub struct Metrics {
    answers: Family<Answer, Counter>,
    duration: Histogram,
    sign_ins: Family<Outcome, Counter>,
    mails: Family<Outcome, Counter>,
    comers: Family<Outcome, Counter>,
    database: Gauge,
}

impl Metrics {
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("idm");
        let metrics = Self {
            answers: Family::default(),
            // A password takes some hundredths of a second.
            duration: Histogram::new([0.002, 0.01, 0.05, 0.2, 1.0, 5.0]),
            sign_ins: Family::default(),
            mails: Family::default(),
            comers: Family::default(),
            database: Gauge::default(),
        };
        let Self {
            answers,
            duration,
            sign_ins,
            mails,
            comers,
            database,
        } = metrics.clone();
        registry.register(
            "requests",
            "Requests answered, by route and status",
            answers,
        );
        registry.register("request_duration_seconds", "Time to an answer", duration);
        registry.register(
            "sign_ins",
            "Tries to sign in, by what became of them",
            sign_ins,
        );
        registry.register(
            "mails",
            "Tries to deliver a mail, by what became of them",
            mails,
        );
        registry.register(
            "comers",
            "Answers to the gateway's question who comes, by what became of them",
            comers,
        );
        registry.register(
            "database_reachable",
            "1 while the database answers, 0 while it does not",
            database,
        );
        metrics
    }

    /// Counts one try to deliver a mail.
    pub fn mailed(&self, outcome: &'static str) {
        self.mails.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts one who came to an app.
    pub fn came(&self, outcome: &'static str) {
        self.comers.get_or_create(&Outcome { outcome }).inc();
    }

    /// Whether the database answers.
    pub fn set_database(&self, is_reachable: bool) {
        self.database.set(i64::from(is_reachable));
    }

    /// What [`Metrics::set_database`] was told last.
    #[must_use]
    pub fn has_database(&self) -> bool {
        self.database.get() == 1
    }

    /// Counts one answer. The route is a pattern of ours, never what somebody asked for.
    pub fn answered(&self, route: &str, status: u16, duration: Duration) {
        self.waited(route, status);
        self.duration.observe(duration.as_secs_f64());
    }

    /// Counts one answer that came when there was something to say: how long that took says nothing of us.
    pub fn waited(&self, route: &str, status: u16) {
        let answer = Answer {
            route: route.to_owned(),
            status,
        };
        self.answers.get_or_create(&answer).inc();
    }

    /// Counts one try to sign in.
    pub fn tried(&self, outcome: &'static str) {
        self.sign_ins.get_or_create(&Outcome { outcome }).inc();
    }
}
