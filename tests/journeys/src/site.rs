//! A site as its visitors see it: through the gateway, by the lab's authority.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use lab::Lab;
use operator::domain::dns::Dns;
use reqwest::{
    Certificate, Client, Method, RequestBuilder, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::HeaderMap,
    redirect::Policy,
};

/// Every host is this machine, where the lab's ports are.
struct ThisMachine;

/// Asks the internet's DNS at each connection, and remembers nothing.
struct Internet(Dns);

impl Resolve for Internet {
    fn resolve(&self, name: Name) -> Resolving {
        let dns = self.0.clone();
        Box::pin(async move {
            let found = dns.addresses(name.as_str()).await;
            let addresses = found.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

impl Resolve for ThisMachine {
    fn resolve(&self, _: Name) -> Resolving {
        let here: Addrs = Box::new(std::iter::once(SocketAddr::from(([127, 0, 0, 1], 0))));
        Box::pin(std::future::ready(Ok(here)))
    }
}

/// A site as its visitors see it.
#[derive(Clone)]
pub struct Site {
    /// Its address, without a slash at the end.
    pub url: String,
    client: Client,
    trusted: Arc<[u8]>,
    resolver: Arc<dyn Resolve>,
}

/// What a site answers.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

impl Answer {
    /// A header, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }
}

impl Site {
    /// Follows no redirects: stories look at them.
    pub fn new(lab: &Lab, url: &str) -> Result<Self> {
        let trusted = std::fs::read(&lab.trust)?;
        Self::with(trusted.into(), Arc::new(ThisMachine), url)
    }

    /// A customer's own hostname, certified by one of the lab's authorities.
    pub fn of_domain(lab: &Lab, hostname: &str) -> Result<Self> {
        // As browsers have it.
        let url = match lab.https_port {
            443 => format!("https://{hostname}"),
            port => format!("https://{hostname}:{port}"),
        };
        let trusted = std::fs::read(&lab.trust)?;
        Self::with(trusted.into(), Arc::new(ThisMachine), &url)
    }

    /// A hostname wherever the internet's DNS leads; `other` (PEM) is trusted beside the lab's
    /// authorities.
    pub fn by_dns(lab: &Lab, hostname: &str, other: &str) -> Result<Self> {
        let mut trusted = std::fs::read(&lab.trust)?;
        trusted.extend_from_slice(other.as_bytes());
        let dns = Dns {
            resolvers: [SocketAddr::from((lab.node_address, 53))].into(),
            authority_port: 53,
            patience: Duration::from_secs(5),
        };
        let url = format!("https://{hostname}");
        Self::with(trusted.into(), Arc::new(Internet(dns)), &url)
    }

    /// The same for somebody who comes for the first time: with connections of their own.
    pub fn anew(&self) -> Result<Self> {
        Self::with(self.trusted.clone(), self.resolver.clone(), &self.url)
    }

    fn with(trusted: Arc<[u8]>, resolver: Arc<dyn Resolve>, url: &str) -> Result<Self> {
        let client = Client::builder()
            .tls_certs_only(Certificate::from_pem_bundle(&trusted)?)
            .dns_resolver(resolver.clone())
            .redirect(Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build()?;
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            client,
            trusted,
            resolver,
        })
    }

    /// A request for a path of it.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer> {
        let response = request.send().await.context("no answer")?;
        Ok(Answer {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.text().await.context("the answer broke off")?,
        })
    }

    /// As a browser asks.
    pub async fn page(&self, path: &str) -> Result<Answer> {
        let request = self.request(Method::GET, path);
        self.send(request.header("accept", "text/html,application/xhtml+xml,*/*;q=0.8"))
            .await
    }

    /// As a program asks.
    pub async fn json(&self, path: &str) -> Result<Answer> {
        let request = self.request(Method::GET, path);
        self.send(request.header("accept", "application/json"))
            .await
    }
}
