//! The cookie that holds a pass. By its `__Host-` prefix browsers keep it for this host only, over TLS, for
//! all paths; no script reads it, and no backend gets it.

use http::{HeaderMap, HeaderValue, header::COOKIE};
use memchr::memmem;

const NAME: &str = "__Host-tutti-pass";
/// As long as a pass is good for; another one comes long before, while somebody is there.
const SECONDS: u32 = 15 * 60;

/// The pass that a request carries. Said twice it is none: somebody has put one beside ours.
pub fn read(headers: &HeaderMap) -> Option<&str> {
    let mut passes = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix(NAME)?.strip_prefix('='));
    let pass = passes.next()?;
    let is_one = passes.next().is_none();
    (is_one && is_token(pass)).then_some(pass)
}

/// The header that has a browser keep a pass; `None` for what is none.
pub fn make(pass: &str) -> Option<HeaderValue> {
    if !is_token(pass) {
        return None;
    }
    let cookie =
        format!("{NAME}={pass}; Path=/; Max-Age={SECONDS}; Secure; HttpOnly; SameSite=Lax");
    HeaderValue::try_from(cookie).ok()
}

/// Takes the pass out of what the backend gets.
pub fn strip(headers: &mut HeaderMap) {
    let holds = |line: &HeaderValue| memmem::find(line.as_bytes(), NAME.as_bytes()).is_some();
    if !headers.get_all(COOKIE).iter().any(holds) {
        return;
    }
    let lines: Vec<HeaderValue> = headers.get_all(COOKIE).iter().cloned().collect();
    headers.remove(COOKIE);
    for line in lines {
        let kept: Vec<&[u8]> = line
            .as_bytes()
            .split(|byte| *byte == b';')
            .map(<[u8]>::trim_ascii)
            .filter(|pair| {
                let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
                !pair.is_empty() && name.trim_ascii() != NAME.as_bytes()
            })
            .collect();
        if !kept.is_empty()
            && let Ok(line) = HeaderValue::from_bytes(&kept.join(&b"; "[..]))
        {
            headers.append(COOKIE, line);
        }
    }
}

/// Whether it can be a token: three parts of base64url.
fn is_token(text: &str) -> bool {
    text.len() <= 8 * 1024
        && text.split('.').count() == 3
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&'static str]) -> HeaderMap {
        let lines = lines
            .iter()
            .map(|line| (COOKIE, HeaderValue::from_static(line)));
        lines.collect()
    }

    #[test]
    fn a_pass_is_read_from_any_line_and_only_when_it_is_there_once() {
        let read = |lines: &[&'static str]| read(&headers(lines)).map(str::to_owned);
        assert_eq!(
            read(&["a=1; __Host-tutti-pass=x.y.z"]),
            Some("x.y.z".into())
        );
        assert_eq!(
            read(&["a=1", "__Host-tutti-pass=x.y.z; b=2"]),
            Some("x.y.z".into())
        );
        assert_eq!(read(&["a=1"]), None);
        assert_eq!(read(&["__Host-tutti-passport=x.y.z"]), None);
        assert_eq!(read(&["__Host-tutti-pass=x.y"]), None);
        assert_eq!(read(&["__Host-tutti-pass=x.y.z\"; b=2"]), None);
        assert_eq!(
            read(&["__Host-tutti-pass=x.y.z; __Host-tutti-pass=u.v.w"]),
            None
        );
    }

    #[test]
    fn the_backend_gets_every_cookie_but_the_pass() {
        let stripped = |lines: &[&'static str]| {
            let mut headers = headers(lines);
            strip(&mut headers);
            let lines = headers.get_all(COOKIE).iter();
            lines
                .map(|line| line.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            stripped(&["a=1; __Host-tutti-pass=x.y.z; b=2"]),
            ["a=1; b=2"]
        );
        assert_eq!(
            stripped(&["__Host-tutti-pass=x.y.z", "b=2"]),
            ["b=2".to_owned()]
        );
        assert_eq!(
            stripped(&["__Host-tutti-pass =x.y.z;c"]),
            ["c".to_owned()],
            "as some servers read it"
        );
        assert_eq!(stripped(&["a=1;b=2"]), ["a=1;b=2"], "left as it was");
    }

    #[test]
    fn a_cookie_is_for_this_host_over_tls_and_for_no_script() {
        let cookie = make("x.y.z").unwrap();
        assert_eq!(
            cookie,
            "__Host-tutti-pass=x.y.z; Path=/; Max-Age=900; Secure; HttpOnly; SameSite=Lax"
        );
        assert_eq!(make("x.y.z; Domain=test"), None);
    }
}
