//! Others understand our keys and tokens, and we theirs.

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{
    DecodingKey, Header, Validation,
    jwk::{Jwk, JwkSet, ThumbprintHash},
};
use serde_json::{Value, json};
use tokens::{
    Algorithm, Envelope, KeySet, PrivateKey, PublicKey, PublicKeys, Registration, Tolerance,
    jwks::BadJwks, sign, verify,
};

use crate::support::*;

fn jwk(value: Value) -> Jwk {
    serde_json::from_value(value).unwrap()
}

/// The key of RFC 7638 §3.1.
const RFC_7638: &str = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;

#[test]
fn the_thumbprint_is_that_of_rfc_7638() {
    let key = PublicKey::from_jwk(&serde_json::from_str(RFC_7638).unwrap()).unwrap();
    assert_eq!(key.algorithm(), Algorithm::Rs256);
    assert_eq!(
        key.thumbprint(),
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    );
}

#[test]
fn the_thumbprint_of_an_elliptic_key_is_that_of_rfc_9449() {
    let key = PublicKey::from_jwk(&jwk(json!({
        "kty": "EC", "crv": "P-256",
        "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
    })))
    .unwrap();
    assert_eq!(
        key.thumbprint(),
        "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    );
}

#[test]
fn our_jwks_and_tokens_are_enough_for_jsonwebtoken_alone() {
    let now = Timestamp::now();
    let mut keys = KeySet::default();
    for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
        let key = PrivateKey::generate(algorithm).unwrap();
        keys.publish(key, &POLICY, now).unwrap();
    }
    let published = keys.public().to_jwks(now);
    let set: JwkSet = serde_json::from_value(published).unwrap();
    for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
        let envelope = Envelope { now, ..envelope() };
        let text = sign(&keys, algorithm, &identity(), &envelope).unwrap();

        let header = jsonwebtoken::decode_header(&text).unwrap();
        let jwk = set.find(&header.kid.unwrap()).unwrap();
        assert_eq!(
            jwk.thumbprint(ThumbprintHash::SHA256).ok(),
            jwk.common.key_id
        );
        let mut checks = Validation::new(jwk.common.key_algorithm.unwrap().try_into().unwrap());
        checks.validate_nbf = true;
        checks.set_issuer(&[ISSUER]);
        checks.set_audience(&["acme/blog"]);
        checks.set_required_spec_claims(&["exp", "nbf", "aud", "iss"]);
        let key = DecodingKey::from_jwk(jwk).unwrap();
        let read = jsonwebtoken::decode::<Value>(&text, &key, &checks).unwrap();
        assert_eq!(read.claims["name"], "Ann Example");
        assert_eq!(read.claims["role"], "Super Admin");
    }
}

#[test]
fn a_published_key_shows_nothing_of_its_private_part() {
    let published = PUBLIC.to_jwks(*NOW);
    for key in published["keys"].as_array().unwrap() {
        let mut names: Vec<_> = key
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        names.sort_unstable();
        let expected: &[&str] = match key["kty"].as_str().unwrap() {
            "EC" => &["alg", "crv", "kid", "kty", "use", "x", "y"],
            _ => &["alg", "e", "kid", "kty", "n", "use"],
        };
        assert_eq!(names, expected);
    }
}

#[test]
fn a_registration_that_somebody_elses_library_signed_is_believed() {
    let claims = json!({
        "iss": "https://signup.example.com", "aud": "tutti-idm", "jti": "1",
        "iat": NOW.as_second() + 100, "nbf": NOW.as_second() + 40, "exp": NOW.as_second() + 600,
        "name": "Ann Example", "email": "ann@example.com", "external_id": "customer 4711",
    });
    let mut header = Header::new(jsonwebtoken::Algorithm::RS256);
    header.typ = Some("tutti-registration+jwt".into());
    header.kid = Some("2026".into());
    let text = jsonwebtoken::encode(&header, &claims, &RSA).unwrap();

    let mut jwks = PUBLIC.to_jwks(*NOW);
    jwks["keys"][1]["kid"] = json!("2026");
    let keys = PublicKeys::from_jwks(&jwks.to_string()).unwrap();
    let expected = tokens::Expected {
        issuer: "https://signup.example.com",
        now: *NOW,
        tolerance: Tolerance::FOREIGN,
    };
    let read = verify::<Registration>(&text, &keys, &expected, ()).unwrap();
    assert_eq!(read.token, registration());
    assert_eq!(read.expires_at, *NOW + SignedDuration::from_secs(600));
}

#[test]
fn of_a_foreign_jwks_only_what_is_of_use_is_taken() {
    let mut good = PUBLIC.to_jwks(*NOW)["keys"][0].clone();
    good.as_object_mut().unwrap().remove("kid");
    let of = |keys: Value| PublicKeys::from_jwks(&json!({"keys": keys, "more": 1}).to_string());
    let without = |name: &str, value: Value| {
        let mut key = good.clone();
        key[name] = value;
        of(json!([key])).unwrap_err()
    };
    assert_eq!(without("use", json!("enc")), BadJwks::NoKey);
    assert_eq!(without("alg", json!("ES384")), BadJwks::NoKey);
    assert_eq!(without("crv", json!("P-384")), BadJwks::NoKey);
    assert_eq!(without("x", good["y"].clone()), BadJwks::NoKey);
    assert_eq!(without("x", json!("AA")), BadJwks::NoKey);
    assert_eq!(without("kty", json!("OKP")), BadJwks::NoKey);
    assert_eq!(of(json!([])).unwrap_err(), BadJwks::NoKey);
    let oct = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "1"});
    assert_eq!(of(json!([oct])).unwrap_err(), BadJwks::NoKey);
    // 1024 bits.
    let short = json!({"kty": "RSA", "e": "AQAB", "n": encode([0xc5; 128])});
    assert_eq!(of(json!([short])).unwrap_err(), BadJwks::NoKey);

    let mixed = of(json!([oct, 1, {"kty": "new"}, good])).unwrap();
    // An id that is missing is the thumbprint.
    let text = signed(&ticket());
    assert!(verify::<tokens::Ticket>(&text, &mixed, &expected(*NOW), PLACE).is_ok());

    let id = key_id(Algorithm::Es256);
    assert_eq!(of(json!([good, good])).unwrap_err(), BadJwks::SameId(id));
    for bad in ["", "[]", "{}", r#"{"keys":1}"#] {
        assert_eq!(PublicKeys::from_jwks(bad).unwrap_err(), BadJwks::NotJwks);
    }
}
