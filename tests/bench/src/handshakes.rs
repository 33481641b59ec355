//! A client that does nothing but full TLS 1.3 handshakes (X25519, never resumed), sixteen at once,
//! for some seconds; prints how many.

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use futures_util::future::try_join_all;
use rustls::{
    RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const AT_ONCE: usize = 16;

/// # Errors
/// When a handshake fails.
pub async fn run(address: SocketAddr, host: &str, certificate: &Path, seconds: u64) -> Result<()> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(certificate)? {
        roots.add(certificate?)?;
    }
    // OpenSSL 3.0 knows no post-quantum group: nobody is offered one.
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(host.to_owned())?;
    let end = Instant::now() + Duration::from_secs(seconds);
    let clients = (0..AT_ONCE).map(|_| async {
        let mut count = 0_u64;
        while Instant::now() < end {
            let stream = TcpStream::connect(address).await?;
            connector.connect(name.clone(), stream).await?;
            count += 1;
        }
        anyhow::Ok(count)
    });
    let counts = try_join_all(clients).await?;
    println!("{}", counts.iter().sum::<u64>());
    Ok(())
}
