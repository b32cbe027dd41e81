//! `/v1/suppressions` and `/v1/records` and `/v1/decisions`: who is not to be called, what was, and why.

use super::{Api, Caller, Problem};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use control::order::time::rfc3339;
use control::order::{Reason, Refusal, number};
use control::policy::Suppression;
use control::policy::suppress::{Entry, entry, owner_prefix};
use control::record::Record;
use control::store::{Answer, Ask, Shelf};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::PoisonError;
use units::{OrderId, TenantId};

fn bad(field: &str, reason: Reason) -> Problem {
    Problem::refused(vec![Refusal::new(field, reason)])
}

/// Which list a caller may write: a tenant its own, the operator everybody's.
fn list_of(caller: &Caller) -> (Option<TenantId>, &'static str) {
    match caller {
        Caller::Tenant(t, _) => (Some(*t), "own"),
        Caller::Operator => (None, "never"),
    }
}

fn entry_of(api: &Api, caller: &Caller, text: &str) -> Result<Entry, Problem> {
    let number = number::callee(text, None).map_err(|r| bad("number", r))?;
    let (tenant, list) = list_of(caller);
    Ok(entry(tenant, &number, list, "api", (api.intake.now)().wall))
}

fn shown(e: &Entry) -> Value {
    json!({ "number": e.number, "list": e.suppression.list, "since": rfc3339(e.suppression.since),
            "source": e.suppression.source })
}

/// `PUT /v1/suppressions/{number}`: binds from the answer on.
pub(super) async fn suppress(
    State(api): State<Api>,
    caller: Caller,
    Path(number): Path<String>,
) -> Result<Response, Problem> {
    let entry = entry_of(&api, &caller, &number)?;
    api.intake.suppress(&entry).await?;
    Ok(Json(shown(&entry)).into_response())
}

/// `GET /v1/suppressions/{number}`: whether it may be called, and the way out that its owner is to be given: a link, a mail
/// address, and both as the header fields of a mail (RFC 2369 §3.2, RFC 8058 §3.1).
pub(super) async fn suppression(
    State(api): State<Api>,
    caller: Caller,
    Path(number): Path<String>,
) -> Result<Response, Problem> {
    let (tenant, _) = caller.tenant()?;
    let number = number::callee(&number, None).map_err(|r| bad("number", r))?;
    let entries: Vec<Value> = {
        let lists = api.intake.suppressions.read().unwrap_or_else(PoisonError::into_inner);
        let told = |s: &Suppression| json!({ "list": s.list, "since": rfc3339(s.since), "source": s.source });
        lists.against(tenant, &number).iter().map(told).collect()
    };
    let way = api.intake.settings.load().way_out(tenant, &number);
    let fields = way.as_ref().map(|way| {
        let mail = way.mail.iter().map(|m| format!("<mailto:{m}>"));
        let all: Vec<String> = std::iter::once(format!("<{}>", way.url)).chain(mail).collect();
        json!({ "List-Unsubscribe": all.join(", "), "List-Unsubscribe-Post": "List-Unsubscribe=One-Click" })
    });
    let body = json!({ "number": number, "suppressed": !entries.is_empty(), "entries": entries, "opt_out": way,
        "mail_fields": fields });
    Ok(Json(body).into_response())
}

/// `DELETE /v1/suppressions/{number}`.
pub(super) async fn release(
    State(api): State<Api>,
    caller: Caller,
    Path(number): Path<String>,
) -> Result<Response, Problem> {
    let entry = entry_of(&api, &caller, &number)?;
    if api.intake.release(&entry).await? {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(Problem::not_found())
    }
}

/// Parameters of a page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    cursor: Option<String>,
    limit: Option<u32>,
    format: Option<String>,
    call: Option<String>,
}

type PageQuery = Result<Query<Page>, axum::extract::rejection::QueryRejection>;

fn page_of(page: PageQuery) -> Result<(Page, u32), Problem> {
    let Query(page) = page.map_err(|_| bad("query", Reason::NotA("cursor, limit, format and call only")))?;
    let limit = page.limit.unwrap_or(100);
    if (1..=1_000).contains(&limit) {
        Ok((page, limit))
    } else {
        Err(bad("limit", Reason::NotA("a number from 1 to 1000")))
    }
}

/// `GET /v1/suppressions`.
pub(super) async fn suppressions(
    State(api): State<Api>,
    caller: Caller,
    page: PageQuery,
) -> Result<Response, Problem> {
    let (page, limit) = page_of(page)?;
    let prefix = owner_prefix(caller.scope());
    let after = page.cursor.map(|c| format!("{prefix}{c}"));
    let ask = Ask::KeptFrom { shelf: Shelf::Suppressions, prefix: prefix.clone(), after, limit };
    let Answer::KeptFrom(kept) = api.intake.store.ask(ask).await? else { return Err(Problem::unavailable()) };
    let full = kept.len() == usize::try_from(limit).unwrap_or(usize::MAX);
    let next =
        kept.last().filter(|_| full).and_then(|(name, _)| name.strip_prefix(&prefix).map(str::to_owned));
    let entries: Vec<Value> =
        kept.iter().filter_map(|(_, v)| serde_json::from_slice::<Entry>(v).ok()).map(|e| shown(&e)).collect();
    Ok(Json(json!({ "suppressions": entries, "next": next })).into_response())
}

/// `GET /v1/decisions/{id}`: the last judgement of a call.
pub(super) async fn decision(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let order: OrderId = id.parse().map_err(|_| Problem::not_found())?;
    let Answer::Status(Some(s)) = api.intake.store.ask(Ask::Status { tenant: caller.scope(), order }).await?
    else {
        return Err(Problem::not_found());
    };
    let decision: Value =
        s.decision.as_deref().and_then(|d| serde_json::from_str(d).ok()).unwrap_or(Value::Null);
    Ok(Json(json!({ "call": id, "decision": decision })).into_response())
}

/// `GET /v1/records`: in order of writing, as JSON, JSON lines or CSV.
pub(super) async fn records(
    State(api): State<Api>,
    caller: Caller,
    page: PageQuery,
) -> Result<Response, Problem> {
    let (page, limit) = page_of(page)?;
    let after = match page.cursor.as_deref().map(str::parse) {
        None => 0,
        Some(Ok(n)) => n,
        Some(Err(_)) => return Err(bad("cursor", Reason::NotA("a cursor of an earlier page"))),
    };
    let order = page.call.as_deref().map(str::parse).transpose().map_err(|_| Problem::not_found())?;
    let ask = Ask::Records { tenant: caller.scope(), order, after, limit };
    let Answer::Records(records) = api.intake.store.ask(ask).await? else {
        return Err(Problem::unavailable());
    };
    let next = records.last().map(|(n, _)| n.to_string()).unwrap_or_default();
    match page.format.as_deref() {
        None | Some("json") => {
            let rows: Vec<&Record> = records.iter().map(|(_, r)| r).collect();
            Ok(Json(json!({ "records": rows, "next": next })).into_response())
        }
        Some("jsonl") => {
            let mut text = String::new();
            for (_, r) in &records {
                text.push_str(&serde_json::to_string(r).unwrap_or_default());
                text.push('\n');
            }
            Ok(([(header::CONTENT_TYPE, "application/jsonl")], [("next-cursor", next)], text).into_response())
        }
        Some("csv") => {
            Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], [("next-cursor", next)], csv(&records))
                .into_response())
        }
        Some(_) => Err(bad("format", Reason::NotOneOf(&["json", "jsonl", "csv"]))),
    }
}

/// RFC 4180. A cell that a spreadsheet would take for a formula gets an apostrophe in front, but a number's plus
/// stays: it is quoted.
fn csv(records: &[(u64, Record)]) -> String {
    let mut out = String::from(
        "seq,attempt,call,direction,from,to,trunk,application,started,answered,ended,talk_ms,busy_ms,cause,status,disposition\r\n",
    );
    for (seq, r) in records {
        let time = |t: Option<units::Wall>| t.map(rfc3339).unwrap_or_default();
        let cells = [
            seq.to_string(),
            r.attempt.to_string(),
            r.order.map(|o| o.to_string()).unwrap_or_default(),
            format!("{:?}", r.direction).to_ascii_lowercase(),
            r.from.expose().clone(),
            r.to.expose().clone(),
            r.trunk.clone(),
            r.application.clone(),
            rfc3339(r.started),
            time(r.answered),
            rfc3339(r.ended),
            r.talk_ms.to_string(),
            r.busy_ms.to_string(),
            format!("{:?}", r.cause),
            r.status.map(|s| s.to_string()).unwrap_or_default(),
            serde_json::to_value(r.disposition)
                .ok()
                .and_then(|v| v.as_str().map(str::to_owned))
                .unwrap_or_default(),
        ];
        let line: Vec<String> = cells.iter().map(|c| cell(c)).collect();
        let _ = write!(out, "{}\r\n", line.join(","));
    }
    out
}

pub(super) fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '-', '@', '\t', '\r']);
    let guarded = if formula { format!("'{text}") } else { text.to_owned() };
    if guarded.contains(['"', ',', '\n', '\r', '+']) {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn rfc4180_cells_are_quoted_and_no_formulas() {
        for (text, expected) in [
            ("a", "a"),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("=1", "'=1"),
            ("+15551234567", "\"+15551234567\""),
        ] {
            assert_eq!(cell(text), expected);
        }
    }
}
