//! One public key, parsed once: verifies signatures, and is written as a JWK (RFC 7517).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters,
    EllipticCurveKeyType, Jwk, KeyAlgorithm, PublicKeyUse, RSAKeyParameters, RSAKeyType,
};
use sha2::{Digest as _, Sha256};

use crate::Algorithm;

/// Bytes of a coordinate of P-256.
const COORDINATE: usize = 32;
/// Bytes of a modulus: RFC 7518 §3.3 asks for 2,048 bits at least, and more than 8,192 only cost time.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;

/// A public key.
#[derive(Clone, Debug)]
pub struct PublicKey {
    algorithm: Algorithm,
    /// As in a JWK: the one spelling that base64url allows for it.
    parameters: AlgorithmParameters,
    parsed: ParsedPublicKey,
}

impl PublicKey {
    /// `point`: 4, x and y, as aws-lc has it.
    pub(crate) fn of_point(point: &[u8]) -> Option<Self> {
        let (x, y) = match point.split_first()? {
            (4, both) => both.split_at_checked(COORDINATE)?,
            _ => return None,
        };
        Some(Self {
            algorithm: Algorithm::Es256,
            parameters: AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters {
                key_type: EllipticCurveKeyType::EC,
                curve: EllipticCurve::P256,
                x: URL_SAFE_NO_PAD.encode(x),
                y: URL_SAFE_NO_PAD.encode(y),
            }),
            // Refuses what is not on the curve (RFC 8725 §3.4).
            parsed: ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?,
        })
    }

    /// Modulus and exponent, the highest byte first, without leading zeros.
    pub(crate) fn of_modulus(n: &[u8], e: &[u8]) -> Option<Self> {
        if !MODULUS.contains(&n.len()) {
            return None;
        }
        Some(Self {
            algorithm: Algorithm::Rs256,
            parameters: AlgorithmParameters::RSA(RSAKeyParameters {
                key_type: RSAKeyType::RSA,
                n: URL_SAFE_NO_PAD.encode(n),
                e: URL_SAFE_NO_PAD.encode(e),
            }),
            parsed: RsaPublicKeyComponents { n, e }
                .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
                .ok()?,
        })
    }

    /// A key of somebody's JWKS; `None` when it is not for one of our algorithms, not for signatures, or
    /// not a key at all.
    #[must_use]
    pub fn from_jwk(jwk: &Jwk) -> Option<Self> {
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let common = &jwk.common;
        if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        let (key, algorithm) = match &jwk.algorithm {
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                let point = [vec![4], decode(&key.x)?, decode(&key.y)?].concat();
                (Self::of_point(&point)?, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::RSA(key) => {
                let key = Self::of_modulus(&decode(&key.n)?, &decode(&key.e)?)?;
                (key, KeyAlgorithm::RS256)
            }
            _ => return None,
        };
        let is_for_it = common.key_algorithm.is_none_or(|said| said == algorithm);
        is_for_it.then_some(key)
    }

    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// As a JWK under this id.
    #[must_use]
    pub fn to_jwk(&self, id: &str) -> Jwk {
        Jwk {
            common: CommonParameters {
                public_key_use: Some(PublicKeyUse::Signature),
                key_algorithm: Some(match self.algorithm {
                    Algorithm::Es256 => KeyAlgorithm::ES256,
                    Algorithm::Rs256 => KeyAlgorithm::RS256,
                }),
                key_id: Some(id.to_owned()),
                ..CommonParameters::default()
            },
            algorithm: self.parameters.clone(),
        }
    }

    /// The key's own members of a JWK.
    pub(crate) fn parameters(&self) -> &AlgorithmParameters {
        &self.parameters
    }

    /// RFC 7638, with SHA-256: the same for the same key wherever it is computed.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        // Members in the order of their names; no value needs escaping.
        let json = match &self.parameters {
            AlgorithmParameters::RSA(key) => {
                format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, key.e, key.n)
            }
            AlgorithmParameters::EllipticCurve(key) => {
                let (x, y) = (&key.x, &key.y);
                format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)
            }
            _ => String::new(),
        };
        URL_SAFE_NO_PAD.encode(Sha256::digest(json))
    }

    pub(crate) fn has_signed(&self, message: &str, signature: &[u8]) -> bool {
        self.parsed
            .verify_sig(message.as_bytes(), signature)
            .is_ok()
    }
}
