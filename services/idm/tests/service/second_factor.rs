//! Authenticator apps and recovery codes.

use idm::second_factor;
use jiff::{SignedDuration, Timestamp};
use totp_rs::{Builder, Secret};

use crate::{
    browser::{Answer, Browser},
    support::{PASSWORD, Stage},
};

/// A phone that was told a secret.
pub struct Phone {
    secret: Vec<u8>,
}

impl Phone {
    /// Reads the secret from the page.
    pub fn scan(page: &Answer) -> Self {
        let secret = Secret::try_from_base32(page.between("<code>", "</code>")).unwrap();
        Self {
            secret: secret.as_bytes().to_vec(),
        }
    }

    pub fn code(&self, now: Timestamp) -> String {
        let totp = Builder::new()
            .with_secret(self.secret.clone())
            .with_account_name("phone")
            .build()
            .unwrap();
        totp.generate(u64::try_from(now.as_second()).unwrap())
            .to_string()
    }
}

/// Sets an authenticator app up, and says the recovery codes.
async fn set_up(stage: &Stage, browser: &Browser) -> (Phone, Vec<String>) {
    browser.get("/account").await;
    let answer = browser
        .post("/account/totp", &[("current", PASSWORD)])
        .await;
    assert_eq!(
        (answer.status, answer.location()),
        (303, "/account/totp"),
        "{}",
        answer.body
    );
    let page = browser.get("/account/totp").await;
    assert!(page.body.contains("<svg"), "{}", page.body);
    let phone = Phone::scan(&page);
    let answer = browser
        .post("/account/totp/confirm", &[("code", "000000")])
        .await;
    assert_eq!(answer.status, 422);
    let code = phone.code(stage.app.now());
    let answer = browser
        .post("/account/totp/confirm", &[("code", &code)])
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    (phone, codes(&answer))
}

fn codes(page: &Answer) -> Vec<String> {
    let codes: Vec<String> = page
        .body
        .split("<li><code>")
        .skip(1)
        .map(|rest| rest.split('<').next().unwrap().to_owned())
        .collect();
    assert_eq!(codes.len(), second_factor::CODES);
    codes
}

#[tokio::test]
async fn with_an_authenticator_app_the_password_alone_opens_nothing() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let (_, browser) = stage.signed_in("ann@acme.test").await;
    let (phone, _) = set_up(&stage, &browser).await;
    assert!(
        browser
            .get("/account")
            .await
            .body
            .contains("Recovery codes left: 10.")
    );

    let other = stage.browser();
    let answer = other.sign_in("ann@acme.test", PASSWORD).await;
    assert_eq!(
        (answer.status, answer.location()),
        (303, "/sign-in/second-step?next=%2F")
    );
    assert_eq!(other.cookie("__Host-tutti"), None);
    assert_eq!(other.get("/account").await.status, 303);
    assert_eq!(other.get("/sign-in/second-step?next=%2F").await.status, 200);
    let answer = other
        .post("/sign-in/second-step", &[("code", "123456"), ("next", "/")])
        .await;
    assert_eq!(answer.status, 401);
    stage.pass(SignedDuration::from_secs(60));
    let code = phone.code(stage.app.now());
    let answer = other
        .post(
            "/sign-in/second-step",
            &[("code", &code), ("next", "/account")],
        )
        .await;
    assert_eq!(
        (answer.status, answer.location()),
        (303, "/account"),
        "{}",
        answer.body
    );
    assert_eq!(other.get("/account").await.status, 200);
    // The ticket is used up.
    let ticket_of_before = other
        .post("/sign-in/second-step", &[("code", &code), ("next", "/")])
        .await;
    assert_eq!(ticket_of_before.status, 410);
}

#[tokio::test]
async fn a_code_that_was_used_opens_nothing_again_not_even_that_of_the_set_up() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let (_, browser) = stage.signed_in("ann@acme.test").await;
    let (phone, _) = set_up(&stage, &browser).await;
    let attempt = async |code: &str| {
        let other = stage.browser();
        other.sign_in("ann@acme.test", PASSWORD).await;
        other.get("/sign-in/second-step").await;
        other
            .post("/sign-in/second-step", &[("code", code), ("next", "/")])
            .await
            .status
    };
    assert_eq!(
        attempt(&phone.code(stage.app.now())).await,
        401,
        "the set-up used it"
    );
    stage.pass(SignedDuration::from_secs(90));
    let code = phone.code(stage.app.now());
    let statuses = tokio::join!(attempt(&code), attempt(&code), attempt(&code));
    let mut statuses = [statuses.0, statuses.1, statuses.2];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 401, 401], "one of three at once");
    let older = phone.code(stage.app.now() - SignedDuration::from_secs(30));
    assert_eq!(attempt(&older).await, 401, "an older step than the last");
}

#[tokio::test]
async fn a_recovery_code_opens_once_and_new_ones_replace_all() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let (_, browser) = stage.signed_in("ann@acme.test").await;
    let (_, codes_of_before) = set_up(&stage, &browser).await;
    let attempt = async |code: &str| {
        let other = stage.browser();
        other.sign_in("ann@acme.test", PASSWORD).await;
        other.get("/sign-in/second-step").await;
        other
            .post("/sign-in/second-step", &[("code", code), ("next", "/")])
            .await
            .status
    };
    let typed = codes_of_before[0].to_uppercase().replace('-', " ");
    assert_eq!(attempt(&typed).await, 303);
    assert_eq!(attempt(&codes_of_before[0]).await, 401);
    assert!(
        browser
            .get("/account")
            .await
            .body
            .contains("Recovery codes left: 9.")
    );
    let answer = browser
        .post("/account/recovery-codes", &[("current", "wrong")])
        .await;
    assert_eq!(answer.status, 401);
    let answer = browser
        .post("/account/recovery-codes", &[("current", PASSWORD)])
        .await;
    assert_eq!(answer.status, 200);
    let codes_of_now = codes(&answer);
    assert_eq!(attempt(&codes_of_before[1]).await, 401);
    assert_eq!(attempt(&codes_of_now[0]).await, 303);
    let kept: Vec<Vec<u8>> = sqlx::query_scalar("select digest from recovery_codes")
        .fetch_all(&stage.pool)
        .await
        .unwrap();
    assert!(kept.iter().all(|digest| digest.len() == 32));
    let deeds = stage.deeds().await;
    for deed in ["TotpSetUp", "RecoveryCodeUsed", "RecoveryCodesMade"] {
        assert!(
            deeds.contains(&deed.to_owned()),
            "{deed} is missing in {deeds:?}"
        );
    }
}

#[tokio::test]
async fn codes_cannot_be_guessed_on_and_on_by_whoever_has_the_password() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let (_, browser) = stage.signed_in("ann@acme.test").await;
    set_up(&stage, &browser).await;
    let mut statuses = Vec::new();
    for number in 0..10 {
        let thief = stage.browser_from(&format!("192.0.2.{number}"));
        statuses.push(thief.sign_in("ann@acme.test", PASSWORD).await.status);
        thief.get("/sign-in/second-step").await;
        let form = [("code", "999999"), ("next", "/")];
        statuses.push(thief.post("/sign-in/second-step", &form).await.status);
    }
    let guesses = statuses.iter().filter(|status| **status == 401).count();
    assert_eq!(
        guesses, 5,
        "a right password gives no new tries: {statuses:?}"
    );
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 5);
}

#[tokio::test]
async fn an_authenticator_app_is_set_up_and_removed_only_with_the_password() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let (_, browser) = stage.signed_in("ann@acme.test").await;
    browser.get("/account").await;
    assert_eq!(
        browser
            .post("/account/totp", &[("current", "wrong")])
            .await
            .status,
        401
    );
    assert_eq!(
        browser.get("/account/totp").await.status,
        410,
        "nothing was begun"
    );
    assert_eq!(
        browser
            .post("/account/recovery-codes", &[("current", PASSWORD)])
            .await
            .status,
        404
    );
    set_up(&stage, &browser).await;
    browser.get("/account").await;
    assert_eq!(
        browser
            .post("/account/totp/remove", &[("current", "wrong")])
            .await
            .status,
        401
    );
    let answer = browser
        .post("/account/totp/remove", &[("current", PASSWORD)])
        .await;
    assert_eq!(answer.location(), "/account?done=totp-removed");
    assert_eq!(
        stage
            .browser()
            .sign_in("ann@acme.test", PASSWORD)
            .await
            .location(),
        "/"
    );
}

#[tokio::test]
async fn what_was_begun_ends_by_itself_and_is_one_persons() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let (_, ann) = stage.signed_in("ann@acme.test").await;
    ann.get("/account").await;
    ann.post("/account/totp", &[("current", PASSWORD)]).await;
    let (_, ben) = stage.signed_in("ben@acme.test").await;
    ben.set_cookie(
        "__Host-tutti-ticket",
        &ann.cookie("__Host-tutti-ticket").unwrap(),
    );
    assert_eq!(
        ben.get("/account/totp").await.status,
        410,
        "somebody else's ticket"
    );
    assert_eq!(
        ann.get("/sign-in/second-step").await.status,
        410,
        "for another purpose"
    );
    stage.pass(SignedDuration::from_mins(16));
    assert_eq!(ann.get("/account/totp").await.status, 410, "too late");
}
