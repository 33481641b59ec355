//! Secrets that we give out: a browser or a mail holds the token, the database its SHA-256 only. A token
//! has 256 random bits, so that its digest needs neither salt nor stretching. Pure: the bits are given.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// Characters of a token: 32 bytes in base64.
const TOKEN_LENGTH: usize = 43;

/// What a browser or a mail holds. Neither log lines nor debug output show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Of 256 random bits.
    #[must_use]
    pub fn new(bits: [u8; 32]) -> Self {
        Self(BASE64_URL_SAFE_NO_PAD.encode(bits))
    }

    /// One that came back. What cannot be a token is none.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (text.len() == TOKEN_LENGTH && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// For the cookie or link that carries it, and for nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the database knows of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    /// What goes into each form of whoever holds this token, and comes back with it: a page of another
    /// site can have the browser send the cookie, but cannot know this.
    #[must_use]
    pub fn form_token(&self) -> String {
        let mac = self.form_mac().finalize().into_bytes();
        BASE64_URL_SAFE_NO_PAD.encode(mac)
    }

    /// Whether a form was ours; takes the same time wherever it differs.
    #[must_use]
    pub fn is_form_token(&self, text: &str) -> bool {
        BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .is_ok_and(|mac| self.form_mac().verify_slice(&mac).is_ok())
    }

    fn form_mac(&self) -> Hmac<Sha256> {
        // A block of SHA-256 takes 64 bytes; a token is shorter, so that every one is a key.
        let mut key = [0; 64];
        key.iter_mut()
            .zip(self.0.bytes())
            .for_each(|(to, from)| *to = from);
        let mut mac = Hmac::<Sha256>::new(&key.into());
        mac.update(b"form");
        mac
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token([REDACTED])")
    }
}

/// A SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// As the database takes it.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is the same; takes the same time wherever it differs.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Sixty-four lower-case digits.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Whether two secrets are the same; takes the same time wherever they differ, and however long they are.
#[must_use]
pub fn is_same(one: &str, other: &str) -> bool {
    Digest::of(one.as_bytes()).is(&Digest::of(other.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_token_belongs_to_one_token() {
        let (one, other) = (Token::new([1; 32]), Token::new([2; 32]));
        assert!(one.is_form_token(&one.form_token()));
        assert!(!one.is_form_token(&other.form_token()));
        assert!(!one.is_form_token(""));
        assert!(!one.is_form_token("Ä"));
    }

    #[test]
    fn a_token_comes_back_and_shows_itself_to_nobody() {
        let token = Token::new([7; 32]);
        assert_eq!(Token::read(token.expose()), Some(token.clone()));
        assert!(!format!("{token:?}").contains(token.expose()));
        for wrong in ["", "short", &"ü".repeat(43), &" ".repeat(43)] {
            assert_eq!(Token::read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn only_equal_secrets_are_the_same() {
        assert!(is_same("code", "code"));
        assert!(!is_same("code", "Code"));
        assert!(!is_same("code", "codecode"));
    }
}
