//! What a token is good for: userinfo (Core §5.3), introspection (RFC 7662) and revocation (RFC 7009).

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::json;
use sqlx::PgConnection;

use super::{
    claims,
    credentials::{self, Asked, Body},
    parameters::Parameters,
    refusal::{INVALID_TOKEN, Refusal, Stop},
    store::{self, By, Connection, May},
    token::halves,
};
use crate::{
    app::{App, Shared},
    clients::{self, Client},
    error::Failure,
    secret::Token,
};

/// `GET /oauth2/userinfo`, and `POST` as well.
pub async fn userinfo(State(app): State<Shared>, headers: HeaderMap) -> Result<Response, Stop> {
    let token = credentials::bearer(&headers)?;
    let mut transaction = app.begin().await?;
    let found = by_access(&app, &mut transaction, &token).await?;
    let connection = found.ok_or(INVALID_TOKEN)?;
    app.pace
        .admit(&connection.client, app.now())
        .map_err(Stop::TooMuch)?;
    let client = clients::store::find(&mut transaction, &connection.client).await?;
    let client = client.ok_or(INVALID_TOKEN)?;
    let (lifetimes, now) = (&app.settings.lifetimes, app.now());
    let may = connection.may(&mut transaction, &client, lifetimes, now);
    let May::Yes(who) = may.await? else {
        return Err(INVALID_TOKEN.into());
    };
    Ok(Json(claims::user_info(*who, &connection.scope)).into_response())
}

/// `POST /oauth2/introspect`: an application asks about its own tokens.
pub async fn introspect(
    State(app): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Stop> {
    let Asked {
        client,
        form,
        mut transaction,
    } = Asked::read(&app, &headers, body).await?;
    let found = find(&app, &mut transaction, &client, token(&form)?).await?;
    let Some((connection, by)) = found else {
        return Ok(inactive());
    };
    let (lifetimes, now) = (&app.settings.lifetimes, app.now());
    let may = connection.may(&mut transaction, &client, lifetimes, now);
    let May::Yes(who) = may.await? else {
        return Ok(inactive());
    };
    let ends_at = match by {
        By::Access => connection.access_ends_at.map(jiff_sqlx::Timestamp::to_jiff),
        By::Code | By::Handle => None,
    };
    let mut body = json!({
        "active": true,
        "iss": app.settings.public_origin,
        "client_id": client.uid,
        "aud": client.uid,
        "sub": who.person.uid,
        "scope": connection.scope,
    });
    if let Some(ends_at) = ends_at {
        body["token_type"] = "Bearer".into();
        body["exp"] = ends_at.as_second().into();
    }
    Ok(Json(body).into_response())
}

/// Why it is not good is nobody's business (RFC 7662 §2.2).
fn inactive() -> Response {
    Json(json!({ "active": false })).into_response()
}

/// `POST /oauth2/revoke`: with a refresh token all ends that the application was given with it.
pub async fn revoke(
    State(app): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Stop> {
    let Asked {
        client,
        form,
        mut transaction,
    } = Asked::read(&app, &headers, body).await?;
    let found = find(&app, &mut transaction, &client, token(&form)?).await?;
    match found {
        Some((connection, By::Access)) => {
            store::end_access(&mut transaction, &connection.uid).await?;
        }
        Some((connection, _)) => store::end(&mut transaction, &connection.uid).await?,
        // What is good for nothing already is revoked (RFC 7009 §2.2).
        None => {}
    }
    transaction.commit().await?;
    Ok(StatusCode::OK.into_response())
}

fn token(form: &Parameters) -> Result<&str, Refusal> {
    const MISSING: Refusal = Refusal::new("invalid_request", "token is missing.");
    form.get("token").ok_or(MISSING)
}

/// The connection of an access token or a refresh token, when it is good and of this application.
async fn find(
    app: &App,
    on: &mut PgConnection,
    client: &Client,
    text: &str,
) -> Result<Option<(Connection, By)>, Failure> {
    let found = if let Some((handle, secret)) = halves(text) {
        let found = store::find(on, By::Handle, &handle.digest()).await?;
        found
            .filter(|connection| connection.has_refresh(&secret.digest()))
            .map(|connection| (connection, By::Handle))
    } else if let Some(token) = Token::read(text) {
        let found = by_access(app, on, &token).await?;
        found.map(|connection| (connection, By::Access))
    } else {
        None
    };
    Ok(found.filter(|(connection, _)| connection.client == client.uid))
}

async fn by_access(
    app: &App,
    on: &mut PgConnection,
    token: &Token,
) -> Result<Option<Connection>, Failure> {
    let found = store::find(on, By::Access, &token.digest()).await?;
    let now = app.now();
    Ok(found.filter(|connection| {
        let ends_at = connection.access_ends_at.map(jiff_sqlx::Timestamp::to_jiff);
        ends_at.is_some_and(|ends_at| now < ends_at)
    }))
}
