//! The same model a second time, from its description in prose and not from the table: for an actor
//! the whole of what they may is written down, as lines of text, and then taken away from. Whether
//! something may be done is whether its line is there. No facts are gathered; the world is looked at,
//! and what a deed would lead to is tried on a copy of it.

use std::collections::HashSet;

use idm::acl::{Actor, Resource, Role, openable};
use proptest::prelude::*;

use super::{
    cases,
    questions::{QUESTIONS, actor, ask},
    world::{
        INSTANCES, KEYS, ORGANIZATIONS, PEOPLE, TEAMS, World, organization_uid, person_uid, world,
    },
};

type Lines = HashSet<String>;

proptest! {
    #![proptest_config(cases(3_000))]

    #[test]
    fn the_answer_is_that_of_the_oracle(world in world(), actors in [actor(), actor()]) {
        for actor in &actors {
            let everything = everything(&world, actor);
            for question in QUESTIONS.iter() {
                let line = line(question.0.name(), &question.1);
                let decision = ask(&world, actor, question);
                prop_assert_eq!(
                    decision.is_allowed(), everything.contains(&line),
                    "{:?} asks {}: {:?}", actor, line, decision
                );
            }
        }
    }

    #[test]
    fn the_instances_that_one_may_open_are_those_of_the_oracle(world in world(), actor in actor()) {
        let everything = everything(&world, &actor);
        let mut instances: Vec<Resource> = Vec::new();
        for organization in (0..ORGANIZATIONS).map(organization_uid) {
            instances.extend((0..INSTANCES).map(|at| Resource::Instance {
                organization: organization.clone(),
                name: Some(format!("app-{at}")),
            }));
        }
        let opened = openable(&actor, instances.iter().map(|it| (it, world.facts(&actor, it))));
        let expected: Vec<&Resource> = instances
            .iter()
            .filter(|it| everything.contains(&line("instance.open", it)))
            .collect();
        prop_assert_eq!(opened, expected);
    }
}

/// A deed and what it is done to, as text. A role counts only where one is given.
fn line(deed: &str, resource: &Resource) -> String {
    let any = |name: &Option<String>| name.clone().unwrap_or_else(|| "any".to_owned());
    let place = resource.organization().unwrap_or_default();
    let gives = [
        "member.invite",
        "member.accept-invitation",
        "member.change-role",
        "api-key.create",
    ]
    .contains(&deed);
    let role = match resource.role() {
        Some(role) if gives => format!(" as {role}"),
        _ => String::new(),
    };
    let what = match resource {
        Resource::Platform {} => return deed.to_owned(),
        Resource::Person { person } => return format!("{deed} {person}"),
        Resource::Member { person, .. } => any(person),
        Resource::ApiKey { key, .. } => any(key),
        Resource::Team { team, .. } => any(team),
        Resource::Instance { name, .. } | Resource::Client { name, .. } => any(name),
        Resource::Organization { .. } | Resource::Billing { .. } | Resource::Audit { .. } => {
            return format!("{deed} {place}");
        }
    };
    format!("{deed} {place} {what}{role}")
}

/// Everything that an actor may.
fn everything(world: &World, actor: &Actor) -> Lines {
    match actor {
        Actor::Service => Lines::from(["platform.ask".to_owned()]),
        Actor::ApiKey { organization, role } => {
            let mut lines = Lines::new();
            if let Some(at) = world.organization(organization) {
                in_organization(&mut lines, world, at, *role, None);
            }
            lines.retain(|line| !wants_a_session(line));
            lines
        }
        Actor::Session {
            person,
            impersonator,
        } => in_place_of(world, person, impersonator.as_deref()),
        Actor::AccessToken {
            person,
            scopes,
            impersonator,
        } => {
            let mut lines = in_place_of(world, person, impersonator.as_deref());
            let scopes = String::from(scopes.clone());
            lines.retain(|line| {
                let deed = line.split(' ').next().unwrap();
                let (kind, _) = deed.split_once('.').unwrap();
                let is_named = |scope: &str| scope == deed || scope == format!("{kind}.*");
                scopes.split(' ').any(is_named) && !wants_a_session(line)
            });
            lines
        }
    }
}

/// What is never done by a program in somebody's name: credentials, the account, the staff flag,
/// impersonation, more keys.
fn wants_a_session(line: &str) -> bool {
    [
        "person.change-credentials ",
        "person.delete ",
        "person.grant-staff ",
        "person.revoke-staff ",
        "person.impersonate ",
        "api-key.create ",
    ]
    .iter()
    .any(|deed| line.starts_with(deed))
}

/// A person, or staff who acts in their place: may what they may, but changes no credentials (sessions
/// and keys are such), no roles (coming and going is such), no staff flag, and impersonates no further.
fn in_place_of(world: &World, person: &str, impersonator: Option<&str>) -> Lines {
    let me = world.person(person).unwrap();
    let mut lines = of_person(world, me);
    if let Some(by) = impersonator {
        let by = world.person(by).unwrap();
        let (behind, before) = (world.people[by], world.people[me]);
        if by == me || before.is_staff || behind.is_suspended || !behind.is_staff {
            return Lines::new();
        }
        let never = [
            "person.change-credentials",
            "person.end-session",
            "person.delete",
            "api-key.create",
            "api-key.revoke",
            "client.rotate-secret",
            "member.invite",
            "member.accept-invitation",
            "member.change-role",
            "member.remove ",
            "member.leave",
            "person.grant-staff",
            "person.revoke-staff",
            "person.impersonate",
        ];
        lines.retain(|line| !never.iter().any(|deed| line.starts_with(deed)));
    }
    lines
}

fn of_person(world: &World, me: usize) -> Lines {
    let mut lines = Lines::new();
    if world.people[me].is_suspended {
        return lines;
    }
    let my_uid = person_uid(me);
    for deed in [
        "read",
        "update",
        "list-sessions",
        "end-session",
        "change-credentials",
    ] {
        lines.insert(format!("person.{deed} {my_uid}"));
    }
    if (0..ORGANIZATIONS).all(|at| can_be_spared(world, at, me)) {
        lines.insert(format!("person.delete {my_uid}"));
    }
    if world.people[me].is_staff {
        as_staff(&mut lines, world, me);
    }
    for (at, organization) in world.organizations.iter().enumerate() {
        if let Some(role) = organization.roles[me] {
            in_organization(&mut lines, world, at, role, Some(me));
        } else if let Some(role) = organization.invitations[me]
            && !organization.is_suspended
        {
            let place = organization_uid(at);
            lines.insert(format!(
                "member.accept-invitation {place} {my_uid} as {role}"
            ));
        }
    }
    lines
}

/// The panel, the lists, suspending, impersonation; people and organizations can be looked at, whether
/// they are there or not.
fn as_staff(lines: &mut Lines, world: &World, me: usize) {
    for deed in [
        "open-admin-panel",
        "list-people",
        "list-organizations",
        "list-clients",
        "read-audit",
        "create-organization",
    ] {
        lines.insert(format!("platform.{deed}"));
    }
    for other in 0..=PEOPLE {
        let uid = person_uid(other);
        lines.insert(format!("person.read {uid}"));
        lines.insert(format!("person.list-sessions {uid}"));
        if other != me {
            for deed in ["suspend", "restore", "grant-staff", "revoke-staff"] {
                lines.insert(format!("person.{deed} {uid}"));
            }
            if world.people.get(other).is_none_or(|it| !it.is_staff) {
                lines.insert(format!("person.impersonate {uid}"));
            }
        }
    }
    for place in (0..=ORGANIZATIONS).map(organization_uid) {
        for deed in [
            "organization.read",
            "organization.suspend",
            "organization.restore",
            "audit.read",
            "audit.export",
        ] {
            lines.insert(format!("{deed} {place}"));
        }
        for app in names("app", INSTANCES) {
            lines.insert(format!("instance.read {place} {app}"));
        }
        for client in names("client", 0) {
            lines.insert(format!("client.read {place} {client}"));
        }
    }
}

/// Each of them, one that is not there, and whichever.
fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..=count)
        .map(|at| format!("{prefix}-{at}"))
        .chain(["any".to_owned()])
        .collect()
}

/// What a role brings with it, from below.
fn in_organization(lines: &mut Lines, world: &World, at: usize, role: Role, me: Option<usize>) {
    let organization = &world.organizations[at];
    let place = organization_uid(at);
    let mut can = vec!["organization.read".to_owned()];
    // Members: the apps of their teams, and the way out.
    for instance in 0..INSTANCES {
        if me.is_some_and(|me| organization.is_given(me, instance)) {
            can.push(format!("instance.open {place} app-{instance}"));
            can.push(format!("instance.read {place} app-{instance}"));
        }
    }
    if let Some(me) = me
        && can_be_spared(world, at, me)
    {
        can.push(format!("member.leave {place} {}", person_uid(me)));
    }
    if role != Role::Member {
        for app in names("app", INSTANCES) {
            can.push(format!("instance.open {place} {app}"));
            can.push(format!("instance.read {place} {app}"));
        }
    }
    if role == Role::Admin || role == Role::SuperAdmin {
        as_admin(&mut can, world, at, role);
    }
    if role == Role::SuperAdmin {
        can.extend(
            [
                "organization.update",
                "organization.delete",
                "billing.read",
                "billing.update",
            ]
            .map(str::to_owned),
        );
        for app in names("app", INSTANCES) {
            can.push(format!("instance.destroy {place} {app}"));
        }
    }
    for mut line in can {
        if !line.contains(' ') {
            line = format!("{line} {place}");
        }
        let deed = line.split(' ').next().unwrap();
        let goes_on = deed.ends_with(".read")
            || ["audit.export", "billing.update", "member.leave"].contains(&deed);
        if goes_on || !organization.is_suspended {
            lines.insert(line);
        }
    }
}

/// Orders, manages, invites; people and keys up to the own role.
fn as_admin(can: &mut Vec<String>, world: &World, at: usize, role: Role) {
    let organization = &world.organizations[at];
    let place = organization_uid(at);
    can.extend(["audit.read", "audit.export"].map(str::to_owned));
    for app in names("app", INSTANCES) {
        can.push(format!("instance.order {place} {app}"));
        can.push(format!("instance.update {place} {app}"));
    }
    for team in names("team", TEAMS) {
        for deed in [
            "create",
            "update",
            "delete",
            "give-instance",
            "take-instance",
        ] {
            can.push(format!("team.{deed} {place} {team}"));
        }
    }
    for client in names("client", 0) {
        for deed in ["read", "create", "update", "delete", "rotate-secret"] {
            can.push(format!("client.{deed} {place} {client}"));
        }
    }
    let up_to_mine: Vec<Role> = Role::ALL.into_iter().filter(|it| *it <= role).collect();
    for key in names("key", KEYS) {
        can.push(format!("api-key.read {place} {key}"));
        for new in &up_to_mine {
            can.push(format!("api-key.create {place} {key} as {new}"));
        }
    }
    for (number, of_key) in organization.keys.iter().enumerate() {
        if of_key.is_some_and(|of_key| up_to_mine.contains(&of_key)) {
            can.push(format!("api-key.revoke {place} key-{number}"));
        }
    }
    // Somebody whom nobody knows yet can be invited.
    for uid in names("usr", PEOPLE) {
        let known = (0..PEOPLE).find(|other| person_uid(*other) == uid);
        if known.is_none_or(|other| organization.roles[other].is_none()) {
            for new in &up_to_mine {
                can.push(format!("member.invite {place} {uid} as {new}"));
            }
        }
    }
    for other in 0..PEOPLE {
        let uid = person_uid(other);
        if organization.invitations[other].is_some_and(|it| up_to_mine.contains(&it)) {
            can.push(format!("member.withdraw-invitation {place} {uid}"));
        }
        let Some(theirs) = organization.roles[other] else {
            continue;
        };
        if !up_to_mine.contains(&theirs) {
            continue;
        }
        can.push(format!("member.add-to-team {place} {uid}"));
        can.push(format!("member.remove-from-team {place} {uid}"));
        let is_spared = can_be_spared(world, at, other);
        if is_spared {
            can.push(format!("member.remove {place} {uid}"));
        }
        for new in &up_to_mine {
            if is_spared || *new == theirs {
                can.push(format!("member.change-role {place} {uid} as {new}"));
            }
        }
    }
}

/// Tried on a copy: without this person as Super Admin, is there still one who can act?
fn can_be_spared(world: &World, at: usize, person: usize) -> bool {
    if world.organizations[at].roles[person] != Some(Role::SuperAdmin) {
        return true;
    }
    let mut after = world.clone();
    after.organizations[at].roles[person] = None;
    (0..PEOPLE).any(|other| {
        after.organizations[at].roles[other] == Some(Role::SuperAdmin)
            && !after.people[other].is_suspended
    })
}
