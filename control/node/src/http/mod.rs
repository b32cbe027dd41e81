//! The door for HTTP: the API under `/v1`, `/healthz` and `/metrics`. `202` is said only after the durable commit.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "the door")]

mod auth;
mod bounces;
mod calls;
mod campaigns;
mod console;
mod events;
mod lists;
mod numbers;
mod openapi;
mod peer;
mod people;
mod problem;
mod session;
mod stop;
mod strict;
mod tenants;
mod view;
mod welcome;

pub use auth::Caller;
pub use peer::{Peer, Tls};
pub use problem::Problem;
pub use session::Sealer;
pub use welcome::Doorman;

use crate::intake::Intake;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post, put};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What the handlers share.
#[derive(Clone)]
pub struct Api {
    /// Where orders go.
    pub intake: Arc<Intake>,
    /// Renders `/metrics`.
    pub metrics: Option<metrics_exporter_prometheus::PrometheusHandle>,
    /// Where recordings lie, and what they are sealed by; none: there are none.
    pub recordings: Option<(std::path::PathBuf, Arc<crate::vault::Vault>)>,
    /// Seals the sessions of the pages.
    pub sealer: Sealer,
    /// Slows down who guesses passwords.
    pub doorman: Doorman,
    /// Largest request body, octets.
    pub body_bytes_max: usize,
    /// Requests at a time; more are answered 503 at once.
    pub requests_max: usize,
}

/// The routes.
pub fn router(api: Api) -> Router {
    let places = Arc::new(tokio::sync::Semaphore::new(api.requests_max));
    Router::new()
        .route("/v1/calls", post(calls::create).get(calls::list))
        .route("/v1/calls:dryrun", post(calls::dry_run))
        .route("/v1/calls/{id}/redial", post(calls::redial))
        .route("/v1/calls/{id}", get(calls::read).delete(calls::cancel).post(calls::act))
        .route("/v1/calls/{id}/recordings/{name}", get(calls::recording))
        .route("/v1/calls/{id}/events", get(events::events))
        .route("/v1/decisions/{id}", get(lists::decision))
        .route("/v1/suppressions", get(lists::suppressions))
        .route(
            "/v1/suppressions/{number}",
            get(lists::suppression).put(lists::suppress).delete(lists::release),
        )
        .route("/v1/records", get(lists::records))
        .route("/v1/campaigns", post(campaigns::create).get(campaigns::list))
        .route("/v1/campaigns/{id}", get(campaigns::read).post(campaigns::act))
        .route("/v1/campaigns/{id}/contacts", put(campaigns::upload))
        .route("/v1/campaigns/{id}/errors", get(campaigns::errors))
        .route("/v1/customers", get(people::list).put(people::upload))
        .route("/v1/customers/{number}", get(people::read).put(people::put).delete(people::forget))
        .route("/v1/policies", get(people::policies))
        .route("/v1/policies/{name}", get(people::policy).put(people::store).delete(people::drop_policy))
        .route("/v1/tenants", get(tenants::list))
        .route("/v1/tenants/{name}", get(tenants::read).put(tenants::put).delete(tenants::remove))
        .route("/v1/tenants/{name}/keys/{key}", put(tenants::add_key).delete(tenants::remove_key))
        .route("/v1/numbers", get(numbers::list))
        .route("/v1/numbers/{number}", put(numbers::put).delete(numbers::remove))
        .route("/v1/tenants/{name}/users/{user}", put(tenants::add_user).delete(tenants::remove_user))
        .route("/v1/bounces", get(bounces::list))
        .route("/v1/bounces/{address}", axum::routing::delete(bounces::lift))
        .layer(axum::middleware::from_fn(strict::parameters))
        .merge(console::routes())
        .merge(stop::routes())
        .layer(axum::middleware::from_fn_with_state(places, crowd))
        .route("/openapi.json", get(openapi::serve))
        .route("/", get(|| async { axum::response::Redirect::to("/console") }))
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here") })
        .layer(DefaultBodyLimit::max(api.body_bytes_max))
        .layer(axum::middleware::map_response(strict::as_problem))
        .with_state(api)
}

/// Health and metrics only: a media server's.
pub fn health_router(api: Api) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here") })
        .with_state(api)
}

/// Refuses at the front what there is no place for.
async fn crowd(
    State(places): State<Arc<tokio::sync::Semaphore>>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    let Ok(_place) = places.try_acquire() else {
        return Problem::unavailable().into_response();
    };
    next.run(request).await
}

/// Healthy means that the store answers, and that this process is not on its way out.
async fn health(State(api): State<Api>) -> impl IntoResponse {
    if api.intake.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    let asked =
        tokio::time::timeout(Duration::from_secs(2), api.intake.store.ask(control::store::Ask::NextDue));
    match asked.await {
        Ok(Ok(_)) => (StatusCode::OK, "ok\n"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n"),
    }
}

async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    let text =
        api.metrics.as_ref().map_or_else(String::new, metrics_exporter_prometheus::PrometheusHandle::render);
    ([("content-type", "text/plain; version=0.0.4")], text)
}

/// Serves until told to stop; requests that are under way are answered.
///
/// # Errors
/// The listener's.
pub async fn serve<L>(listener: L, router: Router, mut stop: watch::Receiver<bool>) -> io::Result<()>
where
    L: axum::serve::Listener<Addr: std::fmt::Debug>,
    Peer: for<'a> axum::extract::connect_info::Connected<axum::serve::IncomingStream<'a, L>>,
{
    axum::serve(listener, router.into_make_service_with_connect_info::<Peer>())
        .with_graceful_shutdown(async move {
            let _ = stop.wait_for(|s| *s).await;
        })
        .await
}
