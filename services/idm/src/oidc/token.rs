//! An application redeems a code, or refreshes what it has (RFC 6749 §4.1.3 and §6; OAuth 2.1 §4.3).

use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde_json::json;
use sqlx::{PgConnection, PgTransaction};
use tokens::Envelope;

use super::{
    ACCESS_LIFE, claims,
    credentials::{Asked, Body},
    parameters::Parameters,
    pkce,
    refusal::{Refusal, Stop},
    store::{self, By, Connection, Given, May, Who},
};
use crate::{
    app::{App, Shared},
    audit::{self, Actor, Deed, Origin},
    clients::Client,
    error::Failure,
    identifier::Kind,
    secret::Token,
    web::Visit,
};

/// Characters of each half of a refresh token.
const HALF: usize = 43;

const fn invalid_grant(words: &'static str) -> Refusal {
    Refusal::new("invalid_grant", words)
}

const NO_CODE: Refusal =
    invalid_grant("The code is unknown, too old, used before, or of another client.");
const NO_REFRESH: Refusal =
    invalid_grant("The refresh token is unknown, used before, or of another client.");
const SESSION_ENDED: Refusal = invalid_grant("The person has signed out; have them sign in again.");
const MAY_NOT: Refusal = invalid_grant("The person may not open this application any more.");

/// `POST /oauth2/token`
pub async fn submit(
    State(app): State<Shared>,
    visit: Visit,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Stop> {
    let Asked {
        client,
        form,
        transaction,
    } = Asked::read(&app, &headers, body).await?;
    let call = Call {
        app: &app,
        origin: visit.origin(),
        client: &client,
    };
    match form.get("grant_type") {
        Some("authorization_code") => call.redeem(transaction, &form).await,
        Some("refresh_token") => call.refresh(transaction, &form).await,
        Some(_) => Err(Refusal::new(
            "unsupported_grant_type",
            "grant_type is neither authorization_code nor refresh_token.",
        )
        .into()),
        None => Err(Refusal::new("invalid_request", "grant_type is missing.").into()),
    }
}

/// An application that has proven that it is itself asks for something.
struct Call<'a> {
    app: &'a App,
    origin: Origin<'a>,
    client: &'a Client,
}

impl Call<'_> {
    async fn redeem(
        &self,
        mut transaction: PgTransaction<'static>,
        form: &Parameters,
    ) -> Result<Response, Stop> {
        let code = form.get("code").and_then(Token::read).ok_or(NO_CODE)?;
        let found = store::find(&mut transaction, By::Code, &code.digest()).await?;
        let connection = self.own(found).ok_or(NO_CODE)?;
        if connection.is_redeemed {
            return self
                .stolen(transaction, &connection, "CodeReplayed", NO_CODE)
                .await;
        }
        if connection.code_ends_at <= self.app.now() {
            return Err(NO_CODE.into());
        }
        if form.get("redirect_uri") != Some(connection.redirect_uri.as_str()) {
            let words = "redirect_uri is not the one that the code was asked for with.";
            return Err(invalid_grant(words).into());
        }
        let verifier = form.get("code_verifier").unwrap_or_default();
        if !pkce::fits(verifier, &connection.challenge) {
            let words = "code_verifier is missing or not the one of the code_challenge.";
            return Err(invalid_grant(words).into());
        }
        let nonce = connection.nonce.clone();
        self.give(transaction, &connection, self.app.token(), nonce)
            .await
    }

    async fn refresh(
        &self,
        mut transaction: PgTransaction<'static>,
        form: &Parameters,
    ) -> Result<Response, Stop> {
        let text = form.get("refresh_token").unwrap_or_default();
        let (handle, secret) = halves(text).ok_or(NO_REFRESH)?;
        let found = store::find(&mut transaction, By::Handle, &handle.digest()).await?;
        let connection = self.own(found).ok_or(NO_REFRESH)?;
        if !connection.has_refresh(&secret.digest()) {
            return self
                .stolen(transaction, &connection, "RefreshTokenReplayed", NO_REFRESH)
                .await;
        }
        let mut asked = form.get("scope").unwrap_or_default().split_whitespace();
        let had: Vec<&str> = connection.scope.split(' ').collect();
        if !asked.all(|scope| had.contains(&scope)) {
            let words = "scope asks for more than was given at first.";
            return Err(Refusal::new("invalid_scope", words).into());
        }
        // Its nonce belonged to the first answer (Core §12.2).
        self.give(transaction, &connection, handle, None).await
    }

    /// A connection of this application; of others' it hears nothing.
    fn own(&self, found: Option<Connection>) -> Option<Connection> {
        found.filter(|connection| connection.client == self.client.uid)
    }

    /// Something came a second time: one of two has stolen it, and nobody knows which. All ends that it gave.
    async fn stolen(
        &self,
        mut transaction: PgTransaction<'static>,
        connection: &Connection,
        reason: &'static str,
        refusal: Refusal,
    ) -> Result<Response, Stop> {
        self.revoke(&mut transaction, connection, reason).await?;
        transaction.commit().await?;
        Err(refusal.into())
    }

    async fn revoke(
        &self,
        on: &mut PgConnection,
        connection: &Connection,
        reason: &'static str,
    ) -> Result<(), Failure> {
        store::end(on, &connection.uid).await?;
        let details = [
            ("reason", reason),
            ("client", self.client.uid.as_str()),
            ("session", connection.session.as_str()),
        ];
        let new = audit::New {
            details: &details,
            ..audit::New::by(
                Actor::Visitor,
                Deed::ConnectionRevoked,
                Some(&connection.person),
            )
        };
        audit::store::append(on, self.origin, new, self.app.now()).await
    }

    /// Gives an access token, an ID token and a refresh token, if the person still may.
    async fn give(
        &self,
        mut transaction: PgTransaction<'static>,
        connection: &Connection,
        handle: Token,
        nonce: Option<String>,
    ) -> Result<Response, Stop> {
        let (app, now) = (self.app, self.app.now());
        let lifetimes = &app.settings.lifetimes;
        let may = connection.may(&mut transaction, self.client, lifetimes, now);
        let who = match may.await? {
            May::Yes(who) => who,
            May::Gone => return Err(SESSION_ENDED.into()),
            May::No(..) => {
                self.revoke(&mut transaction, connection, "MayNot").await?;
                transaction.commit().await?;
                return Err(MAY_NOT.into());
            }
        };
        let (access, refresh) = (app.token(), app.token());
        let given = Given {
            handle: &handle.digest(),
            refresh: &refresh.digest(),
            access: &access.digest(),
        };
        let id_token = self.sign(connection, &who, nonce)?;
        store::give(&mut transaction, &connection.uid, &given, now).await?;
        transaction.commit().await?;
        Ok(Json(json!({
            "access_token": access.expose(),
            "token_type": "Bearer",
            "expires_in": ACCESS_LIFE.as_secs(),
            "refresh_token": format!("{}{}", handle.expose(), refresh.expose()),
            "id_token": id_token,
            "scope": connection.scope,
        }))
        .into_response())
    }

    fn sign(
        &self,
        connection: &Connection,
        who: &Who,
        nonce: Option<String>,
    ) -> Result<String, Failure> {
        let app = self.app;
        let keys = app.keys.get().ok_or(Failure::NoKeys)?;
        let envelope = Envelope {
            issuer: &app.settings.public_origin,
            id: &app.uid(Kind::Token),
            now: app.now(),
            life: ACCESS_LIFE,
        };
        let token = claims::id_token(connection, who, nonce);
        keys.sign_for_client(&token, &envelope)
            .map_err(Failure::Sign)
    }
}

/// A refresh token is two secrets: by the first its connection is found, the second is another one each time.
#[must_use]
pub fn halves(text: &str) -> Option<(Token, Token)> {
    let (handle, secret) = text.split_at_checked(HALF)?;
    Some((Token::read(handle)?, Token::read(secret)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_token_is_two_secrets() {
        let (one, other) = (Token::new([1; 32]), Token::new([2; 32]));
        let text = format!("{}{}", one.expose(), other.expose());
        assert_eq!(halves(&text), Some((one.clone(), other)));
        for wrong in [
            "",
            one.expose(),
            &text[1..],
            &format!("{text}x"),
            &"ü".repeat(86),
        ] {
            assert_eq!(halves(wrong), None, "{wrong:?}");
        }
    }
}
