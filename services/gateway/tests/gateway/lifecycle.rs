//! Swaps under load, clients that leave, readiness and the end.

use crate::support::*;
use http_body_util::BodyExt;
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swapping_tables_and_certificates_under_load_fails_no_request() {
    let backend = backend().await;
    let shop = route("shop.apps.test", &backend);
    let gateway = Arc::new(start(std::slice::from_ref(&shop)).await);
    let (is_over, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut clients = Vec::new();
    for at in 0..6 {
        let (gateway, is_over, answered) = (gateway.clone(), is_over.clone(), answered.clone());
        clients.push(tokio::spawn(async move {
            let mut client = match at % 2 {
                0 => gateway.h2("shop.apps.test").await,
                _ => gateway.tls("shop.apps.test").await,
            };
            while !is_over.load(SeqCst) {
                let answer =
                    read(client.send(get("https://shop.apps.test/x")).await.unwrap()).await;
                assert_eq!(
                    (answer.status, answer.body.as_str()),
                    (200, "hello from /x")
                );
                answered.fetch_add(1, SeqCst);
            }
        }));
    }
    for at in 0..200 {
        let other = route(&format!("n{at}.apps.test"), &backend);
        swap(&gateway.gateway, &[shop.clone(), other]);
        if at >= 198 {
            assert_eq!(
                gateway
                    .get(&format!("https://n{at}.apps.test/"))
                    .await
                    .status,
                200
            );
        }
        if at % 20 == 0 {
            let zone = certificate("c/zone", &["*.apps.test"]);
            gateway.gateway.swap_certificates([&zone].into_iter());
            assert_eq!(gateway.get("https://shop.apps.test/").await.status, 200);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    is_over.store(true, SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    assert!(answered.load(SeqCst) > 200);
    let metrics = gateway.metrics();
    assert!(metrics.contains(r#"route="org-acme/n199-apps-test""#));
    assert!(
        !metrics.contains(r#"route="org-acme/n198-apps-test""#),
        "a route that is gone has no series"
    );
    assert!(
        metrics.contains("gateway_table_swaps_total 201"),
        "{metrics}"
    );
}

#[tokio::test]
async fn ten_thousand_routes_are_swapped_whole() {
    let backend = backend().await;
    let routes: Vec<_> = (0..10_000)
        .map(|at| route(&format!("n{at}.apps.test"), &backend))
        .collect();
    let routes: Vec<Arc<crds::Route>> = routes
        .into_iter()
        .map(|route| Arc::new(serde_json::from_value(route).unwrap()))
        .collect();
    let gateway = start(&[]).await;
    gateway.gateway.swap_routes(&routes);
    for host in ["n0", "n9999"] {
        let url = format!("https://{host}.apps.test/");
        assert_eq!(gateway.get(&url).await.status, 200);
    }
}

#[tokio::test]
async fn when_the_client_leaves_the_backend_is_told() {
    let backend = backend().await;
    let plain = with(route("old.apps.test", &backend), json!({"plainHttp": true}));
    let gateway = start(&[plain]).await;
    let mut stream = tokio::net::TcpStream::connect(gateway.http).await.unwrap();
    stream
        .write_all(b"GET /slow?ms=60000 HTTP/1.1\r\nHost: old.apps.test\r\n\r\n")
        .await
        .unwrap();
    soon(async || backend.requests.load(SeqCst) == 1).await;
    drop(stream);
    tokio::time::timeout(Duration::from_secs(30), backend.dropped.cancelled())
        .await
        .unwrap();
}

#[tokio::test]
async fn draining_is_said_first_and_then_what_has_begun_is_finished() {
    let backend = backend().await;
    let plain = with(
        route("shop.apps.test", &backend),
        json!({"plainHttp": true}),
    );
    let gateway = start(&[plain]).await;
    soon(async || gateway.readiness.is_ready()).await;

    // Under way when the end is announced: a slow answer on each protocol and a WebSocket.
    let mut h1 = gateway.tls("shop.apps.test").await;
    let mut h2 = gateway.h2("shop.apps.test").await;
    let slow = || get("https://shop.apps.test/slow?ms=1500");
    let slow1 = tokio::spawn(async move { read(h1.send(slow()).await.unwrap()).await });
    let slow2 = tokio::spawn(async move { read(h2.send(slow()).await.unwrap()).await });
    let mut socket = tokio::net::TcpStream::connect(gateway.http).await.unwrap();
    let upgrade = "GET /socket HTTP/1.1\r\nHost: shop.apps.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    socket.write_all(upgrade.as_bytes()).await.unwrap();
    soon(async || backend.requests.load(SeqCst) == 3).await;
    gateway.stop.cancel();
    soon(async || gateway.readiness.missing() == ["listening: draining"]).await;

    // Until the endpoints are gone new connections still come, and are told not to stay.
    let answer = gateway.get("https://shop.apps.test/new").await;
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));
    soon(async || tokio::net::TcpStream::connect(gateway.https).await.is_err()).await;

    assert_eq!(slow1.await.unwrap().body, "slept");
    assert_eq!(slow2.await.unwrap().body, "slept");
    socket.write_all(b"still here").await.unwrap();
    let mut echo = vec![0; 512];
    let mut seen = String::new();
    while !seen.ends_with("still here") {
        let read = socket.read(&mut echo).await.unwrap();
        assert!(read > 0, "closed too early: {seen}");
        seen.push_str(&String::from_utf8_lossy(&echo[..read]));
    }
    assert!(!gateway.served.is_finished());
    drop(socket);
    tokio::time::timeout(Duration::from_secs(30), gateway.served)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_loses_no_request() {
    let backend = backend().await;
    let routes = [route("shop.apps.test", &backend)];
    let (old, new) = (
        Arc::new(start(&routes).await),
        Arc::new(start(&routes).await),
    );
    // What a Service does: new connections go to the gateways that are ready.
    let current = Arc::new(AtomicBool::new(false));
    let is_over = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for at in 0..6 {
        let (old, new) = (old.clone(), new.clone());
        let (current, is_over) = (current.clone(), is_over.clone());
        clients.push(tokio::spawn(async move {
            let mut answered = 0;
            while !is_over.load(SeqCst) {
                let gateway = if current.load(SeqCst) { &new } else { &old };
                let is_http2 = at % 2 == 0;
                let mut client = match is_http2 {
                    true => gateway.h2("shop.apps.test").await,
                    false => gateway.tls("shop.apps.test").await,
                };
                // As browsers do: until the server says that the connection ends.
                loop {
                    let asked = match &mut client {
                        Client::Http2(sender) if sender.is_closed() => break,
                        Client::Http1(sender) if sender.is_closed() => break,
                        client => client.send(get("https://shop.apps.test/x")).await,
                    };
                    match asked {
                        Ok(response) => {
                            let answer = read(response).await;
                            assert_eq!(answer.status, 200);
                            answered += 1;
                            if answer.header("connection") == "close" || is_over.load(SeqCst) {
                                break;
                            }
                        }
                        // GOAWAY before the request was taken: it may be sent again.
                        Err(error) if is_http2 || error.is_canceled() || error.is_closed() => break,
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
            answered
        }));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    current.store(true, SeqCst);
    old.stop.cancel();
    soon(async || old.served.is_finished()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    is_over.store(true, SeqCst);
    for client in clients {
        assert!(client.await.unwrap() > 20);
    }
}

#[tokio::test]
async fn a_download_that_outlasts_the_grace_is_cut_and_the_end_comes() {
    let backend = backend().await;
    let gateway = start(&[route("shop.apps.test", &backend)]).await;
    let mut client = gateway.tls("shop.apps.test").await;
    let mut body = client
        .send(get("https://shop.apps.test/stall"))
        .await
        .unwrap()
        .into_body();
    assert!(body.frame().await.unwrap().is_ok());
    gateway.stop.cancel();
    let begun = Instant::now();
    tokio::time::timeout(Duration::from_secs(30), gateway.served)
        .await
        .unwrap()
        .unwrap();
    assert!(begun.elapsed() > Duration::from_secs(5));
    assert!(body.frame().await.unwrap().is_err());
}
