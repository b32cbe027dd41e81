//! `/v1/campaigns`: make one, stream its contacts, start, pause, resume, abort, and the rows that were refused.
//!
//! An upload is taken in batches: each is judged, accepted durably and booked on the campaign before the next, so an
//! upload that breaks goes on at the campaign's `offset` (`Upload-Offset`), and a batch that is sent twice is known by
//! its request ids.

use super::calls::{fields, idempotency_key};
use super::{Api, Caller, Problem};
use crate::intake::{Arrival, Declined};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use control::campaign::{self, Campaign, Form, Row, RowLimits, Rows, Stage};
use control::order::form::Fields;
use control::order::time::rfc3339;
use control::order::{Order, Origin, Reason, Refusal, canon};
use control::policy::Verdict;
use control::store::{Answer, Ask, Error, Keep, Shelf};
use futures::StreamExt;
use serde_json::{Value, json};
use std::fmt::Write;
use units::{CampaignId, TenantId, Wall};

/// Rows in one durable batch.
const BATCH: usize = 500;

fn head(id: CampaignId) -> String {
    format!("head/{id}")
}

fn refusal(field: &str, reason: Reason) -> Problem {
    Problem::refused(vec![Refusal::new(field, reason)])
}

async fn load(api: &Api, tenant: Option<TenantId>, id: CampaignId) -> Result<Campaign, Problem> {
    let ask = Ask::Kept { shelf: Shelf::Campaigns, name: head(id) };
    let Answer::Kept(Some(value)) = api.intake.store.ask(ask).await? else {
        return Err(Problem::not_found());
    };
    let campaign: Campaign = serde_json::from_slice(&value).map_err(|_| Problem::from(Error::Corrupt))?;
    if tenant.is_none_or(|t| t == campaign.tenant) { Ok(campaign) } else { Err(Problem::not_found()) }
}

/// A campaign for its page.
pub(super) async fn owned(api: &Api, tenant: Option<TenantId>, id: &str) -> Result<Campaign, Problem> {
    load(api, tenant, campaign_id(id)?).await
}

async fn save(api: &Api, campaign: &Campaign, mut more: Vec<Keep>) -> Result<(), Problem> {
    let value = serde_json::to_vec(campaign).map_err(|_| Problem::from(Error::Corrupt))?;
    more.push(Keep { shelf: Shelf::Campaigns, name: head(campaign.id), value: Some(value) });
    api.intake.store.ask(Ask::Keep(more)).await?;
    let before = {
        let mut stages = api.intake.stages.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        stages.insert(campaign.id, campaign.stage)
    };
    if before != Some(campaign.stage) {
        api.intake.tell(crate::desk::Message::Learnt);
    }
    Ok(())
}

fn shown(c: &Campaign) -> Value {
    json!({
        "id": c.id.to_string(), "name": c.name, "stage": c.stage, "created_at": rfc3339(c.created), "offset": c.offset,
        "rows": c.rows, "accepted": c.accepted, "refused": c.refused,
        "contacts_url": format!("/v1/campaigns/{}/contacts", c.id), "errors_url": format!("/v1/campaigns/{}/errors", c.id),
    })
}

fn campaign_id(text: &str) -> Result<CampaignId, Problem> {
    text.parse().map_err(|_| Problem::not_found())
}

/// `POST /v1/campaigns`: `name` and what all orders share. The id follows from tenant and key: the same is the same.
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let (tenant, _) = caller.tenant()?;
    let key = idempotency_key(&headers)?;
    let mut common = fields(&api, &headers, &body)?;
    let name = common.remove("name").and_then(|n| n.as_str().map(str::to_owned)).unwrap_or_default();
    if name.is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
        return Err(refusal("name", Reason::NotA("a name of at most 200 octets")));
    }
    if let Some(own) = ["to", "request_id", "repeat"].into_iter().find(|f| common.contains_key(*f)) {
        return Err(refusal(own, Reason::NotAllowed));
    }
    probe(&api, tenant, &common)?;
    let digest = canon::digest(&format!("campaign\n{}\n{key}", tenant.0));
    let id = CampaignId(u128::from_be_bytes(digest[..16].try_into().expect("sixteen octets")));
    let made = match load(&api, Some(tenant), id).await {
        Ok(known) if known.common == common && known.name == name => known,
        Ok(_) => return Err(Declined::Conflict.into()),
        Err(p) if p.is_not_found() => {
            let created = (api.intake.now)().wall;
            let made = new_campaign(id, tenant, name, common, created);
            save(&api, &made, Vec::new()).await?;
            made
        }
        Err(other) => return Err(other),
    };
    let location = format!("/v1/campaigns/{id}");
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(shown(&made))).into_response())
}

fn new_campaign(id: CampaignId, tenant: TenantId, name: String, common: Fields, created: Wall) -> Campaign {
    Campaign {
        id,
        tenant,
        name,
        stage: Stage::Draft,
        common,
        created,
        form: None,
        header: Vec::new(),
        offset: 0,
        rows: 0,
        accepted: 0,
        refused: 0,
    }
}

/// Checks the common fields with a number in the place of a contact.
fn probe(api: &Api, tenant: TenantId, common: &Fields) -> Result<(), Problem> {
    let mut fields = common.clone();
    fields.insert("to".into(), "+12125550100".into());
    let origin = Origin::Campaign;
    let arrival = Arrival { tenant, origin, request_id: "probe", attached: &[], campaign: None };
    api.intake.dry_run(&fields, arrival).map(|_| ()).map_err(Problem::from)
}

/// `GET /v1/campaigns`: by their ids; `next` is the cursor of the page after.
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    axum::extract::RawQuery(query): axum::extract::RawQuery,
) -> Result<Response, Problem> {
    let mut after = None;
    let mut limit = 100_u32;
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match name.as_ref() {
            "cursor" => after = Some(head(campaign_id(&value)?)),
            _ => {
                limit = value
                    .parse()
                    .ok()
                    .filter(|n| (1..=1_000).contains(n))
                    .ok_or_else(|| refusal("limit", Reason::NotA("a number from 1 to 1000")))?
            }
        }
    }
    let ask = Ask::KeptFrom { shelf: Shelf::Campaigns, prefix: "head/".into(), after, limit };
    let Answer::KeptFrom(kept) = api.intake.store.ask(ask).await? else { return Err(Problem::unavailable()) };
    let full = kept.len() == usize::try_from(limit).unwrap_or(usize::MAX);
    let next = kept.last().filter(|_| full).and_then(|(n, _)| n.strip_prefix("head/").map(str::to_owned));
    let all = kept.iter().filter_map(|(_, v)| serde_json::from_slice::<Campaign>(v).ok());
    let own: Vec<Value> =
        all.filter(|c| caller.scope().is_none_or(|t| t == c.tenant)).map(|c| shown(&c)).collect();
    Ok(Json(json!({ "campaigns": own, "next": next })).into_response())
}

/// `GET /v1/campaigns/{id}`.
pub(super) async fn read(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(Json(shown(&load(&api, caller.scope(), campaign_id(&id)?).await?)).into_response())
}

/// `POST /v1/campaigns/{id}:start`, `:pause`, `:resume`, `:abort`, `:forecast`.
pub(super) async fn act(
    State(api): State<Api>,
    caller: Caller,
    Path(target): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let (tenant, _) = caller.tenant()?;
    let (id, word) = target.split_once(':').ok_or_else(Problem::not_found)?;
    if word == "forecast" {
        let campaign = load(&api, Some(tenant), campaign_id(id)?).await?;
        let assume = api.intake.assumed(&body).map_err(|r| Problem::refused(vec![r]))?;
        return Ok(Json(api.intake.forecast(&campaign, &assume).await?).into_response());
    }
    if !["start", "pause", "resume", "abort"].contains(&word) {
        return Err(Problem::not_found());
    }
    let _alone = api.intake.heads.lock().await;
    let mut campaign = load(&api, Some(tenant), campaign_id(id)?).await?;
    campaign.stage = campaign.stage.after(word).ok_or_else(|| Problem::from(Error::Conflict))?;
    save(&api, &campaign, Vec::new()).await?;
    if campaign.stage != Stage::Paused {
        api.intake.hasten(tenant, campaign.id);
    }
    Ok(Json(shown(&campaign)).into_response())
}

/// `PUT /v1/campaigns/{id}/contacts`.
pub(super) async fn upload(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (tenant, _) = caller.tenant()?;
    // A stream is used up before its digest is known: a signature over it would prove nothing in time.
    if headers.contains_key("signature-input") {
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "signature", "Upload with the key itself"));
    }
    let mut campaign = load(&api, Some(tenant), campaign_id(&id)?).await?;
    let form = form_of(&headers)?;
    let offset = match headers.get("upload-offset") {
        None => 0,
        Some(v) => v
            .to_str()
            .ok()
            .and_then(|v| v.parse().ok())
            .ok_or_else(|| refusal("Upload-Offset", Reason::NotA("a number")))?,
    };
    if campaign.stage == Stage::Aborted || campaign.form.is_some_and(|f| f != form) {
        return Err(Error::Conflict.into());
    }
    if offset != campaign.offset {
        let title = format!("The list goes on at Upload-Offset: {}", campaign.offset);
        return Err(Problem::new(StatusCode::CONFLICT, "offset", &title));
    }
    campaign.form = Some(form);
    let header = campaign.header.clone();
    let mut rows = Rows::resume(form, header, campaign.offset, campaign.rows, RowLimits::default());
    let mut batch = Vec::with_capacity(BATCH);
    let mut stream = body.into_data_stream();
    while let Some(piece) = stream.next().await {
        // A broken upload keeps what is durable; its sender asks for the offset.
        let Ok(piece) = piece else {
            return Err(refusal("body", Reason::Malformed { what: "upload", line: 0, column: 0 }));
        };
        rows.push(&piece);
        while let Some(row) = rows.next_row().map_err(|r| Problem::refused(vec![r]))? {
            batch.push(row);
            if batch.len() == BATCH {
                book(&api, &mut campaign, &rows, std::mem::take(&mut batch)).await?;
            }
        }
    }
    batch.extend(rows.finish().map_err(|r| Problem::refused(vec![r]))?);
    book(&api, &mut campaign, &rows, batch).await?;
    Ok(Json(shown(&campaign)).into_response())
}

fn form_of(headers: &HeaderMap) -> Result<Form, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim() {
        "text/csv" => Ok(Form::Csv),
        "application/jsonl" | "application/x-ndjson" => Ok(Form::Jsonl),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media-type",
            "Send text/csv or application/jsonl",
        )),
    }
}

/// Accepts a batch durably, then books it on the campaign. In this order: a crash between the two repeats the batch,
/// and the store knows its request ids.
async fn book(api: &Api, campaign: &mut Campaign, rows: &Rows, batch: Vec<Row>) -> Result<(), Problem> {
    campaign.header = rows.header().to_vec();
    let Some(last) = batch.last() else { return progress(api, campaign, Vec::new()).await };
    let (end, number) = (last.end, last.number);
    let (mut orders, mut due, mut errors) =
        (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()), Vec::new());
    for row in batch {
        let number = row.number;
        match weighed(api, campaign, row) {
            Ok((order, digest, at)) => {
                orders.push((order, digest));
                due.push(at);
            }
            Err(refusals) => errors.push(error_row(campaign.id, number, &refusals)),
        }
    }
    campaign.accepted += orders.len() as u64;
    campaign.refused += errors.len() as u64;
    if let (Some(at), Some((first, _))) = (due.iter().min().copied(), orders.first()) {
        let (priority, tenant, room) = (first.priority, first.tenant, api.intake.room(first.tenant));
        api.intake.store.ask(Ask::Accept { orders, due, room }).await?;
        api.intake.wake(priority, tenant, at);
    }
    campaign.offset = end;
    campaign.rows = number;
    progress(api, campaign, errors).await
}

/// How far an upload has come. Where the campaign stands is what was said meanwhile, not what it was at the begin; an
/// aborted one takes no more.
async fn progress(api: &Api, campaign: &mut Campaign, more: Vec<Keep>) -> Result<(), Problem> {
    let _alone = api.intake.heads.lock().await;
    campaign.stage = load(api, Some(campaign.tenant), campaign.id).await?.stage;
    save(api, campaign, more).await?;
    if campaign.stage == Stage::Aborted { Err(Error::Conflict.into()) } else { Ok(()) }
}

fn weighed(api: &Api, campaign: &Campaign, row: Row) -> Result<(Order, [u8; 32], Wall), Vec<Refusal>> {
    let own = row.fields.map_err(|r| vec![r])?;
    let fields = campaign::request(&campaign.common, own, campaign.id, row.number).map_err(|r| vec![r])?;
    let arrival = Arrival {
        tenant: campaign.tenant,
        origin: Origin::Campaign,
        request_id: "",
        attached: &[],
        campaign: Some(campaign.id),
    };
    let (mut parsed, decisions, due) =
        api.intake.weigh(&fields, arrival, (api.intake.now)()).map_err(|d| match d {
            Declined::Refused(refusals) => refusals,
            _ => vec![Refusal::new("row", Reason::NotAllowed)],
        })?;
    if decisions.first().is_none_or(|d| d.verdict == Verdict::Refuse) {
        return Err(vec![Refusal::new("to", Reason::NotAllowed)]);
    }
    match (parsed.orders.pop(), parsed.digests.pop(), due.first()) {
        (Some(order), Some(digest), Some(at)) if parsed.orders.is_empty() => Ok((order, digest, *at)),
        _ => Err(vec![Refusal::new("to", Reason::TooMany { max: 1 })]),
    }
}

fn error_row(id: CampaignId, number: u64, refusals: &[Refusal]) -> Keep {
    let value = serde_json::to_vec(refusals).ok();
    Keep { shelf: Shelf::Campaigns, name: format!("errors/{id}/{number:012}"), value }
}

/// `GET /v1/campaigns/{id}/errors`: the refused rows as CSV, the first 1,000 after the row that `after` names.
pub(super) async fn errors(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    axum::extract::RawQuery(query): axum::extract::RawQuery,
) -> Result<Response, Problem> {
    let campaign = load(&api, caller.scope(), campaign_id(&id)?).await?;
    let prefix = format!("errors/{}/", campaign.id);
    let after = query.as_deref().and_then(|q| q.strip_prefix("after=")).and_then(|n| n.parse::<u64>().ok());
    let after = after.map(|n| format!("{prefix}{n:012}"));
    let ask = Ask::KeptFrom { shelf: Shelf::Campaigns, prefix: prefix.clone(), after, limit: 1_000 };
    let Answer::KeptFrom(rows) = api.intake.store.ask(ask).await? else { return Err(Problem::unavailable()) };
    let mut out = String::from("row,field,reason,fix\r\n");
    for (name, value) in rows {
        let number = name.trim_start_matches(&prefix).trim_start_matches('0').to_owned();
        let refusals: Vec<Value> = serde_json::from_slice(&value).unwrap_or_default();
        for r in refusals {
            let cell = |k: &str| super::lists::cell(r[k].as_str().unwrap_or_default());
            let _ = write!(out, "{number},{},{},{}\r\n", cell("field"), cell("reason"), cell("fix"));
        }
    }
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], out).into_response())
}
