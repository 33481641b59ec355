//! Secrets: in no log, in no answer but the one that gives them, in the database as digests only.

use idm::organizations::Role;

use crate::{
    log,
    support::{CODE, ORIGIN, PASSWORD, Stage},
};

#[tokio::test]
async fn no_secret_is_logged_or_kept_as_it_is() {
    let stage = Stage::start().await;
    let browser = stage.browser();
    browser.get("/bootstrap").await;
    browser
        .post("/bootstrap", &[("code", "a-wrong-bootstrap-code")])
        .await;
    browser.post("/bootstrap", &[("code", CODE)]).await;
    stage.staff("root@example.com").await;
    let (uid, ann) = stage.signed_in("ann@acme.test").await;
    let organization = stage.organization("acme").await;
    stage.join(&organization, &uid, Role::Admin).await;
    stage
        .browser()
        .sign_in("ann@acme.test", "a-wrong-password-of-hers")
        .await;
    stage
        .browser()
        .sign_in("a-password-in-the-wrong-field", "x")
        .await;
    ann.get("/organizations/acme/people").await;
    let form = [("email", "ben@acme.test"), ("role", "Member")];
    let page = ann.post("/organizations/acme/invitations", &form).await;
    let link = page.between("<p><code>", "</code>").to_owned();
    let invitation = link.rsplit('/').next().unwrap().to_owned();
    assert!(link.starts_with(ORIGIN));
    stage
        .browser()
        .get(&format!("/invitations/{invitation}"))
        .await;
    ann.get("/account").await;
    ann.post("/account/totp", &[("current", PASSWORD)]).await;
    let totp = ann
        .get("/account/totp")
        .await
        .between("<code>", "</code>")
        .to_owned();
    let cookies = ["__Host-tutti", "__Host-tutti-device", "__Host-tutti-ticket"];
    let mut secrets: Vec<String> = cookies
        .iter()
        .map(|name| ann.cookie(name).unwrap())
        .collect();
    secrets.extend([
        invitation.clone(),
        totp,
        ann.form_token(),
        PASSWORD.to_owned(),
        CODE.to_owned(),
    ]);
    secrets.extend(
        [
            "a-wrong-password-of-hers",
            "a-password-in-the-wrong-field",
            "a-wrong-bootstrap-code",
        ]
        .map(str::to_owned),
    );
    let hash: String = sqlx::query_scalar("select password_hash from people where uid = $1")
        .bind(&uid)
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    secrets.push(hash);

    let log = log::text();
    assert!(
        log.contains("route=\"/invitations/{token}\""),
        "the log is captured"
    );
    for secret in &secrets {
        assert!(!log.contains(secret.as_str()), "{secret} was logged");
    }
    // The link lies in the outbox until it is delivered; nowhere else is it as it is.
    for table in [
        "people",
        "sessions",
        "devices",
        "tickets",
        "buckets",
        "audit",
        "invitations",
    ] {
        let statement = format!("select coalesce(string_agg(t::text, ' '), '') from {table} t");
        let rows: String = sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
            .fetch_one(&stage.pool)
            .await
            .unwrap();
        for secret in secrets.iter().take(secrets.len() - 1) {
            assert!(!rows.contains(secret.as_str()), "{secret} is in {table}");
        }
    }
    // No page shows what only a cookie or a mail holds.
    for path in [
        "/",
        "/account",
        "/organizations/acme/people",
        "/organizations/acme/audit",
    ] {
        let page = ann.get(path).await;
        for secret in secrets.iter().filter(|secret| **secret != ann.form_token()) {
            assert!(
                !page.body.contains(secret.as_str()),
                "{secret} is on {path}"
            );
        }
    }
}
