//! Who may look after an organization's people, and up to which role.

use super::{Organization, Role, store};
use crate::{
    app::App,
    error::{Error, Rejection},
    people::Person,
    web::Visit,
};

/// Who may do what here. Staff may all; an admin may give and take what they are themselves.
pub(super) fn may_change(person: &Person, own: Option<Role>, other: Role) -> bool {
    person.is_staff || own.is_some_and(|own| own >= Role::Admin && other <= own)
}

/// Somebody who looks after an organization's people, and which it is.
#[derive(Clone, Debug)]
pub struct Keeper {
    pub organization: Organization,
    pub person: Person,
    role: Option<Role>,
}

impl Keeper {
    /// Whether they may give or take a role.
    #[must_use]
    pub fn may_change(&self, role: Role) -> bool {
        may_change(&self.person, self.role, role)
    }
}

/// Finds the organization of a path, for somebody who looks after its people. Strangers to it do not hear
/// whether it is there.
///
/// # Errors
/// When it is not there for them, or their role is not enough.
pub async fn find(app: &App, visit: &Visit, name: &str) -> Result<Keeper, Error> {
    let session = visit.session.as_ref().ok_or(Rejection::NotSignedIn)?;
    let person = session.person.clone();
    let mut connection = app.connection().await?;
    let organization = store::find(&mut connection, name)
        .await?
        .ok_or(Rejection::NotFound)?;
    let role = store::role(&mut connection, &organization.uid, &person.uid).await?;
    if role.is_none() && !person.is_staff {
        return Err(Rejection::NotFound.into());
    }
    let keeper = Keeper {
        organization,
        person,
        role,
    };
    if !keeper.may_change(Role::Member) {
        return Err(Rejection::NotAllowed.into());
    }
    Ok(keeper)
}
