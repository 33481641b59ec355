//! Random texts.

use rand::RngExt as _;

/// Letters and digits: no app, shell or URL trips over them.
#[must_use]
pub fn letters_and_digits(length: u8) -> String {
    let mut random = rand::rng();
    (0..length)
        .map(|_| char::from(random.sample(rand::distr::Alphanumeric)))
        .collect()
}
