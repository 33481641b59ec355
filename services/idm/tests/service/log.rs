//! What all replicas of this process log.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Captured;

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps what all replicas of this process log, as talkative as they can be.
pub fn capture() {
    let filter = "idm=trace,service=trace,sqlx=trace,axum=trace,tower=trace";
    // The first test sets it up for all.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Captured)
        .with_ansi(false)
        .try_init();
}

/// What was logged so far.
pub fn text() -> String {
    String::from_utf8_lossy(&LOG.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}
