//! The port for operators of the platform: health, metrics and the log level. Plain HTTP, never
//! reachable from outside the cluster; nothing here reveals a secret.

use std::{io, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Liveness, LogFilter, Readiness};

/// What the port shows and changes.
#[derive(Clone)]
pub struct Admin {
    /// Answered at `/metrics`.
    pub registry: Arc<Registry>,
    /// Answered at `/readyz`.
    pub readiness: Readiness,
    /// Answered at `/healthz`.
    pub liveness: Liveness,
    /// Changed by `PUT /log-level`; `None` where logs were not set up by us, as in tests.
    pub log_filter: Option<LogFilter>,
}

/// Serves until the token is cancelled. Give it a token that outlives a drain: `/readyz` has to
/// answer "no" while the program drains.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(listener: TcpListener, admin: Admin, stop: CancellationToken) -> io::Result<()> {
    axum::serve(listener, router(admin))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// The same as a router, for programs that add routes of their own.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/log-level", put(set_log_level).get(log_level))
        .with_state(admin)
}

async fn health(State(admin): State<Admin>) -> Response {
    match admin.liveness.failure() {
        None => "ok\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn ready(State(admin): State<Admin>) -> Response {
    let missing = admin.readiness.missing();
    if missing.is_empty() {
        return "ok\n".into_response();
    }
    (
        StatusCode::SERVICE_UNAVAILABLE,
        format!("not ready\n{}\n", missing.join("\n")),
    )
        .into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &admin.registry) {
        Ok(()) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

async fn log_level(State(admin): State<Admin>) -> String {
    admin
        .log_filter
        .map(|filter| filter.current() + "\n")
        .unwrap_or_default()
}

async fn set_log_level(State(admin): State<Admin>, filter: String) -> Response {
    let filter = filter.trim();
    let Some(log_filter) = &admin.log_filter else {
        return (
            StatusCode::NOT_FOUND,
            "logs were not set up by this program\n",
        )
            .into_response();
    };
    match log_filter.set(filter) {
        Ok(()) => {
            tracing::info!(filter, "log filter changed");
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{LogArgs, LogFormat, init};
    use prometheus_client::metrics::counter::Counter;

    #[tokio::test]
    async fn health_readiness_metrics_and_log_level_are_answered_until_the_token_is_cancelled() {
        let mut registry = Registry::default();
        let deeds: Counter = Counter::default();
        registry.register("deeds", "Deeds done", deeds.clone());
        deeds.inc();
        let (readiness, liveness) = (Readiness::default(), Liveness::default());
        let check = readiness.check("routes");
        let log_filter = init(&LogArgs {
            log_format: LogFormat::Text,
            log_filter: "warn".into(),
        })
        .expect("only this test sets up logs for the process");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let admin = Admin {
            registry: Arc::new(registry),
            readiness,
            liveness: liveness.clone(),
            log_filter: Some(log_filter),
        };
        let served = tokio::spawn(serve(listener, admin, stop.clone()));

        let ask = async |path: &str| {
            let answer = reqwest::get(format!("{address}{path}")).await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        assert_eq!(ask("/healthz").await, (200, "ok\n".into()));
        assert_eq!(
            ask("/readyz").await,
            (503, "not ready\nroutes: not yet\n".into())
        );
        check.set(true);
        assert_eq!(ask("/readyz").await, (200, "ok\n".into()));
        liveness.fail("the lease is lost");
        assert_eq!(ask("/healthz").await, (503, "the lease is lost\n".into()));
        let (status, text) = ask("/metrics").await;
        assert_eq!(status, 200);
        assert!(
            text.contains("deeds_total 1") && text.ends_with("# EOF\n"),
            "{text}"
        );

        let put = async |filter: &'static str| {
            let request = reqwest::Client::new()
                .put(format!("{address}/log-level"))
                .body(filter);
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        assert_eq!(put("debug").await.0, 204);
        assert_eq!(ask("/log-level").await, (200, "debug\n".into()));
        let (status, words) = put("tower=loud").await;
        assert_eq!(status, 400);
        assert!(words.contains("tower=loud"), "{words}");

        stop.cancel();
        served.await.unwrap().unwrap();
    }
}
