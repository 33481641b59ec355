//! Requests that two readers might read differently, as raw bytes.

use crate::support::*;
use serde_json::json;
use std::sync::atomic::Ordering::SeqCst;

async fn plain() -> (Backend, TestGateway) {
    let backend = backend().await;
    let plain = with(route("old.apps.test", &backend), json!({"plainHttp": true}));
    let gateway = start(&[plain]).await;
    (backend, gateway)
}

#[tokio::test]
async fn hosts_that_can_be_read_in_two_ways_are_refused() {
    let (backend, gateway) = plain().await;
    for (case, head) in [
        ("no host", "GET / HTTP/1.1\r\n"),
        ("empty host", "GET / HTTP/1.1\r\nHost:\r\n"),
        (
            "two hosts",
            "GET / HTTP/1.1\r\nHost: old.apps.test\r\nHost: old.apps.test\r\n",
        ),
        (
            "two different hosts",
            "GET / HTTP/1.1\r\nHost: old.apps.test\r\nHost: b.test\r\n",
        ),
        (
            "other target",
            "GET http://b.test/ HTTP/1.1\r\nHost: old.apps.test\r\n",
        ),
        (
            "target with user",
            "GET http://b.test@old.apps.test/ HTTP/1.1\r\nHost: old.apps.test\r\n",
        ),
        (
            "target without host",
            "GET http://old.apps.test/ HTTP/1.1\r\n",
        ),
        (
            "host with path",
            "GET / HTTP/1.1\r\nHost: old.apps.test/b\r\n",
        ),
        (
            "host with space",
            "GET / HTTP/1.1\r\nHost: old.apps.test b.test\r\n",
        ),
        (
            "host with user",
            "GET / HTTP/1.1\r\nHost: a@old.apps.test\r\n",
        ),
        (
            "host list",
            "GET / HTTP/1.1\r\nHost: old.apps.test, b.test\r\n",
        ),
        ("bad port", "GET / HTTP/1.1\r\nHost: old.apps.test:80x\r\n"),
        ("http 1.0 without host", "GET / HTTP/1.0\r\n"),
        ("asterisk", "OPTIONS * HTTP/1.1\r\nHost: old.apps.test\r\n"),
        (
            "folded header",
            "GET / HTTP/1.1\r\nHost: old.apps.test\r\nX: a\r\n b\r\n",
        ),
        (
            "space before colon",
            "GET / HTTP/1.1\r\nHost : old.apps.test\r\n",
        ),
        (
            "bare control",
            "GET / HTTP/1.1\r\nHost: old.apps.test\r\nX: a\x01b\r\n",
        ),
    ] {
        let answer = gateway
            .raw(&format!("{head}Connection: close\r\n\r\n"))
            .await;
        assert!(
            answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.0 400"),
            "{case}: {answer}"
        );
    }
    assert_eq!(backend.requests.load(SeqCst), 0);
    for (case, head) in [
        (
            "case and port",
            "GET / HTTP/1.1\r\nHost: OLD.apps.test:8080\r\n",
        ),
        ("trailing dot", "GET / HTTP/1.1\r\nHost: old.apps.test.\r\n"),
        (
            "absolute target",
            "GET http://old.apps.test/ HTTP/1.1\r\nHost: old.apps.test\r\n",
        ),
    ] {
        let answer = gateway
            .raw(&format!("{head}Connection: close\r\n\r\n"))
            .await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{case}: {answer}");
    }
}

#[tokio::test]
async fn trace_and_connect_are_refused() {
    let (backend, gateway) = plain().await;
    for head in [
        "TRACE / HTTP/1.1",
        "CONNECT old.apps.test:80 HTTP/1.1",
        "TRACK / HTTP/1.1",
    ] {
        let answer = gateway
            .raw(&format!(
                "{head}\r\nHost: old.apps.test\r\nConnection: close\r\n\r\n"
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 405"), "{head}: {answer}");
    }
    assert_eq!(backend.requests.load(SeqCst), 0);
}

#[tokio::test]
async fn lengths_that_can_be_read_in_two_ways_never_hide_a_request() {
    let (backend, gateway) = plain().await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: old.apps.test\r\n\r\n";
    for (case, lengths) in [
        (
            "both, length first",
            "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            "both, chunked first",
            "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        ),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        ("a list of lengths", "Content-Length: 5, 6\r\n"),
        ("a sign", "Content-Length: +5\r\n"),
        ("hexadecimal", "Content-Length: 0x5\r\n"),
        ("negative", "Content-Length: -1\r\n"),
        (
            "chunked twice",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        ),
        ("chunked not last", "Transfer-Encoding: chunked, gzip\r\n"),
        ("unknown coding", "Transfer-Encoding: xchunked\r\n"),
        ("quoted", "Transfer-Encoding: \"chunked\"\r\n"),
        ("vertical tab", "Transfer-Encoding: \x0bchunked\r\n"),
    ] {
        let before = backend.requests.load(SeqCst);
        let request = format!(
            "POST /upload HTTP/1.1\r\nHost: old.apps.test\r\n{lengths}\r\n0\r\n\r\n{hidden}"
        );
        let answer = gateway.raw(&request).await;
        let answers = answer.matches("HTTP/1.1 ").count();
        assert!(answers <= 1, "{case}: a second answer\n{answer}");
        assert!(!answer.contains("hidden"), "{case}: {answer}");
        assert!(backend.requests.load(SeqCst) - before <= 1, "{case}");
        assert!(answer.starts_with("HTTP/1.1 400"), "{case}: {answer}");
    }
    assert_eq!(backend.requests.load(SeqCst), 0);
}

#[tokio::test]
async fn bodies_with_broken_chunks_never_hide_a_request() {
    let (backend, gateway) = plain().await;
    for (case, body) in [
        ("negative size", "-1\r\n"),
        ("no number", "zz\r\n"),
        ("overflow", "fffffffffffffffff\r\n"),
        ("missing end", "3\r\nabcd\r\n0\r\n\r\n"),
        ("bare newline in extension", "1;a\nb\r\nx\r\n0\r\n\r\n"),
    ] {
        let request = format!(
            "POST /upload HTTP/1.1\r\nHost: old.apps.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}GET /hidden HTTP/1.1\r\nHost: old.apps.test\r\n\r\n"
        );
        let answer = gateway.raw(&request).await;
        assert!(!answer.contains("hidden"), "{case}: {answer}");
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{case}: {answer}");
    }
    assert!(
        gateway
            .get("http://old.apps.test/next")
            .await
            .body
            .contains("/next")
    );
    drop(backend);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let (backend, gateway) = plain().await;
    let large = "a".repeat(40 * 1024);
    let answer = gateway
        .raw(&format!(
            "GET / HTTP/1.1\r\nHost: old.apps.test\r\nX: {large}\r\n\r\n"
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many = "X: a\r\n".repeat(200);
    let answer = gateway
        .raw(&format!(
            "GET / HTTP/1.1\r\nHost: old.apps.test\r\n{many}\r\n"
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(backend.requests.load(SeqCst), 0);
}
