//! News of the version: whoever keeps an answer waits here until it may be another one. Each replica listens to
//! the database once, for all who wait.

use std::time::Duration;

use service::telemetry::with_causes;
use sqlx::postgres::PgListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::store;
use crate::{
    app::{App, Shared},
    error::Failure,
};

/// What the trigger tells.
const CHANNEL: &str = "grants";
/// How often it is looked in any case: news can be lost with a connection.
const LOOK: Duration = Duration::from_secs(1);

/// Before the first look; versions begin with 1.
const NONE: i64 = 0;

/// The version that this replica knows.
pub struct Changes(watch::Sender<i64>);

impl Default for Changes {
    fn default() -> Self {
        Self(watch::Sender::new(NONE))
    }
}

impl Changes {
    /// The version, as soon as it is larger than this one, or when the patience is at its end.
    ///
    /// # Errors
    /// When there is none yet.
    pub async fn after(&self, version: i64, patience: Duration) -> Result<i64, Failure> {
        let mut known = self.0.subscribe();
        // The sender is `self`: it does not go.
        let _ = tokio::time::timeout(patience, known.wait_for(|known| *known > version)).await;
        let known = *known.borrow();
        if known == NONE {
            return Err(Failure::NotMigrated);
        }
        Ok(known)
    }

    fn set(&self, version: i64) {
        self.0.send_if_modified(|known| {
            let is_new = *known != version;
            *known = version;
            is_new
        });
    }
}

/// Keeps the version known until told to stop.
pub async fn follow(app: Shared, stop: CancellationToken) {
    let news = Notify::new();
    let both = async { tokio::join!(listen(&app, &news), look(&app, &news)) };
    stop.run_until_cancelled(both).await;
}

async fn listen(app: &App, news: &Notify) {
    loop {
        if let Err(error) = hear(app, news).await {
            let causes = with_causes(error.to_string(), &error);
            tracing::debug!("changes are not heard of now, and looked for each second: {causes}");
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn hear(app: &App, news: &Notify) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(&app.pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        listener.recv().await?;
        news.notify_one();
    }
}

async fn look(app: &App, news: &Notify) {
    loop {
        match read(app).await {
            Ok(version) => app.changes.set(version),
            Err(error) => {
                let causes = with_causes(error.to_string(), &error);
                tracing::debug!("the version cannot be read now: {causes}");
            }
        }
        let _ = tokio::time::timeout(LOOK, news.notified()).await;
    }
}

async fn read(app: &App) -> Result<i64, Failure> {
    let mut connection = app.connection().await?;
    Ok(store::version(&mut connection).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_is_told_at_once_and_at_the_latest_when_the_patience_ends() {
        let changes = Changes::default();
        let (short, long) = (Duration::from_millis(20), Duration::from_secs(60));
        assert!(changes.after(3, short).await.is_err(), "none is known");
        changes.set(7);
        assert_eq!(changes.after(6, long).await.unwrap(), 7);
        assert_eq!(changes.after(7, short).await.unwrap(), 7);
        let change = async { changes.set(8) };
        let (version, ()) = tokio::join!(changes.after(7, long), change);
        assert_eq!(version.unwrap(), 8);
    }
}
