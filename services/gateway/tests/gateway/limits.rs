//! Sizes and times.

use crate::support::*;
use http::Request;
use http_body_util::BodyExt;
use serde_json::json;
use std::{
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const MEGABYTE: usize = 1024 * 1024;

/// Resident memory of this process, in bytes: gateway, backend and client together.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_megabytes_stream_down_and_up_without_being_held() {
    let backend = backend().await;
    let large = with(
        route("shop.apps.test", &backend),
        json!({"bodyLimit": "1Gi"}),
    );
    let gateway = start(&[large]).await;
    for is_http2 in [false, true] {
        let mut client = match is_http2 {
            true => gateway.h2("shop.apps.test").await,
            false => gateway.tls("shop.apps.test").await,
        };
        let before = resident();
        let request = get(&format!(
            "https://shop.apps.test/download?bytes={}",
            200 * MEGABYTE
        ));
        let mut body = client.send(request).await.unwrap().into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame.unwrap().data_ref().map_or(0, bytes::Bytes::len);
        }
        assert_eq!(bytes, 200 * MEGABYTE);
        let upload = Request::post("https://shop.apps.test/upload");
        let request = upload.body(stream(200 * MEGABYTE)).unwrap();
        let answer = read(client.send(request).await.unwrap()).await;
        assert_eq!(answer.body, (200 * MEGABYTE).to_string());
        let grown = resident().saturating_sub(before);
        assert!(grown < 50 * MEGABYTE, "grown by {grown}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_or_cut_while_it_is_sent() {
    let backend = backend().await;
    let small = with(
        route("shop.apps.test", &backend),
        json!({"bodyLimit": "1k"}),
    );
    let gateway = start(&[small]).await;
    let upload = |body| {
        Request::post("https://shop.apps.test/upload")
            .body(body)
            .unwrap()
    };
    assert_eq!(gateway.ask(upload(full(vec![0; 1_000]))).await.body, "1000");
    let answer = gateway.ask(upload(full(vec![0; 1_001]))).await;
    assert_eq!(answer.status, 413);
    assert!(answer.body.contains("BodyTooLarge"));
    assert_eq!(
        backend.requests.load(SeqCst),
        1,
        "told by its length, it never left"
    );
    for _ in 0..3 {
        let mut client = gateway.h2("shop.apps.test").await;
        let answer = read(client.send(upload(stream(5_000))).await.unwrap()).await;
        assert_eq!(answer.status, 413, "{}", answer.body);
    }
}

/// It does not look for the answer before it has sent everything, as many programs do.
#[tokio::test]
async fn who_sends_everything_before_it_listens_hears_why_it_was_refused() {
    let backend = backend().await;
    let small = with(
        route("old.apps.test", &backend),
        json!({"bodyLimit": "1k", "plainHttp": true}),
    );
    let gateway = start(&[small]).await;
    const LENGTH: usize = 20 * MEGABYTE;
    let counted = format!("Content-Length: {LENGTH}\r\n\r\n{}", "x".repeat(LENGTH));
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let chunked = format!(
        "Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(LENGTH / 0x10000)
    );
    for body in [counted, chunked] {
        for host in ["old.apps.test", "nobody.apps.test"] {
            let answer = gateway
                .raw(&format!(
                    "POST /upload HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{body}"
                ))
                .await;
            let status = if host == "old.apps.test" { 413 } else { 404 };
            let head = answer.lines().next().unwrap_or_default();
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        }
    }
}

#[tokio::test]
async fn a_backend_that_does_not_begin_its_answer_is_given_up() {
    let backend = backend().await;
    let hasty = with(
        route("shop.apps.test", &backend),
        json!({"timeouts": {"responseSeconds": 1}}),
    );
    let gateway = start(&[hasty]).await;
    assert_eq!(
        gateway
            .get("https://shop.apps.test/slow?ms=200")
            .await
            .status,
        200
    );
    let begun = Instant::now();
    let answer = gateway.get("https://shop.apps.test/slow?ms=60000").await;
    assert_eq!(answer.status, 504);
    assert!(answer.body.contains("BackendTimeout"));
    assert!(begun.elapsed().as_millis() >= 900);
    tokio::time::timeout(Duration::from_secs(30), backend.dropped.cancelled())
        .await
        .unwrap();
}

#[tokio::test]
async fn an_answer_or_a_websocket_that_goes_silent_is_ended() {
    let backend = backend().await;
    let hasty = with(
        route("old.apps.test", &backend),
        json!({"timeouts": {"idleSeconds": 1}, "plainHttp": true}),
    );
    let gateway = start(&[hasty]).await;
    let begun = Instant::now();
    let answer = gateway
        .raw("GET /stall HTTP/1.1\r\nHost: old.apps.test\r\n\r\n")
        .await;
    assert!(
        answer.contains("begun") && !answer.ends_with("0\r\n\r\n"),
        "cut, not ended: {answer}"
    );
    assert!(begun.elapsed().as_millis() >= 900);

    let mut stream = tokio::net::TcpStream::connect(gateway.http).await.unwrap();
    let upgrade = "GET /socket HTTP/1.1\r\nHost: old.apps.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    for _ in 0..6 {
        // Something four times a second keeps it open for longer than the idle time.
        tokio::time::sleep(Duration::from_millis(250)).await;
        stream.write_all(b"ping").await.unwrap();
    }
    let begun = Instant::now();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    let rest = String::from_utf8_lossy(&rest);
    assert!(rest.ends_with(&"ping".repeat(6)), "{rest}");
    assert!(begun.elapsed().as_millis() >= 900);
}

#[tokio::test]
async fn clients_that_send_their_head_their_hello_or_their_body_too_slowly_are_let_go() {
    let backend = backend().await;
    let hasty = with(
        route("old.apps.test", &backend),
        json!({"timeouts": {"idleSeconds": 1}, "plainHttp": true}),
    );
    let gateway = start_with(&[hasty], |settings| {
        settings.limits.header_timeout = Duration::from_secs(1);
        settings.limits.handshake_timeout = Duration::from_secs(1);
    })
    .await;
    let mut slow = tokio::net::TcpStream::connect(gateway.http).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: old")
        .await
        .unwrap();
    let mut answer = Vec::new();
    // Sooner than by default.
    let end = tokio::time::timeout(Duration::from_secs(8), slow.read_to_end(&mut answer)).await;
    assert!(end.is_ok(), "it is still open");

    let mut silent = tokio::net::TcpStream::connect(gateway.https).await.unwrap();
    assert_eq!(silent.read(&mut [0; 16]).await.unwrap_or(0), 0);
    assert!(
        gateway.metrics().contains(r#"reason="Timeout"} 1"#),
        "{}",
        gateway.metrics()
    );

    let answer = gateway
        .raw("POST /upload HTTP/1.1\r\nHost: old.apps.test\r\nContent-Length: 10\r\n\r\nabc")
        .await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_route_may_limit_the_head_of_a_request_and_the_time_to_send_it() {
    let backend = backend().await;
    let narrow = with(
        route("shop.apps.test", &backend),
        json!({"headerLimit": "2k", "timeouts": {"headerSeconds": 1}}),
    );
    let wide = route("old.apps.test", &backend);
    let gateway = start(&[narrow, wide]).await;
    for is_http2 in [false, true] {
        for (host, length, status) in [
            ("shop.apps.test", 1_000, 200),
            ("shop.apps.test", 2_000, 431),
            ("old.apps.test", 2_000, 200),
        ] {
            let mut client = match is_http2 {
                true => gateway.h2(host).await,
                false => gateway.tls(host).await,
            };
            let mut request = get(&format!("https://{host}/"));
            let value = "x".repeat(length).parse().unwrap();
            request.headers_mut().insert("x-long", value);
            let answer = read(client.send(request).await.unwrap()).await;
            assert_eq!(answer.status, status, "{host} {length} {is_http2}");
        }
    }
    let mut slow = tls(gateway.https, "shop.apps.test", b"http/1.1")
        .await
        .unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: shop")
        .await
        .unwrap();
    let mut answer = Vec::new();
    // Sooner than by the gateway's own limit.
    let end = tokio::time::timeout(Duration::from_secs(8), slow.read_to_end(&mut answer)).await;
    assert!(end.is_ok(), "it is still open");
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_and_room_is_made_again() {
    let backend = backend().await;
    let plain = with(route("old.apps.test", &backend), json!({"plainHttp": true}));
    let gateway = start_with(&[plain], |settings| settings.limits.connections = 2).await;
    let held = [gateway.plain().await, gateway.plain().await];
    soon(async || gateway.metrics().contains("gateway_open_connections 2")).await;
    let refused = gateway
        .raw("GET / HTTP/1.1\r\nHost: old.apps.test\r\n\r\n")
        .await;
    assert_eq!(refused, "");
    drop(held);
    soon(async || gateway.metrics().contains("gateway_open_connections 0")).await;
    assert_eq!(gateway.get("http://old.apps.test/").await.status, 200);
}
