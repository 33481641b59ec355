//! Requests that give their length in two ways, Content-Length and Transfer-Encoding, are how one
//! request is hidden in another. hyper reads such a request by its chunks, forgets the length and
//! closes the connection afterwards (RFC 9112 section 6.1), so nothing can be hidden from our
//! backends; but it does not tell us. This is the stream that remembers the raw head, for the few
//! requests with a Transfer-Encoding, so that they can be refused.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use memchr::{memchr_iter, memmem};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// More than a head may have; older bytes are let go.
const MOST: usize = 64 * 1024;
const END: &[u8] = b"\r\n\r\n";

/// Raw bytes of the head that is being read, if there is reason to keep them.
#[derive(Clone, Debug, Default)]
pub struct RawHead {
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl RawHead {
    /// Whether the head that begins with this request line gives a Content-Length. Asked for
    /// requests that have a Transfer-Encoding.
    #[must_use]
    pub fn gives_length(&self, method: &str, target: &str) -> bool {
        let bytes = std::mem::take(&mut *self.bytes.lock().unwrap_or_else(PoisonError::into_inner));
        gives_length(&bytes, method, target)
    }
}

fn gives_length(raw: &[u8], method: &str, target: &str) -> bool {
    let line = format!("{method} {target} HTTP/1.1\r\n");
    let Some(begin) = memmem::find(raw, line.as_bytes()) else {
        return false;
    };
    let head = raw.get(begin..).unwrap_or_default();
    let head = head
        .get(..memmem::find(head, END).unwrap_or(head.len()))
        .unwrap_or_default();
    head.split(|byte| *byte == b'\n').any(|line| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        name.eq_ignore_ascii_case(b"content-length")
    })
}

/// Whether these bytes name Transfer-Encoding, in any case.
fn names_transfer_encoding(bytes: &[u8]) -> bool {
    memchr_iter(b'-', bytes).any(|dash| {
        let before = dash.checked_sub(8).and_then(|begin| bytes.get(begin..dash));
        before.is_some_and(|word| word.eq_ignore_ascii_case(b"transfer"))
            && bytes
                .get(dash + 1..dash + 9)
                .is_some_and(|word| word.eq_ignore_ascii_case(b"encoding"))
    })
}

/// A stream that keeps heads that are incomplete or name Transfer-Encoding.
pub struct Remembering<T> {
    io: T,
    head: RawHead,
    keeps: bool,
}

impl<T> Remembering<T> {
    pub fn new(io: T, head: RawHead) -> Self {
        Self {
            io,
            head,
            keeps: false,
        }
    }

    fn look(&mut self, bytes: &[u8]) {
        let is_wanted = memmem::find(bytes, END).is_none() || names_transfer_encoding(bytes);
        // What most reads are: a whole head without it. No lock is taken.
        if !is_wanted && !self.keeps {
            return;
        }
        let mut kept = self
            .head
            .bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // The end of a head whose beginning was kept belongs to it.
        if kept.len() + bytes.len() > MOST {
            kept.clear();
        }
        if bytes.len() <= MOST {
            kept.extend_from_slice(bytes);
        }
        if !is_wanted && !names_transfer_encoding(&kept) {
            kept.clear();
        }
        self.keeps = !kept.is_empty();
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Remembering<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(context, buffer);
        if let Some(bytes @ [_, ..]) = buffer.filled().get(before..) {
            self.look(bytes);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Remembering<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(reads: &[&str]) -> bool {
        let head = RawHead::default();
        let mut stream = Remembering::new((), head.clone());
        reads.iter().for_each(|read| stream.look(read.as_bytes()));
        head.gives_length("POST", "/a")
    }

    #[test]
    fn both_lengths_are_seen_in_any_order_case_and_number_of_reads() {
        assert!(seen(&[
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        ]));
        assert!(seen(&[
            "POST /a HTTP/1.1\r\nTRANSFER-encoding: chunked\r\ncontent-LENGTH: 4\r\n\r\n"
        ]));
        assert!(seen(&[
            "POST /a HTTP/1.1\r\nContent-Le",
            "ngth: 4\r\nTransfer-",
            "Encoding: chunked\r\n\r\n"
        ]));
    }

    #[test]
    fn a_length_in_a_body_or_in_another_request_is_not_this_ones() {
        let chunked = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(!seen(&[chunked]));
        assert!(!seen(&[&format!(
            "{chunked}20\r\nContent-Length: 4\r\n\r\n"
        )]));
        assert!(!seen(&[
            "POST /b HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
            chunked
        ]));
        assert!(!seen(&[&format!(
            "POST /b HTTP/1.1\r\nContent-Length: 1\r\n\r\nx{chunked}"
        )]));
        assert!(!seen(&[&"x".repeat(MOST), &"y".repeat(MOST), chunked]));
    }
}
