//! Metrics: what operators of the platform count and time. Handles are looked up when a route
//! table is swapped, never per request; the series of a route end with the route.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::watch::Health;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteClass {
    route: Arc<str>,
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteName {
    route: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SecretName {
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    answer: &'static str,
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Every metric of the gateway.
#[derive(Clone)]
pub struct Metrics {
    families: Families,
    refusals: Family<Reason, Counter>,
    handshake_failures: Family<Reason, Counter>,
    expiries: Family<SecretName, Gauge>,
    watch_connected: Family<Kind, Gauge>,
    watch_errors: Family<Kind, Counter>,
    door_answers: Family<Answer, Counter>,
    /// Client connections, tunnels included.
    pub open_connections: Gauge,
    pub routes: Gauge,
    pub certificates: Gauge,
    pub table_swaps: Counter,
    /// Requests for which there is no route.
    pub unmatched: Arc<RouteMetrics>,
}

/// The handles of the door.
#[derive(Clone)]
pub struct DoorMetrics {
    answers: Family<Answer, Counter>,
    /// 1 while idm answers.
    pub connected: Gauge,
}

impl DoorMetrics {
    /// Counts one answer of idm's, or that there was none.
    pub fn answered(&self, answer: &'static str) {
        self.answers.get_or_create(&Answer { answer }).inc();
    }
}

/// The handles of one route. Its series begin with its first request: a route that nobody asks
/// for costs a scrape nothing.
pub struct RouteMetrics {
    route: Arc<str>,
    families: Families,
    requests: [OnceLock<Counter>; 5],
    duration: OnceLock<Histogram>,
    /// A request that outlives its route must not bring the series back.
    is_forgotten: AtomicBool,
}

#[derive(Clone)]
struct Families {
    requests: Family<RouteClass, Counter>,
    durations: Family<RouteName, Histogram, fn() -> Histogram>,
}

impl RouteMetrics {
    fn new(route: &str, families: Families) -> Self {
        Self {
            route: route.into(),
            families,
            requests: Default::default(),
            duration: OnceLock::new(),
            is_forgotten: AtomicBool::new(false),
        }
    }

    /// Counts one answered request.
    pub fn observe(&self, status: u16, duration: Duration) {
        if self.is_forgotten.load(Relaxed) {
            return;
        }
        let class = usize::from(status / 100)
            .saturating_sub(1)
            .min(CLASSES.len() - 1);
        if let (Some(counter), Some(class)) = (self.requests.get(class), CLASSES.get(class)) {
            let label = || RouteClass {
                route: Arc::clone(&self.route),
                class,
            };
            counter
                .get_or_init(|| self.families.requests.get_or_create_owned(&label()))
                .inc();
        }
        let label = || RouteName {
            route: Arc::clone(&self.route),
        };
        let histogram = self
            .duration
            .get_or_init(|| self.families.durations.get_or_create_owned(&label()));
        histogram.observe(duration.as_secs_f64());
    }

    /// Ends the series.
    pub fn forget(&self) {
        self.is_forgotten.store(true, Relaxed);
        for class in CLASSES {
            self.families.requests.remove(&RouteClass {
                route: Arc::clone(&self.route),
                class,
            });
        }
        self.families.durations.remove(&RouteName {
            route: Arc::clone(&self.route),
        });
    }
}

impl Metrics {
    /// Registers everything below `gateway_`.
    pub fn new(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("gateway");
        let requests = Family::<RouteClass, Counter>::default();
        let durations =
            Family::<RouteName, Histogram, fn() -> Histogram>::new_with_constructor(histogram);
        let families = Families {
            requests,
            durations,
        };
        let metrics = Self {
            unmatched: Arc::new(RouteMetrics::new("none", families.clone())),
            families,
            refusals: Family::default(),
            handshake_failures: Family::default(),
            expiries: Family::default(),
            watch_connected: Family::default(),
            watch_errors: Family::default(),
            door_answers: Family::default(),
            open_connections: Gauge::default(),
            routes: Gauge::default(),
            certificates: Gauge::default(),
            table_swaps: Counter::default(),
        };
        let m = metrics.clone();
        registry.register(
            "requests",
            "Requests answered, by route and class of status",
            m.families.requests,
        );
        registry.register(
            "request_duration_seconds",
            "Time from the head of a request to the end of its answer",
            m.families.durations,
        );
        registry.register(
            "refusals",
            "Requests answered by the gateway itself, by reason",
            m.refusals,
        );
        registry.register(
            "tls_handshake_failures",
            "TLS handshakes that came to nothing, by reason",
            m.handshake_failures,
        );
        registry.register(
            "certificate_not_after_seconds",
            "End of validity of each certificate, in seconds since 1970",
            m.expiries,
        );
        registry.register(
            "watch_connected",
            "1 while the API server answers the watch, and idm for kind idm",
            m.watch_connected,
        );
        registry.register("watch_errors", "Times that a watch broke", m.watch_errors);
        registry.register(
            "door_answers",
            "What idm answered when it was asked whether somebody may pass",
            m.door_answers,
        );
        registry.register(
            "open_connections",
            "Connections of clients",
            m.open_connections,
        );
        registry.register("routes", "Routes that are served", m.routes);
        registry.register(
            "certificates",
            "Certificates that are served",
            m.certificates,
        );
        registry.register(
            "table_swaps",
            "Times that a new route table took over",
            m.table_swaps,
        );
        metrics
    }

    /// New handles for a route.
    #[must_use]
    pub fn route(&self, route: &str) -> RouteMetrics {
        RouteMetrics::new(route, self.families.clone())
    }

    /// Handles of the door.
    #[must_use]
    pub fn door(&self) -> DoorMetrics {
        DoorMetrics {
            answers: self.door_answers.clone(),
            connected: self
                .watch_connected
                .get_or_create_owned(&Kind { kind: "idm" }),
        }
    }

    pub fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&Reason { reason }).inc();
    }

    pub fn handshake_failed(&self, reason: &'static str) {
        self.handshake_failures
            .get_or_create(&Reason { reason })
            .inc();
    }

    /// Ends the series of all certificates.
    pub fn forget_expiries(&self) {
        self.expiries.clear();
    }

    /// Sets the series of a certificate, or ends it.
    pub fn set_expiry(&self, secret: &str, not_after: Option<i64>) {
        let name = SecretName {
            name: secret.to_owned(),
        };
        match not_after {
            Some(not_after) => {
                self.expiries.get_or_create(&name).set(not_after);
            }
            None => {
                self.expiries.remove(&name);
            }
        }
    }

    #[must_use]
    pub fn watch(&self, kind: &'static str) -> Health {
        Health {
            connected: self.watch_connected.get_or_create_owned(&Kind { kind }),
            errors: self.watch_errors.get_or_create_owned(&Kind { kind }),
        }
    }
}

/// From a cached page to a long download.
fn histogram() -> Histogram {
    Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;

    #[test]
    fn the_series_of_a_route_end_with_it() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let route = metrics.route("org-acme/shop");
        route.observe(204, Duration::from_millis(3));
        let text = |registry: &Registry| {
            let mut text = String::new();
            encode(&mut text, registry).unwrap();
            text
        };
        let served = text(&registry);
        assert!(
            served.contains(r#"gateway_requests_total{route="org-acme/shop",class="2xx"} 1"#),
            "{served}"
        );
        route.forget();
        route.observe(204, Duration::from_millis(3));
        assert!(!text(&registry).contains("org-acme/shop"));
    }
}
