//! What pages and mails say in English.

use zxcvbn::feedback::{Suggestion, Warning};

use super::{Errors, Notices, Problems, Texts};

pub(super) static TEXTS: Texts = Texts {
    skip: "To the content",
    navigation: "Main",
    home: "Home",
    to_home: "To the start page",
    account: "Account",
    organizations: "Organizations",
    sign_in: "Sign in",
    sign_out: "Sign out",
    go_on: "Continue",
    begin_again: "Begin again",
    cancel: "Cancel",
    save: "Save",
    remove: "Remove",
    request: "Request",
    again_in: "You can try again in",
    email: "E-mail address",
    name: "Name",
    title: "Title",
    language: "Language",
    password: "Password",
    current_password: "Current password",
    new_password: "New password",
    change_password: "Change password",
    password_help: "At least 8 characters. A few unusual words are better than one with digits and signs.",
    password_ends_sessions: "Your other devices are signed out.",
    second_step: "One more step",
    second_step_help: "Type the six digits that your authenticator app shows now, or one of your recovery codes.",
    code: "Code",
    bootstrap: "Set up this platform",
    bootstrap_help: "Nobody administers this platform yet. The one-time code was printed when it was installed, and is in its Secret.",
    bootstrap_code: "One-time code",
    bootstrap_person_help: "You become the first administrator.",
    make_person: "Create administrator",
    totp: "Authenticator app",
    totp_scan: "Scan this picture with an authenticator app on your phone.",
    totp_picture: "Picture with the secret for an authenticator app",
    totp_by_hand: "Or type the secret:",
    totp_type: "Type the six digits that the app shows now",
    totp_is_on: "At sign-in you are asked for a code of your authenticator app.",
    totp_is_off: "At sign-in only your password is asked for. With an authenticator app somebody who learns your password cannot sign in.",
    set_up_totp: "Set up authenticator app",
    remove_totp: "Remove authenticator app",
    recovery_codes: "Recovery codes",
    recovery_codes_help: "Each of these signs you in once in place of your authenticator app. Keep them where you find them without your phone: they are not shown again.",
    codes_are_kept: "I have kept them",
    codes_left: "Recovery codes left:",
    new_recovery_codes: "Make new recovery codes",
    apps: "Your apps",
    no_apps: "There are no apps yet.",
    no_apps_given: "You can open the apps that a team of yours was given; so far there is none. Ask {people}.",
    an_admin: "an Admin of this organization",
    no_organization: "You belong to no organization yet. Ask an administrator of yours to invite you.",
    your_role: "Your role:",
    about_you: "About you",
    sessions: "Where you are signed in",
    this_device: "this device",
    last_seen: "last seen",
    end_session: "Sign out there",
    end_others: "Sign out everywhere else",
    leave: "Leave",
    people: "People",
    role_label: "Role",
    role_of: "Role of",
    invitation: "Invitation",
    invited: "You are invited to {organization} as {role}.",
    invitation_sign_in: "You have an account already. Sign in to join.",
    invitation_somebody_else: "The invitation is for another e-mail address than the one you are signed in with. Sign out first, and open the link again.",
    invitation_register: "Choose a password to join.",
    join: "Join",
    invitations: "Open invitations",
    no_invitations: "There are none.",
    invite: "Invite",
    revoke: "Revoke",
    until: "until",
    invitation_link: "The invitation is on its way. You can also pass on this link yourself; it is shown only once.",
    no_organizations: "There are none yet.",
    make_organization: "Make an organization",
    organization_name: "Short name",
    organization_name_help: "Lower-case letters, digits and hyphens; it cannot be changed.",
    audit_trail: "Audit trail (JSON lines)",
    teams: "Teams",
    teams_help: "Members open the apps that a team of theirs was given. Power Users and Admins open all apps.",
    no_teams: "There are no teams yet.",
    make_team: "Make a team",
    person: "Person",
    team_people: "People of the team",
    no_team_people: "Nobody is in it yet.",
    all_are_in_team: "Everybody of the organization whom you may put in is in it.",
    put_in: "Put in",
    take_out: "Take out",
    team_apps: "Apps of the team",
    no_team_apps: "It was given no apps yet.",
    all_apps_given: "It was given every app that there is.",
    app: "App",
    app_is_away: "not there at the moment",
    give: "Give",
    take: "Take away",
    rename: "Rename",
    delete_team: "Delete the team",
    delete_team_help: "The apps that its Members open by this team alone are closed to them. This cannot be undone.",
    led_on: "You are signed in, and are led to your app.",
    door_closed: "You may not open this app",
    sign_out_asked: "An application asks to sign you out. This ends your session here and in every app.",
    signed_in_as: "You are signed in as {email}. With another account, sign out first.",
    mail_invitation_subject: "Invitation to {organization}",
    mail_invitation_body: "You are invited to {organization} as {role}.\n\nOpen this link within {days} days:\n\n{link}\n\nIf you do not know what this is about, do nothing.\n",
    errors: Errors {
        not_signed_in: (
            "Please sign in",
            "This page is for people who are signed in.",
        ),
        not_allowed: (
            "You may not do this",
            "Your role does not allow it. Ask an administrator of your organization.",
        ),
        not_found: ("Nothing is here", "Check the address for a typing mistake."),
        bootstrap_done: (
            "Already set up",
            "This platform has had its first administrator, and the code is used up. Please sign in.",
        ),
        bootstrap_not_configured: (
            "No one-time code",
            "This platform was installed without a bootstrap code. The command idm admin create makes an administrator.",
        ),
        method_not_allowed: (
            "Not possible",
            "This address does not take that kind of request.",
        ),
        foreign_request: (
            "This did not come from our page",
            "For your safety nothing was done. Open the page anew and try again.",
        ),
        form_expired: (
            "This form is too old",
            "For your safety nothing was done. Open the page anew and try again.",
        ),
        form_malformed: (
            "This form is incomplete",
            "Open the page anew and try again.",
        ),
        too_large: ("Too large", "What you sent is larger than any form here."),
        ticket_expired: ("This took too long", "Please begin again."),
        invitation_closed: (
            "This invitation is not open any more",
            "It was used, revoked, or is too old. Ask whoever invited you for another one.",
        ),
        last_super_admin: (
            "There must be a Super Admin",
            "This is the last one of the organization. Make somebody else Super Admin first.",
        ),
        unknown_place: (
            "No app is there",
            "The address that you were to be led to is not one of an app here. Open the app from the start page.",
        ),
        unknown_client: (
            "This application is not known here",
            "It wanted you to sign in, and is not registered. Open it from the start page, or tell whoever runs it.",
        ),
        unknown_redirect: (
            "This application asked for a wrong way back",
            "The address that you were to be led to is not one of those it is registered with. Tell whoever runs it.",
        ),
        database_away: (
            "Sign-in does not work at the moment",
            "Our database does not answer. Apps that you have open go on. Please try again in a moment.",
        ),
        internal: (
            "Something went wrong",
            "It is our fault, and has been written down. If it happens again, tell your administrator the number below.",
        ),
    },
    problems: Problems {
        wrong_password: "The e-mail address or the password is wrong.",
        wrong_current_password: "The current password is wrong.",
        wrong_code: "The code is wrong, too old, or was used before.",
        wrong_bootstrap_code: "The code is wrong.",
        throttled: "There were too many tries. Please wait {minutes} min, and then try again.",
        suspended: "Your account is suspended. Ask an administrator.",
        no_email: "This is not an e-mail address that can be used here.",
        no_name: "A name has 1 to 100 characters in one line.",
        email_taken: "Somebody with this e-mail address has an account already.",
        password_short: "A password has at least 8 characters.",
        password_long: "A password has at most 256 characters.",
        password_guessable: "This password is too easy to guess.",
        no_organization_name: "A short name begins with a letter, has up to 40 lower-case letters, digits and hyphens, and does not end with a hyphen.",
        organization_name_taken: "There is an organization of this name already.",
        is_member_already: "They are in this organization already.",
        team_name_taken: "There is a team of this name already.",
    },
    notices: Notices {
        saved: "Saved.",
        password_changed: "Your password is changed, and your other devices are signed out.",
        totp_removed: "Your authenticator app is removed.",
        session_ended: "That device is signed out.",
        sessions_ended: "All other devices are signed out.",
        signed_out: "You are signed out.",
        role_changed: "The role is changed.",
        removed: "They are removed from the organization.",
        revoked: "The invitation is revoked.",
        left: "You have left the organization.",
        joined: "Welcome.",
        team_deleted: "The team is deleted.",
    },
    roles: ["Member", "Power User", "Admin", "Super Admin"],
    warning,
    suggestion,
};

fn warning(warning: Warning) -> &'static str {
    use Warning as W;
    match warning {
        W::StraightRowsOfKeysAreEasyToGuess => "Straight rows of keys are easy to guess.",
        W::ShortKeyboardPatternsAreEasyToGuess => "Short keyboard patterns are easy to guess.",
        W::RepeatsLikeAaaAreEasyToGuess => "Repeats like “aaa” are easy to guess.",
        W::RepeatsLikeAbcAbcAreOnlySlightlyHarderToGuess => {
            "Repeats like “abcabcabc” are hardly harder to guess than “abc”."
        }
        W::ThisIsATop10Password => "It is one of the ten most common passwords.",
        W::ThisIsATop100Password => "It is one of the hundred most common passwords.",
        W::ThisIsACommonPassword => "It is a very common password.",
        W::ThisIsSimilarToACommonlyUsedPassword => "It is similar to a common password.",
        W::SequencesLikeAbcAreEasyToGuess => "Sequences like “abc” or “6543” are easy to guess.",
        W::RecentYearsAreEasyToGuess => "Recent years are easy to guess.",
        W::AWordByItselfIsEasyToGuess => "A word by itself is easy to guess.",
        W::DatesAreOftenEasyToGuess => "Dates are easy to guess.",
        W::NamesAndSurnamesByThemselvesAreEasyToGuess => "Names by themselves are easy to guess.",
        W::CommonNamesAndSurnamesAreEasyToGuess => "Common names are easy to guess.",
    }
}

fn suggestion(suggestion: Suggestion) -> &'static str {
    use Suggestion as S;
    match suggestion {
        S::UseAFewWordsAvoidCommonPhrases => "Use a few words, and no common phrase.",
        S::NoNeedForSymbolsDigitsOrUppercaseLetters => {
            "There is no need for signs, digits or capital letters."
        }
        S::AddAnotherWordOrTwo => "Add another word or two; uncommon ones are better.",
        S::CapitalizationDoesntHelpVeryMuch => "Capital letters do not help much.",
        S::AllUppercaseIsAlmostAsEasyToGuessAsAllLowercase => {
            "All in capital letters is as easy to guess as all in small ones."
        }
        S::ReversedWordsArentMuchHarderToGuess => {
            "Words written backwards are hardly harder to guess."
        }
        S::PredictableSubstitutionsDontHelpVeryMuch => "“@” in place of “a” does not help much.",
        S::UseALongerKeyboardPatternWithMoreTurns => {
            "Use a longer keyboard pattern with more turns."
        }
        S::AvoidRepeatedWordsAndCharacters => "Avoid repeated words and characters.",
        S::AvoidSequences => "Avoid sequences.",
        S::AvoidRecentYears => "Avoid recent years.",
        S::AvoidYearsThatAreAssociatedWithYou => "Avoid years that have to do with you.",
        S::AvoidDatesAndYearsThatAreAssociatedWithYou => {
            "Avoid dates and years that have to do with you."
        }
    }
}
