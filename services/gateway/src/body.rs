//! Bodies on their way through: the client's, held to its limit, and the answer, held to the idle
//! timeout. Both are passed on frame by frame as they come; nothing is collected.

use std::{
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::{
    access_log::{Exchange, Upload},
    connection::Connection,
    forward::Lease,
};

/// A body that nobody wants is read on for at most this long, and while its client goes on sending.
const READ_ON: Duration = Duration::from_secs(10);
const READ_ON_SILENCE: Duration = Duration::from_secs(1);

/// Reads a refused body on for a moment, and forgets it: a connection that is closed while its client
/// sends is reset, and the client never sees the answer (RFC 9112 section 9.6).
pub fn read_on(mut body: Incoming, connection: &Arc<Connection>) {
    if body.is_end_stream() {
        return;
    }
    connection.spawn(async move {
        let reading = async {
            loop {
                let next = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
                let Ok(Some(Ok(_))) = timeout(READ_ON_SILENCE, next).await else {
                    break;
                };
            }
        };
        let _ = timeout(READ_ON, reading).await;
    });
}

/// A request body on its way to the backend.
pub struct RequestBody {
    body: Option<Passing>,
    /// Bytes that may still come.
    left: u64,
}

struct Passing {
    body: Incoming,
    upload: Arc<Upload>,
    connection: Arc<Connection>,
}

impl RequestBody {
    /// The body of most requests.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            body: None,
            left: 0,
        }
    }

    #[must_use]
    pub fn new(
        body: Incoming,
        upload: Arc<Upload>,
        connection: Arc<Connection>,
        limit: u64,
    ) -> Self {
        Self {
            body: Some(Passing {
                body,
                upload,
                connection,
            }),
            left: limit,
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.body.is_none()
    }

    fn let_go(&mut self) {
        if let Some(passing) = self.body.take()
            && !passing.upload.has_ended.load(Relaxed)
            && !passing.upload.is_broken.load(Relaxed)
        {
            read_on(passing.body, &passing.connection);
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let Some(Passing { body, upload, .. }) = &mut this.body else {
            return Poll::Ready(None);
        };
        let Poll::Ready(polled) = Pin::new(&mut *body).poll_frame(context) else {
            upload.is_waiting.store(true, Relaxed);
            return Poll::Pending;
        };
        upload.is_waiting.store(false, Relaxed);
        let frame = match polled {
            None => {
                upload.has_ended.store(true, Relaxed);
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                upload.is_broken.store(true, Relaxed);
                return Poll::Ready(Some(Err(io::Error::other(error))));
            }
            Some(Ok(frame)) => frame,
        };
        let length = frame.data_ref().map_or(0, Bytes::len);
        upload.progress(length);
        let Some(left) = this.left.checked_sub(length as u64) else {
            upload.is_over_limit.store(true, Relaxed);
            this.let_go();
            return Poll::Ready(Some(Err(io::Error::other("the body is over its limit"))));
        };
        this.left = left;
        // A body with a length ends without being polled again.
        if body.is_end_stream() {
            upload.has_ended.store(true, Relaxed);
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body
            .as_ref()
            .is_none_or(|passing| passing.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(
            || SizeHint::with_exact(0),
            |passing| passing.body.size_hint(),
        )
    }
}

/// What the client gets: a page of ours or the backend's answer. Carries the exchange, which is
/// logged when this is dropped.
pub struct Answer {
    source: Source,
    /// `None` where somebody else keeps it: a tunnel.
    exchange: Option<Box<Exchange>>,
}

enum Source {
    Page(Option<Bytes>),
    Backend(Box<Download>),
}

struct Download {
    body: Incoming,
    /// The connection to give back when the answer has ended.
    lease: Option<Lease>,
    idle: Duration,
    /// Made at the first wait: a small answer needs none.
    timer: Option<Pin<Box<Sleep>>>,
    has_moved: bool,
}

impl Answer {
    #[must_use]
    pub fn page(page: Bytes, mut exchange: Box<Exchange>) -> Self {
        exchange.is_complete = page.is_empty();
        let exchange = Some(exchange);
        Self {
            source: Source::Page((!page.is_empty()).then_some(page)),
            exchange,
        }
    }

    /// The body of an answer that switches protocols.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            source: Source::Page(None),
            exchange: None,
        }
    }

    #[must_use]
    pub fn backend(
        body: Incoming,
        lease: Option<Lease>,
        idle: Duration,
        mut exchange: Box<Exchange>,
    ) -> Self {
        if body.is_end_stream() {
            if let Some(lease) = lease {
                lease.give_back();
            }
            exchange.is_complete = true;
            return Self {
                source: Source::Page(None),
                exchange: Some(exchange),
            };
        }
        let download = Download {
            body,
            lease,
            idle,
            timer: None,
            has_moved: false,
        };
        Self {
            source: Source::Backend(Box::new(download)),
            exchange: Some(exchange),
        }
    }
}

impl Download {
    /// Whether nothing has moved in either direction for the idle time.
    fn poll_idle(&mut self, upload: Option<&Upload>, context: &mut Context<'_>) -> Poll<()> {
        let idle = self.idle;
        let has_moved = std::mem::replace(&mut self.has_moved, false);
        let timer = match &mut self.timer {
            None => self
                .timer
                .insert(Box::pin(sleep_until(Instant::now() + idle))),
            Some(timer) => {
                if has_moved {
                    timer.as_mut().reset(Instant::now() + idle);
                }
                timer
            }
        };
        loop {
            ready!(timer.as_mut().poll(context));
            match upload.map(|upload| upload.last_byte() + idle) {
                Some(later) if later > Instant::now() => timer.as_mut().reset(later),
                _ => return Poll::Ready(()),
            }
        }
    }

    fn end(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let Some(exchange) = &mut this.exchange else {
            return Poll::Ready(None);
        };
        let download = match &mut this.source {
            Source::Page(page) => {
                let page = page.take();
                exchange.is_complete = true;
                exchange.bytes_out += page.as_ref().map_or(0, Bytes::len) as u64;
                return Poll::Ready(page.map(|page| Ok(Frame::data(page))));
            }
            Source::Backend(download) => download,
        };
        match Pin::new(&mut download.body).poll_frame(context) {
            Poll::Pending => {
                ready!(download.poll_idle(exchange.upload.as_deref(), context));
                exchange.reason = Some("IdleTimeout");
                Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut))))
            }
            Poll::Ready(None) => {
                exchange.is_complete = true;
                download.end();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                exchange.reason = Some("BackendBrokeOff");
                Poll::Ready(Some(Err(io::Error::other(error))))
            }
            Poll::Ready(Some(Ok(frame))) => {
                download.has_moved = true;
                exchange.bytes_out += frame.data_ref().map_or(0, Bytes::len) as u64;
                if download.body.is_end_stream() {
                    exchange.is_complete = true;
                    download.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Page(page) => page.is_none(),
            Source::Backend(download) => download.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Page(page) => SizeHint::with_exact(page.as_ref().map_or(0, Bytes::len) as u64),
            Source::Backend(download) => download.body.size_hint(),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(exchange) = &mut self.exchange
            && !exchange.is_complete
            && exchange.reason.is_none()
        {
            exchange.reason = Some("ClientGone");
        }
    }
}
