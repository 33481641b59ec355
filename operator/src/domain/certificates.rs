//! Keys and certificates: made here, read here, and kept in Secrets of the gateway's namespace.

use std::collections::BTreeMap;

use crds::{
    Domain,
    condition::Time,
    domain::{Certificate, KeyKind},
    labels,
};
use instant_acme::CertificateIdentifier;
use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// The key under its name in a Secret of type kubernetes.io/tls.
const KEY: &str = "tls.key";
const CERTIFICATE: &str = "tls.crt";

/// Secrets with certificates.
#[derive(Clone)]
pub struct Certificates {
    api: Api<Secret>,
}

/// What was read of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Hexadecimal.
    pub serial: String,
    /// The issuer's common name.
    pub issuer: String,
    /// From when on it holds.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// DNS names.
    pub names: Vec<String>,
}

impl Certificates {
    /// Those of this namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
        }
    }

    /// The Secret of a hostname's certificate.
    #[must_use]
    pub fn secret_name(hostname: &str) -> String {
        format!("certificate-{}", plan::digest::of_text(hostname))
    }

    fn next_name(hostname: &str) -> String {
        format!("{}-next", Self::secret_name(hostname))
    }

    /// The key of a certificate under way: saved before the authority hears of it, so that a crash
    /// in between costs nothing.
    ///
    /// # Errors
    /// When it can be neither found nor saved.
    pub async fn next_key(&self, hostname: &str, kind: KeyKind) -> anyhow::Result<KeyPair> {
        let name = Self::next_name(hostname);
        if let Some(text) = self.part(&name, KEY).await?
            && let Ok(pair) = KeyPair::from_pem(&text)
        {
            return Ok(pair);
        }
        let algorithm = match kind {
            KeyKind::EcdsaP256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyKind::Rsa2048 => &rcgen::PKCS_RSA_SHA256,
        };
        let pair = KeyPair::generate_for(algorithm)?;
        let data = BTreeMap::from([(KEY, pair.serialize_pem())]);
        self.write(&name, "Opaque", hostname, data).await?;
        Ok(pair)
    }

    /// The request for a certificate of a key (RFC 2986, DER).
    ///
    /// # Errors
    /// When the name cannot stand in one.
    pub fn request(hostname: &str, key: &KeyPair) -> anyhow::Result<Vec<u8>> {
        let mut parameters = CertificateParams::new(vec![hostname.to_owned()])?;
        // The names of a certificate stand in one place only.
        parameters.distinguished_name = DistinguishedName::new();
        Ok(parameters.serialize_request(key)?.der().to_vec())
    }

    /// Puts the key under way and the chain into one Secret, in one write; then the key under way is
    /// gone. Done again after a crash it finds that it was done.
    ///
    /// # Errors
    /// When the chain is not for this name and key, or cannot be saved.
    pub async fn keep(&self, hostname: &str, chain: &str) -> anyhow::Result<Leaf> {
        let leaf = read(chain)?;
        anyhow::ensure!(
            leaf.covers(hostname),
            "the certificate is for {}, and not for {hostname}",
            leaf.names.join(", ")
        );
        if self
            .part(&Self::secret_name(hostname), CERTIFICATE)
            .await?
            .as_deref()
            == Some(chain)
        {
            self.delete(&Self::next_name(hostname)).await?;
            return Ok(leaf);
        }
        let key = self.part(&Self::next_name(hostname), KEY).await?;
        let key = key.ok_or_else(|| anyhow::anyhow!("the key of the certificate is gone"))?;
        fit(chain, &key)?;
        self.put(hostname, chain.to_owned(), key).await?;
        self.delete(&Self::next_name(hostname)).await?;
        Ok(leaf)
    }

    async fn put(&self, hostname: &str, chain: String, key: String) -> Result<(), kube::Error> {
        let data = BTreeMap::from([(CERTIFICATE, chain), (KEY, key)]);
        let name = Self::secret_name(hostname);
        self.write(&name, "kubernetes.io/tls", hostname, data).await
    }

    /// A certificate of one's own: checked, and copied to where the gateway reads.
    ///
    /// # Errors
    /// What is wrong with it, naming the Secret and the mend.
    pub async fn bring(
        &self,
        client: &Client,
        domain: &Domain,
        secret: &str,
        now: Timestamp,
    ) -> Result<Leaf, String> {
        let namespace = domain.namespace().unwrap_or_default();
        let hostname = domain.spec.hostname.as_str();
        let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        let wrong = |what: String| format!("certificateSecret: Secret {secret}: {what}");
        let found = match api.get_opt(secret).await {
            Ok(Some(found)) => found,
            Ok(None) => {
                return Err(wrong(format!(
                    "it does not exist; kubectl create secret tls {secret} -n {namespace} \
                     --cert=chain.pem --key=key.pem"
                )));
            }
            Err(error) => return Err(wrong(format!("it cannot be read: {error}"))),
        };
        let part = |key: &str| {
            let bytes = found.data.as_ref()?.get(key)?;
            String::from_utf8(bytes.0.clone()).ok()
        };
        let chain = part(CERTIFICATE).ok_or_else(|| wrong("it has no tls.crt".to_owned()))?;
        let key = part(KEY).ok_or_else(|| wrong("it has no tls.key".to_owned()))?;
        let leaf = read(&chain).map_err(|error| wrong(format!("tls.crt: {error}")))?;
        if !leaf.covers(hostname) {
            return Err(wrong(format!(
                "it is for {}, and not for {hostname}; have one made for this name",
                leaf.names.join(", ")
            )));
        }
        if leaf.not_before > now || leaf.not_after <= now {
            return Err(wrong(format!(
                "it holds from {} to {}; put a new one into the Secret",
                leaf.not_before.strftime("%Y-%m-%d"),
                leaf.not_after.strftime("%Y-%m-%d"),
            )));
        }
        fit(&chain, &key).map_err(|error| wrong(error.to_string()))?;
        in_order(&chain).map_err(|error| wrong(format!("tls.crt: {error}")))?;
        let known = self.part(&Self::secret_name(hostname), CERTIFICATE).await;
        if known.ok().flatten().as_deref() != Some(chain.as_str()) {
            let put = self.put(hostname, chain, key).await;
            put.map_err(|error| wrong(format!("it cannot be copied: {error}")))?;
        }
        Ok(leaf)
    }

    /// How the certificate of a hostname is named when a new one replaces it (RFC 9773 §4.1).
    pub async fn identifier(&self, hostname: &str) -> Option<CertificateIdentifier<'static>> {
        let chain = self.part(&Self::secret_name(hostname), CERTIFICATE).await;
        identifier(&chain.ok()??)
    }

    /// The certificate of a hostname itself.
    pub async fn leaf(&self, hostname: &str) -> Option<CertificateDer<'static>> {
        let chain = self.part(&Self::secret_name(hostname), CERTIFICATE).await;
        first(&chain.ok()??).ok()
    }

    async fn part(&self, secret: &str, key: &str) -> Result<Option<String>, kube::Error> {
        let secret = self.api.get_opt(secret).await?;
        Ok(secret.and_then(|secret| {
            let bytes = secret.data.as_ref()?.get(key)?;
            String::from_utf8(bytes.0.clone()).ok()
        }))
    }

    /// Forgets the key of a certificate that did not come.
    ///
    /// # Errors
    /// When the API server does not.
    pub async fn forget_next(&self, hostname: &str) -> Result<(), kube::Error> {
        self.delete(&Self::next_name(hostname)).await
    }

    /// Removes both Secrets of a hostname.
    ///
    /// # Errors
    /// When the API server does not.
    pub async fn remove(&self, hostname: &str) -> Result<(), kube::Error> {
        self.delete(&Self::next_name(hostname)).await?;
        self.delete(&Self::secret_name(hostname)).await
    }

    async fn delete(&self, name: &str) -> Result<(), kube::Error> {
        match self.api.delete(name, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn write(
        &self,
        name: &str,
        kind: &str,
        hostname: &str,
        data: BTreeMap<&'static str, String>,
    ) -> Result<(), kube::Error> {
        let data: BTreeMap<&str, ByteString> = data
            .into_iter()
            .map(|(key, text)| (key, ByteString(text.into_bytes())))
            .collect();
        let secret = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": kind,
            "metadata": {
                "name": name,
                "labels": { labels::COMPONENT: "certificate" },
                "annotations": { labels::HOSTNAME: hostname },
            },
            "data": data,
        });
        let params = PatchParams::apply(labels::MANAGER).force();
        self.api
            .patch(name, &params, &Patch::Apply(&secret))
            .await
            .map(drop)
    }
}

impl Leaf {
    /// Whether it stands for a hostname, `*.` included.
    #[must_use]
    pub fn covers(&self, hostname: &str) -> bool {
        self.names.iter().any(|name| {
            name == hostname
                || name.strip_prefix("*.").is_some_and(|parent| {
                    hostname
                        .split_once('.')
                        .is_some_and(|(_, rest)| rest == parent)
                })
        })
    }

    /// As it stands on the Domain.
    #[must_use]
    pub fn status(
        &self,
        hostname: &str,
        authority: Option<&str>,
        renew_at: Timestamp,
    ) -> Certificate {
        Certificate {
            secret: Certificates::secret_name(hostname),
            authority: authority.map(str::to_owned),
            serial: self.serial.clone(),
            issuer: self.issuer.clone(),
            not_before: Time(self.not_before),
            not_after: Time(self.not_after),
            renew_at: Some(Time(renew_at)),
        }
    }
}

/// The serial number, in hexadecimal.
#[must_use]
pub fn serial(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(hexadecimal(parsed.raw_serial()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn first(chain: &str) -> anyhow::Result<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(chain.as_bytes())
        .map_err(|_| anyhow::anyhow!("there is no certificate in PEM"))
}

/// How a certificate is named when a new one replaces it.
#[must_use]
pub fn identifier(chain: &str) -> Option<CertificateIdentifier<'static>> {
    let der = first(chain).ok()?;
    CertificateIdentifier::try_from(&der)
        .ok()
        .map(CertificateIdentifier::into_owned)
}

/// Whether a key is the one of a certificate.
fn fit(chain: &str, key: &str) -> anyhow::Result<()> {
    let pair = KeyPair::from_pem(key).map_err(|_| {
        anyhow::anyhow!("tls.key holds no private key in PEM (PKCS #8) of a kind that is known")
    })?;
    let der = first(chain)?;
    let (_, certificate) = X509Certificate::from_der(&der)?;
    anyhow::ensure!(
        certificate.public_key().raw == pair.subject_public_key_info(),
        "tls.key is not the key of tls.crt; put the two that belong together into it"
    );
    Ok(())
}

/// Whether each certificate of a chain was issued by the next one.
fn in_order(chain: &str) -> anyhow::Result<()> {
    let all: Vec<CertificateDer<'_>> =
        CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>()?;
    for pair in all.windows(2) {
        let [one, next] = pair else { continue };
        let (_, one) = X509Certificate::from_der(one)?;
        let (_, next) = X509Certificate::from_der(next)?;
        anyhow::ensure!(
            one.issuer().as_raw() == next.subject().as_raw(),
            "{} is followed by {}, which did not issue it; put the site's own certificate first, then \
             who signed it, and so on",
            one.subject(),
            next.subject()
        );
    }
    Ok(())
}

/// Reads the first certificate of a chain.
///
/// # Errors
/// What is wrong with it.
pub fn read(chain: &str) -> anyhow::Result<Leaf> {
    let der = first(chain)?;
    let (_, certificate) = X509Certificate::from_der(&der)?;
    let time = |seconds: i64| Timestamp::from_second(seconds);
    let names = match certificate.subject_alternative_name() {
        Ok(Some(extension)) => extension
            .value
            .general_names
            .iter()
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some((*name).to_ascii_lowercase()),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    let issuer = certificate
        .issuer()
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok())
        .unwrap_or("an authority without a name");
    Ok(Leaf {
        serial: hexadecimal(certificate.raw_serial()),
        issuer: issuer.to_owned(),
        not_before: time(certificate.validity().not_before.timestamp())?,
        not_after: time(certificate.validity().not_after.timestamp())?,
        names,
    })
}
