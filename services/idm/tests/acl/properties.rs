//! What holds in every world.

use idm::acl::{
    Action, Actor, Code, Decision, Facts, Kind, Least, Role, Row, Rule, Scope, Scopes, TABLE, may,
};
use proptest::{prelude::*, sample::select};

use super::{
    cases,
    questions::{QUESTIONS, RESOURCES, actor, ask, scopes, token},
    world::{ORGANIZATIONS, PEOPLE, impersonating, key, organization_uid, role, session, world},
};

fn code(decision: Decision) -> Option<Code> {
    match decision {
        Decision::Allow => None,
        Decision::Refuse(because) => Some(because.code),
    }
}

fn rows_with(rule: Rule) -> impl Iterator<Item = &'static Row> {
    TABLE.iter().filter(move |row| row.has(rule))
}

proptest! {
    #![proptest_config(cases(400))]

    /// The two exceptions: the last Super Admin stays, where who is less could go; and who is in
    /// accepts no invitation, where a stranger could.
    #[test]
    fn who_is_more_may_whatever_who_is_less_may(
        mut world in world(),
        me in 0..PEOPLE,
        at in 0..ORGANIZATIONS,
        behind in prop::option::weighted(0.2, 0..PEOPLE),
        scopes in prop::option::weighted(0.2, scopes()),
    ) {
        let actor = match (behind, scopes) {
            (Some(by), None) => impersonating(by, me),
            (by, Some(scopes)) => token(me, scopes, by),
            (None, None) => session(me),
        };
        let ladder: Vec<Option<Role>> = [None].into_iter().chain(Role::ALL.map(Some)).collect();
        let mut before: Option<Vec<bool>> = None;
        for role in ladder {
            world.organizations[at].roles[me] = role;
            let mut now = Vec::new();
            for (number, question) in QUESTIONS.iter().enumerate() {
                let decision = ask(&world, &actor, question);
                let could = before.as_ref().is_some_and(|before| before[number]);
                if could && !decision.is_allowed() {
                    let is_me = question.1.person() == actor.person();
                    let is_meant = match code(decision) {
                        Some(Code::LastSuperAdmin) => role == Some(Role::SuperAdmin),
                        Some(Code::MemberAlready) => question.0 == Action::AcceptInvitation,
                        _ => false,
                    };
                    prop_assert!(is_me && is_meant, "as {:?}: {:?} {:?}", role, question, decision);
                }
                now.push(decision.is_allowed());
            }
            before = Some(now);
        }
    }

    #[test]
    fn a_key_that_is_more_may_whatever_one_that_is_less_may(
        world in world(),
        at in 0..ORGANIZATIONS,
        (less, more) in (role(), role()).prop_map(|(one, other)| (one.min(other), one.max(other))),
    ) {
        for question in QUESTIONS.iter() {
            let could = ask(&world, &key(at, less), question).is_allowed();
            prop_assert!(!could || ask(&world, &key(at, more), question).is_allowed(), "{:?}", question);
        }
    }

    #[test]
    fn a_key_may_no_more_than_a_person_of_its_role_and_only_in_its_organization(
        mut world in world(), me in 0..PEOPLE, at in 0..ORGANIZATIONS, role in role(),
    ) {
        world.people[me].is_suspended = false;
        world.people[me].is_staff = false;
        world.organizations[at].roles[me] = Some(role);
        let place = organization_uid(at);
        for question in QUESTIONS.iter() {
            if ask(&world, &key(at, role), question).is_allowed() {
                prop_assert_eq!(question.1.organization(), Some(place.as_str()));
                prop_assert!(ask(&world, &session(me), question).is_allowed(), "{:?}", question);
            }
        }
    }

    #[test]
    fn scopes_only_narrow(
        world in world(),
        me in 0..PEOPLE,
        behind in prop::option::weighted(0.3, 0..PEOPLE),
        (some, more) in (scopes(), scopes()),
    ) {
        let both: Scopes = format!("{} {}", String::from(some.clone()), String::from(more)).parse().unwrap();
        let whole = behind.map_or_else(|| session(me), |by| impersonating(by, me));
        for question in QUESTIONS.iter() {
            let by_some = ask(&world, &token(me, some.clone(), behind), question).is_allowed();
            let by_both = ask(&world, &token(me, both.clone(), behind), question).is_allowed();
            let by_session = ask(&world, &whole, question).is_allowed();
            prop_assert!(!by_some || by_both, "{:?}", question);
            prop_assert!(!by_both || by_session, "{:?}", question);
            prop_assert!(!by_some || some.contain(question.0), "{:?}", question);
        }
    }

    #[test]
    fn a_token_with_all_scopes_is_as_good_as_its_person_but_for_what_wants_a_session(
        world in world(), me in 0..PEOPLE,
    ) {
        let all: Scopes = Kind::ALL.into_iter().map(Scope::All).collect();
        for question in QUESTIONS.iter() {
            let by_token = ask(&world, &token(me, all.clone(), None), question).is_allowed();
            let by_session = ask(&world, &session(me), question).is_allowed();
            let wants_session = question.0.row().has(Rule::SignedIn);
            prop_assert_eq!(by_token, by_session && !wants_session, "{:?}", question);
        }
    }

    #[test]
    fn impersonation_only_narrows(world in world(), by in 0..PEOPLE, me in 0..PEOPLE) {
        let actor = impersonating(by, me);
        let (behind, before) = (world.people[by], world.people[me]);
        let stands = behind.is_staff && !behind.is_suspended && !before.is_staff && by != me;
        for question in QUESTIONS.iter() {
            let row = question.0.row();
            let decision = ask(&world, &actor, question);
            let themself = ask(&world, &session(me), question).is_allowed();
            let expected = stands && themself && !row.has(Rule::NotImpersonating);
            prop_assert_eq!(decision.is_allowed(), expected, "{:?} {:?}", question, decision);
            prop_assert!(!(decision.is_allowed() && row.least == Least::Staff));
        }
    }

    #[test]
    fn who_is_suspended_can_do_nothing_nor_can_anybody_in_their_place(
        mut world in world(), me in 0..PEOPLE, other in 0..PEOPLE, scopes in scopes(),
    ) {
        world.people[me].is_suspended = true;
        let actors = [
            session(me),
            token(me, scopes, None),
            impersonating(other, me),
            impersonating(me, other),
        ];
        for actor in &actors {
            for question in QUESTIONS.iter() {
                prop_assert!(!ask(&world, actor, question).is_allowed(), "{:?} {:?}", actor, question);
            }
        }
    }

    #[test]
    fn in_a_suspended_organization_only_what_is_marked_goes_on(
        mut world in world(), actor in actor(), at in 0..ORGANIZATIONS,
    ) {
        world.organizations[at].is_suspended = true;
        let place = organization_uid(at);
        for question in QUESTIONS.iter().filter(|it| it.1.organization() == Some(&place)) {
            if ask(&world, &actor, question).is_allowed() {
                prop_assert!(question.0.row().has(Rule::EvenSuspended), "{:?}", question);
            }
        }
    }

    #[test]
    fn the_staff_flag_opens_neither_instances_nor_billing(mut world in world(), me in 0..PEOPLE) {
        for organization in &mut world.organizations {
            organization.roles[me] = None;
            organization.invitations[me] = None;
        }
        world.people[me] = super::world::Person { is_staff: true, is_suspended: false };
        for question in QUESTIONS.iter() {
            let row = question.0.row();
            if ask(&world, &session(me), question).is_allowed() && question.1.organization().is_some() {
                let reads = row.name.ends_with(".read") || row.name == "audit.export";
                prop_assert!(reads || row.least == Least::Staff, "{:?}", question);
                prop_assert!(row.on != Kind::Billing && row.action != Action::OpenInstance);
            }
        }
    }

    #[test]
    fn a_service_asks_and_nothing_else(world in world()) {
        for question in QUESTIONS.iter() {
            let is_asking = question.0 == Action::AskAboutOthers;
            prop_assert_eq!(ask(&world, &Actor::Service, question).is_allowed(), is_asking);
        }
    }

    #[test]
    fn what_the_table_does_not_have_is_refused(facts in any_facts(), actor in actor()) {
        for row in TABLE {
            for resource in RESOURCES.iter().filter(|it| it.kind() != row.on) {
                let decision = may(&facts, &actor, row.action, resource);
                prop_assert_eq!(code(decision), Some(Code::UnknownQuestion));
            }
        }
    }

    /// Facts that fit no world, from a caller who mixed something up, do not help.
    #[test]
    fn whatever_the_facts_say_a_key_is_no_person_and_nobody_stands_in_for_themself(
        facts in any_facts(), me in 0..PEOPLE, at in 0..ORGANIZATIONS, role in role(),
    ) {
        let place = organization_uid(at);
        for (action, resource) in QUESTIONS.iter() {
            let decision = may(&facts, &key(at, role), *action, resource);
            let least = action.row().least.role();
            let is_here = resource.organization() == Some(place.as_str());
            let is_in_its_power = is_here && least.is_some_and(|least| role >= least);
            prop_assert!(!decision.is_allowed() || is_in_its_power, "{} {:?}", action, resource);
            if let Decision::Refuse(because) = decision {
                prop_assert!(is_here || because.role.is_none(), "{:?}", because);
            }
            let decision = may(&facts, &impersonating(me, me), *action, resource);
            prop_assert!(!decision.is_allowed(), "{} {:?}", action, resource);
        }
    }

    /// Facts that were forgotten are those of a stranger.
    #[test]
    fn without_facts_one_may_only_what_is_ones_own(me in 0..PEOPLE) {
        for (action, resource) in QUESTIONS.iter() {
            let decision = may(&Facts::default(), &session(me), *action, resource);
            let is_own = action.row().on == Kind::Person && resource.person() == session(me).person();
            prop_assert!(!decision.is_allowed() || is_own, "{} {:?}", action, resource);
        }
    }
}

/// Any facts at all, even such as no world has.
fn any_facts() -> impl Strategy<Value = Facts> {
    let role = || prop::option::of(select(Role::ALL.to_vec()));
    (
        (role(), role(), role()),
        prop::array::uniform7(any::<bool>()),
        0..3_u32,
    )
        .prop_map(
            |((role, target_role, invited_as), flags, other_super_admins)| Facts {
                role,
                is_staff: flags[0],
                is_suspended: flags[1],
                may_impersonator_go_on: flags[2],
                is_given: flags[3],
                is_organization_suspended: flags[4],
                target_role,
                is_target_staff: flags[5],
                invited_as,
                other_super_admins,
            },
        )
}

#[test]
fn only_reading_is_open_to_staff_without_a_role_and_none_of_it_asks_more() {
    for row in rows_with(Rule::StaffToo) {
        let reads = ["read", "export", "list-sessions"];
        let deed = row.name.split_once('.').unwrap().1;
        assert!(reads.contains(&deed), "{}", row.name);
        // Staff is answered before any other rule of the row is looked at.
        let allowed = [
            Rule::StaffToo,
            Rule::EvenSuspended,
            Rule::OnlyOneself,
            Rule::GivenTeamsToo,
        ];
        assert!(
            row.rules.iter().all(|rule| allowed.contains(rule)),
            "{}",
            row.name
        );
    }
}

/// Credentials (sessions, keys and secrets are such), roles (coming and going is such), the staff flag,
/// and impersonation.
#[test]
fn what_is_never_done_in_somebody_elses_place_is_marked() {
    let marked: Vec<&str> = rows_with(Rule::NotImpersonating)
        .map(|row| row.name)
        .collect();
    assert_eq!(
        marked,
        [
            "person.end-session",
            "person.change-credentials",
            "person.delete",
            "person.grant-staff",
            "person.revoke-staff",
            "person.impersonate",
            "member.invite",
            "member.accept-invitation",
            "member.leave",
            "member.change-role",
            "member.remove",
            "api-key.create",
            "api-key.revoke",
            "client.rotate-secret",
        ]
    );
}

#[test]
fn whatever_gives_or_takes_a_role_is_not_done_in_somebody_elses_place() {
    let about_roles = [
        Rule::GivesUpToOwnRole,
        Rule::AsInvited,
        Rule::SuperAdminRemains,
    ];
    for row in TABLE {
        if about_roles.iter().any(|rule| row.has(*rule)) {
            assert!(row.has(Rule::NotImpersonating), "{}", row.name);
        }
        // Who gives or changes a role is somebody, and above or beside whom it concerns.
        if row.has(Rule::GivesUpToOwnRole) {
            assert_eq!(row.least, Least::Admin, "{}", row.name);
        }
    }
}
