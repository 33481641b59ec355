//! The gateway's door: browsers are led to apps, and the gateway asks who comes. What the gateway does is done
//! here by hand; a real API server says that it may ask.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use idm::{
    authorization::changes,
    cluster, door,
    organizations::{self, Organization, Role},
};
use jiff::{SignedDuration, Timestamp};
use lab::postgres::Postgres;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokens::{
    Algorithm, Envelope, Expected, Identity, Instance, KeySet, Pass, Policy, PrivateKey,
    PublicKeys, Ticket, Token, Tolerance,
};
use tokio_util::sync::CancellationToken;

use crate::{
    authorization::{ask, post, serve, service_token},
    browser::{Answer, Browser},
    log, pages,
    second_factor::Phone,
    support::{ORIGIN, PASSWORD, Stage, database_on, until},
};

pub const HOST: &str = "shop-x.apps.example";

/// Acme with its app, and its Super Admin; on a platform that has been set up.
pub async fn acme(stage: &Stage) -> Organization {
    stage.staff("root@example.com").await;
    let acme = stage.organization("acme").await;
    let ann = stage.person("ann@acme.test").await;
    stage.join(&acme, &ann, Role::SuperAdmin).await;
    lead(stage, HOST, "acme", "shop").await;
    acme
}

async fn lead(stage: &Stage, hostname: &str, organization: &str, instance: &str) {
    let mut connection = stage.pool.acquire().await.unwrap();
    let key = (organization.to_owned(), instance.to_owned());
    cluster::store::set_hostname(&mut connection, hostname, &key)
        .await
        .unwrap();
}

/// Ben, in a browser in which he is signed in.
async fn ben(stage: &Stage, acme: &Organization, role: Role) -> (String, Browser) {
    let (ben, browser) = stage.signed_in("ben@acme.test").await;
    stage.join(acme, &ben, role).await;
    (ben, browser)
}

fn door_to(to: &str) -> String {
    format!(
        "/door?{}",
        serde_urlencoded::to_string([("to", to)]).unwrap()
    )
}

pub async fn knock(browser: &Browser, to: &str) -> Answer {
    browser.get(&door_to(to)).await
}

/// The ticket of a URL that the door led to.
fn ticket_of(led: &str) -> String {
    let url: Url = led.parse().unwrap();
    let tickets = url.query_pairs().filter(|(name, _)| name == "tutti_ticket");
    let tickets: Vec<String> = tickets.map(|(_, value)| value.into_owned()).collect();
    assert_eq!(tickets.len(), 1, "{led}");
    tickets[0].clone()
}

async fn ticket(browser: &Browser) -> String {
    let answer = knock(browser, &format!("https://{HOST}/a")).await;
    assert_eq!(answer.status, 303, "{}", answer.body);
    ticket_of(answer.location())
}

fn redemption(ticket: &str) -> Value {
    json!({ "ticket": ticket, "host": HOST, "path": "/a" })
}

pub async fn pass(at: SocketAddr, browser: &Browser) -> String {
    let ticket = ticket(browser).await;
    let answer = ask(at, "/v1/door/redeem", redemption(&ticket)).await;
    answer["pass"].as_str().unwrap().to_owned()
}

pub async fn enter(at: SocketAddr, pass: &str) -> (u16, Value) {
    let body = json!({ "pass": pass, "host": HOST });
    post(at, "/v1/door/enter", service_token().await, &body).await
}

/// The reason and the code of a refusal.
async fn refusal(at: SocketAddr, path: &str, body: Value) -> (String, String) {
    let (status, answer) = post(at, path, service_token().await, &body).await;
    assert_eq!(status, 403, "{answer}");
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("code"))
}

fn pair(reason: &str, code: &str) -> (String, String) {
    (reason.to_owned(), code.to_owned())
}

/// As a gateway verifies what idm has signed.
async fn verify<T: Token>(stage: &Stage, text: &str, place: T::Place<'_>) -> T {
    let jwks = stage.browser().get("/.well-known/jwks.json").await;
    let keys = PublicKeys::from_jwks(&jwks.body).unwrap();
    let expected = Expected {
        issuer: ORIGIN,
        now: stage.app.now(),
        tolerance: Tolerance::NONE,
    };
    tokens::verify(text, &keys, &expected, place).unwrap().token
}

fn shop() -> Instance {
    Instance {
        organization: "acme".to_owned(),
        name: "shop".to_owned(),
    }
}

#[tokio::test]
async fn who_signs_in_is_led_to_the_app_and_the_gateway_hears_who_it_is() {
    let stage = Stage::start().await;
    let at = serve(&stage).await;
    let acme = acme(&stage).await;
    let ben = stage.person("ben@acme.test").await;
    stage.join(&acme, &ben, Role::Admin).await;

    // A stranger signs in first.
    let browser = stage.browser();
    let to = format!("https://{HOST}/a?x=%20y&tutti_ticket=old&z");
    let led = knock(&browser, &to).await;
    assert_eq!(led.status, 303);
    let sign_in = led.location().to_owned();
    assert!(
        sign_in.starts_with("/sign-in?next=%2Fdoor%3Fto%3D"),
        "{sign_in}"
    );
    let page = browser.get(&sign_in).await;
    let next = page.between(r#"name="next" value=""#, "\"").to_owned();
    let form = [
        ("email", "ben@acme.test"),
        ("password", PASSWORD),
        ("next", &next),
    ];
    // The form ends with a page, as browsers hold redirects after it to form-action.
    let page = browser.post("/sign-in", &form).await;
    assert_eq!(page.status, 200, "{}", page.body);
    pages::check(&page, "en");
    let policy = page.header("content-security-policy");
    assert!(policy.contains("form-action 'self';"), "{policy}");
    let onward = page.header("refresh").strip_prefix("0; url=").unwrap();
    assert_eq!(onward, door_to(&to));

    let led = browser.get(onward).await;
    assert_eq!(led.status, 303, "{}", led.body);
    assert_eq!(led.header("cache-control"), "no-store");
    let ticket = ticket_of(led.location());
    let expected = format!("https://{HOST}/a?x=%20y&z&tutti_ticket={ticket}");
    assert_eq!(led.location(), expected);

    let answer = ask(at, "/v1/door/redeem", redemption(&ticket)).await;
    let entry = &answer["entry"];
    let now = stage.app.now();
    let ends_at = |name: &str| {
        let text = entry[name].as_str().unwrap();
        let ends_at: Timestamp = text.parse().unwrap();
        ends_at.as_second() - now.as_second()
    };
    assert_eq!(
        (ends_at("identity_ends_at"), ends_at("pass_ends_at")),
        (60, 900)
    );
    assert_eq!(entry["is_admin"], true);
    assert_eq!(entry["is_checked"], true);
    assert_eq!(entry["instance"], "acme/shop");
    assert_eq!(entry["person"], ben.as_str());
    let shop = shop();
    let identity = entry["identity"].as_str().unwrap();
    let identity = verify::<Identity>(&stage, identity, &shop).await;
    let expected = Identity {
        person: ben.clone(),
        email: "ben@acme.test".to_owned(),
        name: "ben".to_owned(),
        organization: acme.uid.clone(),
        role: tokens::Role::Admin,
        instance: shop,
        staff: false,
    };
    assert_eq!(identity, expected);
    let text = answer["pass"].as_str().unwrap();
    let pass = verify::<Pass>(&stage, text, HOST).await;
    assert_eq!(
        (pass.person.as_str(), pass.host.as_str()),
        (ben.as_str(), HOST)
    );

    // The pass is good, and after a while it is given anew.
    let (status, answer) = enter(at, text).await;
    assert_eq!((status, &answer["pass"]), (200, &Value::Null), "{answer}");
    stage.pass(SignedDuration::from_mins(5));
    let (status, answer) = enter(at, text).await;
    assert_eq!(status, 200, "{answer}");
    let fresh = answer["pass"].as_str().unwrap();
    verify::<Pass>(&stage, fresh, HOST).await;
    stage.pass(SignedDuration::from_mins(14));
    assert_eq!(enter(at, fresh).await.0, 200);
    assert_eq!(enter(at, text).await.1["code"], "Expired");

    let log = log::text();
    for secret in [
        ticket.as_str(),
        text,
        fresh,
        entry["identity"].as_str().unwrap(),
    ] {
        assert!(!log.contains(secret), "{secret} was logged");
    }
}

#[tokio::test]
async fn after_a_second_step_one_is_led_on_as_well() {
    let stage = Stage::start().await;
    let acme = acme(&stage).await;
    let (_, browser) = ben(&stage, &acme, Role::PowerUser).await;
    browser.get("/account").await;
    browser
        .post("/account/totp", &[("current", PASSWORD)])
        .await;
    let phone = Phone::scan(&browser.get("/account/totp").await);
    let code = phone.code(stage.app.now());
    browser
        .post("/account/totp/confirm", &[("code", &code)])
        .await;
    let other = stage.browser();
    let next = door_to(&format!("https://{HOST}/a"));
    other.get("/sign-in").await;
    let form = [
        ("email", "ben@acme.test"),
        ("password", PASSWORD),
        ("next", &next),
    ];
    let answer = other.post("/sign-in", &form).await;
    assert_eq!(answer.status, 303);
    other.get(answer.location()).await;
    stage.pass(SignedDuration::from_secs(30));
    let code = phone.code(stage.app.now());
    let form = [("code", code.as_str()), ("next", &next)];
    let page = other.post("/sign-in/second-step", &form).await;
    assert_eq!(
        page.header("refresh"),
        format!("0; url={next}"),
        "{}",
        page.body
    );
    assert!(other.cookie("__Host-tutti").is_some());
}

#[tokio::test]
async fn a_ticket_is_good_once_whichever_replicas_are_asked_at_once() {
    let stage = Stage::start().await;
    let twin = stage.twin().await;
    let acme = acme(&stage).await;
    let (_, browser) = ben(&stage, &acme, Role::PowerUser).await;
    let replicas = [serve(&stage).await, serve(&twin).await];
    for _ in 0..5 {
        let ticket = ticket(&browser).await;
        let tries: Vec<_> = (0..8)
            .map(|number| {
                let (at, body) = (replicas[number % 2], redemption(&ticket));
                tokio::spawn(async move {
                    post(at, "/v1/door/redeem", service_token().await, &body).await
                })
            })
            .collect();
        let mut good = 0;
        for one in tries {
            let (status, answer) = one.await.unwrap();
            if status == 200 {
                good += 1;
            } else {
                assert_eq!((status, &answer["reason"]), (403, &json!("TicketUsed")));
            }
        }
        assert_eq!(good, 1);
    }
    // They are forgotten when nobody would take them anyway.
    let left = async || -> i64 {
        sqlx::query_scalar("select count(*) from redeemed_tickets")
            .fetch_one(&stage.pool)
            .await
            .unwrap()
    };
    let mut connection = stage.pool.acquire().await.unwrap();
    for (minutes, expected) in [(0, 5), (3, 5), (10, 0)] {
        let now = stage.app.now() + SignedDuration::from_mins(minutes);
        door::store::sweep(&mut connection, now).await.unwrap();
        assert_eq!(left().await, expected, "after {minutes} min");
    }
}

/// A token that somebody else signed, who knows what ours say.
fn forge<T: Token>(token: &T, issuer: &str, now: Timestamp) -> String {
    let mut keys = KeySet::default();
    let policy = Policy {
        use_for: SignedDuration::from_hours(100),
        longest_life: SignedDuration::from_mins(15),
    };
    let key = PrivateKey::generate(Algorithm::Es256).unwrap();
    keys.publish(key, &policy, now).unwrap();
    let envelope = Envelope {
        issuer,
        id: "tok-1",
        now,
        life: T::LONGEST_LIFE,
    };
    tokens::sign(&keys, Algorithm::Es256, token, &envelope).unwrap()
}

#[tokio::test]
async fn a_bad_ticket_is_refused_and_told_which_check_failed() {
    let stage = Stage::start().await;
    let at = serve(&stage).await;
    let acme = acme(&stage).await;
    let (_, browser) = ben(&stage, &acme, Role::PowerUser).await;
    lead(&stage, "other.apps.example", "acme", "shop").await;
    let good = ticket(&browser).await;
    let claims = verify::<Ticket>(
        &stage,
        &good,
        tokens::Place {
            host: HOST,
            path: "/a",
        },
    )
    .await;
    let foreign = forge(&claims, ORIGIN, stage.app.now());
    let cut = &good[..good.len() - 2];
    let headless = good.split_once('.').unwrap().1;
    for (ticket, host, path, code) in [
        (good.as_str(), "other.apps.example", "/a", "WrongHost"),
        (&good, "SHOP-X.apps.example", "/a", "WrongHost"),
        (&good, HOST, "/", "WrongPath"),
        (&good, HOST, "/a/", "WrongPath"),
        (cut, HOST, "/a", "BadSignature"),
        (headless, HOST, "/a", "Malformed"),
        ("", HOST, "/a", "Malformed"),
        (&foreign, HOST, "/a", "UnknownKey"),
        (&pass(at, &browser).await, HOST, "/a", "WrongType"),
    ] {
        let body = json!({ "ticket": ticket, "host": host, "path": path });
        let refused = refusal(at, "/v1/door/redeem", body).await;
        assert_eq!(
            refused,
            pair("TicketRefused", code),
            "{ticket} {host}{path}"
        );
    }
    // None of these used it up.
    ask(at, "/v1/door/redeem", redemption(&good)).await;
    let late = ticket(&browser).await;
    stage.pass(SignedDuration::from_secs(60));
    let refused = refusal(at, "/v1/door/redeem", redemption(&late)).await;
    assert_eq!(refused, pair("TicketRefused", "Expired"));
    // The hostname leads to another app by the time.
    let moved = ticket(&browser).await;
    lead(&stage, HOST, "acme", "wiki").await;
    let refused = refusal(at, "/v1/door/redeem", redemption(&moved)).await;
    assert_eq!(refused, pair("TicketRefused", "OtherInstance"));
    for body in [
        json!({}),
        json!({ "ticket": good, "host": HOST, "path": 1 }),
    ] {
        let (status, answer) = post(at, "/v1/door/redeem", service_token().await, &body).await;
        assert_eq!((status, &answer["reason"]), (400, &json!("BadQuestion")));
    }
}

#[tokio::test]
async fn a_bad_pass_is_refused_and_told_which_check_failed() {
    let stage = Stage::start().await;
    let at = serve(&stage).await;
    let acme = acme(&stage).await;
    let (_, browser) = ben(&stage, &acme, Role::PowerUser).await;
    let good = pass(at, &browser).await;
    let claims = verify::<Pass>(&stage, &good, HOST).await;
    let foreign = forge(&claims, ORIGIN, stage.app.now());
    let ticket = ticket(&browser).await;
    let cut = &good[..good.len() - 2];
    for (pass, host, code) in [
        (good.as_str(), "other.apps.example", "WrongHost"),
        (cut, HOST, "BadSignature"),
        (&good[..50], HOST, "Malformed"),
        (&foreign, HOST, "UnknownKey"),
        (&ticket, HOST, "WrongType"),
    ] {
        let body = json!({ "pass": pass, "host": host });
        let refused = refusal(at, "/v1/door/enter", body).await;
        assert_eq!(refused, pair("PassRefused", code), "{pass} {host}");
    }
    lead(&stage, HOST, "acme", "wiki").await;
    assert_eq!(enter(at, &good).await.1["code"], "OtherInstance");
    lead(&stage, HOST, "acme", "shop").await;
    stage.pass(SignedDuration::from_mins(15));
    assert_eq!(enter(at, &good).await.1["code"], "Expired");
}

/// Asks for the next version while something happens, and says how long after it the answer came.
async fn told_of(at: SocketAddr, happens: impl AsyncFnOnce()) -> Duration {
    let version = version(at, 0, 20).await;
    let waiting = tokio::spawn(async move {
        let next = self::version(at, version, 20).await;
        assert!(next > version);
        Instant::now()
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished(), "nothing has happened yet");
    happens().await;
    let happened = Instant::now();
    waiting.await.unwrap().saturating_duration_since(happened)
}

async fn version(at: SocketAddr, after: i64, wait: u64) -> i64 {
    let (status, answer) = get(at, &format!("/v1/changes?after={after}&wait={wait}")).await;
    assert_eq!(status, 200, "{answer}");
    answer["version"].as_i64().unwrap()
}

async fn get(at: SocketAddr, path: &str) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("http://{at}{path}"));
    let request = request.bearer_auth(service_token().await);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Follows the version as the program does.
fn follow(stage: &Stage) -> CancellationToken {
    let stop = CancellationToken::new();
    tokio::spawn(changes::follow(Arc::clone(&stage.app), stop.clone()));
    stop
}

/// What an entry is refused with after something has happened; who waits has heard of it in time.
async fn refused_after(at: SocketAddr, pass: &str, happens: impl AsyncFnOnce()) -> Value {
    let late = told_of(at, happens).await;
    assert!(late < Duration::from_millis(300), "{late:?}");
    let (status, answer) = enter(at, pass).await;
    assert_eq!(status, 403, "{answer}");
    answer
}

#[tokio::test]
async fn after_a_revocation_the_next_entry_is_refused_and_who_waits_hears_of_it() {
    let stage = Stage::start().await;
    let at = serve(&stage).await;
    let stop = follow(&stage);
    let acme = acme(&stage).await;
    let (ben, browser) = ben(&stage, &acme, Role::PowerUser).await;
    let good = pass(at, &browser).await;
    let (status, answer) = enter(at, &good).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["entry"]["is_admin"], false);
    let connection = async || stage.pool.acquire().await.unwrap();

    // A role that is not enough, and whom to ask.
    let set_role = async |role| {
        organizations::store::set_role(&mut *connection().await, &acme.uid, &ben, role)
            .await
            .unwrap();
    };
    let answer = refused_after(at, &good, async || set_role(Role::Member).await).await;
    assert_eq!(answer["reason"], "MayNot");
    assert_eq!(answer["code"], "InstanceNotGiven");
    let words = answer["words"].as_str().unwrap();
    assert!(words.contains("ask ann@acme.test"), "{words}");
    set_role(Role::SuperAdmin).await;
    assert_eq!(enter(at, &good).await.1["entry"]["is_admin"], true);

    let suspend = async |is_suspended: bool| {
        sqlx::query("update people set is_suspended = $2 where uid = $1")
            .bind(&ben)
            .bind(is_suspended)
            .execute(&stage.pool)
            .await
            .unwrap();
    };
    let answer = refused_after(at, &good, async || suspend(true).await).await;
    assert_eq!(
        (&answer["reason"], &answer["code"]),
        (&json!("MayNot"), &json!("PersonSuspended"))
    );
    suspend(false).await;
    assert_eq!(enter(at, &good).await.0, 200);

    let remove = async || {
        organizations::store::remove(&mut *connection().await, &acme.uid, &ben)
            .await
            .unwrap();
    };
    let answer = refused_after(at, &good, remove).await;
    assert_eq!(
        (&answer["reason"], &answer["code"]),
        (&json!("MayNot"), &json!("NoMember"))
    );
    stage.join(&acme, &ben, Role::PowerUser).await;
    assert_eq!(enter(at, &good).await.0, 200);

    // A ticket of before is worth nothing after the sign-out, either.
    let ticket = ticket(&browser).await;
    browser.get("/account").await;
    let sign_out = async || assert_eq!(browser.post("/sign-out", &[]).await.status, 303);
    let answer = refused_after(at, &good, sign_out).await;
    assert_eq!(answer["reason"], "SessionEnded");
    let refused = refusal(at, "/v1/door/redeem", redemption(&ticket)).await;
    assert_eq!(refused, pair("SessionEnded", ""));
    stop.cancel();
}

#[tokio::test]
async fn a_session_lives_on_while_its_person_uses_an_app_and_ends_when_they_do_not() {
    let stage = Stage::start().await;
    let at = serve(&stage).await;
    let acme = acme(&stage).await;
    let (_, browser) = ben(&stage, &acme, Role::PowerUser).await;
    let mut good = pass(at, &browser).await;
    // Half a day without a request here would end it.
    for _ in 0..60 {
        stage.pass(SignedDuration::from_mins(14));
        let (status, answer) = enter(at, &good).await;
        assert_eq!(status, 200, "{answer}");
        good = answer["pass"].as_str().unwrap().to_owned();
    }
    sqlx::query("update sessions set last_seen_at = last_seen_at - interval '1 day'")
        .execute(&stage.pool)
        .await
        .unwrap();
    assert_eq!(enter(at, &good).await.1["reason"], "SessionEnded");
}

#[tokio::test]
async fn a_change_is_told_at_once_and_no_change_when_the_patience_ends() {
    let stage = Stage::start().await;
    let at = serve(&stage).await;
    let path = "/v1/changes?after=0&wait=0";
    let (status, answer) = get(at, path).await;
    assert_eq!(
        (status, &answer["reason"]),
        (503, &json!("DatabaseAway")),
        "none is known yet"
    );
    let stop = follow(&stage);
    let first = version(at, 0, 20).await;
    let begun = Instant::now();
    assert_eq!(version(at, first - 1, 20).await, first);
    assert!(begun.elapsed() < Duration::from_secs(1));
    let begun = Instant::now();
    assert_eq!(version(at, first, 1).await, first);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    // A hostname that leads elsewhere is one, too.
    lead(&stage, HOST, &stage.organization("acme").await.name, "shop").await;
    let before = version(at, first, 20).await;
    lead(&stage, HOST, "acme", "wiki").await;
    assert!(version(at, before, 20).await > before);
    for (query, words) in [
        ("", "after"),
        ("?after=1", "wait"),
        ("?after=x&wait=1", "after"),
        ("?after=1&wait=21", "wait: 21"),
        ("?after=1&wait=-1", "wait"),
        ("?after=1&wait=1&also=1", "also"),
    ] {
        let (status, answer) = get(at, &format!("/v1/changes{query}")).await;
        assert_eq!(
            (status, &answer["reason"]),
            (400, &json!("BadQuestion")),
            "{query}"
        );
        let detail = answer["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{detail}");
    }
    stop.cancel();
}

#[tokio::test]
async fn a_change_is_told_although_the_connection_that_listens_was_lost() {
    let stage = Stage::start().await;
    let at = serve(&stage).await;
    let stop = follow(&stage);
    let acme = acme(&stage).await;
    let mut before = version(at, 0, 20).await;
    for number in 0..3 {
        // By the superuser's own connection, which is spared.
        sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()",
        )
        .execute(&stage.pool)
        .await
        .unwrap();
        let uid = stage.person(&format!("person{number}@acme.test")).await;
        before = version(at, 0, 0).await.max(before);
        stage.join(&acme, &uid, Role::Member).await;
        let after = version(at, before, 20).await;
        assert!(after > before, "round {number}");
    }
    stop.cancel();
}

#[tokio::test]
async fn the_door_leads_to_apps_of_the_platform_and_nowhere_else() {
    let stage = Stage::start().await;
    let acme = acme(&stage).await;
    let (_, browser) = ben(&stage, &acme, Role::PowerUser).await;
    lead(&stage, "*.wild.example", "acme", "shop").await;
    for (to, led) in [
        (
            "https://shop-x.apps.example",
            "https://shop-x.apps.example/?",
        ),
        (
            "https://SHOP-X.apps.example:443/b?c",
            "https://shop-x.apps.example/b?c&",
        ),
        ("https://any.wild.example/", "https://any.wild.example/?"),
    ] {
        let answer = knock(&browser, to).await;
        assert_eq!(answer.status, 303, "{to}: {}", answer.body);
        let expected = format!("{led}tutti_ticket={}", ticket_of(answer.location()));
        assert_eq!(answer.location(), expected);
    }
    for to in [
        "",
        "/",
        "http://shop-x.apps.example/",
        "https://evil.test/",
        "https://shop-x.apps.example.evil.test/",
        "https://apps.example/",
        "https://wild.example/",
        "https://a.b.wild.example/",
        "https://*.wild.example/",
        "https://shop-x.apps.example:8443/",
        "https://ann@shop-x.apps.example/",
        "https://shop-x.apps.example@evil.test/",
        "https://shop-x.apps.example./",
        "https://id.example.com/",
        "javascript:alert(1)",
        "https://shop-x.apps.example/\r\nset-cookie: a=b",
    ] {
        let answer = knock(&browser, to).await;
        assert_eq!(answer.status, 400, "{to:?}");
        assert!(
            answer.body.contains("UnknownPlace"),
            "{to:?}: {}",
            answer.body
        );
    }
    assert_eq!(browser.get("/door").await.status, 400);
}

#[tokio::test]
async fn who_may_not_open_an_app_is_told_why_and_whom_to_ask() {
    let stage = Stage::start().await;
    let acme = acme(&stage).await;
    let (_, ben) = ben(&stage, &acme, Role::Member).await;
    let to = format!("https://{HOST}/a");
    let answer = knock(&ben, &to).await;
    assert_eq!((answer.status, answer.location()), (403, ""));
    pages::check(&answer, "en");
    assert!(
        answer
            .body
            .contains("ask ann@acme.test, who is a Super Admin."),
        "{}",
        answer.body
    );
    assert!(
        answer.body.contains("You are signed in as ben@acme.test"),
        "{}",
        answer.body
    );

    let accept = [("accept", "application/json")];
    let answer = ben.send(Method::GET, &door_to(&to), None, &accept).await;
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("NotAllowed"), "{}", answer.body);

    // Of another organization, and of the staff: neither hears who is in this one.
    let other = stage.organization("other").await;
    let (eve, browser) = stage.signed_in("eve@other.test").await;
    stage.join(&other, &eve, Role::SuperAdmin).await;
    for browser in [browser, stage.sign_in("root@example.com").await] {
        let answer = knock(&browser, &to).await;
        assert_eq!((answer.status, answer.location()), (403, ""));
        assert!(
            answer.body.contains("You are not in this organization"),
            "{}",
            answer.body
        );
        assert!(!answer.body.contains("ann@acme.test"), "{}", answer.body);
    }
}

#[tokio::test]
async fn while_the_database_is_away_a_pass_is_believed_and_nobody_new_comes_in() {
    // A server of its own, that can be killed.
    let server = Postgres::start(false).await.unwrap();
    let stage = Stage::start_on(database_on(&server).await, |_| {}).await;
    let at = serve(&stage).await;
    let acme = acme(&stage).await;
    let (ben, browser) = ben(&stage, &acme, Role::Admin).await;
    let good = pass(at, &browser).await;
    let late = ticket(&browser).await;
    server.kill();
    let begun = Instant::now();
    let (status, answer) = enter(at, &good).await;
    assert_eq!((status, &answer["pass"]), (200, &Value::Null), "{answer}");
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    let entry = &answer["entry"];
    assert_eq!(
        (&entry["is_checked"], &entry["is_admin"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(
        (&entry["version"], &entry["person"]),
        (&json!(0), &json!(ben))
    );
    assert!(entry["identity"].as_str().unwrap().len() > 100);
    let (_, code) = refusal(at, "/v1/door/enter", json!({ "pass": good, "host": "a.b" })).await;
    assert_eq!(code, "WrongHost");
    let (status, answer) = post(
        at,
        "/v1/door/redeem",
        service_token().await,
        &redemption(&late),
    )
    .await;
    assert_eq!(
        (status, &answer["retryable"]),
        (503, &json!(true)),
        "{answer}"
    );
    server.start_again().unwrap();
    until(async || enter(at, &good).await.1["entry"]["is_checked"] == true).await;
    ask(at, "/v1/door/redeem", redemption(&late)).await;
    server.kill();
    stage.pass(SignedDuration::from_mins(15));
    assert_eq!(enter(at, &good).await.1["code"], "Expired");
}
