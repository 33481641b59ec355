//! The database: migrations, and what visitors see while it is away.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use idm::database;
use jiff::SignedDuration;
use lab::postgres::Postgres;
use service::{Liveness, Readiness};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::support::{PASSWORD, Stage, until};

/// An empty database of this server.
async fn empty(server: &Postgres) -> String {
    server.database("empty", async |_| Ok(())).await.unwrap()
}

#[tokio::test]
async fn replicas_that_start_at_once_migrate_once() {
    let url = empty(Postgres::shared().await.unwrap()).await;
    let replicas: Vec<_> = (0..4)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move {
                let pool = PgPool::connect(&url).await.unwrap();
                database::migrate(&pool).await.unwrap();
            })
        })
        .collect();
    for replica in replicas {
        replica.await.unwrap();
    }
    let pool = PgPool::connect(&url).await.unwrap();
    let (all, distinct): (i64, i64) =
        sqlx::query_as("select count(*), count(distinct version) from _sqlx_migrations")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(all, distinct);
    // A newer version has added something: an older replica starts all the same.
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'of tomorrow', true, '\\x00', 0)",
    )
    .execute(&pool)
    .await
    .unwrap();
    database::migrate(&pool).await.unwrap();
}

#[tokio::test]
async fn a_changed_migration_stops_the_start_and_asks_for_somebody() {
    let stage = Stage::start().await;
    stage.app.is_migrated.store(false, SeqCst);
    sqlx::query("update _sqlx_migrations set checksum = '\\x00' where version = 1")
        .execute(&stage.pool)
        .await
        .unwrap();
    let (readiness, liveness) = (Readiness::default(), Liveness::default());
    let check = readiness.check("database");
    database::watch(
        Arc::clone(&stage.app),
        check,
        liveness.clone(),
        CancellationToken::new(),
    )
    .await;
    assert_eq!(
        liveness.failure().as_deref(),
        Some("the database cannot be migrated")
    );
    assert_eq!(readiness.missing(), ["database: it cannot be migrated"]);
    assert_eq!(stage.browser().get("/sign-in").await.status, 503);
}

#[tokio::test]
async fn while_the_database_is_away_pages_say_so_and_go_on_when_it_is_back() {
    // A server of its own, that can be killed.
    let server = Postgres::start(false).await.unwrap();
    let stage = Stage::start_on(empty(&server).await, |_| {}).await;
    stage.app.is_migrated.store(false, SeqCst);
    let (readiness, stop) = (Readiness::default(), CancellationToken::new());
    let check = readiness.check("database");
    assert_eq!(
        stage.browser().get("/sign-in").await.status,
        503,
        "before it is migrated"
    );
    let watch = database::watch(
        Arc::clone(&stage.app),
        check,
        Liveness::default(),
        stop.clone(),
    );
    let watch = tokio::spawn(watch);
    until(async || readiness.is_ready()).await;
    stage.staff("root@example.com").await;
    let browser = stage.sign_in("root@example.com").await;
    browser.get("/account").await;

    server.kill();
    for path in ["/account", "/sign-in", "/v1/bootstrap", "/invitations/x"] {
        let answer = browser.get(path).await;
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (503, "5"),
            "{path}"
        );
        assert!(
            answer.body.contains("DatabaseAway"),
            "{path}: {}",
            answer.body
        );
        assert!(
            !answer.body.contains("sqlx") && !answer.body.contains("refused"),
            "{}",
            answer.body
        );
    }
    let fresh = stage.browser();
    let answer = fresh.get("/sign-in").await;
    assert!(
        answer.body.contains("Sign-in does not work at the moment"),
        "{}",
        answer.body
    );
    assert_eq!(
        browser.get("/style.css").await.status,
        200,
        "the page looks as always"
    );
    until(async || !stage.app.metrics.has_database()).await;
    assert!(readiness.is_ready(), "who else would say what is wrong?");

    server.start_again().unwrap();
    until(async || stage.app.metrics.has_database()).await;
    assert_eq!(
        browser.get("/account").await.status,
        200,
        "the session goes on"
    );
    assert_eq!(
        fresh.sign_in("root@example.com", PASSWORD).await.status,
        303
    );
    stop.cancel();
    watch.await.unwrap();
}

#[tokio::test]
async fn what_has_ended_by_itself_is_removed_and_what_lives_stays() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let begin = async |email: &str| {
        let (_, browser) = stage.signed_in(email).await;
        browser.get("/account").await;
        browser
            .post("/account/totp", &[("current", PASSWORD)])
            .await;
        stage.browser().sign_in(email, "wrong").await;
    };
    let rows = async || {
        let mut rows = Vec::new();
        for table in ["sessions", "devices", "tickets", "buckets"] {
            let statement = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
            rows.push(
                sqlx::query_scalar::<_, i64>(statement)
                    .fetch_one(&stage.pool)
                    .await
                    .unwrap(),
            );
        }
        rows
    };
    begin("ann@acme.test").await;
    stage.pass(SignedDuration::from_hours(24 * 366));
    begin("ben@acme.test").await;
    // Of the buckets, the address is the same.
    assert_eq!(rows().await, [2, 2, 2, 3]);
    let (readiness, stop) = (Readiness::default(), CancellationToken::new());
    let check = readiness.check("database");
    let watch = database::watch(
        Arc::clone(&stage.app),
        check,
        Liveness::default(),
        stop.clone(),
    );
    let watch = tokio::spawn(watch);
    until(async || readiness.is_ready()).await;
    assert_eq!(rows().await, [1, 1, 1, 2]);
    stop.cancel();
    watch.await.unwrap();
}
