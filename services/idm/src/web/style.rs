//! What pages look like: the one style sheet, with the brand's colour before it, and the logo.

use axum::{
    extract::State,
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::{IntoResponse, Response},
};

use crate::{
    app::Shared,
    error::{Error, Rejection},
};

const SHEET: &str = include_str!("../../templates/style.css");
/// A new version is seen soon after it was rolled out.
const SOON: &str = "public, max-age=300";

/// `GET /style.css`
pub async fn sheet(State(app): State<Shared>) -> Response {
    let brand = app.settings.brand.colour;
    let variables = format!(
        ":root {{ --brand: {}; --on-brand: {} }}\n",
        brand.css(),
        brand.readable().css()
    );
    let headers = [
        (CONTENT_TYPE, "text/css; charset=utf-8"),
        (CACHE_CONTROL, SOON),
    ];
    (headers, variables + SHEET).into_response()
}

/// `GET /logo`
pub async fn logo(State(app): State<Shared>) -> Result<Response, Error> {
    let logo = app
        .settings
        .brand
        .logo
        .as_ref()
        .ok_or(Rejection::NotFound)?;
    let headers = [(CONTENT_TYPE, logo.content_type), (CACHE_CONTROL, SOON)];
    Ok((headers, logo.bytes.clone()).into_response())
}
