//! The doors for orders, and for who watches the node.

use crate::cluster::Role;
use crate::http::{self, Api};
use crate::intake::Intake;
use crate::serve::ServeError;
use crate::smtp::{self, Door};
use control::config::Config;
use control::order::smtp::Role as MailRole;
use metrics_exporter_prometheus::PrometheusHandle;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Opens HTTP and SMTP as configured; they close when `stop` says so.
///
/// # Errors
/// [`ServeError`] when an address cannot be bound.
pub async fn start(
    config: &Config,
    role: Option<Role>,
    intake: &Arc<Intake>,
    recordings: (std::path::PathBuf, Arc<crate::vault::Vault>),
    metrics: PrometheusHandle,
    stop: &watch::Sender<bool>,
) -> Result<(), ServeError> {
    if let Some(addr) = config.http.listen {
        let listener = bind("http.listen", addr).await?;
        let api = Api {
            intake: Arc::clone(intake),
            metrics: Some(metrics),
            sealer: http::Sealer::of(recordings.1.derived("sessions")),
            doorman: http::Doorman::default(),
            recordings: Some(recordings),
            body_bytes_max: config.http.body_max.len(),
            requests_max: usize::try_from(config.http.requests_max).unwrap_or(usize::MAX),
        };
        // A media server takes no orders: it tells how it is.
        let router = if role == Some(Role::Media) { http::health_router(api) } else { http::router(api) };
        let stop = stop.subscribe();
        let tls = crate::tls::http(config).map_err(|why| ServeError::Setting("http.tls_certificate", why))?;
        let tls = match tls {
            Some(acceptor) => Ok(http::Tls::over(listener, acceptor)
                .map_err(|error| ServeError::Io("http.listen".into(), error))?),
            None => Err(listener),
        };
        tokio::spawn(async move {
            let served = match tls {
                Ok(tls) => http::serve(tls, router, stop).await,
                Err(plain) => http::serve(plain, router, stop).await,
            };
            if let Err(error) = served {
                tracing::error!(%error, "http");
            }
        });
    }
    if let Some(addr) = config.smtp.listen.filter(|_| role != Some(Role::Media)) {
        let listener = bind("smtp.listen", addr).await?;
        let door = Door {
            intake: Arc::clone(intake),
            role: if config.smtp.lmtp { MailRole::Lmtp } else { MailRole::Smtp },
            prover: Some(Arc::new(smtp::Prover::new(config.smtp.name_server))),
            tls: crate::tls::mail(config).map_err(|why| ServeError::Setting("smtp.tls_certificate", why))?,
            sessions_max: usize::try_from(config.smtp.sessions_max).unwrap_or(usize::MAX),
        };
        let stop = stop.subscribe();
        tokio::spawn(async move {
            if let Err(error) = smtp::serve(listener, door, stop).await {
                tracing::error!(%error, "smtp");
            }
        });
    }
    Ok(())
}

async fn bind(what: &str, addr: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(addr).await.map_err(|error| ServeError::Io(format!("{what} {addr}"), error))
}
