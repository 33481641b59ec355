//! Small worlds: five people, two organizations with two teams, two instances and two keys each. Who
//! would be asked of a database is found here; deeds change the world as the services would.

use idm::acl::{Action, Actor, Facts, Resource, Role};
use proptest::{
    array::{uniform2, uniform5},
    bool::weighted,
    option,
    prelude::*,
    sample::select,
};

pub const PEOPLE: usize = 5;
pub const ORGANIZATIONS: usize = 2;
pub const TEAMS: usize = 2;
pub const INSTANCES: usize = 2;
pub const KEYS: usize = 2;

#[derive(Clone, Debug, Default)]
pub struct World {
    pub people: [Person; PEOPLE],
    pub organizations: [Organization; ORGANIZATIONS],
    /// Who acts in whose place.
    pub impersonations: Vec<(usize, usize)>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Person {
    pub is_staff: bool,
    pub is_suspended: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Organization {
    pub is_suspended: bool,
    pub is_deleted: bool,
    pub roles: [Option<Role>; PEOPLE],
    pub invitations: [Option<Role>; PEOPLE],
    pub keys: [Option<Role>; KEYS],
    pub teams: [Team; TEAMS],
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Team {
    pub members: [bool; PEOPLE],
    pub instances: [bool; INSTANCES],
}

pub fn person_uid(at: usize) -> String {
    format!("usr-{at}")
}

pub fn organization_uid(at: usize) -> String {
    format!("org-{at}")
}

/// The number at the end of a uid, if it is one of `count`.
pub fn index(uid: &str, count: usize) -> Option<usize> {
    let (_, number) = uid.rsplit_once('-')?;
    number.parse().ok().filter(|at| *at < count)
}

pub fn session(person: usize) -> Actor {
    Actor::Session {
        person: person_uid(person),
        impersonator: None,
    }
}

pub fn impersonating(by: usize, person: usize) -> Actor {
    Actor::Session {
        person: person_uid(person),
        impersonator: Some(person_uid(by)),
    }
}

pub fn key(organization: usize, role: Role) -> Actor {
    Actor::ApiKey {
        organization: organization_uid(organization),
        role,
    }
}

pub fn role() -> impl Strategy<Value = Role> {
    select(Role::ALL.to_vec())
}

pub fn world() -> impl Strategy<Value = World> {
    (uniform5(person()), uniform2(organization())).prop_map(|(people, organizations)| World {
        people,
        organizations,
        impersonations: Vec::new(),
    })
}

fn person() -> impl Strategy<Value = Person> {
    (weighted(0.3), weighted(0.15)).prop_map(|(is_staff, is_suspended)| Person {
        is_staff,
        is_suspended,
    })
}

fn organization() -> impl Strategy<Value = Organization> {
    let team = (uniform5(any::<bool>()), uniform2(any::<bool>()))
        .prop_map(|(members, instances)| Team { members, instances });
    (
        weighted(0.15),
        uniform5(option::weighted(0.7, role())),
        uniform5(option::of(role())),
        uniform2(option::of(role())),
        uniform2(team),
    )
        .prop_map(|(is_suspended, roles, invitations, keys, mut teams)| {
            // Only members are in teams. But who was invited twice, or has come in by another way, still
            // has an invitation.
            for at in (0..PEOPLE).filter(|at| roles[*at].is_none()) {
                teams.iter_mut().for_each(|team| team.members[at] = false);
            }
            Organization {
                is_suspended,
                is_deleted: false,
                roles,
                invitations,
                keys,
                teams,
            }
        })
}

impl Organization {
    pub fn is_given(&self, person: usize, instance: usize) -> bool {
        let mut teams = self.teams.iter();
        teams.any(|team| team.members[person] && team.instances[instance])
    }

    fn forget(&mut self, person: usize) {
        self.roles[person] = None;
        for team in &mut self.teams {
            team.members[person] = false;
        }
    }
}

impl World {
    pub fn person(&self, uid: &str) -> Option<usize> {
        index(uid, PEOPLE)
    }

    /// One that is there.
    pub fn organization(&self, uid: &str) -> Option<usize> {
        index(uid, ORGANIZATIONS).filter(|at| !self.organizations[*at].is_deleted)
    }

    /// Super Admins beside this person who can act.
    fn other_super_admins(&self, organization: usize, beside: Option<usize>) -> u32 {
        let roles = self.organizations[organization].roles.iter().enumerate();
        let able = roles.filter(|(at, role)| {
            Some(*at) != beside
                && **role == Some(Role::SuperAdmin)
                && !self.people[*at].is_suspended
        });
        u32::try_from(able.count()).unwrap()
    }

    /// What a caller would have fetched.
    pub fn facts(&self, actor: &Actor, resource: &Resource) -> Facts {
        let me = actor.person().and_then(|uid| self.person(uid));
        let behind = actor.impersonator().and_then(|uid| self.person(uid));
        let target = resource.person().and_then(|uid| self.person(uid));
        let at = resource
            .organization()
            .and_then(|uid| self.organization(uid));
        let organization = at.map(|at| &self.organizations[at]);
        let mut facts = Facts {
            role: me.and_then(|me| organization?.roles[me]),
            is_staff: me.is_some_and(|me| self.people[me].is_staff),
            is_suspended: me.is_some_and(|me| self.people[me].is_suspended),
            may_impersonator_go_on: behind
                .is_some_and(|it| self.people[it].is_staff && !self.people[it].is_suspended),
            is_given: false,
            is_organization_suspended: organization.is_some_and(|it| it.is_suspended),
            target_role: target.and_then(|target| organization?.roles[target]),
            is_target_staff: target.is_some_and(|target| self.people[target].is_staff),
            invited_as: target.and_then(|target| organization?.invitations[target]),
            other_super_admins: at.map_or(0, |at| self.other_super_admins(at, target)),
        };
        match resource {
            Resource::Instance {
                name: Some(name), ..
            } => {
                let instance = index(name, INSTANCES);
                facts.is_given = me.is_some_and(|me| {
                    organization.is_some_and(|it| {
                        instance.is_some_and(|instance| it.is_given(me, instance))
                    })
                });
            }
            Resource::ApiKey { key: Some(key), .. } => {
                facts.target_role =
                    index(key, KEYS).and_then(|at| organization.and_then(|it| it.keys[at]));
            }
            Resource::Person { .. } => {
                let target = target.unwrap_or(usize::MAX);
                let role_in = |at: usize| self.organizations[at].roles.get(target).copied()?;
                facts.target_role = (0..ORGANIZATIONS).filter_map(role_in).max();
                facts.other_super_admins = (0..ORGANIZATIONS)
                    .filter(|at| role_in(*at) == Some(Role::SuperAdmin))
                    .map(|at| self.other_super_admins(at, Some(target)))
                    .min()
                    .unwrap_or(0);
            }
            _ => {}
        }
        facts
    }

    /// Everybody who could act: people, who acts in their place, keys.
    pub fn actors(&self) -> Vec<Actor> {
        let people = (0..PEOPLE).map(session);
        let impersonations = self.impersonations.iter();
        let impersonations = impersonations.map(|(by, person)| impersonating(*by, *person));
        let keys = self.organizations.iter().enumerate().flat_map(|(at, it)| {
            let keys = it.keys.iter().flatten();
            keys.map(move |role| key(at, *role))
        });
        people.chain(impersonations).chain(keys).collect()
    }

    /// Does what was allowed; `dice` chooses what the question leaves open: which team, which instance.
    pub fn perform(&mut self, actor: &Actor, action: Action, resource: &Resource, dice: usize) {
        let target = resource.person().and_then(|uid| self.person(uid));
        let at = resource
            .organization()
            .and_then(|uid| self.organization(uid));
        match (action, target, at) {
            (Action::SuspendPerson, Some(target), _) => self.people[target].is_suspended = true,
            (Action::RestorePerson, Some(target), _) => self.people[target].is_suspended = false,
            (Action::GrantStaff, Some(target), _) => self.people[target].is_staff = true,
            (Action::RevokeStaff, Some(target), _) => self.people[target].is_staff = false,
            (Action::Impersonate, Some(target), _) => {
                let by = actor.person().and_then(|uid| self.person(uid)).unwrap();
                self.impersonations.push((by, target));
            }
            (Action::DeletePerson, Some(target), _) => {
                self.people[target] = Person {
                    is_staff: false,
                    is_suspended: true,
                };
                for organization in &mut self.organizations {
                    organization.forget(target);
                    organization.invitations[target] = None;
                }
            }
            (_, _, Some(at)) => {
                perform_in(&mut self.organizations[at], action, target, resource, dice)
            }
            _ => {}
        }
    }
}

fn perform_in(
    organization: &mut Organization,
    action: Action,
    target: Option<usize>,
    resource: &Resource,
    dice: usize,
) {
    let (team, instance) = (dice % TEAMS, dice / TEAMS % INSTANCES);
    match (action, target) {
        (Action::SuspendOrganization, _) => organization.is_suspended = true,
        (Action::RestoreOrganization, _) => organization.is_suspended = false,
        (Action::DeleteOrganization, _) => {
            *organization = Organization {
                is_deleted: true,
                ..Organization::default()
            };
        }
        (Action::InviteMember, Some(target)) => organization.invitations[target] = resource.role(),
        (Action::WithdrawInvitation, Some(target)) => organization.invitations[target] = None,
        (Action::AcceptInvitation, Some(target)) => {
            organization.roles[target] = organization.invitations[target].take();
        }
        (Action::LeaveOrganization | Action::RemoveMember, Some(target)) => {
            organization.forget(target);
        }
        (Action::ChangeRole, Some(target)) => organization.roles[target] = resource.role(),
        (Action::AddToTeam, Some(target)) => organization.teams[team].members[target] = true,
        (Action::RemoveFromTeam, Some(target)) => organization.teams[team].members[target] = false,
        (Action::DeleteTeam, _) => organization.teams[team] = Team::default(),
        (Action::GiveInstance, _) => organization.teams[team].instances[instance] = true,
        (Action::TakeInstance, _) => organization.teams[team].instances[instance] = false,
        (Action::CreateApiKey, _) => organization.keys[dice % KEYS] = resource.role(),
        (Action::RevokeApiKey, _) => {
            if let Resource::ApiKey { key: Some(key), .. } = resource
                && let Some(at) = index(key, KEYS)
            {
                organization.keys[at] = None;
            }
        }
        _ => {}
    }
}
