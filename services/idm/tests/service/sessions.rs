//! Sessions: how they end.

use jiff::SignedDuration;

use crate::support::{PASSWORD, Stage};

#[tokio::test]
async fn a_session_ends_when_it_is_idle_and_however_busy_when_it_is_old() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let (_, idle) = stage.signed_in("ann@acme.test").await;
    let busy = stage.sign_in("ann@acme.test").await;
    for _ in 0..15 {
        stage.pass(SignedDuration::from_hours(11));
        assert_eq!(busy.get("/account").await.status, 200);
    }
    assert_eq!(idle.get("/account").await.status, 303);
    stage.pass(SignedDuration::from_hours(4));
    assert_eq!(busy.get("/account").await.status, 303, "a week is over");
}

#[tokio::test]
async fn sessions_are_listed_and_ended_one_by_one_and_all_others() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let (_, here) = stage.signed_in("ann@acme.test").await;
    let there = stage.browser_from("198.51.100.7");
    there.sign_in("ann@acme.test", PASSWORD).await;
    let third = stage.sign_in("ann@acme.test").await;

    let page = here.get("/account").await;
    assert_eq!(
        page.body.matches("Firefox, Linux</strong>").count(),
        3,
        "{}",
        page.body
    );
    assert_eq!(page.body.matches("this device").count(), 1);
    assert!(page.body.contains("198.51.100.7"));
    let listed: Vec<String> = page
        .body
        .split("/account/sessions/ses-")
        .skip(1)
        .map(|rest| format!("ses-{}", rest.split('/').next().unwrap()))
        .collect();
    assert_eq!(
        listed.len(),
        2,
        "its own cannot be ended but by signing out"
    );

    let uid: String = sqlx::query_scalar("select uid from sessions where address = '198.51.100.7'")
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    assert!(listed.contains(&uid));
    // Somebody else cannot end it, nor hear of it.
    let (_, stranger) = stage.signed_in("ben@acme.test").await;
    stranger.get("/account").await;
    assert_eq!(
        stranger
            .post(&format!("/account/sessions/{uid}/end"), &[])
            .await
            .status,
        404
    );
    assert_eq!(there.get("/account").await.status, 200);

    let answer = here
        .post(&format!("/account/sessions/{uid}/end"), &[])
        .await;
    assert_eq!(answer.location(), "/account?done=session-ended");
    assert_eq!(there.get("/account").await.status, 303);
    assert_eq!(third.get("/account").await.status, 200);
    here.get("/account").await;
    here.post("/account/sessions/end-others", &[]).await;
    assert_eq!(third.get("/account").await.status, 303);
    assert_eq!(here.get("/account").await.status, 200);
    assert_eq!(stranger.get("/account").await.status, 200);
}

#[tokio::test]
async fn a_sign_in_gives_another_token_and_ends_the_session_before() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let (_, browser) = stage.signed_in("ann@acme.test").await;
    let before = browser.cookie("__Host-tutti").unwrap();
    browser.get("/account").await;
    let form = [
        ("email", "ann@acme.test"),
        ("password", PASSWORD),
        ("next", "/"),
    ];
    assert_eq!(browser.post("/sign-in", &form).await.status, 303);
    let after = browser.cookie("__Host-tutti").unwrap();
    assert_ne!(before, after);
    let thief = stage.browser();
    thief.set_cookie("__Host-tutti", &before);
    assert_eq!(thief.get("/account").await.status, 303);
    // One that somebody else put there is not taken over.
    let planted = stage.browser();
    planted.set_cookie("__Host-tutti", &"A".repeat(43));
    planted.get("/sign-in").await;
    planted.sign_in("ann@acme.test", PASSWORD).await;
    assert_ne!(planted.cookie("__Host-tutti").unwrap(), "A".repeat(43));
}

#[tokio::test]
async fn a_new_password_ends_all_other_sessions_and_gives_this_one_another_token() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let (_, here) = stage.signed_in("ann@acme.test").await;
    let there = stage.sign_in("ann@acme.test").await;
    let before = here.cookie("__Host-tutti").unwrap();
    let new = "seven green umbrellas in the attic";
    here.get("/account").await;
    let answer = here
        .post("/account/password", &[("current", "wrong"), ("new", new)])
        .await;
    assert_eq!(answer.status, 401);
    assert!(
        answer.body.contains("The current password is wrong."),
        "{}",
        answer.body
    );
    let answer = here
        .post(
            "/account/password",
            &[("current", PASSWORD), ("new", "password1")],
        )
        .await;
    assert_eq!(answer.status, 422);
    assert!(answer.body.contains("too easy to guess"), "{}", answer.body);
    assert_eq!(there.get("/account").await.status, 200);

    let answer = here
        .post("/account/password", &[("current", PASSWORD), ("new", new)])
        .await;
    assert_eq!(
        answer.location(),
        "/account?done=password-changed",
        "{}",
        answer.body
    );
    assert_ne!(here.cookie("__Host-tutti").unwrap(), before);
    assert_eq!(here.get("/account").await.status, 200);
    assert_eq!(there.get("/account").await.status, 303);
    assert_eq!(
        stage
            .browser()
            .sign_in("ann@acme.test", PASSWORD)
            .await
            .status,
        401
    );
    assert_eq!(
        stage.browser().sign_in("ann@acme.test", new).await.status,
        303
    );
    let deeds = stage.deeds().await;
    assert!(deeds.contains(&"PasswordChanged".to_owned()), "{deeds:?}");
}
