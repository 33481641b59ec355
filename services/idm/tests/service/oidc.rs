//! Applications that speak OpenID Connect, and what strangers, thieves and other applications make of it. What a
//! client does is done here by hand; its library reads the ID token.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use idm::{
    clients::{self, Client},
    identifier::Kind,
    oidc::pace,
    organizations::{Organization, Role},
    routes::{self, Access},
};
use jiff::SignedDuration;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    browser::{Answer, Browser},
    support::{BACKCHANNEL, ORIGIN, PASSWORD, Stage},
};

const URI: &str = "https://blog.acme.example/callback?from=tutti";
const AFTER: &str = "https://blog.acme.example/bye";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// An application.
struct Party {
    uid: String,
    secret: String,
}

type Fields<'a> = &'a [(&'a str, &'a str)];

impl Party {
    /// One that is registered for an instance, or for none.
    async fn register(stage: &Stage, organization: &str, name: &str, of: Option<&str>) -> Self {
        let mut connection = stage.pool.acquire().await.unwrap();
        let (uid, now) = (stage.app.uid(Kind::Client), stage.app.now());
        let key = (organization.to_owned(), name.to_owned());
        let held = clients::store::hold(&mut connection, &key, "1", &uid, now);
        let (client, is_new) = held.await.unwrap();
        assert!(is_new);
        let client = Client {
            instance: of.map(str::to_owned),
            redirect_uris: vec![URI.to_owned(), "http://127.0.0.1:8000/".to_owned()],
            post_logout_redirect_uris: vec![AFTER.to_owned()],
            ..client
        };
        clients::store::set(&mut connection, &client).await.unwrap();
        let secret = stage.app.token();
        clients::store::set_secret(&mut connection, &uid, &secret.digest(), None, now)
            .await
            .unwrap();
        Self {
            uid,
            secret: secret.expose().to_owned(),
        }
    }

    /// Where it sends browsers; `change` replaces what a good request has.
    fn authorize(&self, change: Fields<'_>) -> String {
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let mut all = BTreeMap::from([
            ("client_id", self.uid.as_str()),
            ("redirect_uri", URI),
            ("response_type", "code"),
            ("scope", "openid profile email"),
            ("state", "st&te"),
            ("nonce", "n0nce"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ]);
        all.extend(change.iter().copied());
        all.retain(|_, value| !value.is_empty());
        let query = serde_urlencoded::to_string(all).unwrap();
        format!("/oauth2/authorize?{query}")
    }

    /// Asks for a code in the browser of somebody who is signed in and may.
    async fn code(&self, browser: &Browser) -> String {
        let answer = browser.get(&self.authorize(&[])).await;
        query(&answer)["code"].clone()
    }

    async fn post(&self, stage: &Stage, path: &str, fields: Fields<'_>) -> (u16, Value) {
        self.post_by(&stage.browser(), path, fields).await
    }

    async fn post_by(&self, server: &Browser, path: &str, fields: Fields<'_>) -> (u16, Value) {
        let both = format!("{}:{}", self.uid, self.secret);
        let basic = format!("Basic {}", BASE64_STANDARD.encode(both));
        let form = serde_urlencoded::to_string(fields).unwrap();
        let headers = [("authorization", basic.as_str())];
        read(&server.send(Method::POST, path, Some(form), &headers).await)
    }

    async fn redeem(&self, stage: &Stage, code: &str, change: Fields<'_>) -> (u16, Value) {
        self.redeem_by(&stage.browser(), code, change).await
    }

    async fn redeem_by(&self, server: &Browser, code: &str, change: Fields<'_>) -> (u16, Value) {
        let mut all = BTreeMap::from([
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", URI),
            ("code_verifier", VERIFIER),
        ]);
        all.extend(change.iter().copied());
        all.retain(|_, value| !value.is_empty());
        let fields: Vec<(&str, &str)> = all.into_iter().collect();
        self.post_by(server, "/oauth2/token", &fields).await
    }

    async fn refresh(&self, stage: &Stage, token: &str) -> (u16, Value) {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.post(stage, "/oauth2/token", &fields).await
    }

    /// Whether a token is good, as introspection says.
    async fn is_active(&self, stage: &Stage, token: &str) -> bool {
        let (status, told) = self
            .post(stage, "/oauth2/introspect", &[("token", token)])
            .await;
        assert_eq!(status, 200, "{told}");
        told["active"].as_bool().unwrap()
    }
}

fn read(answer: &Answer) -> (u16, Value) {
    let body = serde_json::from_str(&answer.body).unwrap_or_default();
    (answer.status, body)
}

/// What an answer leads back to the application with.
fn query(answer: &Answer) -> BTreeMap<String, String> {
    assert_eq!(answer.status, 303, "{}", answer.body);
    let more = answer.location().strip_prefix(URI);
    let more = more.unwrap_or_else(|| panic!("{}", answer.location()));
    serde_urlencoded::from_str(more.trim_start_matches('&')).unwrap()
}

async fn userinfo(stage: &Stage, token: &str) -> (u16, Value) {
    userinfo_by(&stage.browser(), token).await
}

async fn userinfo_by(server: &Browser, token: &str) -> (u16, Value) {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let answer = server.send(Method::GET, "/oauth2/userinfo", None, &headers);
    read(&answer.await)
}

/// The claims of an ID token, as somebody else's library verifies it with the published keys.
async fn claims(stage: &Stage, party: &Party, token: &Value) -> Value {
    let jwks = stage.browser().get("/.well-known/jwks.json").await;
    let jwks: JwkSet = serde_json::from_str(&jwks.body).unwrap();
    let token = token.as_str().unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    let key = DecodingKey::from_jwk(jwks.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut checks = Validation::new(Algorithm::RS256);
    checks.set_issuer(&[ORIGIN]);
    checks.set_audience(&[&party.uid]);
    jsonwebtoken::decode::<Value>(token, &key, &checks)
        .unwrap()
        .claims
}

/// Acme with a blog, and Ann who may open it.
struct Scene {
    stage: Stage,
    acme: Organization,
    ann: String,
    blog: Party,
}

impl Scene {
    async fn set() -> Self {
        let stage = Stage::start().await;
        stage.staff("root@example.com").await;
        let acme = stage.organization("acme").await;
        stage.instance("acme", "blog").await;
        let ann = stage.person("ann@acme.test").await;
        stage.join(&acme, &ann, Role::PowerUser).await;
        let blog = Party::register(&stage, "acme", "blog", Some("blog")).await;
        Self {
            stage,
            acme,
            ann,
            blog,
        }
    }

    async fn browser(&self) -> Browser {
        self.stage.sign_in("ann@acme.test").await
    }

    async fn tokens(&self, browser: &Browser) -> Value {
        let code = self.blog.code(browser).await;
        let (status, tokens) = self.blog.redeem(&self.stage, &code, &[]).await;
        assert_eq!(status, 200, "{tokens}");
        tokens
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

#[tokio::test]
async fn an_application_finds_out_where_everything_is() {
    let stage = Stage::start().await;
    let answer = stage
        .browser()
        .get("/.well-known/openid-configuration")
        .await;
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let (status, told) = read(&answer);
    assert_eq!((status, &told["issuer"]), (200, &ORIGIN.into()));
    for (name, path) in [
        ("authorization_endpoint", "/oauth2/authorize"),
        ("token_endpoint", "/oauth2/token"),
        ("jwks_uri", "/.well-known/jwks.json"),
        ("end_session_endpoint", "/oauth2/logout"),
    ] {
        assert_eq!(text(&told, name), format!("{ORIGIN}{path}"));
    }
    assert_eq!(told["code_challenge_methods_supported"], json!(["S256"]));
}

#[tokio::test]
async fn somebody_signs_in_on_the_way_and_the_application_hears_who_they_are() {
    let Scene {
        stage,
        acme,
        ann,
        blog,
    } = Scene::set().await;
    let browser = stage.browser();
    let answer = browser.get(&blog.authorize(&[])).await;
    let next = answer.location().strip_prefix("/sign-in?anew=true&next=");
    let next: Vec<(String, String)> =
        serde_urlencoded::from_str(&format!("next={}", next.unwrap())).unwrap();
    let next = next[0].1.as_str();
    browser.get(answer.location()).await;
    let fields = [
        ("email", "ann@acme.test"),
        ("password", PASSWORD),
        ("next", next),
    ];
    let answer = browser.post("/sign-in", &fields).await;
    // A page leads on: browsers hold redirects after a form to its policy.
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("refresh"), format!("0; url={next}"));
    let answer = query(&browser.get(next).await);
    assert_eq!(
        (answer["state"].as_str(), answer["iss"].as_str()),
        ("st&te", ORIGIN)
    );

    let (status, tokens) = blog.redeem(&stage, &answer["code"], &[]).await;
    assert_eq!(status, 200, "{tokens}");
    assert_eq!(
        (
            &tokens["token_type"],
            &tokens["expires_in"],
            &tokens["scope"]
        ),
        (
            &"Bearer".into(),
            &300.into(),
            &"openid profile email".into()
        )
    );
    let claims = claims(&stage, &blog, &tokens["id_token"]).await;
    for (name, expected) in [
        ("sub", ann.as_str()),
        ("nonce", "n0nce"),
        ("acr", "1"),
        ("email", "ann@acme.test"),
        ("name", "ann"),
        ("locale", "en"),
        ("organization", acme.uid.as_str()),
        ("role", "Power User"),
    ] {
        assert_eq!(claims[name], expected, "{name}");
    }
    assert_eq!(
        (&claims["amr"], &claims["email_verified"]),
        (&json!(["pwd"]), &true.into())
    );
    assert_eq!(claims["auth_time"], stage.app.now().as_second());

    let (status, told) = userinfo(&stage, text(&tokens, "access_token")).await;
    assert_eq!((status, &told["sub"]), (200, &claims["sub"]));
    assert_eq!(
        (&told["role"], &told["teams"]),
        (&"Power User".into(), &json!([]))
    );
}

#[tokio::test]
async fn nobody_is_led_to_an_address_that_is_not_registered_letter_by_letter() {
    let scene = Scene::set().await;
    let browser = scene.browser().await;
    for uri in [
        "",
        "https://evil.example/",
        "https://blog.acme.example/callback",
        "https://blog.acme.example/callback?from=tutti&",
        "https://blog.acme.example/callback?from=tutti#",
        "https://blog.acme.example/callback/../?from=tutti",
        "https://BLOG.acme.example/callback?from=tutti",
        "https://blog.acme.example:443/callback?from=tutti",
        "https://blog.acme.example@evil.example/callback?from=tutti",
        "http://blog.acme.example/callback?from=tutti",
        "http://127.0.0.1:8001/",
        "http://127.0.0.1:8000",
    ] {
        // Also when something else is wrong that would be told to a registered one.
        for more in [
            ("state", "s"),
            ("response_type", "token"),
            ("prompt", "none"),
        ] {
            let path = scene.blog.authorize(&[("redirect_uri", uri), more]);
            for browser in [&browser, &scene.stage.browser()] {
                let answer = browser.get(&path).await;
                assert_eq!((answer.status, answer.location()), (400, ""), "{uri}");
                assert!(answer.body.contains("UnknownRedirect"), "{uri}");
            }
        }
    }
    let twice = format!(
        "{}&redirect_uri=https://evil.example/",
        scene.blog.authorize(&[])
    );
    assert_eq!(browser.get(&twice).await.status, 400);
    for client in ["", "cli-00000000000000000000000000", "evil"] {
        let answer = browser
            .get(&scene.blog.authorize(&[("client_id", client)]))
            .await;
        assert_eq!((answer.status, answer.location()), (400, ""), "{client}");
        assert!(answer.body.contains("UnknownClient"), "{client}");
    }
}

#[tokio::test]
async fn what_an_application_asks_wrongly_it_is_told_at_its_own_address() {
    let scene = Scene::set().await;
    let browser = scene.browser().await;
    for (change, error) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("scope", "email"), "invalid_scope"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge_method", ""), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("request", "e.y.J"), "request_not_supported"),
    ] {
        let told = query(&browser.get(&scene.blog.authorize(&[change])).await);
        assert_eq!(told["error"], error, "{change:?}");
        assert_eq!(
            (told["state"].as_str(), told["iss"].as_str()),
            ("st&te", ORIGIN)
        );
        assert!(!told.contains_key("code"));
    }
}

#[tokio::test]
async fn a_code_that_comes_twice_ends_what_it_gave() {
    let scene = Scene::set().await;
    let (stage, blog) = (&scene.stage, &scene.blog);
    let browser = scene.browser().await;
    let code = blog.code(&browser).await;
    let (_, tokens) = blog.redeem(stage, &code, &[]).await;
    let (access, refresh) = (
        text(&tokens, "access_token"),
        text(&tokens, "refresh_token"),
    );
    assert!(blog.is_active(stage, access).await && blog.is_active(stage, refresh).await);
    let (status, told) = blog.redeem(stage, &code, &[]).await;
    assert_eq!((status, text(&told, "error")), (400, "invalid_grant"));
    assert_eq!(userinfo(stage, access).await.0, 401);
    assert_eq!(blog.refresh(stage, refresh).await.0, 400);
    assert!(!blog.is_active(stage, access).await);
    let last = stage.deeds().await.pop().unwrap();
    assert_eq!(last, "ConnectionRevoked CodeReplayed");
}

#[tokio::test]
async fn of_two_who_redeem_a_code_at_once_none_keeps_it() {
    let scene = Scene::set().await;
    let (stage, blog) = (&scene.stage, &scene.blog);
    let code = blog.code(&scene.browser().await).await;
    let both = tokio::join!(
        blog.redeem(stage, &code, &[]),
        blog.redeem(stage, &code, &[])
    );
    let mut statuses = [both.0.0, both.1.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    let tokens = if both.0.0 == 200 { both.0.1 } else { both.1.1 };
    assert_eq!(userinfo(stage, text(&tokens, "access_token")).await.0, 401);
}

#[tokio::test]
async fn a_code_is_worth_nothing_to_who_did_not_ask_for_it() {
    let scene = Scene::set().await;
    let (stage, blog) = (&scene.stage, &scene.blog);
    let wiki = Party::register(stage, "acme", "wiki", None).await;
    let browser = scene.browser().await;
    let code = blog.code(&browser).await;
    let refused = |told: (u16, Value), error: &str| {
        assert_eq!((told.0, text(&told.1, "error")), (400, error), "{}", told.1);
    };
    refused(wiki.redeem(stage, &code, &[]).await, "invalid_grant");
    for change in [
        ("code_verifier", ""),
        (
            "code_verifier",
            "another-verifier-that-is-long-enough-for-the-rfc",
        ),
        // A downgrade: the challenge as if it were by `plain`.
        (
            "code_verifier",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        ),
        ("redirect_uri", ""),
        ("redirect_uri", "http://127.0.0.1:8000/"),
        ("code", "x"),
        ("code", ""),
    ] {
        refused(blog.redeem(stage, &code, &[change]).await, "invalid_grant");
    }
    let odd = blog
        .redeem(stage, &code, &[("grant_type", "password")])
        .await;
    refused(odd, "unsupported_grant_type");
    let long = "x".repeat(300_000);
    let long = blog.redeem(stage, &code, &[("padding", &long)]).await;
    refused(long, "invalid_request");
    let none = blog.redeem(stage, &code, &[("grant_type", "")]).await;
    refused(none, "invalid_request");
    for secret in ["", "wrong", &wiki.secret] {
        let thief = Party {
            uid: blog.uid.clone(),
            secret: secret.to_owned(),
        };
        let (status, told) = thief.redeem(stage, &code, &[]).await;
        assert_eq!((status, text(&told, "error")), (401, "invalid_client"));
    }
    // None of that used it up.
    assert_eq!(blog.redeem(stage, &code, &[]).await.0, 200);
    let late = blog.code(&browser).await;
    stage.pass(SignedDuration::from_secs(60));
    refused(blog.redeem(stage, &late, &[]).await, "invalid_grant");
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_the_thief_and_the_robbed_both_lose_it() {
    let scene = Scene::set().await;
    let (stage, blog) = (&scene.stage, &scene.blog);
    let first = scene.tokens(&scene.browser().await).await;
    let (status, second) = blog.refresh(stage, text(&first, "refresh_token")).await;
    assert_eq!(status, 200, "{second}");
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    let claims = claims(stage, blog, &second["id_token"]).await;
    assert_eq!(
        (&claims["sub"], &claims["nonce"]),
        (&scene.ann.clone().into(), &Value::Null)
    );
    // The access token of before went with it.
    assert_eq!(userinfo(stage, text(&first, "access_token")).await.0, 401);
    assert_eq!(userinfo(stage, text(&second, "access_token")).await.0, 200);

    let wiki = Party::register(stage, "acme", "wiki", None).await;
    let (status, told) = wiki.refresh(stage, text(&second, "refresh_token")).await;
    assert_eq!((status, text(&told, "error")), (400, "invalid_grant"));
    assert!(!wiki.is_active(stage, text(&second, "access_token")).await);

    let (status, told) = blog.refresh(stage, text(&first, "refresh_token")).await;
    assert_eq!((status, text(&told, "error")), (400, "invalid_grant"));
    assert_eq!(
        blog.refresh(stage, text(&second, "refresh_token")).await.0,
        400
    );
    assert_eq!(userinfo(stage, text(&second, "access_token")).await.0, 401);
    let last = stage.deeds().await.pop().unwrap();
    assert_eq!(last, "ConnectionRevoked RefreshTokenReplayed");
}

#[tokio::test]
async fn what_was_given_ends_when_it_is_revoked_and_no_other_application_revokes_it() {
    let scene = Scene::set().await;
    let (stage, blog) = (&scene.stage, &scene.blog);
    let wiki = Party::register(stage, "acme", "wiki", None).await;
    let tokens = scene.tokens(&scene.browser().await).await;
    let (access, refresh) = (
        text(&tokens, "access_token"),
        text(&tokens, "refresh_token"),
    );
    let revoke = async |party: &Party, token: &str| {
        let (status, _) = party
            .post(stage, "/oauth2/revoke", &[("token", token)])
            .await;
        assert_eq!(status, 200);
    };
    revoke(&wiki, refresh).await;
    revoke(&wiki, access).await;
    revoke(blog, "nonsense").await;
    assert_eq!(userinfo(stage, access).await.0, 200);
    revoke(blog, access).await;
    assert_eq!(userinfo(stage, access).await.0, 401);
    assert!(blog.is_active(stage, refresh).await);
    revoke(blog, refresh).await;
    assert_eq!(blog.refresh(stage, refresh).await.0, 400);
}

#[tokio::test]
async fn an_access_token_ends_by_itself_and_everything_ends_with_the_session() {
    let scene = Scene::set().await;
    let (stage, blog) = (&scene.stage, &scene.blog);
    let browser = scene.browser().await;
    let first = scene.tokens(&browser).await;
    stage.pass(SignedDuration::from_mins(5));
    assert_eq!(userinfo(stage, text(&first, "access_token")).await.0, 401);
    let (_, second) = blog.refresh(stage, text(&first, "refresh_token")).await;
    browser.get("/").await;
    browser.post("/sign-out", &[]).await;
    assert_eq!(userinfo(stage, text(&second, "access_token")).await.0, 401);
    let (status, told) = blog.refresh(stage, text(&second, "refresh_token")).await;
    assert_eq!((status, text(&told, "error")), (400, "invalid_grant"));
    let left: i64 = sqlx::query_scalar("select count(*) from connections")
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn who_may_not_open_the_app_is_told_so_here_and_loses_what_its_application_had() {
    let scene = Scene::set().await;
    let (stage, blog) = (&scene.stage, &scene.blog);
    let browser = scene.browser().await;
    let tokens = scene.tokens(&browser).await;
    // A Member to whose teams nobody gave it.
    sqlx::query("update memberships set role = 'Member' where person = $1")
        .bind(&scene.ann)
        .execute(&stage.pool)
        .await
        .unwrap();
    assert_eq!(userinfo(stage, text(&tokens, "access_token")).await.0, 401);
    let (status, told) = blog.refresh(stage, text(&tokens, "refresh_token")).await;
    assert_eq!((status, text(&told, "error")), (400, "invalid_grant"));
    let answer = browser.get(&blog.authorize(&[])).await;
    assert_eq!((answer.status, answer.location()), (403, ""));
    assert!(answer.body.contains("blog.acme.example"), "{}", answer.body);
    assert!(answer.body.contains("ann@acme.test"), "{}", answer.body);
    let told = query(&browser.get(&blog.authorize(&[("prompt", "none")])).await);
    assert_eq!(told["error"], "access_denied");

    // And somebody of another organization.
    let other = stage.organization("other").await;
    let (eve, browser) = stage.signed_in("eve@other.test").await;
    stage.join(&other, &eve, Role::SuperAdmin).await;
    assert_eq!(browser.get(&blog.authorize(&[])).await.status, 403);
}

#[tokio::test]
async fn an_application_has_somebody_sign_in_anew_or_not_at_all() {
    let scene = Scene::set().await;
    let (stage, blog) = (&scene.stage, &scene.blog);
    let none = blog.authorize(&[("prompt", "none")]);
    let told = query(&stage.browser().get(&none).await);
    assert_eq!(told["error"], "login_required");
    let browser = scene.browser().await;
    assert!(query(&browser.get(&none).await).contains_key("code"));

    stage.pass(SignedDuration::from_secs(100));
    let recent = blog.authorize(&[("max_age", "100")]);
    assert!(query(&browser.get(&recent).await).contains_key("code"));
    for change in [("max_age", "99"), ("max_age", "0"), ("prompt", "login")] {
        let answer = browser.get(&blog.authorize(&[change])).await;
        assert!(
            answer.location().starts_with("/sign-in?anew=true&"),
            "{change:?}"
        );
        // Once: what asks for it is not on the way back.
        assert!(!answer.location().contains(change.0), "{change:?}");
        let page = browser.get(answer.location()).await;
        assert_eq!(page.status, 200, "the form is shown to who is signed in");
    }
    let told = query(
        &browser
            .get(&blog.authorize(&[("max_age", "99"), ("prompt", "none")]))
            .await,
    );
    assert_eq!(told["error"], "login_required");

    let before = browser.cookie("__Host-tutti");
    let fields = [
        ("email", "ann@acme.test"),
        ("password", PASSWORD),
        ("next", "/"),
    ];
    assert_eq!(browser.post("/sign-in", &fields).await.status, 303);
    assert_ne!(browser.cookie("__Host-tutti"), before);
    let tokens = scene.tokens(&browser).await;
    let claims = claims(stage, blog, &tokens["id_token"]).await;
    assert_eq!(claims["auth_time"], stage.app.now().as_second());
}

#[tokio::test]
async fn an_application_signs_out_whom_it_signed_in_and_nobody_else_without_asking() {
    let scene = Scene::set().await;
    let stage = &scene.stage;
    let browser = scene.browser().await;
    let tokens = scene.tokens(&browser).await;
    let hint = text(&tokens, "id_token");
    let path = |fields: Fields<'_>| {
        let query = serde_urlencoded::to_string(fields).unwrap();
        format!("/oauth2/logout?{query}")
    };
    let well = [
        ("id_token_hint", hint),
        ("post_logout_redirect_uri", AFTER),
        ("state", "s"),
    ];
    for uri in [
        URI,
        "https://evil.example/",
        "https://blog.acme.example/bye?",
    ] {
        let asked = path(&[("id_token_hint", hint), ("post_logout_redirect_uri", uri)]);
        let answer = browser.get(&asked).await;
        assert_eq!((answer.status, answer.location()), (400, ""), "{uri}");
    }
    let other = scene.browser().await;
    let forged = format!("{}x", &hint[..hint.len() - 1]);
    for (browser, fields) in [
        (&browser, &[("client_id", scene.blog.uid.as_str())][..]),
        (&browser, &[("id_token_hint", forged.as_str())][..]),
        (&browser, &[][..]),
        // A session that it was not given for.
        (&other, &well[..]),
    ] {
        let answer = browser.get(&path(fields)).await;
        assert_eq!(answer.status, 200, "{fields:?}");
        assert!(
            answer.body.contains(r#"action="/sign-out""#),
            "{}",
            answer.body
        );
        assert_eq!(browser.get("/account").await.status, 200, "still signed in");
    }
    // Long after the ID token has expired.
    stage.pass(SignedDuration::from_hours(3));
    let answer = browser.get(&path(&well)).await;
    assert_eq!(answer.location(), format!("{AFTER}?state=s"));
    assert_eq!(browser.get("/account").await.status, 303, "signed out");
    assert_eq!(
        browser.get(&path(&well)).await.location(),
        format!("{AFTER}?state=s")
    );
    assert_eq!(stage.deeds().await.pop().unwrap(), "SignedOut");
}

#[tokio::test]
async fn no_secret_of_an_application_stands_in_the_log_or_the_database() {
    let scene = Scene::set().await;
    let tokens = scene.tokens(&scene.browser().await).await;
    let rows: Vec<String> = sqlx::query_scalar(
        "select c::text from connections c union all select c::text from clients c",
    )
    .fetch_all(&scene.stage.pool)
    .await
    .unwrap();
    let everything = format!("{}{}", rows.join("\n"), crate::log::text());
    let refresh = text(&tokens, "refresh_token");
    for secret in [
        scene.blog.secret.as_str(),
        text(&tokens, "access_token"),
        &refresh[..43],
        &refresh[43..],
        text(&tokens, "id_token"),
    ] {
        assert!(!everything.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_server_inside_of_the_cluster_is_answered_there_as_outside() {
    let scene = Scene::set().await;
    let blog = &scene.blog;
    // Nobody believes whom it says that it comes for.
    let server = Browser::new(scene.stage.backchannel().await, "192.0.2.7");
    let (status, told) = read(&server.get("/.well-known/openid-configuration").await);
    assert_eq!((status, text(&told, "issuer")), (200, ORIGIN));
    for (name, origin, path) in [
        ("authorization_endpoint", ORIGIN, "/oauth2/authorize"),
        ("end_session_endpoint", ORIGIN, "/oauth2/logout"),
        ("token_endpoint", BACKCHANNEL, "/oauth2/token"),
        ("userinfo_endpoint", BACKCHANNEL, "/oauth2/userinfo"),
        ("introspection_endpoint", BACKCHANNEL, "/oauth2/introspect"),
        ("revocation_endpoint", BACKCHANNEL, "/oauth2/revoke"),
        ("jwks_uri", BACKCHANNEL, "/.well-known/jwks.json"),
    ] {
        assert_eq!(text(&told, name), format!("{origin}{path}"));
    }
    assert_eq!(server.get("/.well-known/jwks.json").await.status, 200);

    let code = blog.code(&scene.browser().await).await;
    let (status, tokens) = blog.redeem_by(&server, &code, &[]).await;
    assert_eq!(status, 200, "{tokens}");
    let claims = claims(&scene.stage, blog, &tokens["id_token"]).await;
    let access = text(&tokens, "access_token");
    let (status, told) = userinfo_by(&server, access).await;
    assert_eq!((status, &told["sub"]), (200, &claims["sub"]));
    let token = [("token", access)];
    let (_, told) = blog.post_by(&server, "/oauth2/introspect", &token).await;
    assert_eq!(told["active"], true);
    assert_eq!(blog.redeem_by(&server, &code, &[]).await.0, 400);
    let address: String =
        sqlx::query_scalar("select address from audit order by sequence desc limit 1")
            .fetch_one(&scene.stage.pool)
            .await
            .unwrap();
    assert_eq!(address, "127.0.0.1");
}

#[tokio::test]
async fn inside_of_the_cluster_there_is_no_page_and_strangers_are_refused() {
    let scene = Scene::set().await;
    let server = Browser::new(scene.stage.backchannel().await, "192.0.2.7");
    let session = scene.browser().await.cookie("__Host-tutti").unwrap();
    let mut programs = 0;
    let there = [
        "/.well-known/openid-configuration",
        "/.well-known/jwks.json",
    ];
    // Also to who is signed in.
    for is_signed_in in [false, true] {
        if is_signed_in {
            server.set_cookie("__Host-tutti", &session);
        }
        let all = routes::all().into_iter();
        for route in all.filter(|route| !there.contains(&route.path)) {
            // As a form of ours would be sent.
            let own = [("sec-fetch-site", "same-origin")];
            let answer = server.send(route.method.clone(), route.path, None, &own);
            let answer = answer.await;
            let (status, told) = read(&answer);
            if route.access == Access::Program {
                programs += 1;
                assert!([400, 401].contains(&status), "{} {told}", route.path);
                continue;
            }
            assert_eq!(
                (status, &told["reason"]),
                (404, &"NotFound".into()),
                "{}",
                route.path
            );
            assert!(answer.cookies().is_empty(), "{}", route.path);
        }
    }
    assert_eq!(programs, 10);
    for path in ["/v1/may", "/v1/apps", "/v1/changes", "/healthz", "/metrics"] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
    let thief = Party {
        uid: scene.blog.uid.clone(),
        secret: "wrong".to_owned(),
    };
    let (status, told) = thief.redeem_by(&server, "x", &[]).await;
    assert_eq!((status, text(&told, "error")), (401, "invalid_client"));
    assert_eq!(userinfo_by(&server, &"A".repeat(43)).await.0, 401);
}

#[tokio::test]
async fn a_client_that_asks_too_much_waits_and_no_other_does() {
    let scene = Scene::set().await;
    let (stage, blog) = (&scene.stage, &scene.blog);
    let wiki = Party::register(stage, "acme", "wiki", None).await;
    let thief = Party {
        uid: blog.uid.clone(),
        secret: "wrong".to_owned(),
    };
    let ask = async |party: &Party| {
        let token = [("token", "x")];
        party.post(stage, "/oauth2/introspect", &token).await
    };
    // Whoever knows its name only takes nothing from it.
    for _ in 0..20 {
        assert_eq!(ask(&thief).await.0, 401);
    }
    for _ in 0..pace::RULE.capacity {
        assert_eq!(ask(blog).await.0, 200);
    }
    let (status, told) = ask(blog).await;
    assert_eq!(
        (status, text(&told, "error")),
        (429, "temporarily_unavailable")
    );
    assert_eq!(ask(&wiki).await.0, 200);
    stage.pass(SignedDuration::from_secs(1));
    assert_eq!(ask(blog).await.0, 200);
}
