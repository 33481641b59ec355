//! Of every row of the table: somebody who may, and somebody who may not, and why.

use std::collections::BTreeSet;

use idm::acl::{Action, Actor, Code, Decision, Resource, Role, Scopes, TABLE, may};

use super::{
    questions::{ask, token},
    world::{World, impersonating, key, organization_uid, person_uid, session},
};

// In organization 0. Nobody of them is in organization 1.
const ANN: usize = 0; // Super Admin
const ADAM: usize = 1; // Admin
const PIA: usize = 2; // Power User
const MONA: usize = 3; // Member, in team 0, which was given instance 0
const SAM: usize = 4; // staff, invited as Admin

/// The world that all examples are of.
pub fn acme() -> World {
    let mut world = World::default();
    world.people[SAM].is_staff = true;
    let acme = &mut world.organizations[0];
    acme.roles = [
        Some(Role::SuperAdmin),
        Some(Role::Admin),
        Some(Role::PowerUser),
        Some(Role::Member),
        None,
    ];
    acme.invitations[SAM] = Some(Role::Admin);
    acme.keys = [Some(Role::SuperAdmin), Some(Role::Member)];
    acme.teams[0].members[MONA] = true;
    acme.teams[0].instances[0] = true;
    world
}

fn in_acme(kind: &str) -> Resource {
    let organization = organization_uid(0);
    match kind {
        "organization" => Resource::Organization { organization },
        "billing" => Resource::Billing { organization },
        "audit" => Resource::Audit { organization },
        "team" => Resource::Team {
            organization,
            team: Some("team-0".to_owned()),
        },
        "client" => Resource::Client {
            organization,
            name: Some("client-0".to_owned()),
        },
        other => panic!("{other}"),
    }
}

fn person(at: usize) -> Resource {
    Resource::Person {
        person: person_uid(at),
    }
}

fn member(at: usize, role: impl Into<Option<Role>>) -> Resource {
    Resource::Member {
        organization: organization_uid(0),
        person: Some(person_uid(at)),
        role: role.into(),
    }
}

fn api_key(at: usize, role: impl Into<Option<Role>>) -> Resource {
    Resource::ApiKey {
        organization: organization_uid(0),
        key: Some(format!("key-{at}")),
        role: role.into(),
    }
}

fn app(at: usize) -> Resource {
    Resource::Instance {
        organization: organization_uid(0),
        name: Some(format!("app-{at}")),
    }
}

type Example = (Action, (Actor, Resource), (Actor, Resource), Code);

#[rustfmt::skip] // One line for each row can be read beside the table.
fn examples() -> Vec<Example> {
    use Action as A;
    use Code as C;
    use Role::{Admin, Member, PowerUser, SuperAdmin};
    let by = session;
    let platform = || Resource::Platform {};
    vec![
        (A::OpenAdminPanel,      (by(SAM), platform()),                 (by(ANN), platform()),                     C::OnlyStaff),
        (A::ListPeople,          (by(SAM), platform()),                 (key(0, SuperAdmin), platform()),          C::OnlyStaff),
        (A::ListOrganizations,   (by(SAM), platform()),                 (impersonating(SAM, ANN), platform()),     C::OnlyStaff),
        (A::ListClients,         (by(SAM), platform()),                 (Actor::Service, platform()),              C::ServicesOnlyAsk),
        (A::ReadPlatformAudit,   (by(SAM), platform()),                 (token(SAM, Scopes::default(), None), platform()), C::OutOfScope),
        (A::CreateOrganization,  (by(SAM), platform()),                 (by(MONA), platform()),                    C::OnlyStaff),
        (A::AskAboutOthers,      (Actor::Service, platform()),          (by(SAM), platform()),                     C::OnlyServices),

        (A::ReadOrganization,    (by(MONA), in_acme("organization")),   (key(1, SuperAdmin), in_acme("organization")), C::KeyOfAnotherOrganization),
        (A::UpdateOrganization,  (by(ANN), in_acme("organization")),    (by(ADAM), in_acme("organization")),       C::RoleTooLow),
        (A::DeleteOrganization,  (by(ANN), in_acme("organization")),    (by(SAM), in_acme("organization")),        C::NoMember),
        (A::SuspendOrganization, (by(SAM), in_acme("organization")),    (by(ANN), in_acme("organization")),        C::OnlyStaff),
        (A::RestoreOrganization, (by(SAM), in_acme("organization")),    (by(ANN), in_acme("organization")),        C::OnlyStaff),

        (A::ReadPerson,          (by(SAM), person(MONA)),               (by(ANN), person(MONA)),                   C::OnlyOneself),
        (A::UpdatePerson,        (by(MONA), person(MONA)),              (by(SAM), person(MONA)),                   C::OnlyOneself),
        (A::ListSessions,        (by(MONA), person(MONA)),              (key(0, SuperAdmin), person(MONA)),        C::OnlyPeople),
        (A::EndSession,          (by(MONA), person(MONA)),              (impersonating(SAM, MONA), person(MONA)),  C::NotWhileImpersonating),
        (A::ChangeCredentials,   (by(MONA), person(MONA)),              (impersonating(SAM, MONA), person(MONA)),  C::NotWhileImpersonating),
        (A::DeletePerson,        (by(ADAM), person(ADAM)),              (by(ANN), person(ANN)),                    C::LastSuperAdmin),
        (A::SuspendPerson,       (by(SAM), person(ANN)),                (by(SAM), person(SAM)),                    C::OnlyOthers),
        (A::RestorePerson,       (by(SAM), person(ANN)),                (by(ANN), person(MONA)),                   C::OnlyStaff),
        (A::GrantStaff,          (by(SAM), person(ANN)),                (token(SAM, "person.*".parse().unwrap(), None), person(ANN)), C::SessionNeeded),
        (A::RevokeStaff,         (by(SAM), person(ANN)),                (by(SAM), person(SAM)),                    C::OnlyOthers),
        (A::Impersonate,         (by(SAM), person(ANN)),                (impersonating(SAM, ANN), person(MONA)),   C::OnlyStaff),

        (A::InviteMember,        (by(ADAM), member(SAM, Admin)),        (by(ADAM), member(SAM, SuperAdmin)),       C::RoleAboveOwn),
        (A::WithdrawInvitation,  (by(ADAM), member(SAM, None)),         (by(ADAM), member(MONA, None)),            C::NotInvited),
        (A::AcceptInvitation,    (by(SAM), member(SAM, Admin)),         (by(SAM), member(SAM, SuperAdmin)),        C::NotInvited),
        (A::LeaveOrganization,   (by(MONA), member(MONA, None)),        (by(ANN), member(ANN, SuperAdmin)),        C::LastSuperAdmin),
        (A::ChangeRole,          (by(ADAM), member(MONA, PowerUser)),   (by(ANN), member(ANN, Admin)),             C::LastSuperAdmin),
        (A::RemoveMember,        (by(ADAM), member(ADAM, None)),        (by(ADAM), member(ANN, None)),             C::TargetAboveOwnRole),
        (A::AddToTeam,           (by(ADAM), member(PIA, None)),         (by(ADAM), member(SAM, None)),             C::TargetNotThere),
        (A::RemoveFromTeam,      (key(0, Admin), member(MONA, None)),   (by(PIA), member(PIA, None)),              C::RoleTooLow),

        (A::ReadApiKeys,         (by(ADAM), api_key(0, None)),          (by(PIA), api_key(0, None)),               C::RoleTooLow),
        (A::CreateApiKey,        (by(ADAM), api_key(2, Admin)),         (key(0, SuperAdmin), api_key(2, Member)),  C::SessionNeeded),
        (A::RevokeApiKey,        (by(ADAM), api_key(1, None)),          (by(ADAM), api_key(0, None)),              C::TargetAboveOwnRole),

        (A::CreateTeam,          (by(ADAM), in_acme("team")),           (by(PIA), in_acme("team")),                C::RoleTooLow),
        (A::UpdateTeam,          (by(ADAM), in_acme("team")),           (by(PIA), in_acme("team")),                C::RoleTooLow),
        (A::DeleteTeam,          (by(ANN), in_acme("team")),            (by(MONA), in_acme("team")),               C::RoleTooLow),
        (A::GiveInstance,        (by(ADAM), in_acme("team")),           (by(MONA), in_acme("team")),               C::RoleTooLow),
        (A::TakeInstance,        (by(ADAM), in_acme("team")),           (by(SAM), in_acme("team")),                C::NoMember),

        (A::ReadInstance,        (by(SAM), app(1)),                     (by(MONA), app(1)),                        C::InstanceNotGiven),
        (A::OpenInstance,        (by(MONA), app(0)),                    (by(SAM), app(0)),                         C::NoMember),
        (A::OrderInstance,       (by(ADAM), app(1)),                    (by(PIA), app(1)),                         C::RoleTooLow),
        (A::UpdateInstance,      (by(ADAM), app(0)),                    (by(PIA), app(0)),                         C::RoleTooLow),
        (A::DestroyInstance,     (by(ANN), app(0)),                     (by(ADAM), app(0)),                        C::RoleTooLow),

        (A::ReadBilling,         (by(ANN), in_acme("billing")),         (by(ADAM), in_acme("billing")),            C::RoleTooLow),
        (A::UpdateBilling,       (impersonating(SAM, ANN), in_acme("billing")), (by(SAM), in_acme("billing")),     C::NoMember),

        (A::ReadAudit,           (by(SAM), in_acme("audit")),           (by(PIA), in_acme("audit")),               C::RoleTooLow),
        (A::ExportAudit,         (by(ADAM), in_acme("audit")),          (by(PIA), in_acme("audit")),               C::RoleTooLow),

        (A::ReadClients,         (by(SAM), in_acme("client")),          (by(MONA), in_acme("client")),             C::RoleTooLow),
        (A::CreateClient,        (by(ADAM), in_acme("client")),         (by(PIA), in_acme("client")),              C::RoleTooLow),
        (A::UpdateClient,        (by(ADAM), in_acme("client")),         (by(SAM), in_acme("client")),              C::NoMember),
        (A::DeleteClient,        (by(ADAM), in_acme("client")),         (by(PIA), in_acme("client")),              C::RoleTooLow),
        (A::RotateClientSecret,  (by(ADAM), in_acme("client")),         (impersonating(SAM, ADAM), in_acme("client")), C::NotWhileImpersonating),
    ]
}

fn code(decision: Decision) -> Option<Code> {
    match decision {
        Decision::Allow => None,
        Decision::Refuse(because) => Some(because.code),
    }
}

#[test]
fn every_row_has_somebody_who_may_and_somebody_who_may_not() {
    let acme = acme();
    let mut seen = Vec::new();
    for (action, (allowed, to), (refused, not_to), why) in examples() {
        seen.push(action);
        assert_eq!(code(ask(&acme, &allowed, &(action, to))), None, "{action}");
        let decision = ask(&acme, &refused, &(action, not_to));
        assert_eq!(code(decision), Some(why), "{action}");
    }
    let rows: Vec<Action> = TABLE.iter().map(|row| row.action).collect();
    assert_eq!(seen, rows);
}

/// What the rows' examples leave out.
fn further_refusals() -> Vec<(World, Actor, Action, Resource, Code)> {
    let mut suspended = acme();
    suspended.people[ANN].is_suspended = true;
    let mut frozen = acme();
    frozen.organizations[0].is_suspended = true;
    let mut other_staff = acme();
    other_staff.people[ANN].is_staff = true;
    vec![
        (
            acme(),
            session(ANN),
            Action::OpenInstance,
            in_acme("billing"),
            Code::UnknownQuestion,
        ),
        (
            suspended,
            session(ANN),
            Action::ReadPerson,
            person(ANN),
            Code::PersonSuspended,
        ),
        (
            frozen,
            session(PIA),
            Action::OpenInstance,
            app(0),
            Code::OrganizationSuspended,
        ),
        (
            other_staff,
            session(SAM),
            Action::Impersonate,
            person(ANN),
            Code::StaffNotImpersonated,
        ),
        (
            acme(),
            session(SAM),
            Action::Impersonate,
            person(SAM),
            Code::OnlyOthers,
        ),
        (
            acme(),
            impersonating(PIA, ANN),
            Action::OpenInstance,
            app(0),
            Code::ImpersonationEnded,
        ),
        (
            acme(),
            session(ANN),
            Action::InviteMember,
            member(SAM, None),
            Code::RoleMissing,
        ),
        (
            acme(),
            session(ANN),
            Action::InviteMember,
            member(MONA, Role::Member),
            Code::MemberAlready,
        ),
    ]
}

#[test]
fn every_code_is_the_answer_to_something() {
    let mut seen: BTreeSet<Code> = examples().into_iter().map(|(_, _, _, why)| why).collect();
    for (world, actor, action, resource, why) in further_refusals() {
        assert_eq!(code(ask(&world, &actor, &(action, resource))), Some(why));
        seen.insert(why);
    }
    assert_eq!(seen, BTreeSet::from(Code::ALL));
}

#[test]
fn who_leaves_to_be_super_admin_leaves() {
    let acme = acme();
    for action in [Action::LeaveOrganization, Action::RemoveMember] {
        let question = (action, member(ANN, Role::SuperAdmin));
        let decision = ask(&acme, &session(ANN), &question);
        assert_eq!(code(decision), Some(Code::LastSuperAdmin), "{action}");
    }
}

#[test]
fn a_second_super_admin_lets_the_first_go_unless_suspended() {
    let mut acme = acme();
    acme.organizations[0].roles[ADAM] = Some(Role::SuperAdmin);
    let leaves = (Action::LeaveOrganization, member(ANN, None));
    assert!(ask(&acme, &session(ANN), &leaves).is_allowed());
    acme.people[ADAM].is_suspended = true;
    assert_eq!(
        code(ask(&acme, &session(ANN), &leaves)),
        Some(Code::LastSuperAdmin)
    );
    let removes = (Action::RemoveMember, member(ADAM, None));
    assert!(ask(&acme, &session(ANN), &removes).is_allowed());
}

#[test]
fn a_forged_impersonation_of_oneself_is_none() {
    let acme = acme();
    let (actor, panel) = (impersonating(SAM, SAM), Resource::Platform {});
    let facts = acme.facts(&actor, &panel);
    let decision = may(&facts, &actor, Action::OpenAdminPanel, &panel);
    assert_eq!(code(decision), Some(Code::StaffNotImpersonated));
}
