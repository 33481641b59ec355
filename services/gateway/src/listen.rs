//! Accept loops, TLS, HTTP on each connection, and the drain at the end.
//!
//! Shutdown, so that a rolling restart loses nothing:
//!
//! ```text
//! stop ── delay: everything is served, /readyz says no, HTTP/1.1 answers say "close"
//!      ── close: no new connections; GOAWAY; what has begun goes on
//!      ── grace: downloads and WebSockets may end by themselves; then what is left is cut
//! ```

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_util::FutureExt;
use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use service::Check;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    certificates::Resolver,
    connection::{Connection, IDLE_HTTP2},
    framing::Remembering,
    gateway::Gateway,
    phases,
    stall::Guarded,
};

/// The ports that clients reach.
pub struct Listeners {
    pub http: TcpListener,
    pub https: TcpListener,
}

/// How to end.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    pub delay: Duration,
    pub grace: Duration,
}

/// What every accept loop and connection needs.
#[derive(Clone)]
struct Door {
    gateway: Arc<Gateway>,
    connections: Arc<Semaphore>,
    tasks: TaskTracker,
    /// No new work.
    closing: CancellationToken,
    /// No work at all.
    ended: CancellationToken,
}

/// Serves until `stop` is cancelled, then drains; returns when the last connection has ended or
/// the grace is over.
///
/// # Errors
/// When TLS cannot be set up.
pub async fn serve(
    gateway: Arc<Gateway>,
    listeners: Listeners,
    stop: CancellationToken,
    drain: Drain,
    ready: Check,
) -> Result<(), rustls::Error> {
    let acceptor = TlsAcceptor::from(Arc::new(tls_config(&gateway)?));
    let door = Door {
        connections: Arc::new(Semaphore::new(gateway.settings.limits.connections)),
        gateway: Arc::clone(&gateway),
        tasks: TaskTracker::new(),
        closing: CancellationToken::new(),
        ended: CancellationToken::new(),
    };
    door.tasks.spawn(accept(listeners.http, None, door.clone()));
    door.tasks
        .spawn(accept(listeners.https, Some(acceptor), door.clone()));
    ready.set(true);

    let mut sweep = tokio::time::interval(Duration::from_secs(20));
    while stop.run_until_cancelled(sweep.tick()).await.is_some() {
        gateway.close_idle_backends();
    }

    gateway.is_draining.store(true, Relaxed);
    ready.set_missing("draining");
    tracing::info!(
        seconds = drain.delay.as_secs(),
        "draining: still serving, no longer ready"
    );
    tokio::time::sleep(drain.delay).await;
    door.closing.cancel();
    door.tasks.close();
    tracing::info!(
        seconds = drain.grace.as_secs(),
        "closed to new connections; waiting for open ones"
    );
    if tokio::time::timeout(drain.grace, door.tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!(left = door.tasks.len(), "ended with open connections");
    }
    door.ended.cancel();
    Ok(())
}

/// TLS 1.2 and 1.3, resumption by tickets whose keys rotate.
fn tls_config(gateway: &Gateway) -> Result<ServerConfig, rustls::Error> {
    let resolver = Arc::new(Resolver {
        store: Arc::clone(&gateway.certificates),
    });
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    // One ticket is what a browser uses; each further one is work on every handshake.
    config.send_tls13_tickets = 1;
    Ok(config)
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, door: Door) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = door.closing.cancelled() => break,
        };
        admit(accepted, tls.as_ref(), &door).await;
    }
    // Those who had connected before we stopped are still ours; closing would reset them.
    while let Some(accepted) = listener.accept().now_or_never() {
        let is_broken = accepted.is_err();
        admit(accepted, tls.as_ref(), &door).await;
        if is_broken {
            break;
        }
    }
}

async fn admit(
    accepted: io::Result<(TcpStream, SocketAddr)>,
    tls: Option<&TlsAcceptor>,
    door: &Door,
) {
    let (stream, peer) = match accepted {
        Ok(accepted) => accepted,
        Err(error) => {
            // Out of file descriptors, most likely: a tight loop would not give any back.
            tracing::warn!(%error, "cannot accept");
            tokio::time::sleep(Duration::from_millis(50)).await;
            return;
        }
    };
    // Over the limit a connection is closed at once: to keep it waiting would help nobody.
    let Ok(permit) = Arc::clone(&door.connections).try_acquire_owned() else {
        tracing::debug!(%peer, "too many connections");
        return;
    };
    let _ = stream.set_nodelay(true);
    let (door, tls) = (door.clone(), tls.cloned());
    let tasks = door.tasks.clone();
    tasks.spawn(async move {
        let ended = door.ended.clone();
        ended
            .run_until_cancelled(converse(door, stream, peer, tls, permit))
            .await;
    });
}

/// A connection from its first byte to its last.
async fn converse(
    door: Door,
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    permit: OwnedSemaphorePermit,
) {
    let gateway = Arc::clone(&door.gateway);
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let open = gateway.metrics.open_connections.clone();
    let mut connection = Connection::new(
        peer,
        gateway.is_trusted(peer.ip()),
        open,
        permit,
        door.tasks.clone(),
        door.ended.clone(),
    );
    let stream = Guarded::new(stream, gateway.settings.limits.stall_timeout);
    let Some(acceptor) = tls else {
        speak_http1(&door, connection, stream).await;
        return;
    };
    let handshake = acceptor.accept(stream);
    let stream =
        match tokio::time::timeout(gateway.settings.limits.handshake_timeout, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return gateway.metrics.handshake_failed(reason(&error)),
            Err(_) => return gateway.metrics.handshake_failed("Timeout"),
        };
    connection.set_tls(&gateway, stream.get_ref().1);
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        speak_http2(&door, connection, stream).await;
    } else {
        speak_http1(&door, connection, stream).await;
    }
}

/// Why a handshake failed, in few words: it becomes a label.
fn reason(error: &io::Error) -> &'static str {
    let Some(error) = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<rustls::Error>())
    else {
        return "ConnectionLost";
    };
    match error {
        rustls::Error::AlertReceived(_) => "RefusedByClient",
        rustls::Error::PeerIncompatible(_) => "NothingInCommon",
        rustls::Error::PeerMisbehaved(_) => "ClientMisbehaved",
        rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. } => "NotTls",
        rustls::Error::General(_) => "NoCertificate",
        rustls::Error::NoApplicationProtocol => "NoApplicationProtocol",
        _ => "Other",
    }
}

// In both: the answer's future is some kilobytes; boxed once here, it is not moved again on its way
// into hyper (about 5 % of the CPU of a request on HTTP/2).
async fn speak_http1<T>(door: &Door, connection: Connection, stream: T)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = door.gateway.head_limits(connection.tls_name());
    let stream = Remembering::new(stream, connection.raw_head.clone());
    let (gateway, connection) = (Arc::clone(&door.gateway), Arc::new(connection));
    let service = service_fn(move |request| {
        let (gateway, connection) = (Arc::clone(&gateway), Arc::clone(&connection));
        async move {
            Ok::<_, std::convert::Infallible>(
                Box::pin(phases::answer(gateway, connection, request)).await,
            )
        }
    });
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.timeout)
        .max_header_size(limits.bytes)
        // Also bounds what a client that reads slowly can make us hold.
        .max_buf_size(limits.bytes.max(64 * 1024))
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    until_closing(conversation, &door.closing.child_token(), |http1| {
        http1.graceful_shutdown()
    })
    .await;
}

async fn speak_http2<T>(door: &Door, connection: Connection, stream: T)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &door.gateway.settings.limits;
    let head = door.gateway.head_limits(connection.tls_name());
    let (gateway, connection) = (Arc::clone(&door.gateway), Arc::new(connection));
    let watched = Arc::clone(&connection);
    let service = service_fn(move |request| {
        let (gateway, connection) = (Arc::clone(&gateway), Arc::clone(&connection));
        async move {
            Ok::<_, std::convert::Infallible>(
                Box::pin(phases::answer(gateway, connection, request)).await,
            )
        }
    });
    let conversation = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(head.bytes).unwrap_or(u32::MAX))
        // Rapid reset (CVE-2023-44487): few resets before the connection is dropped.
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(100)
        // One upload fills a fast line; all uploads of a connection together stay at a megabyte.
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .serve_connection(TokioIo::new(stream), service);
    let closing = door.closing.child_token();
    let idle = async {
        let mut look = tokio::time::interval(IDLE_HTTP2 / 3);
        loop {
            look.tick().await;
            if watched.is_idle() {
                closing.cancel();
                // GOAWAY has gone; whoever does not hang up now never will.
                tokio::time::sleep(IDLE_HTTP2 / 3).await;
                if watched.is_idle() {
                    return;
                }
            }
        }
    };
    tokio::select! {
        () = until_closing(conversation, &closing, |http2| http2.graceful_shutdown()) => {}
        () = idle => {}
    }
}

/// Runs a conversation to its end, which comes gracefully once the token is cancelled. Errors are
/// the client's or already logged with their exchange.
async fn until_closing<C: Future>(
    conversation: C,
    closing: &CancellationToken,
    shut_down: impl Fn(Pin<&mut C>),
) {
    // `closing` is the connection's own child of the token: asking it locks nobody else.
    let mut conversation = std::pin::pin!(conversation);
    let mut cancelled = std::pin::pin!(closing.cancelled());
    let (mut is_registered, mut is_told) = (false, false);
    std::future::poll_fn(|context| {
        // Asked once for the waker of this task, and then only when it has something to say.
        if !is_told && (!is_registered || closing.is_cancelled()) {
            is_registered = true;
            if cancelled.as_mut().poll(context).is_ready() {
                is_told = true;
                shut_down(conversation.as_mut());
            }
        }
        conversation.as_mut().poll(context).map(drop)
    })
    .await;
}
