//! Where a browser comes that an application sends to sign in: it goes back with a code, or with what is wrong. Only
//! to an address that the application is registered with; until that is sure whatever is wrong is a page of ours.

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse, Redirect, Response},
};
use jiff::Timestamp;

use super::{
    AUTHORIZE,
    parameters::Parameters,
    refusal::Refusal,
    request::{Prompt, Request},
    store::{self, May},
};
use crate::{
    app::{App, Shared},
    clients::{self, Client},
    door,
    error::{Error, Rejection},
    identifier::Kind,
    sessions::Session,
    web::Visit,
};

/// The way back to an application.
struct Back<'a> {
    /// One of those it is registered with.
    uri: &'a str,
    state: Option<&'a str>,
    /// So that it can tell us from others (RFC 9207).
    issuer: &'a str,
}

impl Back<'_> {
    fn with(&self, answer: &[(&str, &str)]) -> Response {
        let mut answer = answer.to_vec();
        answer.extend(self.state.map(|state| ("state", state)));
        answer.push(("iss", self.issuer));
        Redirect::to(&with_query(self.uri, &answer)).into_response()
    }

    fn refuse(&self, refusal: Refusal) -> Response {
        self.with(&[
            ("error", refusal.error),
            ("error_description", refusal.words),
        ])
    }
}

/// An address with more in its query (RFC 6749 §3.1.2: what was there stays).
#[must_use]
pub fn with_query(uri: &str, more: &[(&str, &str)]) -> String {
    let more = serde_urlencoded::to_string(more).unwrap_or_default();
    let joint = match uri.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    if more.is_empty() {
        uri.to_owned()
    } else {
        format!("{uri}{joint}{more}")
    }
}

/// `GET /oauth2/authorize`
pub async fn show(
    State(app): State<Shared>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let query = query.unwrap_or_default();
    let parameters = Parameters::read(query.as_bytes()).ok_or(Rejection::UnknownClient)?;
    let uid = parameters.get("client_id");
    let client = registered(&app, uid.ok_or(Rejection::UnknownClient)?).await?;
    let uri = parameters.get("redirect_uri");
    let uri = uri
        .filter(|uri| client.redirect_uris.iter().any(|it| it == uri))
        .ok_or(Rejection::UnknownRedirect)?;
    let back = Back {
        uri,
        state: parameters.get("state"),
        issuer: &app.settings.public_origin,
    };
    let request = match Request::read(&parameters) {
        Ok(request) => request,
        Err(refusal) => return Ok(back.refuse(refusal)),
    };
    let session = visit.session.as_ref();
    let is_due = match session {
        Some(session) => is_sign_in_due(&request, session, app.now()),
        None => true,
    };
    let (false, Some(session)) = (is_due, session) else {
        if request.prompt == Prompt::Never {
            let words = "Nobody is signed in, or not lately enough.";
            return Ok(back.refuse(Refusal::new("login_required", words)));
        }
        return Ok(to_sign_in(&parameters));
    };
    let ask = Ask {
        client: &client,
        request: &request,
        session,
    };
    answer(&app, &visit, &ask, &back).await
}

/// The application of a `client_id`.
///
/// # Errors
/// When there is none, or the database does not answer.
pub async fn registered(app: &App, uid: &str) -> Result<Client, Error> {
    let mut connection = app.connection().await?;
    let client = clients::store::find(&mut connection, uid).await?;
    Ok(client.ok_or(Rejection::UnknownClient)?)
}

/// Whether somebody who is signed in has to prove anew that it is them.
fn is_sign_in_due(request: &Request, session: &Session, now: Timestamp) -> bool {
    let age = now.duration_since(session.signed_in_at).as_secs();
    let is_too_old = request
        .max_age
        .is_some_and(|most| most == 0 || age > i64::from(most));
    request.prompt == Prompt::Always || is_too_old
}

/// To the sign-in and back. What asks for it is left out on the way back, so that it is asked for once; the
/// application sees by `auth_time` that it was done.
fn to_sign_in(parameters: &Parameters) -> Response {
    let next = format!("{AUTHORIZE}?{}", parameters.without(&["prompt", "max_age"]));
    let query = [("anew", "true"), ("next", next.as_str())];
    Redirect::to(&with_query("/sign-in", &query)).into_response()
}

/// An application asks for somebody.
struct Ask<'a> {
    client: &'a Client,
    request: &'a Request,
    session: &'a Session,
}

async fn answer(
    app: &App,
    visit: &Visit,
    ask: &Ask<'_>,
    back: &Back<'_>,
) -> Result<Response, Error> {
    let Ask {
        client,
        request,
        session,
    } = ask;
    let now = app.now();
    let mut transaction = app.begin().await?;
    let (person, lifetimes) = (&session.person.uid, &app.settings.lifetimes);
    let may = store::may(
        &mut transaction,
        client,
        person,
        &session.uid,
        lifetimes,
        now,
    )
    .await?;
    match may {
        May::Gone => return Err(Rejection::NotSignedIn.into()),
        May::No(..) if request.prompt == Prompt::Never => {
            let words = "This person may not open this application.";
            return Ok(back.refuse(Refusal::new("access_denied", words)));
        }
        May::No(because, names) => {
            return door::http::closed(app, visit, session, host(back.uri), because.words(&names));
        }
        May::Yes(_) => {}
    }
    let code = app.token();
    let new = store::New {
        uid: &app.uid(Kind::Connection),
        client: &client.uid,
        session: &session.uid,
        redirect_uri: back.uri,
        request,
        code: &code.digest(),
    };
    store::insert(&mut transaction, &new, now).await?;
    transaction.commit().await.map_err(Error::from)?;
    Ok(back.with(&[("code", code.expose())]))
}

/// The host of a registered address, for people.
fn host(uri: &str) -> String {
    let after = uri.split_once("://").map_or(uri, |(_, after)| after);
    let end = after.find(['/', '?']).unwrap_or(after.len());
    after.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_joins_what_an_address_asks_for_already() {
        for (uri, expected) in [
            ("https://a.test/cb", "https://a.test/cb?code=c%26d"),
            ("https://a.test/cb?", "https://a.test/cb?code=c%26d"),
            ("https://a.test/cb?x=1", "https://a.test/cb?x=1&code=c%26d"),
        ] {
            assert_eq!(with_query(uri, &[("code", "c&d")]), expected);
        }
        assert_eq!(with_query("https://a.test/", &[]), "https://a.test/");
    }

    #[test]
    fn people_are_shown_the_host() {
        assert_eq!(
            host("https://shop.acme.test:8443/cb?x"),
            "shop.acme.test:8443"
        );
        assert_eq!(host("https://shop.acme.test?x=/"), "shop.acme.test");
    }
}
