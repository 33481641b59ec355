//! The proxy between one life of the operator and the API server. It numbers every write, does the
//! mischief it was told to do, and shows the operator its own organization only (`sight.rs`), so that
//! many runs share an API server without seeing each other.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::{StreamExt as _, future::ready, stream};
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2::SendRequest,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::{
    mischief::{Deed, Mischief, Mischievous, Point, Write},
    sight::Sight,
    stage::Upstream,
    watches::{self, Fog, Told},
};

/// Longer than any operator in these tests waits for an answer.
const SILENCE: Duration = Duration::from_secs(60);

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// A call as the proxy saw it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which one it is among the writes since the last [`Proxy::arm`].
    pub write: Option<Write>,
    /// Method.
    pub method: Method,
    /// Path and query, as the operator asked.
    pub path: String,
    /// A watch, or the list before one.
    pub is_watching: bool,
    /// About the lease.
    pub is_lease: bool,
    /// What was done to it.
    pub deed: Deed,
    /// What the API server, or we, answered.
    pub status: Option<StatusCode>,
    /// When it came.
    pub at: Instant,
}

/// A proxy. Dropping it ends it and its connections.
pub struct Proxy {
    /// Where the operator finds it.
    pub address: SocketAddr,
    inner: Arc<Inner>,
    _end: tokio_util::sync::DropGuard,
}

struct Inner {
    upstream: SendRequest<Full<Bytes>>,
    host: String,
    sight: Sight,
    writes: Mutex<Writes>,
    under_way: AtomicU64,
    mischief: Mutex<Mischievous>,
    fog: Mutex<Fog>,
    told: Mutex<Told>,
    calls: Mutex<Vec<Call>>,
    last_write: Mutex<Instant>,
    /// Cancelled: the operator is dead, and nothing of it is forwarded any more.
    killed: CancellationToken,
    has_fired: AtomicBool,
    seed: u64,
}

/// The writes that there were.
#[derive(Default)]
struct Writes {
    number: u64,
    of_kind: HashMap<String, u64>,
}

impl Writes {
    fn next(&mut self, what: String) -> Write {
        self.number += 1;
        let nth = self.of_kind.entry(what.clone()).or_default();
        *nth += 1;
        Write {
            number: self.number,
            point: Point { what, nth: *nth },
        }
    }
}

impl Proxy {
    /// Starts one that shows so much. `killed` is cancelled when the operator must die.
    pub async fn start(
        upstream: &Upstream,
        sight: Sight,
        fog: Fog,
        seed: u64,
        killed: CancellationToken,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let inner = Arc::new(Inner {
            upstream: connect(upstream).await?,
            host: upstream.host.clone(),
            sight,
            writes: Mutex::default(),
            under_way: AtomicU64::new(0),
            mischief: Mutex::new(Mischievous::new(Mischief::Calm)),
            fog: Mutex::new(fog),
            told: Mutex::default(),
            calls: Mutex::default(),
            last_write: Mutex::new(Instant::now()),
            killed,
            has_fired: AtomicBool::new(false),
            seed,
        });
        let end = CancellationToken::new();
        tokio::spawn(accept(listener, inner.clone(), end.clone()));
        Ok(Self {
            address,
            inner,
            _end: end.drop_guard(),
        })
    }

    /// Counts anew, and does this mischief from now on.
    pub fn arm(&self, mischief: Mischief) {
        *lock(&self.inner.mischief) = Mischievous::new(mischief);
        *lock(&self.inner.writes) = Writes::default();
        self.inner.has_fired.store(false, Ordering::SeqCst);
        lock(&self.inner.calls).clear();
    }

    /// How many writes there were since the last [`Proxy::arm`].
    pub fn writes(&self) -> u64 {
        lock(&self.inner.writes).number
    }

    /// Whether the mischief happened at least once.
    pub fn has_fired(&self) -> bool {
        self.inner.has_fired.load(Ordering::SeqCst)
    }

    /// All calls since the last [`Proxy::arm`].
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.inner.calls).clone()
    }

    /// For how long there was no write, and none is under way.
    pub fn quiet_for(&self) -> Duration {
        if self.inner.under_way.load(Ordering::SeqCst) > 0 {
            return Duration::ZERO;
        }
        lock(&self.inner.last_write).elapsed()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection for all of an operator's calls and watches.
async fn connect(upstream: &Upstream) -> Result<SendRequest<Full<Bytes>>> {
    let tcp = TcpStream::connect(upstream.address).await?;
    tcp.set_nodelay(true)?;
    let tls = upstream.tls.connect(upstream.name.clone(), tcp).await?;
    let (send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
            .await
            .context("the API server speaks no HTTP/2")?;
    tokio::spawn(connection);
    Ok(send)
}

async fn accept(listener: TcpListener, inner: Arc<Inner>, end: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = end.cancelled() => return,
        };
        let tcp = match accepted {
            Ok((tcp, _)) => tcp,
            // It says nothing of the next one; without any the operator would fall silent.
            Err(error) => {
                eprintln!("the proxy could not accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        let _ = tcp.set_nodelay(true);
        let (inner, end) = (inner.clone(), end.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| handle(inner.clone(), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(tcp), service);
            tokio::select! {
                // A refusal to answer ends the connection: that is what an error here means.
                _ = connection => {}
                () = end.cancelled() => {}
                () = inner.killed.cancelled() => {}
            }
        });
    }
}

/// The connection ends without an answer.
#[derive(Debug)]
struct NoAnswer;

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("no answer")
    }
}

impl std::error::Error for NoAnswer {}

async fn handle(inner: Arc<Inner>, request: Request<Incoming>) -> Result<Response<Body>, NoAnswer> {
    let is_write = !matches!(*request.method(), Method::GET | Method::HEAD);
    if is_write {
        inner.under_way.fetch_add(1, Ordering::SeqCst);
    }
    // Counted down even when the connection breaks and this is dropped.
    let _under_way = is_write.then(|| UnderWay(inner.clone()));
    serve(&inner, request, is_write).await
}

struct UnderWay(Arc<Inner>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        *lock(&self.0.last_write) = Instant::now();
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(
    inner: &Inner,
    request: Request<Incoming>,
    is_write: bool,
) -> Result<Response<Body>, NoAnswer> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| NoAnswer)?.to_bytes();
    if inner.killed.is_cancelled() {
        return Err(NoAnswer);
    }
    let path = parts
        .uri
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    let is_lease = path.contains("/leases");
    let is_watch = path.contains("watch=true");
    let narrowed = inner.sight.narrow(&path);
    // What the keyhole changes is asked of the whole cluster: only watches ask that.
    let is_watching =
        is_watch || (!is_write && (narrowed.is_some() || is_list_before_watch(&path)));
    let write = (is_write && !is_lease).then(|| {
        let what = format!("{} {}", parts.method, lasting(&path, inner.sight.own()));
        lock(&inner.writes).next(what)
    });
    let deed = if is_watching || is_lease {
        Deed::Forward
    } else {
        lock(&inner.mischief).decide(write.as_ref())
    };
    if deed != Deed::Forward {
        inner.has_fired.store(true, Ordering::SeqCst);
    }
    let index = {
        let mut calls = lock(&inner.calls);
        calls.push(Call {
            write,
            method: parts.method.clone(),
            path: path.clone(),
            is_watching,
            is_lease,
            deed,
            status: None,
            at: Instant::now(),
        });
        calls.len() - 1
    };
    let note = |status: StatusCode| {
        // The list may have been cleared meanwhile.
        if let Some(call) = lock(&inner.calls).get_mut(index)
            && call.path == path
        {
            call.status = Some(status);
        }
    };
    let mut forwarded = Request::builder()
        .method(parts.method.clone())
        .uri(absolute(&inner.host, narrowed.as_deref().unwrap_or(&path)))
        .body(Full::new(body))
        .map_err(|_| NoAnswer)?;
    for name in [header::CONTENT_TYPE, header::ACCEPT, header::USER_AGENT] {
        if let Some(value) = parts.headers.get(&name) {
            forwarded.headers_mut().insert(name, value.clone());
        }
    }
    let forward = async {
        let answer = inner.upstream.clone().send_request(forwarded).await;
        let answer = answer.map_err(|_| NoAnswer)?;
        note(answer.status());
        Ok::<_, NoAnswer>(answer)
    };
    match deed {
        Deed::Forward if is_watch => Ok(watch(inner, &path, forward.await?)),
        Deed::Forward => {
            let (parts, body) = forward.await?.into_parts();
            let body = match inner.sight.hides(&path) {
                true => {
                    let all = body.collect().await.map_err(|_| NoAnswer)?.to_bytes();
                    let shown = Full::new(inner.sight.list(&all));
                    shown.map_err(|never| match never {}).boxed_unsync()
                }
                false => body.boxed_unsync(),
            };
            let mut answer = Response::new(body);
            *answer.status_mut() = parts.status;
            for name in [header::CONTENT_TYPE, header::RETRY_AFTER] {
                if let Some(value) = parts.headers.get(&name) {
                    answer.headers_mut().insert(name, value.clone());
                }
            }
            Ok(answer)
        }
        Deed::KillBefore => {
            inner.killed.cancel();
            Err(NoAnswer)
        }
        Deed::KillAfter => {
            finish(forward.await?).await;
            inner.killed.cancel();
            Err(NoAnswer)
        }
        Deed::LoseAnswer => {
            finish(forward.await?).await;
            Err(NoAnswer)
        }
        Deed::Break => Err(NoAnswer),
        Deed::Answer(status, retry_after) => {
            note(status);
            Ok(refuse(status, retry_after))
        }
        Deed::Silence { is_applied } => {
            if is_applied {
                finish(forward.await?).await;
            }
            tokio::time::sleep(SILENCE).await;
            Err(NoAnswer)
        }
    }
}

/// Waits for the end of an answer: what it tells has happened by then.
async fn finish(answer: Response<Incoming>) {
    let _ = answer.into_body().collect().await;
}

fn watch(inner: &Inner, path: &str, answer: Response<Incoming>) -> Response<Body> {
    let (parts, body) = answer.into_parts();
    let fog = lock(&inner.fog).clone();
    let body = if parts.status != StatusCode::OK {
        body.boxed_unsync()
    } else if inner.sight.hides(path) {
        let sight = inner.sight.clone();
        let shown = watches::lines(body).filter(move |line| ready(sight.shows(line)));
        StreamBody::new(shown.map(|line| Ok(Frame::data(line)))).boxed_unsync()
    } else if fog == Fog::Clear {
        body.boxed_unsync()
    } else {
        let kind = path.split('?').next().unwrap_or(path).to_owned();
        let is_told_gone = lock(&inner.told).insert(kind);
        let lines = watches::through(fog, is_told_gone, inner.seed, body);
        StreamBody::new(lines.map(|line| Ok(Frame::data(line)))).boxed_unsync()
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = parts.status;
    if let Some(kind) = parts.headers.get(header::CONTENT_TYPE) {
        answer
            .headers_mut()
            .insert(header::CONTENT_TYPE, kind.clone());
    }
    answer
}

/// A refusal in the API server's own words.
fn refuse(status: StatusCode, retry_after: Option<u64>) -> Response<Body> {
    let (reason, message) = match status.as_u16() {
        409 => (
            "Conflict",
            "Operation cannot be fulfilled: the object has been modified; please apply your \
             changes to the latest version and try again",
        ),
        429 => (
            "TooManyRequests",
            "too many requests, please try again later",
        ),
        503 => (
            "ServiceUnavailable",
            "the server is currently unable to handle the request",
        ),
        504 => (
            "Timeout",
            "request did not complete within the allotted timeout",
        ),
        _ => (
            "InternalError",
            "an error on the server has prevented the request from succeeding",
        ),
    };
    let body = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": status.as_u16(),
    });
    let line = stream::iter([Ok(Frame::data(Bytes::from(body.to_string())))]);
    let mut answer = Response::new(StreamBody::new(line).boxed_unsync());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    answer
}

/// A path without what is another in each life: the namespace, and names of events.
fn lasting(path: &str, namespace: &str) -> String {
    let route = path.split('?').next().unwrap_or(path);
    let mut segments: Vec<&str> = route.split('/').collect();
    for segment in &mut segments {
        if *segment == namespace {
            *segment = "*";
        }
    }
    // An event is named by its time.
    if segments.iter().rev().nth(1) == Some(&"events") {
        segments.pop();
    }
    segments.join("/")
}

fn absolute(host: &str, path: &str) -> Uri {
    Uri::builder()
        .scheme("https")
        .authority(host)
        .path_and_query(path)
        .build()
        .unwrap_or_default()
}

/// The list before a watch that is not narrowed: of definitions, and in one namespace of hostnames that
/// are kept and of gateways.
fn is_list_before_watch(path: &str) -> bool {
    let is_of_namespace = ["/configmaps?", "/pods?"]
        .iter()
        .any(|it| path.contains(it));
    path.starts_with("/apis/tutti.dev/v1alpha1/appdefinitions?")
        || (is_of_namespace && path.contains("labelSelector="))
}
