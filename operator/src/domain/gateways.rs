//! What the gateways answer: to an authority's question, and at a TLS handshake. Every replica is asked
//! by itself: an authority may come to any of them. Which there are a watch tells, whoever asks.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use crds::domain::CHALLENGE_PATH;
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, runtime::reflector::Store};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::exchange::{PATIENCE, get};

/// The gateway's replicas.
#[derive(Clone)]
pub struct Gateways {
    pods: Store<Pod>,
}

/// One replica.
#[derive(Clone, Debug)]
struct Replica {
    name: String,
    http: SocketAddr,
    https: SocketAddr,
}

impl Gateways {
    /// Those whose pods are watched.
    #[must_use]
    pub fn new(pods: Store<Pod>) -> Self {
        Self { pods }
    }

    /// Whether there is none to ask.
    #[must_use]
    pub fn are_away(&self) -> bool {
        self.replicas().is_err()
    }

    fn replicas(&self) -> Result<Vec<Replica>, String> {
        let pods = self.pods.state();
        let mut replicas: Vec<Replica> = pods.iter().filter_map(|pod| replica(pod)).collect();
        if replicas.is_empty() {
            return Err("no gateway is ready".to_owned());
        }
        // The first that does not answer is the same one each time.
        replicas.sort_by(|one, other| one.name.cmp(&other.name));
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
        for replica in self.replicas()? {
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
        for replica in self.replicas()? {
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

#[cfg(test)]
mod tests {
    use kube::runtime::{reflector, watcher::Event};
    use serde_json::json;

    use super::*;

    fn pod(name: &str, is_ready: bool) -> Pod {
        let port = |name: &str, number: u16| json!({ "name": name, "containerPort": number });
        let ports = [port("http", 8080), port("https", 8443)];
        serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": "gateways" },
            "spec": { "containers": [{ "name": "gateway", "ports": ports }] },
            "status": {
                "podIP": "10.1.2.3",
                "conditions": [{ "type": "Ready", "status": if is_ready { "True" } else { "False" } }],
            },
        }))
        .unwrap()
    }

    #[test]
    fn those_that_are_ready_are_asked_in_the_order_of_their_names() {
        let (pods, mut writer) = reflector::store();
        let gateways = Gateways::new(pods);
        let names = || {
            let replicas = gateways.replicas()?;
            Ok::<_, String>(replicas.into_iter().map(|it| it.name).collect::<Vec<_>>())
        };
        writer.apply_watcher_event(&Event::Apply(pod("c", false)));
        assert!(gateways.are_away());
        assert_eq!(names(), Err("no gateway is ready".to_owned()));
        for name in ["b", "a"] {
            writer.apply_watcher_event(&Event::Apply(pod(name, true)));
        }
        assert!(!gateways.are_away());
        let both = ["gateway a", "gateway b"].map(str::to_owned);
        assert_eq!(names(), Ok(both.to_vec()));
        for name in ["a", "b"] {
            writer.apply_watcher_event(&Event::Delete(pod(name, true)));
        }
        assert!(gateways.are_away());
    }
}
