//! `/v1/numbers`: which application answers when a number is called. The operator says whose a number is; a tenant reads
//! its own, and says what they do.

use super::tenants::object;
use super::{Api, Caller, Problem};
use crate::numbers::{self, NumberChange};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// `GET /v1/numbers`: all routes, in the order in which they count; a tenant sees its own.
pub(super) async fn list(State(api): State<Api>, caller: Caller) -> Response {
    Json(json!({ "numbers": numbers::all(&api.intake, caller.scope()) })).into_response()
}

/// `PUT /v1/numbers/{number}`: makes a route, or changes the words that are given (`null` takes one away).
pub(super) async fn put(
    State(api): State<Api>,
    caller: Caller,
    Path(number): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let words = object(&api, &body)?;
    let change = NumberChange::Set { number, words };
    Ok(Json(api.intake.number(caller.scope(), change).await?).into_response())
}

/// `DELETE /v1/numbers/{number}`.
pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path(number): Path<String>,
) -> Result<Response, Problem> {
    api.intake.number(caller.scope(), NumberChange::Remove { number }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
