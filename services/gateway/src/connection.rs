//! One client connection, as the phases see it: who is there, by which name and certificate it was
//! opened, and what is under way on it.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::HeaderValue;
use prometheus_client::metrics::gauge::Gauge;
use rustls::{ProtocolVersion, ServerConnection};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{certificates::Certificate, framing::RawHead, gateway::Gateway};

/// An HTTP/2 connection without a request for this long is closed; it may cost a browser a new
/// handshake, and an attacker every connection that it holds open.
pub const IDLE_HTTP2: Duration = Duration::from_secs(180);

/// One client connection, as the phases see it.
pub struct Connection {
    pub peer: SocketAddr,
    /// The peer's address as a header value.
    pub peer_value: HeaderValue,
    pub is_trusted: bool,
    /// What was read of the current head, on HTTP/1.1.
    pub raw_head: RawHead,
    tls: Option<Tls>,
    exchanges: AtomicU32,
    /// Seconds after `begun` at which the last exchange ended.
    idle_since: AtomicU64,
    begun: Instant,
    tasks: TaskTracker,
    ended: CancellationToken,
    open: Gauge,
    _permit: OwnedSemaphorePermit,
}

struct Tls {
    version: &'static str,
    name: Option<String>,
    certificate: Option<Arc<Certificate>>,
}

impl Connection {
    /// A connection that was just accepted; counted as open until it is dropped.
    #[must_use]
    pub fn new(
        peer: SocketAddr,
        is_trusted: bool,
        open: Gauge,
        permit: OwnedSemaphorePermit,
        tasks: TaskTracker,
        ended: CancellationToken,
    ) -> Self {
        open.inc();
        Self {
            peer,
            peer_value: HeaderValue::try_from(peer.ip().to_string())
                .unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            is_trusted,
            raw_head: RawHead::default(),
            tls: None,
            exchanges: AtomicU32::new(0),
            idle_since: AtomicU64::new(0),
            begun: Instant::now(),
            tasks,
            ended,
            open,
            _permit: permit,
        }
    }

    /// Notes what the handshake has settled.
    pub fn set_tls(&mut self, gateway: &Gateway, session: &ServerConnection) {
        let name = session
            .server_name()
            .map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        // The store may have been swapped since the handshake; its successor covers the same names.
        let certificate = gateway.certificates.load().select(name.as_deref()).cloned();
        let version = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            _ => "1.3",
        };
        self.tls = Some(Tls {
            version,
            name,
            certificate,
        });
    }

    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The name that the client asked for in the TLS handshake.
    #[must_use]
    pub fn tls_name(&self) -> Option<&str> {
        self.tls.as_ref().and_then(|tls| tls.name.as_deref())
    }

    #[must_use]
    pub fn tls_version(&self) -> Option<&'static str> {
        self.tls.as_ref().map(|tls| tls.version)
    }

    /// Whether a request for this host may come on this connection: on HTTP/2 browsers reuse one
    /// for every host that its certificate covers. A client that asked for this very name and got
    /// the platform's certificate for want of a better one may have its page.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        self.tls.as_ref().is_none_or(|tls| {
            tls.name.as_deref() == Some(host)
                || tls
                    .certificate
                    .as_ref()
                    .is_some_and(|certificate| certificate.covers(host))
        })
    }

    /// Runs what outlives the HTTP part of the connection; the drain waits for it.
    pub fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let ended = self.ended.clone();
        self.tasks.spawn(async move {
            ended.run_until_cancelled(work).await;
        });
    }

    pub fn exchange_begins(&self) {
        self.exchanges.fetch_add(1, Relaxed);
    }

    pub fn exchange_ends(&self) {
        self.idle_since
            .store(self.begun.elapsed().as_secs(), Relaxed);
        self.exchanges.fetch_sub(1, Relaxed);
    }

    /// Whether it has had no request for too long.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let idle_since = Duration::from_secs(self.idle_since.load(Relaxed));
        self.exchanges.load(Relaxed) == 0 && self.begun.elapsed() > idle_since + IDLE_HTTP2
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.open.dec();
    }
}
