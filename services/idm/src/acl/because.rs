//! Why not: a code for programs, and words for the person who wanted it.
//!
//! Strangers are told nothing of an organization, not even whom to ask: [`Because::needs`] is `Some`
//! only where the actor is in it.

use serde::{Deserialize, Serialize};

use super::{Action, Kind, Role, Rule};

/// How many people are named, at most, whom one could ask.
const NAMED: usize = 3;

/// Why they may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Because {
    /// For programs.
    pub code: Code,
    /// What was wanted.
    pub action: Action,
    /// What the actor is in the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The least role of somebody who could do it, or could make it possible: whoever calls
    /// finds up to three of them for [`Because::words`]. None where nobody could, or where it is nobody's
    /// business.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<Role>,
}

/// Why they may not, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Code {
    /// This action is not done to a resource of this kind.
    UnknownQuestion,
    /// The person, or the one in whose place they act, is suspended.
    PersonSuspended,
    /// The organization is suspended.
    OrganizationSuspended,
    /// Nobody acts in the place of staff.
    StaffNotImpersonated,
    /// The one behind an impersonation is suspended, or no staff any more.
    ImpersonationEnded,
    /// Not in somebody else's place.
    NotWhileImpersonating,
    /// Not among the scopes of the access token.
    OutOfScope,
    /// An access token or an API key is not enough.
    SessionNeeded,
    /// The API key belongs to another organization.
    KeyOfAnotherOrganization,
    /// An API key is no person.
    OnlyPeople,
    /// For staff only.
    OnlyStaff,
    /// For services only.
    OnlyServices,
    /// Services ask, and do nothing else.
    ServicesOnlyAsk,
    /// Not in the organization.
    NoMember,
    /// In the organization, but not enough.
    RoleTooLow,
    /// A Member, and no team of theirs was given the instance.
    InstanceNotGiven,
    /// One does this to oneself only.
    OnlyOneself,
    /// One does not do this to oneself.
    OnlyOthers,
    /// The member or key that it is done to is not in the organization.
    TargetNotThere,
    /// The member, key or invitation that it is done to has a role above one's own.
    TargetAboveOwnRole,
    /// It was not said which role is to be given.
    RoleMissing,
    /// The role that would be given is above one's own.
    RoleAboveOwn,
    /// No such invitation stands.
    NotInvited,
    /// The one who would come in is in already.
    MemberAlready,
    /// The organization would be without a Super Admin who can act.
    LastSuperAdmin,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::UnknownQuestion,
        Self::PersonSuspended,
        Self::OrganizationSuspended,
        Self::StaffNotImpersonated,
        Self::ImpersonationEnded,
        Self::NotWhileImpersonating,
        Self::OutOfScope,
        Self::SessionNeeded,
        Self::KeyOfAnotherOrganization,
        Self::OnlyPeople,
        Self::OnlyStaff,
        Self::OnlyServices,
        Self::ServicesOnlyAsk,
        Self::NoMember,
        Self::RoleTooLow,
        Self::InstanceNotGiven,
        Self::OnlyOneself,
        Self::OnlyOthers,
        Self::TargetNotThere,
        Self::TargetAboveOwnRole,
        Self::RoleMissing,
        Self::RoleAboveOwn,
        Self::NotInvited,
        Self::MemberAlready,
        Self::LastSuperAdmin,
    ];
}

/// People whom one could ask: those with at least the role that is [needed](Because::needs).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(pub Vec<Named>);

/// Somebody whom one could ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Their e-mail address, or what else they are called.
    pub name: String,
    /// What they are in the organization.
    pub role: Role,
}

impl Because {
    /// For the person who wanted it: the fact, and whom to ask. No full stop at the end.
    #[must_use]
    pub fn words(&self, names: &Names) -> String {
        let row = self.action.row();
        let deed = row.deed;
        let role = self.role.map_or("Stranger", Role::name);
        let ask = self.ask(names);
        match self.code {
            Code::UnknownQuestion => {
                format!("\"{}\" is done to a resource of kind {}", row.name, row.on)
            }
            Code::PersonSuspended => format!(
                "This account is suspended, so it cannot {deed}; ask the people who run the platform"
            ),
            Code::OrganizationSuspended => format!(
                "This organization is suspended, so nobody can {deed}; ask the people who run the platform"
            ),
            Code::StaffNotImpersonated => {
                "Nobody can act in the place of the platform's staff".to_owned()
            }
            Code::ImpersonationEnded => format!(
                "You may not act in this person's place any more, so you cannot {deed}; go back to your own account"
            ),
            Code::NotWhileImpersonating => format!(
                "You cannot {deed} while you act in somebody else's place; only they themselves can"
            ),
            Code::OutOfScope => format!(
                "This access token was not made to {deed}; it would need the scope {}",
                row.name
            ),
            Code::SessionNeeded => {
                format!("To {deed}, sign in yourself: an access token or API key is not enough")
            }
            Code::KeyOfAnotherOrganization => {
                format!("This API key belongs to another organization, so it cannot {deed}")
            }
            Code::OnlyPeople => format!("An API key is no person, so it cannot {deed}"),
            Code::OnlyStaff => format!("Only the platform's staff can {deed}"),
            Code::OnlyServices => format!("Only services of the platform can {deed}"),
            Code::ServicesOnlyAsk => {
                format!("A service asks what others may do and does nothing else; it cannot {deed}")
            }
            Code::NoMember => format!(
                "You are not in this organization, so you cannot {deed}; somebody there has to invite you"
            ),
            Code::RoleTooLow => format!("{role}s cannot {deed}{ask}"),
            Code::InstanceNotGiven => format!(
                "You cannot {deed}: {role}s need a team that was given it, and none of yours was{ask}"
            ),
            Code::OnlyOneself => format!("You can {deed} for yourself only"),
            Code::OnlyOthers => format!("You cannot {deed} when it is you; somebody else has to"),
            Code::TargetNotThere if row.on == Kind::ApiKey => {
                format!("You cannot {deed}: this organization has no such key")
            }
            Code::TargetNotThere => format!("You cannot {deed}: they are not in this organization"),
            Code::TargetAboveOwnRole => {
                let is_person = row.has(Rule::HasUpToOwnRole) && row.on == Kind::Member;
                let whose = if is_person { "their" } else { "its" };
                format!("You cannot {deed}: {whose} role is above yours, {role}{ask}")
            }
            Code::RoleMissing => format!("To {deed}, say with which role"),
            Code::RoleAboveOwn => {
                format!("{role}s cannot give a role that is above their own{ask}")
            }
            Code::NotInvited => {
                format!("You cannot {deed}: there is none to that role, or not any more")
            }
            Code::MemberAlready => {
                format!("You cannot {deed}: they are in it already; their role can be changed")
            }
            Code::LastSuperAdmin => format!(
                "You cannot {deed}: an organization would be left without a Super Admin who can act; make somebody else one first"
            ),
        }
    }

    /// Whom to ask, as the end of a sentence.
    fn ask(&self, names: &Names) -> String {
        let Some(needs) = self.needs else {
            return String::new();
        };
        let able: Vec<&Named> = names
            .0
            .iter()
            .filter(|named| named.role >= needs)
            .take(NAMED)
            .collect();
        let together = |texts: Vec<String>| match texts.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, before)) => format!("{} or {last}", before.join(", ")),
            None => String::new(),
        };
        match able.as_slice() {
            [] => format!("; ask {}", needs.one()),
            [one] => format!("; ask {}, who is {}", one.name, one.role.one()),
            [first, others @ ..] if others.iter().all(|other| other.role == first.role) => format!(
                "; ask {}, who are {}s",
                together(able.iter().map(|named| named.name.clone()).collect()),
                first.role
            ),
            _ => format!(
                "; ask {}",
                together(
                    able.iter()
                        .map(|named| format!("{} ({})", named.name, named.role))
                        .collect()
                )
            ),
        }
    }
}
