//! One request by plain HTTP, to an address that was chosen before. Nothing is looked up, and no
//! redirect is followed: where an answer leads is for others to judge.

use std::{error::Error, net::SocketAddr, time::Duration};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{self, HeaderName},
};
use hyper_util::rt::TokioIo;
use plan::domain::reach::telling_headers;
use tokio::{net::TcpStream, time::timeout};
use tokio_util::task::AbortOnDropHandle;

/// Connection and answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// An answer to a challenge has about a hundred bytes.
const LONGEST_BODY: usize = 4096;
/// Headers are quoted as far as this.
const LONGEST_HEADER: usize = 200;

/// What came back.
pub(super) struct Given {
    pub status: StatusCode,
    pub body: String,
    pub location: Option<String>,
    pub server: Option<String>,
    /// Those of [`telling_headers`] that were there.
    pub telling: Vec<String>,
}

/// Asks for a path of a hostname.
///
/// # Errors
/// Why there is no answer, in words.
pub(super) async fn get(place: SocketAddr, hostname: &str, path: &str) -> Result<Given, String> {
    match timeout(PATIENCE, exchange(place, hostname, path)).await {
        Ok(Ok(given)) => Ok(given),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn exchange(
    place: SocketAddr,
    hostname: &str,
    path: &str,
) -> Result<Given, Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(place).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with us, also when we are given up.
    let _driver = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = Request::get(path)
        .header(header::HOST, hostname)
        .header(header::USER_AGENT, "tutti-operator")
        .body(Empty::<Bytes>::new())?;
    Ok(given(sender.send_request(request).await?).await)
}

async fn given(answer: Response<Incoming>) -> Given {
    let text = |name: HeaderName| {
        let value = answer.headers().get(name)?.to_str().ok()?;
        Some(value.chars().take(LONGEST_HEADER).collect::<String>())
    };
    let (status, location, server) = (
        answer.status(),
        text(header::LOCATION),
        text(header::SERVER),
    );
    let telling = telling_headers()
        .filter(|name| answer.headers().contains_key(*name))
        .map(str::to_owned)
        .collect();
    let body = Limited::new(answer.into_body(), LONGEST_BODY);
    let body = body.collect().await.map(|body| body.to_bytes());
    Given {
        status,
        body: body.map_or_else(
            |_| String::new(),
            |body| String::from_utf8_lossy(&body).into_owned(),
        ),
        location,
        server,
        telling,
    }
}
