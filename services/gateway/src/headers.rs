//! Headers at the edge: which ones a client may not send, which ones end here, which ones we add.
//! Pure: maps in, maps out.
//!
//! An app trusts `X-Forwarded-*`, `X-Tutti-*` and their like because only we write them. A CGI or
//! PHP app reads `X_Forwarded_For` as the same variable as `X-Forwarded-For`, so a name is judged
//! with underscores taken as dashes.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{CONNECTION, COOKIE, FORWARDED, TE, UPGRADE},
};

/// Prefixes of names that only the gateway may write.
const RESERVED_PREFIXES: [&str; 8] = [
    "x-tutti-",
    "x-forwarded-",
    "x-original-",
    "x-remote-",
    "x-auth-request-",
    "x-ssl-",
    "ssl-client-",
    "proxy",
];

/// Names that only the gateway may write: addresses, identity, request id, and overrides of the
/// request target that would get past the choice of a route.
const RESERVED: [&str; 14] = [
    "forwarded",
    "x-forwarded",
    "x-real-ip",
    "x-request-id",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-client-cert",
    "x-rewrite-url",
    "x-host",
    "true-client-ip",
    "cf-connecting-ip",
    "remote-user",
    "remote-addr",
    "https",
];

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub const X_TUTTI_IDENTITY: HeaderName = HeaderName::from_static("x-tutti-identity");

/// Whether a client may not send a header of this name.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    if name.contains('_') {
        return is_reserved(&name.replace('_', "-"));
    }
    // All but three reserved names begin with one of five letters: most headers end here.
    matches!(
        name.as_bytes().first(),
        Some(b'x' | b'f' | b'p' | b's' | b't' | b'c' | b'r' | b'h')
    ) && (RESERVED_PREFIXES
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || RESERVED.contains(&name))
}

/// Takes away what a client may not send.
pub fn strip_reserved(headers: &mut HeaderMap) {
    remove_where(headers, |name| is_reserved(name.as_str()));
}

/// Takes away what is meant for one connection only (RFC 9110 section 7.6.1), and whatever the
/// message itself names in `Connection`.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let mut named: Vec<HeaderName> = Vec::new();
    for value in headers.get_all(CONNECTION) {
        for token in value.as_bytes().split(|byte| *byte == b',') {
            // An end-to-end header that framing or routing needs cannot be named away.
            match HeaderName::from_bytes(token.trim_ascii()) {
                Ok(name) if !matches!(name.as_str(), "host" | "content-length" | "close") => {
                    named.push(name);
                }
                _ => {}
            }
        }
    }
    for name in named {
        headers.remove(name);
    }
    remove_where(headers, |name| {
        matches!(
            name.as_str(),
            "connection"
                | "keep-alive"
                | "proxy-connection"
                | "proxy-authenticate"
                | "proxy-authorization"
                | "te"
                | "trailer"
                | "transfer-encoding"
                | "upgrade"
                | "http2-settings"
                | "expect"
        )
    });
}

fn remove_where(headers: &mut HeaderMap, is_unwanted: impl Fn(&HeaderName) -> bool) {
    // Nearly always empty, and an empty Vec costs nothing.
    let unwanted: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_unwanted(name))
        .cloned()
        .collect();
    for name in unwanted {
        headers.remove(name);
    }
}

/// Whether the client asks to speak WebSocket from here on. Other protocols are not passed on:
/// an upgrade to h2c would carry requests past every check of ours.
#[must_use]
pub fn wants_websocket(headers: &HeaderMap) -> bool {
    let is_websocket = headers
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    is_websocket
        && headers.get_all(CONNECTION).iter().any(|value| {
            value
                .as_bytes()
                .split(|byte| *byte == b',')
                .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
        })
}

/// Whether the client takes trailers, the one use of `TE` that may pass (gRPC asks for it).
#[must_use]
pub fn takes_trailers(headers: &HeaderMap) -> bool {
    headers
        .get(TE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"))
}

/// HTTP/2 lets a client send cookies in several lines; HTTP/1.1 takes one (RFC 9113 section 8.2.3).
pub fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_some()
        && let Some(value) = joined(headers, &COOKIE, b"; ")
    {
        headers.insert(COOKIE, value);
    }
}

/// The X-Forwarded-For of all lines as one: a proxy may add its own below the client's.
#[must_use]
pub fn forwarded_for(headers: &HeaderMap) -> Option<HeaderValue> {
    joined(headers, &X_FORWARDED_FOR, b", ")
}

/// All lines of a header as one; `None` when there is none.
fn joined(headers: &HeaderMap, name: &HeaderName, separator: &[u8]) -> Option<HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    let mut joined = first.as_bytes().to_vec();
    for line in lines {
        joined.extend_from_slice(separator);
        joined.extend_from_slice(line.as_bytes());
    }
    HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)).ok()
}

/// The last line of a header: what the nearest proxy wrote.
#[must_use]
pub fn last<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    headers.get_all(name).iter().next_back()
}

/// What the backend is told about the client's side.
pub struct Edge<'a> {
    pub peer: IpAddr,
    /// The peer's address as a header, kept per connection.
    pub peer_value: &'a HeaderValue,
    /// Whether the peer is a proxy of ours, whose word on the chain before it counts.
    pub is_trusted: bool,
    pub is_secure: bool,
    /// The Host as the client sent it.
    pub host: &'a HeaderValue,
    pub port: &'a HeaderValue,
    pub request_id: &'a HeaderValue,
}

/// Replaces what was said about the client with what we know. `chain` is the X-Forwarded-For
/// that a trusted proxy sent, taken before the reserved names were stripped.
pub fn add_forwarded(headers: &mut HeaderMap, edge: &Edge<'_>, chain: Option<HeaderValue>) {
    let forwarded_for = match chain.as_ref().filter(|_| edge.is_trusted) {
        None => edge.peer_value.clone(),
        Some(chain) => {
            let mut text = chain.as_bytes().to_vec();
            text.extend_from_slice(b", ");
            text.extend_from_slice(edge.peer_value.as_bytes());
            HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
                .unwrap_or_else(|_| edge.peer_value.clone())
        }
    };
    let proto = if edge.is_secure { "https" } else { "http" };
    let mut forwarded = String::with_capacity(80);
    // RFC 7239: an IPv6 address is quoted and in brackets; a host with a port is quoted.
    let _ = match edge.peer {
        IpAddr::V4(address) => write!(forwarded, "for={address}"),
        IpAddr::V6(address) => write!(forwarded, "for=\"[{address}]\""),
    };
    if let Ok(host) = edge.host.to_str() {
        let _ = write!(forwarded, ";host=\"{host}\"");
    }
    let _ = write!(forwarded, ";proto={proto}");

    headers.insert(X_FORWARDED_FOR, forwarded_for);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    headers.insert(X_FORWARDED_HOST, edge.host.clone());
    headers.insert(X_FORWARDED_PORT, edge.port.clone());
    headers.insert(X_REQUEST_ID, edge.request_id.clone());
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(forwarded)) {
        headers.insert(FORWARDED, value);
    }
}

/// The Host of a request as one text to compare and route by: lower case, without port and
/// without a trailing dot. `None` when it is no host.
#[must_use]
pub fn normalise_host(host: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(host).ok()?;
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (text, None),
    };
    if port.is_some_and(|port| !port.bytes().all(|byte| byte.is_ascii_digit()) || port.len() > 5) {
        return None;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_address = name.starts_with('[') && name.ends_with(']');
    let is_valid = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_')
            || (is_address && matches!(byte, b':' | b'[' | b']'))
    };
    if name.is_empty() || name.len() > 253 || !name.bytes().all(is_valid) {
        return None;
    }
    Some(name.to_ascii_lowercase())
}

/// The authority of a request target, without anything that could hide another host in it.
#[must_use]
pub fn authority(uri: &Uri) -> Option<&str> {
    uri.authority().map(http::uri::Authority::as_str)
}

/// The first address in a chain of X-Forwarded-For that no trusted proxy wrote, read from our
/// side: the client, as far as we can know.
pub fn client_of(chain: &str, peer: SocketAddr, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer.ip();
    for hop in chain.rsplit(',') {
        if !is_trusted(client) {
            break;
        }
        match hop.trim().parse() {
            Ok(address) => client = address,
            Err(_) => break,
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn every_name_that_only_we_write_is_stripped_also_with_underscores() {
        for name in [
            "x-tutti-user",
            "x-tutti-roles",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-forwarded-user",
            "forwarded",
            "x-real-ip",
            "x-request-id",
            "proxy",
            "proxy-authorization",
            "x-remote-user",
            "remote-user",
            "x-original-url",
            "x-rewrite-url",
            "x_forwarded_for",
            "x-tutti_user",
            "x_real_ip",
            "true-client-ip",
            "x-ssl-client-cert",
            "https",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in [
            "cookie",
            "host",
            "accept",
            "x-requested-with",
            "x-csrf-token",
            "referer",
            "authorization",
            "x-http-method-override",
            "content-type",
            "range",
            "x-api-key",
        ] {
            assert!(!is_reserved(name), "{name}");
        }
        let mut headers = map(&[
            ("x-tutti-user", "admin"),
            ("x-tutti-user", "2"),
            ("cookie", "a=b"),
        ]);
        strip_reserved(&mut headers);
        assert_eq!(headers, map(&[("cookie", "a=b")]));
    }

    #[test]
    fn what_connection_names_is_stripped_but_never_the_host_or_the_length() {
        let mut headers = map(&[
            ("connection", "close, x-secret, host, content-length"),
            ("x-secret", "1"),
            ("host", "a.test"),
            ("content-length", "3"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("host", "a.test"), ("content-length", "3")]));
    }

    #[test]
    fn hosts_are_compared_without_case_port_and_trailing_dot() {
        assert_eq!(
            normalise_host(b"Shop.Acme.Example:8443").as_deref(),
            Some("shop.acme.example")
        );
        assert_eq!(
            normalise_host(b"shop.acme.example.").as_deref(),
            Some("shop.acme.example")
        );
        assert_eq!(normalise_host(b"[::1]:80").as_deref(), Some("[::1]"));
        for wrong in [
            "",
            ":80",
            "a b",
            "a/b",
            "a@b",
            "a:b",
            "a,b",
            "a\u{e9}.test",
            "a?b",
            "a:123456",
        ] {
            assert_eq!(normalise_host(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn cookies_of_http2_become_one_line() {
        let mut headers = map(&[("cookie", "a=1"), ("cookie", "b=2")]);
        join_cookies(&mut headers);
        assert_eq!(headers, map(&[("cookie", "a=1; b=2")]));
    }

    #[test]
    fn a_chain_is_kept_from_a_trusted_proxy_only() {
        let (peer, host) = (
            HeaderValue::from_static("10.0.0.1"),
            HeaderValue::from_static("a.test"),
        );
        let (port, id) = (
            HeaderValue::from_static("443"),
            HeaderValue::from_static("id"),
        );
        let edge = |is_trusted| Edge {
            peer: IpAddr::from([10, 0, 0, 1]),
            peer_value: &peer,
            is_trusted,
            is_secure: true,
            host: &host,
            port: &port,
            request_id: &id,
        };
        let mut headers = HeaderMap::new();
        add_forwarded(
            &mut headers,
            &edge(true),
            Some(HeaderValue::from_static("1.2.3.4")),
        );
        assert_eq!(headers[X_FORWARDED_FOR], "1.2.3.4, 10.0.0.1");
        add_forwarded(
            &mut headers,
            &edge(false),
            Some(HeaderValue::from_static("1.2.3.4")),
        );
        assert_eq!(headers[X_FORWARDED_FOR], "10.0.0.1");
        assert_eq!(
            headers[FORWARDED],
            "for=10.0.0.1;host=\"a.test\";proto=https"
        );
    }

    #[test]
    fn what_a_proxy_adds_in_a_line_of_its_own_counts() {
        let mut headers = HeaderMap::new();
        assert_eq!(forwarded_for(&headers), None);
        for line in ["6.6.6.6", "1.2.3.4"] {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_static(line));
        }
        assert_eq!(forwarded_for(&headers).unwrap(), "6.6.6.6, 1.2.3.4");
        for line in ["https", "http"] {
            headers.append(X_FORWARDED_PROTO, HeaderValue::from_static(line));
        }
        assert_eq!(last(&headers, &X_FORWARDED_PROTO).unwrap(), "http");
    }

    #[test]
    fn the_client_is_the_last_address_that_no_trusted_proxy_wrote() {
        let peer = SocketAddr::from(([10, 0, 0, 1], 1));
        let trusted = |address: IpAddr| address.to_string().starts_with("10.");
        assert_eq!(
            client_of("6.6.6.6, 1.2.3.4, 10.0.0.2", peer, trusted).to_string(),
            "1.2.3.4"
        );
        assert_eq!(
            client_of("1.2.3.4", SocketAddr::from(([9, 9, 9, 9], 1)), trusted).to_string(),
            "9.9.9.9"
        );
        assert_eq!(client_of("nonsense", peer, trusted).to_string(), "10.0.0.1");
    }
}
