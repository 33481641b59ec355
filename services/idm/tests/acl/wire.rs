//! The model on the wire: what is written is read again, and a slip is told what there is.

use idm::acl::{Action, Code, Decision, Kind, Resource, Role, Scopes, TABLE, Unknown};
use serde_json::{Value, from_value, json, to_value};

use super::{
    examples::acme,
    questions::{RESOURCES, ask},
    world::{organization_uid, session},
};

fn wrong<T: std::fmt::Debug + serde::de::DeserializeOwned>(value: Value) -> String {
    from_value::<T>(value).unwrap_err().to_string()
}

#[test]
fn an_action_is_its_name_and_begins_with_its_kind() {
    let mut names = std::collections::BTreeSet::new();
    for row in TABLE {
        assert_eq!(row.action.row().name, row.name);
        assert_eq!(to_value(row.action).unwrap(), json!(row.name));
        assert_eq!(from_value::<Action>(json!(row.name)).unwrap(), row.action);
        assert_eq!(row.name.split_once('.').unwrap().0, row.on.name());
        assert!(names.insert(row.name), "{} stands twice", row.name);
    }
    for name in ["instance.open", "member.change-role", "billing.update"] {
        assert!(names.contains(name));
    }
}

#[test]
fn a_slip_is_told_which_actions_there_are() {
    assert_eq!(
        wrong::<Action>(json!("instance.opne")),
        "\"instance.opne\" is no action on instance; there are: instance.read, instance.open, \
         instance.order, instance.update, instance.destroy"
    );
    assert_eq!(
        wrong::<Action>(json!("app.open")),
        "\"app.open\" is no action: it begins with a kind of resource and a dot; there are: platform, \
         organization, person, member, api-key, team, instance, billing, audit, client"
    );
    let told = |result: Result<_, Unknown>| result.unwrap_err().to_string();
    assert_eq!(
        told("super admin".parse::<Role>().map(|_| ())),
        "\"super admin\" is no role; there are: Member, Power User, Admin, Super Admin"
    );
    assert!(
        told("apps.*".parse::<Scopes>().map(|_| ()))
            .starts_with("\"apps\" is no kind of resource; there are: platform")
    );
    assert!(
        wrong::<Resource>(json!({"kind": "app"}))
            .contains("expected one of `platform`, `organization`")
    );
}

#[test]
fn roles_are_the_texts_that_apps_know() {
    let texts = ["Member", "Power User", "Admin", "Super Admin"];
    for (role, text) in Role::ALL.into_iter().zip(texts) {
        assert_eq!(to_value(role).unwrap(), json!(text));
        assert_eq!(from_value::<Role>(json!(text)).unwrap(), role);
        assert_eq!(text.parse::<Role>().unwrap(), role);
    }
    assert!(Role::ALL.is_sorted());
}

#[test]
fn a_resource_is_read_as_it_was_written() {
    for resource in RESOURCES.iter() {
        let value = to_value(resource).unwrap();
        assert_eq!(value["kind"], resource.kind().name());
        assert_eq!(&from_value::<Resource>(value).unwrap(), resource);
    }
    let kinds = Kind::ALL.map(|kind| kind.name().parse::<Kind>().unwrap());
    assert_eq!(kinds, Kind::ALL);
    assert_eq!(to_value(Kind::ApiKey).unwrap(), json!("api-key"));
}

#[test]
fn a_misspelled_name_does_not_become_whichever() {
    let value = json!({"kind": "instance", "organization": "org-0", "nmae": "app-0"});
    assert!(wrong::<Resource>(value).contains("unknown field `nmae`"));
    let value = json!({"kind": "platform", "organization": "org-0"});
    assert!(wrong::<Resource>(value).contains("unknown field `organization`"));
}

#[test]
fn a_decision_is_one_flat_object() {
    let billing = Resource::Billing {
        organization: organization_uid(0),
    };
    let refused = ask(&acme(), &session(2), &(Action::UpdateBilling, billing));
    let value = json!({
        "decision": "refuse",
        "code": "RoleTooLow",
        "action": "billing.update",
        "role": "Power User",
        "needs": "Super Admin",
    });
    assert_eq!(to_value(refused).unwrap(), value);
    assert_eq!(from_value::<Decision>(value).unwrap(), refused);
    assert_eq!(
        to_value(Decision::Allow).unwrap(),
        json!({"decision": "allow"})
    );
}

#[test]
fn the_codes_are_all_listed() {
    let told = wrong::<Code>(json!("?"));
    let known = told.matches('`').count() / 2;
    assert_eq!(known - 1, Code::ALL.len(), "{told}");
}

#[test]
fn scopes_are_words_in_one_text_and_those_of_others_open_nothing() {
    let scopes: Scopes = from_value(json!("instance.open team.*")).unwrap();
    assert_eq!(
        to_value(scopes.clone()).unwrap(),
        json!("instance.open team.*")
    );
    assert!(scopes.contain(Action::OpenInstance) && scopes.contain(Action::DeleteTeam));
    assert!(!scopes.contain(Action::ReadInstance));
    assert_eq!(
        Scopes::of_claim("openid instance.open profile team.*"),
        scopes
    );
    assert!(wrong::<Scopes>(json!("openid")).contains("begins with a kind of resource"));
    assert!(!Scopes::default().contain(Action::ReadPerson));
}
