//! Metrics, with the names that controller-runtime has made customary, so that dashboards and
//! alerts of other operators work here.

use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::failure::Failure;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Controller {
    controller: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconciliation {
    controller: &'static str,
    result: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(
    non_camel_case_types,
    reason = "the label values are controller-runtime's"
)]
enum Outcome {
    success,
    error,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Step {
    controller: &'static str,
    step: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Queue {
    name: String,
}

/// All metrics of the operator.
#[derive(Clone)]
pub struct Metrics {
    total: Family<Reconciliation, Counter>,
    errors: Family<Controller, Counter>,
    failures: Family<Step, Counter>,
    seconds: Family<Controller, Histogram>,
    writes: Counter,
    leading: Gauge,
    depth: Family<Queue, Gauge>,
}

impl Metrics {
    /// Registers everything.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            total: Family::default(),
            errors: Family::default(),
            failures: Family::default(),
            // From a millisecond to half a minute.
            seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 15))
            }),
            writes: Counter::default(),
            leading: Gauge::default(),
            depth: Family::default(),
        };
        registry.register(
            "controller_runtime_reconcile",
            "Reconciliations by result",
            metrics.total.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_errors",
            "Reconciliations that failed",
            metrics.errors.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_time_seconds",
            "Length of reconciliations",
            metrics.seconds.clone(),
        );
        registry.register(
            "workqueue_depth",
            "Requests that wait",
            metrics.depth.clone(),
        );
        registry.register(
            "leader_election_master_status",
            "Whether this replica leads",
            metrics.leading.clone(),
        );
        registry.register(
            "tutti_operator_failures",
            "Failures by step of the reconciliation",
            metrics.failures.clone(),
        );
        registry.register(
            "tutti_operator_writes",
            "Writes to the API server",
            metrics.writes.clone(),
        );
        metrics
    }

    /// One reconciliation has ended.
    pub fn reconciled(&self, controller: &'static str, took: Duration, failure: Option<&Failure>) {
        let result = if failure.is_some() {
            Outcome::error
        } else {
            Outcome::success
        };
        self.total
            .get_or_create(&Reconciliation { controller, result })
            .inc();
        self.seconds
            .get_or_create(&Controller { controller })
            .observe(took.as_secs_f64());
        if let Some(failure) = failure {
            self.errors.get_or_create(&Controller { controller }).inc();
            self.failures
                .get_or_create(&Step {
                    controller,
                    step: failure.step(),
                })
                .inc();
        }
    }

    /// One write to the API server went well.
    pub fn wrote(&self) {
        self.writes.inc();
    }

    /// Whether this replica leads.
    pub fn set_leading(&self, is_leading: bool) {
        self.leading.set(i64::from(is_leading));
    }

    /// How many requests wait.
    pub fn set_depth(&self, controller: &str, waiting: usize) {
        let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
        let queue = Queue {
            name: controller.to_owned(),
        };
        self.depth.get_or_create(&queue).set(waiting);
    }
}
