//! A certificate that somebody brought: what is wrong with it, and what mends that. Browsers would say
//! no more than that the site is not safe.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::{
    error::X509Error,
    prelude::{FromDer as _, X509Certificate},
};

use super::{
    browsers,
    certificates::{CERTIFICATE, KEY, Leaf, fit, read, text},
};

/// What was found in order.
#[derive(Debug)]
pub(super) struct Brought {
    pub(super) leaf: Leaf,
    /// Until when it and all who signed it hold.
    pub(super) until: Timestamp,
    pub(super) chain: String,
    pub(super) key: String,
}

impl Brought {
    /// What a Secret holds for a hostname.
    ///
    /// # Errors
    /// What is wrong with it, and the mend.
    pub(super) fn read(secret: &Secret, hostname: &str, now: Timestamp) -> anyhow::Result<Self> {
        let part = |name: &str| {
            text(secret, name).ok_or_else(|| anyhow::anyhow!("it has no {name}; put one into it"))
        };
        let (chain, key) = (part(CERTIFICATE)?, part(KEY)?);
        let leaf = read(&chain)?;
        let all = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>();
        let all = all.map_err(|error| anyhow::anyhow!("tls.crt is no PEM: {error}"))?;
        let certificates = all
            .iter()
            .map(|der| Ok(X509Certificate::from_der(der)?.1))
            .collect::<anyhow::Result<Vec<_>>>()?;
        if let Some(first) = certificates.first() {
            // One that somebody signed with its own key, as `openssl req -x509` does, is an authority's, too.
            if certificates.len() > 1 || !leaf.covers(hostname) {
                is_the_sites(first)?;
            }
            names(&leaf, first, hostname)?;
            browsers::take_time(first, now, "put one into the Secret that holds now")?;
        }
        browsers::take_keys_and_signatures(&certificates)?;
        is_open(&key)?;
        fit(&chain, &key)?;
        in_order(&certificates)?;
        browsers::take_purposes(&certificates, now)?;
        let ends = certificates
            .iter()
            .map(|it| Timestamp::from_second(it.validity().not_after.timestamp()));
        let until = ends.collect::<Result<Vec<_>, _>>()?.into_iter().min();
        Ok(Self {
            until: until.unwrap_or(leaf.not_after),
            leaf,
            chain,
            key,
        })
    }
}

fn is_the_sites(first: &X509Certificate<'_>) -> anyhow::Result<()> {
    anyhow::ensure!(
        !first.is_ca(),
        "tls.crt begins with {}, which is an authority's certificate (CA:TRUE) and no site's; put the \
         site's own certificate first, then who signed it, and so on",
        called(first)
    );
    Ok(())
}

fn names(leaf: &Leaf, first: &X509Certificate<'_>, hostname: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        !leaf.names.is_empty(),
        "tls.crt has no name where browsers look for it (subject alternative names), only its subject \
         {:?}; have one made with the subject alternative name DNS:{hostname}",
        first.subject().to_string()
    );
    anyhow::ensure!(
        leaf.covers(hostname),
        "it is for {}, and not for {hostname}; have one made for this name",
        leaf.names.join(", ")
    );
    Ok(())
}

/// Both ways in which PEM says that a passphrase is needed: RFC 7468 §11, RFC 1421 §4.6.1.1.
fn is_open(key: &str) -> anyhow::Result<()> {
    let is_encrypted = key.contains("BEGIN ENCRYPTED PRIVATE KEY") || key.contains("4,ENCRYPTED");
    anyhow::ensure!(
        !is_encrypted,
        "tls.key is encrypted, and nobody is there to give its passphrase; put the plain key into the \
         Secret: openssl pkey -in key.pem -out plain.pem"
    );
    Ok(())
}

/// Whether each certificate was issued by the next one: by name, and by signature.
fn in_order(chain: &[X509Certificate<'_>]) -> anyhow::Result<()> {
    for pair in chain.windows(2) {
        let [one, next] = pair else { continue };
        anyhow::ensure!(
            one.issuer().as_raw() == next.subject().as_raw(),
            "tls.crt: {} is followed by {}, which did not issue it; put the site's own certificate \
             first, then who signed it, and so on",
            called(one),
            called(next)
        );
        match one.verify_signature(Some(next.public_key())) {
            // Kinds of signatures that are not known here are not for us to refuse.
            Ok(()) | Err(X509Error::SignatureUnsupportedAlgorithm) => {}
            Err(_) => anyhow::bail!(
                "tls.crt: {} is followed by {}, which has its issuer's name and another key than it \
                 was signed with; put the chain into it that came with the site's certificate",
                called(one),
                called(next)
            ),
        }
    }
    Ok(())
}

/// Many certificates have no subject, but names.
pub(super) fn called(certificate: &X509Certificate<'_>) -> String {
    let subject = certificate.subject().to_string();
    let names = certificate.subject_alternative_name().ok().flatten();
    match names.and_then(|names| names.value.general_names.first()) {
        Some(name) if subject.is_empty() => name.to_string(),
        _ if subject.is_empty() => "a certificate without a name".to_owned(),
        _ => subject,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

    use super::{
        super::certificates::tests::{Authority, key},
        *,
    };

    pub(in crate::domain) const WWW: &str = "www.acme.example";

    fn secret(chain: &str, key: &str) -> Secret {
        let part = |name: &str, text: &str| (name.to_owned(), ByteString(text.into()));
        Secret {
            data: Some(BTreeMap::from([part(CERTIFICATE, chain), part(KEY, key)])),
            ..Secret::default()
        }
    }

    pub(in crate::domain) fn said(chain: &str, key: &str) -> String {
        let brought = Brought::read(&secret(chain, key), WWW, Timestamp::now());
        brought.map_or_else(|error| error.to_string(), |_| "fine".to_owned())
    }

    pub(in crate::domain) fn until(chain: &str, key: &str) -> Timestamp {
        let brought = Brought::read(&secret(chain, key), WWW, Timestamp::now());
        brought.unwrap().until
    }

    #[test]
    fn a_chain_begins_with_the_sites_own_certificate_and_goes_on_with_who_signed_it() {
        let root = Authority::of_its_own("Root");
        let between = root.below("Between");
        let key = key();
        let (root, leaf) = (root.pem, between.certify(&[WWW], &key));
        let (between, key) = (between.pem, key.serialize_pem());
        for right in [
            leaf.clone(),
            format!("{leaf}{between}"),
            format!("{leaf}{between}{root}"),
        ] {
            assert_eq!(said(&right, &key), "fine");
        }
        for (wrong, one, next) in [
            (format!("{leaf}{root}{between}"), WWW, "Root"),
            (format!("{leaf}{root}"), WWW, "Root"),
        ] {
            assert_eq!(
                said(&wrong, &key),
                format!(
                    "tls.crt: CN={one} is followed by CN={next}, which did not issue it; put the \
                     site's own certificate first, then who signed it, and so on"
                )
            );
        }
    }

    #[test]
    fn an_authority_of_the_right_name_and_another_key_did_not_sign_it() {
        let key = key();
        let leaf = Authority::of_its_own("An authority").certify(&[WWW], &key);
        let namesake = Authority::of_its_own("An authority").pem;
        let said = said(&format!("{leaf}{namesake}"), &key.serialize_pem());
        assert!(
            said.contains("another key than it was signed with"),
            "{said}"
        );
    }

    #[test]
    fn an_authoritys_own_certificate_is_no_sites() {
        let root = Authority::of_its_own("Root");
        let key = key();
        let chain = root.pem.clone() + &root.certify(&[WWW], &key);
        let said = said(&chain, &key.serialize_pem());
        assert!(said.starts_with("tls.crt begins with CN=Root"), "{said}");
        assert!(said.contains("first"), "{said}");
    }

    #[test]
    fn a_certificate_that_signed_itself_is_the_sites_when_it_names_it() {
        let key = key();
        let said_of = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut parameters = CertificateParams::new(names).unwrap();
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let chain = parameters.self_signed(&key).unwrap().pem();
            said(&chain, &key.serialize_pem())
        };
        assert_eq!(said_of(&[WWW]), "fine");
        assert!(said_of(&["acme.example"]).contains("CA:TRUE"));
    }

    #[test]
    fn a_name_that_stands_in_the_subject_only_is_not_read_by_browsers() {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, WWW);
        let key = key();
        let chain = parameters.self_signed(&key).unwrap().pem();
        let said = said(&chain, &key.serialize_pem());
        assert!(
            said.contains("only its subject \"CN=www.acme.example\""),
            "{said}"
        );
        assert!(said.contains("DNS:www.acme.example"), "{said}");
    }

    #[test]
    fn a_certificate_of_another_time_or_name_is_named_with_both() {
        let authority = Authority::of_its_own("An authority");
        let key = key();
        let chain = authority.certify(&["shop.acme.example"], &key);
        let plain = key.serialize_pem();
        assert!(said(&chain, &plain).starts_with("it is for shop.acme.example, and not for www"));
        let chain = authority.certify(&[WWW], &key);
        let late = "5000-01-01T00:00:00Z".parse().unwrap();
        let over = Brought::read(&secret(&chain, &plain), WWW, late).unwrap_err();
        let over = over.to_string();
        assert!(
            over.starts_with("tls.crt: CN=www.acme.example holds from"),
            "{over}"
        );
        assert!(over.contains("that holds now"), "{over}");
    }

    #[test]
    fn a_key_with_a_passphrase_is_no_use_and_the_command_that_takes_it_away_is_named() {
        let chain = Authority::of_its_own("An authority").certify(&[WWW], &key());
        for encrypted in [
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE \
             KEY-----\n",
        ] {
            let said = said(&chain, encrypted);
            assert!(said.contains("openssl pkey -in key.pem"), "{said}");
        }
    }

    #[test]
    fn a_key_is_found_behind_what_else_openssl_writes_into_its_file() {
        let key = KeyPair::generate().unwrap();
        let chain = Authority::of_its_own("An authority").certify(&[WWW], &key);
        let parameters =
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        let file = parameters.to_owned() + &key.serialize_pem();
        assert_eq!(said(&chain, &file), "fine");
    }
}
