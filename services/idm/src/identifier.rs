//! Uids: a word that says what it is, and the 26 characters of a UUID of version 7, so that they sort by
//! age. Pure: the UUID is given.

use uuid::Uuid;

/// Crockford's digits: no letter that is taken for another.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 128 bits, five at a time.
const LENGTH: usize = 26;

/// What a uid is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Person,
    Organization,
    Session,
    Invitation,
    Mail,
    Token,
    Team,
    Client,
    Connection,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Person => "usr",
            Self::Organization => "org",
            Self::Session => "ses",
            Self::Invitation => "inv",
            Self::Mail => "mai",
            Self::Token => "tok",
            Self::Team => "tea",
            Self::Client => "cli",
            Self::Connection => "con",
        }
    }
}

/// Such as `usr-06drt3fs4xf2sbk1qmcnb1dk9c`.
#[must_use]
pub fn uid(kind: Kind, uuid: Uuid) -> String {
    format!("{}-{}", kind.word(), crockford(uuid.as_u128(), LENGTH))
}

/// So many digits of a number, the highest first; each is five bits.
#[must_use]
pub fn crockford(number: u128, length: usize) -> String {
    (0..length)
        .rev()
        .map(|place| {
            let digit = (number >> (5 * place)) & 0x1f;
            DIGITS.get(digit as usize).copied().map_or('0', char::from)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_digits_are_crockfords() {
        assert_eq!(crockford(0, 26), "00000000000000000000000000");
        assert_eq!(crockford(u128::MAX, 26), "7zzzzzzzzzzzzzzzzzzzzzzzzz");
        assert_eq!(uid(Kind::Person, Uuid::nil()).len(), 30);
    }

    proptest! {
        #[test]
        fn uids_sort_as_their_numbers_do(one: u128, other: u128) {
            prop_assert_eq!(one.cmp(&other), crockford(one, 26).cmp(&crockford(other, 26)));
        }
    }
}
