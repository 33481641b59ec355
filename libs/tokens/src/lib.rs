//! Tokens of the platform: what is said of a visitor from one part to the next, signed, and believed only
//! when every check holds. All are JWTs (RFC 7519) in the compact form of RFC 7515, made and read as
//! RFC 8725 asks.
//!
//! ```text
//!              Ticket                    Pass                      Identity
//! idm ───────(in the URL)──> gateway ──(cookie)──> gateway ──(X-Tutti-Identity)──> app
//! idm ──IdToken──> applications that speak OpenID Connect
//! authorization server of others ──Registration──> idm
//! ```
//!
//! Pure: no I/O, no clock and no ids of its own. `now` and ids come in, texts go out. Only
//! [`PrivateKey::generate`] and the making of a signature ask aws-lc for random numbers. Who has used a
//! one-time token already, where keys are kept and who may fetch them is known by the services. A token's
//! text does not identify it, because an ES256 signature can be written in two ways; its `id` does.
//!
//! - [`claims`] what each kind says, and for where it is good;
//! - [`sign()`] and [`verify()`]; [`Refusal`] is every way in which a token can be bad;
//! - [`keys`] the keys that sign, [`rotation`] when the next one comes, [`stored`] how they are kept;
//! - [`jwks`] the keys that verify, as others fetch them.

pub mod algorithm;
pub mod claims;
mod compact;
mod json;
pub mod jwks;
pub mod keys;
pub mod private;
pub mod public;
pub mod refusal;
pub mod role;
pub mod rotation;
pub mod sign;
pub mod stored;
pub mod verify;

pub use algorithm::Algorithm;
pub use claims::{IdToken, Identity, Instance, Pass, Place, Registration, Ticket, Token};
pub use compact::LONGEST_TOKEN;
pub use jwks::PublicKeys;
pub use keys::{KeySet, Stage};
pub use private::PrivateKey;
pub use public::PublicKey;
pub use refusal::Refusal;
pub use role::Role;
pub use rotation::Policy;
pub use sign::{Envelope, sign};
pub use verify::{Expected, Tolerance, Verified, verify};

use jiff::{SignedDuration, Timestamp};

/// Times that come from files and tokens may lie at the end of all times.
fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}
