use jiff::{SignedDuration, Timestamp};
use plan::domain::pace::next_look;

#[test]
fn looks_are_quick_at_first_then_slower_then_daily_and_hourly_when_all_is_well() {
    let since = Timestamp::UNIX_EPOCH;
    for (age, is_well, wait) in [
        (SignedDuration::ZERO, false, SignedDuration::from_secs(15)),
        (
            SignedDuration::from_mins(19),
            false,
            SignedDuration::from_secs(15),
        ),
        (
            SignedDuration::from_mins(20),
            false,
            SignedDuration::from_mins(2),
        ),
        (
            SignedDuration::from_hours(4),
            false,
            SignedDuration::from_mins(20),
        ),
        (
            SignedDuration::from_hours(49),
            false,
            SignedDuration::from_hours(24),
        ),
        (SignedDuration::ZERO, true, SignedDuration::from_hours(1)),
        (
            SignedDuration::from_hours(9999),
            true,
            SignedDuration::from_hours(1),
        ),
    ] {
        let now = since + age;
        let middle = next_look(is_well, since, now, 0.5);
        assert_eq!(middle.duration_since(now), wait, "{age} {is_well}");
        let early = next_look(is_well, since, now, 0.0).duration_since(now);
        let late = next_look(is_well, since, now, 1.0).duration_since(now);
        assert!(
            early < wait && wait < late,
            "{age} {is_well}: {early} {late}"
        );
    }
}
