//! Names, certificates and protocols.

use crate::support::*;
use http::Version;

#[tokio::test]
async fn the_certificate_follows_the_name_exact_before_wildcard_before_the_platforms() {
    let gateway = start(&[]).await;
    let all = [
        certificate("c/zone", &["*.apps.test"]),
        certificate("c/acme", &["www.acme.test"]),
        certificate("c/acme-all", &["*.acme.test"]),
    ];
    gateway.gateway.swap_certificates(all.iter());
    for (name, expected) in [
        ("www.acme.test", "www.acme.test"),
        ("blog.acme.test", "*.acme.test"),
        ("a.blog.acme.test", "*.apps.test"),
        ("shop.apps.test", "*.apps.test"),
        ("unknown.test", "*.apps.test"),
        ("none", "*.apps.test"),
    ] {
        let stream = tls(gateway.https, name, b"h2").await.unwrap();
        assert_eq!(presented(&stream), expected, "{name}");
    }
    // A new certificate is presented by the next handshake; nothing restarts.
    gateway
        .gateway
        .swap_certificates([&all[0], &certificate("c/new", &["new.test"])].into_iter());
    let stream = tls(gateway.https, "new.test", b"h2").await.unwrap();
    assert_eq!(presented(&stream), "new.test");
    assert!(
        gateway
            .metrics()
            .contains(r#"gateway_certificate_not_after_seconds{name="c/new"}"#)
    );
    assert!(!gateway.metrics().contains("c/acme-all"));
}

#[tokio::test]
async fn without_any_certificate_the_handshake_fails_and_is_counted() {
    let gateway = start(&[]).await;
    gateway.gateway.swap_certificates([].into_iter());
    assert!(tls(gateway.https, "a.test", b"h2").await.is_err());
    soon(async || {
        gateway
            .metrics()
            .contains("gateway_tls_handshake_failures_total{reason=")
    })
    .await;
}

#[tokio::test]
async fn http1_and_http2_are_both_answered() {
    let backend = backend().await;
    let gateway = start(&[route("shop.apps.test", &backend)]).await;
    let answer = gateway.get("https://shop.apps.test/a").await;
    assert_eq!((answer.status, answer.version), (200, Version::HTTP_11));
    assert_eq!(answer.body, "hello from /a");
    assert_eq!(answer.header("x-app"), "yes");
    assert_eq!(
        answer.header("keep-alive"),
        "",
        "hop-by-hop headers end at the gateway"
    );

    let mut client = gateway.h2("shop.apps.test").await;
    for path in ["/b", "/c"] {
        let request = get(&format!("https://shop.apps.test{path}"));
        let answer = read(client.send(request).await.unwrap()).await;
        assert_eq!((answer.status, answer.version), (200, Version::HTTP_2));
        assert_eq!(answer.body, format!("hello from {path}"));
    }
}

#[tokio::test]
async fn a_connection_is_reused_for_every_host_of_its_certificate_and_for_no_other() {
    let backend = backend().await;
    let gateway = start(&[
        route("shop.apps.test", &backend),
        route("blog.apps.test", &backend),
        route("www.acme.test", &backend),
    ])
    .await;
    let acme = certificate("c/acme", &["www.acme.test"]);
    let zone = certificate("c/zone", &["*.apps.test"]);
    gateway
        .gateway
        .swap_certificates([&acme, &zone].into_iter());
    let mut client = gateway.h2("shop.apps.test").await;
    let mut ask = async |uri: &str| read(client.send(get(uri)).await.unwrap()).await.status;
    assert_eq!(ask("https://shop.apps.test/").await, 200);
    assert_eq!(ask("https://blog.apps.test/").await, 200);
    assert_eq!(ask("https://www.acme.test/").await, 421);
}

#[tokio::test]
async fn plain_http_goes_to_https_with_path_query_and_port() {
    let backend = backend().await;
    let routes = [route("shop.apps.test", &backend)];
    let gateway = start(&routes).await;
    let answer = gateway.get("http://shop.apps.test/a/b?c=d&e").await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (301, "https://shop.apps.test/a/b?c=d&e")
    );
    let post = http::Request::post("http://SHOP.apps.test:8080/")
        .body(full("x"))
        .unwrap();
    let answer = gateway.ask(post).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (308, "https://shop.apps.test/")
    );
    assert_eq!(gateway.get("http://unknown.test/").await.status, 404);

    let gateway = start_with(&routes, |settings| settings.public_https_port = 8443).await;
    let answer = gateway.get("http://shop.apps.test/").await;
    assert_eq!(answer.header("location"), "https://shop.apps.test:8443/");
}

#[tokio::test]
async fn a_route_with_plain_http_answers_on_both() {
    let backend = backend().await;
    let plain = with(
        route("old.apps.test", &backend),
        serde_json::json!({"plainHttp": true}),
    );
    let gateway = start(&[plain]).await;
    assert_eq!(gateway.get("http://old.apps.test/").await.status, 200);
    assert_eq!(gateway.get("https://old.apps.test/").await.status, 200);
}
