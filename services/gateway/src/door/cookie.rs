//! Our two cookies: one holds a pass, the other tells the browser that was led to sign in from any other. By
//! their `__Host-` prefix browsers keep them for this host only, over TLS, for all paths; no script reads them,
//! and no backend gets them.

use http::{HeaderMap, HeaderValue, header::COOKIE};
use memchr::memmem;

const PASS: &str = "__Host-tutti-pass";
const STATE: &str = "__Host-tutti-door";
/// As long as a pass is good for; another one comes long before, while somebody is there.
const SECONDS: u32 = 15 * 60;

/// The pass that a request carries.
pub fn pass(headers: &HeaderMap) -> Option<&str> {
    only(headers, PASS).filter(|pass| is_token(pass))
}

/// What the browser was given when it was led to sign in.
pub fn state(headers: &HeaderMap) -> Option<&str> {
    only(headers, STATE).filter(|state| is_state(state))
}

/// The value of a cookie. Said twice it is none: somebody has put one beside ours.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='));
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// The header that has a browser keep a pass; `None` for what is none.
pub fn keep_pass(pass: &str) -> Option<HeaderValue> {
    is_token(pass).then(|| keep(PASS, pass)).flatten()
}

/// The header that has a browser keep a state; `None` for what is none.
pub fn keep_state(state: &str) -> Option<HeaderValue> {
    is_state(state).then(|| keep(STATE, state)).flatten()
}

fn keep(name: &str, value: &str) -> Option<HeaderValue> {
    let cookie =
        format!("{name}={value}; Path=/; Max-Age={SECONDS}; Secure; HttpOnly; SameSite=Lax");
    HeaderValue::try_from(cookie).ok()
}

/// Takes them out of what the backend gets.
pub fn strip(headers: &mut HeaderMap) {
    const OURS: [&str; 2] = [PASS, STATE];
    let holds = |line: &HeaderValue| {
        OURS.iter()
            .any(|name| memmem::find(line.as_bytes(), name.as_bytes()).is_some())
    };
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
                let name = name.trim_ascii();
                !pair.is_empty() && !OURS.iter().any(|ours| name == ours.as_bytes())
            })
            .collect();
        if !kept.is_empty()
            && let Ok(line) = HeaderValue::from_bytes(&kept.join(&b"; "[..]))
        {
            headers.append(COOKIE, line);
        }
    }
}

/// Whether it can be one of ours: 128 bits as hexadecimal digits.
fn is_state(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
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
        let read = |lines: &[&'static str]| pass(&headers(lines)).map(str::to_owned);
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
    fn the_backend_gets_every_cookie_but_ours() {
        let stripped = |lines: &[&'static str]| {
            let mut headers = headers(lines);
            strip(&mut headers);
            let lines = headers.get_all(COOKIE).iter();
            lines
                .map(|line| line.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            stripped(&["a=1; __Host-tutti-pass=x.y.z; __Host-tutti-door=1; b=2"]),
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
        let cookie = keep_pass("x.y.z").unwrap();
        assert_eq!(
            cookie,
            "__Host-tutti-pass=x.y.z; Path=/; Max-Age=900; Secure; HttpOnly; SameSite=Lax"
        );
        assert_eq!(keep_pass("x.y.z; Domain=test"), None);
        assert_eq!(keep_state("0; Domain=test"), None);
    }
}
