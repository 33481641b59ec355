use jiff::{SignedDuration, Timestamp};
use plan::domain::pace::{ask_again, ask_untold, next_look};

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

#[test]
fn what_is_awaited_is_asked_again_ever_later_and_seldom_where_it_tells_of_itself() {
    for (waited, again, untold) in [
        (0, 25, 25),
        (1_000, 500, 500),
        (8_000, 4_000, 4_000),
        (60_000, 5_000, 30_000),
        (3_600_000, 5_000, 60_000),
    ] {
        let waited = SignedDuration::from_millis(waited);
        let millis = [ask_again(waited), ask_untold(waited)].map(|it| it.as_millis());
        assert_eq!(millis, [again, untold], "{waited}");
    }
}
