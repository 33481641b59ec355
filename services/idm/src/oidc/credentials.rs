//! Who a program is: an application by its secret, in one of the two ways that all of them know (RFC 6749 §2.3.1), or
//! the bearer of an access token (RFC 6750 §2.1).

use axum::{
    body::Bytes,
    extract::rejection::BytesRejection,
    http::{HeaderMap, header},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use sqlx::{PgConnection, PgTransaction};

use super::{
    parameters::Parameters,
    refusal::{INVALID_CLIENT, INVALID_TOKEN, Refusal, Stop},
};
use crate::{
    app::App,
    clients::{self, Client},
    secret::Token,
};

/// What a request brings, as far as it could be read.
pub type Body = Result<Bytes, BytesRejection>;

/// What an application asks that has proven that it is itself.
pub struct Asked {
    pub client: Client,
    pub form: Parameters,
    /// In which it is answered.
    pub transaction: PgTransaction<'static>,
}

impl Asked {
    /// # Errors
    /// When it is no form, does not prove that it is itself, or asks too much.
    pub async fn read(app: &App, headers: &HeaderMap, body: Body) -> Result<Self, Stop> {
        let form = form(headers, body)?;
        let mut transaction = app.begin().await?;
        let client = client(app, &mut transaction, headers, &form).await?;
        Ok(Self {
            client,
            form,
            transaction,
        })
    }
}

/// A form as programs send it.
fn form(headers: &HeaderMap, body: Body) -> Result<Parameters, Refusal> {
    let wrong = |words| Err(Refusal::new("invalid_request", words));
    let Ok(body) = body else {
        return wrong("The body is too long, or ends too early.");
    };
    let kind = headers.get(header::CONTENT_TYPE).map(|it| it.as_bytes());
    if !kind.is_some_and(|kind| kind.starts_with(b"application/x-www-form-urlencoded")) {
        return wrong("The body is not application/x-www-form-urlencoded.");
    }
    let Some(form) = Parameters::read(&body) else {
        return wrong("The body is not a form.");
    };
    if form.has_twice() {
        return wrong("A parameter comes twice.");
    }
    Ok(form)
}

/// The application that asks.
async fn client(
    app: &App,
    on: &mut PgConnection,
    headers: &HeaderMap,
    form: &Parameters,
) -> Result<Client, Stop> {
    let (uid, secret) = credentials(headers, form)?;
    let client = clients::store::find(on, &uid).await?;
    let client = client.filter(|client| client.has_secret(&secret, app.now()));
    let client = client.ok_or(INVALID_CLIENT)?;
    app.pace
        .admit(&client.uid, app.now())
        .map_err(Stop::TooMuch)?;
    Ok(client)
}

/// `client_id` and client secret: in the header, or in the form, and not in both.
fn credentials(headers: &HeaderMap, form: &Parameters) -> Result<(String, String), Refusal> {
    let in_form = form.get("client_secret");
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        let both = form.get("client_id").zip(in_form);
        let (uid, secret) = both.ok_or(INVALID_CLIENT)?;
        return Ok((uid.to_owned(), secret.to_owned()));
    };
    if in_form.is_some() {
        let words = "The client secret comes both in the header and in the form.";
        return Err(Refusal::new("invalid_request", words));
    }
    let value = value.to_str().map_err(|_| INVALID_CLIENT)?;
    let (uid, secret) = basic(value).ok_or(INVALID_CLIENT)?;
    // In the form the application may name itself once more.
    match form.get("client_id") {
        Some(other) if other != uid => Err(INVALID_CLIENT),
        _ => Ok((uid, secret)),
    }
}

/// Both parts are encoded as a form is, before they are put together.
fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, text) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = BASE64_STANDARD.decode(text.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (uid, secret) = text.split_once(':')?;
    let decoded = |part: &str| {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(&format!("v={part}")).ok()?;
        let [(_, value)] = <[_; 1]>::try_from(pairs).ok()?;
        Some(value).filter(|value| !value.contains('\0'))
    };
    Some((decoded(uid)?, decoded(secret)?))
}

/// The access token that a request carries.
///
/// # Errors
/// When it carries none, or what cannot be one.
pub fn bearer(headers: &HeaderMap) -> Result<Token, Refusal> {
    let value = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '));
    match value {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Token::read(token.trim()).ok_or(INVALID_TOKEN)
        }
        _ => Err(INVALID_TOKEN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Option<&str>, form: &str) -> Result<(String, String), &'static str> {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        let form = Parameters::read(form.as_bytes()).unwrap();
        credentials(&headers, &form).map_err(|refusal| refusal.error)
    }

    #[test]
    fn an_application_proves_itself_in_one_way_at_a_time() {
        let well = Ok(("cli-1".to_owned(), "a b".to_owned()));
        let basic = format!("Basic {}", BASE64_STANDARD.encode("cli-1:a%20b"));
        assert_eq!(read(Some(&basic), ""), well);
        assert_eq!(read(Some(&basic), "client_id=cli-1"), well);
        assert_eq!(read(None, "client_id=cli-1&client_secret=a+b"), well);
        for (value, form, error) in [
            (None, "", "invalid_client"),
            (None, "client_id=cli-1", "invalid_client"),
            (None, "client_secret=a", "invalid_client"),
            (Some(basic.as_str()), "client_secret=a", "invalid_request"),
            (Some(basic.as_str()), "client_id=cli-2", "invalid_client"),
            (Some("Basic !"), "", "invalid_client"),
            (Some("Basic YQ=="), "", "invalid_client"),
            (Some("Bearer YTpi"), "", "invalid_client"),
            (Some("Basic"), "client_id=cli-1", "invalid_client"),
        ] {
            assert_eq!(read(value, form), Err(error), "{value:?} {form}");
        }
    }
}
