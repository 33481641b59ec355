//! Paths as routes see them. An app may read `/admin%2Fusers`, `//admin` or `/admin;x` as
//! `/admin/…`, so we match the strictest reading of a path, and forward the path untouched.
//! A path whose reading depends on the reader, with dot segments or NUL, is refused.

use std::borrow::Cow;

/// The path to match: percent-decoded once, backslashes as slashes, no doubled slashes, no
/// `;parameters`. `None` when it is ambiguous. Most paths come back as they are.
#[must_use]
pub fn normalise(path: &str) -> Option<Cow<'_, str>> {
    if !path.starts_with('/') {
        return None;
    }
    if is_plain(path.as_bytes()) {
        return Some(Cow::Borrowed(path));
    }
    let decoded = decode(path.as_bytes());
    if decoded.contains(&0) {
        return None;
    }
    let mut normal = Vec::with_capacity(decoded.len());
    for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
        let name = segment
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default();
        match name {
            b"." | b".." => return None,
            b"" => {}
            name => {
                normal.push(b'/');
                normal.extend_from_slice(name);
            }
        }
    }
    if normal.is_empty() || decoded.last() == Some(&b'/') {
        normal.push(b'/');
    }
    Some(Cow::Owned(String::from_utf8_lossy(&normal).into_owned()))
}

/// Whether there is nothing to decode, fold or refuse.
fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    for &byte in path {
        match byte {
            b'%' | b'\\' | b';' | 0 => return false,
            b'/' | b'.' if before == b'/' => return false,
            _ => before = byte,
        }
    }
    true
}

fn decode(path: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(path.len());
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        match (byte, digit(path.get(at + 1)), digit(path.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_path_is_matched_as_the_same() {
        for spelling in [
            "/admin/users",
            "/admin%2Fusers",
            "/admin%2fusers",
            "//admin//users",
            "/%61dmin/users",
            "/admin;x=1/users",
            "/admin\\users",
            "/admin%5Cusers",
        ] {
            assert_eq!(
                normalise(spelling).as_deref(),
                Some("/admin/users"),
                "{spelling}"
            );
        }
        assert_eq!(normalise("/").as_deref(), Some("/"));
        assert_eq!(normalise("//").as_deref(), Some("/"));
        assert_eq!(normalise("/a%20b/").as_deref(), Some("/a b/"));
        assert_eq!(normalise("/100%/x").as_deref(), Some("/100%/x"));
        assert_eq!(
            normalise("/.well-known/x").as_deref(),
            Some("/.well-known/x")
        );
        assert!(matches!(
            normalise("/wp-content/a.css"),
            Some(Cow::Borrowed(_))
        ));
    }

    #[test]
    fn paths_that_readers_read_differently_are_refused() {
        for wrong in [
            "/a/../admin",
            "/a/%2e%2e/admin",
            "/a/.%2E/admin",
            "/a/..;/admin",
            "/..",
            "/./a",
            "/a/%2e%2e%2fadmin",
            "/a\\..\\admin",
            "/a%00b",
            "*",
            "",
            "admin",
        ] {
            assert_eq!(normalise(wrong), None, "{wrong}");
        }
    }
}
