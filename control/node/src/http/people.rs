//! `/v1/customers` and `/v1/policies`: what a tenant knows of the people it calls, and the rules it sets itself.

use super::{Api, Caller, Problem};
use crate::lists::Lines;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use control::order::form;
use control::order::time::rfc3339;
use control::order::{Reason, Refusal, number};
use control::policy::customers::{self, Customer};
use control::policy::stored;
use control::store::{Answer, Ask, Shelf};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::PoisonError;
use units::TenantId;

/// Customers in one durable batch of an upload, and refused rows that are told.
const BATCH: usize = 1_000;
const TOLD_MAX: usize = 1_000;

fn refused(refusal: Refusal) -> Problem {
    Problem::refused(vec![refusal])
}

fn full() -> Problem {
    refused(Refusal::new("customers", Reason::TooMany { max: customers::CUSTOMERS_MAX }))
}

fn shown(c: &Customer) -> Value {
    json!({ "number": c.number, "zone": c.zone, "lang": c.lang, "hours": c.hours, "consents": c.consents,
            "last_talk": c.last_talk.map(rfc3339), "changed": rfc3339(c.changed), "source": c.source })
}

fn callee(text: &str) -> Result<String, Problem> {
    number::callee(text, None).map_err(|r| refused(Refusal::new("number", r)))
}

/// `PUT /v1/customers/{number}`: the customer as the body says; `opt_out` puts them on the own suppression list.
pub(super) async fn put(
    State(api): State<Api>,
    caller: Caller,
    Path(number): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let (tenant, _) = caller.tenant()?;
    let mut fields = form::json(&body, &api.intake.settings.load().order).map_err(refused)?;
    fields.insert("number".into(), Value::from(number));
    let now = (api.intake.now)().wall;
    let read = customers::read(&fields, tenant, "api", now).map_err(refused)?;
    let answer = shown(&read.0);
    api.intake.enter_customers(vec![read]).await?.map_err(|_| full())?;
    Ok(Json(answer).into_response())
}

/// `GET /v1/customers/{number}`.
pub(super) async fn read(
    State(api): State<Api>,
    caller: Caller,
    Path(number): Path<String>,
) -> Result<Response, Problem> {
    let (tenant, _) = caller.tenant()?;
    let number = callee(&number)?;
    let table = api.intake.customers.read().unwrap_or_else(PoisonError::into_inner);
    table.of(tenant, &number).map(|c| Json(shown(c)).into_response()).ok_or_else(Problem::not_found)
}

/// `DELETE /v1/customers/{number}`: forgotten; suppressions stay.
pub(super) async fn forget(
    State(api): State<Api>,
    caller: Caller,
    Path(number): Path<String>,
) -> Result<Response, Problem> {
    let (tenant, _) = caller.tenant()?;
    let number = callee(&number)?;
    if api.intake.forget_customer(tenant, &number).await? {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(Problem::not_found())
    }
}

/// Parameters of a page.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    cursor: Option<String>,
    limit: Option<u32>,
}

/// `GET /v1/customers`: by the digest of their numbers; `next` is the cursor of the page after.
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    page: Result<Query<Page>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let (tenant, _) = caller.tenant()?;
    let limits = || refused(Refusal::new("limit", Reason::NotA("a number from 1 to 1000")));
    let Query(page) = page.map_err(|_| limits())?;
    let limit = page.limit.unwrap_or(100);
    if !(1..=1_000).contains(&limit) {
        return Err(limits());
    }
    let prefix = format!("t{}/", tenant.0);
    let after = page.cursor.map(|c| format!("{prefix}{c}"));
    let ask = Ask::KeptFrom { shelf: Shelf::Customers, prefix: prefix.clone(), after, limit };
    let Answer::KeptFrom(kept) = api.intake.store.ask(ask).await? else { return Err(Problem::unavailable()) };
    let full = kept.len() == usize::try_from(limit).unwrap_or(usize::MAX);
    let next = kept.last().filter(|_| full).and_then(|(n, _)| n.strip_prefix(&prefix).map(str::to_owned));
    let all: Vec<Value> = kept
        .iter()
        .filter_map(|(_, v)| serde_json::from_slice(v).ok())
        .map(|c: Customer| shown(&c))
        .collect();
    Ok(Json(json!({ "customers": all, "next": next })).into_response())
}

/// `PUT /v1/customers`: many at once, as CSV with a header row or JSON lines; a bad row is told and stops no other.
pub(super) async fn upload(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let (tenant, _) = caller.tenant()?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let lines = Lines::of(kind, &body).ok_or_else(|| {
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "Send text/csv or application/jsonl")
    })?;
    let lines = lines.map_err(refused)?;
    let (mut entered, mut bad, mut batch) = (0_usize, Vec::new(), Vec::new());
    let mut refusals = 0_usize;
    for (number, row) in lines {
        let read = row.and_then(|fields| customers::read(&fields, tenant, "api", (api.intake.now)().wall));
        match read {
            Ok(read) => batch.push(read),
            Err(refusal) => {
                refusals += 1;
                if bad.len() < TOLD_MAX {
                    bad.push(json!({ "row": number, "error": refusal }));
                }
            }
        }
        if batch.len() == BATCH {
            entered += keep(&api, tenant, std::mem::take(&mut batch)).await?;
        }
    }
    entered += keep(&api, tenant, batch).await?;
    Ok(Json(json!({ "entered": entered, "refused": refusals, "errors": bad })).into_response())
}

async fn keep(api: &Api, _: TenantId, batch: Vec<customers::Read>) -> Result<usize, Problem> {
    let count = batch.len();
    if count > 0 {
        api.intake.enter_customers(batch).await?.map_err(|_| full())?;
    }
    Ok(count)
}

/// `GET /v1/policies`: the caller's stored sets.
pub(super) async fn policies(State(api): State<Api>, caller: Caller) -> Response {
    let sets = api.intake.policies.read().unwrap_or_else(PoisonError::into_inner);
    let all: Vec<Value> = sets
        .of(caller.scope())
        .map(|(name, set)| json!({ "name": name, "version": set.version, "rules": set.rules.len() }))
        .collect();
    Json(json!({ "policies": all })).into_response()
}

/// `GET /v1/policies/{name}`.
pub(super) async fn policy(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let sets = api.intake.policies.read().unwrap_or_else(PoisonError::into_inner);
    let found =
        sets.of(caller.scope()).find(|(n, _)| *n == name).map(|(_, set)| Json(&**set).into_response());
    found.ok_or_else(Problem::not_found)
}

/// `PUT /v1/policies/{name}`: the operator's sets hold for everybody; a tenant's `default` for all its orders, any other
/// for the orders that name it. They come on top of the configuration's rules: they can only tighten.
pub(super) async fn store(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let settings = api.intake.settings.load();
    let fields = form::json(&body, &settings.order).map_err(refused)?;
    let owner = caller.scope();
    let set = stored::read(fields, owner, &name, settings.policy.rules_max).map_err(refused)?;
    {
        let sets = api.intake.policies.read().unwrap_or_else(PoisonError::into_inner);
        if sets.of(owner).count() >= stored::SETS_MAX && !sets.has(owner, &name) {
            return Err(refused(Refusal::new("name", Reason::TooMany { max: stored::SETS_MAX })));
        }
    }
    let answer = json!({ "name": name, "version": set.version, "rules": set.rules.len() });
    api.intake.store_policy(owner, &name, Some(set)).await?;
    Ok(Json(answer).into_response())
}

/// `DELETE /v1/policies/{name}`.
pub(super) async fn drop_policy(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    if api.intake.store_policy(caller.scope(), &name, None).await? {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(Problem::not_found())
    }
}
