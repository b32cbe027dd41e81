//! RFC 9457: what is wrong, as `application/problem+json`.

use crate::intake::Declined;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use control::order::Refusal;
use control::order::time::rfc3339;
use control::policy::Decision;
use control::store::Error;
use serde::Serialize;

/// A problem. Its `type` is stable; words may change.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// `urn:carillon:problem:…`.
    #[serde(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    /// What is wrong field by field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Refusal>,
    /// The judgement, where policy refuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<Box<Decision>>,
    /// When it might be allowed (RFC 3339), where policy knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_allowed_at: Option<String>,
}

impl Problem {
    /// A problem of a kind.
    #[must_use]
    pub fn new(status: StatusCode, kind: &str, title: &str) -> Self {
        Self {
            kind: format!("urn:carillon:problem:{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            errors: Vec::new(),
            decision: None,
            next_allowed_at: None,
        }
    }

    /// The request is wrong.
    #[must_use]
    pub fn refused(errors: Vec<Refusal>) -> Self {
        let mut p =
            Self::new(StatusCode::BAD_REQUEST, "invalid-request", "The request is wrong: see `errors`");
        p.errors = errors;
        p
    }

    /// Not now.
    #[must_use]
    pub fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Nothing was accepted; try again later")
    }

    /// So many orders wait already that no more are taken: the tenant's own bound (429), or that of all (503).
    #[must_use]
    pub fn full(tenant: bool) -> Self {
        if tenant {
            let title = "As many of your orders wait as may (`orders_waiting_max`); nothing was accepted";
            Self::new(StatusCode::TOO_MANY_REQUESTS, "orders-waiting", title)
        } else {
            let title = "As many orders wait here as may; nothing was accepted, try again later";
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "orders-waiting", title)
        }
    }

    /// Is it a 404?
    pub(super) fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND.as_u16()
    }

    /// No such thing, or another tenant's.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing here")
    }
}

impl From<Declined> for Problem {
    fn from(d: Declined) -> Self {
        match d {
            Declined::Refused(errors) => Self::refused(errors),
            Declined::Policy(place, decision) => {
                let title = format!("Policy does not allow recipient {place}: see `decision`");
                let mut p = Self::new(StatusCode::FORBIDDEN, "policy", &title);
                p.next_allowed_at = decision.next_allowed_at.map(rfc3339);
                p.decision = Some(decision);
                p
            }
            Declined::Conflict => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-conflict",
                "The key was used with another body within 7 days",
            ),
            Declined::TooFast(ms) => {
                let title = format!("Orders come faster than agreed; try again in {ms} ms");
                Self::new(StatusCode::TOO_MANY_REQUESTS, "rate", &title)
            }
            Declined::Full(tenant) => Self::full(tenant),
            Declined::Unavailable => Self::unavailable(),
        }
    }
}

impl From<Error> for Problem {
    fn from(e: Error) -> Self {
        match e {
            Error::NotFound => Self::not_found(),
            Error::Conflict | Error::Fenced => {
                Self::new(StatusCode::CONFLICT, "conflict", "It is over already, or was changed meanwhile")
            }
            Error::Full { tenant } => Self::full(tenant),
            Error::Unavailable | Error::Corrupt => Self::unavailable(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
