//! The second factor: codes of an authenticator app (TOTP, RFC 6238) and recovery codes in its place. Pure;
//! the secret and the time are given. Rows in `store`, pages in `http`.

pub mod http;
pub mod store;

use jiff::Timestamp;
use qrcode::{QrCode, render::svg};
use sha2::{Digest as _, Sha256};
use totp_rs::{Builder, Secret, Totp};

use crate::{error::Failure, identifier, secret::Digest};

/// Bytes of a secret, as RFC 4226 §4 recommends.
pub const SECRET_LENGTH: usize = 20;
/// Recovery codes that somebody gets at once.
pub const CODES: usize = 10;
/// Bits of a recovery code: no dictionary of digests is worth its disk.
const CODE_BITS: u32 = 80;
/// Each letter is five bits.
const CODE_LENGTH: usize = CODE_BITS as usize / 5;

/// What a phone is told.
pub struct Setup {
    /// In base32, for those who type it.
    pub secret: String,
    /// The same as a picture, an SVG.
    pub picture: String,
}

/// What a person's phone is told; `issuer` is how the platform calls itself.
///
/// # Errors
/// When the secret is too short or too long for a picture.
pub fn setup(secret: &[u8], account: &str, issuer: &str) -> Result<Setup, Failure> {
    let url = totp(secret, account, issuer)?
        .to_url()
        .map_err(|error| Failure::Totp(error.to_string()))?;
    let picture = QrCode::new(url).map_err(|error| Failure::Totp(error.to_string()))?;
    let picture = picture.render::<svg::Color<'_>>().build();
    // Its declaration belongs into a file of its own, and not into a page.
    let picture = picture
        .find("<svg")
        .and_then(|at| picture.get(at..))
        .unwrap_or_default();
    Ok(Setup {
        secret: Secret::from(secret.to_vec()).to_base32(),
        picture: picture.to_owned(),
    })
}

/// The step whose code this is, if it is one that is shown now, a moment ago or in a moment.
///
/// # Errors
/// When the secret is none.
pub fn check(secret: &[u8], code: &str, now: Timestamp) -> Result<Option<i64>, Failure> {
    let digits: String = code
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .collect();
    if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let step = totp(secret, "account", "issuer")?.check(&digits, seconds);
    Ok(step.and_then(|step| i64::try_from(step).ok()))
}

fn totp(secret: &[u8], account: &str, issuer: &str) -> Result<Totp, Failure> {
    Builder::new()
        .with_secret(secret.to_vec())
        .with_account_name(account)
        // A colon would end the issuer.
        .with_issuer(Some(issuer.replace(':', " ")))
        .build()
        .map_err(|error| Failure::Totp(error.to_string()))
}

/// A recovery code of random bits, as it is shown: `0123-4567-89ab-cdef`.
#[must_use]
pub fn recovery_code(bits: u128) -> String {
    let letters = identifier::crockford(bits & ((1 << CODE_BITS) - 1), CODE_LENGTH);
    let groups: Vec<String> = letters
        .as_bytes()
        .chunks(4)
        .map(|group| String::from_utf8_lossy(group).into_owned())
        .collect();
    groups.join("-")
}

/// What is kept of a person's recovery code, however they typed it.
#[must_use]
pub fn recovery_digest(person: &str, typed: &str) -> Digest {
    let letters = typed
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric());
    let read = letters.map(|letter| match letter.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        other => other,
    });
    let mut hash = Sha256::new();
    hash.update(person);
    hash.update(read.collect::<String>());
    Digest(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B: the secret, and its last six digits at two times.
    const SECRET: &[u8; 20] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_the_standard() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(check(SECRET, "287082", at(59)).unwrap(), Some(1));
        assert_eq!(
            check(SECRET, "081 804", at(1_111_111_109)).unwrap(),
            Some(37_037_036)
        );
        // A phone that is behind by one step, and by two.
        assert_eq!(check(SECRET, "287082", at(89)).unwrap(), Some(1));
        assert_eq!(check(SECRET, "287082", at(120)).unwrap(), None);
        for wrong in ["", "28708", "2870822", "abcdef", "２８７０８２"] {
            assert_eq!(check(SECRET, wrong, at(59)).unwrap(), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_phone_is_told_the_secret_as_text_and_picture() {
        let setup = setup(SECRET, "ann@acme.test", "Acme: apps").unwrap();
        assert_eq!(setup.secret, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert!(setup.picture.starts_with("<svg"), "{}", setup.picture);
        assert!(
            !setup.picture.contains("style="),
            "the page's policy would not show it"
        );
    }

    #[test]
    fn a_recovery_code_is_known_however_it_is_typed_and_is_one_persons() {
        let code = recovery_code(u128::MAX << 40);
        assert_eq!(code, "zzzz-zzzz-0000-0000");
        let digest = recovery_digest("usr-1", &code);
        assert_eq!(recovery_digest("usr-1", " ZZZZ zzzzOOOO oooo"), digest);
        assert_ne!(recovery_digest("usr-2", &code), digest);
    }
}
