//! Where somebody is led after a sign-in: to a page of ours, and nowhere else. Pure.

use crate::oidc;

/// What `next` says, when it is a path here; the start page otherwise. `//host` and `/\host` lead browsers
/// to other hosts, and some take line breaks and tabs out first.
#[must_use]
pub fn local(next: &str) -> &str {
    let mut letters = next.bytes();
    let is_local = letters.next() == Some(b'/')
        && !matches!(letters.next(), Some(b'/' | b'\\'))
        && next
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_local { next } else { "/" }
}

/// Whether one is led to another host from there: by the gateway's door, and by the way to an application.
#[must_use]
pub fn leads_elsewhere(path: &str) -> bool {
    let (path, _) = path.split_once('?').unwrap_or((path, ""));
    path == "/door" || path == oidc::AUTHORIZE
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Uri;
    use proptest::prelude::*;

    #[test]
    fn only_paths_of_ours_are_followed() {
        for well in ["/", "/account?done=saved", "/organizations/acme/people"] {
            assert_eq!(local(well), well);
        }
        for foreign in [
            "",
            "account",
            "https://example.com",
            "//example.com",
            "/\\example.com",
            "/\t/example.com",
            "/\n/example.com",
            "javascript:alert(1)",
            "/a b",
            "/ä",
        ] {
            assert_eq!(local(foreign), "/", "{foreign:?}");
        }
    }

    #[test]
    fn two_addresses_lead_to_other_hosts() {
        for well in [
            "/door",
            "/door?to=https%3A%2F%2Fshop.example.com%2F",
            "/oauth2/authorize?client_id=c",
        ] {
            assert!(leads_elsewhere(well), "{well}");
        }
        for other in ["/", "/doors", "/oauth2/authorized", "/account?next=/door"] {
            assert!(!leads_elsewhere(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn nothing_leads_to_another_host(next in "[/\\\\a-z:@.\t\n]{0,12}") {
            let led: Uri = local(&next).parse().unwrap();
            prop_assert!(led.host().is_none());
        }
    }
}
