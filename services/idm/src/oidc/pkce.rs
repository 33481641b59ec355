//! Proof Key for Code Exchange (RFC 7636) by S256: a code is worth nothing to who has not begun the sign-in. Pure.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::secret::{self, Digest};

/// Characters of a challenge: a SHA-256 in base64.
const CHALLENGE: usize = 43;

/// Whether a text can be a challenge by S256 (§4.2).
#[must_use]
pub fn is_challenge(text: &str) -> bool {
    text.len() == CHALLENGE
        && BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .is_ok_and(|bytes| bytes.len() == 32)
}

/// Whether a verifier is the challenge's (§4.6); what §4.1 does not allow as one is none.
#[must_use]
pub fn fits(verifier: &str, challenge: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let is_verifier = (43..=128).contains(&verifier.len()) && verifier.bytes().all(is_letter);
    let made = BASE64_URL_SAFE_NO_PAD.encode(Digest::of(verifier.as_bytes()).0);
    is_verifier && secret::is_same(&made, challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_fits_and_nothing_else_does() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(is_challenge(challenge));
        assert!(fits(verifier, challenge));
        for other in ["", &verifier[1..], &format!("{verifier}x"), challenge, "ä"] {
            assert!(!fits(other, challenge), "{other:?}");
        }
        // A verifier that is its own challenge is PKCE by `plain`.
        assert!(!fits(verifier, verifier));
        let long = "x".repeat(129);
        let of_long = BASE64_URL_SAFE_NO_PAD.encode(Digest::of(long.as_bytes()).0);
        assert!(!fits(&long, &of_long));
    }

    #[test]
    fn a_challenge_is_a_sha256() {
        for wrong in [
            "",
            "plain",
            &"x".repeat(44),
            &"=".repeat(43),
            &"ü".repeat(43),
        ] {
            assert!(!is_challenge(wrong), "{wrong:?}");
        }
    }
}
