//! Signs a token with the key whose turn it is.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::{Algorithm, KeySet, LONGEST_TOKEN, Token, compact::OurHeader, private::BadKey};

/// What every token has, whatever it says.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// Who signs (`iss`): the issuer's https address.
    pub issuer: &'a str,
    /// Unique among all tokens of this issuer (`jti`); random.
    pub id: &'a str,
    /// `iat` and `nbf`, in whole seconds.
    pub now: Timestamp,
    /// From `now` to `exp`, in whole seconds.
    pub life: SignedDuration,
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum NotSigned {
    #[error("no key of the set signs by {0} now; publish one")]
    NoKey(Algorithm),
    #[error("a life of {life:#} was asked for; tokens of this type may have 1s to {limit:#}")]
    Life {
        life: SignedDuration,
        limit: SignedDuration,
    },
    #[error("the token would have no id")]
    NoId,
    /// A name or an address is as long as a page.
    #[error("the token would have {length} bytes; {LONGEST_TOKEN} are allowed")]
    TooLong { length: usize },
    #[error("the claims do not become JSON")]
    Claims(#[source] serde_json::Error),
    #[error("the signature failed: {0}")]
    Signature(BadKey),
}

#[derive(Serialize)]
struct Claims<'a, T> {
    iss: &'a str,
    aud: &'a str,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: &'a str,
    #[serde(flatten)]
    token: &'a T,
}

/// Signs.
///
/// # Errors
/// Nothing is signed that [`crate::verify()`] would refuse by its form.
pub fn sign<T: Token>(
    keys: &KeySet,
    algorithm: Algorithm,
    token: &T,
    envelope: &Envelope<'_>,
) -> Result<String, NotSigned> {
    let life = envelope.life;
    if life < SignedDuration::from_secs(1) || life > T::LONGEST_LIFE {
        let limit = T::LONGEST_LIFE;
        return Err(NotSigned::Life { life, limit });
    }
    if envelope.id.is_empty() {
        return Err(NotSigned::NoId);
    }
    let key = keys
        .current(algorithm, envelope.now)
        .ok_or(NotSigned::NoKey(algorithm))?;
    let header = OurHeader {
        alg: algorithm.name(),
        kid: key.id(),
        typ: T::TYPE,
    };
    let now = envelope.now.as_second();
    let claims = Claims {
        iss: envelope.issuer,
        aud: &token.audience(),
        iat: now,
        nbf: now,
        exp: now.saturating_add(life.as_secs()),
        jti: envelope.id,
        token,
    };
    let mut text = encode(&header).map_err(NotSigned::Claims)?;
    text.push('.');
    text.push_str(&encode(&claims).map_err(NotSigned::Claims)?);
    let signature = key
        .private
        .sign(text.as_bytes())
        .map_err(NotSigned::Signature)?;
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    let length = text.len();
    if length > LONGEST_TOKEN {
        return Err(NotSigned::TooLong { length });
    }
    Ok(text)
}

fn encode(part: &impl Serialize) -> serde_json::Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(part)?))
}
