//! Teams: people of an organization, and the apps that were given to them together. A Member opens what a team of
//! theirs was given, and nothing else. Rules here (pure), rows in `store`, how a deed begins and ends in `deed`,
//! pages in `http`.
//!
//! Deeds on the teams of an organization come one after the other: each holds the organization's row.

pub mod deed;
pub mod http;
pub mod store;

use crate::{
    acl::{self, Action, Actor, Facts, Resource},
    organizations::Organization,
};

/// A team.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Team {
    pub uid: String,
    pub name: String,
}

/// Two names with one key are the same: nobody tells `Sales` from `sales` in a list.
#[must_use]
pub fn key(name: &str) -> String {
    name.to_lowercase()
}

/// Whether somebody may do that. Staff may, as they look after all people (`organizations/keeper.rs`); of everybody
/// else the model decides.
#[must_use]
pub fn may(facts: &Facts, person: &str, action: Action, resource: &Resource) -> bool {
    let is_staff = facts.is_staff && !facts.is_suspended;
    is_staff || acl::may(facts, &Actor::session(person), action, resource).is_allowed()
}

/// A team of an organization; without a uid whichever, or one that is still to be made.
fn team(organization: &Organization, uid: Option<&str>) -> Resource {
    Resource::Team {
        organization: organization.uid.clone(),
        team: uid.map(str::to_owned),
    }
}

/// Somebody in an organization.
fn member(organization: &Organization, person: &str) -> Resource {
    Resource::Member {
        organization: organization.uid.clone(),
        person: Some(person.to_owned()),
        role: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::Role;

    fn acme() -> Organization {
        Organization {
            uid: "org-1".to_owned(),
            name: "acme".to_owned(),
            title: "Acme".to_owned(),
        }
    }

    #[test]
    fn admins_and_staff_look_after_teams_and_nobody_else() {
        let team = team(&acme(), Some("tea-1"));
        let may = |facts: Facts| may(&facts, "usr-1", Action::GiveInstance, &team);
        let of = |role| Facts {
            role,
            ..Facts::default()
        };
        for role in [Role::Admin, Role::SuperAdmin] {
            assert!(may(of(Some(role))), "{role}");
        }
        for role in [None, Some(Role::Member), Some(Role::PowerUser)] {
            assert!(!may(of(role)), "{role:?}");
        }
        let staff = Facts {
            is_staff: true,
            ..Facts::default()
        };
        assert!(may(staff));
        assert!(!may(Facts {
            is_suspended: true,
            ..staff
        }));
    }

    #[test]
    fn admins_move_people_up_to_their_own_role() {
        let member = member(&acme(), "usr-2");
        let may = |role, target| {
            let facts = Facts {
                role: Some(role),
                target_role: Some(target),
                ..Facts::default()
            };
            let one = may(&facts, "usr-1", Action::AddToTeam, &member);
            let other = may(&facts, "usr-1", Action::RemoveFromTeam, &member);
            assert_eq!(one, other);
            one
        };
        assert!(may(Role::Admin, Role::Admin));
        assert!(!may(Role::Admin, Role::SuperAdmin));
        assert!(may(Role::SuperAdmin, Role::SuperAdmin));
    }

    #[test]
    fn names_are_the_same_whatever_their_case() {
        assert_eq!(key("Büro ÖST"), key("büro öst"));
        assert_ne!(key("Büro"), key("Buro"));
    }
}
