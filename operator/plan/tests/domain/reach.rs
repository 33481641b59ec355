//! Our own request: what each outcome comes to in words, and what it excuses.

use std::net::IpAddr;

use plan::{
    domain::{
        proof_value,
        reach::{Reach, destinations, judge, telling_headers, together},
        report::{POINTS_HERE, REACHABLE},
    },
    health::State,
};

use super::{
    GATEWAY, TARGET, a, aaaa, cname, look,
    report::{WWW, domain, is, now, pass, seen},
    txt,
};

fn another(status: u16, server: Option<&str>, headers: &[&str]) -> Reach {
    Reach::Another {
        status,
        server: server.map(str::to_owned),
        headers: headers.iter().map(|&name| name.to_owned()).collect(),
    }
}

#[test]
fn every_outcome_is_told_with_what_was_found_and_the_mend() {
    let away = Reach::RedirectedAway {
        to: "https://www.acme.example:8443/".to_owned(),
    };
    let refused = Reach::Unreachable {
        why: "203.0.113.10:80: connection refused".to_owned(),
    };
    for (reach, reason, told) in [
        (
            Reach::Ours,
            "Reachable",
            &["http://www.acme.example comes to the gateway"][..],
        ),
        (
            another(403, Some("cloudflare"), &["cf-ray"]),
            "AnsweredByAProxy",
            &[
                "Cloudflare answers for www.acme.example",
                "status 403",
                "pass http://<name>/.well-known/acme-challenge/ on to us",
                "turn it off",
            ],
        ),
        (
            another(404, Some("Apache/2.4"), &[]),
            "AnsweredByAnother",
            &[
                "somebody else (Apache/2.4) answers for http://www.acme.example",
                "status 404",
                "see that the address is the gateway's",
                "no router in between",
            ],
        ),
        (
            another(200, None, &[]),
            "AnsweredByAnother",
            &["somebody else answers", "status 200"],
        ),
        (
            away,
            "RedirectedAway",
            &[
                "http://www.acme.example is led on to https://www.acme.example:8443/",
                "authorities do not follow",
                "have http://<name>/.well-known/acme-challenge/ answered",
            ],
        ),
        (
            refused,
            "Unreachable",
            &[
                "http://www.acme.example",
                "port 80: 203.0.113.10:80: connection refused",
                "have the firewall let it through",
            ],
        ),
    ] {
        let finding = judge(WWW, &reach);
        let state = match reach {
            Reach::Ours => State::Well,
            _ => State::Stuck,
        };
        assert_eq!(
            (finding.state, finding.reason),
            (state, reason),
            "{reach:?}"
        );
        for words in told {
            let message = &finding.message;
            assert!(message.contains(words), "{words}: {message}");
        }
    }
}

#[test]
fn a_proxy_is_known_by_a_header_that_nobody_else_sends() {
    let proxies = [
        ("cf-ray", "Cloudflare"),
        ("x-amz-cf-id", "Amazon CloudFront"),
        ("x-vercel-id", "Vercel"),
        ("x-nf-request-id", "Netlify"),
        ("x-served-by", "Fastly"),
        ("x-akamai-transformed", "Akamai"),
        ("x-sucuri-id", "Sucuri"),
    ];
    assert!(telling_headers().eq(proxies.map(|(header, _)| header)));
    for (header, who) in proxies {
        for header in [header.to_owned(), header.to_uppercase()] {
            let finding = judge(WWW, &another(301, Some("nginx"), &["date", &header]));
            assert_eq!(finding.reason, "AnsweredByAProxy", "{header}");
            assert!(finding.message.starts_with(who), "{}", finding.message);
        }
    }
    // What it calls itself is no proof.
    let boast = another(200, Some("cloudflare"), &["server", "via"]);
    assert_eq!(judge(WWW, &boast).reason, "AnsweredByAnother");
}

#[test]
fn a_proxy_that_passes_requests_on_leads_here_whatever_its_addresses_are() {
    let proof = txt(
        &format!("_tutti-challenge.{WWW}"),
        &proof_value("uid-of-acme", WWW),
    );
    let of_a_proxy = a(WWW, "104.16.132.229");
    let mut proxied = seen(look(&[of_a_proxy.clone(), proof.clone()]));
    let (known, checked) = pass(domain(WWW), &proxied, now());
    assert!(checked.may_order);
    is(&known, POINTS_HERE, "True", "ThroughAProxy");
    is(&known, REACHABLE, "True", "Reachable");
    assert_eq!(known.status.unwrap().records, [], "nothing is to be set");

    for (reach, reason) in [
        (
            Some(another(403, Some("cloudflare"), &["cf-ray"])),
            "AnsweredByAProxy",
        ),
        (
            Some(Reach::Unreachable { why: String::new() }),
            "PointsElsewhere",
        ),
        (None, "PointsElsewhere"),
    ] {
        proxied.reach = reach;
        let (known, checked) = pass(domain(WWW), &proxied, now());
        assert!(!checked.may_order, "{:?}", proxied.reach);
        is(&known, POINTS_HERE, "False", reason);
        is(&known, REACHABLE, "Unknown", "Waiting");
    }
    // Whoever is led to the other address does not come here.
    let half = seen(look(&[a(WWW, GATEWAY), of_a_proxy, proof]));
    let (known, _) = pass(domain(WWW), &half, now());
    is(&known, POINTS_HERE, "False", "PointsPartlyElsewhere");
}

const PUBLIC: [&str; 2] = ["1.1.1.1", "2606:4700::1111"];

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn one_address_of_each_family_is_asked_ipv6_first() {
    let [ipv4, ipv6] = PUBLIC;
    let records = [
        cname(WWW, TARGET),
        a(TARGET, ipv4),
        a(TARGET, "8.8.8.8"),
        aaaa(TARGET, ipv6),
    ];
    let all = destinations(&records, &[]);
    assert_eq!(all, Ok(vec![address(ipv6), address(ipv4)]));
    assert_eq!(destinations(&records[..3], &[]), Ok(vec![address(ipv4)]));
    let none = destinations(&records[..1], &[]).unwrap_err();
    let finding = judge(WWW, &none);
    assert_eq!(finding.reason, "Unreachable");
    assert!(
        finding.message.contains("no address"),
        "{}",
        finding.message
    );
}

#[test]
fn nobody_is_asked_at_an_address_that_is_neither_the_internets_nor_the_gateways() {
    for (record, told) in [
        (a(WWW, "127.0.0.1"), "loopback"),
        (a(WWW, "10.96.0.1"), "RFC 1918"),
        (a(WWW, "169.254.169.254"), "metadata"),
        (
            aaaa(WWW, "::ffff:10.96.0.1"),
            "IPv4 address in another form",
        ),
        (aaaa(WWW, "64:ff9b::a9fe:a9fe"), "NAT64"),
        (aaaa(WWW, "fd00:ec2::254"), "RFC 4193"),
    ] {
        // Not even at its other addresses: what is asked there is half an answer.
        let records = [a(WWW, PUBLIC[0]), record.clone()];
        let refused = destinations(&records, &[address(GATEWAY)]).unwrap_err();
        let finding = judge(WWW, &refused);
        assert_eq!(
            (finding.state, finding.reason),
            (State::Stuck, "AddressNotPublic")
        );
        for words in [told, &record.to_string()] {
            let message = &finding.message;
            assert!(message.contains(words), "{words}: {message}");
        }
    }
    let private = [a(WWW, "10.0.0.5"), aaaa(WWW, "fd00::5")];
    let own = [address("10.0.0.5"), address("fd00::5")];
    assert_eq!(
        destinations(&private, &own),
        Ok(vec![own[1], own[0]]),
        "a gateway of a private network is the gateway all the same"
    );
    assert!(destinations(&private, &own[..1]).is_err());
}

#[test]
fn an_address_that_is_not_asked_is_told_with_its_record_and_the_one_to_set() {
    let private = a(WWW, "10.96.0.1");
    let proof = txt(
        &format!("_tutti-challenge.{WWW}"),
        &proof_value("uid-of-acme", WWW),
    );
    let mut there = seen(look(&[private.clone(), proof]));
    there.reach = destinations(&[private], &[address(GATEWAY)]).err();
    let (known, checked) = pass(domain(WWW), &there, now());
    assert!(!checked.may_order);
    is(&known, POINTS_HERE, "False", "AddressNotPublic");
    is(&known, "Ready", "False", "AddressNotPublic");
    let status = known.status.unwrap();
    let ready = crds::condition::find(&status.conditions, "Ready").unwrap();
    for words in [
        "www.acme.example A 10.96.0.1 is private (RFC 1918)",
        "set: www.acme.example 300 CNAME shop-abcdefghjk.apps.tutti.example.",
    ] {
        let message = &ready.message;
        assert!(message.contains(words), "{words}: {message}");
    }
    assert_eq!(status.records.len(), 1);
    assert!(
        status.found.iter().any(|it| it.contains("A 10.96.0.1")),
        "{:?}",
        status.found
    );

    // The DNS led here when it was looked at, and elsewhere when we asked.
    let mut flipped = seen(super::report::right());
    flipped.reach = there.reach;
    let (known, checked) = pass(domain(WWW), &flipped, now());
    assert!(!checked.may_order);
    is(&known, REACHABLE, "False", "AddressNotPublic");
}

#[test]
fn both_families_count_and_the_one_that_differs_is_named() {
    let [ipv4, ipv6] = PUBLIC.map(address);
    let silent = |at: IpAddr| Reach::Unreachable {
        why: format!("{at}: no route"),
    };
    let stranger = || another(404, Some("nginx"), &[]);
    let well = (State::Well, "Reachable");
    let wrong = (State::Stuck, "AnsweredByAnother");
    for (by_ipv6, by_ipv4, outcome, told) in [
        (Reach::Ours, Reach::Ours, well, &[][..]),
        (
            silent(ipv6),
            Reach::Ours,
            well,
            &[
                "comes to the gateway",
                "not by IPv6",
                "2606:4700::1111: no route",
            ],
        ),
        (
            Reach::Ours,
            silent(ipv4),
            well,
            &["not by IPv4", "1.1.1.1: no route"],
        ),
        (
            stranger(),
            Reach::Ours,
            wrong,
            &["by IPv6 (2606:4700::1111) somebody else (nginx)"],
        ),
        (
            Reach::Ours,
            stranger(),
            wrong,
            &["by IPv4 (1.1.1.1) somebody else (nginx)"],
        ),
        (silent(ipv6), stranger(), wrong, &["nginx"]),
        (stranger(), silent(ipv4), wrong, &["nginx"]),
        (
            silent(ipv6),
            silent(ipv4),
            (State::Stuck, "Unreachable"),
            &["2606:4700::1111: no route, 1.1.1.1: no route"],
        ),
    ] {
        let case = format!("{by_ipv6:?} {by_ipv4:?}");
        let finding = judge(WWW, &together(vec![(ipv6, by_ipv6), (ipv4, by_ipv4)]));
        assert_eq!((finding.state, finding.reason), outcome, "{case}");
        for words in told {
            let message = &finding.message;
            assert!(message.contains(words), "{case}: {words}: {message}");
        }
    }
    // Of a name with one family there is no other to speak of.
    let alone = together(vec![(ipv4, stranger())]);
    assert_eq!(alone, stranger());
}

#[test]
fn a_proxy_that_is_led_to_by_a_cname_passes_requests_on_too() {
    let proof = txt(
        &format!("_tutti-challenge.{WWW}"),
        &proof_value("uid-of-acme", WWW),
    );
    let by_cname = cname(WWW, "acme.cdn.example");
    let of_the_proxy = a("acme.cdn.example", "104.16.132.229");
    let mut proxied = look(&[by_cname.clone(), of_the_proxy, proof.clone()]);
    // The addresses are no matter of the zone's own servers.
    proxied.authorities = look(&[by_cname, proof]).authorities;
    let (known, checked) = pass(domain(WWW), &seen(proxied), now());
    assert!(checked.may_order);
    is(&known, POINTS_HERE, "True", "ThroughAProxy");
}

#[test]
fn a_proxy_that_is_reached_by_one_family_only_passes_requests_on_too() {
    let proof = txt(
        &format!("_tutti-challenge.{WWW}"),
        &proof_value("uid-of-acme", WWW),
    );
    let mut proxied = seen(look(&[a(WWW, "104.16.132.229"), proof]));
    let silent = Reach::Unreachable {
        why: "no route".to_owned(),
    };
    let [ipv4, ipv6] = PUBLIC.map(address);
    proxied.reach = Some(together(vec![(ipv6, silent), (ipv4, Reach::Ours)]));
    let (known, checked) = pass(domain(WWW), &proxied, now());
    assert!(checked.may_order);
    is(&known, POINTS_HERE, "True", "ThroughAProxy");
}
