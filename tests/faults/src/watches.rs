//! What the proxy does to watches: events that come late or twice, connections that are cut, a
//! history that is gone.

use std::{collections::HashSet, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{sync::mpsc, time::Instant};

/// The trouble with watches.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Fog {
    /// None.
    #[default]
    Clear,
    /// Each event comes later by something between these.
    Late(Duration, Duration),
    /// Each event comes twice.
    Twice,
    /// Every connection is cut after this time.
    Cut(Duration),
    /// The first event of every watch is "410 Gone".
    GoneOnce,
}

/// Which watches were told "410 Gone" already.
pub type Told = HashSet<String>;

/// The line that ends a watch whose history is gone.
const GONE: &str = concat!(
    r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"#,
    r#""status":"Failure","message":"too old resource version","reason":"Expired","code":410}}"#,
    "\n"
);

/// The lines of a watch, with the trouble in them.
pub fn through(
    fog: Fog,
    is_told_gone: bool,
    seed: u64,
    body: Incoming,
) -> impl Stream<Item = Bytes> + Send + 'static {
    let (send, receive) = mpsc::channel::<(Instant, Bytes)>(1024);
    tokio::spawn(async move {
        let mut chance = StdRng::seed_from_u64(seed);
        let mut lines = Box::pin(lines(body));
        let begun = Instant::now();
        loop {
            let line = match fog {
                Fog::Cut(after) => {
                    match tokio::time::timeout_at(begun + after, lines.next()).await {
                        Ok(line) => line,
                        Err(_) => return,
                    }
                }
                _ => lines.next().await,
            };
            let Some(line) = line else { return };
            let now = Instant::now();
            let sent = match fog {
                Fog::GoneOnce if is_told_gone => {
                    let _ = send.send((now, Bytes::from_static(GONE.as_bytes()))).await;
                    return;
                }
                Fog::Late(least, most) => {
                    let late = chance.random_range(least..=most);
                    send.send((now + late, line)).await
                }
                Fog::Twice => match send.send((now, line.clone())).await {
                    Ok(()) => send.send((now, line)).await,
                    error => error,
                },
                _ => send.send((now, line)).await,
            };
            if sent.is_err() {
                return;
            }
        }
    });
    futures_util::stream::unfold(receive, |mut receive| async move {
        let (at, line) = receive.recv().await?;
        tokio::time::sleep_until(at).await;
        Some((line, receive))
    })
}

/// The lines of a watch as they are.
pub fn lines(body: Incoming) -> impl Stream<Item = Bytes> {
    let start = (body, BytesMut::new());
    futures_util::stream::unfold(start, |(mut body, mut rest)| async move {
        loop {
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest.split_to(end + 1).freeze();
                return Some((line, (body, rest)));
            }
            let frame = body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                rest.extend_from_slice(&data);
            }
        }
    })
}
