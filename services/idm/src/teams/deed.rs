//! How a deed on teams begins and ends: one transaction each, which holds the organization first.

use sqlx::PgTransaction;

use super::{Team, may, store};
use crate::{
    acl::{Action, Resource},
    app::App,
    audit::{self, Deed},
    authorization,
    error::{Error, Rejection},
    organizations::{self, Organization, keeper::Keeper},
    web::Visit,
};

/// Begins a deed, when whoever asks for it may do it as things are now, while nobody else can change them.
///
/// # Errors
/// When they may not, or when whom it is about is not in the organization.
pub async fn begin(
    app: &App,
    keeper: &Keeper,
    action: Action,
    resource: &Resource,
) -> Result<PgTransaction<'static>, Error> {
    let mut transaction = app.begin().await?;
    organizations::store::hold(&mut transaction, &keeper.organization.uid).await?;
    let person = keeper.person.uid.as_str();
    let known = authorization::store::facts(&mut transaction, person, resource, app.now()).await?;
    if resource.person().is_some() && known.facts.target_role.is_none() {
        return Err(Rejection::NotFound.into());
    }
    if !may(&known.facts, person, action, resource) {
        return Err(Rejection::NotAllowed.into());
    }
    Ok(transaction)
}

/// Begins a deed on a team that is there.
///
/// # Errors
/// As [`begin`], and when there is no such team.
pub async fn begin_on(
    app: &App,
    keeper: &Keeper,
    uid: &str,
    action: Action,
    resource: &Resource,
) -> Result<(PgTransaction<'static>, Team), Error> {
    let mut transaction = begin(app, keeper, action, resource).await?;
    let team = store::find(&mut transaction, &keeper.organization.uid, uid).await?;
    Ok((transaction, team.ok_or(Rejection::NotFound)?))
}

/// What was done to a team.
#[derive(Clone, Copy, Debug)]
pub struct Done<'a> {
    pub deed: Deed,
    pub organization: &'a Organization,
    /// With the name that it had.
    pub team: &'a Team,
    /// What else is to be known of it.
    pub with: Option<(&'static str, &'a str)>,
}

/// Writes the deed down, and ends it.
///
/// # Errors
/// What the database has against it.
pub async fn end(
    app: &App,
    visit: &Visit,
    mut transaction: PgTransaction<'_>,
    done: Done<'_>,
) -> Result<(), Error> {
    let mut details = vec![("name", done.team.name.as_str())];
    details.extend(done.with);
    let new = audit::New {
        actor: visit.actor(),
        deed: done.deed,
        subject: Some(&done.team.uid),
        organization: Some(&done.organization.uid),
        details: &details,
    };
    audit::store::append(&mut transaction, visit.origin(), new, app.now()).await?;
    transaction.commit().await?;
    Ok(())
}
