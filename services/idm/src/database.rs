//! The database: how to connect, its migrations, and whether it answers. Every query stands in the `store`
//! of its feature.
//!
//! Migrations are forward only and in two steps: one version adds what the next one needs, so that replicas
//! of two versions run beside each other.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use jiff::{SignedDuration, Timestamp};
use service::{Check, Liveness};
use sqlx::{
    PgPool,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio_util::sync::CancellationToken;

use crate::{app::Shared, door, oidc, sessions, sign_in, tickets};

/// How long somebody waits for a page that says that the database is away.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is looked whether it answers.
const LOOK: Duration = Duration::from_secs(2);
/// How often what has ended by itself is removed; until then it is only in the way of the disk.
const SWEEP: SignedDuration = SignedDuration::from_mins(30);

static MIGRATIONS: Migrator = {
    let mut migrator = sqlx::migrate!("./migrations");
    // A replica of the version before starts beside the next one's tables.
    migrator.ignore_missing = true;
    migrator
};

/// Connections that are made when they are needed: a database that is away keeps nothing from starting.
#[must_use]
pub fn pool(options: PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .connect_lazy_with(options)
}

/// Brings the tables up to date. Replicas that start at once take turns, by a lock in the database.
///
/// # Errors
/// When the database does not answer, or a migration fails.
pub async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    MIGRATIONS.run(pool).await
}

/// Migrates as soon as the database answers; from then on this replica is ready, also while the database is
/// away: its pages say so, and a door that leads nowhere would not. A migration that fails ends the process:
/// time does not mend it.
pub async fn watch(app: Shared, ready: Check, liveness: Liveness, stop: CancellationToken) {
    let mut is_away = false;
    let mut swept = Timestamp::UNIX_EPOCH;
    loop {
        let is_sweep_due = swept + SWEEP <= app.now();
        match look(&app, is_sweep_due).await {
            Ok(()) => {
                if is_away {
                    tracing::info!("the database answers again");
                }
                is_away = false;
                app.metrics.set_database(true);
                ready.set(true);
                if is_sweep_due {
                    swept = app.now();
                }
            }
            Err(MigrateError::Execute(error)) => {
                if !is_away {
                    let causes = service::telemetry::with_causes(error.to_string(), &error);
                    tracing::error!("the database does not answer: {causes}");
                }
                is_away = true;
                app.metrics.set_database(false);
                if !app.is_migrated.load(Relaxed) {
                    ready.set_missing("it does not answer");
                }
            }
            Err(error) => {
                let causes = service::telemetry::with_causes(error.to_string(), &error);
                tracing::error!("the database cannot be migrated: {causes}");
                ready.set_missing("it cannot be migrated");
                return liveness.fail("the database cannot be migrated");
            }
        }
        if stop
            .run_until_cancelled(tokio::time::sleep(LOOK))
            .await
            .is_none()
        {
            return;
        }
    }
}

async fn look(app: &Shared, is_sweep_due: bool) -> Result<(), MigrateError> {
    if !app.is_migrated.load(Relaxed) {
        migrate(&app.pool).await?;
        app.is_migrated.store(true, Relaxed);
        tracing::info!("the database is migrated");
    }
    if is_sweep_due {
        sweep(app).await?;
    }
    sqlx::query("select 1").execute(&app.pool).await?;
    Ok(())
}

/// Removes what has ended by itself. Every replica does; what one has removed the others do not find.
async fn sweep(app: &Shared) -> sqlx::Result<()> {
    let now = app.now();
    let mut connection = app.pool.acquire().await?;
    sessions::store::sweep(&mut connection, &app.settings.lifetimes, now).await?;
    tickets::sweep(&mut connection, now).await?;
    door::store::sweep(&mut connection, now).await?;
    oidc::store::sweep(&mut connection, now).await?;
    sign_in::store::sweep(&mut connection, now).await
}
