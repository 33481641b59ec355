//! Cron schedules: whether Kubernetes will take one. Its own answer comes only when an instance is
//! made, on the wrong object.
//!
//! Rule: <https://pkg.go.dev/github.com/robfig/cron/v3>, standard parser.

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
            "hourly" | "daily" | "midnight" | "weekly" | "monthly" | "yearly" | "annually" => {
                Ok(())
            }
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
    use super::check;

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
}
