//! A real gateway on loopback, real backends behind it, and a client that sees everything.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use crds::Route;
use gateway::{
    certificates::Certificate,
    door::{Address, Door},
    forward::{Resolve, Resolving},
    gateway::{Gateway, Limits, Settings},
    listen::{self, Drain, Listeners},
    metrics::Metrics,
};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prometheus_client::registry::Registry;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::{Value, json};
use service::Readiness;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

pub const HTML: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

pub type Error = std::io::Error;
pub type Body = BoxBody<Bytes, Error>;

pub fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into())
        .map_err(|never| match never {})
        .boxed()
}

/// A body of so many bytes, in pieces of 64 KiB, without a length.
pub fn stream(bytes: usize) -> Body {
    const PIECE: usize = 64 * 1024;
    let pieces = bytes.div_ceil(PIECE);
    let piece = Bytes::from(vec![7_u8; PIECE]);
    let frames = (0..pieces).map(move |at| {
        let length = PIECE.min(bytes - at * PIECE);
        Ok::<_, Error>(Frame::data(piece.slice(..length)))
    });
    StreamBody::new(futures_util::stream::iter(frames)).boxed()
}

// ── gateway ─────────────────────────────────────────────────────────────────────────────────────

/// Every service is on loopback, on the port that the Route names.
pub struct Loopback {
    pub is_away: AtomicBool,
}

impl Resolve for Loopback {
    fn resolve(&self, _: &str, port: u16) -> Resolving {
        let is_away = self.is_away.load(SeqCst);
        Box::pin(async move {
            if is_away {
                return Err(std::io::Error::other("DNS is away"));
            }
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
        })
    }
}

pub struct TestGateway {
    pub gateway: Arc<Gateway>,
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub resolver: Arc<Loopback>,
    pub readiness: Readiness,
    pub registry: Arc<Registry>,
    pub stop: CancellationToken,
    pub served: JoinHandle<()>,
}

pub async fn start(routes: &[Value]) -> TestGateway {
    start_with(routes, |_| {}).await
}

pub async fn start_with(routes: &[Value], change: impl FnOnce(&mut Settings)) -> TestGateway {
    start_before(routes, change, None).await
}

/// One where people can sign in at an idm.
pub async fn start_with_door(routes: &[Value], address: Address) -> TestGateway {
    start_before(routes, |_| {}, Some(address)).await
}

async fn start_before(
    routes: &[Value],
    change: impl FnOnce(&mut Settings),
    idm: Option<Address>,
) -> TestGateway {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut settings = Settings {
        zone: "apps.test".into(),
        public_http_port: 80,
        public_https_port: 443,
        trusted_proxies: vec![],
        limits: Limits::default(),
    };
    change(&mut settings);
    let resolver = Arc::new(Loopback {
        is_away: AtomicBool::new(false),
    });
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let stop = CancellationToken::new();
    let door = idm.map(|idm| Door::new(idm, metrics.door()));
    let mut gateway = Gateway::new(settings, metrics, Arc::clone(&resolver) as Arc<dyn Resolve>);
    gateway.door.clone_from(&door);
    let gateway = Arc::new(gateway);
    if let Some(door) = door {
        tokio::spawn(door.follow(stop.clone()));
    }
    gateway.swap_certificates([&certificate("c/zone", &["*.apps.test", "apps.test"])].into_iter());
    swap(&gateway, routes);
    let bind = || TcpListener::bind("127.0.0.1:0");
    let listeners = Listeners {
        http: bind().await.unwrap(),
        https: bind().await.unwrap(),
    };
    let (http, https) = (
        listeners.http.local_addr().unwrap(),
        listeners.https.local_addr().unwrap(),
    );
    let readiness = Readiness::default();
    let drain = Drain {
        delay: Duration::from_millis(300),
        grace: Duration::from_secs(5),
    };
    let serving = listen::serve(
        Arc::clone(&gateway),
        listeners,
        stop.clone(),
        drain,
        readiness.check("listening"),
    );
    let served = tokio::spawn(async move { serving.await.unwrap() });
    TestGateway {
        gateway,
        http,
        https,
        resolver,
        readiness,
        registry: Arc::new(registry),
        stop,
        served,
    }
}

pub fn swap(gateway: &Gateway, routes: &[Value]) {
    let routes: Vec<Arc<Route>> = routes
        .iter()
        .map(|route| Arc::new(serde_json::from_value(route.clone()).unwrap()))
        .collect();
    gateway.swap_routes(&routes);
}

pub fn certificate(secret: &str, names: &[&str]) -> Arc<Certificate> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = rcgen::KeyPair::generate().unwrap();
    let made = rcgen::CertificateParams::new(names)
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let (crt, key) = (made.pem(), key.serialize_pem());
    Arc::new(Certificate::read(secret, "1", crt.as_bytes(), key.as_bytes()).unwrap())
}

/// A Route that is accepted and whose backend is ready.
pub fn route(hostname: &str, backend: &Backend) -> Value {
    json!({
        "apiVersion": "tutti.dev/v1alpha1", "kind": "Route",
        "metadata": {"namespace": "org-acme", "name": hostname.replace('.', "-")},
        "spec": {
            "hostname": hostname,
            "backend": {"service": "web", "port": backend.address.port()},
        },
        "status": {"conditions": [
            condition("Accepted", "True", "Held", ""),
            condition("BackendReady", "True", "Answers", ""),
        ]},
    })
}

pub fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    })
}

/// The same Route with other fields in its spec.
pub fn with(mut route: Value, spec: Value) -> Value {
    for (key, value) in spec.as_object().unwrap() {
        route["spec"][key] = value.clone();
    }
    if let Some(path) = spec.get("pathPrefix") {
        let name = format!(
            "{}{}",
            route["metadata"]["name"].as_str().unwrap(),
            path.as_str().unwrap()
        );
        route["metadata"]["name"] = name.replace('/', "-").into();
    }
    route
}

/// The same Route while its backend is not ready.
pub fn not_ready(mut route: Value, reason: &str, message: &str) -> Value {
    route["status"]["conditions"][1] = condition("BackendReady", "False", reason, message);
    route
}

/// Has the gateway follow an API server that knows these Domains, until it has heard of them all.
pub async fn tell(gateway: &TestGateway, domains: &[Value]) {
    let list = json!({
        "apiVersion": "tutti.dev/v1alpha1", "kind": "DomainList",
        "metadata": {"resourceVersion": "1"}, "items": domains,
    })
    .to_string();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let list = list.clone();
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let query = request.uri().query().unwrap_or_default();
                let body = if query.contains("watch=") {
                    StreamBody::new(futures_util::stream::pending()).boxed()
                } else {
                    full(list.clone())
                };
                async move { Ok::<_, Infallible>(Response::new(body)) }
            });
            let http1 = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http1.serve_connection(TokioIo::new(stream), service));
        }
    });
    let mut cluster = kube::Config::new(format!("http://{address}").parse().unwrap());
    // There is no TLS here; reading the machine's authorities takes long.
    cluster.accept_invalid_certs = true;
    tokio::spawn(gateway::domains::watch(
        kube::Client::try_from(cluster).unwrap(),
        Arc::clone(&gateway.gateway),
        gateway.readiness.check("domains"),
    ));
    soon(async || gateway.readiness.is_ready()).await;
}

// ── backends ────────────────────────────────────────────────────────────────────────────────────

pub struct Backend {
    pub address: SocketAddr,
    /// Requests that reached it.
    pub requests: Arc<AtomicUsize>,
    /// Cancelled when a request was dropped before its answer.
    pub dropped: CancellationToken,
    pub stop: CancellationToken,
}

pub async fn backend() -> Backend {
    backend_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), false)
}

pub fn backend_on(listener: TcpListener, is_http2: bool) -> Backend {
    let address = listener.local_addr().unwrap();
    let (requests, stop, dropped) = (
        Arc::new(AtomicUsize::new(0)),
        CancellationToken::new(),
        CancellationToken::new(),
    );
    let backend = Backend {
        address,
        requests: requests.clone(),
        dropped: dropped.clone(),
        stop: stop.clone(),
    };
    tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted.unwrap().0,
                () = stop.cancelled() => return,
            };
            let (requests, dropped, stop) = (requests.clone(), dropped.clone(), stop.clone());
            let service = hyper::service::service_fn(move |request| {
                requests.fetch_add(1, SeqCst);
                let dropped = dropped.clone();
                async move { Ok::<_, Infallible>(play(request, dropped).await) }
            });
            tokio::spawn(async move {
                let io = TokioIo::new(stream);
                if is_http2 {
                    let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _ = http2.serve_connection(io, service).await;
                } else {
                    let http1 = hyper::server::conn::http1::Builder::new()
                        .serve_connection(io, service)
                        .with_upgrades();
                    stop.run_until_cancelled(http1).await;
                }
            });
        }
    });
    backend
}

/// What the backend does is in the path.
async fn play(mut request: Request<Incoming>, dropped: CancellationToken) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let number = |name: &str| -> usize {
        let query = request.uri().query().unwrap_or_default();
        let value = query
            .split('&')
            .find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    };
    match path.as_str() {
        "/headers" => {
            let mut lines = format!(
                "{} {} {:?}\n",
                request.method(),
                request.uri(),
                request.version()
            );
            for (name, value) in request.headers() {
                lines.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
            }
            Response::new(full(lines))
        }
        "/download" => Response::new(stream(number("bytes"))),
        "/upload" => {
            let mut bytes = 0;
            let body = request.body_mut();
            while let Some(frame) = body.frame().await {
                match frame {
                    Ok(frame) => bytes += frame.data_ref().map_or(0, Bytes::len),
                    Err(_) => break,
                }
            }
            Response::new(full(bytes.to_string()))
        }
        "/slow" => {
            let guard = dropped.drop_guard();
            tokio::time::sleep(Duration::from_millis(number("ms") as u64)).await;
            guard.disarm();
            Response::new(full("slept"))
        }
        "/stall" => {
            // One piece, and then nothing for ever.
            let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"begun")))]);
            let never = futures_util::stream::pending();
            Response::new(StreamBody::new(futures_util::StreamExt::chain(first, never)).boxed())
        }
        "/socket" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut io = TokioIo::new(upgrade.await.unwrap());
                let mut buffer = [0; 1024];
                while let Ok(read @ 1..) = io.read(&mut buffer).await {
                    if io.write_all(&buffer[..read]).await.is_err() {
                        break;
                    }
                }
            });
            let mut response = Response::new(full(""));
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response
                .headers_mut()
                .insert("connection", "upgrade".parse().unwrap());
            response
                .headers_mut()
                .insert("upgrade", "websocket".parse().unwrap());
            response
                .headers_mut()
                .insert("sec-websocket-accept", "yes".parse().unwrap());
            response
        }
        _ => {
            let mut response = Response::new(full(format!("hello from {path}")));
            response
                .headers_mut()
                .insert("keep-alive", "timeout=5".parse().unwrap());
            response
                .headers_mut()
                .insert("x-app", "yes".parse().unwrap());
            response
        }
    }
}

// ── client ──────────────────────────────────────────────────────────────────────────────────────

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

pub async fn read(response: Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status.as_u16(),
        version: parts.version,
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}

pub fn get(uri: &str) -> Request<Body> {
    Request::builder().uri(uri).body(full("")).unwrap()
}

pub enum Client {
    Http1(hyper::client::conn::http1::SendRequest<Body>),
    Http2(hyper::client::conn::http2::SendRequest<Body>),
}

impl Client {
    /// `request` holds an absolute URI; on HTTP/1.1 it is sent as path and Host.
    pub async fn send(&mut self, mut request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                if let Some(authority) = request.uri().authority().cloned() {
                    let host = authority.as_str().parse().unwrap();
                    request.headers_mut().entry("host").or_insert(host);
                    *request.uri_mut() = request
                        .uri()
                        .path_and_query()
                        .unwrap()
                        .as_str()
                        .parse()
                        .unwrap();
                }
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                *request.version_mut() = Version::HTTP_2;
                sender.send_request(request).await
            }
        }
    }
}

impl TestGateway {
    pub async fn plain(&self) -> Client {
        let stream = TcpStream::connect(self.http).await.unwrap();
        http1(stream).await
    }

    pub async fn tls(&self, name: &str) -> Client {
        http1(tls(self.https, name, b"http/1.1").await.unwrap()).await
    }

    pub async fn h2(&self, name: &str) -> Client {
        let stream = tls(self.https, name, b"h2").await.unwrap();
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        Client::Http2(sender)
    }

    /// One request on a connection of its own: plain or TLS as the URI says.
    pub async fn ask(&self, request: Request<Body>) -> Answer {
        let uri = request.uri();
        let mut client = match uri.scheme_str() {
            Some("http") => self.plain().await,
            _ => self.tls(uri.host().unwrap()).await,
        };
        read(client.send(request).await.unwrap()).await
    }

    pub async fn get(&self, uri: &str) -> Answer {
        self.ask(get(uri)).await
    }

    pub async fn browse(&self, uri: &str) -> Answer {
        self.ask(
            Request::builder()
                .uri(uri)
                .header("accept", HTML)
                .body(full(""))
                .unwrap(),
        )
        .await
    }

    /// Bytes over plain HTTP as they are, and what comes back until the gateway closes.
    pub async fn raw(&self, bytes: &str) -> String {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(3), stream.read_to_end(&mut answer)).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

async fn http1<T>(stream: T) -> Client
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection.with_upgrades());
    Client::Http1(sender)
}

pub async fn tls(
    address: SocketAddr,
    name: &str,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config.enable_sni = name != "none";
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// The first name of the certificate that was presented.
pub fn presented(stream: &TlsStream<TcpStream>) -> String {
    let der = &stream.get_ref().1.peer_certificates().unwrap()[0];
    let (_, certificate) = x509_parser::parse_x509_certificate(der).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    match &names.value.general_names[0] {
        x509_parser::extensions::GeneralName::DNSName(name) => (*name).to_owned(),
        other => panic!("{other}"),
    }
}

#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
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

/// Waits for something that happens soon.
pub async fn soon<F: Future<Output = bool>>(mut happened: impl FnMut() -> F) {
    for _ in 0..200 {
        if happened().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("did not happen within four seconds");
}
