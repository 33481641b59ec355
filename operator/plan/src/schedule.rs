//! Cron schedules: whether Kubernetes will take one (its own answer comes only when an instance is
//! made, on the wrong object), and when each instance has its turn.
//!
//! Rule: <https://pkg.go.dev/github.com/robfig/cron/v3>, standard parser.

use crate::digest;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Name, smallest and largest number of each field, and words for numbers from the smallest on.
const FIELDS: [(&str, u32, u32, &[&str]); 5] = [
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    ("day of month", 1, 31, &[]),
    ("month", 1, 12, &MONTHS),
    ("day of week", 0, 6, &DAYS),
];

/// Checks a schedule such as `*/5 * * * *` or `@daily`.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check(schedule: &str) -> Result<(), String> {
    if let Some(word) = schedule.strip_prefix('@') {
        return match word {
            "hourly" | "daily" | "weekly" | "monthly" | "yearly" => Ok(()),
            _ => Err(format!(
                "{schedule:?} is none of @hourly, @daily, @weekly, @monthly and @yearly"
            )),
        };
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!(
            "{schedule:?} has {} fields; five are wanted: minute, hour, day of month, month, day \
             of week",
            fields.len()
        ));
    }
    for (text, (name, smallest, largest, words)) in fields.iter().zip(FIELDS) {
        for item in text.split(',') {
            if !is_item(item, smallest, largest, words) {
                return Err(format!(
                    "{schedule:?}: {item:?} is no {name}: a number from {smallest} to {largest}, a \
                     range, or * is wanted, each with /step if need be"
                ));
            }
        }
    }
    Ok(())
}

/// The schedule as an instance keeps it. Where a definition leaves open when exactly, `*/5 * * * *`
/// or `@daily`, each instance has a time of its own, always the same one: a thousand instances must
/// not start their jobs in the same second. What names a time is kept as it is.
///
/// `whose` tells the jobs of all instances apart.
#[must_use]
pub fn spread(schedule: &str, whose: &str) -> String {
    let number = digest::number(whose);
    let minute = number % 60;
    let hour = number / 60 % 24;
    let day = number / (60 * 24);
    match schedule {
        "@hourly" => format!("{minute} * * * *"),
        "@daily" => format!("{minute} {hour} * * *"),
        "@weekly" => format!("{minute} {hour} * * {}", day % 7),
        // Every month has 28 days.
        "@monthly" => format!("{minute} {hour} {} * *", 1 + day % 28),
        "@yearly" => format!("{minute} {hour} {} {} *", 1 + day % 28, 1 + day / 28 % 12),
        _ => spread_minutes(schedule, number).unwrap_or_else(|| schedule.to_owned()),
    }
}

/// `*/5 * * * *` as `3-59/5 * * * *`: as often, when the step divides the hour.
fn spread_minutes(schedule: &str, number: u64) -> Option<String> {
    let (minute, others) = schedule.split_once(char::is_whitespace)?;
    let step: u64 = minute.strip_prefix("*/")?.parse().ok()?;
    if step == 0 || 60 % step != 0 {
        return None;
    }
    Some(format!("{}-59/{step} {others}", number % step))
}

/// `*`, `5`, `1-5`, each with `/2` if need be.
fn is_item(item: &str, smallest: u32, largest: u32, words: &[&str]) -> bool {
    let number = |text: &str| {
        let word = words.iter().position(|w| w.eq_ignore_ascii_case(text));
        let number = match word.and_then(|at| u32::try_from(at).ok()) {
            Some(at) => smallest + at,
            None => text.parse().ok()?,
        };
        (smallest..=largest).contains(&number).then_some(number)
    };
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (item, None),
    };
    let is_step = step.is_none_or(|step| step.parse().is_ok_and(|step: u32| step > 0));
    let is_range = match range.split_once('-') {
        Some((from, to)) => {
            matches!((number(from), number(to)), (Some(from), Some(to)) if from <= to)
        }
        None => range == "*" || range == "?" || number(range).is_some(),
    };
    is_step && is_range
}

#[cfg(test)]
mod tests {
    use super::{check, spread};

    #[test]
    fn schedules_that_kubernetes_takes_are_taken() {
        for schedule in [
            "*/5 * * * *",
            "0 3 * * *",
            "0,30 1-5 1 JAN-mar mon",
            "5/15 * * * 0",
            "@daily",
        ] {
            assert_eq!(check(schedule), Ok(()), "{schedule}");
        }
    }

    #[test]
    fn schedules_that_kubernetes_refuses_are_told_with_the_field() {
        for (schedule, told) in [
            ("60 * * * *", "\"60\" is no minute"),
            ("* 24 * * *", "\"24\" is no hour"),
            ("* * 0 * *", "\"0\" is no day of month"),
            ("* * * 13 *", "\"13\" is no month"),
            ("* * * * 7", "\"7\" is no day of week"),
            ("5-1 * * * *", "\"5-1\" is no minute"),
            ("*/0 * * * *", "\"*/0\" is no minute"),
            ("* * * * monday", "\"monday\" is no day of week"),
            ("1,,2 * * * *", "\"\" is no minute"),
            ("* * * *", "has 4 fields"),
            ("@never", "none of @hourly"),
        ] {
            let error = check(schedule).unwrap_err();
            assert!(error.contains(told), "{schedule}: {error}");
        }
    }

    #[test]
    fn each_instance_has_a_time_of_its_own_where_the_definition_names_none() {
        for (schedule, times) in [
            ("*/5 * * * *", 5),
            ("*/1 * * * *", 1),
            ("*/15 3 * * mon", 15),
            ("@hourly", 60),
            ("@daily", 60 * 24),
            ("@weekly", 60 * 24 * 7),
            ("@monthly", 60 * 24 * 28),
            ("@yearly", 60 * 24 * 28 * 12),
        ] {
            let own = |whose: u32| spread(schedule, &format!("acme/blog-{whose}/cron"));
            assert_eq!(own(1), own(1), "{schedule}");
            let seen: std::collections::HashSet<_> = (0..1000)
                .map(|whose| {
                    let spread = own(whose);
                    assert_eq!(check(&spread), Ok(()), "{schedule} became {spread}");
                    spread
                })
                .collect();
            // A thousand throws leave few of so many times free.
            assert!(seen.len() <= times, "{schedule}: {seen:?}");
            assert!(seen.len() >= times.min(1000) / 2, "{schedule}: {seen:?}");
        }
    }

    #[test]
    fn a_schedule_that_names_its_time_is_kept() {
        for schedule in [
            "0 3 * * *",
            "* * * * *",
            "*/7 * * * *",
            "5-59/5 * * * *",
            "0,30 * * * *",
        ] {
            assert_eq!(spread(schedule, "acme/blog/cron"), schedule);
        }
    }
}
