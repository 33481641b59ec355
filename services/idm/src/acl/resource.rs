//! What one wants to act on.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Role, Unknown};

/// What kind of thing an action is about. An action's name begins with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The whole platform: its admin panel and its lists.
    Platform,
    /// An organization itself.
    Organization,
    /// A person: most often oneself.
    Person,
    /// What a person is in an organization, or is invited to be.
    Member,
    /// A program's key to an organization: it has a role as a member has.
    ApiKey,
    /// A team of an organization, and what it was given.
    Team,
    /// A running app of an organization.
    Instance,
    /// What an organization pays, and with what.
    Billing,
    /// Who changed in an organization who may do what.
    Audit,
    /// An app as it is known to sign-in.
    Client,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Platform,
        Self::Organization,
        Self::Person,
        Self::Member,
        Self::ApiKey,
        Self::Team,
        Self::Instance,
        Self::Billing,
        Self::Audit,
        Self::Client,
    ];

    /// As on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Organization => "organization",
            Self::Person => "person",
            Self::Member => "member",
            Self::ApiKey => "api-key",
            Self::Team => "team",
            Self::Instance => "instance",
            Self::Billing => "billing",
            Self::Audit => "audit",
            Self::Client => "client",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| Unknown::new("kind of resource", text, Self::ALL.map(Self::name)))
    }
}

/// What one wants to act on. People, organizations, keys and teams are named by uid: the same
/// spelling here and in the [`Actor`](super::Actor), for they are compared.
///
/// Where a name is optional, none means "whichever of the organization's": the answer for a list, or
/// for something that is still to be made. It is never more than the answer for any one of them.
///
/// On the wire `{"kind": "member", "organization": "org-…", "person": "usr-…", "role": "Admin"}`. A field
/// that does not exist is an error: a misspelled name must not become "whichever".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Resource {
    /// The whole platform.
    Platform {},
    /// An organization itself.
    Organization {
        /// Its uid.
        organization: String,
    },
    /// A person.
    Person {
        /// Their uid.
        person: String,
    },
    /// What a person is in an organization.
    Member {
        /// The organization's uid.
        organization: String,
        /// The person's uid; none while an invited person is not known yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        person: Option<String>,
        /// What they are to become, where something is given to them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<Role>,
    },
    /// A program's key.
    ApiKey {
        /// The organization's uid.
        organization: String,
        /// The key's uid.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The role of a key that is to be made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<Role>,
    },
    /// A team.
    Team {
        /// The organization's uid.
        organization: String,
        /// The team's uid.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        team: Option<String>,
    },
    /// A running app.
    Instance {
        /// The organization's uid.
        organization: String,
        /// The instance's name in its organization.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// What an organization pays, and with what.
    Billing {
        /// The organization's uid.
        organization: String,
    },
    /// An organization's audit trail.
    Audit {
        /// The organization's uid.
        organization: String,
    },
    /// An app as it is known to sign-in.
    Client {
        /// The organization's uid.
        organization: String,
        /// The client's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
}

impl Resource {
    /// What kind it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Platform {} => Kind::Platform,
            Self::Organization { .. } => Kind::Organization,
            Self::Person { .. } => Kind::Person,
            Self::Member { .. } => Kind::Member,
            Self::ApiKey { .. } => Kind::ApiKey,
            Self::Team { .. } => Kind::Team,
            Self::Instance { .. } => Kind::Instance,
            Self::Billing { .. } => Kind::Billing,
            Self::Audit { .. } => Kind::Audit,
            Self::Client { .. } => Kind::Client,
        }
    }

    /// The uid of the organization that it belongs to; none for the platform and for people.
    #[must_use]
    pub fn organization(&self) -> Option<&str> {
        match self {
            Self::Platform {} | Self::Person { .. } => None,
            Self::Organization { organization }
            | Self::Member { organization, .. }
            | Self::ApiKey { organization, .. }
            | Self::Team { organization, .. }
            | Self::Instance { organization, .. }
            | Self::Billing { organization }
            | Self::Audit { organization }
            | Self::Client { organization, .. } => Some(organization),
        }
    }

    /// The uid of the person whom it is about.
    #[must_use]
    pub fn person(&self) -> Option<&str> {
        match self {
            Self::Person { person } => Some(person),
            Self::Member { person, .. } => person.as_deref(),
            _ => None,
        }
    }

    /// The name of the instance in its organization, when it is one.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        match self {
            Self::Instance { name, .. } => name.as_deref(),
            _ => None,
        }
    }

    /// The role that would be given.
    #[must_use]
    pub const fn role(&self) -> Option<Role> {
        match self {
            Self::Member { role, .. } | Self::ApiKey { role, .. } => *role,
            _ => None,
        }
    }
}
