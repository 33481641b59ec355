//! The API on the wire: JSON in, JSON or problem+json (RFC 9457) out. Every address is for services alone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, MatchedPath, Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use service::{problem, telemetry::with_causes};
use sqlx::{Connection as _, PgConnection};

use super::{
    Answer, Answers, Apps, Asked, LONGEST_WAIT, MOST, Question, Questions, Since, Verdict, Version,
    WhoseApps,
    callers::{Caller, Callers},
    openable, store,
};
use crate::{
    acl::{self, Actor},
    app::Shared,
    door,
    error::{Error, Failure, SERVICE},
    language::Language,
    secret::Token,
    sessions,
};

/// Bytes of a body: a hundred questions.
const LARGEST: usize = 64 * 1024;

/// Where one waits for news.
const CHANGES: &str = "/v1/changes";

/// What the handlers share.
#[derive(Clone)]
pub struct Port {
    pub app: Shared,
    pub callers: Arc<Callers>,
}

/// Every address, behind the question who asks.
pub fn router(port: Port) -> Router {
    Router::new()
        .route("/v1/may", post(may))
        .route("/v1/may/batch", post(batch))
        .route("/v1/apps", post(apps))
        .route(CHANGES, get(changes))
        .route("/v1/door/redeem", post(door::services::redeem))
        .route("/v1/door/enter", post(door::services::enter))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "NotFound", "there is nothing here"))
        .layer(DefaultBodyLimit::max(LARGEST))
        .layer(middleware::from_fn_with_state(port.clone(), admit))
        .with_state(port)
}

/// What is wrong with a request, or with us.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    reason: &'static str,
    detail: String,
    /// What it says beside that, for programs that know the reason.
    more: Map<String, Value>,
}

impl Problem {
    /// A problem of this status and reason.
    pub fn new(status: StatusCode, reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            detail: detail.into(),
            more: Map::new(),
        }
    }

    /// With one thing more to say.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadQuestion", detail)
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let causes = with_causes(failure.to_string(), &failure);
        tracing::error!("a question was not answered: {causes}");
        let facts = Error::from(failure).facts(Language::English.texts());
        Self::new(facts.status, facts.reason, facts.detail)
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Failure::from(error).into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let is_retryable = self.status == StatusCode::SERVICE_UNAVAILABLE;
        let mut body = service::Problem {
            service: SERVICE,
            reason: self.reason,
            status: self.status.as_u16(),
            title: self.status.canonical_reason().unwrap_or_default(),
            detail: &self.detail,
            is_retryable,
        }
        .to_json();
        if let Some(members) = body.as_object_mut() {
            members.extend(self.more);
        }
        let content_type = [(header::CONTENT_TYPE, problem::CONTENT_TYPE)];
        let mut response = (self.status, content_type, body.to_string()).into_response();
        if is_retryable {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Lets services in that may ask, and nobody else; counts, and writes the line of the log.
async fn admit(State(port): State<Port>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let (caller, response) = match identify(&port.callers, request.headers()).await {
        Ok(caller) => (caller, next.run(request).await),
        Err((caller, problem)) => (caller, problem.into_response()),
    };
    let status = response.status().as_u16();
    let metrics = &port.app.metrics;
    if route == CHANGES {
        metrics.waited(&route, status);
    } else {
        metrics.answered(&route, status, begun.elapsed());
    }
    // Thousands of answers in a second are counted, and not told one by one.
    if response.status().is_success() {
        tracing::debug!(caller, route, status, "answered a service");
    } else {
        tracing::info!(caller, route, status, "refused a service");
    }
    response
}

/// The name of a service that may ask, or why it may not.
async fn identify(callers: &Callers, headers: &HeaderMap) -> Result<String, (String, Problem)> {
    let refuse = |caller: &str, status, reason, detail: &str| {
        Err((caller.to_owned(), Problem::new(status, reason, detail)))
    };
    let value = headers.get(header::AUTHORIZATION);
    let token = value
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .unwrap_or_default();
    if token.is_empty() {
        return refuse(
            "nobody",
            StatusCode::UNAUTHORIZED,
            "NoToken",
            "send the token of your ServiceAccount for the audience tutti-idm: Authorization: Bearer …",
        );
    }
    match callers.identify(token).await {
        Ok(Caller::Service(name)) => Ok(name),
        Ok(Caller::Other(name)) => refuse(
            &name,
            StatusCode::FORBIDDEN,
            "NotAService",
            "this ServiceAccount may not ask; the chart's value idm.services names those that may",
        ),
        Ok(Caller::Nobody) => refuse(
            "nobody",
            StatusCode::UNAUTHORIZED,
            "BadToken",
            "this is no valid token of a ServiceAccount for the audience tutti-idm",
        ),
        Err(error) => {
            let causes = with_causes(error.to_string(), &error);
            tracing::warn!("the API server does not say whose a token is: {causes}");
            refuse(
                "unknown",
                StatusCode::SERVICE_UNAVAILABLE,
                "ClusterAway",
                "the API server does not say whose this token is; ask again",
            )
        }
    }
}

/// Reads what was asked.
///
/// # Errors
/// Which field is wrong.
pub fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    // The message names the field and what may stand there.
    serde_json::from_slice(body).map_err(|error| Problem::bad(error.to_string()))
}

/// An answer.
pub fn told<T: Serialize>(answer: T) -> Response {
    Json(answer).into_response()
}

/// `POST /v1/may`
async fn may(State(port): State<Port>, body: Bytes) -> Result<Response, Problem> {
    let question: Question = read(&body)?;
    let mut connection = port.app.connection().await?;
    let (verdict, version) = answer(&port.app, &mut connection, question).await?;
    Ok(told(Answer { verdict, version }))
}

/// `POST /v1/may/batch`
async fn batch(State(port): State<Port>, body: Bytes) -> Result<Response, Problem> {
    let Questions { questions } = read(&body)?;
    if questions.is_empty() || questions.len() > MOST {
        return Err(Problem::bad(format!(
            "questions: {} are asked; ask 1 to {MOST} at once",
            questions.len()
        )));
    }
    let mut connection = port.app.connection().await?;
    let mut transaction = connection.begin().await?;
    // All answers are of one moment.
    sqlx::query("set transaction isolation level repeatable read, read only")
        .execute(&mut *transaction)
        .await?;
    let mut answers = Vec::with_capacity(questions.len());
    let mut version = 0;
    for question in questions {
        let (verdict, read_with) = answer(&port.app, &mut transaction, question).await?;
        answers.push(verdict);
        version = read_with;
    }
    transaction.commit().await?;
    Ok(told(Answers { answers, version }))
}

/// `POST /v1/apps`: which apps may they open?
async fn apps(State(port): State<Port>, body: Bytes) -> Result<Response, Problem> {
    let WhoseApps { actor } = read(&body)?;
    let mut connection = port.app.connection().await?;
    let mut transaction = connection.begin().await?;
    sqlx::query("set transaction isolation level repeatable read, read only")
        .execute(&mut *transaction)
        .await?;
    let version = store::version(&mut transaction).await?;
    let apps = match find(&port.app, &mut transaction, actor).await? {
        Some(person) => {
            let found = store::apps(&mut transaction, &person).await?;
            openable(&person, found)
        }
        None => Vec::new(),
    };
    transaction.commit().await?;
    Ok(told(Apps { apps, version }))
}

/// `GET /v1/changes`: which version is it, once it is a larger one?
async fn changes(
    State(port): State<Port>,
    since: Result<Query<Since>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(Since { after, wait }) = since.map_err(|error| Problem::bad(error.body_text()))?;
    if wait > LONGEST_WAIT {
        return Err(Problem::bad(format!(
            "wait: {wait} seconds are asked for; wait at most {LONGEST_WAIT}"
        )));
    }
    let version = port
        .app
        .changes
        .after(after, Duration::from_secs(wait))
        .await?;
    Ok(told(Version { version }))
}

/// Whom is it asked about? `None` when a session has ended.
async fn find(
    app: &Shared,
    on: &mut PgConnection,
    asked: Asked,
) -> Result<Option<String>, sqlx::Error> {
    let token = match asked {
        Asked::Person(uid) => return Ok(Some(uid)),
        Asked::Session(token) => token,
    };
    let Some(token) = Token::read(&token) else {
        return Ok(None);
    };
    let lifetimes = &app.settings.lifetimes;
    let found = sessions::store::find(on, &token.digest(), lifetimes, app.now()).await?;
    Ok(found.map(|session| session.person.uid))
}

async fn answer(
    app: &Shared,
    on: &mut PgConnection,
    question: Question,
) -> Result<(Verdict, i64), Problem> {
    let Question {
        actor,
        action,
        resource,
    } = question;
    let Some(person) = find(app, on, actor).await? else {
        return Ok((Verdict::no_session(), store::version(on).await?));
    };
    let known = store::facts(on, &person, &resource, app.now()).await?;
    let decision = acl::may(&known.facts, &Actor::session(&person), action, &resource);
    let names = store::able_instead(on, &decision, &known).await?;
    Ok((Verdict::of(decision, &names), known.version))
}
