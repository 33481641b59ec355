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
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::brought::Brought;

/// Where a Secret of type kubernetes.io/tls has the key.
pub(super) const KEY: &str = "tls.key";
/// And where the chain.
pub(super) const CERTIFICATE: &str = "tls.crt";

/// What the Secrets that are made here are labelled as.
pub const COMPONENT: &str = "certificate";

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
        let algorithm = match kind {
            KeyKind::EcdsaP256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyKind::Rsa2048 => &rcgen::PKCS_RSA_SHA256,
        };
        if let Some(text) = self.part(&name, KEY).await?
            && let Ok(pair) = KeyPair::from_pem(&text)
            && pair.algorithm() == algorithm
        {
            return Ok(pair);
        }
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

    /// A certificate of one's own: checked, and copied to where the gateway reads. With it comes until when
    /// its chain holds.
    ///
    /// # Errors
    /// What is wrong with it, naming the Secret and the mend.
    pub async fn bring(
        &self,
        client: &Client,
        domain: &Domain,
        secret: &str,
        now: Timestamp,
    ) -> Result<(Leaf, Timestamp), String> {
        let namespace = domain.namespace().unwrap_or_default();
        let hostname = domain.spec.hostname.as_str();
        let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        let wrong = |what: String| format!("spec.certificateSecret: Secret {secret}: {what}");
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
        let brought = Brought::read(&found, hostname, now);
        let Brought {
            leaf,
            until,
            chain,
            key,
        } = brought.map_err(|error| wrong(error.to_string()))?;
        let known = self.part(&Self::secret_name(hostname), CERTIFICATE).await;
        if known.ok().flatten().as_deref() != Some(chain.as_str()) {
            let put = self.put(hostname, chain, key).await;
            put.map_err(|error| wrong(format!("it cannot be copied: {error}")))?;
        }
        Ok((leaf, until))
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

    /// Whether a certificate, by its serial number, and the key to it are where the gateway reads: somebody
    /// may have deleted or changed them.
    ///
    /// # Errors
    /// When the API server does not tell.
    pub async fn is_kept(&self, hostname: &str, serial: &str) -> Result<bool, kube::Error> {
        let secret = self.api.get_opt(&Self::secret_name(hostname)).await?;
        let pair = secret.and_then(|secret| text(&secret, CERTIFICATE).zip(text(&secret, KEY)));
        Ok(pair.is_some_and(|(chain, key)| {
            read(&chain).is_ok_and(|leaf| leaf.serial == serial) && fit(&chain, &key).is_ok()
        }))
    }

    async fn part(&self, secret: &str, key: &str) -> Result<Option<String>, kube::Error> {
        let secret = self.api.get_opt(secret).await?;
        Ok(secret.and_then(|secret| text(&secret, key)))
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
                "labels": { labels::COMPONENT: COMPONENT },
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

/// What a Secret holds under a key, if it is text.
pub(super) fn text(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.0.clone()).ok()
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
        .map_err(|_| anyhow::anyhow!("tls.crt: there is no certificate in PEM"))
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
pub(super) fn fit(chain: &str, key: &str) -> anyhow::Result<()> {
    let none = "tls.key holds no private key in PEM that can be used: RSA of 2048 bits at least, or \
                ECDSA on P-256 or P-384; put such a key into it, and the certificate made for it into \
                tls.crt";
    let der = PrivateKeyDer::from_pem_slice(key.as_bytes());
    let pair = der.ok().and_then(|der| KeyPair::try_from(&der).ok());
    let pair = pair.ok_or_else(|| anyhow::anyhow!(none))?;
    let der = first(chain)?;
    let (_, certificate) = X509Certificate::from_der(&der)?;
    anyhow::ensure!(
        certificate.public_key().raw == pair.subject_public_key_info(),
        "tls.key is not the key of tls.crt; put the two that belong together into it"
    );
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rcgen::{
        BasicConstraints, CertificateSigningRequestParams, DnType, IsCa, Issuer, KeyIdMethod,
        SanType, SerialNumber,
    };

    /// Who signs certificates, and its own.
    pub(in crate::domain) struct Authority {
        pub(in crate::domain) issuer: Issuer<'static, KeyPair>,
        pub(in crate::domain) pem: String,
    }

    impl Authority {
        pub(in crate::domain) fn of_its_own(name: &str) -> Self {
            let (parameters, key) = Self::parts(name);
            let pem = parameters.self_signed(&key).unwrap().pem();
            let issuer = Issuer::new(parameters, key);
            Self { issuer, pem }
        }

        pub(in crate::domain) fn below(&self, name: &str) -> Self {
            let (parameters, key) = Self::parts(name);
            let pem = parameters.signed_by(&key, &self.issuer).unwrap().pem();
            let issuer = Issuer::new(parameters, key);
            Self { issuer, pem }
        }

        /// The example of RFC 9773 §4.1 names its key so.
        fn parts(name: &str) -> (CertificateParams, KeyPair) {
            let mut parameters = CertificateParams::default();
            parameters.distinguished_name.push(DnType::CommonName, name);
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            parameters.key_identifier_method = KeyIdMethod::PreSpecified(vec![
                0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0,
                0xae, 0x2c, 0xde, 0x01, 0xc8, 0xd4,
            ]);
            (parameters, KeyPair::generate().unwrap())
        }

        /// A certificate for these names and a key of its own.
        pub(in crate::domain) fn certify(
            &self,
            names: &[&str],
            key: &impl PublicKeyData,
        ) -> String {
            let all: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut parameters = CertificateParams::new(all).unwrap();
            parameters.serial_number = Some(SerialNumber::from_slice(&[0x87, 0x65, 0x43, 0x21]));
            parameters.use_authority_key_identifier_extension = true;
            parameters
                .distinguished_name
                .push(DnType::CommonName, names[0]);
            parameters.signed_by(key, &self.issuer).unwrap().pem()
        }
    }

    pub(in crate::domain) fn key() -> KeyPair {
        KeyPair::generate().unwrap()
    }

    #[test]
    fn a_chain_is_read_by_its_first_certificate() {
        let authority = Authority::of_its_own("An authority");
        let leaf = authority.certify(&["WWW.acme.example", "acme.example"], &key());
        let chain = format!("{leaf}{}", authority.pem);
        let seen = read(&chain).unwrap();
        assert_eq!(seen.names, ["www.acme.example", "acme.example"]);
        assert_eq!(seen.issuer, "An authority");
        assert_eq!(seen.serial, "0087654321");
        assert_eq!(serial(&first(&chain).unwrap()).as_ref(), Some(&seen.serial));
        assert!(seen.not_before < seen.not_after);

        let said = |chain: &str| read(chain).unwrap_err().to_string();
        assert_eq!(said(""), "tls.crt: there is no certificate in PEM");
        assert_eq!(said(&key().serialize_pem()), said(""));
    }

    #[test]
    fn a_certificate_stands_for_its_names_and_a_wildcard_for_those_directly_below() {
        let authority = Authority::of_its_own("An authority");
        let names = ["www.acme.example", "*.shop.acme.example"];
        let leaf = read(&authority.certify(&names, &key())).unwrap();
        for (hostname, is_covered) in [
            ("www.acme.example", true),
            ("*.shop.acme.example", true),
            ("a.shop.acme.example", true),
            ("shop.acme.example", false),
            ("a.b.shop.acme.example", false),
            ("*.acme.example", false),
            ("acme.example", false),
            ("a.www.acme.example", false),
            ("wwwXacme.example", false),
        ] {
            assert_eq!(leaf.covers(hostname), is_covered, "{hostname}");
        }
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let authority = Authority::of_its_own("An authority");
        let key = key();
        let chain = authority.certify(&["www.acme.example"], &key) + &authority.pem;
        fit(&chain, &key.serialize_pem()).unwrap();
        let said = |chain: &str, key: &str| fit(chain, key).unwrap_err().to_string();
        let others = said(&chain, &self::key().serialize_pem());
        assert!(others.contains("is not the key of tls.crt"), "{others}");
        // The key of who signed it is no better.
        let signers = authority.issuer.key().serialize_pem();
        assert_eq!(said(&chain, &signers), others);
        let none = said(&chain, &chain);
        assert!(none.contains("no private key in PEM"), "{none}");
        let swapped = said(&key.serialize_pem(), &key.serialize_pem());
        assert_eq!(swapped, "tls.crt: there is no certificate in PEM");
    }

    #[test]
    fn a_certificate_is_requested_for_a_key_of_either_kind() {
        let authority = Authority::of_its_own("An authority");
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_RSA_SHA256] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            for hostname in ["www.acme.example", "*.acme.example"] {
                let request = Certificates::request(hostname, &key).unwrap();
                // Reading it verifies its signature.
                let request = CertificateSigningRequestParams::from_der(&request.into()).unwrap();
                let name = SanType::DnsName(hostname.try_into().unwrap());
                assert_eq!(request.params.subject_alt_names, [name]);
                assert_eq!(request.params.distinguished_name.iter().count(), 0);

                let chain = request.signed_by(&authority.issuer).unwrap().pem();
                assert!(read(&chain).unwrap().covers(hostname));
                // Saved before it is used, it comes back from a Secret.
                fit(&chain, &key.serialize_pem()).unwrap();
            }
        }
    }

    #[test]
    fn a_key_of_kind_rsa_2048_is_as_long_as_its_name_says() {
        let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let chain = Authority::of_its_own("An authority").certify(&["www.acme.example"], &key);
        let der = first(&chain).unwrap();
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        let public = certificate.public_key().parsed().unwrap();
        assert_eq!(public.key_size(), 2048);
    }

    /// The example of RFC 9773 §4.1.
    #[test]
    fn a_certificate_that_is_replaced_is_named_by_its_authoritys_key_and_its_serial_number() {
        let authority = Authority::of_its_own("An authority");
        let chain = authority.certify(&["example.com"], &key()) + &authority.pem;
        let named = identifier(&chain).unwrap();
        assert_eq!(named.to_string(), "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
        // One that does not say by which key it was signed has no such name.
        let silent = CertificateParams::new(vec!["example.com".to_owned()]).unwrap();
        let silent = silent.self_signed(&key()).unwrap().pem();
        assert_eq!(identifier(&silent), None);
        assert_eq!(identifier("none"), None);
    }
}
