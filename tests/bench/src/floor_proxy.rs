//! The floor of P4: what hyper and rustls need to pass a request on, with nothing decided, checked,
//! limited or counted on the way. One thread.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::Result;
use hyper::{Request, Uri, body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Serves until the process ends.
///
/// # Errors
/// When it cannot listen.
pub async fn serve(
    listen: SocketAddr,
    upstream: SocketAddr,
    certificate: &Path,
    key: &Path,
) -> Result<()> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let mut config =
        rustls::ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (acceptor, client) = (acceptor.clone(), client.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let forward = service_fn(move |mut request: Request<Incoming>| {
                let path = request
                    .uri()
                    .path_and_query()
                    .map_or("/", |path| path.as_str());
                let uri: Result<Uri, _> = format!("http://{upstream}{path}").parse();
                let client = client.clone();
                async move {
                    *request.uri_mut() = uri?;
                    *request.version_mut() = hyper::Version::HTTP_11;
                    anyhow::Ok(client.request(request).await?)
                }
            });
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), forward)
                .await;
        });
    }
}
