//! Does our own request come back to us? Before an authority asks for its token, we ask for one of
//! ours through the public name, as it would (RFC 8555 §8.3): plain HTTP, port 80.

use serde::{Deserialize, Serialize};

use crate::health::Finding;

/// What became of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reach {
    /// Our own answer came back.
    Ours,
    /// Somebody answered, and it was not us.
    Another {
        /// HTTP status.
        status: u16,
        /// The header `Server`.
        server: Option<String>,
        /// Headers that only one kind of proxy sends, by name.
        headers: Vec<String>,
    },
    /// Led on to a place that an authority does not follow: another port, or no HTTP.
    RedirectedAway {
        /// Where to.
        to: String,
    },
    /// No connection.
    Unreachable {
        /// Address and port that were tried, and why not.
        why: String,
    },
}

/// Services that stand between visitors and us, by the header that gives them away.
const PROXIES: [(&str, &str); 7] = [
    ("cf-ray", "Cloudflare"),
    ("x-amz-cf-id", "Amazon CloudFront"),
    ("x-vercel-id", "Vercel"),
    ("x-nf-request-id", "Netlify"),
    ("x-served-by", "Fastly"),
    ("x-akamai-transformed", "Akamai"),
    ("x-sucuri-id", "Sucuri"),
];

/// The headers that are worth keeping of an answer.
pub fn telling_headers() -> impl Iterator<Item = &'static str> {
    PROXIES.iter().map(|(header, _)| *header)
}

/// Judges the request.
#[must_use]
pub fn judge(hostname: &str, reach: &Reach) -> Finding {
    let path = "http://<name>/.well-known/acme-challenge/";
    match reach {
        Reach::Ours => Finding::well(
            "Reachable",
            format!("a request for http://{hostname} comes to the gateway"),
        ),
        Reach::Another {
            status,
            server,
            headers,
        } => {
            let proxy = PROXIES
                .iter()
                .find(|(header, _)| headers.iter().any(|seen| seen.eq_ignore_ascii_case(header)));
            match proxy {
                Some((_, who)) => Finding::stuck(
                    "AnsweredByAProxy",
                    format!(
                        "{who} answers for {hostname} by itself (status {status}); have it pass \
                         {path} on to us, or turn it off for this name until there is a certificate"
                    ),
                ),
                None => Finding::stuck(
                    "AnsweredByAnother",
                    format!(
                        "somebody else{} answers for http://{hostname} (status {status}); see that \
                         the address is the gateway's, and that no router in between keeps port 80 \
                         for itself",
                        server
                            .as_ref()
                            .map(|server| format!(" ({server})"))
                            .unwrap_or_default()
                    ),
                ),
            }
        }
        Reach::RedirectedAway { to } => Finding::stuck(
            "RedirectedAway",
            format!(
                "http://{hostname} is led on to {to}, where authorities do not follow; have {path} \
                 answered without"
            ),
        ),
        Reach::Unreachable { why } => Finding::stuck(
            "Unreachable",
            format!(
                "http://{hostname} cannot be reached on port 80: {why}; have the firewall let it \
                 through to the gateway"
            ),
        ),
    }
}
