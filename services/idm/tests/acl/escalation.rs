//! Sequences of allowed deeds, done by whoever may: nobody comes to more than somebody gave them who
//! had the right to, and no organization loses its last Super Admin.

use idm::acl::{Action, Actor, Least, Resource, Role};
use proptest::{prelude::*, sample::Index};

use super::{
    cases,
    questions::{QUESTIONS, RESOURCES, ask},
    world::{
        INSTANCES, KEYS, ORGANIZATIONS, PEOPLE, World, index, organization_uid, role, session,
        world,
    },
};

/// What changes who may do what.
const DEEDS: [Action; 21] = [
    Action::SuspendPerson,
    Action::RestorePerson,
    Action::GrantStaff,
    Action::RevokeStaff,
    Action::Impersonate,
    Action::DeletePerson,
    Action::SuspendOrganization,
    Action::RestoreOrganization,
    Action::DeleteOrganization,
    Action::InviteMember,
    Action::WithdrawInvitation,
    Action::AcceptInvitation,
    Action::LeaveOrganization,
    Action::ChangeRole,
    Action::RemoveMember,
    Action::AddToTeam,
    Action::RemoveFromTeam,
    Action::GiveInstance,
    Action::TakeInstance,
    Action::CreateApiKey,
    Action::RevokeApiKey,
];

/// One step, as dice: who, what, whom.
type Throw = (Index, Index, Index, usize);

fn throws() -> impl Strategy<Value = Vec<Throw>> {
    let throw = (
        any::<Index>(),
        any::<Index>(),
        any::<Index>(),
        any::<usize>(),
    );
    prop::collection::vec(throw, 1..60)
}

/// An allowed deed of somebody who is let act.
fn choose<'a>(
    world: &World,
    (who, what, whom, _): &Throw,
    is_let: impl Fn(&World, &Actor, &Resource) -> bool,
) -> Option<(Actor, Action, &'a Resource)> {
    let mut actors = world.actors();
    let actor = actors.swap_remove(who.index(actors.len()));
    let action = *what.get(&DEEDS);
    let possible: Vec<&Resource> = RESOURCES
        .iter()
        .filter(|resource| resource.kind() == action.row().on)
        .filter(|resource| is_let(world, &actor, resource))
        .filter(|resource| ask(world, &actor, &(action, (*resource).clone())).is_allowed())
        .collect();
    (!possible.is_empty()).then(|| (actor, action, *whom.get(&possible)))
}

/// What somebody is by right: who acts in another's place is nothing.
fn rightful_role(world: &World, actor: &Actor, at: usize) -> Option<Role> {
    match actor {
        Actor::ApiKey { organization, role } => {
            (*organization == organization_uid(at)).then_some(*role)
        }
        _ if actor.impersonator().is_some() => None,
        _ => world.organizations[at].roles[world.person(actor.person()?)?],
    }
}

/// What somebody is, or the one in whose place they act.
fn apparent_role(world: &World, actor: &Actor, at: usize) -> Option<Role> {
    match actor.person() {
        Some(person) => world.organizations[at].roles[world.person(person)?],
        None => rightful_role(world, actor, at),
    }
}

/// The most that each could have been given by somebody who had the right to.
struct Given {
    roles: [[Option<Role>; PEOPLE]; ORGANIZATIONS],
    keys: [[Option<Role>; KEYS]; ORGANIZATIONS],
    staff: [bool; PEOPLE],
}

impl Given {
    fn before(world: &World) -> Self {
        let of = |at: usize| &world.organizations[at];
        Self {
            roles: std::array::from_fn(|at| {
                std::array::from_fn(|person| of(at).roles[person].max(of(at).invitations[person]))
            }),
            keys: std::array::from_fn(|at| of(at).keys),
            staff: std::array::from_fn(|person| world.people[person].is_staff),
        }
    }

    /// Notes what is given by somebody who has it.
    fn note(&mut self, world: &World, actor: &Actor, action: Action, on: &Resource, dice: usize) {
        let target = on.person().and_then(|uid| world.person(uid));
        if let Some(at) = on.organization().and_then(|uid| world.organization(uid)) {
            let given = on
                .role()
                .filter(|role| Some(*role) <= rightful_role(world, actor, at));
            let had = match (action, target) {
                (Action::InviteMember | Action::ChangeRole, Some(target)) => {
                    &mut self.roles[at][target]
                }
                (Action::CreateApiKey, _) => &mut self.keys[at][dice % KEYS],
                _ => return,
            };
            *had = (*had).max(given);
        }
        if let (Action::GrantStaff, Some(target), None) = (action, target, actor.impersonator()) {
            let by = actor.person().and_then(|uid| world.person(uid));
            self.staff[target] |= by.is_some_and(|by| world.people[by].is_staff);
        }
    }
}

/// Which instances somebody opens, by organization and number.
fn opened(world: &World, person: usize) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for question in QUESTIONS.iter().filter(|it| it.0 == Action::OpenInstance) {
        let Resource::Instance {
            organization,
            name: Some(name),
        } = &question.1
        else {
            continue;
        };
        let place = (world.organization(organization), index(name, INSTANCES));
        if let (Some(at), Some(instance)) = place
            && ask(world, &session(person), question).is_allowed()
        {
            found.push((at, instance));
        }
    }
    found
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn nobody_comes_to_more_than_they_were_given_by_right(mut world in world(), throws in throws()) {
        let mut given = Given::before(&world);
        for throw in &throws {
            let Some((actor, action, on)) = choose(&world, throw, |_, _, _| true) else { continue };
            let before = world.clone();
            given.note(&world, &actor, action, on, throw.3);
            world.perform(&actor, action, on, throw.3);
            for person in 0..PEOPLE {
                prop_assert!(!world.people[person].is_staff || given.staff[person]);
                for (at, organization) in world.organizations.iter().enumerate() {
                    let most = given.roles[at][person];
                    prop_assert!(organization.roles[person] <= most, "{:?} {} {:?}", actor, action, on);
                    prop_assert!(organization.invitations[person] <= most, "{:?} {} {:?}", actor, action, on);
                }
                // Whoever opens one more was let in by an Admin, or has come in or back.
                let could = opened(&before, person);
                for (at, instance) in opened(&world, person) {
                    let comes_in = matches!(
                        action,
                        Action::AcceptInvitation | Action::RestorePerson | Action::RestoreOrganization
                    );
                    let is_let_in = apparent_role(&before, &actor, at) >= Some(Role::Admin);
                    prop_assert!(
                        could.contains(&(at, instance)) || comes_in || is_let_in,
                        "{:?} {} {:?}", actor, action, on
                    );
                }
            }
            for (at, organization) in world.organizations.iter().enumerate() {
                for (number, role) in organization.keys.iter().enumerate() {
                    prop_assert!(*role <= given.keys[at][number], "{:?} {} {:?}", actor, action, on);
                }
            }
        }
        // And so with every question: none is answered "yes" that asks for more than was given.
        for person in 0..PEOPLE {
            for question in QUESTIONS.iter() {
                let row = question.0.row();
                let place = question.1.organization().and_then(|uid| world.organization(uid));
                if let Some(at) = place
                    && ask(&world, &session(person), question).is_allowed()
                {
                    let most = given.roles[at][person];
                    let is_staffs = given.staff[person] && (row.least == Least::Staff || row.has(idm::acl::Rule::StaffToo));
                    let is_teams = row.has(idm::acl::Rule::GivenTeamsToo) && most.is_some();
                    prop_assert!(most >= row.least.role() || is_staffs || is_teams, "{:?}", question);
                }
            }
        }
    }

    /// Staff, who act in the place of those who have it, are among them.
    #[test]
    fn those_without_a_role_cannot_make_somebody_who_has_it(
        mut world in world(), throws in throws(), top in role(),
    ) {
        for organization in &mut world.organizations {
            for invitation in &mut organization.invitations {
                *invitation = invitation.filter(|role| *role < top);
            }
        }
        let holders = |world: &World| -> Vec<(usize, usize)> {
            let all = (0..ORGANIZATIONS).flat_map(|at| (0..PEOPLE + KEYS).map(move |who| (at, who)));
            all.filter(|(at, who)| {
                let organization = &world.organizations[*at];
                let roles = organization.roles.iter().chain(&organization.keys);
                roles.copied().nth(*who).flatten() >= Some(top)
            })
            .collect()
        };
        let before = holders(&world);
        let is_without = |world: &World, actor: &Actor, on: &Resource| {
            let place = on.organization().and_then(|uid| world.organization(uid));
            place.is_none_or(|at| rightful_role(world, actor, at) < Some(top))
        };
        for throw in &throws {
            let Some((actor, action, on)) = choose(&world, throw, is_without) else { continue };
            world.perform(&actor, action, on, throw.3);
            for one in holders(&world) {
                prop_assert!(before.contains(&one), "{:?} by {:?} {} {:?}", one, actor, action, on);
            }
        }
    }

    #[test]
    fn the_last_super_admin_is_never_lost(mut world in world(), throws in throws()) {
        let is_led = |world: &World, at: usize, only_able: bool| {
            let roles = world.organizations[at].roles.iter().enumerate();
            roles.filter(|(_, role)| **role == Some(Role::SuperAdmin))
                .any(|(person, _)| !only_able || !world.people[person].is_suspended)
        };
        for throw in &throws {
            let Some((actor, action, on)) = choose(&world, throw, |_, _, _| true) else { continue };
            let before = world.clone();
            world.perform(&actor, action, on, throw.3);
            for at in (0..ORGANIZATIONS).filter(|at| !world.organizations[*at].is_deleted) {
                prop_assert!(
                    !is_led(&before, at, false) || is_led(&world, at, false),
                    "{:?} {} {:?}", actor, action, on
                );
                // Only staff, by suspending them, leave it without one who can act.
                prop_assert!(
                    !is_led(&before, at, true) || is_led(&world, at, true) || action == Action::SuspendPerson,
                    "{:?} {} {:?}", actor, action, on
                );
            }
        }
    }
}

/// That the sequences above do something: each deed is done in some of a hundred worlds.
#[test]
fn every_deed_happens() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut done = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let mut world = world().new_tree(&mut runner).unwrap().current();
        for throw in throws().new_tree(&mut runner).unwrap().current() {
            if let Some((actor, action, on)) = choose(&world, &throw, |_, _, _| true) {
                world.perform(&actor, action, on, throw.3);
                done.insert(action);
            }
        }
    }
    let missing: Vec<_> = DEEDS.iter().filter(|deed| !done.contains(*deed)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
