//! What people read when they may not.

use idm::acl::{Because, Code, Decision, Named, Names, Resource, Role, TABLE};

use super::{
    examples::acme,
    questions::{QUESTIONS, ask},
    world::{PEOPLE, session},
};

fn names(of: &[(&str, Role)]) -> Names {
    Names(
        of.iter()
            .map(|(name, role)| Named {
                name: (*name).to_owned(),
                role: *role,
            })
            .collect(),
    )
}

fn refusal(person: usize, name: &str, resource: &Resource) -> Because {
    let question = (name.parse().unwrap(), resource.clone());
    match ask(&acme(), &session(person), &question) {
        Decision::Refuse(because) => because,
        Decision::Allow => panic!("{name} is allowed"),
    }
}

fn billing() -> Resource {
    Resource::Billing {
        organization: "org-0".to_owned(),
    }
}

#[test]
fn the_sentence_says_who_cannot_do_what_and_whom_to_ask() {
    let because = refusal(2, "billing.update", &billing());
    assert_eq!(because.needs, Some(Role::SuperAdmin));
    let ann = names(&[("ann@acme.test", Role::SuperAdmin)]);
    assert_eq!(
        because.words(&ann),
        "Power Users cannot change billing; ask ann@acme.test, who is a Super Admin"
    );
    assert_eq!(
        because.words(&Names::default()),
        "Power Users cannot change billing; ask a Super Admin"
    );
}

#[test]
fn up_to_three_are_named_and_only_those_who_could() {
    let because = refusal(
        3,
        "instance.open",
        &Resource::Instance {
            organization: "org-0".to_owned(),
            name: Some("app-1".to_owned()),
        },
    );
    let both = names(&[
        ("ann@acme.test", Role::SuperAdmin),
        ("pia@acme.test", Role::PowerUser),
        ("adam@acme.test", Role::Admin),
    ]);
    assert_eq!(
        because.words(&both),
        "You cannot open this app: Members need a team that was given it, and none of yours was; \
         ask ann@acme.test (Super Admin) or adam@acme.test (Admin)"
    );
    let four = ["a@acme.test", "b@acme.test", "c@acme.test", "d@acme.test"];
    assert!(
        because
            .words(&names(&four.map(|name| (name, Role::Admin))))
            .ends_with("; ask a@acme.test, b@acme.test or c@acme.test, who are Admins")
    );
}

#[test]
fn a_stranger_is_told_nobody_s_name() {
    let because = refusal(4, "billing.update", &billing());
    let said = because.words(&names(&[("ann@acme.test", Role::SuperAdmin)]));
    assert_eq!(
        said,
        "You are not in this organization, so you cannot change billing; somebody there has to invite you"
    );
}

#[test]
fn whoever_could_be_asked_is_asked_only_by_people_of_the_organization() {
    let mut world = acme();
    world.organizations[1].roles[2] = Some(Role::Admin);
    for person in 0..PEOPLE {
        for question in QUESTIONS.iter() {
            if let Decision::Refuse(because) = ask(&world, &session(person), question)
                && because.needs.is_some()
            {
                assert!(
                    because.role.is_some() && because.needs > because.role
                        || because.code == Code::InstanceNotGiven,
                    "{because:?}"
                );
            }
        }
    }
}

#[test]
fn every_reason_has_words_for_every_action() {
    for code in Code::ALL {
        for row in TABLE {
            for role in [None, Some(Role::Admin)] {
                let because = Because {
                    code,
                    action: row.action,
                    role,
                    needs: role,
                };
                for names in [
                    Names::default(),
                    names(&[("ann@acme.test", Role::SuperAdmin)]),
                ] {
                    let said = because.words(&names);
                    let is_whole = said.len() > 20
                        && said.starts_with(|first: char| first.is_uppercase() || first == '"')
                        && !said.ends_with(['.', ' ', ';'])
                        && !said.contains("  ");
                    assert!(is_whole, "{code:?} {}: {said:?}", row.name);
                }
            }
        }
    }
}
