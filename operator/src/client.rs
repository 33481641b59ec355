//! Clients of the API server. Every call is counted, that of a watch when it begins.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use kube::{
    Client,
    client::{Body, ClientBuilder},
};
use tower::{Service, layer::layer_fn};

use crate::metrics::Metrics;

/// A client that gives up a call which is not answered for this long.
///
/// # Errors
/// When the configuration is no good.
pub fn impatient(
    mut cluster: kube::Config,
    patience: Duration,
    metrics: &Metrics,
) -> Result<Client, kube::Error> {
    cluster.read_timeout = Some(patience);
    // Counted from the question, not from when its connection fell idle.
    cluster.reset_reader_on_write = true;
    counted(cluster, metrics)
}

/// A client that waits as long as it takes.
///
/// # Errors
/// When the configuration is no good.
pub fn counted(cluster: kube::Config, metrics: &Metrics) -> Result<Client, kube::Error> {
    let host = cluster.cluster_url.authority().map(|it| it.as_str());
    let host: Arc<str> = host.unwrap_or_default().into();
    let layer = layer_fn(|calls| Counted {
        calls,
        host: host.clone(),
        metrics: metrics.clone(),
    });
    Ok(ClientBuilder::try_from(cluster)?.with_layer(&layer).build())
}

/// Calls, and what becomes of them.
struct Counted<S> {
    calls: S,
    host: Arc<str>,
    metrics: Metrics,
}

impl<S, B> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.calls.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = request.method().clone();
        let (host, metrics) = (self.host.clone(), self.metrics.clone());
        let answer = self.calls.call(request);
        Box::pin(async move {
            let answer = answer.await;
            let status = answer.as_ref().ok().map(Response::status);
            metrics.called(&host, &method, status);
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Ready, future::ready};

    use prometheus_client::{encoding::text::encode, registry::Registry};

    use super::*;

    /// Answers with this status, or not at all.
    struct Server(Option<u16>);

    impl Service<Request<Body>> for Server {
        type Response = Response<()>;
        type Error = &'static str;
        type Future = Ready<Result<Response<()>, &'static str>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            let answer = |status| Response::builder().status(status).body(()).unwrap();
            ready(self.0.map(answer).ok_or("nobody answers"))
        }
    }

    #[tokio::test]
    async fn a_call_is_counted_by_its_answer_and_so_is_one_without() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        for status in [Some(200), Some(200), Some(409), None] {
            let mut calls = Counted {
                calls: Server(status),
                host: "10.96.0.1:443".into(),
                metrics: metrics.clone(),
            };
            let answer = calls.call(Request::new(Body::empty())).await;
            assert_eq!(answer.ok().map(|it| it.status().as_u16()), status);
        }
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for (code, count) in [("200", 2), ("409", 1), ("<error>", 1)] {
            let expected =
                format!(r#"{{code="{code}",method="GET",host="10.96.0.1:443"}} {count}"#);
            assert!(text.contains(&expected), "{expected} in {text}");
        }
    }
}
