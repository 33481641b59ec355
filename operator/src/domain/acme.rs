//! Talking to a certificate authority (RFC 8555), one step at a time. Which step is next is decided
//! in `plan::domain::order`; nothing here waits or remembers, so that a crash loses nothing.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, header::RETRY_AFTER};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, BodyWrapper, BytesResponse,
    CertificateIdentifier, ChallengeType, Error, ExternalAccountKey, HttpClient, Identifier,
    NewAccount, NewOrder, OrderStatus, RevocationReason, RevocationRequest,
};
use jiff::Timestamp;
use plan::domain::order::Said;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::config::Directory;

/// An authority that takes longer for an answer is taken for one that does not answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// An authority with our account there.
pub struct Authority {
    account: Account,
    profile: Option<String>,
    told: Arc<Told>,
}

/// What an authority's answers say beside their bodies: the client keeps nothing of it.
#[derive(Default)]
pub struct Told {
    retry_after: Mutex<Option<Timestamp>>,
}

/// An HTTP client that takes note of `Retry-After` when an authority says 429 or 503.
struct Listening {
    inner: HyperClient<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>,
    told: Arc<Told>,
}

impl HttpClient for Listening {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let answer = self.inner.request(request);
        let told = self.told.clone();
        Box::pin(async move {
            let answer = match tokio::time::timeout(PATIENCE, answer).await {
                Ok(answer) => answer.map_err(|error| Error::Other(Box::new(error)))?,
                Err(_) => return Err(Error::Timeout(None)),
            };
            if matches!(answer.status().as_u16(), 429 | 503)
                && let Some(value) = answer.headers().get(RETRY_AFTER)
                && let Some(until) = value.to_str().ok().and_then(retry_after)
            {
                let mut known = told
                    .retry_after
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                *known = Some(until);
            }
            Ok(BytesResponse::from(answer))
        })
    }
}

/// Seconds or a date (RFC 9110 §10.2.3).
fn retry_after(value: &str) -> Option<Timestamp> {
    if let Ok(seconds) = value.trim().parse::<i64>() {
        let wait = jiff::SignedDuration::from_secs(seconds.clamp(0, 90 * 24 * 3600));
        return Timestamp::now().checked_add(wait).ok();
    }
    let date: SystemTime = httpdate::parse_http_date(value.trim()).ok()?;
    Timestamp::try_from(date).ok()
}

/// A client that trusts those who sign the directory's own certificate.
fn client(directory: &Directory, told: Arc<Told>) -> Result<Listening, Error> {
    let mut roots = RootCertStore::empty();
    match directory
        .ca_bundle
        .as_deref()
        .filter(|pem| !pem.trim().is_empty())
    {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate =
                    certificate.map_err(|_| Error::Str("caBundle is no certificate in PEM"))?;
                roots
                    .add(certificate)
                    .map_err(|error| Error::Other(Box::new(error)))?;
            }
        }
        None => {
            roots.add_parsable_certificates(
                webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned(),
            );
        }
    }
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_only()
        .enable_http1()
        .enable_http2()
        .build();
    Ok(Listening {
        inner: HyperClient::builder(TokioExecutor::new()).build(connector),
        told,
    })
}

/// What the gateway has to answer, or what a TXT record has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The last part of the path.
    pub token: String,
    /// The body.
    pub key_authorization: String,
    /// The value of the TXT record.
    pub txt: String,
}

impl Authority {
    /// With an account that was made before.
    ///
    /// # Errors
    /// When the directory does not answer.
    pub async fn restore(
        directory: &Directory,
        credentials: AccountCredentials,
    ) -> Result<Self, Error> {
        let told = Arc::new(Told::default());
        let http = client(directory, told.clone())?;
        let account = Account::builder_with_http(Box::new(http))
            .from_credentials(credentials)
            .await?;
        Ok(Self {
            account,
            profile: directory.profile.clone(),
            told,
        })
    }

    /// With a new account; what to save of it.
    ///
    /// # Errors
    /// What the authority says against it.
    pub async fn register(
        directory: &Directory,
        binding: Option<&ExternalAccountKey>,
    ) -> Result<(Self, AccountCredentials), Error> {
        let told = Arc::new(Told::default());
        let http = client(directory, told.clone())?;
        let contact: Vec<&str> = directory.contacts.iter().map(String::as_str).collect();
        let wish = NewAccount {
            contact: &contact,
            terms_of_service_agreed: directory.terms_of_service_agreed,
            only_return_existing: false,
        };
        let (account, credentials) = Account::builder_with_http(Box::new(http))
            .create(&wish, directory.url.clone(), binding)
            .await?;
        let authority = Self {
            account,
            profile: directory.profile.clone(),
            told,
        };
        Ok((authority, credentials))
    }

    /// Gives the account another key; what to save of it. When that fails, the account is lost.
    ///
    /// # Errors
    /// What the authority says against it.
    pub async fn change_key(&mut self) -> Result<AccountCredentials, Error> {
        self.account.update_key().await
    }

    /// Revokes a certificate of ours.
    ///
    /// # Errors
    /// What the authority says against it.
    pub async fn revoke(
        &self,
        certificate: &CertificateDer<'_>,
        reason: RevocationReason,
    ) -> Result<(), Error> {
        let request = RevocationRequest {
            certificate,
            reason: Some(reason),
        };
        self.account.revoke(&request).await
    }

    /// The account's address there, which CAA records may name (RFC 8657).
    #[must_use]
    pub fn account_url(&self) -> &str {
        self.account.id()
    }

    /// When the authority wants a certificate to be renewed (RFC 9773); `None` when it does not
    /// say.
    pub async fn window(&self, id: &CertificateIdentifier<'_>) -> Option<(Timestamp, Timestamp)> {
        let (info, _) = self.account.renewal_info(id).await.ok()?;
        let window = info.suggested_window;
        let time = |at: time::OffsetDateTime| Timestamp::from_second(at.unix_timestamp()).ok();
        time(window.start).zip(time(window.end))
    }

    /// Makes an order; its address.
    ///
    /// # Errors
    /// What the authority says against it.
    pub async fn create(
        &self,
        hostname: &str,
        replaces: Option<CertificateIdentifier<'_>>,
    ) -> Result<String, Error> {
        let identifiers = [Identifier::Dns(hostname.to_owned())];
        let mut order = NewOrder::new(&identifiers);
        if let Some(replaces) = replaces {
            order = order.replaces(replaces);
        }
        if let Some(profile) = &self.profile {
            order = order.profile(profile);
        }
        Ok(self.account.new_order(&order).await?.url().to_owned())
    }

    /// What is to be answered; `None` when an authorization of before still holds.
    ///
    /// # Errors
    /// What the authority says against it, or that it does not offer this kind of challenge.
    pub async fn challenge(
        &self,
        url: &str,
        kind: ChallengeType,
    ) -> Result<Option<Challenge>, Error> {
        let mut order = self.account.order(url.to_owned()).await?;
        let mut authorizations = order.authorizations();
        let Some(authorization) = authorizations.next().await else {
            return Err(Error::Str("an order without authorization"));
        };
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            return Ok(None);
        }
        let Some(challenge) = authorization.challenge(kind) else {
            return Err(Error::Str(
                "the authority does not offer this kind of challenge",
            ));
        };
        let key = challenge.key_authorization();
        Ok(Some(Challenge {
            token: challenge.token.clone(),
            key_authorization: key.as_str().to_owned(),
            txt: key.dns_value(),
        }))
    }

    /// Asks the authority to look.
    ///
    /// # Errors
    /// What the authority says against it.
    pub async fn ask_to_look(&self, url: &str, kind: ChallengeType) -> Result<(), Error> {
        let mut order = self.account.order(url.to_owned()).await?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            if let Some(mut challenge) = authorization.challenge(kind.clone()) {
                challenge.set_ready().await?;
            }
        }
        Ok(())
    }

    /// How an order stands; of one that failed, why.
    ///
    /// # Errors
    /// What the authority says against the question.
    pub async fn state(&self, url: &str) -> Result<(Said, Option<String>), Error> {
        let mut order = match self.account.order(url.to_owned()).await {
            Ok(order) => order,
            Err(Error::Api(problem)) if matches!(problem.status, Some(404 | 403)) => {
                return Ok((Said::Unknown, problem.detail.clone()));
            }
            Err(error) => return Err(error),
        };
        let said = match order.state().status {
            OrderStatus::Pending => Said::Pending,
            OrderStatus::Ready => Said::Ready,
            OrderStatus::Processing => Said::Processing,
            OrderStatus::Valid => Said::Valid,
            OrderStatus::Invalid => Said::Invalid,
        };
        if said != Said::Invalid {
            return Ok((said, None));
        }
        let mut why = order.state().error.as_ref().map(ToString::to_string);
        let mut authorizations = order.authorizations();
        while let Some(Ok(authorization)) = authorizations.next().await {
            let errors = authorization.challenges.iter();
            let error = errors
                .filter_map(|challenge| challenge.error.as_ref())
                .next();
            why = error.map(ToString::to_string).or(why);
        }
        Ok((said, why))
    }

    /// Asks for the certificate of a key.
    ///
    /// # Errors
    /// What the authority says against it.
    pub async fn finalize(&self, url: &str, request_der: &[u8]) -> Result<(), Error> {
        let mut order = self.account.order(url.to_owned()).await?;
        order.finalize_csr(request_der).await
    }

    /// The chain as PEM, when it is there.
    ///
    /// # Errors
    /// What the authority says against it.
    pub async fn download(&self, url: &str) -> Result<Option<String>, Error> {
        let mut order = self.account.order(url.to_owned()).await?;
        order.certificate().await
    }

    /// Until when the authority does not want to be asked; forgotten by asking.
    #[must_use]
    pub fn refused_until(&self) -> Option<Timestamp> {
        let mut told = self
            .told
            .retry_after
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        told.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use rustls::{ServerConfig, pki_types::PrivateKeyDer};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };
    use tokio_rustls::TlsAcceptor;

    /// A server that gives everybody the same answer, and its authority.
    async fn directory(answer: &'static str) -> Directory {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Directory {
            name: "test".to_owned(),
            url: format!("https://localhost:{port}/dir"),
            contacts: Vec::new(),
            terms_of_service_agreed: true,
            profile: None,
            external_account_secret: None,
            ca_bundle: Some(certificate.pem()),
            key_generation: 0,
            caa_identities: Vec::new(),
            limits: super::super::config::LimitsConfig::None,
        }
    }

    async fn error(directory: &Directory) -> Error {
        match Authority::register(directory, None).await {
            Ok(_) => panic!("it is taken for an authority"),
            Err(error) => error,
        }
    }

    #[tokio::test]
    async fn a_directory_that_answers_html_is_none() {
        let page =
            "HTTP/1.1 200 OK\r\nContent-Length: 15\r\nConnection: close\r\n\r\n<html>hi</html>";
        let error = error(&directory(page).await).await;
        assert!(matches!(error, Error::Json(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_directory_of_an_unknown_signer_is_not_trusted() {
        let mut directory = directory("HTTP/1.1 200 OK\r\n\r\n").await;
        directory.ca_bundle = None;
        let error = error(&directory).await;
        assert!(matches!(error, Error::Other(_)), "{error:?}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let soon = retry_after("120").unwrap();
        let wait = soon.duration_since(Timestamp::now()).as_secs();
        assert!((115..=120).contains(&wait), "{wait}");
        let date = retry_after("Wed, 21 Oct 2065 07:28:00 GMT").unwrap();
        assert_eq!(date.to_string(), "2065-10-21T07:28:00Z");
        assert_eq!(retry_after("soon"), None);
    }
}
