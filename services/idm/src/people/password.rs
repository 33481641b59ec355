//! Passwords: which are taken, how they are kept, and whether one is right. Pure but for the time it
//! takes; `hasher` keeps that off the threads that answer. The salt is argon2's own random bits.
//!
//! No rules of composition: what counts is how hard it is to guess (NIST SP 800-63B §3.1.1).

use std::sync::LazyLock;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{self, PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use zxcvbn::{
    Score,
    feedback::{Suggestion, Warning},
    zxcvbn,
};

/// OWASP's parameters for argon2id: KiB of memory, passes, lanes.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Characters.
const SHORTEST: usize = 8;
/// Nobody types more, and a longer one only costs time.
const LONGEST: usize = 256;

/// Why a password is not taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Weakness {
    TooShort,
    TooLong,
    /// What makes it easy to guess, and what would help.
    Guessable {
        warning: Option<Warning>,
        suggestion: Option<Suggestion>,
    },
}

/// Whether a new password is taken. `about` is what others know of the person: it makes nothing harder to
/// guess.
///
/// # Errors
/// Why not.
pub fn check(password: &str, about: &[&str]) -> Result<(), Weakness> {
    let length = password.chars().count();
    if length < SHORTEST {
        return Err(Weakness::TooShort);
    }
    if length > LONGEST {
        return Err(Weakness::TooLong);
    }
    let estimate = zxcvbn(password, about);
    if estimate.score() >= Score::Three {
        return Ok(());
    }
    let feedback = estimate.feedback();
    Err(Weakness::Guessable {
        warning: feedback.and_then(|it| it.warning()),
        suggestion: feedback.and_then(|it| it.suggestions().first().copied()),
    })
}

/// What is kept of a password: a string that says how it was made (PHC).
///
/// # Errors
/// When the machine has no memory or no random bits left.
pub fn hash(password: &str) -> Result<String, password_hash::Error> {
    Ok(argon2()?.hash_password(password.as_bytes())?.to_string())
}

/// Whether a password is right. Without a hash, as of an address that nobody has, it takes as long and is
/// wrong: the time tells nothing.
#[must_use]
pub fn is_right(password: &str, hash: Option<&str>) -> bool {
    // The parameters are the hash's own, so that older ones go on.
    let verify = |hash: &str| {
        PasswordHash::new(hash)
            .map(|hash| Argon2::default().verify_password(password.as_bytes(), &hash))
            .is_ok_and(|outcome| outcome.is_ok())
    };
    // A longer one was never taken, and would only cost time.
    let is_possible = password.chars().count() <= LONGEST;
    match hash {
        Some(hash) if is_possible => verify(hash),
        _ => {
            let _ = verify(&DECOY);
            false
        }
    }
}

/// Whether a hash was made otherwise than we make them now.
#[must_use]
pub fn is_outdated(hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else {
        return true;
    };
    let now = Params::try_from(&hash)
        .is_ok_and(|made| (made.m_cost(), made.t_cost(), made.p_cost()) == (MEMORY, PASSES, LANES));
    !now || hash.algorithm != Algorithm::Argon2id.ident()
}

/// Makes what an unknown address is verified against, which takes as long as a hash.
pub fn prepare() {
    LazyLock::force(&DECOY);
}

/// The hash of nobody's password.
static DECOY: LazyLock<String> = LazyLock::new(|| hash("nobody has this one").unwrap_or_default());

fn argon2() -> Result<Argon2<'static>, password_hash::Error> {
    let params = Params::new(MEMORY, PASSES, LANES, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_says_how_it_was_made_and_knows_its_password() {
        let hash = hash("correct horse battery").unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        assert!(is_right("correct horse battery", Some(&hash)));
        assert!(!is_right("correct horse batterY", Some(&hash)));
        assert!(!is_right("nobody has this one", None));
        assert!(!is_right("anything", Some("not a hash")));
        assert!(!is_outdated(&hash));
    }

    #[test]
    fn what_an_unknown_address_is_verified_against_is_made_as_every_hash_is() {
        prepare();
        assert!(!is_outdated(&DECOY));
        assert!(!is_right("wrong", None));
    }

    #[test]
    fn hashes_of_other_parameters_are_right_and_outdated() {
        let params = Params::new(8 * 1024, 1, 1, None).unwrap();
        let weaker = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hash = weaker.hash_password(b"of old times").unwrap().to_string();
        assert!(is_right("of old times", Some(&hash)));
        assert!(is_outdated(&hash));
        assert!(is_outdated("not a hash"));
    }

    #[test]
    fn what_is_easy_to_guess_is_refused_with_words_that_help() {
        assert_eq!(check("short", &[]), Err(Weakness::TooShort));
        assert_eq!(check(&"x".repeat(257), &[]), Err(Weakness::TooLong));
        let Err(Weakness::Guessable {
            warning,
            suggestion,
        }) = check("password1", &[])
        else {
            panic!("password1 was taken");
        };
        assert!(warning.is_some() && suggestion.is_some());
        assert!(
            check(
                "ann.oneill.acme",
                &["ann.oneill@acme.test", "ann.oneill.acme"]
            )
            .is_err()
        );
        // No capital, no digit, no sign: and hard to guess.
        assert_eq!(check("quiet lantern under the old pear tree", &[]), Ok(()));
    }
}
