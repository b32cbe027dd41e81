//! `/v1/bounces`: addresses that refused status mails.

use super::{Api, Caller, Problem};
use crate::bounce;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use control::order::time::rfc3339;
use serde_json::{Value, json};

/// `GET /v1/bounces`.
pub(super) async fn list(State(api): State<Api>, caller: Caller) -> Result<Response, Problem> {
    let all = bounce::all(&api.intake.store, caller.scope()).await?;
    let shown: Vec<Value> = all
        .iter()
        .map(|b| {
            json!({ "address": b.address, "refusals": b.refusals, "silent": b.is_silent(), "last": rfc3339(b.last),
                "said": b.said })
        })
        .collect();
    Ok(Json(json!({ "bounces": shown })).into_response())
}

/// `DELETE /v1/bounces/{address}`: results go there again.
pub(super) async fn lift(
    State(api): State<Api>,
    caller: Caller,
    Path(address): Path<String>,
) -> Result<Response, Problem> {
    let (tenant, _) = caller.tenant()?;
    if bounce::of(&api.intake.store, tenant, &address).await?.is_none() {
        return Err(Problem::not_found());
    }
    bounce::forget(&api.intake.store, tenant, &address).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
