//! News of idm: the version of everything that decides who may do what, asked for without a pause.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::Duration,
};

use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use super::{SILENCE, idm::Idm};

/// idm answers a change at once, and nothing after this: so it is known soon when it does not answer at all.
const WAIT: Duration = Duration::from_secs(1);
/// Between two tries while it does not answer.
const PAUSE: Duration = Duration::from_millis(250);

/// What is known of idm.
#[derive(Default)]
pub struct News {
    version: AtomicI64,
    times: Mutex<Times>,
}

#[derive(Clone, Copy, Default)]
struct Times {
    heard: Option<Instant>,
    away: Option<Instant>,
}

impl News {
    /// The newest version that was heard of.
    pub fn version(&self) -> i64 {
        self.version.load(SeqCst)
    }

    /// Whether a change could have been missed.
    pub fn is_silent(&self) -> bool {
        self.times().heard.is_none_or(|at| at.elapsed() > SILENCE)
    }

    /// Whether it did not answer a moment ago.
    pub fn is_resting(&self, pause: Duration) -> bool {
        self.times().away.is_some_and(|at| at.elapsed() < pause)
    }

    pub fn is_away(&self) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        if times
            .away
            .is_none_or(|at| at.elapsed() >= super::ASKED_AGAIN)
        {
            times.away = Some(Instant::now());
        }
    }

    pub fn answers(&self) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.away = None;
    }

    fn hear(&self, version: i64, asked: Instant) {
        // Smaller than before: somebody has restored the database.
        self.version.store(version, SeqCst);
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        // What changed after it was asked may not be in the answer.
        times.heard = Some(asked);
    }

    fn times(&self) -> Times {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows without end.
pub async fn follow(idm: &Idm, news: &News, connected: &Gauge) {
    let mut is_told = false;
    loop {
        let asked = Instant::now();
        match idm.version(news.version(), WAIT).await {
            Some(version) => {
                news.hear(version, asked);
                connected.set(1);
                if std::mem::take(&mut is_told) {
                    tracing::info!("idm answers again");
                }
            }
            None => {
                connected.set(0);
                if news.is_silent() && !std::mem::replace(&mut is_told, true) {
                    tracing::warn!(
                        seconds = SILENCE.as_secs(),
                        "idm does not answer: members pass until their passes end, admins do not"
                    );
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
