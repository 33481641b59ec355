//! Metrics, with the names that controller-runtime has made customary, so that dashboards and
//! alerts of other operators work here.

use std::time::Duration;

use http::{Method, StatusCode};
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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    code: String,
    method: String,
    host: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ordered {
    authority: String,
    result: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Authority {
    authority: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Hostname {
    namespace: String,
    hostname: String,
}

/// All metrics of the operator.
#[derive(Clone)]
pub struct Metrics {
    orders: Family<Ordered, Counter>,
    waiting: Family<Authority, Gauge>,
    left: Family<Authority, Gauge>,
    failing: Family<Authority, Gauge>,
    expiry: Family<Hostname, Gauge>,
    renewal: Family<Hostname, Gauge>,
    total: Family<Reconciliation, Counter>,
    errors: Family<Controller, Counter>,
    failures: Family<Step, Counter>,
    seconds: Family<Controller, Histogram>,
    writes: Counter,
    leading: Gauge,
    depth: Family<Queue, Gauge>,
    adds: Family<Queue, Counter>,
    calls: Family<Call, Counter>,
}

impl Metrics {
    /// Registers everything.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            orders: Family::default(),
            waiting: Family::default(),
            left: Family::default(),
            failing: Family::default(),
            expiry: Family::default(),
            renewal: Family::default(),
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
            adds: Family::default(),
            calls: Family::default(),
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
            "workqueue_adds",
            "Requests that were taken up",
            metrics.adds.clone(),
        );
        registry.register(
            "rest_client_requests",
            "Calls to the API server by what it answered",
            metrics.calls.clone(),
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
        registry.register(
            "tutti_acme_orders",
            "Certificate orders that have ended",
            metrics.orders.clone(),
        );
        registry.register(
            "tutti_acme_waiting",
            "Domains in the line of an authority",
            metrics.waiting.clone(),
        );
        registry.register(
            "tutti_acme_orders_left",
            "Orders that an authority's limits leave to the account now",
            metrics.left.clone(),
        );
        registry.register(
            "tutti_acme_authority_failing",
            "Whether an authority gave no answer when it was asked last",
            metrics.failing.clone(),
        );
        registry.register(
            "tutti_domain_certificate_expiry_timestamp_seconds",
            "When a domain's certificate is over",
            metrics.expiry.clone(),
        );
        registry.register(
            "tutti_domain_certificate_renewal_timestamp_seconds",
            "When a domain's certificate is renewed",
            metrics.renewal.clone(),
        );
        metrics
    }

    /// A certificate order has ended.
    pub fn ordered(&self, authority: &str, is_certified: bool) {
        let result = if is_certified {
            Outcome::success
        } else {
            Outcome::error
        };
        let authority = authority.to_owned();
        self.orders
            .get_or_create(&Ordered { authority, result })
            .inc();
    }

    /// An authority that may be asked: its series begin.
    pub fn expect_orders(&self, authority: &str) {
        for result in [Outcome::success, Outcome::error] {
            let authority = authority.to_owned();
            let _begun = self.orders.get_or_create(&Ordered { authority, result });
        }
    }

    /// How an authority's line stands, what its limits leave, and whether it gives no answer.
    pub fn set_authority(
        &self,
        authority: &str,
        waiting: usize,
        left: Option<u32>,
        is_failing: bool,
    ) {
        let label = Authority {
            authority: authority.to_owned(),
        };
        let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
        self.waiting.get_or_create(&label).set(waiting);
        self.failing
            .get_or_create(&label)
            .set(i64::from(is_failing));
        if let Some(left) = left {
            self.left.get_or_create(&label).set(i64::from(left));
        }
    }

    /// How long a domain's certificate lasts, and when it is renewed, in seconds since 1970; `None`
    /// when there is none.
    pub fn set_certificate(
        &self,
        namespace: &str,
        hostname: &str,
        times: Option<(i64, Option<i64>)>,
    ) {
        let label = Hostname {
            namespace: namespace.to_owned(),
            hostname: hostname.to_owned(),
        };
        let Some((expiry, renewal)) = times else {
            self.expiry.remove(&label);
            self.renewal.remove(&label);
            return;
        };
        self.expiry.get_or_create(&label).set(expiry);
        match renewal {
            Some(renewal) => drop(self.renewal.get_or_create(&label).set(renewal)),
            None => drop(self.renewal.remove(&label)),
        }
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

    /// A request was taken up.
    pub fn added(&self, controller: &str) {
        let queue = Queue {
            name: controller.to_owned(),
        };
        self.adds.get_or_create(&queue).inc();
    }

    /// The API server at this host answered a call with this status; `None` when no answer came.
    pub fn called(&self, host: &str, method: &Method, status: Option<StatusCode>) {
        // What client-go says when there is no answer.
        let code = status.map_or_else(|| "<error>".to_owned(), |status| status.as_str().to_owned());
        let call = Call {
            code,
            method: method.as_str().to_owned(),
            host: host.to_owned(),
        };
        self.calls.get_or_create(&call).inc();
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn queues_and_calls_are_counted_under_the_names_that_dashboards_of_controller_runtime_know() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        metrics.set_depth("appinstance", 3);
        metrics.added("appinstance");
        metrics.added("appinstance");
        metrics.called("10.96.0.1:443", &Method::PATCH, Some(StatusCode::CONFLICT));
        metrics.called("10.96.0.1:443", &Method::GET, None);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for expected in [
            r#"workqueue_depth{name="appinstance"} 3"#,
            r#"workqueue_adds_total{name="appinstance"} 2"#,
            r#"rest_client_requests_total{code="409",method="PATCH",host="10.96.0.1:443"} 1"#,
            r#"rest_client_requests_total{code="<error>",method="GET",host="10.96.0.1:443"} 1"#,
        ] {
            assert!(
                text.contains(&format!("\n{expected}\n")),
                "{expected} in {text}"
            );
        }
    }

    #[test]
    fn alerts_are_about_metrics_that_there_are() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        metrics.expect_orders("ca");
        metrics.set_authority("ca", 1, Some(2), true);
        metrics.set_certificate("acme", "www.acme.example", Some((2, Some(1))));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for expected in [
            r#"tutti_acme_orders_total{authority="ca",result="error"} 0"#,
            r#"tutti_acme_authority_failing{authority="ca"} 1"#,
            r#"tutti_acme_waiting{authority="ca"} 1"#,
            r#"tutti_acme_orders_left{authority="ca"} 2"#,
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        let alerts = include_str!("../../charts/tutti/templates/operator/alerts.yaml");
        let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
        let names = alerts
            .split(|c: char| !is_name(c))
            .filter(|word| word.starts_with("tutti_"));
        for name in names {
            assert!(text.contains(&format!("\n{name}{{")), "{name} in {text}");
        }
    }
}
