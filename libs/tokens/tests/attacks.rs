//! What RFC 8725 §2 tells of, as strangers would do it who have our public keys and one token of theirs.

use jsonwebtoken::{EncodingKey, jwk::Jwk};
use serde_json::json;
use tokens::{Algorithm, KeySet, PrivateKey, Refusal};

use crate::support::*;

/// A header with our key's name, and these changes.
fn header(changes: serde_json::Value) -> String {
    let mut header = part(&signed(&ticket()), 0);
    for (name, value) in changes.as_object().unwrap() {
        header[name] = value.clone();
    }
    header.to_string()
}

fn claims() -> String {
    part(&signed(&ticket()), 1).to_string()
}

#[test]
fn a_token_without_a_signature_is_refused_in_every_spelling_of_none() {
    for none in ["none", "None", "NONE", "nOnE"] {
        let start = format!(
            "{}.{}",
            encode(header(json!({"alg": none}))),
            encode(claims())
        );
        for signature in ["", "AA", signed(&ticket()).rsplit('.').next().unwrap()] {
            let refusal = refused(verify_ticket(&format!("{start}.{signature}")));
            assert_eq!(refusal.reason(), "WrongAlgorithm");
        }
    }
    let start = format!("{}.{}.", encode(header(json!({}))), encode(claims()));
    assert_eq!(refused(verify_ticket(&start)).reason(), "BadSignature");
}

#[test]
fn a_public_key_is_no_secret_for_hmac() {
    for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
        let kid = key_id(algorithm);
        let public = KEYS
            .keys()
            .iter()
            .find(|key| key.id() == kid)
            .unwrap()
            .public()
            .to_jwk(&kid);
        for secret in public_key_as_secrets(&public) {
            let forged = forge_texts(
                &header(json!({"alg": "HS256", "kid": kid})),
                &claims(),
                jsonwebtoken::Algorithm::HS256,
                &EncodingKey::from_secret(&secret),
            );
            assert_eq!(
                refused(verify_ticket(&forged)),
                Refusal::WrongAlgorithm {
                    found: "HS256".into(),
                    expected: None
                }
            );
        }
    }
}

/// The forms in which careless libraries hand a public key to HMAC.
pub fn public_key_as_secrets(public: &Jwk) -> Vec<Vec<u8>> {
    let jwk = serde_json::to_value(public).unwrap();
    let mut secrets = vec![jwk.to_string().into_bytes(), Vec::new()];
    for name in ["x", "y", "n", "e", "kid"] {
        if let Some(text) = jwk[name].as_str() {
            secrets.push(text.as_bytes().to_vec());
            use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
            secrets.push(URL_SAFE_NO_PAD.decode(text).unwrap());
        }
    }
    secrets
}

#[test]
fn a_signature_by_one_algorithm_does_not_pass_under_the_others_name() {
    let (elliptic, rsa) = (key_id(Algorithm::Es256), key_id(Algorithm::Rs256));
    let es256 = jsonwebtoken::Algorithm::ES256;
    let rs256 = jsonwebtoken::Algorithm::RS256;
    let forge = |said: &str, kid: &str, algorithm, key: &EncodingKey| {
        let header = header(json!({"alg": said, "kid": kid}));
        refused(verify_ticket(&forge_texts(
            &header,
            &claims(),
            algorithm,
            key,
        )))
        .reason()
    };
    // The key is for the other algorithm than the header says.
    for (said, kid) in [("RS256", &elliptic), ("ES256", &rsa)] {
        assert_eq!(forge(said, kid, es256, &ELLIPTIC), "WrongAlgorithm");
        assert_eq!(forge(said, kid, rs256, &RSA), "WrongAlgorithm");
    }
    // Header and key agree, and the signature is of the other one.
    assert_eq!(forge("ES256", &elliptic, rs256, &RSA), "BadSignature");
    assert_eq!(forge("RS256", &rsa, es256, &ELLIPTIC), "BadSignature");
    let pss = jsonwebtoken::Algorithm::PS256;
    assert_eq!(forge("RS256", &rsa, pss, &RSA), "BadSignature");
}

#[test]
fn a_key_that_a_token_brings_along_is_not_used() {
    let mut strangers = KeySet::default();
    let key = PrivateKey::generate(Algorithm::Es256).unwrap();
    strangers.publish(key, &POLICY, *NOW).unwrap();
    let jwk = serde_json::to_value(strangers.keys()[0].public().to_jwk("strangers")).unwrap();
    for (changes, reason) in [
        (json!({"jwk": jwk}), "BadSignature"),
        (json!({"jwk": jwk, "kid": jwk["kid"]}), "UnknownKey"),
        (
            json!({"jku": "https://evil.example/jwks", "kid": jwk["kid"]}),
            "UnknownKey",
        ),
        (
            json!({"x5u": "https://evil.example/chain", "x5c": ["AAAA"]}),
            "BadSignature",
        ),
    ] {
        let forged = forge_texts(
            &header(changes),
            &claims(),
            jsonwebtoken::Algorithm::ES256,
            &secret(Algorithm::Es256, &strangers),
        );
        assert_eq!(refused(verify_ticket(&forged)).reason(), reason);
    }
}

#[test]
fn signatures_that_fit_every_message_do_not_pass() {
    let start = signed(&ticket()).rsplit_once('.').unwrap().0.to_owned();
    // r = s = 0 (CVE-2022-21449), r = s = the order of the group, and bytes of all ones.
    let order = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    for signature in [
        vec![0; 64],
        vec![0xff; 64],
        [order, order].concat(),
        vec![0; 63],
        vec![0; 65],
        vec![0; 256],
    ] {
        let forged = format!("{start}.{}", encode(signature));
        assert_eq!(refused(verify_ticket(&forged)).reason(), "BadSignature");
    }
}
