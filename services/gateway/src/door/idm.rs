//! What is asked of idm, and what it answers (`docs/operations/people.md`). Every question has a time limit,
//! and whatever is no clear answer counts as none.

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use service::telemetry::with_causes;
use tokio::time::Instant;

use super::remembered::Entry;

/// A person waits for it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of an answer: two tokens and a few words.
const LARGEST: usize = 64 * 1024;

/// Asks idm.
pub struct Idm {
    services: String,
    token: PathBuf,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// Somebody may pass.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// A new pass, where there is one.
    pub pass: Option<String>,
    entry: Told,
}

#[derive(Debug, Deserialize)]
struct Told {
    identity: String,
    identity_ends_at: Timestamp,
    pass_ends_at: Timestamp,
    is_admin: bool,
    instance: String,
    is_checked: bool,
    version: i64,
}

/// As the metrics have it.
pub fn name(answer: &Result<Answer, NoAnswer>) -> &'static str {
    match answer {
        Ok(_) => "In",
        Err(NoAnswer::Away) => "Away",
        Err(NoAnswer::MayNot { .. }) => "MayNot",
        Err(NoAnswer::Ticket { .. }) => "TicketNotGood",
        Err(NoAnswer::SignIn) => "SignIn",
    }
}

/// Why nobody is let in by an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// idm does not answer, or not so that we understand it.
    Away,
    /// They are signed in, and may not open this app.
    MayNot {
        /// For the person.
        words: String,
    },
    /// The ticket is none, was used before or is for another place; the code is for the log alone.
    Ticket { code: String },
    /// There is no such session, or not any more.
    SignIn,
}

#[derive(Deserialize)]
struct Problem {
    reason: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    words: Option<String>,
}

#[derive(Deserialize)]
struct Version {
    version: i64,
}

impl Answer {
    /// As it is remembered; `known` is the version that was known before it was asked, and an answer that
    /// idm could not check is good for `unchecked`.
    pub fn into_entry(self, known: i64, unchecked: Duration) -> Entry {
        let told = self.entry;
        let now = Instant::now();
        let until = |end: Timestamp| {
            let left = end.duration_since(Timestamp::now());
            now + Duration::try_from(left).unwrap_or_default()
        };
        let identity_until = until(told.identity_ends_at);
        Entry {
            identity: HeaderValue::try_from(told.identity).ok(),
            identity_until,
            pass_until: until(told.pass_ends_at),
            fresh_until: if told.is_checked {
                identity_until.checked_sub(super::AHEAD).unwrap_or(now)
            } else {
                now + unchecked
            },
            is_admin: told.is_admin && told.is_checked,
            instance: told.instance.into(),
            version: if told.is_checked { told.version } else { known },
        }
    }
}

impl Idm {
    pub fn new(services: String, token: PathBuf) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(PATIENCE / 2));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .build(connector);
        Self {
            services,
            token,
            client,
        }
    }

    /// Makes a ticket a pass, once.
    pub async fn redeem(&self, ticket: &str, host: &str, path: &str) -> Result<Answer, NoAnswer> {
        let question = json!({ "ticket": ticket, "host": host, "path": path });
        self.ask("/v1/door/redeem", &question).await
    }

    /// What a pass is worth.
    pub async fn enter(&self, pass: &str, host: &str) -> Result<Answer, NoAnswer> {
        let question = json!({ "pass": pass, "host": host });
        self.ask("/v1/door/enter", &question).await
    }

    /// The version of what decides who may do what: when it is another one than `after`, or after `wait`.
    pub async fn version(&self, after: i64, wait: Duration) -> Option<i64> {
        let path = format!("/v1/changes?after={after}&wait={}", wait.as_secs());
        let sent = self.send(Method::GET, &path, Bytes::new(), wait + PATIENCE);
        let answer = told::<Version>(sent.await).ok()?;
        Some(answer.version)
    }

    async fn ask(&self, path: &str, question: &Value) -> Result<Answer, NoAnswer> {
        let body = question.to_string().into();
        told(self.send(Method::POST, path, body, PATIENCE).await)
    }

    /// Status and body of an answer; `None` when there is none.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        patience: Duration,
    ) -> Option<(StatusCode, Bytes)> {
        let sending = async {
            // Kubernetes writes a new one long before the old one ends.
            let token = tokio::fs::read_to_string(&self.token).await?;
            let request = Request::builder()
                .method(method)
                .uri(format!("{}{path}", self.services))
                .header(AUTHORIZATION, format!("Bearer {}", token.trim()))
                .header(CONTENT_TYPE, "application/json")
                .body(Full::new(body))?;
            let answer = self.client.request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LARGEST);
            let body = body
                .collect()
                .await
                .map_err(|error| anyhow::anyhow!(error))?;
            anyhow::Ok((status, body.to_bytes()))
        };
        match tokio::time::timeout(patience, sending).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => {
                tracing::debug!(path, "idm does not answer: {error:#}");
                None
            }
            Err(_) => {
                tracing::debug!(path, "idm does not answer in time");
                None
            }
        }
    }
}

/// What an answer says.
fn told<T: DeserializeOwned>(answer: Option<(StatusCode, Bytes)>) -> Result<T, NoAnswer> {
    let (status, body) = answer.ok_or(NoAnswer::Away)?;
    if status == StatusCode::OK {
        return serde_json::from_slice(&body).map_err(|error| {
            tracing::warn!(
                "idm's answer is not understood: {}",
                with_causes(error.to_string(), &error)
            );
            NoAnswer::Away
        });
    }
    let problem = serde_json::from_slice::<Problem>(&body).ok();
    let Some(problem) = problem.filter(|_| status == StatusCode::FORBIDDEN) else {
        // 401: it is us who are not believed, and not the visitor.
        if status.is_client_error() {
            tracing::warn!(%status, "idm does not take our question");
        }
        return Err(NoAnswer::Away);
    };
    Err(match problem.reason.as_str() {
        "MayNot" => NoAnswer::MayNot {
            words: problem.words.unwrap_or_default(),
        },
        "TicketRefused" | "TicketUsed" => NoAnswer::Ticket {
            code: problem.code.unwrap_or(problem.reason),
        },
        "PassRefused" => {
            let code = problem.code.unwrap_or_default();
            tracing::info!(code, "a pass is refused");
            NoAnswer::SignIn
        }
        "SessionEnded" => NoAnswer::SignIn,
        // The question itself is refused: we may not ask.
        _ => NoAnswer::Away,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> NoAnswer {
        let status = StatusCode::from_u16(status).unwrap();
        told::<Answer>(Some((status, body.to_owned().into()))).unwrap_err()
    }

    #[test]
    fn only_a_clear_no_is_one() {
        assert_eq!(
            refused(403, r#"{"reason":"MayNot","words":"ask ann"}"#),
            NoAnswer::MayNot {
                words: "ask ann".into()
            }
        );
        assert_eq!(
            refused(403, r#"{"reason":"SessionEnded"}"#),
            NoAnswer::SignIn
        );
        assert_eq!(
            refused(403, r#"{"reason":"PassRefused","code":"Expired"}"#),
            NoAnswer::SignIn
        );
        assert_eq!(
            refused(403, r#"{"reason":"TicketRefused","code":"WrongHost"}"#),
            NoAnswer::Ticket {
                code: "WrongHost".into()
            }
        );
        for (status, body) in [
            (403, r#"{"reason":"NotAService"}"#),
            (403, "<html>"),
            (401, r#"{"reason":"SessionEnded"}"#),
            (500, r#"{"reason":"SessionEnded"}"#),
            (503, "{}"),
            (200, "{}"),
            (302, ""),
        ] {
            assert_eq!(refused(status, body), NoAnswer::Away, "{status} {body}");
        }
        assert_eq!(told::<Answer>(None).unwrap_err(), NoAnswer::Away);
    }
}
