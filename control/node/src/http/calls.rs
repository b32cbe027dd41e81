//! `/v1/calls`: order, dry run, read, list, cancel.

use super::auth::{Signable, manifest};
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
use control::order::mail::{self, Attachment};
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

/// The fields of a body, by its type, and what came with them.
pub(super) fn fields_and_parts(
    api: &Api,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(Fields, Vec<Attachment>), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.trim_start().to_ascii_lowercase().starts_with("multipart/") {
        return fields(api, headers, body).map(|fields| (fields, Vec::new()));
    }
    digest(headers, body)?;
    let settings = api.intake.settings.load();
    mail::multipart(kind, body, &settings.mail, &settings.order).map_err(|r| Problem::refused(vec![r]))
}

/// RFC 9530: a digest that is there must be right; a signature covers the digest, not the body.
fn digest(headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
    let Some(digest) = headers.get("content-digest") else { return Ok(()) };
    let right = digest.to_str().is_ok_and(|d| httpsig::content_digest(d, body).is_ok());
    if right { Ok(()) } else { Err(Problem::refused(vec![Refusal::new("Content-Digest", Reason::Digest)])) }
}

/// The fields of a body, by its type.
pub(super) fn fields(api: &Api, headers: &HeaderMap, body: &[u8]) -> Result<Fields, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let limits = api.intake.settings.load().order;
    digest(headers, body)?;
    let unknown = || {
        let title = "Send application/json, application/yaml or application/xml";
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", title)
    };
    form::by_type(&kind, body, &limits).ok_or_else(unknown)?.map_err(|r| Problem::refused(vec![r]))
}

/// What is asked, by whom: by a key, or by whoever signed the manifest.
struct Asked {
    tenant: units::TenantId,
    by: String,
    fields: Fields,
    parts: Vec<Attachment>,
}

fn asked(
    api: &Api,
    caller: Result<Caller, Problem>,
    headers: &HeaderMap,
    body: &[u8],
    (action, path, request_id): (&str, &str, &str),
) -> Result<Asked, Problem> {
    let (fields, mut parts) = fields_and_parts(api, headers, body)?;
    let signable = Signable { action, path, parts: &parts };
    let origin = || Origin::Http { key: String::new() };
    let signed = manifest(api, headers, &signable, |tenant| {
        let arrival = Arrival { tenant, origin: origin(), request_id, attached: &parts, campaign: None };
        Ok(api.intake.read(&fields, arrival, (api.intake.now)())?.canonical)
    })?;
    let (tenant, by) = match signed {
        Some((signer, covered)) => {
            // A key that is sent along must be the same tenant's; what is not covered is ignored.
            let signed_by = signer.tenant()?;
            if let Ok(Caller::Tenant(other, _)) = &caller
                && *other != signed_by.0
            {
                return Err(Problem::new(
                    StatusCode::FORBIDDEN,
                    "signature",
                    "Key and manifest are two tenants'",
                ));
            }
            parts.retain(|p| covered.contains(&p.cid));
            (signed_by.0, signed_by.1.to_owned())
        }
        None => {
            let caller = caller?;
            let (tenant, key) = caller.tenant()?;
            (tenant, key.to_owned())
        }
    };
    Ok(Asked { tenant, by, fields, parts })
}

/// `POST /v1/calls`.
pub(super) async fn create(
    State(api): State<Api>,
    caller: Result<Caller, Problem>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    if let (Err(problem), false) = (&caller, headers.contains_key("call-manifest")) {
        return Err(problem.clone());
    }
    let request_id = idempotency_key(&headers)?;
    let asked = asked(&api, caller, &headers, &body, ("call", "/v1/calls", &request_id))?;
    let arrival = Arrival {
        tenant: asked.tenant,
        origin: Origin::Http { key: asked.by },
        request_id: &request_id,
        attached: &asked.parts,
        campaign: None,
    };
    let accepted = api.intake.accept(&asked.fields, arrival).await?;
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
    let mut body = json!({ "id": first, "status_url": location, "calls": calls });
    if let Some(series) = accepted.iter().find_map(|a| a.campaign) {
        body["campaign"] = json!(series.to_string());
    }
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(body)).into_response())
}

/// `POST /v1/calls:dryrun`.
pub(super) async fn dry_run(
    State(api): State<Api>,
    caller: Result<Caller, Problem>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    if let (Err(problem), false) = (&caller, headers.contains_key("call-manifest")) {
        return Err(problem.clone());
    }
    let asked = asked(&api, caller, &headers, &body, ("dryrun", "/v1/calls:dryrun", "dry-run"))?;
    let arrival = Arrival {
        tenant: asked.tenant,
        origin: Origin::Http { key: asked.by },
        request_id: "dry-run",
        attached: &asked.parts,
        campaign: None,
    };
    let decisions = api.intake.dry_run(&asked.fields, arrival)?;
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
        Answer::Status(Some(s)) => {
            let settings = api.intake.settings.load();
            Ok(Json(Call::from(&*s).with_way_out(&s, &settings)).into_response())
        }
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

/// `POST /v1/calls/{id}/redial`: an order in doubt is dialled anew, as its owner decides (`doubt: ask`).
pub(super) async fn redial(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (tenant, _) = caller.tenant()?;
    let order = order_id(&id)?;
    let Answer::Status(Some(status)) =
        api.intake.store.ask(Ask::Status { tenant: Some(tenant), order }).await?
    else {
        return Err(Problem::not_found());
    };
    api.intake.store.ask(Ask::Redial { tenant, order }).await?;
    api.intake.wake(status.order.priority, tenant, (api.intake.now)().wall);
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": id }))).into_response())
}

/// `POST /v1/calls/{id}:replay`: the webhooks hear again how the call stands.
pub(super) async fn act(
    State(api): State<Api>,
    caller: Caller,
    Path(target): Path<String>,
) -> Result<Response, Problem> {
    let (tenant, _) = caller.tenant()?;
    let id = target.strip_suffix(":replay").ok_or_else(Problem::not_found)?;
    let order = order_id(id)?;
    api.intake.store.ask(Ask::Replay { tenant, order }).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": id, "replayed": true }))).into_response())
}

/// `GET /v1/calls/{id}/recordings/{name}`: a recording of the call's session.
pub(super) async fn recording(
    State(api): State<Api>,
    caller: Caller,
    Path((id, name)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let order = order_id(&id)?;
    let ask = Ask::Status { tenant: caller.scope(), order };
    let Answer::Status(Some(status)) = api.intake.store.ask(ask).await? else {
        return Err(Problem::not_found());
    };
    // Only what the call's own session recorded; names alone open nothing.
    let result: serde_json::Value =
        status.result.as_deref().and_then(|r| serde_json::from_str(r).ok()).unwrap_or_default();
    let own = result["recordings"].as_array().is_some_and(|all| all.iter().any(|r| r == name.as_str()));
    let (folder, vault) = api.recordings.clone().filter(|_| own).ok_or_else(Problem::not_found)?;
    let path = crate::prompts::recording_path(&folder, &name).ok_or_else(Problem::not_found)?;
    let read = tokio::task::spawn_blocking(move || vault.read_file(&path)).await;
    match read {
        Ok(Ok(octets)) => Ok(([(header::CONTENT_TYPE, "audio/x-wav")], octets).into_response()),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => Err(Problem::not_found()),
        _ => Err(Problem::unavailable()),
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
