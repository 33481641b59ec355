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

/// A deed on a team that has begun.
pub struct Begun<'a> {
    pub transaction: PgTransaction<'static>,
    pub organization: &'a Organization,
    /// With the name that it has before the deed.
    pub team: Team,
}

/// Begins a deed on a team that is there.
///
/// # Errors
/// As [`begin`], and when there is no such team.
pub async fn begin_on<'a>(
    app: &App,
    keeper: &'a Keeper,
    uid: &str,
    action: Action,
    resource: &Resource,
) -> Result<Begun<'a>, Error> {
    let organization = &keeper.organization;
    let mut transaction = begin(app, keeper, action, resource).await?;
    let team = store::find(&mut transaction, &organization.uid, uid).await?;
    Ok(Begun {
        transaction,
        organization,
        team: team.ok_or(Rejection::NotFound)?,
    })
}

impl Begun<'_> {
    /// Writes the deed down, `with` what else is to be known of it, and ends it.
    ///
    /// # Errors
    /// What the database has against it.
    pub async fn end(
        mut self,
        app: &App,
        visit: &Visit,
        deed: Deed,
        with: Option<(&'static str, &str)>,
    ) -> Result<(), Error> {
        let mut details = vec![("name", self.team.name.as_str())];
        details.extend(with);
        let new = audit::New {
            actor: visit.actor(),
            deed,
            subject: Some(&self.team.uid),
            organization: Some(&self.organization.uid),
            details: &details,
        };
        audit::store::append(&mut self.transaction, visit.origin(), new, app.now()).await?;
        self.transaction.commit().await?;
        Ok(())
    }
}
