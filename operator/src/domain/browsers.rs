//! What browsers take of a certificate that somebody brought, and of those who signed it: keys,
//! signatures, and what each may be used for. They would say no more than that the site is not safe.
//!
//! Rules: CA/Browser Forum, Baseline Requirements §6.1.5, §7.1.2 and §7.1.3; RFC 5280 §4.2.1.

use jiff::Timestamp;
use x509_parser::{
    asn1_rs::oid,
    certificate::X509Certificate,
    objects::{oid_registry, oid2sn},
    oid_registry::{
        OID_HASH_SHA1, OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA,
        OID_SIG_ED448, OID_SIG_ED25519, Oid,
    },
    public_key::PublicKey,
    signature_algorithm::SignatureAlgorithm,
    time::ASN1Time,
};

use super::brought::called;

/// Bits of the shortest RSA key that browsers take.
const SHORTEST_RSA: usize = 2048;

/// RFC 5758 §3.2.
const ECDSA_WITH_SHA1: Oid<'static> = oid!(1.2.840.10045.4.1);

const ANOTHER_CHAIN: &str =
    "put the chain into it that the authority gives with the site's certificate";

/// Whether browsers know the key of each certificate, and trust its signature.
///
/// # Errors
/// The first that they do not, and the mend.
pub(super) fn take_keys_and_signatures(chain: &[X509Certificate<'_>]) -> anyhow::Result<()> {
    chain.iter().try_for_each(has_key_of_their_kind)?;
    chain.iter().try_for_each(is_signed_well)
}

/// Whether the first certificate is for a server, and each other one for signing the one before it now.
///
/// # Errors
/// The first that is not, and the mend.
pub(super) fn take_purposes(chain: &[X509Certificate<'_>], now: Timestamp) -> anyhow::Result<()> {
    let Some((site, signers)) = chain.split_first() else {
        return Ok(());
    };
    is_for_servers(site, "have one made for serverAuth")?;
    signs_handshakes(site)?;
    for signer in signers {
        take_time(signer, now, &format!("{ANOTHER_CHAIN} now"))?;
        may_sign(signer)?;
        is_for_servers(signer, ANOTHER_CHAIN)?;
    }
    Ok(())
}

/// Whether a certificate holds now.
///
/// # Errors
/// When it does not: from when and until when it does, and the mend.
pub(super) fn take_time(
    certificate: &X509Certificate<'_>,
    now: Timestamp,
    mend: &str,
) -> anyhow::Result<()> {
    let validity = certificate.validity();
    let day = |at: ASN1Time| {
        let at = Timestamp::from_second(at.timestamp());
        at.map(|at| at.strftime("%Y-%m-%d").to_string())
    };
    anyhow::ensure!(
        validity.is_valid_at(ASN1Time::from_timestamp(now.as_second())?),
        "tls.crt: {} holds from {} to {}; {mend}",
        called(certificate),
        day(validity.not_before)?,
        day(validity.not_after)?
    );
    Ok(())
}

fn has_key_of_their_kind(certificate: &X509Certificate<'_>) -> anyhow::Result<()> {
    let key = certificate.public_key();
    match key.parsed() {
        Ok(PublicKey::EC(_)) => Ok(()),
        Ok(PublicKey::RSA(key)) => {
            anyhow::ensure!(
                key.key_size() >= SHORTEST_RSA,
                "tls.crt: the RSA key of {} has {} bits, and keys shorter than {SHORTEST_RSA} bits are \
                 refused by browsers; make a longer one, or an ECDSA key on P-256, and have a \
                 certificate made for it",
                called(certificate),
                key.key_size()
            );
            Ok(())
        }
        _ => anyhow::bail!(
            "tls.crt: the key of {} is of the kind {}, which browsers do not take; make an ECDSA key on \
             P-256, or an RSA key of {SHORTEST_RSA} bits, and have a certificate made for it",
            called(certificate),
            name_of_kind(&key.algorithm.algorithm)
        ),
    }
}

fn name_of_kind(kind: &Oid<'_>) -> String {
    if *kind == OID_SIG_ED25519 {
        return "Ed25519".to_owned();
    }
    if *kind == OID_SIG_ED448 {
        return "Ed448".to_owned();
    }
    let name = oid2sn(kind, oid_registry());
    name.map_or_else(|_| kind.to_id_string(), str::to_owned)
}

fn is_signed_well(certificate: &X509Certificate<'_>) -> anyhow::Result<()> {
    // Whoever trusts a root does so whatever is written below it.
    if signed_itself(certificate) {
        return Ok(());
    }
    match broken_digest(certificate) {
        None => Ok(()),
        Some(digest) => anyhow::bail!(
            "tls.crt: {} is signed with {digest}, which browsers refuse; have a certificate made that \
             is signed with SHA-256, and put it and its chain into the Secret",
            called(certificate)
        ),
    }
}

/// The digest that its signature rests on, where others can make a second text for it.
fn broken_digest(certificate: &X509Certificate<'_>) -> Option<&'static str> {
    let algorithm = &certificate.signature_algorithm;
    let with_sha1 = [OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA, ECDSA_WITH_SHA1];
    if algorithm.algorithm == OID_PKCS1_MD5WITHRSAENC {
        return Some("MD5");
    }
    let is_sha1 = with_sha1.contains(&algorithm.algorithm)
        || matches!(
            SignatureAlgorithm::try_from(algorithm),
            Ok(SignatureAlgorithm::RSASSA_PSS(pss)) if *pss.hash_algorithm_oid() == OID_HASH_SHA1
        );
    is_sha1.then_some("SHA-1")
}

fn signed_itself(certificate: &X509Certificate<'_>) -> bool {
    certificate.subject().as_raw() == certificate.issuer().as_raw()
}

/// Without the extension it is for everything.
fn is_for_servers(certificate: &X509Certificate<'_>, mend: &str) -> anyhow::Result<()> {
    let Ok(Some(usage)) = certificate.extended_key_usage() else {
        return Ok(());
    };
    anyhow::ensure!(
        usage.value.any || usage.value.server_auth,
        "tls.crt: {} is not for servers: its extended key usage has no serverAuth{}; {mend}",
        called(certificate),
        if usage.value.client_auth {
            ", but clientAuth"
        } else {
            ""
        }
    );
    Ok(())
}

/// The gateway signs each handshake with its key.
fn signs_handshakes(site: &X509Certificate<'_>) -> anyhow::Result<()> {
    let usage = site.key_usage().ok().flatten();
    anyhow::ensure!(
        usage.is_none_or(|usage| usage.value.digital_signature()),
        "tls.crt: {} may not sign handshakes: its key usage has no digitalSignature; have one made with \
         it",
        called(site)
    );
    Ok(())
}

fn may_sign(signer: &X509Certificate<'_>) -> anyhow::Result<()> {
    let usage = signer.key_usage().ok().flatten();
    let lacks = if !signer.is_ca() {
        "CA:TRUE in its basic constraints"
    } else if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        "keyCertSign in its key usage"
    } else {
        return Ok(());
    };
    anyhow::bail!(
        "tls.crt: {} signed the certificate before it, and may not sign any: it has no {lacks}; have \
         one made by an authority that may, and {ANOTHER_CHAIN}",
        called(signer)
    )
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
        KeyPair, KeyUsagePurpose, PKCS_ED25519, SubjectPublicKeyInfo, date_time_ymd,
    };

    use super::{
        super::{
            brought::tests::{WWW, said, until},
            certificates::tests::{Authority, key},
        },
        *,
    };

    /// What is said of a site's certificate of these parameters, and of who signed it.
    fn said_of(
        site: impl FnOnce(&mut CertificateParams),
        signer: impl FnOnce(&mut CertificateParams),
    ) -> String {
        let root = Authority::of_its_own("Root");
        let mut between = CertificateParams::default();
        between
            .distinguished_name
            .push(DnType::CommonName, "Between");
        between.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        signer(&mut between);
        let signers_key = key();
        let between_pem = between.signed_by(&signers_key, &root.issuer).unwrap().pem();
        let mut leaf = CertificateParams::new(vec![WWW.to_owned()]).unwrap();
        leaf.distinguished_name.push(DnType::CommonName, WWW);
        site(&mut leaf);
        let key = key();
        let issuer = Issuer::new(between, signers_key);
        let leaf = leaf.signed_by(&key, &issuer).unwrap().pem();
        said(&format!("{leaf}{between_pem}"), &key.serialize_pem())
    }

    fn as_usual(_: &mut CertificateParams) {}

    #[test]
    fn a_chain_whose_parts_are_each_for_their_purpose_is_taken() {
        let said = said_of(
            |site| {
                site.extended_key_usages = vec![
                    ExtendedKeyUsagePurpose::ServerAuth,
                    ExtendedKeyUsagePurpose::ClientAuth,
                ];
                site.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            },
            |signer| {
                signer.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                signer.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            },
        );
        assert_eq!(said, "fine");
        assert_eq!(said_of(as_usual, as_usual), "fine");
    }

    #[test]
    fn a_signer_whose_time_is_over_is_named_with_it() {
        let said = said_of(as_usual, |signer| {
            signer.not_before = date_time_ymd(2020, 1, 2);
            signer.not_after = date_time_ymd(2021, 3, 4);
        });
        assert_eq!(
            said,
            "tls.crt: CN=Between holds from 2020-01-02 to 2021-03-04; put the chain into it that the \
             authority gives with the site's certificate now"
        );
    }

    #[test]
    fn a_chain_holds_until_the_first_of_it_ends() {
        let root = Authority::of_its_own("Root");
        let (key, end) = (key(), date_time_ymd(2999, 1, 2));
        let mut leaf = CertificateParams::new(vec![WWW.to_owned()]).unwrap();
        let mut signed = |not_after| {
            leaf.not_after = not_after;
            leaf.signed_by(&key, &root.issuer).unwrap().pem()
        };
        let until = |chain: String| until(&chain, &key.serialize_pem()).to_string();
        assert_eq!(until(signed(end)), "2999-01-02T00:00:00Z");
        // The root's own time is rcgen's default.
        let later = signed(date_time_ymd(5000, 1, 1)) + &root.pem;
        assert_eq!(until(later), "4096-01-01T00:00:00Z");
    }

    #[test]
    fn a_signer_that_may_not_sign_is_named_with_what_it_lacks() {
        let no_authority = said_of(as_usual, |signer| signer.is_ca = IsCa::ExplicitNoCa);
        let no_signing = said_of(as_usual, |signer| {
            signer.key_usages = vec![KeyUsagePurpose::CrlSign];
        });
        let unsaid = said_of(as_usual, |signer| signer.is_ca = IsCa::NoCa);
        for (said, lacks) in [
            (no_authority, "CA:TRUE in its basic constraints"),
            (unsaid, "CA:TRUE in its basic constraints"),
            (no_signing, "keyCertSign in its key usage"),
        ] {
            assert_eq!(
                said,
                format!(
                    "tls.crt: CN=Between signed the certificate before it, and may not sign any: it has \
                     no {lacks}; have one made by an authority that may, and put the chain into it \
                     that the authority gives with the site's certificate"
                )
            );
        }
    }

    #[test]
    fn a_certificate_that_is_for_no_server_is_named_with_what_it_is_for() {
        let of_clients = |some: &mut CertificateParams| {
            some.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        };
        assert_eq!(
            said_of(of_clients, as_usual),
            "tls.crt: CN=www.acme.example is not for servers: its extended key usage has no serverAuth, \
             but clientAuth; have one made for serverAuth"
        );
        let said = said_of(as_usual, of_clients);
        assert!(said.starts_with("tls.crt: CN=Between is not for"), "{said}");
        let said = said_of(
            |site| site.key_usages = vec![KeyUsagePurpose::KeyEncipherment],
            as_usual,
        );
        assert!(said.contains("has no digitalSignature"), "{said}");
    }

    #[test]
    fn a_key_of_a_kind_that_browsers_do_not_take_is_named_with_its_kind() {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let chain = Authority::of_its_own("An authority").certify(&[WWW], &key);
        assert_eq!(
            said(&chain, &key.serialize_pem()),
            "tls.crt: the key of CN=www.acme.example is of the kind Ed25519, which browsers do not take; \
             make an ECDSA key on P-256, or an RSA key of 2048 bits, and have a certificate made for it"
        );
    }

    #[test]
    fn an_rsa_key_that_browsers_refuse_is_named_with_its_length() {
        let weak = SubjectPublicKeyInfo::from_pem(RSA_1024).unwrap();
        let chain = Authority::of_its_own("An authority").certify(&[WWW], &weak);
        assert_eq!(
            said(&chain, &key().serialize_pem()),
            "tls.crt: the RSA key of CN=www.acme.example has 1024 bits, and keys shorter than 2048 bits \
             are refused by browsers; make a longer one, or an ECDSA key on P-256, and have a \
             certificate made for it"
        );
    }

    #[test]
    fn a_signature_with_sha_1_is_named_where_anybody_looks_at_it() {
        let parsed = |pem: &str| x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1;
        let told = |pem: &str| {
            let pem = parsed(pem);
            let certificate = pem.parse_x509().unwrap();
            take_keys_and_signatures(&[certificate]).map_err(|error| error.to_string())
        };
        assert_eq!(
            told(SHA_1).unwrap_err(),
            "tls.crt: CN=www.acme.example is signed with SHA-1, which browsers refuse; have a \
             certificate made that is signed with SHA-256, and put it and its chain into the Secret"
        );
        assert_eq!(told(ROOT_WITH_SHA_1), Ok(()));
    }

    /// The public half; nobody has the other.
    const RSA_1024: &str = "\
-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC1/oHKx9oWRbCn1p/I8BF+uVYo
WItXuyDtphpKR7zdDpdyKSb9d/Ge00HYBvFKKm0O4muA5KK7T+8bC14ahw8gEMpd
LMRZ5GxmRcEMVKuYfG14yjnubvoBBBQPPEwEXoH/CuoHpAPqt2E7XZ0Q7YG5euVE
OOYSRgGu2fnebtgxHQIDAQAB
-----END PUBLIC KEY-----
";
    /// Nobody has the keys to these two.
    const SHA_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBgzCCASugAwIBAgIBATAJBgcqhkjOPQQBMBsxGTAXBgNVBAMMEEFuIG9sZCBh
dXRob3JpdHkwIBcNMjYxMTI4MDUwNjIzWhgPMjEyNjExMDQwNTA2MjNaMBsxGTAX
BgNVBAMMEHd3dy5hY21lLmV4YW1wbGUwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AASLYni7mRKzwO7W33GyvC3OX52WFHFLADikdgyrrDTJ7AeLo32NlnmSpU452hK2
orBJyX6/oQm95khD7c9w8bymo18wXTAbBgNVHREEFDASghB3d3cuYWNtZS5leGFt
cGxlMB0GA1UdDgQWBBRipkvLT01kWs3CbcvZXaQ+RKXYrDAfBgNVHSMEGDAWgBQX
Tib6+7+hjyJowBUaBekGlWlVCzAJBgcqhkjOPQQBA0cAMEQCIHTnb9fVZIHyk90c
JvzYMmx2OxHGtr5Fu7f6ik7uWQL+AiBSfhhAD3SIdCDudGJH3+zMp8vwCf/aO95b
awHmUcpqUQ==
-----END CERTIFICATE-----
";
    const ROOT_WITH_SHA_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBjDCCATKgAwIBAgIUCkRRsEyneb0MRm1fdVb2FM17w88wCQYHKoZIzj0EATAb
MRkwFwYDVQQDDBBBbiBvbGQgYXV0aG9yaXR5MCAXDTI2MTEyODA1MDcyN1oYDzIx
MjYxMTA0MDUwNzI3WjAbMRkwFwYDVQQDDBBBbiBvbGQgYXV0aG9yaXR5MFkwEwYH
KoZIzj0CAQYIKoZIzj0DAQcDQgAE+AdygBwVYfwTk7rMBmDyrbSYVDvR7mpMQn8A
yfJdyepue/wgJJPTT8qrUp5mBLM6wpLO1C5v/YarHDp+08ydwqNTMFEwHQYDVR0O
BBYEFBdOJvr7v6GPImjAFRoF6QaVaVULMB8GA1UdIwQYMBaAFBdOJvr7v6GPImjA
FRoF6QaVaVULMA8GA1UdEwEB/wQFMAMBAf8wCQYHKoZIzj0EAQNJADBGAiEA3m3y
HqHA+jr+obwRES/mGDzdchiPxX8PElbzG1To0xECIQD5UmzUxtg++lWaRZ+DYbzi
4b8mW29qVrczdCBjGp6YSQ==
-----END CERTIFICATE-----
";
}
