//! Certificates by name. Pure: PEM in, a table out.
//!
//! An idle certificate is kept as bytes (about 3 KB with its chain): its key is checked against
//! it once at load, so that a broken Secret is named in the log right away, and is made ready for
//! signing at its first handshake.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use rpds::HashTrieMapSync;
use rustls::{crypto::CryptoProvider, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

/// Why a Secret cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BadCertificate {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("tls.crt holds no certificate in PEM")]
    NoCertificate,
    #[error("tls.crt is not a certificate: {0}")]
    Unreadable(String),
    #[error("tls.key holds no private key in PEM")]
    NoKey,
    #[error("the certificate names no DNS name as subject alternative name")]
    NoNames,
    #[error("key and certificate do not work together: {0}")]
    Key(#[from] rustls::Error),
    #[error("no TLS provider is installed")]
    NoProvider,
}

/// A certificate with its chain and key.
pub struct Certificate {
    /// `namespace/name` of the Secret.
    pub secret: Box<str>,
    /// resourceVersion of the Secret.
    pub version: Box<str>,
    /// DNS names in lower case; a wildcard as `*.parent`.
    pub names: Box<[Box<str>]>,
    /// Seconds since 1970.
    pub not_after: i64,
    chain: Box<[CertificateDer<'static>]>,
    key: PrivateKeyDer<'static>,
    ready: OnceLock<Option<Arc<CertifiedKey>>>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the key.
        formatter
            .debug_struct("Certificate")
            .field("secret", &self.secret)
            .field("names", &self.names)
            .finish()
    }
}

impl Certificate {
    /// Reads and checks what a Secret holds.
    ///
    /// # Errors
    /// When it cannot be served; says why, without a byte of the key.
    pub fn read(
        secret: &str,
        version: &str,
        crt: &[u8],
        key: &[u8],
    ) -> Result<Self, BadCertificate> {
        let chain: Box<[CertificateDer<'static>]> = CertificateDer::pem_slice_iter(crt)
            .collect::<Result<_, _>>()
            .map_err(|_| BadCertificate::NoCertificate)?;
        let leaf = chain.first().ok_or(BadCertificate::NoCertificate)?;
        let (_, parsed) = parse_x509_certificate(leaf)
            .map_err(|error| BadCertificate::Unreadable(error.to_string()))?;
        let names: Box<[Box<str>]> = match parsed.subject_alternative_name() {
            Ok(Some(extension)) => extension
                .value
                .general_names
                .iter()
                .filter_map(dns_name)
                .collect(),
            _ => Box::default(),
        };
        if names.is_empty() {
            return Err(BadCertificate::NoNames);
        }
        let not_after = parsed.validity().not_after.timestamp();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| BadCertificate::NoKey)?;
        let read = Self {
            secret: secret.into(),
            version: version.into(),
            names,
            not_after,
            chain,
            key,
            ready: OnceLock::new(),
        };
        // Checked now, and dropped: a parsed RSA key is several times the size of its bytes.
        read.make_ready()?;
        Ok(read)
    }

    fn make_ready(&self) -> Result<CertifiedKey, BadCertificate> {
        let provider = CryptoProvider::get_default().ok_or(BadCertificate::NoProvider)?;
        Ok(CertifiedKey::from_der(
            self.chain.to_vec(),
            self.key.clone_key(),
            provider,
        )?)
    }

    /// Ready for a handshake.
    #[must_use]
    pub fn certified_key(&self) -> Option<Arc<CertifiedKey>> {
        self.ready
            .get_or_init(|| self.make_ready().ok().map(Arc::new))
            .clone()
    }

    /// Whether a browser takes it for this host (in lower case).
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            None => **name == *host,
            Some(parent) => parent_of(host) == Some(parent),
        })
    }
}

fn dns_name(name: &GeneralName<'_>) -> Option<Box<str>> {
    match name {
        GeneralName::DNSName(name) if !name.is_empty() => {
            Some(name.to_ascii_lowercase().into_boxed_str())
        }
        _ => None,
    }
}

/// The name without its first label; a wildcard stands for exactly one label.
fn parent_of(host: &str) -> Option<&str> {
    host.split_once('.')
        .filter(|(label, _)| !label.is_empty())
        .map(|(_, parent)| parent)
}

/// Certificates that stand for a name, the one to present first.
type Candidates = Vec<Arc<Certificate>>;

/// All certificates, by name. A copy shares what it has in common with the one that it was made of, so
/// that a change of one costs the same among ten as among ten thousand.
#[derive(Clone, Debug, Default)]
pub struct Store {
    zone: Box<str>,
    secrets: HashTrieMapSync<Box<str>, Arc<Certificate>>,
    exact: HashTrieMapSync<Box<str>, Candidates>,
    /// By the parent of the wildcard.
    wildcard: HashTrieMapSync<Box<str>, Candidates>,
}

impl Store {
    /// Builds the store. `zone` is the platform's: its wildcard is presented for unknown names.
    pub fn build<'a>(
        certificates: impl IntoIterator<Item = &'a Arc<Certificate>>,
        zone: &str,
    ) -> Self {
        let mut store = Self {
            zone: zone.into(),
            ..Self::default()
        };
        for certificate in certificates {
            store.put(certificate);
        }
        store
    }

    /// Takes a certificate in, in the place of the one that came of the same Secret. Where several stand
    /// for one name, the one that is valid longest is presented.
    pub fn put(&mut self, certificate: &Arc<Certificate>) {
        self.remove(&certificate.secret);
        for name in &certificate.names {
            let (names, name) = self.place(name);
            let mut candidates = names.get(name).cloned().unwrap_or_default();
            candidates.push(Arc::clone(certificate));
            candidates.sort_by(|a, b| (b.not_after, &a.secret).cmp(&(a.not_after, &b.secret)));
            names.insert_mut(name.into(), candidates);
        }
        let secret = certificate.secret.clone();
        self.secrets.insert_mut(secret, Arc::clone(certificate));
    }

    /// Forgets what came of a Secret.
    pub fn remove(&mut self, secret: &str) {
        let Some(certificate) = self.secrets.get(secret).cloned() else {
            return;
        };
        self.secrets.remove_mut(secret);
        for name in &certificate.names {
            let (names, name) = self.place(name);
            let mut candidates = names.get(name).cloned().unwrap_or_default();
            candidates.retain(|one| *one.secret != *secret);
            if candidates.is_empty() {
                names.remove_mut(name);
            } else {
                names.insert_mut(name.into(), candidates);
            }
        }
    }

    /// Where a name of a certificate stands.
    fn place<'a>(
        &mut self,
        name: &'a str,
    ) -> (&mut HashTrieMapSync<Box<str>, Candidates>, &'a str) {
        match name.strip_prefix("*.") {
            Some(parent) => (&mut self.wildcard, parent),
            None => (&mut self.exact, name),
        }
    }

    /// What is presented for a name, in any case: exact before wildcard before the platform's.
    #[must_use]
    pub fn select(&self, name: Option<&str>) -> Option<&Arc<Certificate>> {
        let Some(name) = name else {
            return self.platform();
        };
        let lower;
        let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            lower = name.to_ascii_lowercase();
            lower.as_str()
        } else {
            name
        };
        self.exact
            .get(name)
            .or_else(|| self.wildcard.get(parent_of(name)?))
            .and_then(|candidates| candidates.first())
            .or_else(|| self.platform())
    }

    /// The one for the platform zone, without which no page can be shown to a stranger.
    #[must_use]
    pub fn platform(&self) -> Option<&Arc<Certificate>> {
        self.wildcard.get(&*self.zone)?.first()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.secrets.size()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    fn pem(names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names)
            .unwrap()
            .self_signed(&key)
            .unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn certificate(secret: &str, names: &[&str]) -> Arc<Certificate> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (crt, key) = pem(names);
        Arc::new(Certificate::read(secret, "1", crt.as_bytes(), key.as_bytes()).unwrap())
    }

    #[test]
    fn exact_before_wildcard_before_the_platforms() {
        let all = [
            certificate("c/zone", &["*.apps.example"]),
            certificate("c/shop", &["shop.apps.example", "www.acme.example"]),
        ];
        let store = Store::build(&all, "apps.example");
        let on = |name| {
            store
                .select(name)
                .map(|certificate| certificate.secret.to_string())
        };
        assert_eq!(on(Some("shop.apps.example")).as_deref(), Some("c/shop"));
        assert_eq!(on(Some("WWW.acme.example")).as_deref(), Some("c/shop"));
        assert_eq!(on(Some("other.apps.example")).as_deref(), Some("c/zone"));
        assert_eq!(on(Some("unknown.example")).as_deref(), Some("c/zone"));
        assert_eq!(on(None).as_deref(), Some("c/zone"));
        assert!(all[0].covers("x.apps.example"));
        assert!(!all[0].covers("x.y.apps.example"));
        assert!(!all[0].covers("apps.example"));
    }

    #[test]
    fn without_a_platform_certificate_an_unknown_name_gets_nothing() {
        let store = Store::build(&[certificate("c/a", &["a.test"])], "apps.example");
        assert!(store.platform().is_none());
        assert!(store.select(Some("b.test")).is_none());
        assert!(store.select(Some("a.test")).is_some());
    }

    #[test]
    fn a_change_of_one_is_seen_in_the_copy_alone_and_the_next_best_takes_over() {
        let zone = certificate("c/zone", &["*.apps.example"]);
        let mut short = certificate("c/short", &["a.test", "*.b.test"]);
        Arc::get_mut(&mut short).unwrap().not_after -= 1000;
        let long = certificate("c/long", &["a.test"]);
        let before = Store::build([&zone, &short], "apps.example");
        let mut after = before.clone();
        after.put(&long);
        let on = |store: &Store, name| {
            let found = store.select(Some(name));
            found.map(|certificate| certificate.secret.to_string())
        };
        assert_eq!(on(&before, "a.test").as_deref(), Some("c/short"));
        assert_eq!(on(&after, "a.test").as_deref(), Some("c/long"));
        // The Secret stands for another name now.
        after.put(&certificate("c/long", &["c.test"]));
        assert_eq!(on(&after, "a.test").as_deref(), Some("c/short"));
        assert_eq!(on(&after, "c.test").as_deref(), Some("c/long"));
        after.remove("c/short");
        after.remove("c/unknown");
        assert_eq!(on(&after, "a.test").as_deref(), Some("c/zone"));
        assert_eq!(on(&after, "x.b.test").as_deref(), Some("c/zone"));
        assert_eq!((before.len(), after.len()), (2, 2));
        after.remove("c/zone");
        assert!(after.platform().is_none() && before.platform().is_some());
    }

    #[test]
    fn an_idle_certificate_takes_less_than_twelve_kilobytes() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let resident = || -> usize {
            let text = std::fs::read_to_string("/proc/self/statm").unwrap();
            text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
        };
        let (crt, key) = pem(&["www.acme.example", "acme.example"]);
        // A leaf and two intermediates, as certificate authorities send them.
        let chain = crt.repeat(3);
        let before = resident();
        let all: Vec<Arc<Certificate>> = (0..2_000)
            .map(|number| {
                let secret = format!("c/{number}");
                Arc::new(Certificate::read(&secret, "1", chain.as_bytes(), key.as_bytes()).unwrap())
            })
            .collect();
        let store = Store::build(&all, "apps.example");
        let each = resident().saturating_sub(before) / store.len();
        println!("{each} bytes per idle certificate");
        assert!(each < 12 * 1024, "{each}");
    }

    #[test]
    fn a_broken_secret_says_what_is_wrong_with_it() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let ((crt, key), (_, other_key)) = (pem(&["a.test"]), pem(&["a.test"]));
        let why = |crt: &str, key: &str| {
            Certificate::read("c/x", "1", crt.as_bytes(), key.as_bytes())
                .unwrap_err()
                .to_string()
        };
        assert!(why("nonsense", &key).contains("holds no certificate"));
        assert!(why(&crt, "nonsense").contains("holds no private key"));
        assert!(why(&crt, &other_key).contains("do not work together"));
        let (unnamed, its_key) = pem(&[]);
        assert!(why(&unnamed, &its_key).contains("names no DNS name"));
    }
}
