//! A customer's own hostname: what an authority and the operator are answered before anything else,
//! where its visitors are led, and what they are told before it is let in.

use crate::{pages::both, support::*};
use http::{Method, Request};
use serde_json::{Value, json};
use std::sync::atomic::Ordering::SeqCst;

const TOKEN: &str = "abc_DEF-1";
const ANSWER: &str = "abc_DEF-1.thumbprint";

fn domain(hostname: &str, status: Value) -> Value {
    json!({
        "apiVersion": "tutti.dev/v1alpha1", "kind": "Domain",
        "metadata": {"namespace": "org-acme", "name": hostname.replace('.', "-")},
        "spec": {"hostname": hostname, "instance": "shop"},
        "status": status,
    })
}

/// With an order under way.
fn ordered(hostname: &str) -> Value {
    let answer = json!({"token": TOKEN, "keyAuthorization": ANSWER});
    domain(hostname, json!({"answer": answer}))
}

fn closed(hostname: &str, reason: &str) -> Value {
    let routed = condition("Routed", "False", reason, "");
    domain(hostname, json!({"conditions": [routed]}))
}

fn challenge(origin: &str, token: &str) -> String {
    format!("{origin}/.well-known/acme-challenge/{token}")
}

/// Presents certificates for these names, beside the zone's.
fn certify(gateway: &TestGateway, names: &[&str]) {
    let all = [
        certificate("c/zone", &["*.apps.test"]),
        certificate("c/acme", names),
    ];
    gateway.gateway.swap_certificates(all.iter());
}

#[tokio::test]
async fn browsers_are_told_to_stay_with_https_where_it_is_wished_and_by_https_only() {
    let backend = backend().await;
    let wishes = |hostname: &str, spec| {
        let both = with(route(hostname, &backend), json!({"plainHttp": true}));
        with(both, spec)
    };
    let gateway = start(&[
        wishes("hour.apps.test", json!({"hstsSeconds": 3600})),
        wishes("never-again.apps.test", json!({"hstsSeconds": 0})),
        wishes("untold.apps.test", json!({})),
        with(
            route("strict.apps.test", &backend),
            json!({"hstsSeconds": 3600}),
        ),
    ])
    .await;
    for (hostname, wanted) in [
        ("hour.apps.test", Some("max-age=3600")),
        ("never-again.apps.test", Some("max-age=0")),
        ("untold.apps.test", None),
    ] {
        let uri = format!("https://{hostname}/");
        let mut client = gateway.h2(hostname).await;
        let http2 = read(client.send(get(&uri)).await.unwrap()).await;
        for answer in [gateway.get(&uri).await, http2] {
            assert_eq!((answer.status, policy(&answer)), (200, wanted), "{uri}");
        }
        // A stranger's word for HTTPS is none.
        let lie = Request::get(format!("http://{hostname}/")).header("x-forwarded-proto", "https");
        let plain = gateway.ask(lie.body(full("")).unwrap()).await;
        assert_eq!((plain.status, policy(&plain)), (200, None), "{hostname}");
    }
    let answer = gateway.get("http://strict.apps.test/").await;
    assert_eq!((answer.status, policy(&answer)), (301, None));
}

fn policy(answer: &Answer) -> Option<&str> {
    let value = answer.headers.get("strict-transport-security")?;
    Some(value.to_str().unwrap())
}

#[tokio::test]
async fn a_hostname_that_leads_on_keeps_path_and_query_and_asks_nothing_of_the_app() {
    let backend = backend().await;
    let leads_on = with(
        not_ready(route("www.acme.test", &backend), "Stopped", ""),
        json!({"redirectTo": "acme.test", "hstsSeconds": 3600}),
    );
    let on_both = with(
        route("old.acme.test", &backend),
        json!({"redirectTo": "acme.test", "plainHttp": true}),
    );
    let routes = [leads_on, on_both];
    let gateway = start(&routes).await;
    certify(&gateway, &["www.acme.test"]);
    for (method, uri, status, wanted) in [
        (
            Method::GET,
            "https://www.acme.test/a%20b/?c=%2F&d",
            301,
            "https://acme.test/a%20b/?c=%2F&d",
        ),
        (
            Method::HEAD,
            "https://www.acme.test/",
            301,
            "https://acme.test/",
        ),
        // What is sent is sent again, and nothing of it is lost.
        (
            Method::POST,
            "https://www.acme.test/pay?all",
            308,
            "https://acme.test/pay?all",
        ),
        // By plain HTTP to its own HTTPS first.
        (
            Method::GET,
            "http://www.acme.test/a?b",
            301,
            "https://www.acme.test/a?b",
        ),
        (
            Method::GET,
            "http://old.acme.test/a?b",
            301,
            "https://acme.test/a?b",
        ),
    ] {
        let request = Request::builder().method(method).uri(uri);
        let answer = gateway.ask(request.body(full("")).unwrap()).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (status, wanted),
            "{uri}"
        );
    }
    assert_eq!(backend.requests.load(SeqCst), 0);
    let secure = gateway.get("https://www.acme.test/").await;
    assert_eq!(policy(&secure), Some("max-age=3600"));
    assert_eq!(policy(&gateway.get("http://www.acme.test/").await), None);

    let gateway = start_with(&routes, |settings| settings.public_https_port = 8443).await;
    let answer = gateway.get("http://old.acme.test/a").await;
    assert_eq!(answer.header("location"), "https://acme.test:8443/a");
}

#[tokio::test]
async fn an_authority_and_the_operator_are_answered_before_anything_is_redirected() {
    let backend = backend().await;
    let gateway = start(&[
        route("www.acme.test", &backend),
        with(
            route("old.acme.test", &backend),
            json!({"redirectTo": "www.acme.test"}),
        ),
        route("other.acme.test", &backend),
    ])
    .await;
    certify(&gateway, &["www.acme.test", "old.acme.test"]);
    let hosts = ["www.acme.test", "old.acme.test", "new.acme.test"];
    tell(&gateway, &hosts.map(ordered)).await;

    let ask = async |origin: &str, token: &str| gateway.get(&challenge(origin, token)).await;
    // An authority that was led on to HTTPS is answered there.
    for origin in [
        "http://www.acme.test",
        "http://old.acme.test",
        "http://new.acme.test",
        "https://www.acme.test",
        "https://old.acme.test",
    ] {
        for (token, wanted) in [(TOKEN, ANSWER), ("tutti-0a1b", "tutti-0a1b.apps.test")] {
            let answer = ask(origin, token).await;
            assert_eq!(
                (answer.status, answer.body.as_str()),
                (200, wanted),
                "{origin}: {answer:?}"
            );
            assert_eq!(answer.header("content-type"), "application/octet-stream");
            assert_eq!(answer.header("cache-control"), "no-store");
        }
    }
    let head = Request::head(challenge("http://www.acme.test", TOKEN));
    let answer = gateway.ask(head.body(full("")).unwrap()).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));

    // The operator looks whether a hostname leads here before anything is known of it.
    let answer = ask("http://unknown.test", "tutti-0a1b").await;
    assert_eq!(answer.body, "tutti-0a1b.apps.test");

    // All else is a request like any other, another hostname's token too.
    assert_eq!(ask("http://www.acme.test", "else").await.status, 301);
    assert_eq!(ask("http://other.acme.test", TOKEN).await.status, 301);
    assert_eq!(ask("http://unknown.test", TOKEN).await.status, 404);
    let post = Request::post(challenge("http://www.acme.test", TOKEN));
    let answer = gateway.ask(post.body(full("x")).unwrap()).await;
    assert_eq!(answer.status, 308);
    assert_eq!(backend.requests.load(SeqCst), 0);
}

#[tokio::test]
async fn a_hostname_that_is_not_let_in_tells_its_owner_why() {
    let backend = backend().await;
    let gateway = start(&[]).await;
    certify(&gateway, &["new.acme.test", "lost.acme.test"]);
    tell(
        &gateway,
        &[
            closed("new.acme.test", "NotProvenYet"),
            closed("lost.acme.test", "ProofLostForGood"),
            domain(
                "proven.acme.test",
                json!({"conditions": [condition("Routed", "True", "Proven", "")]}),
            ),
        ],
    )
    .await;
    for (hostname, reason, words) in [
        (
            "new.acme.test",
            "DomainNotProven",
            ["not connected yet", "the DNS record is missing"],
        ),
        (
            "lost.acme.test",
            "DomainProofLost",
            ["not connected any more", "gone for more than a week"],
        ),
    ] {
        // Without a certificate, too: there is none before it is proven.
        for scheme in ["http", "https"] {
            let (page, problem) = both(&gateway, &format!("{scheme}://{hostname}/a?b")).await;
            assert_eq!(page.status, 404);
            assert_eq!(page.header("tutti-reason"), reason);
            assert_eq!(page.header("retry-after"), "");
            assert_eq!(problem["reason"], reason);
            assert_eq!(problem["retryable"], false);
            let said = problem["detail"].as_str().unwrap();
            assert!(
                said.contains(words[1]) && said.contains("the owner's Domain object"),
                "{said}"
            );
            let escaped = said.replace('\'', "&#39;");
            for word in [words[0], &escaped, hostname, reason] {
                assert!(page.body.contains(word), "{word}: {}", page.body);
            }
            assert!(
                !page.body.contains("org-acme") && !page.body.contains("shop"),
                "whose it is concerns nobody: {}",
                page.body
            );
        }
    }
    // Proven, and its Route is not there yet.
    let (_, problem) = both(&gateway, "http://proven.acme.test/").await;
    assert_eq!(problem["reason"], "UnknownHost");

    swap(&gateway.gateway, &[route("new.acme.test", &backend)]);
    let answer = gateway.get("https://new.acme.test/").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_host_that_is_no_name_is_not_repeated_on_the_page() {
    let gateway = start(&[]).await;
    for hostile in [
        "<script>alert(1)</script>.test",
        "a\"onload=\"alert(1).test",
        "a&lt;b.test",
    ] {
        let answer = gateway
            .raw(&format!(
                "GET / HTTP/1.1\r\nHost: {hostile}\r\nAccept: {HTML}\r\nConnection: close\r\n\r\n"
            ))
            .await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") && answer.contains("HostMalformed"),
            "{answer}"
        );
        for part in ["<script", "alert", "onload", "&lt;b"] {
            assert!(!answer.contains(part), "{part}: {answer}");
        }
    }
}
