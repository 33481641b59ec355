//! Who holds a hostname? One Domain in the cluster. Who has proven it before who has not; then who
//! had it; then who came first. A name that was served and is given up is kept for its last owner
//! for a while: somebody may still have a record that leads here.

use crds::{Domain, condition, domain::DomainStatus};
use jiff::{SignedDuration, Timestamp};
use kube_core::ResourceExt as _;

use super::report::{HOSTNAME_HELD, ON_THEIR_WAY, OWNERSHIP_PROVEN};

/// A name that was proven is kept for its last organization for this long. Documented in
/// `docs/operations/domains.md`.
pub const KEPT_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A Domain that wants a hostname.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contender {
    /// Its namespace: the organization's.
    pub namespace: String,
    /// The organization's UID; empty while there is none.
    pub organization: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Since when it wants it.
    pub created: Option<Timestamp>,
    /// The DNS proves it, or did when it was last heard of.
    pub is_proven: bool,
    /// It was told that it holds the name.
    pub was_holder: bool,
}

impl Contender {
    /// A Domain of an organization, as its status has it.
    #[must_use]
    pub fn of(domain: &Domain, organization: &str) -> Self {
        let status = domain.status.as_ref();
        let conditions = status.map(|status| status.conditions.as_slice());
        let conditions = conditions.unwrap_or_default();
        Self {
            namespace: domain.namespace().unwrap_or_default(),
            organization: organization.to_owned(),
            name: domain.name_any(),
            uid: domain.uid().unwrap_or_default(),
            created: domain.creation_timestamp().map(|created| created.0),
            is_proven: status.is_some_and(is_proven),
            was_holder: condition::is_true(conditions, HOSTNAME_HELD),
        }
    }
}

/// Whether the DNS proves a name, or did when it was last heard of: that it does not answer takes a name
/// from nobody.
#[must_use]
pub fn is_proven(status: &DomainStatus) -> bool {
    let proof = condition::find(&status.conditions, OWNERSHIP_PROVEN);
    proof.is_some_and(|proof| {
        let is_unheard =
            status.proven_at.is_some() && ON_THEIR_WAY.contains(&proof.reason.as_str());
        let was_holder = condition::is_true(&status.conditions, HOSTNAME_HELD);
        proof.status == "True" || (was_holder && is_unheard)
    })
}

/// A name that is kept for an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The organization's namespace.
    pub namespace: String,
    /// The organization's UID: another one of its name is not it. Empty when it went before its
    /// Domain; `None` in notes of before it was noted.
    pub organization: Option<String>,
    /// Until when.
    pub until: Timestamp,
}

impl Kept {
    /// What remains of a Domain that is given up. The days count from its last proof: nobody puts them
    /// off by claiming a name that is not theirs any more.
    #[must_use]
    pub fn of(domain: &Domain, organization: &str, now: Timestamp) -> Option<Self> {
        let status = domain.status.as_ref()?;
        let proven_at = status.proven_at.as_ref()?.0;
        let until = proven_at.checked_add(KEPT_FOR).unwrap_or(Timestamp::MAX);
        let is_kept = condition::is_true(&status.conditions, HOSTNAME_HELD) && until > now;
        is_kept.then(|| Self {
            namespace: domain.namespace().unwrap_or_default(),
            organization: Some(organization.to_owned()),
            until,
        })
    }

    /// Whether a Domain is kept from it.
    #[must_use]
    pub fn is_from(&self, contender: &Contender, now: Timestamp) -> bool {
        let is_same = self
            .organization
            .as_ref()
            .is_none_or(|uid| *uid == contender.organization && !uid.is_empty());
        self.until > now && !(is_same && self.namespace == contender.namespace)
    }
}

/// Whether the Domain that holds a name has proven it, and this is written down: only then nothing has
/// to be kept any more. Who claims a name again and gives it up unproven leaves it kept.
#[must_use]
pub fn is_proven_again(domain: &Domain) -> bool {
    let status = domain.status.as_ref();
    status.is_some_and(|status| {
        status.proven_at.is_some() && condition::is_true(&status.conditions, OWNERSHIP_PROVEN)
    })
}

/// Chooses the holder; `before` is the UID of the one until now.
#[must_use]
pub fn choose<'a>(
    contenders: &'a [Contender],
    before: Option<&str>,
    kept: Option<&Kept>,
    now: Timestamp,
) -> Option<&'a Contender> {
    let is_kept_from =
        |contender: &Contender| kept.is_some_and(|kept| kept.is_from(contender, now));
    contenders
        .iter()
        .filter(|contender| !is_kept_from(contender))
        .min_by_key(|contender| {
            // After a restart what was told counts.
            let was = before.map_or(contender.was_holder, |before| before == contender.uid);
            (
                !contender.is_proven,
                !was,
                contender.created,
                &contender.uid,
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contender(namespace: &str, second: i64, is_proven: bool) -> Contender {
        Contender {
            namespace: namespace.to_owned(),
            organization: format!("organization-{namespace}"),
            name: "www".to_owned(),
            uid: format!("uid-of-{namespace}"),
            created: Timestamp::from_second(second).ok(),
            is_proven,
            was_holder: false,
        }
    }

    fn holder(contenders: &[Contender], before: Option<&str>, kept: Option<&Kept>) -> String {
        let now = Timestamp::from_second(1_000_000).unwrap();
        choose(contenders, before, kept, now)
            .map(|holder| holder.namespace.clone())
            .unwrap_or_default()
    }

    #[test]
    fn the_first_holds_a_name_and_a_proof_is_worth_more() {
        let (ann, bob) = (contender("ann", 1, false), contender("bob", 2, false));
        assert_eq!(holder(&[bob.clone(), ann.clone()], None, None), "ann");
        // Seen later, in the same second or with a clock that was wrong: it stays who it was.
        assert_eq!(
            holder(&[bob.clone(), ann.clone()], Some("uid-of-bob"), None),
            "bob"
        );
        let told = Contender {
            was_holder: true,
            ..bob.clone()
        };
        assert_eq!(holder(&[told, ann.clone()], None, None), "bob");
        let proven = contender("bob", 2, true);
        assert_eq!(holder(&[ann, proven], Some("uid-of-ann"), None), "bob");
    }

    fn kept_for_bob(organization: Option<&str>, until: i64) -> Kept {
        Kept {
            namespace: "bob".to_owned(),
            organization: organization.map(str::to_owned),
            until: Timestamp::from_second(until).unwrap(),
        }
    }

    #[test]
    fn a_name_is_kept_for_its_last_owner_and_not_for_ever() {
        let all = [contender("ann", 1, true), contender("bob", 2, false)];
        for organization in [None, Some("organization-bob")] {
            let kept = |until| kept_for_bob(organization, until);
            assert_eq!(holder(&all, None, Some(&kept(1_000_001))), "bob");
            assert_eq!(holder(&all, None, Some(&kept(999_999))), "ann");
            assert_eq!(holder(&all[..1], None, Some(&kept(1_000_001))), "");
        }
    }

    #[test]
    fn another_organization_of_the_same_name_does_not_inherit_a_kept_name() {
        let bob = [contender("bob", 2, true)];
        let before = kept_for_bob(Some("organization-bob-of-before"), 1_000_001);
        assert_eq!(holder(&bob, None, Some(&before)), "");
        // It went before its Domain did, and this one is not made yet.
        let unknown = Contender {
            organization: String::new(),
            ..contender("bob", 2, true)
        };
        let gone = kept_for_bob(Some(""), 1_000_001);
        assert_eq!(holder(&[unknown], None, Some(&gone)), "");
    }
}
