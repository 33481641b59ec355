//! A key set is kept and loaded whole, or not at all.

use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokens::{
    Algorithm, KeySet, Policy, PrivateKey, Ticket,
    private::BadKey,
    sign,
    stored::{BadKeySet, from_json, to_json},
    verify,
};

use crate::support::*;

fn saved(keys: &KeySet) -> Value {
    serde_json::from_str(to_json(keys).unwrap().expose_secret()).unwrap()
}

/// What a changed set says when it is loaded.
fn said(change: impl FnOnce(&mut Value)) -> String {
    let mut json = saved(&KEYS);
    change(&mut json);
    from_json(&json.to_string()).unwrap_err().to_string()
}

#[test]
fn what_was_saved_signs_and_verifies_after_it_was_loaded() {
    let mut keys = KEYS.clone();
    let next = PrivateKey::generate(Algorithm::Es256).unwrap();
    keys.publish(next, &POLICY, *NOW).unwrap();
    let loaded = from_json(to_json(&keys).unwrap().expose_secret()).unwrap();
    assert_eq!(saved(&loaded), saved(&keys));
    for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
        let text = sign(&loaded, algorithm, &ticket(), &envelope()).unwrap();
        assert!(verify::<Ticket>(&text, &PUBLIC, &expected(*NOW), PLACE).is_ok());
    }
}

#[test]
fn a_set_that_is_cut_off_anywhere_is_refused() {
    let whole = saved(&KEYS).to_string();
    for end in 0..whole.len() {
        let refused = from_json(&whole[..end]).unwrap_err();
        assert!(
            matches!(refused, BadKeySet::CutOff { .. }),
            "{end} {refused}"
        );
    }
    assert!(from_json(&whole).is_ok());
}

#[test]
fn a_key_whose_public_part_is_anothers_is_named_with_the_mend() {
    let mut other = KeySet::default();
    let key = PrivateKey::generate(Algorithm::Es256).unwrap();
    other.publish(key, &POLICY, *NOW).unwrap();
    let other = saved(&other)["keys"][0].clone();
    let kid = key_id(Algorithm::Es256);
    let mend = "restore the key set from its backup, or take this key out of it: what it signed is \
                refused then, and people sign in once more";
    let does_not_fit =
        format!("key {kid}: its public part does not belong to its private part; {mend}");
    for name in ["public_key", "private_key"] {
        let text = said(|json| json["keys"][0][name] = other[name].clone());
        assert_eq!(text, does_not_fit);
    }
    let text = said(|json| json["keys"][0]["kid"] = json!("x"));
    let expected = format!("key x: its kid should be {kid}, the thumbprint of its public part");
    assert!(text.starts_with(&expected), "{text}");
}

#[test]
fn a_private_key_that_lost_a_line_or_a_byte_is_named() {
    for at in [0, 1] {
        let kid = saved(&KEYS)["keys"][at]["kid"].clone();
        let kid = kid.as_str().unwrap();
        let with = |change: &dyn Fn(&str) -> String| {
            let text = said(|json| {
                let key = &mut json["keys"][at]["private_key"];
                *key = json!(change(key.as_str().unwrap()));
            });
            assert!(
                text.starts_with(&format!("key {kid}: its private")),
                "{text}"
            );
        };
        with(&|_| String::new());
        with(&|pem| pem[..pem.len() / 2].to_owned());
        with(&|pem| pem.lines().filter(|line| line.contains('-')).collect());
        with(&|pem| {
            let mut lines: Vec<&str> = pem.lines().collect();
            lines.remove(2);
            lines.join("\n")
        });
        with(&|pem| pem.replace("PRIVATE", "PUBLIC"));
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    let text = said(|json| json["keys"][0]["algorithm"] = json!("RS256"));
    assert!(text.contains("its private part is for ES256, and it says RS256"));
    let text = said(|json| json["keys"][1] = json["keys"][0].clone());
    assert!(text.contains("it is there twice"), "{text}");
    let text = said(|json| json["keys"][0]["published"] = json!("2027-01-01T00:00:00Z"));
    assert!(text.contains("its times are not in the order"), "{text}");
    let text = said(|json| json["keys"] = json!([]));
    assert!(text.starts_with("the key set is empty"), "{text}");

    let mut other = KeySet::default();
    let key = PrivateKey::generate(Algorithm::Es256).unwrap();
    other.publish(key, &POLICY, *NOW).unwrap();
    let text = said(|json| json["keys"][1] = saved(&other)["keys"][0].clone());
    assert!(text.contains("have no end"), "{text}");
}

#[test]
fn no_error_and_no_debug_output_shows_a_private_key() {
    let pem = saved(&KEYS)["keys"][0]["private_key"].clone();
    let secret = pem.as_str().unwrap().lines().nth(1).unwrap().to_owned();
    for name in ["published", "algorithm", "ending", "public_key"] {
        let text = said(|json| json["keys"][0][name] = pem.clone());
        assert!(
            text.starts_with("the key set is not a list of keys"),
            "{text}"
        );
        assert!(!text.contains(&secret[..8]), "{text}");
    }
    let shown = format!("{:?} {:?}", *KEYS, to_json(&KEYS));
    assert!(!shown.contains(&secret[..8]), "{shown}");
}

#[test]
fn a_key_that_openssl_made_is_read_and_others_are_not() {
    // openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256
    let made = PrivateKey::from_pem(include_str!("openssl-p256.pem")).unwrap();
    assert_eq!(made.public().algorithm(), Algorithm::Es256);
    let bad = |text: &str| PrivateKey::from_pem(text).unwrap_err();
    assert_eq!(bad(""), BadKey::NotPem);
    assert_eq!(bad("-----BEGIN PRIVATE KEY-----"), BadKey::NotPem);
    // openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384
    assert_eq!(bad(include_str!("openssl-p384.pem")), BadKey::Broken);
}

#[test]
fn two_who_publish_at_once_do_not_make_two_next_keys() {
    let mut keys = KEYS.clone();
    let made = || PrivateKey::generate(Algorithm::Es256).unwrap();
    keys.publish(made(), &POLICY, *NOW).unwrap();
    let next = keys.keys().last().unwrap().id().to_owned();
    let refused = keys.publish(made(), &POLICY, *NOW).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("key {next} is published as the next one already")
    );
    let again =
        PrivateKey::from_pem(saved(&KEYS)["keys"][0]["private_key"].as_str().unwrap()).unwrap();
    let refused = keys.publish(again, &POLICY, *NOW).unwrap_err();
    assert!(refused.to_string().ends_with("is in the set already"));
}

#[test]
fn a_set_from_which_the_successor_was_taken_goes_on_signing_without_a_gap() {
    let policy = Policy {
        use_for: SignedDuration::ZERO,
        ..POLICY
    };
    let mut keys = KEYS.clone();
    let made = || PrivateKey::generate(Algorithm::Es256).unwrap();
    keys.publish(made(), &policy, *NOW).unwrap();
    let mut json = saved(&keys);
    json["keys"].as_array_mut().unwrap().pop();
    let mut keys = from_json(&json.to_string()).unwrap();

    let algorithms = [Algorithm::Es256];
    let later = *NOW + SignedDuration::from_hours(24);
    let next = tokens::rotation::next(&keys, &algorithms, &policy, later);
    assert_eq!(next, tokens::rotation::Next::Publish(Algorithm::Es256));
    keys.publish(made(), &policy, later).unwrap();
    for hour in 0..100 {
        let now = *NOW + SignedDuration::from_hours(hour);
        assert!(keys.current(Algorithm::Es256, now).is_some(), "{hour}");
    }
}
