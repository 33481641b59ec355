//! The public keys, as others fetch them.

use axum::{
    Json,
    extract::State,
    http::header::CACHE_CONTROL,
    response::{IntoResponse, Response},
};

use crate::{
    app::Shared,
    error::{Error, Failure},
};

/// Where others look for them.
pub const PATH: &str = "/.well-known/jwks.json";
/// A key is published a day before it signs.
const SOON: &str = "public, max-age=300";

/// `GET /.well-known/jwks.json`
pub async fn show(State(app): State<Shared>) -> Result<Response, Error> {
    let keys = app.keys.get().ok_or(Failure::NoKeys)?;
    let jwks = keys.public().to_jwks(app.now());
    Ok(([(CACHE_CONTROL, SOON)], Json(jwks)).into_response())
}
