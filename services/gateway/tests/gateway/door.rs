//! Who may pass where not everybody may. What idm answers is played: its own half is told by its own tests,
//! and both together by the stories on a cluster.

use crate::support::*;
use bytes::Bytes;
use gateway::door::{Address, SILENCE};
use http::{Request, Response, StatusCode, header::SET_COOKIE};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::net::TcpListener;

const TICKET: &str = "ticket.of.ann";
const PASS: &str = "pass.of.ann";
const APP: &str = "org-acme/team";

/// What idm knows, and what it was asked.
#[derive(Default)]
struct Known {
    /// By ticket or pass: status and body.
    answers: HashMap<String, (u16, Value)>,
    version: i64,
    is_away: bool,
    asked: Vec<Value>,
}

#[derive(Clone, Default)]
struct Idm(Arc<Mutex<Known>>);

impl Idm {
    fn know(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.0.lock().unwrap());
    }

    /// What somebody is let in by changes, and with it the version.
    fn changes(&self, token: &str, status: u16, answer: Value) {
        self.know(|known| {
            known.version += 1;
            known.answers.insert(token.to_owned(), (status, answer));
        });
    }

    fn asked(&self) -> Vec<Value> {
        self.0.lock().unwrap().asked.clone()
    }

    /// A gateway with a door to it, whose routes are one app's.
    async fn gateway(&self, routes: &[Value]) -> TestGateway {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let idm = self.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let idm = idm.clone();
                let service = hyper::service::service_fn(move |request| {
                    let idm = idm.clone();
                    async move { Ok::<_, Infallible>(idm.answer(request).await) }
                });
                let http1 = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http1.serve_connection(TokioIo::new(stream), service));
            }
        });
        let token = std::env::temp_dir().join(format!("gateway-door-{}", address.port()));
        std::fs::write(&token, "of-the-gateway\n").unwrap();
        let gateway = start_with_door(
            routes,
            Address {
                sign_in: "https://id.apps.test".to_owned(),
                services: format!("http://{address}"),
                token,
            },
        )
        .await;
        soon(async || {
            gateway
                .metrics()
                .contains(r#"watch_connected{kind="idm"} 1"#)
        })
        .await;
        gateway
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        assert_eq!(request.headers()["authorization"], "Bearer of-the-gateway");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        if path == "/v1/changes" {
            let after: i64 = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("after=")?.parse().ok())
                .unwrap();
            let begun = Instant::now();
            while self.version() <= after && begun.elapsed() < Duration::from_secs(1) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let version = self.version();
            return self.tell(200, &json!({ "version": version }));
        }
        let question: Value = serde_json::from_slice(&body).unwrap();
        let name = match path.as_str() {
            "/v1/door/redeem" => "ticket",
            "/v1/door/enter" => "pass",
            other => panic!("{other}"),
        };
        let token = question[name].as_str().unwrap().to_owned();
        let mut answer = None;
        self.know(|known| {
            known.asked.push(question);
            let version = known.version;
            answer = known.answers.get(&token).cloned();
            if let Some((200, answer)) = &mut answer {
                answer["entry"]["version"] = version.into();
            }
        });
        let refused = (403, json!({ "reason": "PassRefused", "code": "WrongKey" }));
        let (status, answer) = answer.unwrap_or(refused);
        self.tell(status, &answer)
    }

    fn version(&self) -> i64 {
        self.0.lock().unwrap().version
    }

    fn tell(&self, status: u16, answer: &Value) -> Response<Full<Bytes>> {
        let is_away = self.0.lock().unwrap().is_away;
        let mut response = Response::new(answer.to_string().into());
        *response.status_mut() = if is_away {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::from_u16(status).unwrap()
        };
        response
    }
}

fn entry(is_admin: bool) -> Value {
    let now = jiff::Timestamp::now();
    let after = |seconds| now + jiff::SignedDuration::from_secs(seconds);
    json!({
        "pass": null,
        "entry": {
            "identity": "identity.of.ann",
            "identity_ends_at": after(60),
            "pass_ends_at": after(900),
            "is_admin": is_admin,
            "instance": APP,
            "person": "usr-ann",
            "is_checked": true,
            "version": 0,
        },
    })
}

fn guarded(backend: &Backend, access: &str) -> Value {
    let mut route = with(
        route("team.apps.test", backend),
        json!({ "access": access }),
    );
    route["metadata"]["labels"] = json!({ "app.kubernetes.io/instance": "team" });
    route
}

/// What a browser is given when it is led to sign in.
fn state(led: &Answer) -> String {
    let cookie = led.header(SET_COOKIE.as_str());
    let state = cookie.strip_prefix("__Host-tutti-door=").unwrap();
    state.split(';').next().unwrap().to_owned()
}

fn page(path: &str, cookie: &str) -> Request<Body> {
    Request::get(format!("https://team.apps.test{path}"))
        .header("accept", HTML)
        .header("cookie", cookie)
        .body(full(""))
        .unwrap()
}

fn with_pass(path: &str) -> Request<Body> {
    page(path, &format!("theme=dark; __Host-tutti-pass={PASS}"))
}

#[tokio::test]
async fn strangers_are_led_to_sign_in_and_programs_are_told() {
    let backend = backend().await;
    let gateway = Idm::default()
        .gateway(&[guarded(&backend, "members")])
        .await;
    let led = gateway.ask(page("/a%20b?c=d&e", "")).await;
    assert_eq!(led.status, 303);
    let state = state(&led);
    let to = "https%3A%2F%2Fteam.apps.test%2Fa%2520b%3Fc%3Dd%26e%26tutti_state%3D";
    assert_eq!(
        led.header("location"),
        format!("https://id.apps.test/door?to={to}{state}")
    );
    let again = gateway
        .ask(page("/", &format!("__Host-tutti-door={state}")))
        .await;
    assert!(again.header("location").ends_with(&state), "{again:?}");
    assert_eq!(led.header("cache-control"), "no-store");
    let program = gateway.get("https://team.apps.test/").await;
    assert_eq!(program.status, 401);
    assert!(program.body.contains("NotSignedIn"), "{}", program.body);
    let mut post = page("/", "");
    *post.method_mut() = http::Method::POST;
    assert_eq!(gateway.ask(post).await.status, 401);
    for forged in [
        "__Host-tutti-pass=forged",
        "__Host-tutti-pass=a.b.c",
        "__Host-tutti-pass=pass.of.ann; __Host-tutti-pass=a.b.c",
    ] {
        assert_eq!(gateway.ask(page("/", forged)).await.status, 303, "{forged}");
    }
    let plain = gateway.get("http://team.apps.test/").await;
    assert_eq!(plain.header("location"), "https://team.apps.test/");
    assert_eq!(
        backend.requests.load(std::sync::atomic::Ordering::SeqCst),
        0
    );
}

#[tokio::test]
async fn a_ticket_becomes_a_cookie_and_leads_to_the_page_that_was_asked_for() {
    let backend = backend().await;
    let idm = Idm::default();
    let mut let_in = entry(false);
    let_in["pass"] = PASS.into();
    idm.changes(TICKET, 200, let_in);
    let gateway = idm.gateway(&[guarded(&backend, "members")]).await;
    let led = gateway.ask(page("/a?b=1", "")).await;
    let state = state(&led);
    let ours = format!("__Host-tutti-door={state}");
    let address = format!("/a?b=1&tutti_state={state}&tutti_ticket={TICKET}");
    for other in [String::new(), format!("__Host-tutti-door={:032x}", 1)] {
        let refused = gateway.ask(page(&address, &other)).await;
        assert_eq!(refused.status, 403, "in another browser: {}", refused.body);
    }
    let back = gateway.ask(page(&address, &ours)).await;
    assert_eq!(back.status, 303, "{}", back.body);
    assert_eq!(back.header("location"), "https://team.apps.test/a?b=1");
    assert_eq!(
        back.header(SET_COOKIE.as_str()),
        format!("__Host-tutti-pass={PASS}; Path=/; Max-Age=900; Secure; HttpOnly; SameSite=Lax")
    );
    assert_eq!(
        idm.asked(),
        [json!({ "ticket": TICKET, "host": "team.apps.test", "path": "/a" })]
    );

    idm.changes(TICKET, 403, json!({ "reason": "TicketUsed" }));
    let used = gateway.ask(page(&address, &ours)).await;
    assert_eq!(used.status, 403);
    assert!(used.body.contains("not good any more"), "{}", used.body);
    assert!(!used.body.contains("TicketUsed"), "{}", used.body);
    assert_eq!(used.header(SET_COOKIE.as_str()), "");
}

#[tokio::test]
async fn who_has_a_pass_is_told_to_the_app_and_idm_is_asked_once() {
    let backend = backend().await;
    let idm = Idm::default();
    idm.changes(PASS, 200, entry(false));
    let gateway = idm.gateway(&[guarded(&backend, "members")]).await;
    for _ in 0..5 {
        let mut request = with_pass("/headers");
        let forged = "somebody.else.entirely".parse().unwrap();
        request.headers_mut().insert("x-tutti-identity", forged);
        let answer = gateway.ask(request).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.body.contains("identity.of.ann"), "{}", answer.body);
        assert!(!answer.body.contains("somebody.else"), "{}", answer.body);
        assert!(answer.body.contains("theme=dark"), "{}", answer.body);
        assert!(!answer.body.contains("tutti-pass"), "{}", answer.body);
    }
    assert_eq!(
        idm.asked(),
        [json!({ "pass": PASS, "host": "team.apps.test" })]
    );

    // A fresh pass goes to the browser.
    let mut renewed = entry(false);
    renewed["pass"] = "new.pass.of-ann".into();
    idm.changes(PASS, 200, renewed);
    soon(async || {
        let answer = gateway.ask(with_pass("/headers")).await;
        answer.status == 200
            && answer
                .header(SET_COOKIE.as_str())
                .contains("new.pass.of-ann")
    })
    .await;
}

#[tokio::test]
async fn a_revocation_is_in_force_as_soon_as_it_is_heard_of() {
    let backend = backend().await;
    let idm = Idm::default();
    idm.changes(PASS, 200, entry(false));
    let gateway = idm.gateway(&[guarded(&backend, "members")]).await;
    assert_eq!(gateway.ask(with_pass("/")).await.status, 200);
    let words = "Members cannot open this app; ask ann@acme.test";
    idm.changes(PASS, 403, json!({ "reason": "MayNot", "words": words }));
    soon(async || gateway.ask(with_pass("/")).await.status == 403).await;
    assert!(gateway.ask(with_pass("/")).await.body.contains(words));
    idm.changes(PASS, 403, json!({ "reason": "SessionEnded" }));
    soon(async || gateway.ask(with_pass("/")).await.status == 303).await;
}

#[tokio::test]
async fn a_part_for_admins_is_closed_to_members_and_a_pass_is_good_for_one_app() {
    let backend = backend().await;
    let idm = Idm::default();
    idm.changes(PASS, 200, entry(false));
    let gateway = idm.gateway(&[guarded(&backend, "admins")]).await;
    let refused = gateway.ask(with_pass("/")).await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("for admins"), "{}", refused.body);
    idm.changes(PASS, 200, entry(true));
    soon(async || gateway.ask(with_pass("/")).await.status == 200).await;

    let mut moved = guarded(&backend, "admins");
    moved["metadata"]["labels"]["app.kubernetes.io/instance"] = "wiki".into();
    swap(&gateway.gateway, &[moved]);
    assert_eq!(gateway.ask(with_pass("/")).await.status, 303);
    let mut nobodys = guarded(&backend, "admins");
    nobodys["metadata"]["labels"] = json!({});
    swap(&gateway.gateway, &[nobodys]);
    assert_eq!(gateway.ask(with_pass("/")).await.status, 503);
}

#[tokio::test]
async fn while_idm_is_away_members_go_on_and_admins_and_newcomers_wait() {
    let backend = backend().await;
    let idm = Idm::default();
    idm.changes(PASS, 200, entry(true));
    let part = with(
        guarded(&backend, "admins"),
        json!({ "pathPrefix": "/admin" }),
    );
    let gateway = idm.gateway(&[guarded(&backend, "members"), part]).await;
    for path in ["/", "/admin"] {
        assert_eq!(gateway.ask(with_pass(path)).await.status, 200);
    }
    idm.know(|known| known.is_away = true);
    // From now on a revocation may have been missed.
    tokio::time::sleep(SILENCE).await;
    soon(async || gateway.ask(with_pass("/admin")).await.status == 503).await;
    assert_eq!(gateway.ask(with_pass("/")).await.status, 200);
    let newcomer = gateway.ask(page("/", "__Host-tutti-pass=a.b.c")).await;
    assert_eq!(newcomer.status, 503);
    assert!(newcomer.body.contains("try again"), "{}", newcomer.body);
    idm.know(|known| known.is_away = false);
    soon(async || gateway.ask(with_pass("/admin")).await.status == 200).await;
}
