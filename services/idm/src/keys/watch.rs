//! Reads the set again and again, and does what is due.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use secrecy::ExposeSecret;
use service::{Check, Liveness, telemetry::with_causes};
use sqlx::PgConnection;
use tokens::{
    KeySet,
    keys::NotPublished,
    private::BadKey,
    stored::{self, BadKeySet},
};
use tokio_util::sync::CancellationToken;

use super::{cipher::Unsealed, is_due, store, turn};
use crate::{
    app::{App, Shared},
    error::Failure,
};

/// A key is published a day before it signs, so that nobody has to hurry.
const AGAIN: Duration = Duration::from_secs(20);
/// Until it was read once, which it is waited for.
const SOON: Duration = Duration::from_millis(200);

/// Why there is no set of keys. The texts hold nothing of one.
#[derive(Debug, thiserror::Error)]
pub enum NoKeys {
    #[error(transparent)]
    Database(#[from] Failure),
    #[error("the signing keys cannot be decrypted: {0}")]
    Unsealed(#[from] Unsealed),
    #[error("the signing keys cannot be read: {0}")]
    Bad(#[from] BadKeySet),
    #[error("a signing key cannot be made: {0}")]
    NotMade(#[from] BadKey),
    #[error("a signing key was not taken: {0}")]
    NotPublished(#[from] NotPublished),
}

impl From<sqlx::Error> for NoKeys {
    fn from(error: sqlx::Error) -> Self {
        Failure::from(error).into()
    }
}

impl NoKeys {
    /// Whether somebody has to look after it: what is stored does not get better by itself.
    fn is_lasting(&self) -> bool {
        matches!(self, Self::Unsealed(_) | Self::Bad(_))
    }
}

/// Ready once the keys were read; from then on this replica has some, also while the database is away. Keys
/// that cannot be read at the start end the process: who went on would refuse everybody, or make others that
/// nobody believes.
pub async fn watch(app: Shared, ready: Check, liveness: Liveness, stop: CancellationToken) {
    loop {
        let has_keys = match look(&app).await {
            Ok(()) => {
                ready.set(true);
                true
            }
            Err(error) => {
                let has_keys = app.keys.get().is_some();
                if error.is_lasting() && !has_keys {
                    tracing::error!("{error}");
                    ready.set_missing(error.to_string());
                    return liveness.fail(error.to_string());
                }
                if error.is_lasting() {
                    tracing::error!("those of before go on signing: {error}");
                } else if app.is_migrated.load(Relaxed) {
                    let causes = with_causes(error.to_string(), &error);
                    tracing::warn!("the signing keys cannot be looked at now: {causes}");
                }
                has_keys
            }
        };
        let pause = tokio::time::sleep(if has_keys { AGAIN } else { SOON });
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

/// Reads the set, and does what is due: the first key of all, a next one, the end of an old one.
///
/// # Errors
/// When the database does not answer, or what is stored is not ours to read.
pub async fn look(app: &App) -> Result<(), NoKeys> {
    let mut connection = app.connection().await?;
    let mut set = read(app, &mut connection).await?;
    drop(connection);
    if is_due(&set, app.now()) {
        let mut transaction = app.begin().await?;
        store::hold(&mut transaction).await?;
        // Another replica may have been quicker.
        set = read(app, &mut transaction).await?;
        if is_due(&set, app.now()) {
            turn(&mut set, app.now())?;
            let sealed = app.settings.cipher.seal(&stored::to_json(&set)?)?;
            store::set(&mut transaction, &sealed, app.now()).await?;
            transaction.commit().await?;
            let keys: Vec<&str> = set.keys().iter().map(tokens::keys::Key::id).collect();
            tracing::info!(?keys, "the signing keys are changed");
        }
    }
    app.keys.put(set);
    Ok(())
}

async fn read(app: &App, on: &mut PgConnection) -> Result<KeySet, NoKeys> {
    let Some(sealed) = store::find(on).await? else {
        return Ok(KeySet::default());
    };
    let text = app.settings.cipher.open(&sealed)?;
    Ok(stored::from_json(text.expose_secret())?)
}
