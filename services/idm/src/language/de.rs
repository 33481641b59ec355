//! What pages and mails say in German.

use zxcvbn::feedback::{Suggestion, Warning};

use super::{Errors, Notices, Problems, Texts};

pub(super) static TEXTS: Texts = Texts {
    skip: "Zum Inhalt",
    navigation: "Haupt",
    home: "Start",
    to_home: "Zur Startseite",
    account: "Konto",
    organizations: "Organisationen",
    sign_in: "Anmelden",
    sign_out: "Abmelden",
    go_on: "Weiter",
    begin_again: "Von vorn beginnen",
    cancel: "Abbrechen",
    save: "Speichern",
    remove: "Entfernen",
    request: "Anfrage",
    again_in: "Ein neuer Versuch ist möglich in",
    email: "E-Mail-Adresse",
    name: "Name",
    title: "Titel",
    language: "Sprache",
    password: "Passwort",
    current_password: "Bisheriges Passwort",
    new_password: "Neues Passwort",
    change_password: "Passwort ändern",
    password_help: "Mindestens 8 Zeichen. Einige ungewöhnliche Wörter sind besser als eines mit Ziffern und Zeichen.",
    password_ends_sessions: "Ihre anderen Geräte werden abgemeldet.",
    second_step: "Noch ein Schritt",
    second_step_help: "Geben Sie die sechs Ziffern ein, die Ihre Authenticator-App jetzt zeigt, oder einen Ihrer Wiederherstellungscodes.",
    code: "Code",
    bootstrap: "Diese Plattform einrichten",
    bootstrap_help: "Noch verwaltet niemand diese Plattform. Der Einmalcode wurde bei der Installation ausgegeben und liegt in ihrem Secret.",
    bootstrap_code: "Einmalcode",
    bootstrap_person_help: "Sie werden die erste Verwalterin oder der erste Verwalter.",
    make_person: "Konto anlegen",
    totp: "Authenticator-App",
    totp_scan: "Erfassen Sie dieses Bild mit einer Authenticator-App auf Ihrem Telefon.",
    totp_picture: "Bild mit dem Geheimnis für eine Authenticator-App",
    totp_by_hand: "Oder geben Sie das Geheimnis ein:",
    totp_type: "Geben Sie die sechs Ziffern ein, die die App jetzt zeigt",
    totp_is_on: "Beim Anmelden werden Sie nach einem Code Ihrer Authenticator-App gefragt.",
    totp_is_off: "Beim Anmelden werden Sie nur nach Ihrem Passwort gefragt. Mit einer Authenticator-App kann sich nicht anmelden, wer Ihr Passwort erfährt.",
    set_up_totp: "Authenticator-App einrichten",
    remove_totp: "Authenticator-App entfernen",
    recovery_codes: "Wiederherstellungscodes",
    recovery_codes_help: "Mit jedem davon melden Sie sich einmal ohne Authenticator-App an. Bewahren Sie sie dort auf, wo Sie sie ohne Ihr Telefon finden: Sie werden nicht noch einmal gezeigt.",
    codes_are_kept: "Ich habe sie aufbewahrt",
    codes_left: "Verbliebene Wiederherstellungscodes:",
    new_recovery_codes: "Neue Wiederherstellungscodes",
    apps: "Ihre Apps",
    no_apps: "Es gibt noch keine Apps.",
    no_apps_given: "Sie können die Apps öffnen, die einem Ihrer Teams gegeben wurden; bisher gibt es keine. Fragen Sie {people}.",
    an_admin: "einen Admin dieser Organisation",
    no_organization: "Sie gehören noch zu keiner Organisation. Lassen Sie sich einladen.",
    your_role: "Ihre Rolle:",
    about_you: "Über Sie",
    sessions: "Wo Sie angemeldet sind",
    this_device: "dieses Gerät",
    last_seen: "zuletzt gesehen",
    end_session: "Dort abmelden",
    end_others: "Überall sonst abmelden",
    leave: "Verlassen",
    people: "Personen",
    role_label: "Rolle",
    role_of: "Rolle von",
    invitation: "Einladung",
    invited: "Sie sind zu {organization} eingeladen, als {role}.",
    invitation_sign_in: "Sie haben schon ein Konto. Melden Sie sich an, um beizutreten.",
    invitation_somebody_else: "Die Einladung gilt für eine andere E-Mail-Adresse als die, mit der Sie angemeldet sind. Melden Sie sich zuerst ab, und öffnen Sie den Link noch einmal.",
    invitation_register: "Wählen Sie ein Passwort, um beizutreten.",
    join: "Beitreten",
    invitations: "Offene Einladungen",
    no_invitations: "Es gibt keine.",
    invite: "Einladen",
    revoke: "Zurücknehmen",
    until: "bis",
    invitation_link: "Die Einladung ist unterwegs. Sie können diesen Link auch selbst weitergeben; er wird nur einmal gezeigt.",
    no_organizations: "Es gibt noch keine.",
    make_organization: "Organisation anlegen",
    organization_name: "Kurzname",
    organization_name_help: "Kleinbuchstaben, Ziffern und Bindestriche; er kann nicht geändert werden.",
    audit_trail: "Protokoll (JSON-Zeilen)",
    teams: "Teams",
    teams_help: "Members öffnen die Apps, die einem ihrer Teams gegeben wurden. Power Users und Admins öffnen alle Apps.",
    no_teams: "Es gibt noch keine Teams.",
    make_team: "Team anlegen",
    person: "Person",
    team_people: "Personen im Team",
    no_team_people: "Noch ist niemand darin.",
    all_are_in_team: "Alle in der Organisation, die Sie aufnehmen dürfen, sind darin.",
    put_in: "Aufnehmen",
    take_out: "Herausnehmen",
    team_apps: "Apps des Teams",
    no_team_apps: "Ihm wurden noch keine Apps gegeben.",
    all_apps_given: "Ihm wurden alle Apps gegeben, die es gibt.",
    app: "App",
    app_is_away: "zurzeit nicht da",
    give: "Geben",
    take: "Wegnehmen",
    rename: "Umbenennen",
    delete_team: "Team löschen",
    delete_team_help: "Die Apps, die seine Members nur durch dieses Team öffnen, werden ihnen verschlossen. Das lässt sich nicht rückgängig machen.",
    led_on: "Sie sind angemeldet und werden zu Ihrer App geführt.",
    door_closed: "Sie dürfen diese App nicht öffnen",
    sign_out_asked: "Eine Anwendung bittet darum, Sie abzumelden. Das beendet Ihre Sitzung hier und in jeder App.",
    signed_in_as: "Sie sind als {email} angemeldet. Für ein anderes Konto melden Sie sich erst ab.",
    mail_invitation_subject: "Einladung zu {organization}",
    mail_invitation_body: "Sie sind zu {organization} eingeladen, als {role}.\n\nÖffnen Sie diesen Link innerhalb von {days} Tagen:\n\n{link}\n\nWenn Sie nicht wissen, worum es geht, tun Sie nichts.\n",
    errors: Errors {
        not_signed_in: (
            "Bitte melden Sie sich an",
            "Diese Seite ist für Personen, die angemeldet sind.",
        ),
        not_allowed: (
            "Das dürfen Sie nicht",
            "Ihre Rolle erlaubt es nicht. Fragen Sie, wer Ihre Organisation verwaltet.",
        ),
        not_found: (
            "Hier ist nichts",
            "Prüfen Sie die Adresse auf einen Tippfehler.",
        ),
        bootstrap_done: (
            "Schon eingerichtet",
            "Diese Plattform hat ihr erstes Konto, und der Code ist verbraucht. Bitte melden Sie sich an.",
        ),
        bootstrap_not_configured: (
            "Kein Einmalcode",
            "Diese Plattform wurde ohne Einmalcode installiert. Der Befehl idm admin create legt ein Konto an.",
        ),
        method_not_allowed: (
            "Nicht möglich",
            "Diese Adresse nimmt solche Anfragen nicht an.",
        ),
        foreign_request: (
            "Das kam nicht von unserer Seite",
            "Zu Ihrer Sicherheit wurde nichts getan. Öffnen Sie die Seite neu, und versuchen Sie es noch einmal.",
        ),
        form_expired: (
            "Dieses Formular ist zu alt",
            "Zu Ihrer Sicherheit wurde nichts getan. Öffnen Sie die Seite neu, und versuchen Sie es noch einmal.",
        ),
        form_malformed: (
            "Dieses Formular ist unvollständig",
            "Öffnen Sie die Seite neu, und versuchen Sie es noch einmal.",
        ),
        too_large: (
            "Zu groß",
            "Was Sie gesendet haben, ist größer als jedes Formular hier.",
        ),
        ticket_expired: (
            "Das hat zu lange gedauert",
            "Bitte beginnen Sie noch einmal.",
        ),
        invitation_closed: (
            "Diese Einladung ist nicht mehr offen",
            "Sie wurde benutzt, zurückgenommen oder ist zu alt. Bitten Sie um eine neue.",
        ),
        last_super_admin: (
            "Es muss einen Super Admin geben",
            "Dies ist der letzte der Organisation. Machen Sie zuerst jemand anderen zum Super Admin.",
        ),
        unknown_place: (
            "Dort ist keine App",
            "Die Adresse, zu der es gehen sollte, ist keine einer App von hier. Öffnen Sie die App von der Startseite aus.",
        ),
        unknown_client: (
            "Diese Anwendung ist hier nicht bekannt",
            "Sie wollte, dass Sie sich anmelden, und ist nicht registriert. Öffnen Sie sie von der Startseite, oder sagen Sie es denen, die sie betreiben.",
        ),
        unknown_redirect: (
            "Diese Anwendung nannte einen falschen Rückweg",
            "Die Adresse, zu der Sie geführt werden sollten, ist keine von denen, mit denen sie registriert ist. Sagen Sie es denen, die sie betreiben.",
        ),
        database_away: (
            "Das Anmelden geht gerade nicht",
            "Unsere Datenbank antwortet nicht. Geöffnete Apps gehen weiter. Bitte versuchen Sie es gleich noch einmal.",
        ),
        internal: (
            "Etwas ist schiefgegangen",
            "Es liegt an uns und wurde aufgeschrieben. Wenn es wieder geschieht, nennen Sie Ihrer Verwaltung die Nummer unten.",
        ),
    },
    problems: Problems {
        wrong_password: "Die E-Mail-Adresse oder das Passwort ist falsch.",
        wrong_current_password: "Das bisherige Passwort ist falsch.",
        wrong_code: "Der Code ist falsch, zu alt oder wurde schon benutzt.",
        wrong_bootstrap_code: "Der Code ist falsch.",
        throttled: "Es gab zu viele Versuche. Bitte warten Sie {minutes} min, und versuchen Sie es dann noch einmal.",
        suspended: "Ihr Konto ist gesperrt. Fragen Sie Ihre Verwaltung.",
        no_email: "Das ist keine E-Mail-Adresse, die hier benutzt werden kann.",
        no_name: "Ein Name hat 1 bis 100 Zeichen in einer Zeile.",
        email_taken: "Mit dieser E-Mail-Adresse gibt es schon ein Konto.",
        password_short: "Ein Passwort hat mindestens 8 Zeichen.",
        password_long: "Ein Passwort hat höchstens 256 Zeichen.",
        password_guessable: "Dieses Passwort ist zu leicht zu erraten.",
        no_organization_name: "Ein Kurzname beginnt mit einem Buchstaben, hat bis zu 40 Kleinbuchstaben, Ziffern und Bindestriche und endet nicht mit einem Bindestrich.",
        organization_name_taken: "Eine Organisation dieses Namens gibt es schon.",
        is_member_already: "Diese Person ist schon in der Organisation.",
        team_name_taken: "Ein Team dieses Namens gibt es schon.",
    },
    notices: Notices {
        saved: "Gespeichert.",
        password_changed: "Ihr Passwort ist geändert, und Ihre anderen Geräte sind abgemeldet.",
        totp_removed: "Ihre Authenticator-App ist entfernt.",
        session_ended: "Jenes Gerät ist abgemeldet.",
        sessions_ended: "Alle anderen Geräte sind abgemeldet.",
        signed_out: "Sie sind abgemeldet.",
        role_changed: "Die Rolle ist geändert.",
        removed: "Die Person ist aus der Organisation entfernt.",
        revoked: "Die Einladung ist zurückgenommen.",
        left: "Sie haben die Organisation verlassen.",
        joined: "Willkommen.",
        team_deleted: "Das Team ist gelöscht.",
    },
    // Names of the platform's own, the same in every language.
    roles: ["Member", "Power User", "Admin", "Super Admin"],
    warning,
    suggestion,
};

fn warning(warning: Warning) -> &'static str {
    use Warning as W;
    match warning {
        W::StraightRowsOfKeysAreEasyToGuess => "Gerade Reihen von Tasten sind leicht zu erraten.",
        W::ShortKeyboardPatternsAreEasyToGuess => "Kurze Tastenmuster sind leicht zu erraten.",
        W::RepeatsLikeAaaAreEasyToGuess => "Wiederholungen wie „aaa“ sind leicht zu erraten.",
        W::RepeatsLikeAbcAbcAreOnlySlightlyHarderToGuess => {
            "Wiederholungen wie „abcabcabc“ sind kaum schwerer zu erraten als „abc“."
        }
        W::ThisIsATop10Password => "Es ist eines der zehn häufigsten Passwörter.",
        W::ThisIsATop100Password => "Es ist eines der hundert häufigsten Passwörter.",
        W::ThisIsACommonPassword => "Es ist ein sehr häufiges Passwort.",
        W::ThisIsSimilarToACommonlyUsedPassword => "Es ähnelt einem häufigen Passwort.",
        W::SequencesLikeAbcAreEasyToGuess => "Folgen wie „abc“ oder „6543“ sind leicht zu erraten.",
        W::RecentYearsAreEasyToGuess => "Jahreszahlen sind leicht zu erraten.",
        W::AWordByItselfIsEasyToGuess => "Ein einzelnes Wort ist leicht zu erraten.",
        W::DatesAreOftenEasyToGuess => "Daten sind leicht zu erraten.",
        W::NamesAndSurnamesByThemselvesAreEasyToGuess => "Namen allein sind leicht zu erraten.",
        W::CommonNamesAndSurnamesAreEasyToGuess => "Häufige Namen sind leicht zu erraten.",
    }
}

fn suggestion(suggestion: Suggestion) -> &'static str {
    use Suggestion as S;
    match suggestion {
        S::UseAFewWordsAvoidCommonPhrases => "Nehmen Sie einige Wörter, aber keine Redensart.",
        S::NoNeedForSymbolsDigitsOrUppercaseLetters => {
            "Zeichen, Ziffern und Großbuchstaben sind nicht nötig."
        }
        S::AddAnotherWordOrTwo => "Fügen Sie ein, zwei Wörter hinzu; seltene sind besser.",
        S::CapitalizationDoesntHelpVeryMuch => "Großbuchstaben helfen nicht viel.",
        S::AllUppercaseIsAlmostAsEasyToGuessAsAllLowercase => {
            "Nur Großbuchstaben sind so leicht zu erraten wie nur kleine."
        }
        S::ReversedWordsArentMuchHarderToGuess => {
            "Rückwärts geschriebene Wörter sind kaum schwerer zu erraten."
        }
        S::PredictableSubstitutionsDontHelpVeryMuch => "„@“ anstelle von „a“ hilft nicht viel.",
        S::UseALongerKeyboardPatternWithMoreTurns => {
            "Nehmen Sie ein längeres Tastenmuster mit mehr Wendungen."
        }
        S::AvoidRepeatedWordsAndCharacters => "Vermeiden Sie Wiederholungen.",
        S::AvoidSequences => "Vermeiden Sie Folgen.",
        S::AvoidRecentYears => "Vermeiden Sie Jahreszahlen.",
        S::AvoidYearsThatAreAssociatedWithYou => "Vermeiden Sie Jahre, die mit Ihnen zu tun haben.",
        S::AvoidDatesAndYearsThatAreAssociatedWithYou => {
            "Vermeiden Sie Daten und Jahre, die mit Ihnen zu tun haben."
        }
    }
}
