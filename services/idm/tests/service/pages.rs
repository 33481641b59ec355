//! What all pages have in common: headers, languages, the brand, and that everybody can use them.

use std::sync::Arc;

use idm::{
    brand::{Brand, Colour, Logo},
    organizations::Role,
};
use reqwest::Method;

use crate::{
    browser::Answer,
    support::{PASSWORD, Stage},
};

/// What every page must have; read from its text, which we write ourselves.
pub fn check(page: &Answer, language: &str) {
    let body = &page.body;
    let count = |mark: &str| body.matches(mark).count();
    assert!(
        body.contains(&format!(r#"<html lang="{language}">"#)),
        "{body}"
    );
    assert_eq!((count("<h1>"), count("<main ")), (1, 1), "{body}");
    assert!(body.contains(r##"<a class="skip" href="#main">"##));
    assert!(body.contains(r#"name="viewport" content="width=device-width, initial-scale=1""#));
    assert_eq!(
        count("<script") + count("style=") + count("onclick"),
        0,
        "the policy would not let it"
    );
    // Each field that somebody fills in has a label.
    for field in body.split("<input ").chain(body.split("<select ")).skip(1) {
        let tag = field.split('>').next().unwrap();
        if tag.contains(r#"type="hidden""#) || !tag.contains("name=") || tag.contains("<!doctype") {
            continue;
        }
        let id = tag
            .split(r#"id=""#)
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .unwrap_or_default();
        assert!(body.contains(&format!(r#"<label for="{id}""#)), "{tag}");
    }
    // No id twice: a label belongs to one field.
    let mut ids: Vec<&str> = body
        .split(r#" id=""#)
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "{ids:?}");
    // What an element refers to is there.
    for attribute in ["aria-labelledby", "aria-describedby"] {
        for rest in body.split(&format!(r#"{attribute}=""#)).skip(1) {
            for id in rest.split('"').next().unwrap().split(' ') {
                assert!(ids.contains(&id), "{attribute} {id}");
            }
        }
    }
}

#[tokio::test]
async fn every_page_has_landmarks_labels_and_its_language() {
    let stage = Stage::start().await;
    let browser = stage.browser();
    check(&browser.get("/bootstrap").await, "en");
    check(&browser.post("/bootstrap", &[("code", "x")]).await, "en");
    browser
        .post("/bootstrap", &[("code", crate::support::CODE)])
        .await;
    check(&browser.get("/bootstrap/person").await, "en");
    stage.staff("root@example.com").await;
    check(&browser.get("/sign-in").await, "en");
    check(&browser.sign_in("x", "y").await, "en");
    check(&browser.get("/nowhere").await, "en");
    let root = stage.sign_in("root@example.com").await;
    let organization = stage.organization("acme").await;
    for (number, role) in Role::ALL.into_iter().enumerate() {
        let uid = stage.person(&format!("person{number}@acme.test")).await;
        stage.join(&organization, &uid, role).await;
    }
    for path in [
        "/",
        "/account",
        "/organizations",
        "/organizations/acme/people",
    ] {
        let page = root.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        check(&page, "en");
    }
    // A team without anything, one with a person and an app, and a name that is taken.
    let teams = "/organizations/acme/teams";
    check(&root.get(teams).await, "en");
    let made = root.post(teams, &[("name", "Sales")]).await;
    let team = made.location().split('?').next().unwrap().to_owned();
    check(&root.get(&team).await, "en");
    stage.instance("acme", "blog").await;
    stage.instance("acme", "wiki").await;
    let person: String = sqlx::query_scalar("select person from memberships limit 1")
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    for (path, field, value) in [
        ("members", "person", person.as_str()),
        ("instances", "instance", "blog"),
    ] {
        let answer = root
            .post(&format!("{team}/{path}"), &[(field, value)])
            .await;
        assert_eq!(answer.status, 303, "{path}: {}", answer.body);
    }
    root.post(teams, &[("name", "Office")]).await;
    for page in [
        root.get(teams).await,
        root.get(&team).await,
        root.post(teams, &[("name", "sales")]).await,
        root.post(&format!("{team}/rename"), &[("name", "office")])
            .await,
    ] {
        check(&page, "en");
    }
    let form = [("email", "new@acme.test"), ("role", "Member")];
    let people = root.post("/organizations/acme/invitations", &form).await;
    check(&people, "en");
    let link = people.between("<p><code>", "</code>").to_owned();
    let path = link.strip_prefix(crate::support::ORIGIN).unwrap();
    check(&browser.get(path).await, "en");
    check(&root.get(path).await, "en");
    root.get("/account").await;
    root.post("/account/totp", &[("current", PASSWORD)]).await;
    check(&root.get("/account/totp").await, "en");
}

#[tokio::test]
async fn the_browsers_language_is_spoken_until_the_persons_is_known() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let mut browser = stage.browser();
    browser.language = "de-CH,de;q=0.9,en;q=0.5".to_owned();
    let page = browser.get("/sign-in").await;
    check(&page, "de");
    assert!(page.body.contains("<h1>Anmelden</h1>"));
    let page = browser.sign_in("root@example.com", "falsch").await;
    assert!(
        page.body
            .contains("Die E-Mail-Adresse oder das Passwort ist falsch."),
        "{}",
        page.body
    );
    check(&browser.get("/nirgends").await, "de");
    browser.sign_in("root@example.com", PASSWORD).await;
    check(&browser.get("/account").await, "en");
    let answer = browser
        .post("/account/name", &[("name", "Rut Hélène"), ("locale", "de")])
        .await;
    assert_eq!(answer.status, 303);
    let page = browser.get(answer.location()).await;
    check(&page, "de");
    assert!(
        page.body.contains("Gespeichert.") && page.body.contains("Rut Hélène"),
        "{}",
        page.body
    );
    for path in ["/", "/organizations"] {
        check(&browser.get(path).await, "de");
    }
}

#[tokio::test]
async fn every_answer_has_the_headers_that_keep_it_safe() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let browser = stage.browser();
    for path in [
        "/sign-in",
        "/nowhere",
        "/account",
        "/style.css",
        "/v1/bootstrap",
    ] {
        let answer = browser.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert!(
            !policy.contains("script-src") && !policy.contains("unsafe"),
            "{path}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        let kept = if path == "/style.css" {
            "public, max-age=300"
        } else {
            "no-store"
        };
        assert_eq!(answer.header("cache-control"), kept, "{path}");
        assert_eq!(answer.header("x-request-id").len(), 32, "{path}");
    }
    let answer = browser
        .send(
            Method::GET,
            "/nowhere",
            None,
            &[("x-request-id", "abc-123")],
        )
        .await;
    assert_eq!(
        answer.header("x-request-id"),
        "abc-123",
        "the gateway's own"
    );
    let answer = browser
        .send(
            Method::GET,
            "/nowhere",
            None,
            &[("x-request-id", "<script>")],
        )
        .await;
    assert_eq!(answer.header("x-request-id").len(), 32);
}

#[tokio::test]
async fn pages_carry_the_brand() {
    let logo = br#"<svg xmlns="http://www.w3.org/2000/svg"/>"#.to_vec();
    let stage = Stage::start_with(|settings| {
        settings.brand = Arc::new(Brand {
            name: "Acme & Sons".to_owned(),
            colour: Colour::parse("#ffee00").unwrap(),
            logo: Some(Logo {
                bytes: logo.clone(),
                content_type: "image/svg+xml",
            }),
        });
    })
    .await;
    let browser = stage.browser();
    let page = browser.get("/bootstrap").await;
    assert!(
        page.body.contains("Acme &#38; Sons") && page.body.contains(r#"src="/logo""#),
        "{}",
        page.body
    );
    let sheet = browser.get("/style.css").await;
    assert_eq!(sheet.header("content-type"), "text/css; charset=utf-8");
    assert!(
        sheet
            .body
            .starts_with(":root { --brand: #ffee00; --on-brand: #000000 }"),
        "{}",
        sheet.body
    );
    let picture = browser.get("/logo").await;
    assert_eq!(
        (picture.header("content-type"), picture.body.as_bytes()),
        ("image/svg+xml", &*logo)
    );
}

#[tokio::test]
async fn an_address_counts_only_when_a_trusted_proxy_says_it() {
    let stage = Stage::start_with(|settings| settings.trusted_proxies.clear()).await;
    stage.staff("root@example.com").await;
    stage
        .browser_from("203.0.113.9")
        .sign_in("x@acme.test", "x")
        .await;
    let trusting = Stage::start_with(|settings| {
        settings.trusted_proxies.push("10.0.0.0/8".parse().unwrap());
    })
    .await;
    trusting.staff("root@example.com").await;
    // The first one anybody could have written.
    trusting
        .browser_from("198.51.100.1, 203.0.113.9, 10.1.2.3")
        .sign_in("x@acme.test", "x")
        .await;
    for (stage, expected) in [(stage, "127.0.0.1"), (trusting, "203.0.113.9")] {
        let address: String = sqlx::query_scalar("select address from audit")
            .fetch_one(&stage.pool)
            .await
            .unwrap();
        assert_eq!(address, expected);
    }
}
