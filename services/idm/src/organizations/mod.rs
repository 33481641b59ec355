//! Organizations, and who is what in them. Rules here (pure), rows in `store`, changes of roles in
//! `change`, who may make them in `keeper`, pages in `http`.
//!
//! An organization always keeps a Super Admin, however many changes come at once: whoever changes roles holds
//! the organization's row.

pub mod change;
pub mod http;
pub mod keeper;
pub mod store;

pub use crate::acl::Role;

/// An organization.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Organization {
    pub uid: String,
    /// The name of its Kubernetes object, and of its namespace.
    pub name: String,
    pub title: String,
}

/// Whether a text can be the name of an organization: a label of DNS that begins with a letter, short enough
/// for what is appended to it in the cluster.
#[must_use]
pub fn is_name(text: &str) -> bool {
    const LONGEST: usize = 40;
    let is_letter = |byte: u8| byte.is_ascii_lowercase();
    (1..=LONGEST).contains(&text.len())
        && text
            .bytes()
            .all(|byte| is_letter(byte) || byte.is_ascii_digit() || byte == b'-')
        && text.bytes().next().is_some_and(is_letter)
        && !text.ends_with('-')
}

/// Whether an organization keeps a Super Admin when somebody who is `old` becomes `new` (`None` is out of it)
/// and it has so many others.
#[must_use]
pub fn keeps_super_admin(others: i64, old: Role, new: Option<Role>) -> bool {
    let is_loss = old == Role::SuperAdmin && new != Some(Role::SuperAdmin);
    !is_loss || others > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_of_a_namespace() {
        for well in ["a", "acme", "acme-2"] {
            assert!(is_name(well), "{well:?}");
        }
        for wrong in [
            "",
            "Acme",
            "2acme",
            "-acme",
            "acme-",
            "ac me",
            "äcme",
            &"a".repeat(41),
        ] {
            assert!(!is_name(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn the_last_super_admin_stays_one() {
        use Role::{Admin, Member, SuperAdmin};
        assert!(!keeps_super_admin(0, SuperAdmin, Some(Admin)));
        assert!(!keeps_super_admin(0, SuperAdmin, None));
        assert!(keeps_super_admin(0, SuperAdmin, Some(SuperAdmin)));
        assert!(keeps_super_admin(1, SuperAdmin, None));
        assert!(keeps_super_admin(0, Member, None));
    }
}
