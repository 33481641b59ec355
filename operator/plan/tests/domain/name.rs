use plan::{
    domain::name::{have_one_owner, is_apex, judge, registrable},
    health::State,
};

const ZONE: &str = "apps.tutti.example";

#[test]
fn hostnames_that_a_customer_can_have_are_taken() {
    for name in [
        "www.acme.example",
        "acme.example",
        "acme.co.uk",
        "xn--bcher-kva.example",
        "a.b.c.d.acme.example",
        "1a.acme.example",
        "tutti.example.acme.example",
    ] {
        let finding = judge(name, ZONE, false);
        assert_eq!(
            (finding.state, finding.reason),
            (State::Well, "NameValid"),
            "{name}: {finding:?}"
        );
    }
}

#[test]
fn what_is_no_hostname_of_a_customer_is_refused_with_the_fact_and_the_mend() {
    let long = format!("{}.example", vec!["a".repeat(60); 5].join("."));
    for (name, reason, told) in [
        ("https://acme.example", "NameMalformed", "\"https://acme\""),
        ("acme.example.", "NameMalformed", "no label"),
        ("Acme.example", "NameMalformed", "lower-case"),
        ("192.0.2.1", "NameMalformed", "is an address"),
        ("2001:db8::1", "NameMalformed", "is an address"),
        ("localhost", "NameMalformed", "has no dot"),
        ("a_b.example", "NameMalformed", "\"a_b\""),
        ("-a.example", "NameMalformed", "no dash at either end"),
        (long.as_str(), "NameMalformed", "at most 253"),
        ("co.uk", "NameIsAPublicSuffix", "www.example.co.uk"),
        ("github.io", "NameIsAPublicSuffix", "public suffix"),
        (
            "*.acme.example",
            "WildcardNeedsDns01",
            "spec.challenge to dns-01",
        ),
        (ZONE, "NameIsThePlatforms", "a domain of your own"),
        (
            "shop.apps.tutti.example",
            "NameIsThePlatforms",
            "a domain of your own",
        ),
        ("tutti.example", "NameIsThePlatforms", "lies below"),
        ("xn--a.example", "NameIsNoIdna", "xn--"),
        ("xn--.example", "NameMalformed", "no dash at either end"),
    ] {
        let finding = judge(name, ZONE, false);
        assert_eq!(
            (finding.state, finding.reason),
            (State::Stuck, reason),
            "{name}: {finding:?}"
        );
        let message = &finding.message;
        assert!(message.contains(told), "{name}: {message}");
        assert!(message.starts_with("spec.hostname: "), "{name}: {message}");
    }
}

#[test]
fn a_wildcard_is_taken_with_dns_01_unless_what_is_below_it_could_not_be() {
    assert_eq!(judge("*.acme.example", ZONE, true).state, State::Well);
    assert_eq!(judge("*.co.uk", ZONE, true).reason, "NameIsAPublicSuffix");
    assert_eq!(
        judge("*.tutti.example", ZONE, true).reason,
        "NameIsThePlatforms"
    );
}

#[test]
fn a_name_that_looks_like_another_is_warned_about() {
    // "аррӏе" in Cyrillic letters; "раypal" with two of them.
    for (name, other) in [
        ("xn--80ak6aa92e.com", "apple.com"),
        ("xn--ypal-43d9g.com", "paypal.com"),
    ] {
        let finding = judge(name, ZONE, false);
        assert_eq!(
            (finding.state, finding.reason),
            (State::Well, "NameLooksLikeAnother"),
            "{finding:?}"
        );
        assert!(finding.message.contains(other), "{}", finding.message);
    }
    assert_eq!(
        judge("xn--e1afmkfd.xn--p1ai", ZONE, false).reason,
        "NameValid"
    );
}

#[test]
fn the_owner_of_a_name_is_whoever_registered_what_stands_below_the_public_suffix() {
    assert_eq!(registrable("www.shop.acme.co.uk"), Some("acme.co.uk"));
    assert_eq!(registrable("*.acme.test"), Some("acme.test"));
    assert_eq!(registrable("co.uk"), None);
    assert!(have_one_owner("www.acme.test", "acme.test"));
    assert!(!have_one_owner("one.github.io", "other.github.io"));
    assert!(!have_one_owner("co.uk", "co.uk"));
    assert!(is_apex("acme.co.uk", None));
    assert!(!is_apex("www.acme.co.uk", None));
    assert!(!is_apex("*.acme.co.uk", None));
}

#[test]
fn an_apex_is_where_a_zone_begins_and_where_a_registry_would_have_one_begin() {
    assert!(is_apex("shop.acme.co.uk", Some("shop.acme.co.uk")));
    assert!(!is_apex("shop.acme.co.uk", Some("acme.co.uk")));
    assert!(!is_apex("*.acme.co.uk", Some("acme.co.uk")));
    // It is not registered yet, or its servers are not.
    assert!(is_apex("acme.co.uk", Some("co.uk")));
    // A name that was given by somebody below a suffix of his own is in his zone.
    assert!(!is_apex("acme.github.io", Some("github.io")));
    assert!(is_apex("acme.github.io", Some("acme.github.io")));
}
