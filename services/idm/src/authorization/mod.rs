//! The API that every service asks: may they? Questions come from services of the platform alone, on a port
//! of their own that the gateway does not lead to; who asks proves it by the token of a ServiceAccount.
//!
//! ```text
//! service ──token──> callers ──> http ──> store (facts, in one reading) ──> acl::may ──> answer, version
//! ```
//!
//! Nothing is kept between two questions: a change that was committed is in every answer after it, whichever
//! replica gives it. Whoever keeps an answer all the same hears of changes (`changes`). The words of a question and its answer stand here.

pub mod callers;
pub mod changes;
pub mod http;
pub mod store;

use serde::{Deserialize, Serialize};

use crate::acl::{self, Action, Actor, Because, Decision, Facts, Names, Resource};

/// Questions in one batch, at most.
pub const MOST: usize = 100;
/// Seconds that one may wait for a change; a replica that ends waits for no longer.
pub const LONGEST_WAIT: u64 = 20;

/// May this one do that?
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    pub actor: Asked,
    pub action: Action,
    /// Its organization by uid or by name.
    pub resource: Resource,
}

/// Several questions, answered by one reading.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Questions {
    pub questions: Vec<Question>,
}

/// Whose apps?
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhoseApps {
    pub actor: Asked,
}

/// Since when is something else?
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Since {
    /// The version that is known.
    pub after: i64,
    /// Seconds to wait for a larger one.
    pub wait: u64,
}

/// The version of what decides who may do what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Version {
    pub version: i64,
}

/// Whom it is asked about.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    /// A person, by uid.
    Person(String),
    /// The token of a session, as the browser's cookie has it.
    Session(String),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Of what decides who may do what; more with every change.
    pub version: i64,
}

/// They may, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum Verdict {
    Allow,
    Refuse {
        #[serde(flatten)]
        because: Reason,
        /// For the person who wanted it.
        words: String,
    },
}

/// Why not, for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Reason {
    /// What the model says.
    Model(Because),
    /// There is no such session, or not any more.
    NoSession { code: &'static str },
}

/// Answers to several questions, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answers {
    pub answers: Vec<Verdict>,
    pub version: i64,
}

/// The apps that somebody may open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Apps {
    pub apps: Vec<App>,
    pub version: i64,
}

/// An app that somebody may open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct App {
    /// The organization's name.
    pub organization: String,
    /// The instance's name in it.
    pub name: String,
    pub title: String,
    pub url: String,
}

/// Those of the apps that a person may open, in the same order.
#[must_use]
pub fn openable(person: &str, found: Vec<(App, Resource, Facts)>) -> Vec<App> {
    let actor = Actor::session(person);
    let may_open =
        |resource: &Resource, facts: Facts| !acl::openable(&actor, [(resource, facts)]).is_empty();
    found
        .into_iter()
        .filter(|(_, resource, facts)| may_open(resource, *facts))
        .map(|(app, ..)| app)
        .collect()
}

impl Verdict {
    /// As the model decides; the names are of people whom one could ask.
    #[must_use]
    pub fn of(decision: Decision, names: &Names) -> Self {
        match decision {
            Decision::Allow => Self::Allow,
            Decision::Refuse(because) => Self::Refuse {
                words: because.words(names),
                because: Reason::Model(because),
            },
        }
    }

    /// Nobody is signed in by this token.
    #[must_use]
    pub fn no_session() -> Self {
        Self::Refuse {
            because: Reason::NoSession {
                code: "SessionEnded",
            },
            words: "This session has ended; sign in again".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::{Code, Role};
    use serde_json::json;

    #[test]
    fn answers_are_written_as_the_documentation_has_them() {
        let because = Because {
            code: Code::RoleTooLow,
            action: Action::UpdateBilling,
            role: Some(Role::PowerUser),
            needs: Some(Role::SuperAdmin),
        };
        let answer = Answer {
            verdict: Verdict::of(Decision::Refuse(because), &Names::default()),
            version: 7,
        };
        assert_eq!(
            serde_json::to_value(answer).unwrap(),
            json!({
                "decision": "refuse", "code": "RoleTooLow", "action": "billing.update",
                "role": "Power User", "needs": "Super Admin", "version": 7,
                "words": "Power Users cannot change billing; ask a Super Admin",
            })
        );
        let ended = Answer {
            verdict: Verdict::no_session(),
            version: 7,
        };
        assert_eq!(
            serde_json::to_value(ended).unwrap(),
            json!({
                "decision": "refuse", "code": "SessionEnded", "version": 7,
                "words": "This session has ended; sign in again",
            })
        );
        let allowed = Answer {
            verdict: Verdict::Allow,
            version: 8,
        };
        assert_eq!(
            serde_json::to_value(allowed).unwrap(),
            json!({ "decision": "allow", "version": 8 })
        );
    }

    #[test]
    fn a_misspelt_question_is_none() {
        let question = |text: &str| serde_json::from_str::<Question>(text);
        let actor = r#""actor":{"person":"usr-1"}"#;
        let resource = r#""resource":{"kind":"billing","organization":"acme"}"#;
        assert!(
            question(&format!(
                "{{{actor},\"action\":\"billing.read\",{resource}}}"
            ))
            .is_ok()
        );
        for wrong in [
            format!("{{{actor},\"action\":\"billing.reed\",{resource}}}"),
            format!("{{{actor},\"action\":\"billing.read\",{resource},\"also\":1}}"),
            format!(
                "{{\"actor\":{{\"people\":\"usr-1\"}},\"action\":\"billing.read\",{resource}}}"
            ),
        ] {
            assert!(question(&wrong).is_err(), "{wrong}");
        }
    }
}
