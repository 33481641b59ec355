//! What all requests share. Made once in `main`; nothing in it changes but the database, the clock and what was read of
//! the database: the signing keys and the version of what decides.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use ipnet::IpNet;
use jiff::Timestamp;
use secrecy::SecretString;
use sqlx::{PgPool, PgTransaction, Postgres, pool::PoolConnection};
use uuid::Uuid;

use crate::{
    authorization::changes::Changes,
    brand::Brand,
    error::Failure,
    identifier::{self, Kind},
    keys::{Keys, cipher::Cipher},
    mail::Mailer,
    metrics::Metrics,
    oidc::pace::Pace,
    people::hasher::Hasher,
    secret::Token,
    sessions::Lifetimes,
};

/// How often it is looked whether the database is migrated.
const PACE: Duration = Duration::from_millis(100);

/// What is configured, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where browsers find us: `https://id.example.com`, without a slash at the end.
    pub public_origin: String,
    /// Where servers of applications find us inside of the cluster, without a slash at the end; `None` when they cannot.
    pub backchannel: Option<String>,
    /// Ranges of proxies whose X-Forwarded-For and X-Request-Id count.
    pub trusted_proxies: Vec<IpNet>,
    pub brand: Arc<Brand>,
    pub lifetimes: Lifetimes,
    /// What makes the first member of the staff; `None` when there is no such way.
    pub bootstrap_code: Option<SecretString>,
    /// What the signing keys are encrypted with in the database.
    pub cipher: Arc<Cipher>,
}

/// Says what time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What all requests share.
pub struct App {
    pub settings: Settings,
    pub hasher: Hasher,
    pub metrics: Metrics,
    pub mailer: Arc<dyn Mailer>,
    pub keys: Keys,
    pub changes: Changes,
    /// What applications have asked lately.
    pub pace: Pace,
    /// Whether the database has the tables that we know.
    pub is_migrated: AtomicBool,
    pub pool: PgPool,
    clock: Clock,
}

/// As handlers have it.
pub type Shared = Arc<App>;

impl App {
    #[must_use]
    pub fn new(
        settings: Settings,
        pool: PgPool,
        metrics: Metrics,
        mailer: Arc<dyn Mailer>,
        clock: Clock,
    ) -> Self {
        Self {
            settings,
            hasher: Hasher::default(),
            metrics,
            mailer,
            keys: Keys::default(),
            changes: Changes::default(),
            pace: Pace::default(),
            is_migrated: AtomicBool::new(false),
            pool,
            clock,
        }
    }

    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// A new uid.
    #[must_use]
    pub fn uid(&self, kind: Kind) -> String {
        new_uid(kind, self.now())
    }

    /// A new secret.
    #[must_use]
    pub fn token(&self) -> Token {
        Token::new(rand::random())
    }

    /// Waits until the database has the tables that we know.
    pub async fn migrated(&self) {
        while !self.is_migrated.load(Relaxed) {
            tokio::time::sleep(PACE).await;
        }
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// When the database does not answer, or is not migrated yet.
    pub async fn begin(&self) -> Result<PgTransaction<'static>, Failure> {
        if !self.is_migrated.load(Relaxed) {
            return Err(Failure::NotMigrated);
        }
        Ok(self.pool.begin().await?)
    }

    /// A connection, for reading.
    ///
    /// # Errors
    /// When the database does not answer, or is not migrated yet.
    pub async fn connection(&self) -> Result<PoolConnection<Postgres>, Failure> {
        if !self.is_migrated.load(Relaxed) {
            return Err(Failure::NotMigrated);
        }
        Ok(self.pool.acquire().await?)
    }

    #[must_use]
    pub fn is_trusted(&self, address: IpAddr) -> bool {
        let ranges = &self.settings.trusted_proxies;
        ranges.iter().any(|range| range.contains(&address))
    }
}

/// A uid of this moment.
#[must_use]
pub fn new_uid(kind: Kind, now: Timestamp) -> String {
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let nanoseconds = u32::try_from(now.subsec_nanosecond()).unwrap_or_default();
    let time = uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanoseconds);
    identifier::uid(kind, Uuid::new_v7(time))
}
