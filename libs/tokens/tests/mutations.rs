//! R22: tokens that were changed in any way, or made anew without our key, do not pass. 10,000 of them,
//! 100,000 with `TUTTI_LONG`. The seed is fixed; `PROPTEST_RNG_SEED` takes another.

use std::{cell::RefCell, collections::BTreeMap};

use jsonwebtoken::EncodingKey;
use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{Config, RngSeed, TestError, TestRunner},
};
use serde_json::{Value, json};
use tokens::{
    Algorithm, Identity, KeySet, Pass, PrivateKey, Refusal, Registration, Ticket, sign, verify,
};

use crate::{attacks::public_key_as_secrets, support::*};

const SEED: u64 = 22;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Ticket,
    Pass,
    Identity,
    Registration,
}

const KINDS: [Kind; 4] = [Kind::Ticket, Kind::Pass, Kind::Identity, Kind::Registration];

/// A good token.
#[derive(Clone, Debug, PartialEq)]
struct Good {
    kind: Kind,
    algorithm: Algorithm,
    name: String,
}

/// What a stranger does to it.
#[derive(Clone, Debug)]
enum Mutation {
    FlipBit(Index, u8),
    Replace(Index, u8),
    Insert(Index, char),
    Remove(Index),
    KeepStart(Index),
    KeepEnd(Index),
    /// The parts in another order, or some of them twice or not at all.
    Reorder(Vec<u8>),
    /// One part is that of another good token.
    Transplant(u8, Good),
    /// Another header or other claims, and the signature as it was.
    Rewrite(Change),
    /// All of it anew and signed, but not by the key that it names.
    Forge(Change, Forger),
}

/// One member of header or claims with another value.
#[derive(Clone, Debug)]
struct Change {
    in_header: bool,
    which: Index,
    value: Value,
}

#[derive(Clone, Copy, Debug)]
enum Forger {
    /// A key of a stranger, under the name of ours.
    Stranger,
    /// Under its own name, and brought along in the header.
    StrangerWithKey,
    /// No signature, and a header that says so.
    Nobody,
    /// HS256 with one of our public keys as the secret.
    PublicKey(u8),
    /// Our key of the other algorithm, with a header that says which.
    OtherAlgorithm,
    /// Our key of the other algorithm, under the name of this one's.
    OtherAlgorithmInDisguise,
}

fn good() -> impl Strategy<Value = Good> {
    let algorithm = prop_oneof![Just(Algorithm::Es256), Just(Algorithm::Rs256)];
    let kind = prop::sample::select(&KINDS[..]);
    (kind, algorithm, "\\PC{0,16}").prop_map(|(kind, algorithm, name)| Good {
        kind,
        algorithm,
        name,
    })
}

fn change() -> impl Strategy<Value = Change> {
    let value = prop_oneof![
        Just(json!(null)),
        Just(json!(true)),
        Just(json!(9_999_999_999_i64)),
        Just(json!("Super Admin")),
        Just(json!("acme/wiki")),
        Just(json!("wiki.acme.test")),
        Just(json!(["exp"])),
        "\\PC{0,16}".prop_map(Value::from),
    ];
    (any::<bool>(), any::<Index>(), value).prop_map(|(in_header, which, value)| Change {
        in_header,
        which,
        value,
    })
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let forger = prop_oneof![
        Just(Forger::Stranger),
        Just(Forger::StrangerWithKey),
        Just(Forger::Nobody),
        any::<u8>().prop_map(Forger::PublicKey),
        Just(Forger::OtherAlgorithm),
        Just(Forger::OtherAlgorithmInDisguise),
    ];
    let at = any::<Index>;
    prop_oneof![
        3 => (at(), 0..8_u8).prop_map(|(at, bit)| Mutation::FlipBit(at, bit)),
        2 => (at(), 0x20..0x7f_u8).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        1 => (at(), any::<char>()).prop_map(|(at, letter)| Mutation::Insert(at, letter)),
        1 => at().prop_map(Mutation::Remove),
        1 => at().prop_map(Mutation::KeepStart),
        1 => at().prop_map(Mutation::KeepEnd),
        1 => prop::collection::vec(0..3_u8, 0..5).prop_map(Mutation::Reorder),
        2 => (0..3_u8, good()).prop_map(|(part, other)| Mutation::Transplant(part, other)),
        2 => change().prop_map(Mutation::Rewrite),
        4 => (change(), forger).prop_map(|(change, forger)| Mutation::Forge(change, forger)),
    ]
}

fn text(good: &Good) -> String {
    let (algorithm, envelope) = (good.algorithm, envelope());
    let name = good.name.clone();
    match good.kind {
        Kind::Ticket => {
            let token = Ticket {
                session: name,
                ..ticket()
            };
            sign(&KEYS, algorithm, &token, &envelope)
        }
        Kind::Pass => sign(&KEYS, algorithm, &Pass { name, ..pass() }, &envelope),
        Kind::Identity => {
            let token = Identity { name, ..identity() };
            sign(&KEYS, algorithm, &token, &envelope)
        }
        Kind::Registration => {
            let token = Registration {
                name,
                ..registration()
            };
            sign(&KEYS, algorithm, &token, &envelope)
        }
    }
    .unwrap()
}

fn read(kind: Kind, text: &str) -> Result<(), Refusal> {
    let expected = expected(*NOW);
    match kind {
        Kind::Ticket => verify::<Ticket>(text, &PUBLIC, &expected, PLACE).map(|_| ()),
        Kind::Pass => verify::<Pass>(text, &PUBLIC, &expected, HOST).map(|_| ()),
        Kind::Identity => verify::<Identity>(text, &PUBLIC, &expected, &instance()).map(|_| ()),
        Kind::Registration => verify::<Registration>(text, &PUBLIC, &expected, ()).map(|_| ()),
    }
}

fn mutate(good: &Good, text: &str, mutation: &Mutation, strangers: &[KeySet; 2]) -> String {
    let parts: Vec<&str> = text.split('.').collect();
    match mutation {
        Mutation::FlipBit(at, bit) => {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at.index(text.len())] ^= 1 << bit;
            String::from_utf8_lossy(&bytes).into_owned()
        }
        Mutation::Replace(at, byte) => {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at.index(text.len())] = *byte;
            String::from_utf8_lossy(&bytes).into_owned()
        }
        Mutation::Insert(at, letter) => {
            let mut text = text.to_owned();
            text.insert(at.index(text.len() + 1), *letter);
            text
        }
        Mutation::Remove(at) => {
            let mut text = text.to_owned();
            text.remove(at.index(text.len()));
            text
        }
        Mutation::KeepStart(at) => text[..at.index(text.len())].to_owned(),
        Mutation::KeepEnd(at) => text[at.index(text.len()) + 1..].to_owned(),
        Mutation::Reorder(order) => {
            let order: Vec<&str> = order.iter().map(|at| parts[usize::from(*at)]).collect();
            order.join(".")
        }
        Mutation::Transplant(part, other) => {
            let other = self::text(other);
            let donor: Vec<&str> = other.split('.').collect();
            let mut parts = parts;
            parts[usize::from(*part)] = donor[usize::from(*part)];
            parts.join(".")
        }
        Mutation::Rewrite(change) => {
            let (header, claims) = rewrite(text, change);
            let (header, claims) = (encode(header.to_string()), encode(claims.to_string()));
            format!("{header}.{claims}.{}", parts[2])
        }
        Mutation::Forge(change, forger) => {
            let (header, claims) = rewrite(text, change);
            forge(good.algorithm, header, &claims, *forger, strangers)
        }
    }
}

fn rewrite(text: &str, change: &Change) -> (Value, Value) {
    let mut both = (part(text, 0), part(text, 1));
    let object = if change.in_header {
        &mut both.0
    } else {
        &mut both.1
    };
    let names: Vec<String> = object.as_object().unwrap().keys().cloned().collect();
    object[change.which.get(&names)] = change.value.clone();
    both
}

fn forge(
    algorithm: Algorithm,
    mut header: Value,
    claims: &Value,
    forger: Forger,
    strangers: &[KeySet; 2],
) -> String {
    let other = match algorithm {
        Algorithm::Es256 => Algorithm::Rs256,
        Algorithm::Rs256 => Algorithm::Es256,
    };
    let keys = match algorithm {
        Algorithm::Es256 => &strangers[0],
        Algorithm::Rs256 => &strangers[1],
    };
    // What the change left alone is put right, so that only the signature is wrong.
    header["kid"] = json!(key_id(algorithm));
    header["alg"] = json!(algorithm.name());
    let claims = claims.to_string();
    let (by, key): (_, &EncodingKey) = match forger {
        Forger::Stranger => (algorithm, &secret(algorithm, keys)),
        Forger::StrangerWithKey => {
            let key = &keys.keys()[0];
            header["kid"] = json!(key.id());
            header["jwk"] = serde_json::to_value(key.public().to_jwk(key.id())).unwrap();
            (algorithm, &secret(algorithm, keys))
        }
        Forger::Nobody => {
            header["alg"] = json!("none");
            return format!("{}.{}.", encode(header.to_string()), encode(claims));
        }
        Forger::PublicKey(which) => {
            let kid = key_id(algorithm);
            let ours = KEYS.current(algorithm, *NOW).unwrap();
            let secrets = public_key_as_secrets(&ours.public().to_jwk(&kid));
            let secret = &secrets[usize::from(which) % secrets.len()];
            header["alg"] = json!("HS256");
            return forge_texts(
                &header.to_string(),
                &claims,
                jsonwebtoken::Algorithm::HS256,
                &EncodingKey::from_secret(secret),
            );
        }
        Forger::OtherAlgorithm => {
            header["alg"] = json!(other.name());
            (other, ours(other))
        }
        Forger::OtherAlgorithmInDisguise => (other, ours(other)),
    };
    let by = match by {
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
    };
    forge_texts(&header.to_string(), &claims, by, key)
}

fn ours(algorithm: Algorithm) -> &'static EncodingKey {
    match algorithm {
        Algorithm::Es256 => &ELLIPTIC,
        Algorithm::Rs256 => &RSA,
    }
}

#[test]
fn of_ten_thousand_changed_and_forged_tokens_none_passes() {
    let long = std::env::var_os("TUTTI_LONG").is_some();
    let mut config = Config::with_cases(if long { 100_000 } else { 10_000 });
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(SEED);
    }
    // A few changes change nothing; they do not count.
    config.max_global_rejects = config.cases;
    config.failure_persistence = None;
    let (seed, cases) = (config.rng_seed, config.cases);
    let strangers = [Algorithm::Es256, Algorithm::Rs256].map(|algorithm| {
        let mut keys = KeySet::default();
        let key = PrivateKey::generate(algorithm).unwrap();
        keys.publish(key, &POLICY, *NOW).unwrap();
        keys
    });

    let reasons = RefCell::new(BTreeMap::<&str, u32>::new());
    let outcome = TestRunner::new(config).run(&(good(), mutation()), |(good, mutation)| {
        let text = text(&good);
        prop_assert_eq!(read(good.kind, &text), Ok(()), "the good one is refused");
        if let Mutation::Transplant(_, other) = &mutation {
            // We have signed the same words twice, and each signature is good for them.
            prop_assume!(*other != good, "a transplant from its twin");
        }
        let mutated = mutate(&good, &text, &mutation, &strangers);
        prop_assume!(mutated != text, "the change changed nothing");
        match read(good.kind, &mutated) {
            Ok(()) => Err(TestCaseError::fail(format!("passed: {mutated}"))),
            Err(refusal) => {
                *reasons.borrow_mut().entry(refusal.reason()).or_default() += 1;
                Ok(())
            }
        }
    });
    println!("seed {seed:?}, refused as {:?}", reasons.borrow());
    if let Err(TestError::Fail(why, (good, mutation))) = &outcome {
        panic!("seed {seed:?}: {why}\n{good:?}\n{mutation:?}");
    }
    assert!(outcome.is_ok(), "{outcome:?}");
    // They fail for many reasons, or the test tries one thing only.
    let reasons = reasons.into_inner();
    assert!(reasons.values().sum::<u32>() >= cases);
    for reason in [
        "Malformed",
        "WrongAlgorithm",
        "WrongType",
        "UnknownKey",
        "BadSignature",
    ] {
        let count = reasons.get(reason).copied().unwrap_or_default();
        assert!(count > cases / 100, "{reason}: {count}");
    }
}
