//! Keys and certificates, all P-256: the cluster's own authorities and what they sign, and the
//! lab's authority for `*.tutti.localhost`, the platform's public names. Files that exist are
//! kept, so that a later `up` brings the same cluster back.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};

use crate::{
    network,
    state::{State, node_name, write_whole},
    templates::render,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Longer than any lab lives: there is no renewal.
const CLUSTER_DAYS: u32 = 3650;
/// What browsers accept at most for a certificate of a site.
const SITE_DAYS: u32 = 397;

/// Whose signature is asked for.
#[derive(Clone, Copy)]
enum Authority {
    Cluster,
    FrontProxy,
    Etcd,
    Lab,
}

impl Authority {
    fn stem(self, state: &State) -> PathBuf {
        match self {
            Self::Cluster => state.path("pki/ca"),
            Self::FrontProxy => state.path("pki/front-proxy-ca"),
            Self::Etcd => state.path("pki/etcd-ca"),
            Self::Lab => state.path("tls/ca"),
        }
    }

    fn common_name(self) -> &'static str {
        match self {
            Self::Cluster => "tutti lab cluster",
            Self::FrontProxy => "tutti lab front proxy",
            Self::Etcd => "tutti lab etcd",
            Self::Lab => "Tutti lab: test certificates of this machine",
        }
    }
}

/// A certificate to be signed.
struct Leaf<'a> {
    stem: PathBuf,
    authority: Authority,
    common_name: &'a str,
    organization: Option<&'a str>,
    names: Vec<String>,
    addresses: Vec<Ipv4Addr>,
    days: u32,
}

impl<'a> Leaf<'a> {
    fn client(state: &State, file: &str, common_name: &'a str) -> Self {
        Self {
            stem: state.path("pki").join(file),
            authority: Authority::Cluster,
            common_name,
            organization: None,
            names: Vec::new(),
            addresses: Vec::new(),
            days: CLUSTER_DAYS,
        }
    }
}

/// The certificates of the cluster, and of its certificate authorities.
pub fn provide(state: &State, index: u8) -> Result<()> {
    for authority in [
        Authority::Cluster,
        Authority::FrontProxy,
        Authority::Etcd,
        Authority::Lab,
    ] {
        provide_authority(&authority.stem(state), authority.common_name())?;
    }
    provide_account_key(state)?;
    let address = network::node_address(index, 1);
    let leaves = [
        Leaf {
            names: [
                "localhost",
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local",
            ]
            .map(str::to_owned)
            .to_vec(),
            addresses: vec![Ipv4Addr::LOCALHOST, network::API_SERVICE_ADDRESS, address],
            ..Leaf::client(state, "apiserver", "kube-apiserver")
        },
        Leaf {
            organization: Some("system:masters"),
            ..Leaf::client(
                state,
                "apiserver-kubelet-client",
                "kube-apiserver-kubelet-client",
            )
        },
        Leaf {
            authority: Authority::FrontProxy,
            ..Leaf::client(state, "front-proxy-client", "front-proxy-client")
        },
        Leaf {
            authority: Authority::Etcd,
            names: vec!["localhost".to_owned()],
            addresses: vec![Ipv4Addr::LOCALHOST],
            ..Leaf::client(state, "etcd", "etcd")
        },
        Leaf {
            authority: Authority::Etcd,
            ..Leaf::client(state, "apiserver-etcd-client", "kube-apiserver")
        },
        Leaf {
            names: vec!["metrics-server.kube-system.svc".to_owned()],
            ..Leaf::client(state, "metrics-server", "metrics-server")
        },
    ];
    for leaf in leaves {
        sign(state, &leaf)?;
    }
    provide_authorities(state, address)?;
    provide_kubeconfig(
        state,
        index,
        "kubernetes-admin",
        Some("system:masters"),
        "admin",
    )?;
    for user in ["kube-controller-manager", "kube-scheduler", "kube-proxy"] {
        provide_kubeconfig(state, index, &format!("system:{user}"), None, user)?;
    }
    for user in ["calico-node", "calico-cni-plugin"] {
        provide_kubeconfig(state, index, user, None, user)?;
    }
    let admin = fs::read(state.path("pki/admin.kubeconfig"))?;
    write_secret(&state.kubeconfig(), &admin)
}

/// What certificate authorities at an address show of themselves; who signed it is in `tls/ca.crt`.
pub fn provide_authorities(state: &State, address: Ipv4Addr) -> Result<()> {
    let lab = Authority::Lab;
    provide_authority(&lab.stem(state), lab.common_name())?;
    let common_name = "certificate authorities of the lab";
    sign(
        state,
        &Leaf {
            authority: lab,
            addresses: vec![address],
            ..Leaf::client(state, "authorities", common_name)
        },
    )
}

/// What a node's kubelet needs: its identity as a client, and its serving certificate.
pub fn provide_node(state: &State, index: u8, node: u8) -> Result<()> {
    let name = node_name(node);
    sign(
        state,
        &Leaf {
            names: vec![name.clone()],
            addresses: vec![network::node_address(index, node)],
            ..Leaf::client(state, &format!("{name}-kubelet-serving"), &name)
        },
    )?;
    let user = format!("system:node:{name}");
    let file = format!("{name}-kubelet");
    provide_kubeconfig(state, index, &user, Some("system:nodes"), &file)
}

/// A certificate for `*.<zone>` and its authority, all as PEM.
pub struct Site {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// Who signed it.
    pub authority: String,
    /// When it ends.
    pub not_after: SystemTime,
}

/// Signs a certificate for a zone of a cluster that is not the lab. Its authority is kept in a
/// folder, and made when there is none: what a browser was told to trust stays right.
pub fn sign_site(folder: &Path, cluster: &str, zone: &str) -> Result<Site> {
    let stem = folder.join("ca");
    provide_authority(&stem, &format!("Tutti: test certificates of {cluster}"))?;
    // More than 64 characters are not allowed here, and nobody reads it.
    let common_name: String = zone.chars().take(64).collect();
    let leaf = Leaf {
        stem: PathBuf::new(),
        authority: Authority::Lab,
        common_name: &common_name,
        organization: None,
        names: vec![format!("*.{zone}"), zone.to_owned()],
        addresses: Vec::new(),
        days: SITE_DAYS,
    };
    let (certificate, key) = signed(&stem, &leaf)?;
    Ok(Site {
        certificate,
        key,
        authority: read(&stem.with_extension("crt"))?,
        not_after: SystemTime::now() + DAY * SITE_DAYS,
    })
}

fn provide_authority(stem: &Path, common_name: &str) -> Result<()> {
    if stem.with_extension("crt").exists() {
        return Ok(());
    }
    let mut parameters = CertificateParams::default();
    parameters
        .distinguished_name
        .push(DnType::CommonName, common_name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    set_validity(&mut parameters, CLUSTER_DAYS);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = parameters.self_signed(&key)?;
    write_secret(&stem.with_extension("key"), key.serialize_pem().as_bytes())?;
    write_whole(&stem.with_extension("crt"), certificate.pem().as_bytes())
}

/// The key that signs the tokens of service accounts, and its public half.
fn provide_account_key(state: &State) -> Result<()> {
    let stem = state.path("pki/service-accounts");
    if stem.with_extension("pub").exists() {
        return Ok(());
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    write_secret(&stem.with_extension("key"), key.serialize_pem().as_bytes())?;
    write_whole(&stem.with_extension("pub"), key.public_key_pem().as_bytes())
}

fn sign(state: &State, leaf: &Leaf) -> Result<()> {
    let certificate_file = leaf.stem.with_extension("crt");
    if certificate_file.exists() {
        return Ok(());
    }
    let (certificate, key) = signed(&leaf.authority.stem(state), leaf)?;
    write_secret(&leaf.stem.with_extension("key"), key.as_bytes())?;
    write_whole(&certificate_file, certificate.as_bytes())
}

/// Makes a key and has an authority sign it: the certificate and the key.
fn signed(authority: &Path, leaf: &Leaf) -> Result<(String, String)> {
    let authority_key = KeyPair::from_pem(&read(&authority.with_extension("key"))?)?;
    let issuer = Issuer::from_ca_cert_pem(&read(&authority.with_extension("crt"))?, authority_key)?;
    let mut parameters = CertificateParams::new(leaf.names.clone())?;
    for address in &leaf.addresses {
        parameters
            .subject_alt_names
            .push(SanType::IpAddress((*address).into()));
    }
    parameters
        .distinguished_name
        .push(DnType::CommonName, leaf.common_name);
    if let Some(organization) = leaf.organization {
        parameters
            .distinguished_name
            .push(DnType::OrganizationName, organization);
    }
    parameters.use_authority_key_identifier_extension = true;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    set_validity(&mut parameters, leaf.days);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = parameters.signed_by(&key, &issuer)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn set_validity(parameters: &mut CertificateParams, days: u32) {
    let now = SystemTime::now();
    // A day back: a machine whose clock is set later must not find it "not yet valid".
    parameters.not_before = (now - DAY).into();
    parameters.not_after = (now + DAY * days).into();
}

fn provide_kubeconfig(
    state: &State,
    index: u8,
    user: &str,
    organization: Option<&str>,
    file: &str,
) -> Result<()> {
    let leaf = Leaf {
        organization,
        ..Leaf::client(state, file, user)
    };
    let place = leaf.stem.with_extension("kubeconfig");
    if place.exists() {
        return Ok(());
    }
    sign(state, &leaf)?;
    let encoded = |path: &Path| fs::read(path).map(|content| STANDARD.encode(content));
    let text = render(
        include_str!("../manifests/kubeconfig.yaml"),
        &[
            ("AUTHORITY", &encoded(&state.path("pki/ca.crt"))?),
            ("SERVER", &network::api_server_url(index)),
            ("USER", user),
            ("CERTIFICATE", &encoded(&leaf.stem.with_extension("crt"))?),
            ("KEY", &encoded(&leaf.stem.with_extension("key"))?),
        ],
    )?;
    write_secret(&place, text.as_bytes())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write_secret(path: &Path, content: &[u8]) -> Result<()> {
    write_whole(path, content)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_of_a_cluster_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let first = sign_site(folder.path(), "kind", "tutti.localhost").unwrap();
        let second = sign_site(folder.path(), "kind", "apps.example.com").unwrap();
        assert_eq!(first.authority, second.authority);
        assert_ne!(first.certificate, second.certificate);
        assert!(first.key.contains("PRIVATE KEY"));
        let key = fs::metadata(folder.path().join("ca.key")).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_second_call_keeps_every_file() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path());
        provide(&state, 0).unwrap();
        provide_node(&state, 0, 1).unwrap();
        let files = [
            "pki/ca.crt",
            "pki/apiserver.key",
            "pki/authorities.crt",
            "kubeconfig",
        ];
        let read = || files.map(|file| fs::read_to_string(state.path(file)).unwrap());
        let before = read();
        provide(&state, 0).unwrap();
        assert_eq!(before, read());
        let mode = fs::metadata(state.path("pki/ca.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
