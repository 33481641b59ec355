//! What visitors see when there is no answer from the app.

use crate::support::*;
use http::Request;
use serde_json::{Value, json};
use std::sync::atomic::Ordering::SeqCst;

/// Browsed and asked for: the page and the problem of one host.
pub async fn both(gateway: &TestGateway, uri: &str) -> (Answer, Value) {
    let page = gateway.browse(uri).await;
    assert!(
        page.header("content-type").starts_with("text/html"),
        "{page:?}"
    );
    assert_eq!(page.header("cache-control"), "no-store");
    assert!(page.body.len() <= 8 * 1024, "{}", page.body.len());
    for outside in ["src=", "href=", "@import", "url("] {
        assert!(
            !page.body.contains(outside),
            "{outside} would load something"
        );
    }
    let problem = gateway.get(uri).await;
    assert_eq!(problem.header("content-type"), "application/problem+json");
    assert_eq!(problem.status, page.status);
    let value: Value = serde_json::from_str(&problem.body).unwrap();
    assert_eq!(value["status"], problem.status);
    assert!(
        value["instance"]
            .as_str()
            .unwrap()
            .ends_with(problem.header("x-request-id"))
    );
    for text in [&page.body, &problem.body] {
        assert!(
            !text.contains("127.0.0.1") && !text.contains(".svc"),
            "{text}"
        );
    }
    (page, value)
}

#[tokio::test]
async fn while_an_app_starts_a_page_says_so_and_opens_by_itself() {
    let backend = backend().await;
    let ready = route("shop.apps.test", &backend);
    let starting = not_ready(ready.clone(), "Starting", "Creating the database <now>");
    let gateway = start(&[starting]).await;
    let (page, problem) = both(&gateway, "https://shop.apps.test/wp-admin?x=1").await;
    assert_eq!(page.status, 503);
    assert_eq!(page.header("retry-after"), "2");
    assert!(
        page.body.contains("Creating the database &#60;now&#62;"),
        "{}",
        page.body
    );
    assert!(
        page.body
            .contains(r#"<noscript><meta http-equiv="refresh""#)
    );
    assert!(page.body.contains("location.reload"));
    assert_eq!(problem["reason"], "Starting");
    assert_eq!(problem["detail"], "Creating the database <now>");
    assert_eq!(backend.requests.load(SeqCst), 0);

    let head = Request::head("https://shop.apps.test/").header("accept", HTML);
    let answer = gateway.ask(head.body(full("")).unwrap()).await;
    assert_eq!((answer.status, answer.body.as_str()), (503, ""));

    let post = Request::post("https://shop.apps.test/").header("accept", HTML);
    let answer = gateway.ask(post.body(full("x")).unwrap()).await;
    assert!(
        !answer.body.contains("reload"),
        "a POST is not sent again without being asked"
    );

    swap(&gateway.gateway, &[ready]);
    assert_eq!(gateway.browse("https://shop.apps.test/").await.status, 200);
}

#[tokio::test]
async fn a_stopped_app_a_broken_app_and_an_unknown_host_are_told_apart() {
    let backend = backend().await;
    let gateway = start(&[
        not_ready(route("off.apps.test", &backend), "Stopped", ""),
        not_ready(route("held.apps.test", &backend), "Paused", ""),
        not_ready(
            route("bad.apps.test", &backend),
            "ImageMissing",
            "The image cannot be found",
        ),
    ])
    .await;
    let (page, problem) = both(&gateway, "https://off.apps.test/").await;
    assert!(
        page.status == 503 && page.body.contains("is stopped") && !page.body.contains("reload")
    );
    assert_eq!(problem["reason"], "Stopped");
    let (page, problem) = both(&gateway, "https://held.apps.test/").await;
    assert!(page.status == 503 && page.body.contains("under maintenance"));
    assert_eq!(problem["reason"], "Paused");
    let (page, problem) = both(&gateway, "https://bad.apps.test/").await;
    assert!(page.status == 503 && page.body.contains("The image cannot be found"));
    assert_eq!(problem["reason"], "Broken");
    assert_eq!(problem["cause"], "ImageMissing");
    assert!(page.body.contains("Broken: ImageMissing"));
    let (page, problem) = both(&gateway, "https://unknown.test/").await;
    assert!(page.status == 404 && page.body.contains("nothing under this name"));
    assert_eq!(problem["reason"], "UnknownHost");
    assert_eq!(backend.requests.load(SeqCst), 0);
}

#[tokio::test]
async fn a_route_that_is_not_accepted_is_not_served() {
    let backend = backend().await;
    let mut refused = route("shop.apps.test", &backend);
    refused["status"]["conditions"][0] = condition("Accepted", "False", "HostnameTaken", "");
    let gateway = start(&[refused]).await;
    assert_eq!(gateway.get("https://shop.apps.test/").await.status, 404);
    assert_eq!(backend.requests.load(SeqCst), 0);
}

#[tokio::test]
async fn a_route_for_members_is_closed_to_everybody_while_nobody_can_sign_in() {
    let backend = backend().await;
    for access in ["members", "admins"] {
        let closed = with(
            route("team.apps.test", &backend),
            json!({"access": access, "plainHttp": true}),
        );
        let gateway = start(&[closed]).await;
        let (page, problem) = both(&gateway, "https://team.apps.test/").await;
        assert!(page.status == 503 && page.body.contains("not available"));
        assert_eq!(problem["reason"], "SignInNotAvailable");
        let forged = Request::get("https://team.apps.test/")
            .header("cookie", "tutti_session=forged")
            .header("authorization", "Bearer forged")
            .header("x-tutti-user", "admin");
        assert_eq!(
            gateway.ask(forged.body(full("")).unwrap()).await.status,
            503
        );
    }
    assert_eq!(backend.requests.load(SeqCst), 0);
}

#[tokio::test]
async fn a_backend_that_is_away_for_a_moment_costs_a_wait_and_one_that_stays_away_a_page() {
    let gone = backend().await;
    gone.stop.cancel();
    let address = gone.address;
    let gateway = start(&[route("shop.apps.test", &gone)]).await;
    soon(async || tokio::net::TcpStream::connect(address).await.is_err()).await;
    let page = gateway.browse("https://shop.apps.test/").await;
    assert_eq!(page.status, 503);
    assert!(
        page.body.contains("location.reload") && page.body.contains("does not answer"),
        "{}",
        page.body
    );

    let returns = tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        backend_on(tokio::net::TcpListener::bind(address).await.unwrap(), false)
    });
    let answer = gateway
        .ask(
            Request::post("https://shop.apps.test/upload")
                .body(full("four"))
                .unwrap(),
        )
        .await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "4"));
    returns.await.unwrap();
}

#[tokio::test]
async fn a_backend_that_breaks_off_is_a_bad_gateway() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broken = Backend {
        address: listener.local_addr().unwrap(),
        requests: Default::default(),
        dropped: Default::default(),
        stop: Default::default(),
    };
    let seen = broken.requests.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            seen.fetch_add(1, SeqCst);
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 1024]).await;
        }
    });
    let gateway = start(&[route("shop.apps.test", &broken)]).await;
    let (page, problem) = both(&gateway, "https://shop.apps.test/").await;
    assert_eq!(
        (page.status, &problem["reason"]),
        (502, &json!("BackendBroken"))
    );
    assert_eq!(
        broken.requests.load(SeqCst),
        4,
        "each GET was repeated once"
    );
    let post = Request::post("https://shop.apps.test/")
        .body(full("pay"))
        .unwrap();
    assert_eq!(gateway.ask(post).await.status, 502);
    assert_eq!(broken.requests.load(SeqCst), 5, "a POST never is");
}
