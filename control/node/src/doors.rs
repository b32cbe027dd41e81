//! The doors for orders, and for who watches the node.

use crate::intake::Intake;
use crate::serve::ServeError;
use axum::Router;
use axum::routing::get;
use control::config::Config;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Opens HTTP and SMTP as configured.
///
/// # Errors
/// [`ServeError`] when an address cannot be bound.
pub async fn start(
    config: &Config,
    _intake: &Arc<Intake>,
    metrics: PrometheusHandle,
) -> Result<(), ServeError> {
    if let Some(addr) = config.http.listen {
        let listener =
            TcpListener::bind(addr).await.map_err(|e| ServeError::Io(format!("http.listen {addr}"), e))?;
        let router = watch(metrics);
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "http");
            }
        });
    }
    Ok(())
}

/// `/healthz` and `/metrics`.
fn watch(metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(move || std::future::ready(metrics.render())))
}
