//! An application signs somebody out (RP-Initiated Logout 1.0): of it, of us, and of everything that goes with the
//! session. By an ID token of this very session at once; without one the person is asked, so that no page of somebody
//! else's can sign people out.

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;
use tokens::IdToken;

use super::{
    authorize::{registered, with_query},
    parameters::Parameters,
};
use crate::{
    app::{App, Shared},
    clients::Client,
    error::{Error, Failure, Rejection},
    sessions,
    web::{
        Frame, Visit,
        cookie::{self, Name},
        page::{self, Notice},
    },
};

#[derive(Template)]
#[template(path = "logout.html")]
struct AskPage {
    frame: Frame,
}

/// `GET /oauth2/logout`
pub async fn show(
    State(app): State<Shared>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let query = query.unwrap_or_default();
    let parameters = Parameters::read(query.as_bytes()).ok_or(Rejection::UnknownClient)?;
    let hint = hint(&app, &parameters)?;
    let client = client(&app, &parameters, hint.as_ref()).await?;
    let back = way_back(&parameters, client.as_ref())?;
    let Some(session) = &visit.session else {
        return Ok(back);
    };
    if hint.is_none_or(|hint| hint.session != session.uid) {
        let page = AskPage {
            frame: Frame::new(&app, &visit),
        };
        return page::show(StatusCode::OK, &page);
    }
    sessions::http::end_own(&app, &visit, session).await?;
    let mut response = back;
    cookie::remove(&mut response, Name::Session);
    Ok(response)
}

/// The ID token that the application gives, if it is one of ours; it may have expired.
fn hint(app: &App, parameters: &Parameters) -> Result<Option<IdToken>, Error> {
    let Some(text) = parameters.get("id_token_hint") else {
        return Ok(None);
    };
    let Some(client) = addressee(text) else {
        return Ok(None);
    };
    let keys = app.keys.get().ok_or(Failure::NoKeys)?;
    let issuer = &app.settings.public_origin;
    let verified = keys.verify_hint(text, issuer, app.now(), &client);
    if let Err(refusal) = &verified {
        tracing::info!("an id_token_hint is not believed: {refusal}");
    }
    Ok(verified.ok())
}

/// For whom an ID token says that it is: where to verify it, and nothing to believe before.
fn addressee(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims {
        aud: String,
    }
    let claims = text.split('.').nth(1)?;
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    Some(claims.aud)
}

/// Who asks: by the hint, by `client_id`, and by both the same.
async fn client(
    app: &App,
    parameters: &Parameters,
    hint: Option<&IdToken>,
) -> Result<Option<Client>, Error> {
    let named = parameters.get("client_id");
    let hinted = hint.map(|hint| hint.client.as_str());
    let uid = match (named, hinted) {
        (Some(named), Some(hinted)) if named != hinted => {
            return Err(Rejection::UnknownClient.into());
        }
        (named, hinted) => named.or(hinted),
    };
    match uid {
        Some(uid) => registered(app, uid).await.map(Some),
        None => Ok(None),
    }
}

/// To an address that the application is registered with, or to the sign-in.
fn way_back(parameters: &Parameters, client: Option<&Client>) -> Result<Response, Error> {
    let Some(uri) = parameters.get("post_logout_redirect_uri") else {
        return Ok(page::lead("/sign-in", Some(Notice::SignedOut)));
    };
    let known = client.map(|client| client.post_logout_redirect_uris.as_slice());
    if !known.unwrap_or_default().iter().any(|it| it == uri) {
        return Err(Rejection::UnknownRedirect.into());
    }
    let state = parameters.get("state").map(|state| ("state", state));
    let state: Vec<(&str, &str)> = state.into_iter().collect();
    Ok(Redirect::to(&with_query(uri, &state)).into_response())
}
