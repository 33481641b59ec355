//! The model: who may do what, on which kind of resource. This table is all of it; what its words
//! mean stands below it, and [`may`](super::may) does what it says.
//!
//! How to read a row: *whoever is at least `least` may do it, on such a resource, if every rule
//! beside it holds*. Without a row nothing is allowed. Beside the rows these hold for everything:
//!
//! - A suspended person can do nothing, nor can who acts in their place. In a suspended organization
//!   only what is marked `EvenSuspended` goes on.
//! - An access token is good for what its person may and its scopes name. An API key is good for
//!   what its role may in its organization; it is no person and never staff. A service asks, and
//!   does nothing else.
//! - Staff are not members: what staff may on an organization says `StaffToo`, and no more.
//! - Who impersonates may what the impersonated person may, but what is marked `NotImpersonating`.
//!   Staff is not impersonated; it ends when the one behind it is suspended or no staff any more.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Kind, Role, Unknown};

/// Makes of the table the actions and [`TABLE`], so that neither can be without the other.
macro_rules! model {
    ($($action:ident $name:literal $deed:literal $on:ident $least:ident [$($rule:ident)*])*) => {
        /// What one may want to do; named on the wire as in the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "&'static str")]
        pub enum Action {
            $(#[doc = concat!("To ", $deed, ": `", $name, "`.")] $action,)*
        }

        /// Every action, who may, and the rules beside it; in the order of [`Action`].
        pub const TABLE: &[Row] = &[
            $(Row {
                action: Action::$action,
                name: $name,
                deed: $deed,
                on: Kind::$on,
                least: Least::$least,
                rules: &[$(Rule::$rule),*],
            },)*
        ];
    };
}

model! {
//  action              its name on the wire           one wants to…                                  on            least       and the rules beside

    OpenAdminPanel      "platform.open-admin-panel"    "open the admin panel"                         Platform      Staff       []
    ListPeople          "platform.list-people"         "list the people of the platform"              Platform      Staff       []
    ListOrganizations   "platform.list-organizations"  "list the organizations of the platform"       Platform      Staff       []
    ListClients         "platform.list-clients"        "list the clients of the platform"             Platform      Staff       []
    ReadPlatformAudit   "platform.read-audit"          "read the audit trail of the platform"         Platform      Staff       []
    CreateOrganization  "platform.create-organization" "create an organization"                       Platform      Staff       []
    AskAboutOthers      "platform.ask"                 "ask what others may do"                       Platform      Service     []

    ReadOrganization    "organization.read"            "see this organization, its people and teams"  Organization  Member      [StaffToo EvenSuspended]
    UpdateOrganization  "organization.update"          "change this organization"                     Organization  SuperAdmin  []
    DeleteOrganization  "organization.delete"          "delete this organization"                     Organization  SuperAdmin  []
    SuspendOrganization "organization.suspend"         "suspend this organization"                    Organization  Staff       [EvenSuspended]
    RestoreOrganization "organization.restore"         "end the suspension of this organization"      Organization  Staff       [EvenSuspended]

    ReadPerson          "person.read"                  "see this profile"                             Person        Anybody     [StaffToo OnlyOneself]
    UpdatePerson        "person.update"                "change this profile"                          Person        Anybody     [OnlyOneself]
    ListSessions        "person.list-sessions"         "see where this person is signed in"           Person        Anybody     [StaffToo OnlyOneself]
    EndSession          "person.end-session"           "sign this person out"                         Person        Anybody     [OnlyOneself NotImpersonating]
    ChangeCredentials   "person.change-credentials"    "change how this person signs in"              Person        Anybody     [OnlyOneself SignedIn NotImpersonating]
    DeletePerson        "person.delete"                "delete this account"                          Person        Anybody     [OnlyOneself SignedIn NotImpersonating SuperAdminRemains]
    SuspendPerson       "person.suspend"               "suspend this person"                          Person        Staff       [OnlyOthers]
    RestorePerson       "person.restore"               "end the suspension of this person"            Person        Staff       [OnlyOthers]
    GrantStaff          "person.grant-staff"           "make this person staff"                       Person        Staff       [OnlyOthers SignedIn NotImpersonating]
    RevokeStaff         "person.revoke-staff"          "take the staff flag from this person"         Person        Staff       [OnlyOthers SignedIn NotImpersonating]
    Impersonate         "person.impersonate"           "act in the place of this person"              Person        Staff       [OnlyOthers SignedIn NotImpersonating NoStaff]

    InviteMember        "member.invite"                "invite somebody into this organization"       Member        Admin       [GivesUpToOwnRole NoMemberYet NotImpersonating]
    WithdrawInvitation  "member.withdraw-invitation"   "withdraw this invitation"                     Member        Admin       [InvitedUpToOwnRole]
    AcceptInvitation    "member.accept-invitation"     "accept this invitation"                       Member        Anybody     [OnlyOneself AsInvited NoMemberYet NotImpersonating]
    LeaveOrganization   "member.leave"                 "leave this organization"                      Member        Member      [OnlyOneself SuperAdminRemains NotImpersonating EvenSuspended]
    ChangeRole          "member.change-role"           "change the role of this member"               Member        Admin       [HasUpToOwnRole GivesUpToOwnRole SuperAdminRemains NotImpersonating]
    RemoveMember        "member.remove"                "remove this member"                           Member        Admin       [HasUpToOwnRole SuperAdminRemains NotImpersonating]
    AddToTeam           "member.add-to-team"           "put this member into a team"                  Member        Admin       [HasUpToOwnRole]
    RemoveFromTeam      "member.remove-from-team"      "take this member out of a team"               Member        Admin       [HasUpToOwnRole]

    ReadApiKeys         "api-key.read"                 "see the API keys of this organization"        ApiKey        Admin       [EvenSuspended]
    CreateApiKey        "api-key.create"               "make an API key"                              ApiKey        Admin       [GivesUpToOwnRole SignedIn NotImpersonating]
    RevokeApiKey        "api-key.revoke"               "revoke this API key"                          ApiKey        Admin       [HasUpToOwnRole NotImpersonating]

    CreateTeam          "team.create"                  "make a team"                                  Team          Admin       []
    UpdateTeam          "team.update"                  "change this team"                             Team          Admin       []
    DeleteTeam          "team.delete"                  "delete this team"                             Team          Admin       []
    GiveInstance        "team.give-instance"           "give an app to this team"                     Team          Admin       []
    TakeInstance        "team.take-instance"           "take an app from this team"                   Team          Admin       []

    ReadInstance        "instance.read"                "see how this app is"                          Instance      PowerUser   [StaffToo GivenTeamsToo EvenSuspended]
    OpenInstance        "instance.open"                "open this app"                                Instance      PowerUser   [GivenTeamsToo]
    OrderInstance       "instance.order"               "order an app"                                 Instance      Admin       []
    UpdateInstance      "instance.update"              "change this app"                              Instance      Admin       []
    DestroyInstance     "instance.destroy"             "destroy this app"                             Instance      SuperAdmin  []

    ReadBilling         "billing.read"                 "see billing"                                  Billing       SuperAdmin  [EvenSuspended]
    UpdateBilling       "billing.update"               "change billing"                               Billing       SuperAdmin  [EvenSuspended]

    ReadAudit           "audit.read"                   "read the audit trail"                         Audit         Admin       [StaffToo EvenSuspended]
    ExportAudit         "audit.export"                 "export the audit trail"                       Audit         Admin       [StaffToo EvenSuspended]

    ReadClients         "client.read"                  "see the clients of this organization"         Client        Admin       [StaffToo EvenSuspended]
    CreateClient        "client.create"                "register a client"                            Client        Admin       []
    UpdateClient        "client.update"                "change this client"                           Client        Admin       []
    DeleteClient        "client.delete"                "delete this client"                           Client        Admin       []
    RotateClientSecret  "client.rotate-secret"         "replace the secret of this client"            Client        Admin       [NotImpersonating]
}

/// Who may, at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Least {
    /// Whoever is a person of the platform.
    Anybody,
    /// Whoever is in the organization.
    Member,
    /// A Power User of the organization, or more.
    PowerUser,
    /// An Admin of the organization, or more.
    Admin,
    /// A Super Admin of the organization.
    SuperAdmin,
    /// The platform's staff.
    Staff,
    /// A service of the platform, and no person.
    Service,
}

impl Least {
    /// The role that is asked for, where one is.
    #[must_use]
    pub const fn role(self) -> Option<Role> {
        match self {
            Self::Member => Some(Role::Member),
            Self::PowerUser => Some(Role::PowerUser),
            Self::Admin => Some(Role::Admin),
            Self::SuperAdmin => Some(Role::SuperAdmin),
            Self::Anybody | Self::Staff | Self::Service => None,
        }
    }
}

/// What else must hold; what ends in "too" is allowed besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Staff may do it, too, without being in the organization or the person. Reading only.
    StaffToo,
    /// Members may do it, too, when a team of theirs was given the instance.
    GivenTeamsToo,
    /// Goes on while the organization is suspended: to read, to pay, to leave.
    EvenSuspended,
    /// One does it to oneself.
    OnlyOneself,
    /// One does not do it to oneself.
    OnlyOthers,
    /// By a session only: neither an access token nor an API key is enough.
    SignedIn,
    /// Not in somebody else's place: credentials, roles, the staff flag and further impersonation.
    NotImpersonating,
    /// Not to staff.
    NoStaff,
    /// The member or key that it is done to has a role in the organization, and none above one's own.
    HasUpToOwnRole,
    /// The role that is given is named, and not above one's own.
    GivesUpToOwnRole,
    /// The invitation stands, and is not to a role above one's own.
    InvitedUpToOwnRole,
    /// What one becomes is what the invitation says.
    AsInvited,
    /// Who is in the organization cannot come in again, with another role.
    NoMemberYet,
    /// The last Super Admin who can act does not go, and stays Super Admin.
    SuperAdminRemains,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What one wants to do.
    pub action: Action,
    /// The action on the wire.
    pub name: &'static str,
    /// The action in words, after "one wants to".
    pub deed: &'static str,
    /// What it is done to.
    pub on: Kind,
    /// Who may, at least.
    pub least: Least,
    /// What else must hold.
    pub rules: &'static [Rule],
}

impl Row {
    /// Whether the rule stands beside it.
    #[must_use]
    pub fn has(&self, rule: Rule) -> bool {
        self.rules.contains(&rule)
    }
}

impl Action {
    /// Its row of the table.
    #[must_use]
    pub const fn row(self) -> &'static Row {
        // The macro makes one row for each action, in the same order.
        &TABLE[self as usize]
    }

    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }
}

impl fmt::Display for Action {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.name())
    }
}

impl FromStr for Action {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        if let Some(row) = TABLE.iter().find(|row| row.name == text) {
            return Ok(row.action);
        }
        // Those of the same kind, if there is one: all of them would be a page.
        let beginning = text.split('.').next().unwrap_or_default();
        match beginning.parse::<Kind>() {
            Ok(kind) => {
                let named = TABLE.iter().filter(|row| row.on == kind);
                let what = format!("action on {kind}");
                Err(Unknown::new(what, text, named.map(|row| row.name)))
            }
            Err(_) => {
                let what = "action: it begins with a kind of resource and a dot";
                Err(Unknown::new(what, text, Kind::ALL.map(Kind::name)))
            }
        }
    }
}

impl TryFrom<String> for Action {
    type Error = Unknown;

    fn try_from(text: String) -> Result<Self, Unknown> {
        text.parse()
    }
}

impl From<Action> for &'static str {
    fn from(action: Action) -> Self {
        action.name()
    }
}
