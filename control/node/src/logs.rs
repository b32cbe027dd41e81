//! Logs and counters of the process.

use control::config::{LogFormat, Node};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging to standard error. A second start in one process (tests) is without effect.
pub fn start(node: &Node) {
    let filter = EnvFilter::try_new(&node.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let base = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = match node.log_format {
        LogFormat::Text => base.try_init(),
        LogFormat::Json => base.json().try_init(),
    };
    // Somebody logs already.
    drop(started);
}

/// Starts counting; what was counted is read through the handle.
#[must_use]
pub fn metrics() -> PrometheusHandle {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    // Somebody counts already: then this handle stays empty.
    drop(metrics::set_global_recorder(recorder));
    handle
}
