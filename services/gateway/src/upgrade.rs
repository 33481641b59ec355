//! WebSockets: after the backend has agreed, bytes pass both ways untouched until one side closes
//! or neither has said anything for the idle time.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes},
    time::Instant,
};

use crate::access_log::Exchange;

/// Small messages are the rule, and there may be thousands of tunnels.
const BUFFER: usize = 8 * 1024;

/// Joins both sides; logs the exchange when it ends.
pub async fn tunnel(
    client: OnUpgrade,
    backend: OnUpgrade,
    idle: Duration,
    mut exchange: Box<Exchange>,
) {
    let (client, backend) = match tokio::try_join!(client, backend) {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "upgrade came to nothing");
            exchange.reason = Some("UpgradeBroken");
            return;
        }
    };
    let begun = Instant::now();
    let moved = Arc::new(AtomicU64::new(0));
    let mut client = Watched {
        io: TokioIo::new(client),
        begun,
        moved: Arc::clone(&moved),
        bytes: 0,
    };
    let mut backend = Watched {
        io: TokioIo::new(backend),
        begun,
        moved: Arc::clone(&moved),
        bytes: 0,
    };
    let copied = tokio::select! {
        copied = copy_bidirectional_with_sizes(&mut client, &mut backend, BUFFER, BUFFER) => copied.map(drop),
        () = silence(begun, &moved, idle) => Err(io::ErrorKind::TimedOut.into()),
    };
    exchange.bytes_out = backend.bytes;
    if let Some(upload) = &exchange.upload {
        upload.bytes.store(client.bytes, Relaxed);
    }
    match copied {
        Ok(()) => exchange.is_complete = true,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            exchange.reason = Some("IdleTimeout");
        }
        Err(_) => exchange.reason = Some("TunnelBroken"),
    }
}

/// Ends when nothing has moved for the idle time.
async fn silence(begun: Instant, moved: &AtomicU64, idle: Duration) {
    loop {
        let until = begun + Duration::from_millis(moved.load(Relaxed)) + idle;
        if until <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(until).await;
    }
}

/// Notes when bytes were last read.
struct Watched<T> {
    io: T,
    begun: Instant,
    /// Milliseconds after `begun`, of both sides.
    moved: Arc<AtomicU64>,
    bytes: u64,
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(context, buffer);
        let read = buffer.filled().len() - before;
        if read > 0 {
            self.bytes += read as u64;
            let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.moved.store(since, Relaxed);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
