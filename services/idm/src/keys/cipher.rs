//! What the signing keys are encrypted with in the database: AES-256-GCM, by a key that only our pods have.
//! Whoever reads the database, or a copy of it, cannot sign anything.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hkdf::{HKDF_SHA256, Prk, Salt},
};
use secrecy::{ExposeSecret, SecretString};

/// Fewer letters and digits could be guessed.
pub const SHORTEST: usize = 32;

/// Each use has a key of its own, derived from the one text.
const KEY: &[u8] = b"tutti idm signing-keys AES-256-GCM";
const MARK: &[u8] = b"tutti idm encryption-key mark";
/// What is sealed for one place does not open at another.
const PLACE: &[u8] = b"signing_keys";

/// Seals and opens.
pub struct Cipher {
    key: RandomizedNonceKey,
    mark: [u8; 16],
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Which key sealed it.
    pub by: Vec<u8>,
    /// Nonce, ciphertext and tag.
    pub bytes: Vec<u8>,
}

/// Why nothing was sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsealed {
    #[error("the encryption key has {0} characters; give it {SHORTEST} or more random ones")]
    Short(usize),
    #[error(
        "they are encrypted with another key than that of --encryption-key-file; give back the one of before (chart: \
         the Secret idm-encryption), or empty the table signing_keys to begin anew: who has an app open signs in \
         once more"
    )]
    OtherKey,
    #[error(
        "they are damaged: what is stored is not what was encrypted; restore the table signing_keys from a backup, \
         or empty it to begin anew: who has an app open signs in once more"
    )]
    Damaged,
    /// Only when the machine has no random numbers or no memory.
    #[error("aws-lc did not do it")]
    Refused,
}

impl Cipher {
    /// By a text of many random characters.
    ///
    /// # Errors
    /// When it is too short.
    pub fn new(text: &SecretString) -> Result<Self, Unsealed> {
        let text = text.expose_secret();
        if text.len() < SHORTEST {
            return Err(Unsealed::Short(text.len()));
        }
        let source = Salt::new(HKDF_SHA256, b"").extract(text.as_bytes());
        let mut key = [0; 32];
        derive(&source, KEY, &mut key)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &key).map_err(|_| Unsealed::Refused)?;
        let mut whole = [0; 32];
        derive(&source, MARK, &mut whole)?;
        let mut mark = [0; 16];
        mark.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        Ok(Self { key, mark })
    }

    /// Encrypts.
    ///
    /// # Errors
    /// [`Unsealed::Refused`].
    pub fn seal(&self, text: &SecretString) -> Result<Sealed, Unsealed> {
        let mut sealed = text.expose_secret().as_bytes().to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(PLACE), &mut sealed)
            .map_err(|_| Unsealed::Refused)?;
        let mut bytes = nonce.as_ref().to_vec();
        bytes.append(&mut sealed);
        Ok(Sealed {
            by: self.mark.to_vec(),
            bytes,
        })
    }

    /// Decrypts what is whole, and was sealed by this key.
    ///
    /// # Errors
    /// Which of the two is not so.
    pub fn open(&self, sealed: &Sealed) -> Result<SecretString, Unsealed> {
        if sealed.by != self.mark {
            return Err(Unsealed::OtherKey);
        }
        let (nonce, rest) = sealed
            .bytes
            .split_at_checked(NONCE_LEN)
            .ok_or(Unsealed::Damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealed::Damaged)?;
        let mut rest = rest.to_vec();
        let text = self
            .key
            .open_in_place(nonce, Aad::from(PLACE), &mut rest)
            .map_err(|_| Unsealed::Damaged)?;
        String::from_utf8(text.to_vec())
            .map(Into::into)
            .map_err(|_| Unsealed::Damaged)
    }
}

fn derive(source: &Prk, for_what: &[u8], to: &mut [u8; 32]) -> Result<(), Unsealed> {
    source
        .expand(&[for_what], HKDF_SHA256)
        .and_then(|derived| derived.fill(to))
        .map_err(|_| Unsealed::Refused)
}

impl fmt::Debug for Cipher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Cipher([REDACTED])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "an encryption key of many characters";

    fn cipher(text: &str) -> Cipher {
        Cipher::new(&text.into()).unwrap()
    }

    #[test]
    fn what_was_sealed_comes_back_and_never_looks_the_same() {
        let (cipher, secret) = (cipher(TEXT), SecretString::from("the keys"));
        let (one, other) = (cipher.seal(&secret).unwrap(), cipher.seal(&secret).unwrap());
        assert_ne!(one.bytes, other.bytes);
        assert!(!one.bytes.windows(8).any(|part| part == b"the keys"));
        for sealed in [one, other] {
            assert_eq!(cipher.open(&sealed).unwrap().expose_secret(), "the keys");
        }
        assert!(!format!("{cipher:?}").contains("many"));
    }

    #[test]
    fn another_key_is_told_from_damage_and_every_byte_counts() {
        let sealed = cipher(TEXT).seal(&"the keys".into()).unwrap();
        let other = cipher("another encryption key of many characters");
        assert_eq!(other.open(&sealed).unwrap_err(), Unsealed::OtherKey);
        for place in 0..sealed.bytes.len() {
            let mut damaged = sealed.clone();
            damaged.bytes[place] ^= 1;
            let refused = cipher(TEXT).open(&damaged).unwrap_err();
            assert_eq!(refused, Unsealed::Damaged, "byte {place}");
        }
        for length in 0..sealed.bytes.len() {
            let mut cut = sealed.clone();
            cut.bytes.truncate(length);
            let refused = cipher(TEXT).open(&cut).unwrap_err();
            assert_eq!(refused, Unsealed::Damaged, "cut at {length}");
        }
    }

    #[test]
    fn a_short_key_is_none() {
        let refused = Cipher::new(&"too short".into()).unwrap_err();
        assert_eq!(refused, Unsealed::Short(9));
        assert!(refused.to_string().contains("32 or more"));
    }
}
