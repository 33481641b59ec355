//! What the five kinds of token say. Each has a type of its own in its header, so that none can be taken
//! for another (RFC 8725 §3.11), and an audience that follows from its content: nobody can sign one for a
//! reader that it is not meant for.

use std::{borrow::Cow, fmt};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Refusal, Role, refusal::excerpt};

/// The audience of what the gateway reads.
pub const GATEWAY: &str = "tutti-gateway";
/// The audience of what idm reads.
pub const IDM: &str = "tutti-idm";

/// A kind of token.
pub trait Token: Serialize + DeserializeOwned {
    /// `typ` in the header.
    const TYPE: &'static str;
    /// How long one may be good; neither signed nor believed for longer.
    const LONGEST_LIFE: SignedDuration;
    /// The claims that must be there, beside those that every token has.
    const REQUIRED: &'static [&'static str];
    /// Where one is presented; the reader's own view, never taken from the token.
    type Place<'a>: Copy;

    /// Who is to read it (`aud`).
    fn audience(&self) -> Cow<'static, str>;
    /// The audience that a reader at this place answers to.
    fn audience_at(place: Self::Place<'_>) -> Cow<'static, str>;
    /// Whether it is for this place.
    ///
    /// # Errors
    /// Which part of the place differs. All comparisons are exact, byte by byte.
    fn check_place(&self, place: Self::Place<'_>) -> Result<(), Refusal>;
}

/// An app instance; in tokens the text `<organization>/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Instance {
    /// The organization's name, which is its namespace.
    pub organization: String,
    /// The AppInstance's name.
    pub name: String,
}

/// Host and path of one request.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// As routes have it: lower case, no port.
    pub host: &'a str,
    /// Without query.
    pub path: &'a str,
}

/// The door's one-time token. It stands in a URL, so it names a person by uid only. Whoever redeems it
/// remembers its id until it has expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    pub host: String,
    pub path: String,
    /// Uid of the session at idm (`ses-…`).
    pub session: String,
    /// Uid of the person (`usr-…`).
    pub person: String,
    /// Uid of the organization (`org-…`).
    pub organization: String,
    pub role: Role,
    pub instance: Instance,
}

/// The gateway's cookie for one host: what it needs to tell an app who comes, without asking anybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    pub host: String,
    /// Uid of the session; when that ends, so does this, whatever its time.
    pub session: String,
    pub person: String,
    pub email: String,
    pub name: String,
    pub organization: String,
    pub role: Role,
    pub instance: Instance,
    /// Whether the person has the platform's `admin` flag.
    pub staff: bool,
}

/// The header `X-Tutti-Identity`: who sent this request, for the app that answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub person: String,
    pub email: String,
    pub name: String,
    pub organization: String,
    pub role: Role,
    /// The app that is asked, and the audience.
    pub instance: Instance,
    /// Whether the person has the platform's `admin` flag.
    pub staff: bool,
}

/// Somebody whom an external authorization server hands over to be registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    pub name: String,
    pub email: String,
    /// What the other side calls this person.
    pub external_id: String,
}

/// Who has signed in, for an application that speaks OpenID Connect (Core §2). The names of its claims are the
/// protocol's, and those of [`Identity`] where it has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdToken {
    /// The application's `client_id`, and the audience.
    #[serde(rename = "azp")]
    pub client: String,
    /// Uid of the person (`usr-…`).
    #[serde(rename = "sub")]
    pub person: String,
    /// Uid of the session (`ses-…`).
    #[serde(rename = "sid")]
    pub session: String,
    /// What the application gave when it asked, and compares.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub nonce: Option<String>,
    /// When the person signed in, in seconds since 1970.
    pub auth_time: i64,
    /// How sure it is that it is them: `1` by one factor, `2` by two.
    pub acr: String,
    /// By what they proved it (RFC 8176).
    pub amr: Vec<String>,
    /// Uid of the organization (`org-…`).
    pub organization: String,
    pub role: Role,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub locale: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub email_verified: Option<bool>,
}

impl Token for Ticket {
    const TYPE: &'static str = "tutti-ticket+jwt";
    const LONGEST_LIFE: SignedDuration = SignedDuration::from_secs(60);
    #[rustfmt::skip] // a list
    const REQUIRED: &'static [&'static str] =
        &["host", "path", "session", "person", "organization", "role", "instance"];
    type Place<'a> = Place<'a>;

    fn audience(&self) -> Cow<'static, str> {
        GATEWAY.into()
    }

    fn audience_at(_: Place<'_>) -> Cow<'static, str> {
        GATEWAY.into()
    }

    fn check_place(&self, place: Place<'_>) -> Result<(), Refusal> {
        check_host(&self.host, place.host)?;
        if self.path == place.path {
            return Ok(());
        }
        Err(Refusal::WrongPath {
            signed_for: excerpt(&self.path),
            presented_at: excerpt(place.path),
        })
    }
}

impl Token for Pass {
    const TYPE: &'static str = "tutti-pass+jwt";
    const LONGEST_LIFE: SignedDuration = SignedDuration::from_mins(15);
    #[rustfmt::skip] // a list
    const REQUIRED: &'static [&'static str] =
        &["host", "session", "person", "email", "name", "organization", "role", "instance", "staff"];
    /// The host.
    type Place<'a> = &'a str;

    fn audience(&self) -> Cow<'static, str> {
        GATEWAY.into()
    }

    fn audience_at(_: &str) -> Cow<'static, str> {
        GATEWAY.into()
    }

    fn check_place(&self, host: &str) -> Result<(), Refusal> {
        check_host(&self.host, host)
    }
}

impl Token for Identity {
    const TYPE: &'static str = "tutti-identity+jwt";
    const LONGEST_LIFE: SignedDuration = SignedDuration::from_secs(60);
    #[rustfmt::skip] // a list
    const REQUIRED: &'static [&'static str] =
        &["person", "email", "name", "organization", "role", "instance", "staff"];
    /// The instance whose app reads it.
    type Place<'a> = &'a Instance;

    fn audience(&self) -> Cow<'static, str> {
        self.instance.to_string().into()
    }

    fn audience_at(instance: &Instance) -> Cow<'static, str> {
        instance.to_string().into()
    }

    fn check_place(&self, instance: &Instance) -> Result<(), Refusal> {
        if self.instance == *instance {
            return Ok(());
        }
        Err(Refusal::WrongAudience {
            found: excerpt(&self.instance.to_string()),
            expected: instance.to_string(),
        })
    }
}

impl Token for Registration {
    const TYPE: &'static str = "tutti-registration+jwt";
    /// A browser follows at once; a person may read a page in between.
    const LONGEST_LIFE: SignedDuration = SignedDuration::from_mins(10);
    const REQUIRED: &'static [&'static str] = &["name", "email", "external_id"];
    type Place<'a> = ();

    fn audience(&self) -> Cow<'static, str> {
        IDM.into()
    }

    fn audience_at((): ()) -> Cow<'static, str> {
        IDM.into()
    }

    fn check_place(&self, (): ()) -> Result<(), Refusal> {
        Ok(())
    }
}

impl Token for IdToken {
    /// What libraries of clients expect; none of the other kinds is called so.
    const TYPE: &'static str = "JWT";
    const LONGEST_LIFE: SignedDuration = SignedDuration::from_mins(5);
    #[rustfmt::skip] // a list
    const REQUIRED: &'static [&'static str] =
        &["azp", "sub", "sid", "auth_time", "acr", "amr", "organization", "role"];
    /// The `client_id` of the application.
    type Place<'a> = &'a str;

    fn audience(&self) -> Cow<'static, str> {
        self.client.clone().into()
    }

    fn audience_at(client: &str) -> Cow<'static, str> {
        client.to_owned().into()
    }

    fn check_place(&self, client: &str) -> Result<(), Refusal> {
        if self.client == client {
            return Ok(());
        }
        Err(Refusal::WrongAudience {
            found: excerpt(&self.client),
            expected: client.to_owned(),
        })
    }
}

fn check_host(signed_for: &str, presented_at: &str) -> Result<(), Refusal> {
    if signed_for == presented_at {
        return Ok(());
    }
    Err(Refusal::WrongHost {
        signed_for: excerpt(signed_for),
        presented_at: excerpt(presented_at),
    })
}

impl fmt::Display for Instance {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}/{}", self.organization, self.name)
    }
}

impl From<Instance> for String {
    fn from(instance: Instance) -> Self {
        instance.to_string()
    }
}

impl TryFrom<String> for Instance {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.split_once('/') {
            Some((organization, name))
                if !organization.is_empty() && !name.is_empty() && !name.contains('/') =>
            {
                Ok(Self {
                    organization: organization.to_owned(),
                    name: name.to_owned(),
                })
            }
            _ => Err("an instance is <organization>/<name>"),
        }
    }
}
