//! `/v1/calls`: order, dry run, read, list, cancel.

use super::view::{Call, status_url};
use super::{Api, Caller, Problem};
use crate::intake::Arrival;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use control::order::form::{self, Fields};
use control::order::httpsig;
use control::order::{Origin, Reason, Refusal};
use control::store::{Answer, Ask};
use serde::Deserialize;
use serde_json::json;
use units::OrderId;

/// The key of a POST, required: the same key with the same body is the same order.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<String, Problem> {
    let refuse = |reason| Problem::refused(vec![Refusal::new("Idempotency-Key", reason)]);
    let mut fields = headers.get_all("idempotency-key").iter();
    let (first, second) = (fields.next(), fields.next());
    if second.is_some() {
        return Err(refuse(Reason::Twice));
    }
    let key = first.and_then(|v| v.to_str().ok()).map(str::trim).unwrap_or_default().trim_matches('"');
    match key.len() {
        0 => Err(refuse(Reason::Missing)),
        1..=200 => Ok(key.to_owned()),
        _ => Err(refuse(Reason::TooLong { max: 200 })),
    }
}

/// The fields of a body, by its type.
pub(super) fn fields(api: &Api, headers: &HeaderMap, body: &[u8]) -> Result<Fields, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let limits = api.intake.settings.load().order;
    // RFC 9530: a digest that is there must be right; a signature covers the digest, not the body.
    if let Some(digest) = headers.get("content-digest") {
        let right = digest.to_str().is_ok_and(|d| httpsig::content_digest(d, body).is_ok());
        if !right {
            return Err(Problem::refused(vec![Refusal::new("Content-Digest", Reason::Digest)]));
        }
    }
    let unknown = || {
        let title = "Send application/json, application/yaml or application/xml";
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", title)
    };
    form::by_type(&kind, body, &limits).ok_or_else(unknown)?.map_err(|r| Problem::refused(vec![r]))
}

/// `POST /v1/calls`.
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let (tenant, key) = caller.tenant()?;
    let request_id = idempotency_key(&headers)?;
    let fields = fields(&api, &headers, &body)?;
    let arrival = Arrival {
        tenant,
        origin: Origin::Http { key: key.to_owned() },
        request_id: &request_id,
        attached: &[],
        campaign: None,
    };
    let accepted = api.intake.accept(&fields, arrival).await?;
    metrics::counter!("carillon_http_orders_total").increment(accepted.len() as u64);
    let calls: Vec<_> = accepted
        .iter()
        .map(|a| {
            let id = a.id.to_string();
            json!({ "id": id, "status_url": status_url(&id), "new": a.new, "decision": a.decision })
        })
        .collect();
    let first = accepted.first().map(|a| a.id.to_string()).unwrap_or_default();
    let location = status_url(&first);
    let body = json!({ "id": first, "status_url": location, "calls": calls });
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(body)).into_response())
}

/// `POST /v1/calls:dryrun`.
pub(super) async fn dry_run(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let (tenant, key) = caller.tenant()?;
    let fields = fields(&api, &headers, &body)?;
    let arrival = Arrival {
        tenant,
        origin: Origin::Http { key: key.to_owned() },
        request_id: "dry-run",
        attached: &[],
        campaign: None,
    };
    let decisions = api.intake.dry_run(&fields, arrival)?;
    Ok(Json(json!({ "decisions": decisions })).into_response())
}

fn order_id(text: &str) -> Result<OrderId, Problem> {
    text.parse().map_err(|_| Problem::not_found())
}

/// `GET /v1/calls/{id}`.
pub(super) async fn read(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let order = order_id(&id)?;
    match api.intake.store.ask(Ask::Status { tenant: caller.scope(), order }).await? {
        Answer::Status(Some(s)) => Ok(Json(Call::from(&*s)).into_response()),
        _ => Err(Problem::not_found()),
    }
}

/// `DELETE /v1/calls/{id}`: takes it back.
pub(super) async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (tenant, _) = caller.tenant()?;
    let order = order_id(&id)?;
    match api.intake.store.ask(Ask::Cancel { tenant, order }).await? {
        Answer::Cancelled(now) => {
            // If it rings, it is hung up on now; if it waits for a server, it waits no longer.
            api.intake.cancelled(order);
            let status = if now { StatusCode::OK } else { StatusCode::ACCEPTED };
            Ok((status, Json(json!({ "id": id, "cancelled": now }))).into_response())
        }
        _ => Err(Problem::not_found()),
    }
}

/// Parameters of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    cursor: Option<String>,
    status: Option<control::order::State>,
    limit: Option<u32>,
}

/// `GET /v1/calls`: newest first; `next` is the cursor of the page after.
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    page: Result<Query<Page>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let bad = |field: &str, reason| Problem::refused(vec![Refusal::new(field, reason)]);
    let Query(page) = page.map_err(|_| bad("query", Reason::NotA("cursor, status and limit only")))?;
    let limit = page.limit.unwrap_or(100);
    if !(1..=1_000).contains(&limit) {
        return Err(bad("limit", Reason::NotA("a number from 1 to 1000")));
    }
    let after = match page.cursor.as_deref().map(str::parse::<OrderId>) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(_)) => return Err(bad("cursor", Reason::NotA("a cursor of an earlier page"))),
    };
    let ask = Ask::List { tenant: caller.scope(), after, state: page.status, limit };
    let Answer::List(statuses) = api.intake.store.ask(ask).await? else { return Err(Problem::unavailable()) };
    let full = statuses.len() == usize::try_from(limit).unwrap_or(usize::MAX);
    let next = statuses.last().filter(|_| full).map(|s| s.order.id.to_string());
    let calls: Vec<Call> = statuses.iter().map(Call::from).collect();
    Ok(Json(json!({ "calls": calls, "next": next })).into_response())
}
