//! What has to be known before anything is decided.

use super::Role;

/// What idm's database knows about a question. Who calls fetches all of it in one reading: facts of
/// two moments can allow what neither moment would.
///
/// The default is a stranger who may nothing; a fact that was forgotten refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// What the acting person is in the resource's organization; while impersonating, what the
    /// impersonated person is. Not used for an API key, which brings its role along.
    pub role: Option<Role>,
    /// Whether the acting person (the impersonated one) is staff.
    pub is_staff: bool,
    /// Whether the acting person (the impersonated one) is suspended.
    pub is_suspended: bool,
    /// While impersonating: whether the one behind it is staff, still, and not suspended.
    pub may_impersonator_go_on: bool,
    /// Whether a team of the acting person was given the instance. False for "whichever".
    pub is_given: bool,
    /// Whether the resource's organization is suspended.
    pub is_organization_suspended: bool,
    /// What the person or key that it is about is in the resource's organization. On a person: the
    /// highest that they are in any organization.
    pub target_role: Option<Role>,
    /// Whether the person whom it is about is staff.
    pub is_target_staff: bool,
    /// What the person whom it is about is invited to become, while the invitation stands.
    pub invited_as: Option<Role>,
    /// How many people beside the one whom it is about are Super Admins of the organization and not
    /// suspended. On a person: the least such number over the organizations whose Super Admin
    /// they are.
    pub other_super_admins: u32,
}
