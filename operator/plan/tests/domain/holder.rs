//! What remains of a hostname that is given up, and until when (R17).

use jiff::SignedDuration;
use plan::domain::holder::{KEPT_FOR, Kept, is_proven_again};

use super::{
    look,
    report::{WWW, domain, later, now, pass, right, seen},
};

#[test]
fn a_name_that_was_proven_is_kept_for_thirty_days_from_its_last_proof() {
    let (site, _) = pass(domain(WWW), &seen(right()), now());
    assert!(is_proven_again(&site));
    let kept = Kept::of(&site, "uid-of-acme", later(1)).unwrap();
    assert_eq!(kept.organization.as_deref(), Some("uid-of-acme"));
    assert_eq!(kept.until, now() + KEPT_FOR);
    // Who lost it, keeps it claimed and gives it up a year later keeps it from nobody.
    let year = now() + SignedDuration::from_hours(365 * 24);
    let (lost, _) = pass(site, &seen(look(&[])), year);
    assert_eq!(Kept::of(&lost, "uid-of-acme", year), None);
}

#[test]
fn a_name_that_is_claimed_again_unproven_stays_kept_as_it_was() {
    let (again, _) = pass(domain(WWW), &seen(look(&[])), now());
    assert!(!is_proven_again(&again), "the note would be forgotten");
    assert_eq!(
        Kept::of(&again, "uid-of-acme", now()),
        None,
        "the note would be written anew, for longer"
    );
}
