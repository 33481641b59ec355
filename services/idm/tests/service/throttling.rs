//! Too many tries: by account, by address, and never for a browser that is known.

use idm::sign_in::throttle::{ACCOUNT, ADDRESS, DEVICE};
use jiff::SignedDuration;

use crate::support::{PASSWORD, Stage};

#[tokio::test]
async fn an_account_refuses_strangers_after_some_tries_and_admits_them_again_later() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    stage.person("ann@acme.test").await;
    for number in 0..ACCOUNT.capacity {
        let browser = stage.browser_from(&format!("192.0.2.{number}"));
        assert_eq!(
            browser.sign_in("ann@acme.test", "wrong").await.status,
            401,
            "try {number}"
        );
    }
    // From an address that has not tried before, and with the right password.
    let browser = stage.browser_from("198.51.100.1");
    let answer = browser.sign_in("ann@acme.test", PASSWORD).await;
    assert_eq!(answer.status, 429);
    assert_eq!(
        answer.header("retry-after"),
        ACCOUNT.pace.as_secs().to_string()
    );
    assert!(answer.body.contains("Please wait 3 min"), "{}", answer.body);
    // Another account is not touched.
    stage.person("ben@acme.test").await;
    assert_eq!(browser.sign_in("ben@acme.test", PASSWORD).await.status, 303);

    stage.pass(ACCOUNT.pace);
    let browser = stage.browser_from("198.51.100.2");
    assert_eq!(browser.sign_in("ann@acme.test", PASSWORD).await.status, 303);
    let throttled = stage
        .deeds()
        .await
        .iter()
        .filter(|deed| *deed == "SignInThrottled")
        .count();
    assert_eq!(throttled, 1, "the audit is told once");
}

#[tokio::test]
async fn unknown_addresses_are_throttled_as_known_ones_are() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    for number in 0..=ACCOUNT.capacity {
        let browser = stage.browser_from(&format!("192.0.2.{number}"));
        let expected = if number < ACCOUNT.capacity { 401 } else { 429 };
        assert_eq!(
            browser.sign_in("nobody@acme.test", "x").await.status,
            expected,
            "try {number}"
        );
    }
}

#[tokio::test]
async fn who_signed_in_with_a_browser_before_is_not_locked_out_by_others() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let (_, browser) = stage.signed_in("ann@acme.test").await;
    browser.get("/account").await;
    browser.post("/sign-out", &[]).await;
    // Somebody else fills the account's bucket, and that of the address, too.
    for number in 0..=ADDRESS.capacity {
        let email = if number <= ACCOUNT.capacity {
            "ann@acme.test".into()
        } else {
            format!("x{number}@acme.test")
        };
        stage.browser().sign_in(&email, "wrong").await;
    }
    assert_eq!(
        stage
            .browser()
            .sign_in("ann@acme.test", PASSWORD)
            .await
            .status,
        429
    );
    assert_eq!(browser.sign_in("ann@acme.test", PASSWORD).await.status, 303);
    // A browser that is known to one account is a stranger to others.
    stage.person("ben@acme.test").await;
    let other = stage.browser();
    other.set_cookie(
        "__Host-tutti-device",
        &browser.cookie("__Host-tutti-device").unwrap(),
    );
    assert_eq!(other.sign_in("ben@acme.test", PASSWORD).await.status, 429);
}

#[tokio::test]
async fn a_known_browser_has_a_bucket_of_its_own_that_fills_too() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let (_, browser) = stage.signed_in("ann@acme.test").await;
    browser.forget("__Host-tutti");
    for number in 0..=DEVICE.capacity {
        let expected = if number < DEVICE.capacity { 401 } else { 429 };
        assert_eq!(
            browser.sign_in("ann@acme.test", "wrong").await.status,
            expected,
            "try {number}"
        );
    }
    // Strangers are counted by themselves.
    assert_eq!(
        stage
            .browser()
            .sign_in("ann@acme.test", PASSWORD)
            .await
            .status,
        303
    );
    // A year later it is a stranger.
    stage.pass(SignedDuration::from_hours(24 * 366));
    assert_eq!(browser.sign_in("ann@acme.test", PASSWORD).await.status, 303);
}

#[tokio::test]
async fn tries_at_once_on_two_replicas_are_counted_one_by_one() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    stage.person("ann@acme.test").await;
    let replica = stage.replica().await;
    let tries = (0..2 * ACCOUNT.capacity).map(|number| {
        let mut browser = stage.browser_from(&format!("192.0.2.{number}"));
        if number % 2 == 0 {
            browser.turn_to(replica);
        }
        tokio::spawn(async move { browser.sign_in("ann@acme.test", "wrong").await.status })
    });
    let mut statuses = Vec::new();
    for one in tries.collect::<Vec<_>>() {
        statuses.push(one.await.unwrap());
    }
    let admitted = statuses.iter().filter(|status| **status == 401).count();
    assert_eq!(admitted, ACCOUNT.capacity as usize, "{statuses:?}");
    assert_eq!(
        statuses.iter().filter(|status| **status == 429).count(),
        statuses.len() - admitted
    );
}
