//! Where somebody is led after a sign-in: to a page of ours, and nowhere else. Pure.

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

/// Whether it is the gateway's door, from where one is led to another host.
#[must_use]
pub fn is_door(path: &str) -> bool {
    path == "/door" || path.starts_with("/door?")
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
    fn the_door_is_one_address() {
        for well in ["/door", "/door?to=https%3A%2F%2Fshop.example.com%2F"] {
            assert!(is_door(well), "{well}");
        }
        for other in ["/", "/doors", "/account?next=/door"] {
            assert!(!is_door(other), "{other}");
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
