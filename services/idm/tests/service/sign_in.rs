//! Signing in with e-mail and password.

use argon2::{Algorithm, Argon2, Params, Version, password_hash::PasswordHasher};
use idm::people::password;

use crate::support::{PASSWORD, Stage};

#[tokio::test]
async fn a_person_signs_in_comes_back_to_their_page_and_signs_out() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let uid = stage.person("ann@acme.test").await;
    let browser = stage.browser();

    let answer = browser.get("/account?x=1").await;
    assert_eq!(
        (answer.status, answer.location()),
        (303, "/sign-in?next=%2Faccount%3Fx%3D1")
    );
    let page = browser.get(answer.location()).await;
    assert_eq!(page.status, 200);
    let next = page
        .between(r#"name="next" value=""#, "\"")
        .replace("&#38;", "&");
    assert_eq!(next, "/account?x=1");
    let answer = browser
        .post(
            "/sign-in",
            &[
                ("email", " ANN@Acme.Test "),
                ("password", PASSWORD),
                ("next", &next),
            ],
        )
        .await;
    assert_eq!(
        (answer.status, answer.location()),
        (303, "/account?x=1"),
        "{}",
        answer.body
    );

    let session = answer
        .cookies()
        .into_iter()
        .find(|cookie| cookie.starts_with("__Host-tutti="))
        .unwrap();
    assert!(
        session.ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/"),
        "{session}"
    );
    let account = browser.get("/account").await;
    assert_eq!(account.status, 200);
    assert!(account.body.contains("ann@acme.test"), "{}", account.body);
    assert_eq!(browser.get("/sign-in").await.location(), "/");

    let cookie = browser.cookie("__Host-tutti").unwrap();
    let answer = browser.post("/sign-out", &[]).await;
    assert_eq!(
        (answer.status, answer.location()),
        (303, "/sign-in?done=signed-out")
    );
    assert_eq!(browser.cookie("__Host-tutti"), None);
    assert!(
        browser
            .get(answer.location())
            .await
            .body
            .contains("You are signed out.")
    );
    // The token is good for nothing, whoever has kept it.
    browser.set_cookie("__Host-tutti", &cookie);
    assert_eq!(browser.get("/account").await.status, 303);

    assert_eq!(stage.deeds().await, ["SignedIn", "SignedOut"]);
    let actor: Vec<String> = sqlx::query_scalar("select distinct actor from audit")
        .fetch_all(&stage.pool)
        .await
        .unwrap();
    assert_eq!(actor, [uid]);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_are_told_the_same() {
    let stage = Stage::start().await;
    stage.person("ann@acme.test").await;
    stage.staff("root@example.com").await;
    let said = async |email: &str, password: &str| {
        let browser = stage.browser();
        let answer = browser.sign_in(email, password).await;
        assert_eq!(answer.status, 401);
        assert_eq!(browser.cookie("__Host-tutti"), None);
        answer.between(r#"id="problem">"#, "</div>").to_owned()
    };
    let wrong = said("ann@acme.test", "wrong password").await;
    assert!(wrong.contains("wrong"), "{wrong}");
    assert_eq!(said("nobody@acme.test", PASSWORD).await, wrong);
    assert_eq!(said("no address", "x").await, wrong);
    let long = "x".repeat(5_000);
    assert_eq!(said("ann@acme.test", &long).await, wrong);
    let expected = [
        "WrongPassword",
        "UnknownEmail",
        "UnknownEmail",
        "WrongPassword",
    ];
    let expected: Vec<String> = expected
        .iter()
        .map(|reason| format!("SignInRefused {reason}"))
        .collect();
    assert_eq!(stage.deeds().await, expected);
    // What a stranger typed may be a password: it stands nowhere.
    let everything: String = sqlx::query_scalar("select string_agg(audit::text, ' ') from audit")
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    assert!(!everything.contains("nobody@acme.test"), "{everything}");
}

#[tokio::test]
async fn somebody_suspended_cannot_sign_in_and_is_told_so_only_with_the_right_password() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let (uid, browser) = stage.signed_in("ann@acme.test").await;
    sqlx::query("update people set is_suspended = true where uid = $1")
        .bind(&uid)
        .execute(&stage.pool)
        .await
        .unwrap();
    assert_eq!(
        browser.get("/account").await.status,
        303,
        "a session outlives the suspension"
    );
    let answer = stage.browser().sign_in("ann@acme.test", PASSWORD).await;
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("suspended"));
    let answer = stage.browser().sign_in("ann@acme.test", "wrong").await;
    assert_eq!(answer.status, 401);
    assert!(!answer.body.contains("suspended"));
}

#[tokio::test]
async fn a_hash_of_old_parameters_is_made_anew_at_sign_in() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let uid = stage.person("ann@acme.test").await;
    let params = Params::new(8 * 1024, 1, 1, None).unwrap();
    let old = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let old = old.hash_password(PASSWORD.as_bytes()).unwrap().to_string();
    sqlx::query("update people set password_hash = $1")
        .bind(&old)
        .execute(&stage.pool)
        .await
        .unwrap();
    stage.sign_in("ann@acme.test").await;
    let new: String = sqlx::query_scalar("select password_hash from people where uid = $1")
        .bind(&uid)
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    assert!(!password::is_outdated(&new), "{new}");
    assert!(password::is_right(PASSWORD, Some(&new)));
}

#[tokio::test]
async fn next_leads_to_no_other_site() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    stage.person("ann@acme.test").await;
    for next in ["https://evil.test/", "//evil.test", "/\\evil.test"] {
        let browser = stage.browser();
        browser.get("/sign-in").await;
        let form = [
            ("email", "ann@acme.test"),
            ("password", PASSWORD),
            ("next", next),
        ];
        assert_eq!(
            browser.post("/sign-in", &form).await.location(),
            "/",
            "{next}"
        );
    }
}
