//! What of an address is ours: the ticket that idm has put there, and the state that it went to idm with. What
//! else the query says is kept byte by byte.

use http::Uri;

const TICKET: &str = "tutti_ticket=";
const STATE: &str = "tutti_state=";

/// An address that leads back from idm.
pub struct Return<'a> {
    pub ticket: &'a str,
    /// What this browser was given before it went, if it was this one.
    pub state: Option<&'a str>,
    /// Path and query that were asked for.
    pub rest: String,
}

/// An address with a ticket, taken apart.
pub fn take(uri: &Uri) -> Option<Return<'_>> {
    let find = |name| pairs(uri).find_map(|pair| pair.strip_prefix(name));
    Some(Return {
        ticket: find(TICKET)?,
        state: find(STATE),
        rest: without(uri),
    })
}

/// Path and query with a state, and without what was ours before.
pub fn with_state(uri: &Uri, state: &str) -> String {
    let rest = without(uri);
    let separator = match rest.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    format!("{rest}{separator}{STATE}{state}")
}

fn without(uri: &Uri) -> String {
    let is_ours = |pair: &&str| pair.starts_with(TICKET) || pair.starts_with(STATE);
    let kept: Vec<&str> = pairs(uri).filter(|pair| !is_ours(pair)).collect();
    match (uri.query(), kept.as_slice()) {
        (None, _) => uri.path().to_owned(),
        (Some(query), []) if !query.is_empty() => uri.path().to_owned(),
        (Some(_), kept) => format!("{}?{}", uri.path(), kept.join("&")),
    }
}

fn pairs(uri: &Uri) -> impl Iterator<Item = &str> {
    uri.query().into_iter().flat_map(|query| query.split('&'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_what_is_ours_is_the_one_that_was_asked_for() {
        for (given, ticket, rest) in [
            ("/a?tutti_ticket=x.y.z", Some("x.y.z"), "/a"),
            ("/a?b=1&tutti_ticket=x.y.z", Some("x.y.z"), "/a?b=1"),
            ("/a?tutti_state=1&tutti_ticket=x.y.z", Some("x.y.z"), "/a"),
            (
                "/a?tutti_ticket=x.y.z&b=%20+&c",
                Some("x.y.z"),
                "/a?b=%20+&c",
            ),
            ("/a?tutti_state=1&b", None, "/a?b"),
            ("/a?b=1&&c", None, "/a?b=1&&c"),
            ("/a?", None, "/a?"),
            ("/a", None, "/a"),
            ("/a?not_tutti_ticket=1", None, "/a?not_tutti_ticket=1"),
        ] {
            let uri: Uri = given.parse().unwrap();
            assert_eq!(take(&uri).map(|it| it.ticket), ticket, "{given}");
            assert_eq!(without(&uri), rest, "{given}");
        }
    }

    #[test]
    fn a_state_goes_and_comes_back_with_the_ticket() {
        for (given, with) in [
            ("/a", "/a?tutti_state=1"),
            ("/a?", "/a?tutti_state=1"),
            ("/a?b=c", "/a?b=c&tutti_state=1"),
            ("/a?tutti_state=0&tutti_ticket=x", "/a?tutti_state=1"),
        ] {
            assert_eq!(with_state(&given.parse().unwrap(), "1"), with, "{given}");
        }
        let back: Uri = "/a?tutti_state=1&tutti_ticket=x".parse().unwrap();
        assert_eq!(take(&back).unwrap().state, Some("1"));
    }
}
