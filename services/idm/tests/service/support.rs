//! A running idm, and who and what is in it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
};

use idm::{
    app::{App, Settings, Shared},
    brand::{Brand, Colour},
    cluster::{self, Shown},
    database,
    identifier::Kind,
    keys::{self, cipher::Cipher},
    language::Language,
    mail::outbox::Outbox,
    metrics::Metrics,
    organizations::{self, Organization, Role},
    people::{self, email::Email},
    routes,
    sessions::Lifetimes,
};
use jiff::{SignedDuration, Timestamp};
use lab::postgres::Postgres;
use prometheus_client::registry::Registry;
use secrecy::SecretString;
use sqlx::PgPool;
use tokio::net::TcpListener;

use crate::{browser::Browser, log};

pub const ORIGIN: &str = "https://id.example.com";
pub const BACKCHANNEL: &str = "http://idm-clients.tutti-system.svc:8083";
pub const PASSWORD: &str = "quiet lantern under the pear tree";
pub const CODE: &str = "bootstrap-code-of-the-tests";

/// What the replicas of the tests encrypt their signing keys with.
pub const ENCRYPTION_KEY: &str = "encryption-key-of-the-tests-0123456789";

/// One or more replicas over one database.
pub struct Stage {
    pub app: Shared,
    /// As the superuser, who may tamper.
    pub pool: PgPool,
    url: String,
    address: SocketAddr,
    shift: Arc<AtomicI64>,
}

/// A migrated database of this test's own.
pub async fn fresh_database() -> String {
    database_on(Postgres::shared().await.unwrap()).await
}

/// A migrated database of a server.
pub async fn database_on(server: &Postgres) -> String {
    let migrate = async |url: &str| {
        let pool = PgPool::connect(url).await?;
        database::migrate(&pool).await?;
        pool.close().await;
        Ok(())
    };
    server.database("idm", migrate).await.unwrap()
}

impl Stage {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_on(fresh_database().await, change).await
    }

    pub async fn start_on(url: String, change: impl FnOnce(&mut Settings)) -> Self {
        log::capture();
        let mut settings = Settings {
            public_origin: ORIGIN.to_owned(),
            backchannel: Some(BACKCHANNEL.to_owned()),
            trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
            brand: Arc::new(Brand {
                name: "Tutti".to_owned(),
                colour: Colour::parse("#2f6fed").unwrap(),
                logo: None,
            }),
            lifetimes: Lifetimes {
                idle: SignedDuration::from_hours(12),
                longest: SignedDuration::from_hours(168),
            },
            bootstrap_code: Some(SecretString::from(CODE)),
            cipher: Arc::new(Cipher::new(&ENCRYPTION_KEY.into()).unwrap()),
        };
        change(&mut settings);
        let pool = database::pool(url.parse().unwrap(), 10);
        let shift = Arc::new(AtomicI64::new(0));
        let moved = Arc::clone(&shift);
        let begun = Timestamp::now();
        let clock = Arc::new(move || begun + SignedDuration::from_secs(moved.load(SeqCst)));
        let metrics = Metrics::new(&mut Registry::default());
        let app = Arc::new(App::new(
            settings,
            pool.clone(),
            metrics,
            Arc::new(Outbox),
            clock,
        ));
        app.is_migrated.store(true, SeqCst);
        // A database without tables has no keys; who starts on one is about something else.
        let _ = keys::watch::look(&app).await;
        let address = serve(Arc::clone(&app)).await;
        Self {
            app,
            pool,
            url,
            address,
            shift,
        }
    }

    /// A replica of its own over the same database: with its own connections, and with what it has read itself.
    pub async fn twin(&self) -> Self {
        self.twin_with(|_| {}).await
    }

    pub async fn twin_with(&self, change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_on(self.url.clone(), change).await
    }

    /// Another replica over the same database.
    pub async fn replica(&self) -> SocketAddr {
        serve(Arc::clone(&self.app)).await
    }

    /// Where servers of applications ask inside of the cluster.
    pub async fn backchannel(&self) -> SocketAddr {
        listen(routes::for_applications(Arc::clone(&self.app))).await
    }

    /// Lets time pass; by itself it stands still.
    pub fn pass(&self, duration: SignedDuration) {
        self.shift.fetch_add(duration.as_secs(), SeqCst);
    }

    pub fn browser(&self) -> Browser {
        Browser::new(self.address, "192.0.2.1")
    }

    pub fn browser_from(&self, address: &str) -> Browser {
        Browser::new(self.address, address)
    }

    /// Makes a person, with [`PASSWORD`].
    pub async fn person(&self, email: &str) -> String {
        self.make_person(email, false).await
    }

    pub async fn staff(&self, email: &str) -> String {
        self.make_person(email, true).await
    }

    async fn make_person(&self, email: &str, is_staff: bool) -> String {
        static HASH: LazyLock<String> = LazyLock::new(|| people::password::hash(PASSWORD).unwrap());
        let uid = self.app.uid(Kind::Person);
        let new = people::store::New {
            uid: &uid,
            email: &Email::parse(email).unwrap(),
            name: email.split('@').next().unwrap(),
            locale: Language::English,
            is_staff,
            is_confirmed: true,
            password_hash: &HASH,
        };
        let mut connection = self.pool.acquire().await.unwrap();
        assert!(
            people::store::insert(&mut connection, &new, self.app.now())
                .await
                .unwrap()
        );
        uid
    }

    pub async fn organization(&self, name: &str) -> Organization {
        let organization = Organization {
            uid: self.app.uid(Kind::Organization),
            name: name.to_owned(),
            title: format!("The {name}"),
        };
        let mut connection = self.pool.acquire().await.unwrap();
        let now = self.app.now();
        assert!(
            organizations::store::insert(&mut connection, &organization, now)
                .await
                .unwrap()
        );
        organization
    }

    pub async fn join(&self, organization: &Organization, person: &str, role: Role) {
        let mut connection = self.pool.acquire().await.unwrap();
        let now = self.app.now();
        let joined =
            organizations::store::join(&mut connection, &organization.uid, person, role, now).await;
        assert!(joined.unwrap());
    }

    /// An app that home leads to: `The blog` at `https://blog.acme.example`.
    pub async fn instance(&self, organization: &str, name: &str) {
        let key = (organization.to_owned(), name.to_owned());
        let shown = Shown {
            title: format!("The {name}"),
            url: format!("https://{name}.{organization}.example"),
        };
        let mut connection = self.pool.acquire().await.unwrap();
        cluster::store::set_instance(&mut connection, &key, &shown)
            .await
            .unwrap();
    }

    /// A browser in which somebody new is signed in.
    pub async fn signed_in(&self, email: &str) -> (String, Browser) {
        let uid = self.person(email).await;
        (uid, self.sign_in(email).await)
    }

    pub async fn sign_in(&self, email: &str) -> Browser {
        let browser = self.browser();
        let answer = browser.sign_in(email, PASSWORD).await;
        assert_eq!(
            (answer.status, answer.location()),
            (303, "/"),
            "{}",
            answer.body
        );
        browser
    }

    /// The deeds of the audit, and what is said of them, oldest first.
    pub async fn deeds(&self) -> Vec<String> {
        sqlx::query_scalar(
            "select deed || coalesce(' ' || (details->>'reason'), '') from audit order by sequence",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }
}

async fn serve(app: Shared) -> SocketAddr {
    listen(routes::router(app)).await
}

async fn listen(router: axum::Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

/// Waits for a fact, and gives up after a minute.
pub async fn until(is_so: impl AsyncFn() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !is_so().await {
        assert!(std::time::Instant::now() < end, "it did not come to be");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
