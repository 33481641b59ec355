//! The state that all connections share: the current tables, the backends, the metrics. Tables
//! are swapped whole; a request that has begun keeps what it found.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use http::HeaderValue;
use ipnet::IpNet;

use crate::{
    certificates::{Certificate, Store},
    domains::Domains,
    door::Door,
    forward::{Backend, Resolve},
    metrics::{Metrics, RouteMetrics},
    routes::{Entry, Table, table::BackendAddress},
};

/// A target with what we keep for it.
pub type Route = Entry<Kept>;

/// What outlives a table swap.
#[derive(Clone)]
pub struct Kept {
    pub backend: Arc<Backend>,
    pub metrics: Arc<RouteMetrics>,
}

/// What the gateway is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The platform's own zone, without a leading dot.
    pub zone: String,
    pub public_http_port: u16,
    pub public_https_port: u16,
    pub trusted_proxies: Vec<IpNet>,
    pub limits: Limits,
}

/// What clients may use up.
#[derive(Clone, Debug)]
pub struct Limits {
    pub connections: usize,
    pub header_bytes: usize,
    /// To send the head of a request; also how long an idle HTTP/1.1 connection stays.
    pub header_timeout: Duration,
    pub handshake_timeout: Duration,
    /// A client that takes none of its answer for this long is gone.
    pub stall_timeout: Duration,
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            header_bytes: 32 * 1024,
            header_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(300),
            streams: 200,
        }
    }
}

/// For the heads of requests on one connection.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    pub bytes: usize,
    pub timeout: Duration,
}

/// What all connections share.
pub struct Gateway {
    pub settings: Settings,
    pub metrics: Metrics,
    pub routes: ArcSwap<Table<Kept>>,
    pub certificates: Arc<ArcSwap<Store>>,
    pub domains: ArcSwap<Domains>,
    /// The way in where not everybody may pass; `None` where nobody can sign in.
    pub door: Option<Arc<Door>>,
    /// Told to end: HTTP/1.1 clients are asked to come back on another connection.
    pub is_draining: AtomicBool,
    pub public_http_port: HeaderValue,
    pub public_https_port: HeaderValue,
    resolver: Arc<dyn Resolve>,
    known: Mutex<Known>,
    request_ids: RequestIds,
}

#[derive(Default)]
struct Known {
    backends: HashMap<BackendAddress, Arc<Backend>>,
    metrics: HashMap<Box<str>, Arc<RouteMetrics>>,
}

impl Gateway {
    #[must_use]
    pub fn new(settings: Settings, metrics: Metrics, resolver: Arc<dyn Resolve>) -> Self {
        Self {
            public_http_port: settings.public_http_port.into(),
            public_https_port: settings.public_https_port.into(),
            settings,
            metrics,
            routes: ArcSwap::default(),
            certificates: Arc::default(),
            domains: ArcSwap::default(),
            door: None,
            is_draining: AtomicBool::new(false),
            resolver,
            known: Mutex::default(),
            request_ids: RequestIds::new(),
        }
    }

    /// Builds the table anew and swaps it in.
    pub fn swap_routes(&self, routes: &[Arc<crds::Route>]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Known::default();
        let table = Table::build(routes, |target| {
            let address = &target.backend;
            let backend = next.backends.entry(address.clone()).or_insert_with(|| {
                known.backends.remove(address).unwrap_or_else(|| {
                    Arc::new(Backend::new(address.clone(), Arc::clone(&self.resolver)))
                })
            });
            let metrics = next.metrics.entry(target.name.clone()).or_insert_with(|| {
                known
                    .metrics
                    .remove(&target.name)
                    .unwrap_or_else(|| Arc::new(self.metrics.route(&target.name)))
            });
            Kept {
                backend: Arc::clone(backend),
                metrics: Arc::clone(metrics),
            }
        });
        for metrics in known.metrics.values() {
            metrics.forget();
        }
        self.metrics
            .routes
            .set(i64::try_from(table.len()).unwrap_or(i64::MAX));
        self.metrics.table_swaps.inc();
        *known = next;
        self.routes.store(Arc::new(table));
    }

    /// Builds the certificate store anew and swaps it in.
    pub fn swap_certificates<'a>(
        &self,
        certificates: impl Iterator<Item = &'a Arc<Certificate>> + Clone,
    ) {
        let store = Store::build(certificates.clone(), &self.settings.zone);
        self.metrics.forget_expiries();
        for one in certificates {
            self.metrics.set_expiry(&one.secret, Some(one.not_after));
        }
        self.take_over(store);
    }

    /// Takes in what some Secrets hold now, by `namespace/name`; `None` when they are gone.
    pub fn change_certificates<'a>(
        &self,
        changes: impl Iterator<Item = (String, Option<&'a Arc<Certificate>>)>,
    ) {
        let mut store = Store::clone(&self.certificates.load());
        for (secret, certificate) in changes {
            match certificate {
                Some(certificate) => store.put(certificate),
                None => store.remove(&secret),
            }
            let not_after = certificate.map(|one| one.not_after);
            self.metrics.set_expiry(&secret, not_after);
        }
        self.take_over(store);
    }

    fn take_over(&self, store: Store) {
        self.metrics
            .certificates
            .set(i64::try_from(store.len()).unwrap_or(i64::MAX));
        self.certificates.store(Arc::new(store));
    }

    /// Closes connections to backends that nobody needed for a while; called now and then.
    pub fn close_idle_backends(&self) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .backends
            .values()
            .for_each(|backend| backend.close_idle());
    }

    /// What a client may take that connects for this host: the route's own limits where they are
    /// narrower than ours.
    #[must_use]
    pub fn head_limits(&self, host: Option<&str>) -> HeadLimits {
        let ours = &self.settings.limits;
        let table = self.routes.load();
        let target = host
            .and_then(|host| table.lookup(host, "/"))
            .map(|route| &route.target);
        HeadLimits {
            bytes: target.map_or(ours.header_bytes, |target| {
                let theirs = usize::try_from(target.header_limit).unwrap_or(usize::MAX);
                theirs.min(ours.header_bytes)
            }),
            timeout: target.map_or(ours.header_timeout, |target| {
                target.header_timeout.min(ours.header_timeout)
            }),
        }
    }

    #[must_use]
    pub fn is_trusted(&self, address: IpAddr) -> bool {
        self.settings
            .trusted_proxies
            .iter()
            .any(|range| range.contains(&address))
    }

    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Relaxed)
    }

    pub fn next_request_id(&self) -> HeaderValue {
        self.request_ids.next()
    }
}

/// Ids that do not repeat and do not tell how many requests there were. Not a secret.
struct RequestIds {
    process: u64,
    count: AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        Self {
            process: rand::random(),
            count: AtomicU64::new(rand::random()),
        }
    }

    fn next(&self) -> HeaderValue {
        // splitmix64's finaliser is a bijection: different counts give different ids.
        let mut mixed = self.count.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let mut text = [0_u8; 32];
        for (at, digit) in text.iter_mut().enumerate() {
            let half = if at < 16 { self.process } else { mixed };
            let nibble = (half >> (60 - 4 * (at % 16))) & 0xf;
            *digit = *b"0123456789abcdef".get(nibble as usize).unwrap_or(&b'0');
        }
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("0"))
    }
}
