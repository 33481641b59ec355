//! Between an operator and its certificate authority: counts what is asked, and kills the authority
//! or keeps its answer at a request of our choice.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{HeaderName, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lab::{
    internet::Authority,
    loopback::{Loopback, Temper},
};
use rcgen::{CertificateParams, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Where Pebble takes new orders (RFC 8555 §7.4).
const NEW_ORDER: &str = "/order-plz";
/// Where Pebble is asked for certificates.
const FINALIZE: &str = "/finalize-order/";

/// What happens at one request, by its number since the last [`Between::arm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// Nothing.
    None,
    /// The authority dies before it hears of this request.
    KilledBefore(u64),
    /// The authority has done what was asked, and dies before it can say so.
    KilledAfter(u64),
    /// The authority has done what was asked, and its answer is lost.
    AnswerLost(u64),
    /// Nobody is there: every try to connect counts as a request.
    Away,
    /// It takes no orders, and says after how many seconds it does.
    Busy(u32),
    /// It has an error of its own whenever it is asked to finalize the first order of all.
    Stumbling,
    /// Somebody else is there, who answers everybody with a page.
    Page,
}

/// An authority, and who stands before it. Dropping it ends both.
pub struct Between {
    /// Where the operator finds it.
    pub address: SocketAddr,
    /// Whom the operator has to trust (PEM).
    pub trust: String,
    inner: Arc<Inner>,
    _end: DropGuard,
}

struct Inner {
    internet: &'static Loopback,
    authority: Authority,
    temper: Temper,
    upstream: reqwest::Client,
    book: Mutex<Book>,
}

struct Book {
    blow: Blow,
    requests: u64,
    orders: u64,
    has_fallen: bool,
    /// The order at which it stumbles, by the path.
    stumbles_at: Option<String>,
}

impl Book {
    /// Nothing was counted yet.
    fn new(blow: Blow) -> Self {
        Self {
            blow,
            requests: 0,
            orders: 0,
            has_fallen: false,
            stumbles_at: None,
        }
    }
}

impl Between {
    /// Starts an authority, and stands before it.
    pub async fn start(
        internet: &'static Loopback,
        authority: Authority,
        temper: Temper,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new(vec![address.ip().to_string()])?.self_signed(&key)?;
        let mut tls = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )?;
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let trusted = reqwest::Certificate::from_pem(internet.trust()?.as_bytes())?;
        let upstream = reqwest::Client::builder()
            .tls_certs_only([trusted])
            .no_proxy()
            // By HTTP/2 a host of our own is not sent.
            .http1_only()
            .build()?;
        let inner = Arc::new(Inner {
            internet,
            authority,
            temper,
            upstream,
            book: Mutex::new(Book::new(Blow::None)),
        });
        inner.revive().await?;
        let end = CancellationToken::new();
        tokio::spawn(accept(
            listener,
            TlsAcceptor::from(Arc::new(tls)),
            inner.clone(),
            end.clone(),
        ));
        Ok(Self {
            address,
            trust: certificate.pem(),
            inner,
            _end: end.drop_guard(),
        })
    }

    /// Counts anew, and strikes this blow.
    pub fn arm(&self, blow: Blow) {
        *self.inner.book() = Book::new(blow);
    }

    /// How many requests there were since the last [`Between::arm`].
    pub fn requests(&self) -> u64 {
        self.inner.book().requests
    }

    /// How many orders were made since the last [`Between::arm`], whether anybody heard of it or not.
    pub fn orders(&self) -> u64 {
        self.inner.book().orders
    }

    /// What the authority itself says of a certificate: see [`Authority::says_of`].
    pub async fn says_of(&self, serial: &str) -> Result<(String, Option<u64>)> {
        let Inner {
            internet,
            authority,
            upstream,
            ..
        } = &*self.inner;
        authority.says_of(upstream, internet.address, serial).await
    }

    /// Whether the blow has fallen.
    pub fn has_fallen(&self) -> bool {
        self.inner.book().has_fallen
    }
}

impl Inner {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn kill(&self) {
        let (internet, authority) = (self.internet, self.authority);
        let _ = tokio::task::spawn_blocking(move || internet.kill_authority(&authority)).await;
    }

    async fn revive(&self) -> Result<()> {
        let (internet, authority) = (self.internet, self.authority);
        let temper = self.temper.clone();
        tokio::task::spawn_blocking(move || internet.start_authority(&authority, &temper)).await?
    }

    async fn forward(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let number = {
            let mut book = self.book();
            book.requests += 1;
            book.requests
        };
        let blow = self.book().blow;
        ensure!(blow != Blow::Away, "nobody is there");
        if blow == Blow::KilledBefore(number) {
            self.fall().await?;
            anyhow::bail!("killed before request {number}");
        }
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let is_order = parts.method == Method::POST && path == NEW_ORDER;
        if let Some(refusal) = self.refuses(blow, &parts.method, path) {
            return Ok(refusal);
        }
        let url = format!(
            "https://{}:{}{path}",
            self.internet.address, self.authority.port
        );
        let mut forwarded = self.upstream.request(parts.method.clone(), url);
        // It names its resources by the host that it was asked under.
        let host = parts
            .uri
            .authority()
            .context("a request without a host")?
            .as_str();
        forwarded = forwarded.header(header::HOST, host);
        for name in [header::CONTENT_TYPE, header::USER_AGENT, header::ACCEPT] {
            if let Some(value) = parts.headers.get(&name) {
                forwarded = forwarded.header(name, value);
            }
        }
        let answer = forwarded
            .body(body.collect().await?.to_bytes())
            .send()
            .await?;
        if is_order && answer.status() == StatusCode::CREATED {
            self.book().orders += 1;
        }
        match blow {
            Blow::KilledAfter(at) if at == number => {
                self.fall().await?;
                anyhow::bail!("killed after request {number}");
            }
            Blow::AnswerLost(at) if at == number => {
                self.book().has_fallen = true;
                anyhow::bail!("the answer to request {number} is lost");
            }
            _ => {}
        }
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            if !is_of_the_connection(name) {
                response = response.header(name, value);
            }
        }
        Ok(response.body(Full::new(answer.bytes().await?))?)
    }

    /// What it says instead of doing what it is asked.
    fn refuses(&self, blow: Blow, method: &Method, path: &str) -> Option<Response<Full<Bytes>>> {
        let mut book = self.book();
        let answer = match blow {
            Blow::Busy(seconds) if path == NEW_ORDER && method == Method::POST => {
                Response::builder()
                    .status(StatusCode::SERVICE_UNAVAILABLE)
                    .header(header::RETRY_AFTER, seconds)
            }
            Blow::Stumbling if path.starts_with(FINALIZE) => {
                let first = book.stumbles_at.get_or_insert_with(|| path.to_owned());
                if first != path {
                    return None;
                }
                Response::builder().status(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Blow::Page => Response::builder().header(header::CONTENT_TYPE, "text/html"),
            _ => return None,
        };
        book.has_fallen = true;
        let page = if blow == Blow::Page {
            "<html>hi</html>"
        } else {
            ""
        };
        answer.body(Full::from(page)).ok()
    }

    /// Killed, and started again with no memory.
    async fn fall(&self) -> Result<()> {
        self.kill().await;
        self.revive().await?;
        self.book().has_fallen = true;
        Ok(())
    }
}

fn is_of_the_connection(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::CONTENT_LENGTH,
    ]
    .contains(name)
}

async fn accept(
    listener: TcpListener,
    tls: TlsAcceptor,
    inner: Arc<Inner>,
    end: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = end.cancelled() => return,
        };
        let Ok((tcp, _)) = accepted else { continue };
        {
            let mut book = inner.book();
            if book.blow == Blow::Away {
                book.requests += 1;
                continue;
            }
        }
        let _ = tcp.set_nodelay(true);
        let (tls, inner, end) = (tls.clone(), inner.clone(), end.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(tcp).await else {
                return;
            };
            // An error resets the stream: the operator hears nothing.
            let service = service_fn(|request| {
                let inner = inner.clone();
                async move { inner.forward(request).await }
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ = connection => {}
                () = end.cancelled() => {}
            }
        });
    }
}
