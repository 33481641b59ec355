//! One issuer with two keys, a token of each kind, and a forger who can sign whatever he likes.

use std::{fmt::Debug, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::EncodingKey;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokens::{
    Algorithm, Envelope, Expected, Identity, Instance, KeySet, Pass, Place, Policy, PrivateKey,
    PublicKeys, Refusal, Registration, Role, Ticket, Token, Tolerance, Verified, sign, verify,
};

pub const ISSUER: &str = "https://id.example.com";
pub const HOST: &str = "blog.acme.test";
pub const PATH: &str = "/wp-admin/";
/// The text of `id`s.
pub const ID: &str = "9Qk3v0c1T2uYb7Zx";
pub const PLACE: Place<'static> = Place {
    host: HOST,
    path: PATH,
};
pub const POLICY: Policy = Policy {
    use_for: SignedDuration::from_hours(30 * 24),
    longest_life: SignedDuration::from_hours(1),
};

/// 2026-11-02T08:00:00Z.
pub static NOW: LazyLock<Timestamp> =
    LazyLock::new(|| Timestamp::from_second(1_793_606_400).unwrap());

/// The private keys, so that tests can forge with them.
pub static ELLIPTIC: LazyLock<EncodingKey> = LazyLock::new(|| secret(Algorithm::Es256, &KEYS));
pub static RSA: LazyLock<EncodingKey> = LazyLock::new(|| secret(Algorithm::Rs256, &KEYS));

/// One current key of each algorithm.
pub static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let mut keys = KeySet::default();
    for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
        let key = PrivateKey::generate(algorithm).unwrap();
        keys.publish(key, &POLICY, *NOW).unwrap();
    }
    keys
});

pub static PUBLIC: LazyLock<PublicKeys> = LazyLock::new(|| KEYS.public());

/// A key set's private key, for jsonwebtoken.
pub fn secret(algorithm: Algorithm, keys: &KeySet) -> EncodingKey {
    let json = tokens::stored::to_json(keys).unwrap();
    let json: Value = serde_json::from_str(json.expose_secret()).unwrap();
    let mut keys = json["keys"].as_array().unwrap().iter();
    let key = keys
        .find(|key| key["algorithm"] == algorithm.name())
        .unwrap();
    let pem = key["private_key"].as_str().unwrap().as_bytes();
    match algorithm {
        Algorithm::Es256 => EncodingKey::from_ec_pem(pem).unwrap(),
        Algorithm::Rs256 => EncodingKey::from_rsa_pem(pem).unwrap(),
    }
}

pub fn key_id(algorithm: Algorithm) -> String {
    KEYS.current(algorithm, *NOW).unwrap().id().to_owned()
}

pub fn ticket() -> Ticket {
    Ticket {
        host: HOST.into(),
        path: PATH.into(),
        session: "ses-01jbq3v5k8e7w2m4x6n9p0r1st".into(),
        person: "usr-01jbq3v5k8e7w2m4x6n9p0r1sv".into(),
        organization: "org-01jbq3v5k8e7w2m4x6n9p0r1sw".into(),
        role: Role::PowerUser,
        instance: instance(),
    }
}

pub fn pass() -> Pass {
    let ticket = ticket();
    Pass {
        host: ticket.host,
        session: ticket.session,
        person: ticket.person,
        email: "ann@example.com".into(),
        name: "Ann Example".into(),
        organization: ticket.organization,
        role: Role::SuperAdmin,
        instance: ticket.instance,
        staff: false,
    }
}

pub fn identity() -> Identity {
    let pass = pass();
    Identity {
        person: pass.person,
        email: pass.email,
        name: pass.name,
        organization: pass.organization,
        role: pass.role,
        instance: pass.instance,
        staff: true,
    }
}

pub fn registration() -> Registration {
    Registration {
        name: "Ann Example".into(),
        email: "ann@example.com".into(),
        external_id: "customer 4711".into(),
    }
}

pub fn instance() -> Instance {
    Instance {
        organization: "acme".into(),
        name: "blog".into(),
    }
}

pub fn envelope() -> Envelope<'static> {
    Envelope {
        issuer: ISSUER,
        id: ID,
        now: *NOW,
        life: SignedDuration::from_secs(60),
    }
}

pub fn signed<T: Token>(token: &T) -> String {
    sign(&KEYS, Algorithm::Es256, token, &envelope()).unwrap()
}

pub fn expected(now: Timestamp) -> Expected<'static> {
    Expected {
        issuer: ISSUER,
        now,
        tolerance: Tolerance::NONE,
    }
}

/// Presents a ticket where it is meant for.
pub fn verify_ticket(text: &str) -> Result<Verified<Ticket>, Refusal> {
    verify(text, &PUBLIC, &expected(*NOW), PLACE)
}

pub fn refused<T: Debug>(result: Result<T, Refusal>) -> Refusal {
    result.unwrap_err()
}

pub fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

/// A part of a token as JSON: 0 is the header, 1 the claims.
pub fn part(text: &str, which: usize) -> Value {
    let part = text.split('.').nth(which).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Whatever the texts say, signed with this key.
pub fn forge_texts(
    header: &str,
    claims: &str,
    algorithm: jsonwebtoken::Algorithm,
    key: &EncodingKey,
) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// A good ticket that somebody changes who has the real key.
pub fn changed(change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let text = signed(&ticket());
    let (mut header, mut claims) = (part(&text, 0), part(&text, 1));
    change(&mut header, &mut claims);
    let algorithm = jsonwebtoken::Algorithm::ES256;
    forge_texts(
        &header.to_string(),
        &claims.to_string(),
        algorithm,
        &ELLIPTIC,
    )
}
