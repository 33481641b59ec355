//! Who is refused, at every address.

use idm::routes::{self, Access};
use reqwest::Method;

use crate::{
    browser::Browser,
    support::{ORIGIN, PASSWORD, Stage},
};

/// A path of the list, with something in each of its places.
fn concrete(path: &str) -> String {
    path.replace("{name}", "acme")
        .replace("{uid}", "usr-00000000000000000000000000")
        .replace("{person}", "usr-00000000000000000000000000")
        .replace("{instance}", "blog")
        .replace("{token}", &"A".repeat(43))
}

async fn program(browser: &Browser, method: Method, path: &str) -> (u16, String) {
    let headers = [("accept", "application/json"), ("origin", ORIGIN)];
    let answer = browser.send(method, path, None, &headers).await;
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{path}"
    );
    let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    (
        answer.status,
        problem["reason"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test]
async fn strangers_are_refused_at_every_address_that_is_not_public() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    stage.organization("acme").await;
    let (mut walked, mut programs) = (0, 0);
    for route in routes::all() {
        let path = concrete(route.path);
        let browser = stage.browser();
        // So that the form is not what they are refused for.
        browser.get("/sign-in").await;
        let answer = if route.method == Method::GET {
            browser.get(&path).await
        } else {
            browser.post(&path, &[]).await
        };
        if route.access == Access::Program {
            programs += 1;
            assert_eq!(answer.status, 401, "{} {path}", route.method);
            let told: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            let error = told["error"].as_str().unwrap();
            assert!(
                ["invalid_client", "invalid_token"].contains(&error),
                "{path}"
            );
            continue;
        }
        if route.access == Access::Public {
            assert_ne!(answer.status, 401, "{} {path}", route.method);
            assert!(
                !answer.location().starts_with("/sign-in?next"),
                "{} {path}",
                route.method
            );
            continue;
        }
        walked += 1;
        assert_eq!(answer.status, 303, "{} {path}", route.method);
        assert!(
            answer.location().starts_with("/sign-in?next=%2F"),
            "{} {path}",
            route.method
        );
        let expected = (401, "NotSignedIn".to_owned());
        assert_eq!(
            program(&browser, route.method.clone(), &path).await,
            expected,
            "{path}"
        );
    }
    assert_eq!(programs, 5, "addresses are for programs");
    assert!(walked >= 33, "{walked} addresses are not public");
    let public: Vec<&str> = routes::all()
        .into_iter()
        .filter(|route| route.access == Access::Public)
        .map(|route| route.path)
        .collect();
    let expected = [
        "/style.css",
        "/logo",
        "/.well-known/jwks.json",
        "/.well-known/openid-configuration",
        "/oauth2/authorize",
        "/oauth2/logout",
        "/v1/bootstrap",
        "/bootstrap",
        "/bootstrap",
        "/bootstrap/person",
        "/bootstrap/person",
        "/sign-in",
        "/sign-in",
        "/sign-in/second-step",
        "/sign-in/second-step",
        "/invitations/{token}",
        "/invitations/{token}/person",
    ];
    assert_eq!(
        public, expected,
        "a new public address is thought about twice"
    );
}

#[tokio::test]
async fn members_of_the_staff_alone_pass_where_the_staff_alone_may() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let (_, ann) = stage.signed_in("ann@acme.test").await;
    for path in ["/organizations", "/audit"] {
        assert_eq!(
            program(&ann, Method::GET, path).await,
            (403, "NotAllowed".to_owned()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn no_form_is_taken_that_another_site_could_have_sent() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let (_, ann) = stage.signed_in("ann@acme.test").await;
    ann.get("/account").await;
    let token = ann.form_token();
    let form = |token: &str| {
        Some(
            serde_urlencoded::to_string([("form_token", token), ("name", "Eve"), ("locale", "en")])
                .unwrap(),
        )
    };
    let send = async |form, headers: &[(&str, &str)]| {
        ann.send(Method::POST, "/account/name", form, headers).await
    };
    for headers in [
        &[("sec-fetch-site", "cross-site")][..],
        &[
            ("sec-fetch-site", "same-site"),
            ("origin", "https://blog.example.com"),
        ],
        &[("origin", "https://evil.test")],
        &[("origin", "null")],
        &[],
    ] {
        let answer = send(form(&token), headers).await;
        assert_eq!(answer.status, 403, "{headers:?}");
        assert!(
            answer.body.contains("ForeignRequest"),
            "{headers:?}: {}",
            answer.body
        );
    }
    let own = [("origin", ORIGIN)];
    let other = stage.browser();
    other.get("/sign-in").await;
    let long = "x".repeat(500);
    for wrong in ["", "x", &other.form_token(), &long] {
        let answer = send(form(wrong), &own).await;
        assert_eq!(answer.status, 403, "{wrong:?}");
        assert!(answer.body.contains("FormExpired"), "{wrong:?}");
    }
    let answer = send(Some(String::new()), &own).await;
    assert_eq!(answer.status, 403, "no token at all");
    assert!(
        ann.get("/account").await.body.contains(r#"value="ann""#),
        "the name is as it was"
    );
    let answer = send(form(&token), &own).await;
    assert_eq!(
        answer.status, 303,
        "older browsers say Origin only: {}",
        answer.body
    );

    // Before a sign-in, too: nobody is signed in as somebody else by another site.
    let visitor = stage.browser();
    let fields = [
        ("form_token", other.form_token()),
        ("email", "ann@acme.test".into()),
        ("password", PASSWORD.into()),
    ];
    let body = serde_urlencoded::to_string(fields).unwrap();
    let answer = visitor
        .send(Method::POST, "/sign-in", Some(body), &own)
        .await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong_and_are_never_our_fault() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let (_, ann) = stage.signed_in("ann@acme.test").await;
    ann.get("/account").await;
    let own = [("origin", ORIGIN)];
    let token = ann.form_token();
    let large = format!("form_token={token}&name={}", "x".repeat(70_000));
    let cases = [
        (Method::POST, "/account/name", Some(large), 413, "TooLarge"),
        (
            Method::POST,
            "/account/name",
            Some(format!("form_token={token}")),
            400,
            "FormMalformed",
        ),
        (
            Method::POST,
            "/account/name",
            Some("%ff%fe=&&&=".to_owned()),
            403,
            "FormExpired",
        ),
        (Method::PUT, "/account", None, 405, "MethodNotAllowed"),
        (Method::GET, "/nowhere", None, 404, "NotFound"),
        (Method::GET, "/logo", None, 404, "NotFound"),
    ];
    for (method, path, form, status, reason) in cases {
        let answer = ann.send(method, path, form, &own).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(answer.body.contains(reason), "{path}: {}", answer.body);
        assert!(answer.body.contains(answer.header("x-request-id")));
    }
    for path in [
        "/%00",
        "/organizations/a%00/people",
        "/organizations/%ff/people",
        "/invitations/%ff",
    ] {
        let answer = ann.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body.contains("NotFound"), "{path}: {}", answer.body);
    }
    assert_eq!(
        ann.get("/account?done=nonsense&done=saved").await.status,
        404
    );
    assert_eq!(ann.get("/account?done=nonsense").await.status, 200);
    for (name, status) in [
        ("\0", 400),
        ("a\0b", 400),
        ("\u{202e}evil", 422),
        ("a\nb", 422),
    ] {
        let answer = ann
            .post("/account/name", &[("name", name), ("locale", "en")])
            .await;
        assert_eq!(answer.status, status, "{name:?}");
    }
    let answer = stage.browser().sign_in("ann\0@acme.test", "\0").await;
    assert_eq!(answer.status, 400, "{}", answer.body);
}
