//! Where the door leads: a URL of the gateway's, taken apart and put together. Pure.

use axum::http::Uri;

/// The parameter that carries the ticket.
pub const PARAMETER: &str = "tutti_ticket";

/// A place behind the gateway that somebody wants to come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// In lower case, without a port.
    pub host: String,
    port: Option<u16>,
    /// As the browser asks for it.
    pub path: String,
    query: Option<String>,
}

impl Place {
    /// Reads an absolute URL. `None` when browsers would not come to the gateway by it: it has to be https, at
    /// the port by which they come to us, and to name a host and nothing else before it.
    #[must_use]
    pub fn read(url: &str, our_origin: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
        if !url.bytes().all(is_plain) {
            return None;
        }
        let uri: Uri = url.parse().ok()?;
        let authority = uri.authority()?;
        let host = authority.host().to_ascii_lowercase();
        // With a port, or with nothing: `host:` is no port, and `ann@host` is another one's host in disguise.
        let after = authority.as_str().get(host.len()..)?;
        let is_whole = after.is_empty() || authority.port_u16().is_some();
        let is_well = uri.scheme_str() == Some("https")
            && is_whole
            && !authority.as_str().contains('@')
            && is_name(&host)
            && port(&uri) == our_port(our_origin);
        is_well.then(|| Self {
            host,
            port: port(&uri).filter(|port| *port != HTTPS),
            path: uri.path().to_owned(),
            query: uri.query().map(str::to_owned),
        })
    }

    /// The URL with a ticket, in place of one that was there. What else it asks for stays as it is.
    #[must_use]
    pub fn with(&self, ticket: &str) -> String {
        let Self {
            host, port, path, ..
        } = self;
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let is_ticket = |part: &&str| part.split('=').next() == Some(PARAMETER);
        let mut query: Vec<&str> = self
            .query
            .iter()
            .flat_map(|query| query.split('&'))
            .filter(|part| !is_ticket(part))
            .collect();
        // Of `?` alone nothing is left to keep.
        if query == [""] {
            query.clear();
        }
        let ours = format!("{PARAMETER}={ticket}");
        query.push(&ours);
        format!("https://{host}{port}{path}?{}", query.join("&"))
    }
}

const HTTPS: u16 = 443;

fn port(uri: &Uri) -> Option<u16> {
    Some(uri.port_u16().unwrap_or(HTTPS))
}

/// The port at which browsers find the gateway, for they come through it to us, too. On a person's own machine
/// without TLS there is none.
fn our_port(origin: &str) -> Option<u16> {
    let uri: Uri = origin.parse().ok()?;
    match uri.scheme_str() {
        Some("https") => port(&uri),
        _ => None,
    }
}

/// A hostname as Routes have them, but for the asterisk.
fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        label.bytes().all(|byte| is_letter(byte) || byte == b'-')
            && label.bytes().next().is_some_and(is_letter)
    };
    host.split('.').all(is_label)
}

/// The wildcard that a hostname is below, one label up.
#[must_use]
pub fn wildcard(host: &str) -> Option<String> {
    let (_, above) = host.split_once('.')?;
    Some(format!("*.{above}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ORIGIN: &str = "https://id.apps.example";

    fn read(url: &str) -> Option<Place> {
        Place::read(url, ORIGIN)
    }

    #[test]
    fn only_https_at_our_port_leads_to_the_gateway() {
        for (url, host, path) in [
            ("https://shop.apps.example", "shop.apps.example", "/"),
            ("https://shop.apps.example/a?b=c", "shop.apps.example", "/a"),
            ("https://SHOP.apps.example:443/", "shop.apps.example", "/"),
            (
                "https://shop.apps.example/a%2Fb/",
                "shop.apps.example",
                "/a%2Fb/",
            ),
        ] {
            let place = read(url).unwrap();
            assert_eq!((place.host.as_str(), place.path.as_str()), (host, path));
        }
        for url in [
            "",
            "/a",
            "shop.apps.example",
            "//shop.apps.example/",
            "http://shop.apps.example/",
            "ftp://shop.apps.example/",
            "javascript:alert(1)",
            "https:///a",
            "https://shop.apps.example:8443/",
            "https://shop.apps.example:80/",
            "https://shop.apps.example:/",
            "https://shop.apps.example:443443/",
            "https://ann@shop.apps.example/",
            "https://shop.apps.example@evil.test/",
            "https://shop.apps.example\\@evil.test/",
            "https://shop.apps.example./",
            "https://.apps.example/",
            "https://*.apps.example/",
            "https://[::1]/",
            "https://shop.apps.example/a b",
            "https://shop.apps.example/ä",
            "https://shop.apps.example/\r\nx: y",
            " https://shop.apps.example/",
        ] {
            assert_eq!(read(url), None, "{url:?}");
        }
    }

    #[test]
    fn behind_another_port_that_port_is_ours_and_without_tls_none_is() {
        let ours = "https://id.tutti.localhost:8443";
        let url = "https://shop.tutti.localhost:8443/a";
        let place = Place::read(url, ours).unwrap();
        assert_eq!(place.with("t"), format!("{url}?tutti_ticket=t"));
        assert_eq!(Place::read("https://shop.tutti.localhost/a", ours), None);
        assert_eq!(
            Place::read("https://a.localhost/", "http://id.localhost"),
            None
        );
    }

    #[test]
    fn the_ticket_takes_the_place_of_another_and_the_rest_stays() {
        for (query, expected) in [
            ("", ""),
            ("?", ""),
            ("?a=1", "a=1&"),
            ("?a=%C3%A4+b&&b&c=", "a=%C3%A4+b&&b&c=&"),
            ("?tutti_ticket=old", ""),
            ("?tutti_ticket", ""),
            ("?a=1&tutti_ticket=old&b=2&tutti_ticket=older", "a=1&b=2&"),
            (
                "?tutti_tickets=1&x=tutti_ticket=2",
                "tutti_tickets=1&x=tutti_ticket=2&",
            ),
            ("?a=1#part", "a=1&"),
        ] {
            let place = read(&format!("https://a.apps.example/p{query}")).unwrap();
            let expected = format!("https://a.apps.example/p?{expected}tutti_ticket=new");
            assert_eq!(place.with("new"), expected, "{query:?}");
        }
    }

    #[test]
    fn a_wildcard_is_one_label_up() {
        assert_eq!(wildcard("a.b.example").as_deref(), Some("*.b.example"));
        assert_eq!(wildcard("localhost"), None);
    }

    proptest! {
        #[test]
        fn what_is_led_to_is_the_host_that_was_looked_up(url in "https://[a-z@:./\\\\?#%*\\[\\]0-9-]{0,24}") {
            if let Some(place) = read(&url) {
                let led: Uri = place.with("t").parse().unwrap();
                prop_assert_eq!(led.authority().unwrap().as_str(), place.host.as_str());
                prop_assert_eq!(led.path(), place.path.as_str());
            }
        }
    }
}
