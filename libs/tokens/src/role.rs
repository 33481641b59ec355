//! What somebody is in an organization, as tokens say it. What a role may do is decided elsewhere.

use serde::{Deserialize, Serialize};

/// What somebody is in an organization, rising. The texts are those that apps know from `group_role`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    Member,
    #[serde(rename = "Power User")]
    PowerUser,
    Admin,
    #[serde(rename = "Super Admin")]
    SuperAdmin,
}
