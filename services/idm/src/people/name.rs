//! Names of people and titles of organizations: what somebody reads. Pure.

/// Characters; more than anybody's.
const LONGEST: usize = 100;

/// A name without space around it. `None` when nothing is left, when it is too long, or when it holds what
/// is not for reading: line breaks, and characters that turn the direction of the text around it.
#[must_use]
pub fn parse(typed: &str) -> Option<String> {
    let name = typed.trim();
    let turns = |letter: char| matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_well = (1..=LONGEST).contains(&name.chars().count())
        && !name
            .chars()
            .any(|letter| letter.is_control() || turns(letter));
    is_well.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_is_left_without_space_around_it() {
        assert_eq!(
            parse("  Ann O'Neill-Müller "),
            Some("Ann O'Neill-Müller".into())
        );
        for wrong in [
            "",
            "  ",
            "Ann\nBcc: x",
            "Ann\u{202e}nimda",
            &"a".repeat(101),
        ] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }
}
