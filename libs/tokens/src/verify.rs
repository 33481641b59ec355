//! Believes a token, or says which check failed. From top to bottom in [`verify`]; nothing of the claims
//! is parsed before the signature was good.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::{
    Algorithm, PublicKeys, Refusal, Token,
    compact::{self, Header, malformed},
    json,
    jwks::Published,
    later,
    refusal::excerpt,
};

/// What the reader knows by itself.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The only issuer that is believed, whose keys they are.
    pub issuer: &'a str,
    pub now: Timestamp,
    pub tolerance: Tolerance,
}

/// How far the issuer's clock and ours may differ.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// `iat` and `nbf` may lie so far in the future.
    pub early: SignedDuration,
    /// `exp` may lie so far in the past.
    pub late: SignedDuration,
}

impl Tolerance {
    /// One clock for all.
    pub const NONE: Self = Self {
        early: SignedDuration::ZERO,
        late: SignedDuration::ZERO,
    };
    /// Our own services on other machines. NTP keeps them within a fraction of a second; with nothing at
    /// all, what one signs at a full second another refuses whose clock is a millisecond late.
    pub const OWN: Self = Self {
        early: SignedDuration::from_secs(5),
        late: SignedDuration::ZERO,
    };
    /// Issuers whose clocks are not ours to set. No token is good for longer because of it.
    pub const FOREIGN: Self = Self {
        early: SignedDuration::from_mins(2),
        late: SignedDuration::ZERO,
    };

    /// As much on both sides: for the one-time ticket, which is used up anyway. Its id has to be
    /// remembered for so much longer.
    #[must_use]
    pub const fn both(by: SignedDuration) -> Self {
        Self {
            early: by,
            late: by,
        }
    }
}

/// A token that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T> {
    pub token: T,
    /// `jti`; unique for this issuer.
    pub id: String,
    pub issued_at: Timestamp,
    /// From then on it is refused, tolerance aside.
    pub expires_at: Timestamp,
    /// The key that signed it.
    pub key: String,
}

/// What every token has.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    /// One reader. A list, as RFC 7519 allows it, is for tokens of which nobody knows who reads them.
    aud: String,
    /// Whole seconds since 1970, as the two below.
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
}

const REQUIRED: [&str; 6] = ["iss", "aud", "iat", "nbf", "exp", "jti"];

/// Verifies a token of the type that the caller names, presented at this place.
///
/// # Errors
/// The first check that failed.
pub fn verify<T: Token>(
    text: &str,
    keys: &PublicKeys,
    expected: &Expected<'_>,
    place: T::Place<'_>,
) -> Result<Verified<T>, Refusal> {
    let parts = compact::read(text)?;
    let key = choose_key(&parts.header, T::TYPE, keys, expected.now)?;
    if !key.key.has_signed(parts.signed, &parts.signature) {
        return Err(Refusal::BadSignature {
            key: key.id.clone(),
        });
    }
    let (claims, token) = read_claims::<T>(&parts.claims)?;
    check_addressee(&claims, expected.issuer, &T::audience_at(place))?;
    let (issued_at, expires_at) = check_times(&claims, expected, T::LONGEST_LIFE)?;
    token.check_place(place)?;
    Ok(Verified {
        token,
        id: claims.jti,
        issued_at,
        expires_at,
        key: key.id.clone(),
    })
}

/// The key by which the token has to be signed. What the token says of its algorithm chooses nothing; it has
/// to agree with the key.
fn choose_key<'a>(
    header: &Header,
    kind: &'static str,
    keys: &'a PublicKeys,
    now: Timestamp,
) -> Result<&'a Published, Refusal> {
    let wrong_algorithm = |expected| Refusal::WrongAlgorithm {
        found: excerpt(&header.algorithm),
        expected,
    };
    let algorithm = Algorithm::named(&header.algorithm).ok_or_else(|| wrong_algorithm(None))?;
    if header.kind != kind {
        return Err(Refusal::WrongType {
            found: excerpt(&header.kind),
            expected: kind,
        });
    }
    let key = keys.find(&header.key).ok_or_else(|| Refusal::UnknownKey {
        key: excerpt(&header.key),
    })?;
    if key.key.algorithm() != algorithm {
        return Err(wrong_algorithm(Some(key.key.algorithm())));
    }
    match key.verifies_until {
        Some(since) if now >= since => Err(Refusal::KeyNotValidAnyMore {
            key: key.id.clone(),
            since,
        }),
        _ => Ok(key),
    }
}

fn read_claims<T: Token>(json: &[u8]) -> Result<(Claims, T), Refusal> {
    let names = json::names(json).map_err(|what| malformed(format!("its claims are {what}")))?;
    let required = REQUIRED.iter().chain(T::REQUIRED);
    if let Some(missing) = required.copied().find(|name| !names.contains(*name)) {
        return Err(Refusal::ClaimMissing(missing));
    }
    let misshapen = |error: serde_json::Error| malformed(format!("its claims: {error}"));
    let claims: Claims = serde_json::from_slice(json).map_err(misshapen)?;
    if claims.jti.is_empty() {
        return Err(Refusal::ClaimMissing("jti"));
    }
    let token = serde_json::from_slice(json).map_err(misshapen)?;
    Ok((claims, token))
}

fn check_addressee(claims: &Claims, issuer: &str, audience: &str) -> Result<(), Refusal> {
    if claims.iss != issuer {
        return Err(Refusal::WrongIssuer {
            found: excerpt(&claims.iss),
            expected: issuer.to_owned(),
        });
    }
    if claims.aud != audience {
        return Err(Refusal::WrongAudience {
            found: excerpt(&claims.aud),
            expected: audience.to_owned(),
        });
    }
    Ok(())
}

/// When it was issued and when it expires.
fn check_times(
    claims: &Claims,
    expected: &Expected<'_>,
    longest_life: SignedDuration,
) -> Result<(Timestamp, Timestamp), Refusal> {
    let Expected { now, tolerance, .. } = *expected;
    let read = |seconds: i64| {
        Timestamp::from_second(seconds)
            .map_err(|_| malformed("iat, nbf or exp is no time that a calendar has"))
    };
    let (issued_at, not_before, expires_at) =
        (read(claims.iat)?, read(claims.nbf)?, read(claims.exp)?);
    if now >= later(expires_at, tolerance.late) {
        return Err(Refusal::Expired { since: expires_at });
    }
    let until = issued_at.max(not_before);
    if until > later(now, tolerance.early) {
        return Err(Refusal::NotYet {
            until,
            ahead: until.duration_since(now),
            tolerated: tolerance.early,
        });
    }
    let life = expires_at.duration_since(issued_at);
    if life > longest_life {
        return Err(Refusal::LivesTooLong {
            life,
            limit: longest_life,
        });
    }
    Ok((issued_at, expires_at))
}
