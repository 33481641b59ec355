//! The backend's side: addresses, connections, and what to do when one of them fails.
//!
//! One `Backend` per service and port, shared by all routes to it and kept across table swaps.
//! Addresses come from cluster DNS; the last good answer stays in use while DNS is away.
//!
//! A request is sent again only where that cannot do harm: when it never left us, or when it is
//! idempotent, has no body, and its connection broke before an answer.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use http::{Method, Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{net::TcpStream, time::Instant};

use crate::{
    access_log::Upload, body::RequestBody, errors::Refusal, routes::table::BackendAddress,
};

/// How long an address is used without asking DNS again, in the background.
const ADDRESS_FRESH: Duration = Duration::from_secs(10);
/// A Service answers at once or not at all; a node that vanished answers nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection is tried again: a pod that has just died is replaced, or the operator says
/// so, in about this time, and a busy node needs as much to lead to one that has just become ready.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// The longest pause between two tries.
const CONNECT_PAUSE: Duration = Duration::from_millis(200);
/// Below the idle timeouts of common app servers, most of which are 60 s and more; those with
/// less close first, which costs one retry.
const IDLE_CONNECTION: Duration = Duration::from_secs(50);
const IDLE_CONNECTIONS: usize = 256;

pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Where a service name leads. Cluster DNS in production, loopback in tests.
pub trait Resolve: Send + Sync + 'static {
    fn resolve(&self, hostname: &str, port: u16) -> Resolving;
}

/// What the system's resolver says.
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, hostname: &str, port: u16) -> Resolving {
        let hostname = hostname.to_owned();
        Box::pin(async move {
            Ok(tokio::net::lookup_host((hostname.as_str(), port))
                .await?
                .collect())
        })
    }
}

/// A service and the connections to it.
pub struct Backend {
    address: BackendAddress,
    hostname: String,
    resolver: Arc<dyn Resolve>,
    resolved: Mutex<Resolved>,
    /// HTTP/1.1 connections without a request; the one used last is taken first.
    idle: Mutex<Vec<Idle>>,
    /// The one HTTP/2 connection, when the backend speaks it.
    shared: tokio::sync::Mutex<Option<http2::SendRequest<RequestBody>>>,
}

#[derive(Default)]
struct Resolved {
    addresses: Vec<SocketAddr>,
    fresh_until: Option<Instant>,
}

struct Idle {
    sender: http1::SendRequest<RequestBody>,
    since: Instant,
}

enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

/// A connection that is answering; given back when the answer has ended, dropped otherwise.
pub struct Lease {
    backend: Arc<Backend>,
    sender: http1::SendRequest<RequestBody>,
}

impl Lease {
    pub fn give_back(self) {
        let Self { backend, sender } = self;
        if sender.is_closed() {
            return;
        }
        let now = Instant::now();
        let mut idle = lock(&backend.idle);
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(Idle { sender, since: now });
        }
    }
}

/// How long the backend may take.
pub struct Patience<'a> {
    pub response: Duration,
    pub idle: Duration,
    pub upload: Option<&'a Upload>,
}

impl Backend {
    #[must_use]
    pub fn new(address: BackendAddress, resolver: Arc<dyn Resolve>) -> Self {
        Self {
            hostname: address.hostname(),
            address,
            resolver,
            resolved: Mutex::default(),
            idle: Mutex::default(),
            shared: tokio::sync::Mutex::default(),
        }
    }

    #[must_use]
    pub fn is_http2(&self) -> bool {
        self.address.is_http2
    }

    /// Sends the request and waits for the head of the answer.
    ///
    /// # Errors
    /// When there is none, after the tries that can do no harm.
    pub async fn send(
        self: &Arc<Self>,
        mut request: Request<RequestBody>,
        patience: &Patience<'_>,
    ) -> Result<(Response<Incoming>, Option<Lease>), Refusal> {
        let may_repeat = request.body().is_empty() && is_idempotent(request.method());
        let mut has_repeated = false;
        let mut unsent = 0;
        loop {
            let pooled = if has_repeated { None } else { self.take_idle() };
            let mut sender = match pooled {
                Some(sender) => Sender::Http1(sender),
                None => self.connect_patiently().await?,
            };
            // The head has to be kept for a repetition; its values are shared, not copied.
            let copy = (may_repeat && !has_repeated).then(|| copy_head(&request));
            let sent = match &mut sender {
                Sender::Http1(sender) => wait(sender.try_send_request(request), patience).await,
                Sender::Http2(sender) => wait(sender.try_send_request(request), patience).await,
            };
            let mut error = match sent? {
                Ok(response) => {
                    let lease = match sender {
                        Sender::Http1(sender) => Some(Lease {
                            backend: Arc::clone(self),
                            sender,
                        }),
                        Sender::Http2(_) => None,
                    };
                    return Ok((response, lease));
                }
                Err(error) => error,
            };
            if let Some(upload) = patience.upload {
                if upload.is_over_limit.load(Relaxed) {
                    return Err(Refusal::BodyTooLarge);
                }
                if upload.is_broken.load(Relaxed) {
                    return Err(Refusal::BodyBroken);
                }
            }
            // A connection that closed in the pool hands the request back untouched. A few of
            // those in a row mean that the backend closes everything: stop at some point.
            if let Some(returned) = error.take_message().filter(|_| unsent < 8) {
                request = returned;
                unsent += 1;
                continue;
            }
            match copy {
                Some(copy) => {
                    request = copy;
                    has_repeated = true;
                }
                None => {
                    tracing::debug!(backend = %self.address, error = %error.error(), "broke before an answer");
                    return Err(Refusal::BackendBroken);
                }
            }
        }
    }

    fn take_idle(&self) -> Option<http1::SendRequest<RequestBody>> {
        if self.address.is_http2 {
            return None;
        }
        let mut idle = lock(&self.idle);
        let mut at = idle.len();
        while at > 0 {
            at -= 1;
            let sender = &idle.get(at)?.sender;
            if sender.is_ready() {
                return Some(idle.swap_remove(at).sender);
            }
            // One that is still finishing its last exchange stays for later.
            if sender.is_closed() {
                idle.swap_remove(at);
            }
        }
        None
    }

    /// Closes connections that nobody needed for a while.
    pub fn close_idle(&self) {
        let now = Instant::now();
        lock(&self.idle).retain(|idle| {
            !idle.sender.is_closed() && now.duration_since(idle.since) < IDLE_CONNECTION
        });
    }

    /// Nothing has been sent yet, so any request may wait here, whatever its method.
    async fn connect_patiently(&self) -> Result<Sender, Refusal> {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(25);
        loop {
            match self.connect().await {
                Ok(sender) => return Ok(sender),
                Err(error) if begun.elapsed() + pause > CONNECT_PATIENCE => {
                    tracing::warn!(backend = %self.address, %error, "backend cannot be reached");
                    return Err(Refusal::BackendUnreachable);
                }
                Err(_) => tokio::time::sleep(pause).await,
            }
            pause = CONNECT_PAUSE.min(pause * 2);
        }
    }

    async fn connect(&self) -> io::Result<Sender> {
        if !self.address.is_http2 {
            let stream = TokioIo::new(self.dial().await?);
            let (sender, connection) = http1::Builder::new()
                .handshake(stream)
                .await
                .map_err(io::Error::other)?;
            // Its errors reach the request that was under way.
            tokio::spawn(async move { connection.with_upgrades().await.ok() });
            return Ok(Sender::Http1(sender));
        }
        let mut shared = self.shared.lock().await;
        if let Some(sender) = shared.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(Sender::Http2(sender.clone()));
        }
        let stream = TokioIo::new(self.dial().await?);
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(30))
            .handshake(stream)
            .await
            .map_err(io::Error::other)?;
        tokio::spawn(async move { connection.await.ok() });
        *shared = Some(sender.clone());
        Ok(Sender::Http2(sender))
    }

    async fn dial(&self) -> io::Result<TcpStream> {
        let mut failure = None;
        for address in self.addresses().await? {
            match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => failure = Some(error),
                Err(_) => failure = Some(io::ErrorKind::TimedOut.into()),
            }
        }
        // A Service that was made anew has another address: ask before the next try.
        lock(&self.resolved).fresh_until = None;
        Err(failure.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
    }

    /// Waits for DNS only when there is no address at all or the last one did not work.
    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let (known, is_rejected) = {
            let resolved = lock(&self.resolved);
            match resolved.fresh_until {
                Some(until) if until > Instant::now() => return Ok(resolved.addresses.clone()),
                until => (resolved.addresses.clone(), until.is_none()),
            }
        };
        let asking = self.resolver.resolve(&self.hostname, self.address.port);
        // A known address that has just become stale is as good as any; one that did not work is not.
        let patience = match (known.is_empty(), is_rejected) {
            (true, _) => 5_000,
            (false, true) => 2_000,
            (false, false) => 50,
        };
        let answer = tokio::time::timeout(Duration::from_millis(patience), asking).await;
        let mut resolved = lock(&self.resolved);
        match answer {
            Ok(Ok(addresses)) if !addresses.is_empty() => {
                resolved.addresses.clone_from(&addresses);
                resolved.fresh_until = Some(Instant::now() + ADDRESS_FRESH);
                Ok(addresses)
            }
            _ if !known.is_empty() => {
                // DNS is away or slow: what worked last, and not asked again for each connection.
                resolved.fresh_until = Some(Instant::now() + ADDRESS_FRESH);
                Ok(known)
            }
            Ok(Err(error)) => Err(error),
            _ => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the service has no address",
            )),
        }
    }
}

type Sent = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

/// Waits for the head of the answer. While the client still sends its body, only silence counts.
async fn wait(
    sending: impl Future<Output = Sent>,
    patience: &Patience<'_>,
) -> Result<Sent, Refusal> {
    let mut sending = std::pin::pin!(sending);
    let first = match patience.upload {
        Some(_) => patience.response.min(patience.idle),
        None => patience.response,
    };
    let mut timer = std::pin::pin!(tokio::time::sleep(first));
    loop {
        tokio::select! {
            biased;
            sent = &mut sending => return Ok(sent),
            () = &mut timer => {}
        }
        let Some(upload) = patience.upload else {
            return Err(Refusal::BackendTimeout);
        };
        let has_ended = upload.has_ended.load(Relaxed);
        let allowed = if has_ended {
            patience.response
        } else {
            patience.idle
        };
        let deadline = upload.last_byte() + allowed;
        if deadline > Instant::now() {
            timer.as_mut().reset(deadline);
        } else if !has_ended && upload.is_waiting.load(Relaxed) {
            return Err(Refusal::BodyTimeout);
        } else {
            return Err(Refusal::BackendTimeout);
        }
    }
}

/// RFC 9110 section 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
    )
}

fn copy_head(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// A panic while holding it leaves whole values behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
