//! Who asks, and by what they are known.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Action, Kind, Role, Unknown};

/// Who asks, and by what they are known. Who calls has checked the session, token or key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A person who has signed in.
    Session {
        /// Their uid; while they are impersonated, still theirs.
        person: String,
        /// The uid of the staff who acts in their place.
        impersonator: Option<String>,
    },
    /// A program that a person has let act for them.
    AccessToken {
        /// The person's uid.
        person: String,
        /// What the program may at most.
        scopes: Scopes,
        /// The uid of the staff who acts in the person's place: a token that was made while
        /// impersonating says so.
        impersonator: Option<String>,
    },
    /// A program of an organization; no person stands behind it.
    ApiKey {
        /// The organization's uid.
        organization: String,
        /// What it is there.
        role: Role,
    },
    /// A service of the platform.
    Service,
}

impl Actor {
    /// A person who has signed in, and in whose place nobody acts.
    #[must_use]
    pub fn session(person: &str) -> Self {
        Self::Session {
            person: person.to_owned(),
            impersonator: None,
        }
    }

    /// The uid of the person who acts or is acted for.
    #[must_use]
    pub fn person(&self) -> Option<&str> {
        match self {
            Self::Session { person, .. } | Self::AccessToken { person, .. } => Some(person),
            Self::ApiKey { .. } | Self::Service => None,
        }
    }

    /// The uid of the staff who acts in that person's place.
    #[must_use]
    pub fn impersonator(&self) -> Option<&str> {
        match self {
            Self::Session { impersonator, .. } | Self::AccessToken { impersonator, .. } => {
                impersonator.as_deref()
            }
            Self::ApiKey { .. } | Self::Service => None,
        }
    }
}

/// One thing, or everything on one kind of resource, that an access token may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `instance.open`
    One(Action),
    /// `instance.*`
    All(Kind),
}

impl fmt::Display for Scope {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(action) => write!(to, "{action}"),
            Self::All(kind) => write!(to, "{kind}.*"),
        }
    }
}

impl FromStr for Scope {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        match text.strip_suffix(".*") {
            Some(kind) => kind.parse().map(Self::All),
            None => text.parse().map(Self::One),
        }
    }
}

/// What an access token may be used for: it narrows what its person may, and never adds to it. Without
/// any it is good for nothing here.
///
/// On the wire the scopes in one text, between them spaces (RFC 6749 §3.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Those of a token's scopes that are ours; others (`openid`, `profile`) open nothing here.
    #[must_use]
    pub fn of_claim(text: &str) -> Self {
        Self(
            text.split_ascii_whitespace()
                .filter_map(|scope| scope.parse().ok())
                .collect(),
        )
    }

    /// Whether they reach so far.
    #[must_use]
    pub fn contain(&self, action: Action) -> bool {
        self.0.iter().any(|scope| match scope {
            Scope::One(one) => *one == action,
            Scope::All(kind) => *kind == action.row().on,
        })
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        Self(scopes.into_iter().collect())
    }
}

impl FromStr for Scopes {
    type Err = Unknown;

    /// Each must be ours: for who makes a token and would rather be told of a slip.
    fn from_str(text: &str) -> Result<Self, Unknown> {
        text.split_ascii_whitespace().map(str::parse).collect()
    }
}

impl TryFrom<String> for Scopes {
    type Error = Unknown;

    fn try_from(text: String) -> Result<Self, Unknown> {
        text.parse()
    }
}

impl From<Scopes> for String {
    fn from(scopes: Scopes) -> Self {
        let texts: Vec<String> = scopes.0.iter().map(ToString::to_string).collect();
        texts.join(" ")
    }
}
