//! A site as its visitors see it: through the gateway, by the lab's authority.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use lab::Lab;
use reqwest::{
    Certificate, Client, Method, RequestBuilder, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::HeaderMap,
    redirect::Policy,
};

/// Every host is this machine, where the lab's ports are.
struct ThisMachine;

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
    authorities: PathBuf,
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
        Self::trusting(&lab.certificate_authority, url)
    }

    /// A customer's own hostname, certified by one of the lab's authorities.
    pub fn of_domain(lab: &Lab, hostname: &str) -> Result<Self> {
        let url = format!("https://{hostname}:{}", lab.https_port);
        Self::trusting(&lab.domains_authority, &url)
    }

    /// The same for somebody who comes for the first time: with connections of their own.
    pub fn anew(&self) -> Result<Self> {
        Self::trusting(&self.authorities, &self.url)
    }

    fn trusting(authorities: &Path, url: &str) -> Result<Self> {
        let trusted = std::fs::read(authorities)?;
        let client = Client::builder()
            .tls_certs_only(Certificate::from_pem_bundle(&trusted)?)
            .dns_resolver(Arc::new(ThisMachine))
            .redirect(Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build()?;
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            client,
            authorities: authorities.to_owned(),
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
