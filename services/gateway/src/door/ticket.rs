//! A ticket in an address: where it stands, and the address without it. What else the query says is kept
//! byte by byte.

use http::Uri;

const NAME: &str = "tutti_ticket=";

/// The ticket of an address, and path and query without it.
pub fn take(uri: &Uri) -> Option<(&str, String)> {
    let ticket = pairs(uri).find_map(|pair| pair.strip_prefix(NAME))?;
    Some((ticket, without(uri)))
}

/// Path and query without a ticket.
pub fn without(uri: &Uri) -> String {
    let kept: Vec<&str> = pairs(uri).filter(|pair| !pair.starts_with(NAME)).collect();
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
    fn an_address_without_its_ticket_is_the_one_that_was_asked_for() {
        for (given, ticket, rest) in [
            ("/a?tutti_ticket=x.y.z", Some("x.y.z"), "/a"),
            ("/a?b=1&tutti_ticket=x.y.z", Some("x.y.z"), "/a?b=1"),
            (
                "/a?tutti_ticket=x.y.z&b=%20+&c",
                Some("x.y.z"),
                "/a?b=%20+&c",
            ),
            ("/a?b=1&&c", None, "/a?b=1&&c"),
            ("/a?", None, "/a?"),
            ("/a", None, "/a"),
            ("/a?not_tutti_ticket=1", None, "/a?not_tutti_ticket=1"),
        ] {
            let uri: Uri = given.parse().unwrap();
            assert_eq!(take(&uri).map(|(ticket, _)| ticket), ticket, "{given}");
            assert_eq!(without(&uri), rest, "{given}");
        }
    }
}
