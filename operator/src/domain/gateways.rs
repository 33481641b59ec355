//! What the gateways answer: to an authority's question, to our own through the public name, and at
//! a TLS handshake. Every replica is asked by itself: an authority may come to any of them.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crds::domain::{CHALLENGE_PATH, preflight_answer};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes, header};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt, api::ListParams};
use plan::domain::reach::{Reach, telling_headers};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

/// Connection and answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// An answer to a challenge has about a hundred bytes.
const LONGEST_BODY: usize = 4096;

/// The gateway's replicas.
#[derive(Clone)]
pub struct Gateways {
    client: Client,
    namespace: String,
    selector: String,
}

/// One replica.
#[derive(Clone, Debug)]
struct Replica {
    name: String,
    http: SocketAddr,
    https: SocketAddr,
}

impl Gateways {
    /// Those with these labels.
    #[must_use]
    pub fn new<'a>(
        client: Client,
        namespace: &str,
        labels: impl Iterator<Item = (&'a String, &'a String)>,
    ) -> Self {
        let selector: Vec<String> = labels
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        Self {
            client,
            namespace: namespace.to_owned(),
            selector: selector.join(","),
        }
    }

    async fn replicas(&self) -> Result<Vec<Replica>, String> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let list = ListParams::default().labels(&self.selector);
        let pods = api
            .list(&list)
            .await
            .map_err(|error| format!("the gateway's pods cannot be listed: {error}"))?;
        let replicas: Vec<Replica> = pods.items.iter().filter_map(replica).collect();
        if replicas.is_empty() {
            return Err("no gateway is ready".to_owned());
        }
        Ok(replicas)
    }

    /// Whether every replica gives this answer; if not, which one says what.
    ///
    /// # Errors
    /// The first that does not, in words.
    pub async fn all_answer(
        &self,
        hostname: &str,
        token: &str,
        answer: &str,
    ) -> Result<(), String> {
        for replica in self.replicas().await? {
            let path = format!("{CHALLENGE_PATH}{token}");
            let given = get(replica.http, hostname, &path).await;
            match given {
                Ok(given) if given.body.trim() == answer => {}
                Ok(given) => {
                    return Err(format!(
                        "{} answers the challenge with status {}",
                        replica.name, given.status
                    ));
                }
                Err(why) => return Err(format!("{} cannot be asked: {why}", replica.name)),
            }
        }
        Ok(())
    }

    /// Whether every replica presents the certificate of this serial number.
    ///
    /// # Errors
    /// The first that does not, in words.
    pub async fn all_present(&self, hostname: &str, serial: &str) -> Result<(), String> {
        for replica in self.replicas().await? {
            match presented(replica.https, hostname).await {
                Ok(presented) if presented == serial => {}
                Ok(_) => return Err(format!("{} presents another certificate", replica.name)),
                Err(why) => return Err(format!("{} cannot be asked: {why}", replica.name)),
            }
        }
        Ok(())
    }
}

/// One that is ready: another is no danger, nobody is led to it.
fn replica(pod: &Pod) -> Option<Replica> {
    let status = pod.status.as_ref()?;
    let is_ready = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    if !is_ready || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let address: IpAddr = status.pod_ip.as_ref()?.parse().ok()?;
    let port = |name: &str| {
        let containers = pod.spec.as_ref()?.containers.iter();
        let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
        let port = ports.find(|port| port.name.as_deref() == Some(name))?;
        u16::try_from(port.container_port).ok()
    };
    Some(Replica {
        name: format!("gateway {}", pod.name_any()),
        http: SocketAddr::new(address, port("http")?),
        https: SocketAddr::new(address, port("https")?),
    })
}

/// Asks for an answer of our own through the public name, as an authority would.
///
/// `addresses`: where the name leads; `port`: 80 everywhere but behind a port forwarder.
pub async fn reach(hostname: &str, addresses: &[IpAddr], zone: &str, token: &str) -> Reach {
    // Authorities prefer IPv6 where there is some.
    let address = addresses
        .iter()
        .find(|it| it.is_ipv6())
        .or_else(|| addresses.first());
    let Some(address) = address else {
        return Reach::Unreachable {
            why: "it has no address".to_owned(),
        };
    };
    let place = SocketAddr::new(*address, 80);
    let path = format!("{CHALLENGE_PATH}{token}");
    let given = match get(place, hostname, &path).await {
        Ok(given) => given,
        Err(why) => {
            return Reach::Unreachable {
                why: format!("{place}: {why}"),
            };
        }
    };
    if given.status == StatusCode::OK && given.body.trim() == preflight_answer(token, zone) {
        return Reach::Ours;
    }
    if given.status.is_redirection()
        && let Some(to) = given.location.filter(|to| !is_followed(to))
    {
        return Reach::RedirectedAway { to };
    }
    Reach::Another {
        status: given.status.as_u16(),
        server: given.server,
        headers: given.telling,
    }
}

/// Authorities follow to ports 80 and 443 only.
fn is_followed(to: &str) -> bool {
    let Ok(to) = to.parse::<hyper::Uri>() else {
        return false;
    };
    match (to.scheme_str(), to.port_u16()) {
        (None | Some("http"), port) => matches!(port, None | Some(80 | 443)),
        (Some("https"), port) => matches!(port, None | Some(80 | 443)),
        _ => false,
    }
}

struct Given {
    status: StatusCode,
    body: String,
    location: Option<String>,
    server: Option<String>,
    telling: Vec<String>,
}

async fn get(place: SocketAddr, hostname: &str, path: &str) -> Result<Given, String> {
    match timeout(PATIENCE, exchange(place, hostname, path)).await {
        Ok(given) => given,
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn exchange(place: SocketAddr, hostname: &str, path: &str) -> Result<Given, String> {
    let words = |error: &dyn std::error::Error| error.to_string();
    let stream = TcpStream::connect(place)
        .await
        .map_err(|error| words(&error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| words(&error))?;
    let driver = tokio::spawn(connection);
    let request = Request::get(path)
        .header(header::HOST, hostname)
        .header(header::USER_AGENT, "tutti-operator")
        .body(Empty::<Bytes>::new())
        .map_err(|error| words(&error))?;
    let answer = sender.send_request(request).await;
    let given = match answer {
        Ok(answer) => {
            let text = |name: header::HeaderName| {
                let value = answer.headers().get(name)?.to_str().ok()?;
                Some(value.chars().take(200).collect::<String>())
            };
            let (status, location, server) = (
                answer.status(),
                text(header::LOCATION),
                text(header::SERVER),
            );
            let telling = telling_headers()
                .filter(|name| answer.headers().contains_key(*name))
                .map(str::to_owned)
                .collect();
            let body = Limited::new(answer.into_body(), LONGEST_BODY)
                .collect()
                .await;
            let body = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
            Ok(Given {
                status,
                body: body.unwrap_or_default(),
                location,
                server,
                telling,
            })
        }
        Err(error) => Err(words(&error)),
    };
    driver.abort();
    given
}

/// The serial number of the certificate that is presented for a name.
async fn presented(place: SocketAddr, hostname: &str) -> Result<String, String> {
    let seen = Arc::new(Seen::default());
    let verifier = Arc::new(Looking(seen.clone()));
    let config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let name = ServerName::try_from(hostname.to_owned()).map_err(|error| error.to_string())?;
    let handshake = async {
        let stream = TcpStream::connect(place).await?;
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    };
    match timeout(PATIENCE, handshake).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
    let seen = seen.0.lock().unwrap_or_else(PoisonError::into_inner);
    let leaf = seen.as_ref().ok_or("no certificate was presented")?;
    super::certificates::serial(leaf).ok_or_else(|| "its certificate cannot be read".to_owned())
}

#[derive(Debug, Default)]
struct Seen(Mutex<Option<CertificateDer<'static>>>);

/// Takes whatever is presented: it is looked at, and nothing is told to whoever presents it.
#[derive(Debug)]
struct Looking(Arc<Seen>);

impl ServerCertVerifier for Looking {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut seen = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some(end_entity.clone().into_owned());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
