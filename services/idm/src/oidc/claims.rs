//! What an application is told of somebody: in the ID token, and by userinfo (Core §5). Pure.

use serde::Serialize;
use tokens::{IdToken, Role};

use super::store::{Connection, Who};
use crate::sign_in;

/// What userinfo says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserInfo {
    /// Uid of the person.
    pub sub: String,
    /// Uid of the organization.
    pub organization: String,
    pub role: Role,
    /// Names of the person's teams in the organization. Too many for an ID token, which may stand in a cookie.
    pub teams: Vec<String>,
    #[serde(flatten)]
    pub profile: Profile,
}

/// What an application asks for by `scope`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Profile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_verified: Option<bool>,
}

impl Profile {
    /// As far as the scope goes (Core §5.4).
    #[must_use]
    pub fn of(who: &Who, scope: &str) -> Self {
        let has = |word: &str| scope.split(' ').any(|it| it == word);
        let (person, profile, email) = (&who.person, has("profile"), has("email"));
        Self {
            name: profile.then(|| person.name.clone()),
            locale: profile.then(|| person.locale.code().to_owned()),
            email: email.then(|| person.email.clone()),
            email_verified: email.then_some(person.is_confirmed),
        }
    }
}

/// For userinfo.
#[must_use]
pub fn user_info(who: Who, scope: &str) -> UserInfo {
    UserInfo {
        profile: Profile::of(&who, scope),
        sub: who.person.uid,
        organization: who.organization,
        role: who.role.into(),
        teams: who.teams,
    }
}

/// For the ID token. `nonce` is the one that the application gave, the first time.
#[must_use]
pub fn id_token(connection: &Connection, who: &Who, nonce: Option<String>) -> IdToken {
    let profile = Profile::of(who, &connection.scope);
    let (acr, amr) = ways(&connection.ways);
    IdToken {
        client: connection.client.clone(),
        person: who.person.uid.clone(),
        session: connection.session.clone(),
        nonce,
        auth_time: connection.signed_in_at.as_second(),
        acr: acr.to_owned(),
        amr: amr.iter().map(|way| (*way).to_owned()).collect(),
        organization: who.organization.clone(),
        role: who.role.into(),
        name: profile.name,
        locale: profile.locale,
        email: profile.email,
        email_verified: profile.email_verified,
    }
}

/// How sure it is that it is them, and by what they proved it (RFC 8176 §2), of what the session was begun with.
fn ways(ways: &str) -> (&'static str, &'static [&'static str]) {
    match ways {
        sign_in::AUTHENTICATOR_APP => ("2", &["pwd", "otp", "mfa"]),
        sign_in::RECOVERY_CODE => ("2", &["pwd", "mfa"]),
        // A password, or a link in a mail with which one was chosen.
        _ => ("1", &["pwd"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{acl, language::Language, people::Person};
    use jiff::Timestamp;

    fn who() -> Who {
        Who {
            person: Person {
                uid: "usr-1".to_owned(),
                email: "ann@acme.test".to_owned(),
                name: "Ann".to_owned(),
                locale: Language::German,
                is_staff: true,
                is_suspended: false,
                is_confirmed: true,
                has_totp: false,
                created_at: Timestamp::UNIX_EPOCH,
            },
            organization: "org-1".to_owned(),
            role: acl::Role::PowerUser,
            teams: vec!["Sales".to_owned()],
        }
    }

    #[test]
    fn an_application_hears_what_it_asked_for_and_what_somebody_is_in_the_organization() {
        let told = |scope| serde_json::to_value(user_info(who(), scope)).unwrap();
        let least = serde_json::json!({
            "sub": "usr-1", "organization": "org-1", "role": "Power User", "teams": ["Sales"],
        });
        assert_eq!(told("openid"), least);
        let all = told("openid profile email");
        assert_eq!(
            (&all["name"], &all["locale"]),
            (&"Ann".into(), &"de".into())
        );
        assert_eq!(all["email"], "ann@acme.test");
        assert_eq!(all["email_verified"], true);
        assert!(told("openid email")["name"].is_null());
    }

    #[test]
    fn two_factors_are_told_from_one() {
        assert_eq!(ways("password"), ("1", &["pwd"][..]));
        assert_eq!(ways("authenticator app"), ("2", &["pwd", "otp", "mfa"][..]));
        assert_eq!(ways("recovery code"), ("2", &["pwd", "mfa"][..]));
    }
}
