//! Changes of what somebody is in an organization: one transaction each, which holds the organization first.

use sqlx::PgTransaction;

use super::{Organization, Role, keeps_super_admin, store};
use crate::{
    app::App,
    audit::{self, Deed},
    error::{Error, Rejection},
    web::Visit,
};

/// Who changes, and of whom.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub organization: &'a Organization,
    pub person: &'a str,
    /// `None` is out of the organization.
    pub role: Option<Role>,
    pub deed: Deed,
}

/// Makes a change, when whoever asks for it may. `may` gets their role and that of the person as they are
/// now, while nobody else can change them.
///
/// # Errors
/// When they may not, when the person is not in the organization, or when it would lose its last Super Admin.
pub async fn make(
    app: &App,
    visit: &Visit,
    change: Change<'_>,
    may: impl FnOnce(Option<Role>, Role) -> bool,
) -> Result<(), Error> {
    let organization = change.organization.uid.as_str();
    let session = visit.session.as_ref().ok_or(Rejection::NotSignedIn)?;
    let mut transaction = app.begin().await?;
    store::hold(&mut transaction, organization).await?;
    let actors = store::role(&mut transaction, organization, &session.person.uid).await?;
    let old = store::role(&mut transaction, organization, change.person).await?;
    let old = old.ok_or(Rejection::NotFound)?;
    if !may(actors, old) {
        return Err(Rejection::NotAllowed.into());
    }
    let others = store::other_super_admins(&mut transaction, organization, change.person).await?;
    if !keeps_super_admin(others, old, change.role) {
        return Err(Rejection::LastSuperAdmin.into());
    }
    match change.role {
        Some(role) => store::set_role(&mut transaction, organization, change.person, role).await?,
        None => store::remove(&mut transaction, organization, change.person).await?,
    }
    write_down(app, visit, transaction, change, old).await
}

async fn write_down(
    app: &App,
    visit: &Visit,
    mut transaction: PgTransaction<'_>,
    change: Change<'_>,
    old: Role,
) -> Result<(), Error> {
    let mut details = vec![("old", old.name())];
    details.extend(change.role.map(|role| ("new", role.name())));
    let new = audit::New {
        actor: visit.actor(),
        deed: change.deed,
        subject: Some(change.person),
        organization: Some(&change.organization.uid),
        details: &details,
    };
    audit::store::append(&mut transaction, visit.origin(), new, app.now()).await?;
    transaction.commit().await?;
    Ok(())
}
