//! What reaches the backend, and what comes back.

use crate::support::*;
use http::Request;
use serde_json::json;
use std::{sync::atomic::Ordering::SeqCst, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn what_only_the_gateway_may_say_is_replaced_whoever_said_it() {
    let backend = backend().await;
    let gateway = start(&[route("shop.apps.test", &backend)]).await;
    let lies = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-user",
        "x_forwarded_for",
        "x-real-ip",
        "x-tutti-user",
        "x-tutti-roles",
        "X-Tutti_User",
        "forwarded",
        "x-request-id",
        "proxy",
        "proxy-authorization",
        "x-remote-user",
        "x-original-url",
        "x-rewrite-url",
        "true-client-ip",
    ];
    for is_http2 in [false, true] {
        let mut request = Request::get("https://shop.apps.test/headers");
        for lie in lies {
            request = request.header(lie.to_lowercase(), "a-lie");
        }
        let request = request.header("x-kept", "truth").body(full("")).unwrap();
        let mut client = match is_http2 {
            true => gateway.h2("shop.apps.test").await,
            false => gateway.tls("shop.apps.test").await,
        };
        let seen = read(client.send(request).await.unwrap()).await;
        assert!(!seen.body.contains("a-lie"), "{}", seen.body);
        for line in [
            "GET /headers HTTP/1.1",
            "host: shop.apps.test",
            "x-kept: truth",
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-proto: https",
            "x-forwarded-host: shop.apps.test",
            "x-forwarded-port: 443",
            "forwarded: for=127.0.0.1;host=\"shop.apps.test\";proto=https",
        ] {
            assert!(
                seen.body.lines().any(|seen| seen == line),
                "{line}\nnot in\n{}",
                seen.body
            );
        }
        let id = seen.header("x-request-id");
        assert_eq!(id.len(), 32);
        assert!(
            seen.body.contains(&format!("x-request-id: {id}")),
            "{}",
            seen.body
        );
    }
}

#[tokio::test]
async fn every_request_has_an_id_of_its_own_and_a_trusted_proxys_word_counts() {
    let backend = backend().await;
    let routes = [route("shop.apps.test", &backend)];
    let gateway = start_with(&routes, |settings| {
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let first = gateway.get("https://shop.apps.test/headers").await;
    let second = gateway.get("https://shop.apps.test/headers").await;
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));

    let request = Request::get("http://shop.apps.test/headers")
        .header("x-forwarded-for", "1.2.3.4")
        .header("x-forwarded-proto", "https")
        .header("x-request-id", "from-the-proxy")
        .header("x-tutti-user", "a-lie");
    let seen = gateway.ask(request.body(full("")).unwrap()).await;
    assert_eq!(seen.status, 200, "TLS ended at the proxy: no redirect");
    assert!(
        seen.body.contains("x-forwarded-for: 1.2.3.4, 127.0.0.1"),
        "{}",
        seen.body
    );
    assert!(seen.body.contains("x-forwarded-proto: https"));
    assert!(seen.body.contains("x-request-id: from-the-proxy"));
    assert!(!seen.body.contains("a-lie"));
}

#[tokio::test]
async fn cookies_of_http2_arrive_in_one_line() {
    let backend = backend().await;
    let gateway = start(&[route("shop.apps.test", &backend)]).await;
    let request = Request::get("https://shop.apps.test/headers")
        .header("cookie", "a=1")
        .header("cookie", "b=2");
    let mut client = gateway.h2("shop.apps.test").await;
    let seen = read(client.send(request.body(full("")).unwrap()).await.unwrap()).await;
    assert!(seen.body.contains("cookie: a=1; b=2\n"), "{}", seen.body);
}

#[tokio::test]
async fn the_longest_path_wins_at_whole_segments_however_it_is_spelled() {
    let (site, admin) = (backend().await, backend().await);
    let closed = with(
        route("shop.apps.test", &admin),
        json!({"pathPrefix": "/admin", "access": "admins"}),
    );
    let gateway = start(&[route("shop.apps.test", &site), closed]).await;
    let mut client = gateway.plain().await;
    drop(client.send(get("http://shop.apps.test/")).await.unwrap());
    let status = async |path: &str| {
        let bytes = format!(
            "GET {path} HTTP/1.1\r\nHost: shop.apps.test\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n"
        );
        let mut stream = tls(gateway.https, "shop.apps.test", b"http/1.1")
            .await
            .unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(status("/administrator").await, "200");
    for closed in [
        "/admin",
        "/admin/",
        "/admin/users",
        "//admin",
        "/admin%2Fusers",
        "/%61dmin",
        "/admin;x=1/users",
        "/admin%5cusers",
        "/x%2F..%2Fadmin",
        "/x/../admin",
        "/x/%2e%2e/admin",
        "/x/..;/admin",
        "/admin%00",
    ] {
        let status = status(closed).await;
        assert!(status == "503" || status == "400", "{closed}: {status}");
    }
    assert_eq!(admin.requests.load(SeqCst), 0);
}

#[tokio::test]
async fn a_websocket_passes_both_ways_and_counts_as_an_open_connection() {
    let backend = backend().await;
    let gateway = start(&[route("shop.apps.test", &backend)]).await;
    let mut stream = tls(gateway.https, "shop.apps.test", b"http/1.1")
        .await
        .unwrap();
    let upgrade = "GET /socket HTTP/1.1\r\nHost: shop.apps.test\r\nConnection: keep-alive, Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n";
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(
        head.contains("sec-websocket-accept: yes") && head.contains("upgrade: websocket"),
        "{head}"
    );
    for message in ["one", "two", "three"] {
        stream.write_all(message.as_bytes()).await.unwrap();
        let mut echo = vec![0; message.len()];
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(echo, message.as_bytes());
    }
    assert!(
        gateway.metrics().contains("gateway_open_connections 1"),
        "{}",
        gateway.metrics()
    );
    drop(stream);
    soon(async || gateway.metrics().contains("gateway_open_connections 0")).await;
}

#[tokio::test]
async fn an_upgrade_to_anything_but_websocket_is_not_passed_on() {
    let backend = backend().await;
    let plain = with(route("old.apps.test", &backend), json!({"plainHttp": true}));
    let gateway = start(&[plain]).await;
    let answer = gateway
        .raw("GET /headers HTTP/1.1\r\nHost: old.apps.test\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\
              Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n")
        .await
        .to_lowercase();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    assert!(
        !answer.contains("h2c") && !answer.contains("http2-settings"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_backend_that_speaks_http2_gets_http2() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = backend_on(listener, true);
    let mut route = route("grpc.apps.test", &backend);
    route["spec"]["backend"]["protocol"] = "h2c".into();
    let gateway = start(&[route]).await;
    let request = Request::get("https://grpc.apps.test/headers").header("te", "trailers");
    let seen = gateway.ask(request.body(full("")).unwrap()).await;
    assert!(
        seen.body
            .starts_with("GET http://grpc.apps.test/headers HTTP/2.0"),
        "{}",
        seen.body
    );
    assert!(seen.body.contains("te: trailers"));
}

/// Ends a backend and starts another one in its place, as a Deployment does with a pod.
async fn replace(first: Backend) -> Backend {
    first.stop.cancel();
    let listener = loop {
        match tokio::net::TcpListener::bind(first.address).await {
            Ok(listener) => break listener,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    };
    backend_on(listener, false)
}

/// Ends a backend, asks, and starts another one in its place only so much later.
async fn ask_meanwhile(
    gateway: &TestGateway,
    request: Request<Body>,
    first: Backend,
    gone: Duration,
) -> (Answer, Backend) {
    first.stop.cancel();
    soon(async || TcpStream::connect(first.address).await.is_err()).await;
    let returns = async {
        tokio::time::sleep(gone).await;
        replace(first).await
    };
    tokio::join!(gateway.ask(request), returns)
}

#[tokio::test]
async fn a_pooled_connection_that_the_backend_closed_costs_the_client_nothing() {
    let first = backend().await;
    let gateway = start(&[route("shop.apps.test", &first)]).await;
    for _ in 0..3 {
        assert_eq!(gateway.get("https://shop.apps.test/").await.status, 200);
    }
    let second = replace(first).await;
    for _ in 0..3 {
        assert_eq!(gateway.get("https://shop.apps.test/").await.status, 200);
    }
    assert_eq!(second.requests.load(SeqCst), 3);
}

#[tokio::test]
async fn what_is_sent_while_the_backend_is_replaced_arrives() {
    let first = backend().await;
    let gateway = start(&[route("shop.apps.test", &first)]).await;
    // Not to be repeated once it was sent, but it was not.
    let post = Request::post("https://shop.apps.test/")
        .body(full("text"))
        .unwrap();
    let gone = Duration::from_millis(2500);
    let (answer, second) = ask_meanwhile(&gateway, post, first, gone).await;
    assert_eq!(answer.status, 200);
    assert_eq!(second.requests.load(SeqCst), 1);
}

#[tokio::test]
async fn the_last_good_address_serves_while_dns_is_away() {
    let first = backend().await;
    let gateway = start(&[route("shop.apps.test", &first)]).await;
    assert_eq!(gateway.get("https://shop.apps.test/").await.status, 200);
    gateway.resolver.is_away.store(true, SeqCst);
    // Refused for a moment, so that the address is asked for again.
    let asked = get("https://shop.apps.test/");
    let gone = Duration::from_millis(200);
    let (answer, _second) = ask_meanwhile(&gateway, asked, first, gone).await;
    assert_eq!(answer.status, 200);
}
