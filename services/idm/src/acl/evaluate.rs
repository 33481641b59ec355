//! The answer: the table applied to a question.
//!
//! Whoever is more may do whatever who is less may, in the same world, with two exceptions that are
//! meant: the last Super Admin neither leaves nor steps down, where a Member may leave; and who is in
//! the organization accepts no further invitation, where a stranger may.

use serde::{Deserialize, Serialize};

use super::{Action, Actor, Because, Code, Facts, Least, Resource, Role, Row, Rule};

/// The answer.
///
/// On the wire `{"decision": "allow"}`, or `{"decision": "refuse", "code": "RoleTooLow", …}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum Decision {
    /// They may.
    Allow,
    /// They may not, because.
    Refuse(Because),
}

impl Decision {
    /// Whether they may.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow)
    }
}

/// May they? What the table does not allow is refused, and of several reasons the first is given: what
/// the actor is, then what they may in general, then what is in the way here.
#[must_use]
pub fn may(facts: &Facts, actor: &Actor, action: Action, resource: &Resource) -> Decision {
    let question = Question {
        facts,
        actor,
        row: action.row(),
        resource,
    };
    match question.answer() {
        Ok(()) => Decision::Allow,
        Err(code) => Decision::Refuse(Because {
            code,
            action,
            role: question.role(),
            needs: question.would_need(code),
        }),
    }
}

/// Which of these instances they may open, in the same order. Each comes with the facts about it.
pub fn openable<'a>(
    actor: &Actor,
    instances: impl IntoIterator<Item = (&'a Resource, Facts)>,
) -> Vec<&'a Resource> {
    instances
        .into_iter()
        .filter(|(instance, facts)| may(facts, actor, Action::OpenInstance, instance).is_allowed())
        .map(|(instance, _)| instance)
        .collect()
}

struct Question<'a> {
    facts: &'a Facts,
    actor: &'a Actor,
    row: &'static Row,
    resource: &'a Resource,
}

impl Question<'_> {
    fn answer(&self) -> Result<(), Code> {
        require(self.row.on == self.resource.kind(), Code::UnknownQuestion)?;
        self.actor_can_act()?;
        self.credential_reaches()?;
        let is_reading_staff = self.row.has(Rule::StaffToo) && self.is_staff();
        if is_reading_staff {
            return Ok(());
        }
        self.is_high_enough()?;
        let is_closed = self.facts.is_organization_suspended && !self.row.has(Rule::EvenSuspended);
        require(!is_closed, Code::OrganizationSuspended)?;
        self.row.rules.iter().try_for_each(|rule| self.holds(*rule))
    }

    /// Suspension, and impersonation that came to its end.
    fn actor_can_act(&self) -> Result<(), Code> {
        require(!self.facts.is_suspended, Code::PersonSuspended)?;
        let Some(impersonator) = self.actor.impersonator() else {
            return Ok(());
        };
        require(!self.facts.is_staff, Code::StaffNotImpersonated)?;
        let is_another = self.actor.person() != Some(impersonator);
        require(
            is_another && self.facts.may_impersonator_go_on,
            Code::ImpersonationEnded,
        )
    }

    /// What sort of actor they are, whoever they are.
    fn credential_reaches(&self) -> Result<(), Code> {
        let is_services = self.row.least == Least::Service;
        match self.actor {
            Actor::Service => return require(is_services, Code::ServicesOnlyAsk),
            _ => require(!is_services, Code::OnlyServices)?,
        }
        match self.actor {
            Actor::AccessToken { scopes, .. } => {
                require(scopes.contain(self.row.action), Code::OutOfScope)
            }
            // Whatever the table says of that other organization is not for this key to know.
            Actor::ApiKey { organization, .. } => match self.resource.organization() {
                Some(other) => require(organization == other, Code::KeyOfAnotherOrganization),
                None => Ok(()),
            },
            Actor::Session { .. } | Actor::Service => Ok(()),
        }
    }

    fn is_high_enough(&self) -> Result<(), Code> {
        match self.row.least {
            Least::Anybody => require(self.actor.person().is_some(), Code::OnlyPeople),
            Least::Staff => require(self.is_staff(), Code::OnlyStaff),
            // Who is none was refused before.
            Least::Service => Ok(()),
            Least::Member | Least::PowerUser | Least::Admin | Least::SuperAdmin => {
                let role = self.role().ok_or(Code::NoMember)?;
                if Some(role) >= self.row.least.role() {
                    return Ok(());
                }
                if self.row.has(Rule::GivenTeamsToo) {
                    // A key is in no team.
                    let is_given = self.facts.is_given && self.actor.person().is_some();
                    return require(is_given, Code::InstanceNotGiven);
                }
                Err(Code::RoleTooLow)
            }
        }
    }

    fn holds(&self, rule: Rule) -> Result<(), Code> {
        let facts = self.facts;
        let me = self.actor.person();
        let is_oneself = me.is_some() && me == self.resource.person();
        match rule {
            // They allow more, and have been asked.
            Rule::StaffToo | Rule::GivenTeamsToo | Rule::EvenSuspended => Ok(()),
            Rule::OnlyOneself if me.is_none() => Err(Code::OnlyPeople),
            Rule::OnlyOneself => require(is_oneself, Code::OnlyOneself),
            Rule::OnlyOthers => require(!is_oneself, Code::OnlyOthers),
            Rule::SignedIn => require(
                matches!(self.actor, Actor::Session { .. }),
                Code::SessionNeeded,
            ),
            Rule::NotImpersonating => require(
                self.actor.impersonator().is_none(),
                Code::NotWhileImpersonating,
            ),
            Rule::NoStaff => require(!facts.is_target_staff, Code::StaffNotImpersonated),
            Rule::HasUpToOwnRole => {
                let target = facts.target_role.ok_or(Code::TargetNotThere)?;
                require(Some(target) <= self.role(), Code::TargetAboveOwnRole)
            }
            Rule::GivesUpToOwnRole => {
                let given = self.resource.role().ok_or(Code::RoleMissing)?;
                require(Some(given) <= self.role(), Code::RoleAboveOwn)
            }
            Rule::InvitedUpToOwnRole => {
                let invited = facts.invited_as.ok_or(Code::NotInvited)?;
                require(Some(invited) <= self.role(), Code::TargetAboveOwnRole)
            }
            Rule::AsInvited => {
                let invited = facts.invited_as.ok_or(Code::NotInvited)?;
                require(self.resource.role() == Some(invited), Code::NotInvited)
            }
            Rule::NoMemberYet => require(facts.target_role.is_none(), Code::MemberAlready),
            Rule::SuperAdminRemains => {
                // Only where a role is given does the resource say what becomes of them: who leaves
                // "to be Super Admin" leaves.
                let stays = self.row.has(Rule::GivesUpToOwnRole)
                    && self.resource.role() == Some(Role::SuperAdmin);
                let is_lost = facts.target_role == Some(Role::SuperAdmin) && !stays;
                require(
                    !is_lost || facts.other_super_admins > 0,
                    Code::LastSuperAdmin,
                )
            }
        }
    }

    /// What the actor is in the resource's organization.
    fn role(&self) -> Option<Role> {
        match self.actor {
            Actor::Session { .. } | Actor::AccessToken { .. } => self.facts.role,
            Actor::ApiKey { organization, role } => {
                (self.resource.organization() == Some(organization)).then_some(*role)
            }
            Actor::Service => None,
        }
    }

    /// Whether a person acts who is staff. That one who is impersonated is none was seen to before.
    fn is_staff(&self) -> bool {
        self.facts.is_staff && self.actor.person().is_some()
    }

    /// The least role of somebody who could do it instead.
    fn would_need(&self, code: Code) -> Option<Role> {
        match code {
            Code::RoleTooLow => self.row.least.role(),
            // Who gives instances to teams.
            Code::InstanceNotGiven => Action::GiveInstance.row().least.role(),
            Code::TargetAboveOwnRole if self.row.has(Rule::InvitedUpToOwnRole) => {
                self.facts.invited_as
            }
            Code::TargetAboveOwnRole => self.facts.target_role,
            Code::RoleAboveOwn => self.resource.role(),
            _ => None,
        }
    }
}

fn require(is_so: bool, otherwise: Code) -> Result<(), Code> {
    if is_so { Ok(()) } else { Err(otherwise) }
}
