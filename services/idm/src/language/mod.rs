//! The languages that pages and mails speak; the texts of each stand in one file. Pure.

mod de;
mod en;

use std::{borrow::Borrow, fmt};

use zxcvbn::feedback::{Suggestion, Warning};

use crate::{organizations::Role, people::password::Weakness};

/// A language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    #[default]
    English,
    German,
}

/// A code that is no language of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are no texts in {0:?}; there are in en and de")]
pub struct UnknownLanguage(String);

impl TryFrom<String> for Language {
    type Error = UnknownLanguage;

    fn try_from(code: String) -> Result<Self, UnknownLanguage> {
        Self::ALL
            .into_iter()
            .find(|language| language.code() == code)
            .ok_or(UnknownLanguage(code))
    }
}

impl fmt::Display for Language {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.code())
    }
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::English, Self::German];

    /// As HTML and the database have it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// In itself.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::German => "Deutsch",
        }
    }

    /// Its texts.
    #[must_use]
    pub fn texts(self) -> &'static Texts {
        match self {
            Self::English => &en::TEXTS,
            Self::German => &de::TEXTS,
        }
    }

    /// The one that a browser likes best (RFC 9110 §12.5.4), or English.
    #[must_use]
    pub fn preferred(accept_language: &str) -> Self {
        let mut best = (Self::default(), 0.0);
        for range in accept_language.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let tag = parts.next().unwrap_or_default();
            let primary = tag.split('-').next().unwrap_or_default();
            let weight = parts
                .find_map(|part| part.strip_prefix("q="))
                .map_or(Some(1.0), |weight| weight.parse::<f32>().ok())
                .unwrap_or(0.0);
            let known = Self::ALL
                .into_iter()
                .find(|it| it.code().eq_ignore_ascii_case(primary));
            if let Some(language) = known
                && weight > best.1
            {
                best = (language, weight);
            }
        }
        best.0
    }
}

/// A title, and what to do next.
pub type Pair = (&'static str, &'static str);

/// What error pages say.
pub struct Errors {
    pub not_signed_in: Pair,
    pub not_allowed: Pair,
    pub not_found: Pair,
    pub bootstrap_done: Pair,
    pub bootstrap_not_configured: Pair,
    pub method_not_allowed: Pair,
    pub foreign_request: Pair,
    pub form_expired: Pair,
    pub form_malformed: Pair,
    pub too_large: Pair,
    pub ticket_expired: Pair,
    pub invitation_closed: Pair,
    pub last_super_admin: Pair,
    pub unknown_place: Pair,
    pub unknown_client: Pair,
    pub unknown_redirect: Pair,
    pub database_away: Pair,
    pub internal: Pair,
}

/// What is wrong with what somebody typed; stands above the form.
pub struct Problems {
    pub wrong_password: &'static str,
    pub wrong_current_password: &'static str,
    pub wrong_code: &'static str,
    pub wrong_bootstrap_code: &'static str,
    /// With `{minutes}`.
    pub throttled: &'static str,
    pub suspended: &'static str,
    pub no_email: &'static str,
    pub no_name: &'static str,
    pub email_taken: &'static str,
    pub password_short: &'static str,
    pub password_long: &'static str,
    pub password_guessable: &'static str,
    pub no_organization_name: &'static str,
    pub organization_name_taken: &'static str,
    pub is_member_already: &'static str,
    pub team_name_taken: &'static str,
}

/// What a page says after a deed.
pub struct Notices {
    pub saved: &'static str,
    pub password_changed: &'static str,
    pub totp_removed: &'static str,
    pub session_ended: &'static str,
    pub sessions_ended: &'static str,
    pub signed_out: &'static str,
    pub role_changed: &'static str,
    pub removed: &'static str,
    pub revoked: &'static str,
    pub left: &'static str,
    pub joined: &'static str,
    pub team_deleted: &'static str,
}

/// Every text, by what it is for.
pub struct Texts {
    pub skip: &'static str,
    pub navigation: &'static str,
    pub home: &'static str,
    pub to_home: &'static str,
    pub account: &'static str,
    pub organizations: &'static str,
    pub sign_in: &'static str,
    pub sign_out: &'static str,
    pub go_on: &'static str,
    pub begin_again: &'static str,
    pub cancel: &'static str,
    pub save: &'static str,
    pub remove: &'static str,
    pub request: &'static str,
    pub again_in: &'static str,
    pub email: &'static str,
    pub name: &'static str,
    pub title: &'static str,
    pub language: &'static str,
    pub password: &'static str,
    pub current_password: &'static str,
    pub new_password: &'static str,
    pub change_password: &'static str,
    pub password_help: &'static str,
    pub password_ends_sessions: &'static str,
    pub second_step: &'static str,
    pub second_step_help: &'static str,
    pub code: &'static str,
    pub bootstrap: &'static str,
    pub bootstrap_help: &'static str,
    pub bootstrap_code: &'static str,
    pub bootstrap_person_help: &'static str,
    pub make_person: &'static str,
    pub totp: &'static str,
    pub totp_scan: &'static str,
    pub totp_picture: &'static str,
    pub totp_by_hand: &'static str,
    pub totp_type: &'static str,
    pub totp_is_on: &'static str,
    pub totp_is_off: &'static str,
    pub set_up_totp: &'static str,
    pub remove_totp: &'static str,
    pub recovery_codes: &'static str,
    pub recovery_codes_help: &'static str,
    pub codes_are_kept: &'static str,
    pub codes_left: &'static str,
    pub new_recovery_codes: &'static str,
    pub apps: &'static str,
    pub no_apps: &'static str,
    /// With `{people}`.
    pub no_apps_given: &'static str,
    /// Instead of people's names.
    pub an_admin: &'static str,
    pub no_organization: &'static str,
    pub your_role: &'static str,
    pub about_you: &'static str,
    pub sessions: &'static str,
    pub this_device: &'static str,
    pub last_seen: &'static str,
    pub end_session: &'static str,
    pub end_others: &'static str,
    pub leave: &'static str,
    pub people: &'static str,
    pub role_label: &'static str,
    pub role_of: &'static str,
    pub invitation: &'static str,
    /// With `{organization}` and `{role}`.
    pub invited: &'static str,
    pub invitation_sign_in: &'static str,
    pub invitation_somebody_else: &'static str,
    pub invitation_register: &'static str,
    pub join: &'static str,
    pub invitations: &'static str,
    pub no_invitations: &'static str,
    pub invite: &'static str,
    pub revoke: &'static str,
    pub until: &'static str,
    pub invitation_link: &'static str,
    pub no_organizations: &'static str,
    pub make_organization: &'static str,
    pub organization_name: &'static str,
    pub organization_name_help: &'static str,
    pub audit_trail: &'static str,
    pub teams: &'static str,
    pub teams_help: &'static str,
    pub no_teams: &'static str,
    pub make_team: &'static str,
    pub person: &'static str,
    pub team_people: &'static str,
    pub no_team_people: &'static str,
    pub all_are_in_team: &'static str,
    pub put_in: &'static str,
    pub take_out: &'static str,
    pub team_apps: &'static str,
    pub no_team_apps: &'static str,
    pub all_apps_given: &'static str,
    pub app: &'static str,
    pub app_is_away: &'static str,
    pub give: &'static str,
    pub take: &'static str,
    pub rename: &'static str,
    pub delete_team: &'static str,
    pub delete_team_help: &'static str,
    pub led_on: &'static str,
    pub door_closed: &'static str,
    pub sign_out_asked: &'static str,
    /// With `{email}`.
    pub signed_in_as: &'static str,
    /// With `{organization}`.
    pub mail_invitation_subject: &'static str,
    /// With `{organization}`, `{role}`, `{link}` and `{days}`.
    pub mail_invitation_body: &'static str,
    pub errors: Errors,
    pub problems: Problems,
    pub notices: Notices,
    /// In the order of [`Role::ALL`].
    pub roles: [&'static str; 4],
    pub warning: fn(Warning) -> &'static str,
    pub suggestion: fn(Suggestion) -> &'static str,
}

impl Texts {
    /// What a role is called.
    #[must_use]
    pub fn role(&self, role: impl Borrow<Role>) -> &'static str {
        let place = Role::ALL.iter().position(|one| one == role.borrow());
        place
            .and_then(|place| self.roles.get(place).copied())
            .unwrap_or_default()
    }

    /// Why a password is not taken, and what would help.
    #[must_use]
    pub fn weakness(&self, weakness: &Weakness) -> String {
        match weakness {
            Weakness::TooShort => self.problems.password_short.to_owned(),
            Weakness::TooLong => self.problems.password_long.to_owned(),
            Weakness::Guessable {
                warning,
                suggestion,
            } => [
                Some(self.problems.password_guessable),
                warning.map(self.warning),
                suggestion.map(self.suggestion),
            ]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" "),
        }
    }
}

/// A text with its `{words}` filled in.
#[must_use]
pub fn fill(text: &str, words: &[(&str, &str)]) -> String {
    let mut filled = String::new();
    let mut rest = text;
    // From left to right and once: what is filled in is not read again.
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let (word, after) = after.split_once('}').unwrap_or((after, ""));
        let value = words
            .iter()
            .find(|(name, _)| *name == word)
            .map(|(_, value)| *value);
        filled.push_str(value.unwrap_or_default());
        rest = after;
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_that_a_browser_likes_best_is_spoken() {
        use Language::{English, German};
        for (header, language) in [
            ("", English),
            ("fr", English),
            ("de", German),
            ("de-AT,de;q=0.9,en;q=0.8", German),
            ("en-GB,de;q=0.9", English),
            ("en;q=0.3, DE;q=0.7", German),
            ("de;q=0", English),
            ("de;q=much", English),
        ] {
            assert_eq!(Language::preferred(header), language, "{header:?}");
        }
    }

    #[test]
    fn words_are_filled_in_once() {
        let words = [("organization", "{role}"), ("role", "Admin")];
        assert_eq!(
            fill("{organization}: {role}{none}", &words),
            "{role}: Admin"
        );
        assert_eq!(fill("{role", &words), "Admin");
    }

    #[test]
    fn texts_with_words_have_the_same_ones_in_each_language() {
        let words = |text: &str| {
            let mut found: Vec<String> = text
                .split('{')
                .skip(1)
                .filter_map(|part| Some(part.split_once('}')?.0.to_owned()))
                .collect();
            found.sort();
            found
        };
        let (en, de) = (Language::English.texts(), Language::German.texts());
        for (one, other) in [
            (en.invited, de.invited),
            (en.no_apps_given, de.no_apps_given),
            (en.mail_invitation_subject, de.mail_invitation_subject),
            (en.mail_invitation_body, de.mail_invitation_body),
            (en.problems.throttled, de.problems.throttled),
        ] {
            assert_eq!(words(one), words(other));
            assert!(!words(one).is_empty());
        }
    }
}
