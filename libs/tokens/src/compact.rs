//! The compact form of RFC 7515 §7.1, `header.claims.signature`: taken apart before anything in it is
//! believed. Nothing is read of a text that is too long, and of base64url only its one canonical spelling.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::{Refusal, json, refusal::excerpt};

/// Bytes that a token may have. Browsers keep cookies of 4,096 bytes with name and attributes
/// (RFC 6265 §6.1), and proxies headers of about that size.
pub const LONGEST_TOKEN: usize = 3_800;

/// A token's three parts, decoded; not verified.
pub(crate) struct Parts<'a> {
    pub header: Header,
    /// What the signature is over.
    pub signed: &'a str,
    pub claims: Vec<u8>,
    pub signature: Vec<u8>,
}

/// What we read of a header. Other members are ignored, keys and addresses of keys (`jwk`, `jku`, `x5u`,
/// `x5c`) among them: a token does not say by which key it is to be verified (RFC 8725 §2.9).
pub(crate) struct Header {
    pub algorithm: String,
    pub kind: String,
    pub key: String,
}

/// A header that we write.
#[derive(Serialize)]
pub(crate) struct OurHeader<'a> {
    pub alg: &'static str,
    pub kid: &'a str,
    pub typ: &'static str,
}

pub(crate) fn read(text: &str) -> Result<Parts<'_>, Refusal> {
    if text.len() > LONGEST_TOKEN {
        return Err(Refusal::TooLong {
            length: text.len(),
            limit: LONGEST_TOKEN,
        });
    }
    let three = || malformed("it has not three parts with a dot in between");
    let (signed, signature) = text.rsplit_once('.').ok_or_else(three)?;
    // A further dot is no base64url.
    let (header, claims) = signed.split_once('.').ok_or_else(three)?;
    Ok(Parts {
        header: read_header(&decode(header, "header")?)?,
        signed,
        claims: decode(claims, "claims")?,
        signature: decode(signature, "signature")?,
    })
}

fn read_header(json: &[u8]) -> Result<Header, Refusal> {
    #[derive(Deserialize)]
    struct Read {
        alg: Option<String>,
        typ: Option<String>,
        kid: Option<String>,
        /// Whether it is there at all: we know no extension.
        #[serde(default, deserialize_with = "present")]
        crit: bool,
    }
    fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
        IgnoredAny::deserialize(from).map(|_| true)
    }

    json::names(json).map_err(|what| malformed(format!("its header is {what}")))?;
    let read: Read = serde_json::from_slice(json)
        .map_err(|_| malformed("alg, typ and kid of its header are not texts"))?;
    if read.crit {
        return Err(Refusal::UnknownExtension);
    }
    Ok(Header {
        algorithm: read.alg.ok_or_else(|| malformed("its header has no alg"))?,
        kind: read.typ.unwrap_or_default(),
        key: read.kid.unwrap_or_default(),
    })
}

fn decode(text: &str, part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| malformed(format!("its {part} is not base64url without padding")))
}

/// What is wrong with the form. `what` may hold texts of the token when its signature was good.
pub(crate) fn malformed(what: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::Malformed(match what.into() {
        Cow::Borrowed(what) => what.into(),
        Cow::Owned(what) => excerpt(&what).into(),
    })
}
