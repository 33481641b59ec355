//! What somebody is in an organization.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Unknown;

/// What somebody is in an organization, rising: who is more may do whatever who is less may.
///
/// The texts are those that apps read in `group_role` when people sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Role {
    /// Opens the apps that were given to their teams.
    Member,
    /// Opens every app of the organization.
    PowerUser,
    /// Orders and manages apps, teams, and people up to their own role.
    Admin,
    /// Pays, destroys apps, deletes the organization.
    SuperAdmin,
}

impl Role {
    /// All of them, rising.
    pub const ALL: [Self; 4] = [Self::Member, Self::PowerUser, Self::Admin, Self::SuperAdmin];

    /// As on the wire, in the database and in front of people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Member => "Member",
            Self::PowerUser => "Power User",
            Self::Admin => "Admin",
            Self::SuperAdmin => "Super Admin",
        }
    }

    /// The name with its article: "an Admin".
    pub(super) const fn one(self) -> &'static str {
        match self {
            Self::Member => "a Member",
            Self::PowerUser => "a Power User",
            Self::Admin => "an Admin",
            Self::SuperAdmin => "a Super Admin",
        }
    }
}

impl From<Role> for tokens::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Member => Self::Member,
            Role::PowerUser => Self::PowerUser,
            Role::Admin => Self::Admin,
            Role::SuperAdmin => Self::SuperAdmin,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| Unknown::new("role", text, Self::ALL.map(Self::name)))
    }
}

impl TryFrom<String> for Role {
    type Error = Unknown;

    fn try_from(text: String) -> Result<Self, Unknown> {
        text.parse()
    }
}

impl From<Role> for &'static str {
    fn from(role: Role) -> Self {
        role.name()
    }
}
