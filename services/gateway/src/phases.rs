//! The life of a request, from top to bottom:
//!
//! ```text
//! accept    a connection and its TLS name (listen.rs); here begins one exchange on it
//! identify  which host is meant, said in exactly one way
//! challenge an authority's question, and our own, before anything else
//! route     the target in the current table; plain HTTP is sent to HTTPS
//! let in    who it is, where not everybody may pass (door)
//! admit     may it pass: state of the backend, size
//! forward   to the backend and back, streaming (forward.rs, body.rs, upgrade.rs)
//! log       when the last byte has gone (access_log.rs)
//! ```
//!
//! A phase either goes on or refuses; a refusal becomes a page (pages.rs). Nothing is decided
//! anywhere else.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use crds::{domain::CHALLENGE_PATH, route::Access};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{
        CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, REFERRER_POLICY,
        SET_COOKIE, STRICT_TRANSPORT_SECURITY, TE, TRANSFER_ENCODING, UPGRADE,
    },
    uri::PathAndQuery,
};
use hyper::{body::Incoming, upgrade::OnUpgrade};

use crate::{
    access_log::{Exchange, Upload},
    body::{Answer, RequestBody, read_on},
    connection::Connection,
    domains::Closed,
    door::{self, Caller, Turn, Visitor},
    errors::Refusal,
    forward::Patience,
    gateway::{Gateway, Route},
    headers::{self, Edge, X_FORWARDED_PROTO, X_REQUEST_ID, X_TUTTI_IDENTITY},
    pages,
    routes::{State, path},
    upgrade,
};

/// What a phase ends with when it does not go on.
enum End {
    Refused(Refusal),
    Redirected {
        location: HeaderValue,
        hsts: Option<HeaderValue>,
    },
    Answered(String),
    /// To sign in, or back from there.
    Led {
        location: HeaderValue,
        cookie: Option<HeaderValue>,
    },
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Answers one request.
pub async fn answer(
    gateway: Arc<Gateway>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Response<Answer> {
    let (client, request_id) = accept(&gateway, &connection, request.headers());
    let unmatched = Arc::clone(&gateway.metrics.unmatched);
    let mut exchange = Exchange::begin(&request, &connection, client, request_id, unmatched);
    let is_http1 = request.version() < Version::HTTP_2;

    let prepared = match prepare(&gateway, &connection, &request, &mut exchange) {
        Ok(route) => let_in(&gateway, &route, &request, &exchange)
            .await
            .and_then(|visitor| {
                admit(&route, &request)?;
                Ok((route, visitor))
            }),
        Err(end) => Err(end),
    };
    let result = match prepared {
        Ok((route, visitor)) => forward(&gateway, &route, request, exchange, visitor).await,
        Err(end) => {
            read_on(request.into_body(), &connection);
            Err((end, exchange))
        }
    };
    let mut response = result.unwrap_or_else(|(end, exchange)| finish(&gateway, end, exchange));
    // Asks the client to come back on a new connection, which no longer leads here.
    if is_http1 && gateway.is_draining() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The phases that read the head only.
fn prepare(
    gateway: &Gateway,
    connection: &Connection,
    request: &Request<Incoming>,
    exchange: &mut Exchange,
) -> Result<Arc<Route>, End> {
    exchange.host = identify(connection, request)?;
    answer_challenge(gateway, request, &exchange.host)?;
    let route = route(gateway, &exchange.host, request.uri())?;
    exchange.route = Some(Arc::clone(&route));
    send_to_https(gateway, connection, request, &exchange.host, &route)?;
    lead_on(gateway, connection, request, &route)?;
    Ok(route)
}

// ── accept ──────────────────────────────────────────────────────────────────────────────────────

/// Who asks, and under which id: a trusted proxy's word, or what we see ourselves.
fn accept(
    gateway: &Gateway,
    connection: &Connection,
    headers: &HeaderMap,
) -> (IpAddr, HeaderValue) {
    let peer = connection.peer;
    if !connection.is_trusted {
        return (peer.ip(), gateway.next_request_id());
    }
    let chain = headers::forwarded_for(headers);
    let chain = chain.as_ref().and_then(|chain| chain.to_str().ok());
    let client = chain.map_or_else(
        || peer.ip(),
        |chain| headers::client_of(chain, peer, |address| gateway.is_trusted(address)),
    );
    let given = headers::last(headers, &X_REQUEST_ID).filter(|id| (1..=128).contains(&id.len()));
    (
        client,
        given.cloned().unwrap_or_else(|| gateway.next_request_id()),
    )
}

// ── identify ────────────────────────────────────────────────────────────────────────────────────

/// The host in lower case, without port. Said twice, or in two ways, it is refused: what we route
/// by must be what the backend reads.
fn identify<B>(connection: &Connection, request: &Request<B>) -> Result<String, Refusal> {
    if matches!(*request.method(), Method::CONNECT | Method::TRACE)
        || request.method().as_str() == "TRACK"
    {
        return Err(Refusal::MethodNotAllowed);
    }
    let headers = request.headers();
    // HTTP/2 has no Transfer-Encoding at all; on HTTP/1.1 it excludes Content-Length.
    if headers.contains_key(TRANSFER_ENCODING)
        && (request.version() != Version::HTTP_11 || gives_length_too(connection, request))
    {
        return Err(Refusal::LengthAmbiguous);
    }
    let mut hosts = headers.get_all(HOST).iter();
    let header = hosts.next();
    if hosts.next().is_some() {
        return Err(Refusal::HostAmbiguous);
    }
    let said = |value: &[u8]| headers::normalise_host(value).ok_or(Refusal::HostMalformed);
    let host = match (headers::authority(request.uri()), header) {
        (None, None) => return Err(Refusal::HostMissing),
        (None, Some(header)) => said(header.as_bytes())?,
        (Some(authority), None) if request.version() == Version::HTTP_2 => {
            said(authority.as_bytes())?
        }
        // An absolute target needs a Host as well (RFC 9112 section 3.2).
        (Some(_), None) => return Err(Refusal::HostMissing),
        (Some(authority), Some(header)) => {
            let host = said(authority.as_bytes())?;
            if host != said(header.as_bytes())? {
                return Err(Refusal::HostAmbiguous);
            }
            host
        }
    };
    if connection.covers(&host) {
        Ok(host)
    } else {
        Err(Refusal::Misdirected)
    }
}

fn gives_length_too<B>(connection: &Connection, request: &Request<B>) -> bool {
    // An absolute target reads the same only as a whole.
    let target = request.uri().to_string();
    request.headers().contains_key(CONTENT_LENGTH)
        || connection
            .raw_head
            .gives_length(request.method().as_str(), &target)
}

// ── challenge ───────────────────────────────────────────────────────────────────────────────────

/// Also before a hostname has a Route, and without TLS: there is no certificate yet.
fn answer_challenge<B>(gateway: &Gateway, request: &Request<B>, host: &str) -> Result<(), End> {
    let path = request.uri().path();
    if !path.starts_with(CHALLENGE_PATH) || !matches!(*request.method(), Method::GET | Method::HEAD)
    {
        return Ok(());
    }
    let domains = gateway.domains.load();
    match domains.answer(host, path, &gateway.settings.zone) {
        Some(answer) => Err(End::Answered(answer)),
        None => Ok(()),
    }
}

// ── route ───────────────────────────────────────────────────────────────────────────────────────

/// The target in the table that is current now.
fn route(gateway: &Gateway, host: &str, uri: &Uri) -> Result<Arc<Route>, Refusal> {
    let path = path::normalise(uri.path()).ok_or(Refusal::PathAmbiguous)?;
    let table = gateway.routes.load();
    table
        .lookup(host, &path)
        .cloned()
        .ok_or_else(|| unknown(gateway, host))
}

/// A customer's hostname that leads here and is not let in has an owner who wants to know why.
fn unknown(gateway: &Gateway, host: &str) -> Refusal {
    match gateway.domains.load().closed(host) {
        None => Refusal::UnknownHost,
        Some(Closed::NotYet) => Refusal::DomainNotProven,
        Some(Closed::Lost) => Refusal::DomainProofLost,
    }
}

/// Plain HTTP goes on only where the route allows it; elsewhere the client comes back by HTTPS.
fn send_to_https<B>(
    gateway: &Gateway,
    connection: &Connection,
    request: &Request<B>,
    host: &str,
    route: &Route,
) -> Result<(), End> {
    // Who signs in does so by HTTPS only.
    let is_open = route.target.plain_http && route.target.access == Access::Public;
    if is_open || is_secure(connection, request.headers()) {
        return Ok(());
    }
    let rest = request
        .uri()
        .path_and_query()
        .map_or("/", PathAndQuery::as_str);
    match HeaderValue::try_from(https(gateway, host, rest)) {
        // A policy counts by HTTPS only (RFC 6797 §7.2).
        Ok(location) => Err(End::Redirected {
            location,
            hsts: None,
        }),
        Err(_) => Err(Refusal::PathAmbiguous.into()),
    }
}

/// A hostname that only leads on to another one.
fn lead_on<B>(
    gateway: &Gateway,
    connection: &Connection,
    request: &Request<B>,
    route: &Route,
) -> Result<(), End> {
    let Some(to) = &route.target.redirect_to else {
        return Ok(());
    };
    let rest = request
        .uri()
        .path_and_query()
        .map_or("/", PathAndQuery::as_str);
    let is_secure = is_secure(connection, request.headers());
    match HeaderValue::try_from(https(gateway, to, rest)) {
        Ok(location) => Err(End::Redirected {
            location,
            hsts: route.target.hsts.clone().filter(|_| is_secure),
        }),
        Err(_) => Err(Refusal::PathAmbiguous.into()),
    }
}

fn https(gateway: &Gateway, host: &str, rest: &str) -> String {
    match gateway.settings.public_https_port {
        443 => format!("https://{host}{rest}"),
        port => format!("https://{host}:{port}{rest}"),
    }
}

fn is_secure(connection: &Connection, headers: &HeaderMap) -> bool {
    connection.is_tls()
        || (connection.is_trusted
            && headers::last(headers, &X_FORWARDED_PROTO).is_some_and(|proto| proto == "https"))
}

// ── let in ──────────────────────────────────────────────────────────────────────────────────────

/// Who it is, where not everybody may pass.
async fn let_in(
    gateway: &Gateway,
    route: &Route,
    request: &Request<Incoming>,
    exchange: &Exchange,
) -> Result<Option<Visitor>, End> {
    if route.target.access == Access::Public {
        return Ok(None);
    }
    let Some(door) = &gateway.door else {
        return Err(Refusal::SignInNotAvailable.into());
    };
    let caller = Caller {
        method: request.method(),
        headers: request.headers(),
        uri: request.uri(),
        host: &exchange.host,
        origin: &https(gateway, &exchange.host, ""),
        request_id: &exchange.request_id,
    };
    let led = |to: String, cookie: Option<HeaderValue>| match HeaderValue::try_from(to) {
        Ok(location) => End::Led { location, cookie },
        Err(_) => Refusal::PathAmbiguous.into(),
    };
    match door.admit(&route.target, &caller).await {
        Ok(visitor) => Ok(Some(visitor)),
        Err(Turn::Refused(refusal)) => Err(refusal.into()),
        Err(Turn::SignIn { to, cookie }) => Err(led(to, cookie)),
        Err(Turn::Back { to, cookie }) => Err(led(to, Some(cookie))),
    }
}

// ── admit ───────────────────────────────────────────────────────────────────────────────────────

/// Whether this request may pass to this target now. In doubt it may not.
fn admit<B>(route: &Route, request: &Request<B>) -> Result<(), Refusal> {
    let target = &route.target;
    match &target.state {
        State::Ready => {}
        State::Starting { message } => {
            return Err(Refusal::Starting {
                message: message.clone(),
            });
        }
        State::Stopped { message } => {
            return Err(Refusal::Stopped {
                message: message.clone(),
            });
        }
        State::Paused { message } => {
            return Err(Refusal::Paused {
                message: message.clone(),
            });
        }
        State::Broken { message, cause } => {
            return Err(Refusal::Broken {
                message: message.clone(),
                cause: cause.clone(),
            });
        }
    }
    if head_bytes(request) > target.header_limit {
        return Err(Refusal::HeadersTooLarge);
    }
    match request.headers().get(CONTENT_LENGTH) {
        None => Ok(()),
        Some(length) => match length
            .to_str()
            .ok()
            .and_then(|length| length.parse::<u64>().ok())
        {
            Some(length) if length <= target.body_limit => Ok(()),
            Some(_) => Err(Refusal::BodyTooLarge),
            None => Err(Refusal::LengthAmbiguous),
        },
    }
}

/// As long as it would be on HTTP/1.1.
fn head_bytes<B>(request: &Request<B>) -> u64 {
    const BETWEEN: usize = ": \r\n".len();
    let headers = request.headers().iter();
    let length: usize = headers
        .map(|(name, value)| name.as_str().len() + value.len() + BETWEEN)
        .sum();
    let target = request.uri().path_and_query();
    (length + target.map_or(0, |target| target.as_str().len())) as u64
}

// ── forward ─────────────────────────────────────────────────────────────────────────────────────

/// To the backend and back.
async fn forward(
    gateway: &Arc<Gateway>,
    route: &Arc<Route>,
    mut request: Request<Incoming>,
    mut exchange: Box<Exchange>,
    visitor: Option<Visitor>,
) -> Result<Response<Answer>, (End, Box<Exchange>)> {
    let target = &route.target;
    let (identity, cookie) =
        visitor.map_or((None, None), |visitor| (visitor.identity, visitor.cookie));
    let is_websocket = request.version() == Version::HTTP_11
        && !route.kept.backend.is_http2()
        && headers::wants_websocket(request.headers());
    let client_side = is_websocket.then(|| hyper::upgrade::on(&mut request));

    let mut request = match rewrite(gateway, route, request, &mut exchange, is_websocket) {
        Ok(request) => request,
        Err(refusal) => return Err((refusal.into(), exchange)),
    };
    if let Some(identity) = identity {
        request.headers_mut().insert(X_TUTTI_IDENTITY, identity);
    }
    let upload = exchange.upload.clone();
    let patience = Patience {
        response: target.response_timeout,
        idle: target.idle_timeout,
        upload: upload.as_deref(),
    };
    let sent = route.kept.backend.send(request, &patience).await;
    exchange.upstream_time = Some(exchange.begun.elapsed());
    let (mut response, lease) = match sent {
        Ok(answered) => answered,
        Err(refusal) => return Err((refusal.into(), exchange)),
    };

    exchange.status = response.status();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return switch(target.idle_timeout, &mut response, client_side, exchange);
    }
    let (mut parts, body) = response.into_parts();
    headers::strip_hop_by_hop(&mut parts.headers);
    parts
        .headers
        .insert(X_REQUEST_ID, exchange.request_id.clone());
    if let Some(policy) = &target.hsts
        && exchange.is_secure
    {
        parts
            .headers
            .insert(STRICT_TRANSPORT_SECURITY, policy.clone());
    }
    if let Some(cookie) = cookie {
        parts.headers.append(SET_COOKIE, cookie);
    }
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    let body = Answer::backend(body, lease, target.idle_timeout, exchange);
    Ok(Response::from_parts(parts, body))
}

/// The request as the backend gets it.
fn rewrite(
    gateway: &Gateway,
    route: &Route,
    request: Request<Incoming>,
    exchange: &mut Exchange,
    is_websocket: bool,
) -> Result<Request<RequestBody>, Refusal> {
    let connection = &exchange.connection;
    let (mut parts, body) = request.into_parts();
    let headers = &mut parts.headers;
    let is_secure = is_secure(connection, headers);
    exchange.is_secure = is_secure;
    let host = match headers.remove(HOST) {
        Some(host) => host,
        None => headers::authority(&parts.uri)
            .and_then(|authority| HeaderValue::from_str(authority).ok())
            .ok_or(Refusal::HostMissing)?,
    };
    let chain = connection
        .is_trusted
        .then(|| headers::forwarded_for(headers))
        .flatten();
    let takes_trailers = headers::takes_trailers(headers);

    headers::strip_hop_by_hop(headers);
    headers::strip_reserved(headers);
    door::strip(headers);
    headers::join_cookies(headers);
    let edge = Edge {
        peer: connection.peer.ip(),
        peer_value: &connection.peer_value,
        is_trusted: connection.is_trusted,
        is_secure,
        host: &host,
        port: if is_secure {
            &gateway.public_https_port
        } else {
            &gateway.public_http_port
        },
        request_id: &exchange.request_id,
    };
    headers::add_forwarded(headers, &edge, chain);

    let rest = parts
        .uri
        .path_and_query()
        .cloned()
        .unwrap_or(PathAndQuery::from_static("/"));
    if route.kept.backend.is_http2() {
        if takes_trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        parts.version = Version::HTTP_2;
        parts.uri = Uri::builder()
            .scheme("http")
            .authority(host.as_bytes())
            .path_and_query(rest)
            .build()
            .map_err(|_| Refusal::HostMalformed)?;
    } else {
        headers.insert(HOST, host);
        if is_websocket {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        parts.version = Version::HTTP_11;
        parts.uri = Uri::from(rest);
    }
    parts.extensions.clear();

    let body = if hyper::body::Body::is_end_stream(&body) {
        RequestBody::empty()
    } else {
        let upload = Arc::new(Upload::new(exchange.begun));
        exchange.upload = Some(Arc::clone(&upload));
        let connection = Arc::clone(&exchange.connection);
        RequestBody::new(body, upload, connection, route.target.body_limit)
    };
    Ok(Request::from_parts(parts, body))
}

/// The backend has agreed to WebSocket: the answer goes to the client, and then bytes pass.
fn switch(
    idle: std::time::Duration,
    response: &mut Response<Incoming>,
    client_side: Option<OnUpgrade>,
    mut exchange: Box<Exchange>,
) -> Result<Response<Answer>, (End, Box<Exchange>)> {
    // A backend that switches without having been asked cannot be followed.
    let Some(client_side) = client_side else {
        return Err((Refusal::BackendBroken.into(), exchange));
    };
    let backend_side = hyper::upgrade::on(&mut *response);
    let mut headers = std::mem::take(response.headers_mut());
    headers::strip_hop_by_hop(&mut headers);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    exchange
        .upload
        .get_or_insert_with(|| Arc::new(Upload::new(exchange.begun)));
    let connection = Arc::clone(&exchange.connection);
    connection.spawn(upgrade::tunnel(client_side, backend_side, idle, exchange));

    let mut switched = Response::new(Answer::nothing());
    *switched.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *switched.headers_mut() = headers;
    Ok(switched)
}

// ── log ─────────────────────────────────────────────────────────────────────────────────────────

/// The answer of our own. The log line follows when its last byte has gone.
fn finish(gateway: &Gateway, end: End, mut exchange: Box<Exchange>) -> Response<Answer> {
    let response = match end {
        End::Refused(refusal) => {
            gateway.metrics.refused(refusal.reason());
            exchange.reason = Some(refusal.reason());
            exchange.fault = Some(refusal.fault().name());
            pages::answer(&refusal, &exchange)
        }
        End::Redirected { location, hsts } => {
            let is_safe = matches!(exchange.method, Method::GET | Method::HEAD);
            let mut response = Response::new(Bytes::new());
            let (status, mut headers) = pages::redirect(location, is_safe);
            headers.extend(hsts.map(|policy| (STRICT_TRANSPORT_SECURITY, policy)));
            headers.insert(X_REQUEST_ID, exchange.request_id.clone());
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            response
        }
        End::Led { location, cookie } => {
            let mut response = Response::new(Bytes::new());
            // With GET, whatever it was; nobody else may be led there.
            *response.status_mut() = StatusCode::SEE_OTHER;
            let headers = response.headers_mut();
            headers.insert(LOCATION, location);
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
            headers.insert(X_REQUEST_ID, exchange.request_id.clone());
            headers.extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
            response
        }
        End::Answered(answer) => {
            let mut response = Response::new(Bytes::from(answer));
            let headers = response.headers_mut();
            let text = HeaderValue::from_static("application/octet-stream");
            headers.insert(CONTENT_TYPE, text);
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
    };
    exchange.status = response.status();
    response.map(|page| Answer::page(page, exchange))
}
