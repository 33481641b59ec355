//! Applications that people sign in to by us, as the SsoClients of the cluster have them. `watch` gives each a
//! client id and a secret, writes both into a Secret beside the object (`secrets`), and reports (`standing`); rows:
//! `store`. What they then speak stands elsewhere: `oidc/`.
//!
//! ```text
//! SsoClient ──watch──> clients (the secret's digest) ──> oidc
//!     ^ Ready, client id    └──> Secret (the secret itself)
//! ```
//!
//! Every replica looks at each; whichever holds the row makes the secret.

mod secrets;
mod standing;
pub mod store;
pub mod watch;

use jiff::{SignedDuration, Timestamp};

use crate::secret::Digest;

/// How long a secret is good after it was replaced: applications read the new one when they start anew.
pub const OVERLAP: SignedDuration = SignedDuration::from_hours(24);

/// An application that is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The `client_id`.
    pub uid: String,
    /// The organization's name.
    pub organization: String,
    /// The name of its object.
    pub name: String,
    /// Its uid: another object of the name is another application.
    pub object: String,
    /// The instance that it is for; for none, it is an application elsewhere.
    pub instance: Option<String>,
    pub redirect_uris: Vec<String>,
    pub post_logout_redirect_uris: Vec<String>,
    /// Of the client secret; none until there is one.
    pub digest: Option<Digest>,
    /// Of the one before, and when it ends.
    pub old: Option<(Digest, Timestamp)>,
    /// The annotation that the secret was replaced for.
    pub rotated_for: Option<String>,
}

impl Client {
    /// Whether it is its secret, or the one before for as long as that is good.
    #[must_use]
    pub fn has_secret(&self, secret: &str, now: Timestamp) -> bool {
        let given = Digest::of(secret.as_bytes());
        let is_present = self.digest.is_some_and(|digest| digest.is(&given));
        let is_old = self
            .old
            .is_some_and(|(digest, ends_at)| digest.is(&given) && now < ends_at);
        is_present || is_old
    }

    /// Whether its secret is to be made: the first, or another one because somebody asks for it.
    #[must_use]
    fn needs_secret(&self, asked_for: Option<&str>) -> bool {
        self.digest.is_none() || (asked_for.is_some() && asked_for != self.rotated_for.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        Client {
            uid: "cli-1".to_owned(),
            organization: "acme".to_owned(),
            name: "shop".to_owned(),
            object: "1".to_owned(),
            instance: None,
            redirect_uris: vec![],
            post_logout_redirect_uris: vec![],
            digest: None,
            old: None,
            rotated_for: None,
        }
    }

    #[test]
    fn a_secret_that_was_replaced_is_good_for_a_while() {
        let now = Timestamp::UNIX_EPOCH;
        let client = Client {
            digest: Some(Digest::of(b"new")),
            old: Some((Digest::of(b"old"), now + OVERLAP)),
            ..client()
        };
        for (secret, at, is_good) in [
            ("new", now, true),
            ("old", now, true),
            ("old", now + OVERLAP, false),
            ("new", now + OVERLAP, true),
            ("", now, false),
            ("other", now, false),
        ] {
            assert_eq!(client.has_secret(secret, at), is_good, "{secret} {at}");
        }
        assert!(!self::client().has_secret("", now), "there is none yet");
    }

    #[test]
    fn a_secret_is_made_once_and_for_each_new_value_of_the_annotation() {
        let first = client();
        assert!(first.needs_secret(None));
        let there = Client {
            digest: Some(Digest::of(b"new")),
            rotated_for: Some("1".to_owned()),
            ..client()
        };
        assert!(!there.needs_secret(None), "the annotation was taken off");
        assert!(!there.needs_secret(Some("1")));
        assert!(there.needs_secret(Some("2")));
    }
}
