//! The keys that sign: one set for all replicas, encrypted, and never replaced because it cannot be read.

use std::sync::Arc;

use idm::keys::{
    cipher::Cipher,
    watch::{look, watch},
};
use jiff::SignedDuration;
use serde_json::Value;
use service::{Liveness, Readiness};
use tokio_util::sync::CancellationToken;

use crate::{
    log,
    support::{ENCRYPTION_KEY, Stage, fresh_database, until},
};

async fn ids(stage: &Stage) -> Vec<String> {
    let answer = stage.browser().get("/.well-known/jwks.json").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let jwks: Value = serde_json::from_str(&answer.body).unwrap();
    let keys = jwks["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

async fn change(stage: &Stage, statement: &'static str) {
    sqlx::query(statement).execute(&stage.pool).await.unwrap();
}

/// What becomes of a replica that starts over the stage's database: why it is not ready, and why it is not well.
async fn start(stage: &Stage, cipher: &str) -> (Vec<String>, Option<String>) {
    let cipher = Arc::new(Cipher::new(&cipher.into()).unwrap());
    let replica = stage.twin_with(|settings| settings.cipher = cipher).await;
    let (readiness, liveness) = (Readiness::default(), Liveness::default());
    let (check, stop) = (readiness.check("signing keys"), CancellationToken::new());
    let watching = watch(
        Arc::clone(&replica.app),
        check,
        liveness.clone(),
        stop.clone(),
    );
    let watching = tokio::spawn(watching);
    until(async || readiness.is_ready() || liveness.failure().is_some()).await;
    stop.cancel();
    watching.await.unwrap();
    (readiness.missing(), liveness.failure())
}

#[tokio::test]
async fn replicas_that_start_at_once_make_one_key_of_each_kind_and_share_them() {
    let url = fresh_database().await;
    let starts = [(); 4].map(|()| tokio::spawn(Stage::start_on(url.clone(), |_| {})));
    let mut all = Vec::new();
    for start in starts {
        all.push(ids(&start.await.unwrap()).await);
    }
    assert_eq!(all[0].len(), 2);
    assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
}

#[tokio::test]
async fn the_public_keys_are_for_everybody_and_the_private_ones_for_nobody() {
    let stage = Stage::start().await;
    let answer = stage.browser().get("/.well-known/jwks.json").await;
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    assert_eq!(answer.header("content-type"), "application/json");
    let jwks: Value = serde_json::from_str(&answer.body).unwrap();
    let key = &jwks["keys"][0];
    assert_eq!(
        (&key["alg"], &key["crv"]),
        (&"ES256".into(), &"P-256".into())
    );
    assert!(key["d"].is_null(), "{key}");
    let key = &jwks["keys"][1];
    assert_eq!((&key["alg"], &key["kty"]), (&"RS256".into(), &"RSA".into()));
    assert!(key["d"].is_null() && key["p"].is_null(), "{key}");
    let sealed: Vec<u8> = sqlx::query_scalar("select sealed from signing_keys")
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    let kid = key["kid"].as_str().unwrap();
    for word in ["PRIVATE KEY", kid] {
        let is_there = sealed.windows(word.len()).any(|it| it == word.as_bytes());
        assert!(!is_there, "{word} is readable in the database");
    }
    let log = log::text();
    for word in ["PRIVATE KEY", ENCRYPTION_KEY] {
        assert!(!log.contains(word), "{word} was logged");
    }
}

#[tokio::test]
async fn a_key_is_followed_by_the_next_one_and_every_replica_reads_it() {
    let stage = Stage::start().await;
    let replica = stage.twin().await;
    let first = ids(&stage).await;
    stage.pass(SignedDuration::from_hours(24 * 29));
    look(&stage.app).await.unwrap();
    let both = ids(&stage).await;
    assert_eq!((both.len(), &both[..2]), (4, &first[..]));
    look(&replica.app).await.unwrap();
    assert_eq!(ids(&replica).await, both);
    stage.pass(SignedDuration::from_hours(24 * 3));
    look(&stage.app).await.unwrap();
    assert_eq!(ids(&stage).await, both[2..], "the first are dropped");
}

#[tokio::test]
async fn keys_that_are_damaged_stop_the_start_and_say_how_to_mend_it() {
    let stage = Stage::start().await;
    for damage in [
        "update signing_keys set sealed = set_byte(sealed, 40, get_byte(sealed, 40) # 1)",
        "update signing_keys set sealed = substring(sealed for 100)",
        "update signing_keys set sealed = ''",
    ] {
        change(&stage, damage).await;
        let (missing, failure) = start(&stage, ENCRYPTION_KEY).await;
        let failure = failure.unwrap();
        assert!(failure.contains("they are damaged"), "{failure}");
        assert!(
            failure.contains("restore the table signing_keys"),
            "{failure}"
        );
        assert_eq!(missing, [format!("signing keys: {failure}")]);
    }
    // Who has read them before goes on.
    assert!(look(&stage.app).await.is_err());
    assert_eq!(ids(&stage).await.len(), 2);
    // And whoever follows the advice begins anew.
    change(&stage, "delete from signing_keys").await;
    assert_eq!(start(&stage, ENCRYPTION_KEY).await, (vec![], None));
}

#[tokio::test]
async fn another_encryption_key_stops_the_start_and_replaces_nothing() {
    let stage = Stage::start().await;
    let other = "another-encryption-key-0123456789-0123456789";
    let (missing, failure) = start(&stage, other).await;
    let failure = failure.unwrap();
    assert!(failure.contains("--encryption-key-file"), "{failure}");
    assert!(failure.contains("the Secret idm-encryption"), "{failure}");
    assert_eq!(missing.len(), 1);
    assert!(!log::text().contains(other), "it was logged");
    assert_eq!(start(&stage, ENCRYPTION_KEY).await, (vec![], None));
}
