//! One exchange: what is remembered of a request until its answer has ended, and the one log line
//! and the metrics that come of it. The line is written when the exchange is dropped: after the
//! last byte, when the client goes away, or when a tunnel closes.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{HeaderValue, Method, Request, StatusCode, Version, uri::PathAndQuery};
use tokio::time::Instant;

use crate::{connection::Connection, gateway::Route, metrics::RouteMetrics};

/// What is remembered of a request.
pub struct Exchange {
    pub begun: Instant,
    pub method: Method,
    /// In lower case, without port; empty while it is not known.
    pub host: String,
    pub target: Option<PathAndQuery>,
    pub version: Version,
    pub request_id: HeaderValue,
    pub accept: Option<HeaderValue>,
    pub client: IpAddr,
    pub connection: Arc<Connection>,
    /// By TLS, here or at a proxy that we trust.
    pub is_secure: bool,
    pub route: Option<Arc<Route>>,
    pub unmatched: Arc<RouteMetrics>,
    /// Until the backend began its answer.
    pub upstream_time: Option<Duration>,
    pub status: StatusCode,
    pub reason: Option<&'static str>,
    /// Whose fault it is that it was refused.
    pub fault: Option<&'static str>,
    /// The request body, when there is one.
    pub upload: Option<Arc<Upload>>,
    pub bytes_out: u64,
    pub is_complete: bool,
}

/// How far a request body has come; shared by the body and those who wait for the answer.
#[derive(Debug)]
pub struct Upload {
    begun: Instant,
    pub bytes: AtomicU64,
    /// Milliseconds after `begun`.
    last_byte: AtomicU64,
    pub has_ended: AtomicBool,
    /// We wait for the client, not for the backend to take more.
    pub is_waiting: AtomicBool,
    pub is_over_limit: AtomicBool,
    pub is_broken: AtomicBool,
}

impl Upload {
    #[must_use]
    pub fn new(begun: Instant) -> Self {
        Self {
            begun,
            bytes: AtomicU64::new(0),
            last_byte: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
            is_waiting: AtomicBool::new(false),
            is_over_limit: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
        }
    }

    pub fn progress(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
        self.touch();
    }

    pub fn touch(&self) {
        let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_byte.store(since, Relaxed);
    }

    #[must_use]
    pub fn last_byte(&self) -> Instant {
        self.begun + Duration::from_millis(self.last_byte.load(Relaxed))
    }
}

impl Exchange {
    pub fn begin<B>(
        request: &Request<B>,
        connection: &Arc<Connection>,
        client: IpAddr,
        request_id: HeaderValue,
        unmatched: Arc<RouteMetrics>,
    ) -> Box<Self> {
        connection.exchange_begins();
        Box::new(Self {
            begun: Instant::now(),
            method: request.method().clone(),
            host: String::new(),
            target: request.uri().path_and_query().cloned(),
            version: request.version(),
            request_id,
            accept: request.headers().get(http::header::ACCEPT).cloned(),
            client,
            connection: Arc::clone(connection),
            is_secure: false,
            route: None,
            unmatched,
            upstream_time: None,
            status: StatusCode::OK,
            reason: None,
            fault: None,
            upload: None,
            bytes_out: 0,
            is_complete: false,
        })
    }

    fn write_line(&self, duration: Duration) {
        let milliseconds = |time: Duration| time.as_micros() as f64 / 1_000.0;
        tracing::info!(
            target: "access",
            method = self.method.as_str(),
            host = self.host,
            // The query may hold secrets.
            path = self.target.as_ref().map_or("", PathAndQuery::path),
            status = self.status.as_u16(),
            reason = self.reason,
            fault = self.fault,
            bytes_in = self.upload.as_ref().map_or(0, |upload| upload.bytes.load(Relaxed)),
            bytes_out = self.bytes_out,
            is_complete = self.is_complete,
            duration_ms = milliseconds(duration),
            upstream_ms = self.upstream_time.map(milliseconds),
            route = self.route.as_ref().map(|route| &*route.target.name),
            request_id = self.request_id.to_str().unwrap_or_default(),
            client = %self.client,
            protocol = ?self.version,
            tls = self.connection.tls_version(),
        );
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.connection.exchange_ends();
        let duration = self.begun.elapsed();
        let metrics = self
            .route
            .as_ref()
            .map_or(&self.unmatched, |route| &route.kept.metrics);
        metrics.observe(self.status.as_u16(), duration);
        if tracing::enabled!(target: "access", tracing::Level::INFO) {
            self.write_line(duration);
        }
    }
}
