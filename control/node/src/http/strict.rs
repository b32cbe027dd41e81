//! What the routes have in common: a parameter that nobody reads is refused, not passed over (who writes `?dry_run=true`
//! means something), and every refusal of the API is a problem, the framework's own too.

use super::Problem;
use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use control::order::{Reason, Refusal};

/// Parameters of each route that has some.
const KNOWN: &[(&str, &[&str])] = &[
    ("/v1/calls", &["cursor", "status", "limit"]),
    ("/v1/calls/{id}/events", &["after"]),
    ("/v1/suppressions", &["cursor", "limit"]),
    ("/v1/customers", &["cursor", "limit"]),
    ("/v1/campaigns", &["cursor", "limit"]),
    ("/v1/campaigns/{id}/errors", &["after"]),
];

/// Routes that read their parameters strictly by themselves.
const OWN: &[&str] = &["/v1/records"];

/// Refuses parameters that the route does not have.
pub(super) async fn parameters(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(|p| p.as_str().to_owned()).unwrap_or_default();
    let query = request.uri().query().unwrap_or_default();
    if query.is_empty() || OWN.contains(&path.as_str()) {
        return next.run(request).await;
    }
    let reads = request.method() == Method::GET || request.method() == Method::HEAD;
    let known = KNOWN.iter().find(|(p, _)| *p == path && reads).map_or(&[][..], |(_, names)| *names);
    let unknown = url::form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name.into_owned());
    let refusals: Vec<Refusal> = unknown
        .filter(|name| !known.contains(&name.as_str()))
        .take(20)
        .map(|name| {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            Refusal::new(format!("query.{shown}"), Reason::NoParameter { known })
        })
        .collect();
    if refusals.is_empty() { next.run(request).await } else { Problem::refused(refusals).into_response() }
}

/// A refusal that the framework made in plain text becomes a problem; pages stay pages.
pub(super) async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let ours = kind.starts_with("application/") || kind.starts_with("text/html");
    if !(status.is_client_error() || status == StatusCode::INTERNAL_SERVER_ERROR) || ours {
        return response;
    }
    let (word, title) = match status {
        StatusCode::METHOD_NOT_ALLOWED => ("method", "This address takes other methods: see `Allow`"),
        StatusCode::PAYLOAD_TOO_LARGE => ("too-large", "The body is larger than `http.body_max` allows"),
        StatusCode::NOT_FOUND => ("not-found", "There is nothing here"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("media-type", "This media type is not taken here"),
        StatusCode::INTERNAL_SERVER_ERROR => ("internal", "Something broke here; it was logged"),
        _ => ("invalid-request", "The request cannot be read"),
    };
    let mut problem = Problem::new(status, word, title).into_response();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        problem.headers_mut().insert(header::ALLOW, allow.clone());
    }
    problem
}
