//! Everything that can be asked in a world, things that are not there among it.

use std::sync::LazyLock;

use idm::acl::{Action, Actor, Facts, Resource, Role, Scopes, TABLE};
use proptest::{prelude::*, sample::subsequence};

use super::world::{
    INSTANCES, KEYS, ORGANIZATIONS, PEOPLE, TEAMS, World, impersonating, key, organization_uid,
    person_uid, role, session,
};

/// Every action with every resource of its kind.
pub static QUESTIONS: LazyLock<Vec<(Action, Resource)>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for row in TABLE {
        let fitting = RESOURCES.iter().filter(|it| it.kind() == row.on);
        all.extend(fitting.map(|resource| (row.action, resource.clone())));
    }
    all
});

/// One of everything, one that is not there, and "whichever".
pub static RESOURCES: LazyLock<Vec<Resource>> = LazyLock::new(|| {
    let mut all = vec![Resource::Platform {}];
    all.extend((0..=PEOPLE).map(|at| Resource::Person {
        person: person_uid(at),
    }));
    for organization in (0..=ORGANIZATIONS).map(organization_uid) {
        let some = |prefix: &'static str, count: usize| {
            (0..=count)
                .map(move |at| Some(format!("{prefix}-{at}")))
                .chain([None])
        };
        let roles = || Role::ALL.into_iter().map(Some).chain([None]);
        all.push(Resource::Organization {
            organization: organization.clone(),
        });
        all.push(Resource::Billing {
            organization: organization.clone(),
        });
        all.push(Resource::Audit {
            organization: organization.clone(),
        });
        for (person, role) in pairs(some("usr", PEOPLE), &roles) {
            all.push(Resource::Member {
                organization: organization.clone(),
                person,
                role,
            });
        }
        for (key, role) in pairs(some("key", KEYS), &roles) {
            all.push(Resource::ApiKey {
                organization: organization.clone(),
                key,
                role,
            });
        }
        all.extend(some("team", TEAMS).map(|team| Resource::Team {
            organization: organization.clone(),
            team,
        }));
        all.extend(some("app", INSTANCES).map(|name| Resource::Instance {
            organization: organization.clone(),
            name,
        }));
        all.extend(some("client", 0).map(|name| Resource::Client {
            organization: organization.clone(),
            name,
        }));
    }
    all
});

fn pairs<R: Iterator<Item = Option<Role>>>(
    names: impl Iterator<Item = Option<String>>,
    roles: &impl Fn() -> R,
) -> Vec<(Option<String>, Option<Role>)> {
    names
        .flat_map(|name| roles().map(move |role| (name.clone(), role)))
        .collect()
}

/// Every sort of actor.
pub fn actor() -> impl Strategy<Value = Actor> {
    let behind = || prop::option::weighted(0.2, 0..PEOPLE);
    prop_oneof![
        3 => (0..PEOPLE).prop_map(session),
        2 => (0..PEOPLE, 0..PEOPLE).prop_map(|(by, person)| impersonating(by, person)),
        2 => (0..PEOPLE, scopes(), behind()).prop_map(|(person, scopes, by)| token(person, scopes, by)),
        2 => (0..ORGANIZATIONS, role()).prop_map(|(at, role)| key(at, role)),
        1 => Just(Actor::Service),
    ]
}

pub fn token(person: usize, scopes: Scopes, behind: Option<usize>) -> Actor {
    Actor::AccessToken {
        person: person_uid(person),
        scopes,
        impersonator: behind.map(person_uid),
    }
}

/// Any number of single actions and of whole kinds.
pub fn scopes() -> impl Strategy<Value = Scopes> {
    let texts: Vec<String> = TABLE
        .iter()
        .flat_map(|row| [row.name.to_owned(), format!("{}.*", row.on)])
        .collect();
    let most = texts.len();
    subsequence(texts, 0..most / 3).prop_map(|texts| texts.join(" ").parse().unwrap())
}

/// Asks in a world.
pub fn ask(
    world: &World,
    actor: &Actor,
    (action, resource): &(Action, Resource),
) -> idm::acl::Decision {
    let facts: Facts = world.facts(actor, resource);
    idm::acl::may(&facts, actor, *action, resource)
}
