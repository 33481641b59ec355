//! The route table: built whole from Route objects, never changed. Pure.
//!
//! In: Routes as the API server holds them. Out: for a host and a normalised path, the target that
//! answers. `T` is what the gateway hangs on a target (connection pool, metrics); tests hang `()`.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use http::HeaderValue;

use crds::{
    Route,
    app_definition::Protocol,
    condition::{self, ACCEPTED, BACKEND_READY, READY},
    labels, quantity,
    route::Access,
};

/// The reason that the operator writes for everything that will end by itself.
const STARTING: &str = "Starting";
/// The reason that the operator writes when somebody has stopped the instance.
const STOPPED: &str = "Stopped";

/// The reason that the operator writes when somebody works on the instance by hand.
const PAUSED: &str = "Paused";

/// Below this no browser could ask for anything.
const LEAST_HEADER_LIMIT: u64 = 1_024;

/// Where a request goes, and under which conditions.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// `namespace/name` of the Route.
    pub name: Box<str>,
    pub path_prefix: Box<str>,
    pub backend: BackendAddress,
    pub access: Access,
    /// The app instance that it leads to, `<organization>/<name>`.
    pub instance: Option<Box<str>>,
    pub plain_http: bool,
    /// The hostname that visitors are led on to.
    pub redirect_to: Option<Box<str>>,
    /// The value of Strict-Transport-Security.
    pub hsts: Option<HeaderValue>,
    pub state: State,
    pub header_timeout: Duration,
    pub response_timeout: Duration,
    pub idle_timeout: Duration,
    pub body_limit: u64,
    /// Bytes of a head, names and values with what stands between them.
    pub header_limit: u64,
}

/// The service that answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BackendAddress {
    pub service: Box<str>,
    pub namespace: Box<str>,
    pub port: u16,
    pub is_http2: bool,
}

impl BackendAddress {
    /// The name that cluster DNS knows.
    #[must_use]
    pub fn hostname(&self) -> String {
        format!("{}.{}.svc", self.service, self.namespace)
    }
}

impl fmt::Display for BackendAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}.{}.svc:{}",
            self.service, self.namespace, self.port
        )
    }
}

/// What the operator last said about the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Ready,
    /// Will end by itself.
    Starting {
        message: String,
    },
    Stopped {
        message: String,
    },
    /// Left alone on request, and nothing answers.
    Paused {
        message: String,
    },
    /// Somebody has to act.
    Broken {
        message: String,
        /// The condition's reason.
        cause: String,
    },
}

/// A target and what the gateway keeps for it.
#[derive(Debug)]
pub struct Entry<T> {
    pub target: Target,
    pub kept: T,
}

/// Every host that is served.
#[derive(Debug)]
pub struct Table<T> {
    /// Targets of a host, the longest path first; of a wildcard under `*.parent`.
    hosts: HashMap<Box<str>, Vec<Arc<Entry<T>>>>,
    has_wildcards: bool,
    length: usize,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            hosts: HashMap::new(),
            has_wildcards: false,
            length: 0,
        }
    }
}

impl<T> Table<T> {
    /// Builds the table from all Routes; those that are not accepted are left out. The oldest
    /// Route decides which namespace holds a hostname, should the operator ever accept two.
    pub fn build(routes: &[Arc<Route>], mut keep: impl FnMut(&Target) -> T) -> Self {
        let mut accepted: Vec<&Arc<Route>> =
            routes.iter().filter(|route| is_accepted(route)).collect();
        accepted.sort_by_cached_key(|route| {
            let meta = &route.metadata;
            let born = meta
                .creation_timestamp
                .as_ref()
                .map(|time| time.0.as_second());
            (
                born.unwrap_or(i64::MAX),
                meta.namespace.clone(),
                meta.name.clone(),
            )
        });

        let mut holders: HashMap<&str, &str> = HashMap::new();
        let mut hosts: HashMap<Box<str>, Vec<Arc<Entry<T>>>> = HashMap::new();
        let mut length = 0;
        for route in accepted {
            let namespace = route.metadata.namespace.as_deref().unwrap_or_default();
            let hostname = route.spec.hostname.as_str();
            if *holders.entry(hostname).or_insert(namespace) != namespace {
                continue;
            }
            let Some(target) = read(route) else { continue };
            let entries = hosts.entry(hostname.into()).or_default();
            if entries
                .iter()
                .any(|entry| entry.target.path_prefix == target.path_prefix)
            {
                continue;
            }
            let kept = keep(&target);
            entries.push(Arc::new(Entry { target, kept }));
            length += 1;
        }
        for entries in hosts.values_mut() {
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.target.path_prefix.len()));
        }
        Self {
            has_wildcards: hosts.keys().any(|host| host.starts_with("*.")),
            hosts,
            length,
        }
    }

    /// The target for a host in lower case and a normalised path: the exact host before a wildcard,
    /// the longest prefix at whole segments.
    #[must_use]
    pub fn lookup(&self, host: &str, path: &str) -> Option<&Arc<Entry<T>>> {
        let wildcard = || {
            let (_, parent) = host.split_once('.').filter(|_| self.has_wildcards)?;
            self.hosts.get(format!("*.{parent}").as_str())
        };
        self.hosts
            .get(host)
            .or_else(wildcard)?
            .iter()
            .find(|entry| is_under(path, &entry.target.path_prefix))
    }

    /// How many Routes are served.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Everything that is served, in no order.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry<T>>> {
        self.hosts.values().flatten()
    }
}

fn is_under(path: &str, prefix: &str) -> bool {
    if prefix == "/" {
        return true;
    }
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_accepted(route: &Route) -> bool {
    route
        .status
        .as_ref()
        .is_some_and(|status| condition::is_true(&status.conditions, ACCEPTED))
}

/// `None` for what the schema forbids anyway: a Route without a name, a port out of range.
fn read(route: &Route) -> Option<Target> {
    let (namespace, name) = (
        route.metadata.namespace.as_deref()?,
        route.metadata.name.as_deref()?,
    );
    let spec = &route.spec;
    Some(Target {
        name: format!("{namespace}/{name}").into(),
        path_prefix: spec.path_prefix.as_str().into(),
        backend: BackendAddress {
            service: spec.backend.service.as_str().into(),
            namespace: namespace.into(),
            port: u16::try_from(spec.backend.port).ok()?,
            is_http2: spec.backend.protocol == Protocol::H2c,
        },
        access: spec.access,
        instance: route
            .metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(labels::INSTANCE))
            .map(|instance| format!("{namespace}/{instance}").into()),
        plain_http: spec.plain_http,
        redirect_to: spec.redirect_to.as_deref().map(Into::into),
        hsts: spec
            .hsts_seconds
            .and_then(|seconds| HeaderValue::try_from(format!("max-age={seconds}")).ok()),
        state: state(route),
        header_timeout: Duration::from_secs(spec.timeouts.header_seconds.into()),
        response_timeout: Duration::from_secs(spec.timeouts.response_seconds.into()),
        idle_timeout: Duration::from_secs(spec.timeouts.idle_seconds.into()),
        body_limit: bytes(&spec.body_limit),
        header_limit: bytes(&spec.header_limit).max(LEAST_HEADER_LIMIT),
    })
}

fn state(route: &Route) -> State {
    let conditions = route
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice());
    let conditions = conditions.unwrap_or_default();
    let Some(said) = condition::find(conditions, BACKEND_READY) else {
        // Of a Route that is no instance's nobody watches the backend: it is Ready when it is
        // accepted. Any other one the operator has accepted and is about to look at.
        return if condition::is_true(conditions, READY) {
            State::Ready
        } else {
            State::Starting {
                message: String::new(),
            }
        };
    };
    let message = said.message.clone();
    match (said.status.as_str(), said.reason.as_str()) {
        ("True", _) => State::Ready,
        (_, STARTING) => State::Starting { message },
        (_, STOPPED) => State::Stopped { message },
        (_, PAUSED) => State::Paused { message },
        _ => State::Broken {
            message,
            cause: said.reason.clone(),
        },
    }
}

/// What the schema does not allow is taken as no byte at all rather than as no limit.
fn bytes(text: &str) -> u64 {
    quantity::in_thousandths(text)
        .and_then(|thousandths| u64::try_from(thousandths / 1_000).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
    use serde_json::json;

    fn route(namespace: &str, name: &str, hostname: &str, prefix: &str) -> Route {
        serde_json::from_value(json!({
            "apiVersion": "tutti.dev/v1alpha1", "kind": "Route",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {
                "hostname": hostname, "pathPrefix": prefix,
                "backend": {"service": name, "port": 80},
            },
            "status": {"conditions": [
                {"type": "Accepted", "status": "True", "reason": "Held", "message": "",
                 "lastTransitionTime": "2026-01-01T00:00:00Z"},
                {"type": "BackendReady", "status": "True", "reason": "Answers", "message": "",
                 "lastTransitionTime": "2026-01-01T00:00:00Z"},
            ]},
        }))
        .unwrap()
    }

    fn born(mut route: Route, second: i64) -> Arc<Route> {
        route.metadata.creation_timestamp = Some(Time(Timestamp::from_second(second).unwrap()));
        Arc::new(route)
    }

    fn found(table: &Table<()>, host: &str, path: &str) -> Option<String> {
        table
            .lookup(host, path)
            .map(|entry| entry.target.name.to_string())
    }

    #[test]
    fn the_longest_prefix_wins_and_only_at_whole_segments() {
        let routes = [
            Arc::new(route("o", "root", "a.test", "/")),
            Arc::new(route("o", "api", "a.test", "/api")),
            Arc::new(route("o", "v2", "a.test", "/api/v2")),
            Arc::new(route("o", "only", "b.test", "/only")),
        ];
        let table = Table::build(&routes, |_| ());
        assert_eq!(table.len(), 4);
        let on = |path: &str| found(&table, "a.test", path).unwrap();
        assert_eq!(on("/"), "o/root");
        assert_eq!(on("/apis"), "o/root");
        assert_eq!(on("/api"), "o/api");
        assert_eq!(on("/api/"), "o/api");
        assert_eq!(on("/api/v22"), "o/api");
        assert_eq!(on("/api/v2/x"), "o/v2");
        assert_eq!(found(&table, "b.test", "/"), None);
        assert_eq!(found(&table, "c.test", "/"), None);
    }

    #[test]
    fn a_wildcard_serves_what_has_no_route_of_its_own_one_label_deep() {
        let routes = [
            Arc::new(route("o", "all", "*.a.test", "/")),
            Arc::new(route("o", "own", "own.a.test", "/")),
        ];
        let table = Table::build(&routes, |_| ());
        let on = |host| found(&table, host, "/");
        assert_eq!(on("any.a.test").as_deref(), Some("o/all"));
        assert_eq!(on("own.a.test").as_deref(), Some("o/own"));
        assert_eq!(on("a.test"), None);
        assert_eq!(on("x.any.a.test"), None);
    }

    #[test]
    fn a_route_that_is_not_accepted_is_not_served() {
        let mut refused = route("o", "r", "a.test", "/");
        refused.status.as_mut().unwrap().conditions[0].status = "False".into();
        let mut silent = route("o", "s", "b.test", "/");
        silent.status = None;
        let table = Table::build(&[Arc::new(refused), Arc::new(silent)], |_| ());
        assert!(table.is_empty());
    }

    #[test]
    fn a_hostname_belongs_to_the_namespace_of_its_oldest_route() {
        let routes = [
            born(route("thief", "x", "a.test", "/login"), 20),
            born(route("owner", "x", "a.test", "/"), 10),
        ];
        let table = Table::build(&routes, |_| ());
        assert_eq!(
            found(&table, "a.test", "/login").as_deref(),
            Some("owner/x")
        );
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn the_operators_reason_becomes_what_the_visitor_sees() {
        let said = |status: &str, reason: &str| {
            let mut route = route("o", "r", "a.test", "/");
            let condition = &mut route.status.as_mut().unwrap().conditions[1];
            (condition.status, condition.reason) = (status.into(), reason.into());
            condition.message = "words".into();
            state(&route)
        };
        assert_eq!(said("True", "Answers"), State::Ready);
        assert_eq!(
            said("False", "Starting"),
            State::Starting {
                message: "words".into()
            }
        );
        assert_eq!(
            said("Unknown", "Starting"),
            State::Starting {
                message: "words".into()
            }
        );
        assert_eq!(
            said("False", "Stopped"),
            State::Stopped {
                message: "words".into()
            }
        );
        assert_eq!(
            said("False", "ImagePullFailed"),
            State::Broken {
                message: "words".into(),
                cause: "ImagePullFailed".into(),
            }
        );
    }

    #[test]
    fn a_route_that_is_no_instances_is_served_when_it_is_ready() {
        let mut route = route("o", "r", "a.test", "/");
        route.status.as_mut().unwrap().conditions.pop();
        let starting = State::Starting {
            message: String::new(),
        };
        assert_eq!(state(&route), starting);
        let status = route.status.as_mut().unwrap();
        let mut ready = status.conditions[0].clone();
        ready.type_ = READY.into();
        status.conditions.push(ready);
        assert_eq!(state(&route), State::Ready);
    }

    #[test]
    fn limits_are_quantities_and_nonsense_is_none_at_all() {
        assert_eq!(bytes("100Mi"), 100 << 20);
        assert_eq!(bytes("5k"), 5_000);
        assert_eq!(bytes("0"), 0);
        assert_eq!(bytes("much"), 0);
    }
}
