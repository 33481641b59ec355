//! What an application finds out about us by itself (OpenID Connect Discovery §3, RFC 8414).

use axum::{
    Json,
    extract::State,
    http::header::CACHE_CONTROL,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{AUTHORIZE, INTROSPECT, LOGOUT, REVOKE, TOKEN, USERINFO, request::SCOPES};
use crate::{app::Shared, keys};

/// Where applications look for it.
pub const PATH: &str = "/.well-known/openid-configuration";
const SOON: &str = "public, max-age=300";

/// `GET /.well-known/openid-configuration`
pub async fn show(State(app): State<Shared>) -> Response {
    let issuer = &app.settings.public_origin;
    answer(&document(issuer, issuer))
}

/// The same for servers of applications inside of the cluster: who we are and where browsers go is as everywhere, what
/// they ask by themselves they find here.
pub async fn show_inside(State(app): State<Shared>) -> Response {
    let issuer = &app.settings.public_origin;
    let inside = app.settings.backchannel.as_ref().unwrap_or(issuer);
    answer(&document(issuer, inside))
}

fn answer(document: &Value) -> Response {
    ([(CACHE_CONTROL, SOON)], Json(document)).into_response()
}

/// `servers`: where servers of applications ask.
fn document(issuer: &str, servers: &str) -> Value {
    let at = |path: &str| format!("{issuer}{path}");
    let inside = |path: &str| format!("{servers}{path}");
    let ways = ["client_secret_basic", "client_secret_post"];
    json!({
        "issuer": issuer,
        "authorization_endpoint": at(AUTHORIZE),
        "token_endpoint": inside(TOKEN),
        "userinfo_endpoint": inside(USERINFO),
        "introspection_endpoint": inside(INTROSPECT),
        "revocation_endpoint": inside(REVOKE),
        "end_session_endpoint": at(LOGOUT),
        "jwks_uri": inside(keys::http::PATH),
        "scopes_supported": SCOPES,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ways,
        "introspection_endpoint_auth_methods_supported": ways,
        "revocation_endpoint_auth_methods_supported": ways,
        "acr_values_supported": ["1", "2"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "claims_supported": [
            "iss", "aud", "azp", "sub", "sid", "iat", "nbf", "exp", "jti", "nonce", "auth_time", "acr", "amr", "name",
            "locale", "email", "email_verified", "organization", "role", "teams",
        ],
        "authorization_response_iss_parameter_supported": true,
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
    })
}
