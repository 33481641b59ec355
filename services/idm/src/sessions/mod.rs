//! Sessions: a browser in which somebody is signed in. The browser holds a token in a cookie, the database
//! its digest. A session ends by itself when it is idle or old, by its owner on any of their browsers, and
//! with each change of a proof. Rules here (pure), rows in `store`, the answer to a request in `web`.

pub mod http;
pub mod store;

use jiff::{SignedDuration, Timestamp};

use crate::people::Person;

/// How exactly it is known when a session was last seen; a write per request would be one too many.
pub const PRECISION: SignedDuration = SignedDuration::from_mins(1);
/// A browser is known for this long after its last sign-in.
pub const DEVICE_LIFE: SignedDuration = SignedDuration::from_hours(24 * 365);

/// How long sessions live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Without a request.
    pub idle: SignedDuration,
    /// However busy.
    pub longest: SignedDuration,
}

impl Lifetimes {
    /// A session that was last seen before this has ended.
    #[must_use]
    pub fn seen_since(&self, now: Timestamp) -> Timestamp {
        now - self.idle
    }
}

/// A session that lives, and whose it is.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Session {
    #[sqlx(rename = "session_uid")]
    pub uid: String,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub signed_in_at: Timestamp,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub last_seen_at: Timestamp,
    #[sqlx(flatten)]
    pub person: Person,
}

/// A session as its owner sees it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Listed {
    pub uid: String,
    pub address: String,
    pub user_agent: String,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub created_at: Timestamp,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    pub last_seen_at: Timestamp,
}

/// What a browser says of itself, in a few words: `Firefox, Linux`. Only for its owner to know it again; the
/// words are names and need no translation.
#[must_use]
pub fn browser(user_agent: &str) -> String {
    // The order matters: most say that they are Safari, too.
    const BROWSERS: [(&str, &str); 6] = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ];
    const SYSTEMS: [(&str, &str); 6] = [
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ];
    let find = |words: &[(&str, &'static str)]| {
        let found = words.iter().find(|(mark, _)| user_agent.contains(mark));
        found.map(|(_, name)| *name)
    };
    let parts: Vec<&str> = [find(&BROWSERS), find(&SYSTEMS)]
        .into_iter()
        .flatten()
        .collect();
    if parts.is_empty() {
        return user_agent.chars().take(40).collect();
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_named_as_its_owner_names_it() {
        let edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                    Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0";
        assert_eq!(browser(edge), "Edge, Windows");
        assert_eq!(
            browser("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
            "Firefox, Linux"
        );
        assert_eq!(browser("curl/8.0"), "curl");
        assert_eq!(browser(&"x".repeat(500)), "x".repeat(40));
    }
}
