//! Talking to a certificate authority (RFC 8555), one step at a time. Which step is next is decided
//! in `plan::domain::order`; nothing here waits or remembers, so that a crash loses nothing.

use std::{
    cell::Cell,
    pin::Pin,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    Method, Request, Response,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, BodyWrapper, BytesResponse,
    CertificateIdentifier, ChallengeType, Error, ExternalAccountKey, HttpClient, Identifier,
    NewAccount, NewOrder, OrderStatus, Problem, RevocationReason, RevocationRequest,
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

/// How often a question is asked whose nonce is refused.
const TRIES: u32 = 10;

/// An authority with our account there.
pub struct Authority {
    account: Account,
    profile: Option<String>,
}

tokio::task_local! {
    /// Until when the last answer of this pass refuses, which the client's errors do not tell.
    static REFUSED_UNTIL: Cell<Option<Timestamp>>;
}

/// Runs a pass, in which [`refused_until`] tells of what was asked in it and nothing of other passes.
pub async fn listening<F: Future>(pass: F) -> F::Output {
    REFUSED_UNTIL.scope(Cell::new(None), pass).await
}

/// Until when the authority that was asked last in this pass does not want to be asked, as it said with a
/// 429 or 503.
#[must_use]
pub fn refused_until() -> Option<Timestamp> {
    REFUSED_UNTIL.try_with(Cell::get).ok().flatten()
}

/// An HTTP client that takes note of `Retry-After` when an authority says 429 or 503.
struct Listening(HyperClient<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

impl HttpClient for Listening {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let is_plain = request.method() == Method::GET;
        let answer = self.0.request(request);
        Box::pin(async move {
            let answer = match tokio::time::timeout(PATIENCE, answer).await {
                Ok(answer) => answer.map_err(|error| Error::Other(Box::new(error)))?,
                Err(_) => return Err(Error::Timeout(None)),
            };
            let value = answer.headers().get(RETRY_AFTER);
            let until = value
                .filter(|_| matches!(answer.status().as_u16(), 429 | 503))
                .and_then(|value| retry_after(value.to_str().ok()?));
            // Outside of a pass nobody asks for it.
            let _ = REFUSED_UNTIL.try_with(|it| it.set(until));
            let answer = explained(answer);
            let status = answer.parts.status;
            // The client reads a directory out of whatever answers.
            if is_plain && (status.is_client_error() || status.is_server_error()) {
                return Err(refusal(answer).await);
            }
            Ok(answer)
        })
    }
}

/// A refusal without a problem document (RFC 7807) gets one that says as much as its status: the client
/// would take it for an authority that cannot be understood. Pebble refuses so what it does not know.
fn explained(answer: Response<Incoming>) -> BytesResponse {
    let status = answer.status();
    let kind = answer.headers().get(CONTENT_TYPE);
    let is_explained =
        kind.is_some_and(|it| it.as_bytes().starts_with(b"application/problem+json"));
    if is_explained || !(status.is_client_error() || status.is_server_error()) {
        return BytesResponse::from(answer);
    }
    let problem = serde_json::json!({
        "type": "about:blank",
        "status": status.as_u16(),
        "detail": format!("it answers {status}, and does not say why"),
    });
    let (parts, _) = answer.into_parts();
    let body = Full::new(Bytes::from(problem.to_string()));
    BytesResponse::from(Response::from_parts(parts, body))
}

/// A refusal as an error.
async fn refusal(mut answer: BytesResponse) -> Error {
    let status = answer.parts.status.as_u16();
    let body = answer.body.into_bytes().await.map_err(Error::Other);
    let problem = body.and_then(|body| Ok(serde_json::from_slice::<Problem>(&body)?));
    problem.map_or_else(
        |error| error,
        |problem| {
            Error::Api(Problem {
                status: Some(status),
                ..problem
            })
        },
    )
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

/// Asks again while an authority refuses nonces (RFC 8555 §6.5), which is no failure: the client asks
/// thrice by itself, and that is too seldom for one that refuses most.
async fn patiently<T, F>(ask: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    for _ in 1..TRIES {
        match ask().await {
            Err(error) if is_bad_nonce(&error) => {}
            answered => return answered,
        }
    }
    ask().await
}

/// The type of the problem that an authority has told (RFC 8555 §6.7); empty when it has told none.
fn kind(error: &Error) -> &str {
    match error {
        Error::Api(problem) => problem.r#type.as_deref().unwrap_or_default(),
        _ => "",
    }
}

/// Whether it only wants to be asked again (RFC 8555 §6.5).
pub fn is_bad_nonce(error: &Error) -> bool {
    kind(error).ends_with(":badNonce")
}

/// Whether the certificate to revoke was revoked before (RFC 8555 §7.6).
pub fn is_revoked(error: &Error) -> bool {
    kind(error).ends_with(":alreadyRevoked")
}

/// Whether an authority takes nothing that is signed with our key any more: it does not know the account,
/// or knows it with another key (there is no word for that; Let's Encrypt's and Pebble's software says so).
pub fn is_account_lost(error: &Error) -> bool {
    let Error::Api(problem) = error else {
        return false;
    };
    let detail = problem.detail.as_deref().unwrap_or_default();
    kind(error).ends_with(":accountDoesNotExist")
        || kind(error).ends_with(":malformed") && detail.contains("JWS verification error")
}

/// A client that trusts those who sign the directory's own certificate.
fn client(directory: &Directory) -> Result<Listening, Error> {
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
        .wrap_connector(at_once());
    Ok(Listening(
        HyperClient::builder(TokioExecutor::new()).build(connector),
    ))
}

/// Connections that send a small request at once, instead of waiting for the answer to the one before.
fn at_once() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector
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
        let http = client(directory)?;
        let account = Account::builder_with_http(Box::new(http))
            .from_credentials(credentials)
            .await?;
        Ok(Self {
            account,
            profile: directory.profile.clone(),
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
        let contact: Vec<&str> = directory.contacts.iter().map(String::as_str).collect();
        let wish = NewAccount {
            contact: &contact,
            terms_of_service_agreed: directory.terms_of_service_agreed,
            only_return_existing: false,
        };
        let (account, credentials) = patiently(|| async {
            let http = client(directory)?;
            Account::builder_with_http(Box::new(http))
                .create(&wish, directory.url.clone(), binding)
                .await
        })
        .await?;
        let authority = Self {
            account,
            profile: directory.profile.clone(),
        };
        Ok((authority, credentials))
    }

    /// Gives the account another key; what to save of it.
    ///
    /// # Errors
    /// What the authority says against it; the old key stays then.
    pub async fn change_key(&mut self) -> Result<AccountCredentials, Error> {
        // The client asks again by itself when a nonce is refused, thrice.
        self.account.update_key().await
    }

    /// Tells the authority whom it may write to.
    ///
    /// # Errors
    /// What the authority says against it.
    pub async fn tell_contacts(&self, contacts: &[String]) -> Result<(), Error> {
        let contacts: Vec<&str> = contacts.iter().map(String::as_str).collect();
        patiently(|| self.account.update_contacts(&contacts)).await
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

    /// When the authority wants a certificate to be renewed (RFC 9773), and after how long it wants to be
    /// asked again (§4.3.2); `None` when it does not say.
    pub async fn window(
        &self,
        id: &CertificateIdentifier<'_>,
    ) -> Option<((Timestamp, Timestamp), Duration)> {
        let (info, again) = self.account.renewal_info(id).await.ok()?;
        let window = info.suggested_window;
        let time = |at: time::OffsetDateTime| Timestamp::from_second(at.unix_timestamp()).ok();
        Some((time(window.start).zip(time(window.end))?, again))
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
        let made = patiently(|| self.account.new_order(&order)).await?;
        Ok(made.url().to_owned())
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
        patiently(|| async {
            let mut order = self.account.order(url.to_owned()).await?;
            let mut authorizations = order.authorizations();
            let Some(authorization) = authorizations.next().await else {
                return Err(Error::Str("an order without authorization"));
            };
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                return Ok(None);
            }
            let Some(challenge) = authorization.challenge(kind.clone()) else {
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
        })
        .await
    }

    /// Asks the authority to look.
    ///
    /// # Errors
    /// What the authority says against it.
    pub async fn ask_to_look(&self, url: &str, kind: ChallengeType) -> Result<(), Error> {
        patiently(|| async {
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
        })
        .await
    }

    /// How an order stands; of one that failed, why.
    ///
    /// # Errors
    /// What the authority says against the question.
    pub async fn state(&self, url: &str) -> Result<(Said, Option<String>), Error> {
        patiently(|| async {
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
        })
        .await
    }

    /// Asks for the certificate of a key.
    ///
    /// # Errors
    /// What the authority says against it.
    pub async fn finalize(&self, url: &str, request_der: &[u8]) -> Result<(), Error> {
        patiently(|| async {
            let mut order = self.account.order(url.to_owned()).await?;
            order.finalize_csr(request_der).await
        })
        .await
    }

    /// The chain as PEM, when it is there.
    ///
    /// # Errors
    /// What the authority says against it.
    pub async fn download(&self, url: &str) -> Result<Option<String>, Error> {
        patiently(|| async {
            let mut order = self.account.order(url.to_owned()).await?;
            order.certificate().await
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::config::{KnownLimits, LimitsConfig};
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
            limits: LimitsConfig::Known(KnownLimits::None),
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
    async fn a_directory_that_is_out_of_service_says_so_with_its_status() {
        for (answer, words) in [
            (
                "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                "503 Service Unavailable",
            ),
            (
                "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n\
                 Content-Length: 24\r\nConnection: close\r\n\r\n{\"detail\":\"maintenance\"}\n",
                "maintenance",
            ),
        ] {
            let error = error(&directory(answer).await).await;
            let Error::Api(problem) = &error else {
                panic!("{error:?}")
            };
            assert_eq!(problem.status, Some(503));
            let detail = problem.detail.as_deref().unwrap_or_default();
            assert!(detail.contains(words), "{detail}");
        }
    }

    #[tokio::test]
    async fn a_directory_of_an_unknown_signer_is_not_trusted() {
        let mut directory = directory("HTTP/1.1 200 OK\r\n\r\n").await;
        directory.ca_bundle = None;
        let error = error(&directory).await;
        assert!(matches!(error, Error::Other(_)), "{error:?}");
    }

    #[tokio::test]
    async fn of_two_that_are_refused_at_once_each_hears_its_own_time() {
        let refusal = |seconds| {
            Box::leak(Box::new(format!(
                "HTTP/1.1 429 Too Many Requests\r\nRetry-After: {seconds}\r\n\
                 Content-Length: 0\r\nConnection: close\r\n\r\n"
            ))) as &str
        };
        let (soon, late) = (directory(refusal(60)).await, directory(refusal(6000)).await);
        let pass = async |directory: &Directory| {
            listening(async {
                error(directory).await;
                // The other is refused meanwhile.
                tokio::task::yield_now().await;
                let until = refused_until().unwrap();
                until.duration_since(Timestamp::now()).as_secs()
            })
            .await
        };
        for _ in 0..10 {
            let (sooner, later) = tokio::join!(pass(&soon), pass(&late));
            assert!(
                (55..=60).contains(&sooner) && (5995..=6000).contains(&later),
                "{sooner}, {later}"
            );
        }
        assert_eq!(refused_until(), None);
    }

    #[tokio::test]
    async fn an_answer_that_refuses_nothing_ends_what_the_one_before_said() {
        let refusing = directory(
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 60\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n",
        );
        let html = directory(
            "HTTP/1.1 200 OK\r\nContent-Length: 15\r\nConnection: close\r\n\r\n<html>hi</html>",
        );
        let (refusing, html) = (refusing.await, html.await);
        let until = listening(async {
            error(&refusing).await;
            assert!(refused_until().is_some());
            error(&html).await;
            refused_until()
        });
        assert_eq!(until.await, None);
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
