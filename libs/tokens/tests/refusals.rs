//! One test for each way in which a token is refused.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokens::{
    Algorithm, Envelope, Expected, Identity, Instance, KeySet, LONGEST_TOKEN, Pass, Place, Policy,
    PrivateKey, Refusal, Registration, Ticket, Tolerance, sign, verify,
};

use crate::support::*;

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn with(name: &'static str, value: Value) -> Refusal {
    refused(verify_ticket(&changed(|_, claims| claims[name] = value)))
}

fn verify_at(text: &str, now: Timestamp, tolerance: Tolerance) -> Result<(), Refusal> {
    let expected = Expected {
        tolerance,
        ..expected(now)
    };
    verify::<Ticket>(text, &PUBLIC, &expected, PLACE).map(|_| ())
}

#[test]
fn what_is_not_three_parts_of_canonical_base64url_is_malformed() {
    let good = signed(&ticket());
    assert!(verify_ticket(&good).is_ok());
    let [header, claims, signature] =
        <[&str; 3]>::try_from(good.split('.').collect::<Vec<_>>()).unwrap();
    for bad in [
        String::new(),
        ".".into(),
        "..".into(),
        format!("{header}.{claims}"),
        format!("{good}."),
        format!(".{good}"),
        // Five parts: encrypted (RFC 7516).
        format!("{good}.a.b"),
        format!("{good}="),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{header}=.{claims}.{signature}"),
        format!("{header}.{}.{signature}", claims.replace('a', "+")),
        format!("{header}.{claims}.{}/", &signature[1..]),
        format!("{}.{claims}.{signature}", encode("[]")),
        format!("{}.{claims}.{signature}", encode("{")),
        format!("{}.{claims}.{signature}", encode(r#"{"typ":"JWT"}"#)),
        format!("{}.{claims}.{signature}", encode(r#"{"alg":["ES256"]}"#)),
    ] {
        let refusal = refused(verify_ticket(&bad));
        assert_eq!(refusal.reason(), "Malformed", "{bad}");
    }
}

#[test]
fn bits_that_no_decoder_needs_must_be_zero() {
    let good = signed(&ticket());
    // 64 bytes of signature are 86 letters, the last of which carries two bits of six.
    let (rest, last) = good.split_at(good.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = alphabet.find(last).unwrap();
    assert_eq!(at % 16, 0);
    for other in &alphabet[at + 1..at + 16].split("").collect::<Vec<_>>()[1..16] {
        let refusal = refused(verify_ticket(&format!("{rest}{other}")));
        assert_eq!(refusal.reason(), "Malformed");
    }
}

#[test]
fn claims_of_the_wrong_shape_are_malformed_and_said_so() {
    let reason = |name, value| with(name, value).reason();
    assert_eq!(reason("iat", json!("today")), "Malformed");
    assert_eq!(reason("exp", json!(1.5)), "Malformed");
    assert_eq!(reason("exp", json!(i64::MAX)), "Malformed");
    assert_eq!(reason("nbf", json!(i64::MIN)), "Malformed");
    assert_eq!(reason("aud", json!(["tutti-gateway"])), "Malformed");
    assert_eq!(reason("instance", json!("blog")), "Malformed");
    let root = with("role", json!("Root"));
    assert!(root.to_string().contains("Root"), "{root}");
}

#[test]
fn a_claim_or_header_that_comes_twice_is_malformed() {
    let text = signed(&ticket());
    let (header, claims) = (part(&text, 0).to_string(), part(&text, 1).to_string());
    let forge = |header: &str, claims: &str| {
        forge_texts(header, claims, jsonwebtoken::Algorithm::ES256, &ELLIPTIC)
    };
    assert!(verify_ticket(&forge(&header, &claims)).is_ok());
    for twice in [
        claims.replacen('{', r#"{"host":"evil.example","#, 1),
        claims.replacen('{', r#"{"exp":9999999999,"#, 1),
        claims.replacen('{', r#"{"later":{"x":1,"x":2},"#, 1),
    ] {
        let refusal = refused(verify_ticket(&forge(&header, &twice)));
        assert!(refusal.to_string().contains("comes twice"), "{refusal}");
    }
    let twice = header.replacen('{', r#"{"alg":"none","#, 1);
    let refusal = refused(verify_ticket(&forge(&twice, &claims)));
    assert!(refusal.to_string().contains("comes twice"), "{refusal}");
}

#[test]
fn claims_that_we_do_not_know_are_ignored_so_that_a_newer_signer_may_add_some() {
    let text = changed(|header, claims| {
        header["later"] = json!(1);
        claims["later"] = json!({"a": [1, null]});
    });
    assert!(verify_ticket(&text).is_ok());
}

#[test]
fn a_text_over_the_limit_is_not_read() {
    for length in [LONGEST_TOKEN + 1, 10_000_000] {
        let limit = LONGEST_TOKEN;
        let refusal = refused(verify_ticket(&".".repeat(length)));
        assert_eq!(refusal, Refusal::TooLong { length, limit });
    }
    let refusal = refused(verify_ticket(&".".repeat(LONGEST_TOKEN)));
    assert_eq!(refusal.reason(), "Malformed");
}

#[test]
fn an_extension_that_must_be_understood_is_refused_whatever_it_is() {
    for crit in [json!(["exp"]), json!(["b64"]), json!([]), json!(null)] {
        let text = changed(|header, _| header["crit"] = crit);
        assert_eq!(refused(verify_ticket(&text)), Refusal::UnknownExtension);
    }
}

#[test]
fn no_kind_of_token_passes_for_another() {
    let expected = expected(*NOW);
    let texts = [
        signed(&ticket()),
        signed(&pass()),
        signed(&identity()),
        signed(&registration()),
    ];
    for (at, text) in texts.iter().enumerate() {
        let answers = [
            verify::<Ticket>(text, &PUBLIC, &expected, PLACE).map(|_| ()),
            verify::<Pass>(text, &PUBLIC, &expected, HOST).map(|_| ()),
            verify::<Identity>(text, &PUBLIC, &expected, &instance()).map(|_| ()),
            verify::<Registration>(text, &PUBLIC, &expected, ()).map(|_| ()),
        ];
        for (kind, answer) in answers.into_iter().enumerate() {
            if kind == at {
                assert_eq!(answer, Ok(()));
            } else {
                assert_eq!(answer.unwrap_err().reason(), "WrongType");
            }
        }
    }
    for kind in [json!("JWT"), json!("Tutti-Ticket+jwt"), json!(null)] {
        let text = changed(|header, _| header["typ"] = kind);
        assert_eq!(refused(verify_ticket(&text)).reason(), "WrongType");
    }
}

#[test]
fn a_key_that_is_not_in_the_set_is_unknown() {
    let text = changed(|header, _| header["kid"] = json!("../../etc/passwd"));
    let key = "../../etc/passwd".to_owned();
    assert_eq!(refused(verify_ticket(&text)), Refusal::UnknownKey { key });
    let text = changed(|header, _| header["kid"] = json!(null));
    let key = String::new();
    assert_eq!(refused(verify_ticket(&text)), Refusal::UnknownKey { key });
}

#[test]
fn a_retired_key_is_named_with_its_end() {
    let policy = Policy {
        use_for: SignedDuration::ZERO,
        ..POLICY
    };
    let mut keys = KEYS.clone();
    let successor = PrivateKey::generate(Algorithm::Es256).unwrap();
    keys.publish(successor, &policy, *NOW).unwrap();
    let since = keys.keys()[0].ending().unwrap().verifies_until;
    let text = signed(&ticket());
    for keys in [
        keys.public(),
        tokens::PublicKeys::from_jwks(&keys.public().to_jwks(*NOW).to_string()).unwrap(),
    ] {
        let at = |now| verify::<Ticket>(&text, &keys, &expected(now), PLACE).map(|_| ());
        assert_eq!(
            refused(at(since)),
            Refusal::KeyNotValidAnyMore {
                key: key_id(Algorithm::Es256),
                since
            }
        );
        assert_eq!(refused(at(since - seconds(1))).reason(), "Expired");
        assert_eq!(at(*NOW), Ok(()));
    }
    let ids = |now| {
        let jwks = keys.public().to_jwks(now);
        let keys = jwks["keys"].as_array().unwrap().iter();
        keys.map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (published, id) = (ids(since - seconds(1)), key_id(Algorithm::Es256));
    assert!(published.contains(&id) && published.len() == 3);
    assert!(!ids(since).contains(&id) && ids(since).len() == 2);
}

#[test]
fn an_algorithm_that_is_not_the_keys_is_refused_before_any_signature_is_computed() {
    for (found, expected) in [
        ("none", None),
        ("HS256", None),
        ("es256", None),
        ("ES384", None),
        ("PS256", None),
        ("", None),
        ("RS256", Some(Algorithm::Es256)),
    ] {
        let text = changed(|header, _| header["alg"] = json!(found));
        let found = found.to_owned();
        assert_eq!(
            refused(verify_ticket(&text)),
            Refusal::WrongAlgorithm { found, expected }
        );
    }
}

#[test]
fn a_signature_of_another_key_under_our_keys_name_is_bad() {
    let mut strangers = KeySet::default();
    let key = PrivateKey::generate(Algorithm::Es256).unwrap();
    strangers.publish(key, &POLICY, *NOW).unwrap();
    let text = signed(&ticket());
    let forged = forge_texts(
        &part(&text, 0).to_string(),
        &part(&text, 1).to_string(),
        jsonwebtoken::Algorithm::ES256,
        &secret(Algorithm::Es256, &strangers),
    );
    let key = key_id(Algorithm::Es256);
    assert_eq!(
        refused(verify_ticket(&forged)),
        Refusal::BadSignature { key }
    );
}

#[test]
fn each_claim_that_is_missing_is_named() {
    for name in [
        "iss",
        "aud",
        "iat",
        "nbf",
        "exp",
        "jti",
        "host",
        "path",
        "session",
        "person",
        "organization",
        "role",
        "instance",
    ] {
        let text = changed(|_, claims| {
            claims.as_object_mut().unwrap().remove(name);
        });
        assert_eq!(refused(verify_ticket(&text)), Refusal::ClaimMissing(name));
    }
    assert_eq!(with("jti", json!("")), Refusal::ClaimMissing("jti"));
}

#[test]
fn another_issuer_is_refused_even_with_our_key() {
    for found in ["https://id.example.com/", "https://ID.example.com", ""] {
        let expected = ISSUER.to_owned();
        let refusal = with("iss", json!(found));
        let found = found.to_owned();
        assert_eq!(refusal, Refusal::WrongIssuer { found, expected });
    }
}

#[test]
fn a_token_for_another_reader_is_refused() {
    assert_eq!(
        with("aud", json!("tutti-idm")),
        Refusal::WrongAudience {
            found: "tutti-idm".into(),
            expected: "tutti-gateway".into()
        }
    );
    let text = signed(&identity());
    let other = Instance {
        name: "wiki".into(),
        ..instance()
    };
    let refusal = refused(verify::<Identity>(&text, &PUBLIC, &expected(*NOW), &other));
    assert_eq!(
        refusal.to_string(),
        r#"the token is for "acme/blog"; this is "acme/wiki""#
    );
}

#[test]
fn an_identity_whose_claim_and_audience_differ_is_for_nobody() {
    let text = signed(&identity());
    let mut claims = part(&text, 1);
    claims["aud"] = json!("acme/wiki");
    let algorithm = jsonwebtoken::Algorithm::ES256;
    let header = part(&text, 0).to_string();
    let forged = forge_texts(&header, &claims.to_string(), algorithm, &ELLIPTIC);
    for name in ["blog", "wiki"] {
        let instance = Instance {
            name: name.into(),
            ..instance()
        };
        let answer = verify::<Identity>(&forged, &PUBLIC, &expected(*NOW), &instance);
        assert_eq!(refused(answer).reason(), "WrongAudience");
    }
}

#[test]
fn a_token_expires_at_its_second_and_not_before() {
    let text = signed(&ticket());
    let end = *NOW + seconds(60);
    let just_before = end - SignedDuration::from_nanos(1);
    assert_eq!(verify_at(&text, just_before, Tolerance::NONE), Ok(()));
    let since = end;
    assert_eq!(
        verify_at(&text, end, Tolerance::NONE),
        Err(Refusal::Expired { since })
    );
    // Nobody's clock makes a token of others good for longer.
    assert_eq!(
        verify_at(&text, end, Tolerance::FOREIGN),
        Err(Refusal::Expired { since })
    );
}

#[test]
fn a_ticket_may_be_as_late_and_as_early_as_its_reader_tolerates() {
    let text = signed(&ticket());
    let tolerance = Tolerance::both(seconds(30));
    let end = *NOW + seconds(60);
    assert_eq!(verify_at(&text, end + seconds(29), tolerance), Ok(()));
    let late = verify_at(&text, end + seconds(30), tolerance);
    assert_eq!(late, Err(Refusal::Expired { since: end }));
    assert_eq!(verify_at(&text, *NOW - seconds(30), tolerance), Ok(()));
    assert_eq!(
        refused(verify_at(&text, *NOW - seconds(31), tolerance)).reason(),
        "NotYet"
    );
}

#[test]
fn a_clock_that_is_ahead_by_two_minutes_is_tolerated_and_by_more_is_named() {
    let sign_ahead = |ahead: i64| {
        let envelope = Envelope {
            now: *NOW + seconds(ahead),
            ..envelope()
        };
        sign(&KEYS, Algorithm::Es256, &registration(), &envelope).unwrap()
    };
    let verify = |text: &str, tolerance| {
        let expected = Expected {
            tolerance,
            ..expected(*NOW)
        };
        verify::<Registration>(text, &PUBLIC, &expected, ()).map(|_| ())
    };
    assert_eq!(verify(&sign_ahead(120), Tolerance::FOREIGN), Ok(()));
    let refusal = refused(verify(&sign_ahead(190), Tolerance::FOREIGN));
    assert_eq!(
        refusal,
        Refusal::NotYet {
            until: *NOW + seconds(190),
            ahead: seconds(190),
            tolerated: seconds(120),
        }
    );
    assert_eq!(
        refusal.to_string(),
        "the token is valid from 2026-11-02T08:03:10Z on, 3m 10s from now; 2m are tolerated: \
         compare the clocks of its issuer and of this machine (NTP)"
    );
    assert_eq!(verify(&sign_ahead(5), Tolerance::OWN), Ok(()));
    let own = refused(verify(&sign_ahead(6), Tolerance::OWN));
    assert_eq!(own.reason(), "NotYet");
}

#[test]
fn a_token_is_not_good_before_nbf_nor_before_iat() {
    let from = NOW.as_second() + 1;
    for name in ["nbf", "iat"] {
        assert_eq!(with(name, json!(from)).reason(), "NotYet", "{name}");
    }
}

#[test]
fn an_issuer_cannot_give_a_token_more_life_than_its_type_has() {
    let refusal = with("exp", json!(NOW.as_second() + 61));
    let (life, limit) = (seconds(61), seconds(60));
    assert_eq!(refusal, Refusal::LivesTooLong { life, limit });
}

#[test]
fn a_ticket_is_good_at_exactly_one_host() {
    let text = signed(&ticket());
    for host in [
        "wiki.acme.test",
        "BLOG.acme.test",
        "blog.acme.test.",
        "blog.acme.test:443",
        "",
    ] {
        let place = Place { host, path: PATH };
        let refusal = refused(verify::<Ticket>(&text, &PUBLIC, &expected(*NOW), place));
        let (signed_for, presented_at) = (HOST.to_owned(), host.to_owned());
        assert_eq!(
            refusal,
            Refusal::WrongHost {
                signed_for,
                presented_at
            }
        );
    }
}

#[test]
fn a_ticket_is_good_at_exactly_one_path() {
    let text = signed(&ticket());
    for path in ["/wp-admin", "/wp-admin//", "/WP-admin/", "/wp%2Dadmin/", ""] {
        let place = Place { host: HOST, path };
        let refusal = refused(verify::<Ticket>(&text, &PUBLIC, &expected(*NOW), place));
        let (signed_for, presented_at) = (PATH.to_owned(), path.to_owned());
        assert_eq!(
            refusal,
            Refusal::WrongPath {
                signed_for,
                presented_at
            }
        );
    }
}

#[test]
fn a_pass_of_one_host_opens_no_other() {
    let text = signed(&pass());
    let answer = verify::<Pass>(&text, &PUBLIC, &expected(*NOW), "wiki.acme.test");
    assert_eq!(refused(answer).reason(), "WrongHost");
}

#[test]
fn what_a_stranger_wrote_is_cut_short_and_cannot_begin_a_log_line() {
    let text = changed(|header, _| header["kid"] = json!(format!("x\n{}", "y".repeat(500))));
    let shown = refused(verify_ticket(&text)).to_string();
    assert!(shown.len() < 250 && !shown.contains('\n'), "{shown}");
}
