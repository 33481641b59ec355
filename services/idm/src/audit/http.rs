//! The audit trail as JSON lines, one entry each: an organization's for its admins, all of it for the staff.

use axum::{
    extract::{Path, State},
    http::header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{Entry, Link, store};
use crate::{
    app::{App, Shared},
    error::{Error, Failure, Rejection},
    organizations::keeper,
    web::Visit,
};

/// An entry with its place in the chain, so that an export can be checked by itself.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    entry: &'a Entry,
    previous: String,
    digest: String,
}

/// One line of an export.
///
/// # Errors
/// Never: a struct of texts has a JSON.
pub fn line(link: &Link) -> Result<String, serde_json::Error> {
    let line = Line {
        entry: &link.entry,
        previous: link.previous.hex(),
        digest: link.digest.hex(),
    };
    serde_json::to_string(&line).map(|line| line + "\n")
}

async fn export(app: &App, organization: Option<&str>) -> Result<Response, Error> {
    let mut text = String::new();
    let mut after = 0;
    let mut connection = app.connection().await?;
    loop {
        let links = store::page(&mut connection, organization, after).await?;
        let Some(last) = links.last() else { break };
        after = last.entry.sequence;
        for link in &links {
            text += &line(link).map_err(Failure::Json)?;
        }
    }
    let headers = [
        (CONTENT_TYPE, "application/jsonl"),
        (CONTENT_DISPOSITION, "attachment; filename=audit.jsonl"),
    ];
    Ok((headers, text).into_response())
}

/// Who may read all of it.
fn may_read_all(visit: &Visit) -> bool {
    visit
        .session
        .as_ref()
        .is_some_and(|session| session.person.is_staff)
}

/// `GET /audit`
pub async fn all(State(app): State<Shared>, visit: Visit) -> Result<Response, Error> {
    if !may_read_all(&visit) {
        return Err(Rejection::NotAllowed.into());
    }
    export(&app, None).await
}

/// `GET /organizations/{name}/audit`
pub async fn of_organization(
    State(app): State<Shared>,
    visit: Visit,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    let keeper = keeper::find(&app, &visit, &name).await?;
    export(&app, Some(&keeper.organization.uid)).await
}
