//! `/v1/calls/{id}/events`: what happens to a call, by server-sent events or long poll. Each change of the call's
//! status has a number (`seq`); a reader who comes back says the last one it saw.

use super::view::Call;
use super::{Api, Caller, Problem};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use control::order::State as OrderState;
use control::store::{Answer, Ask, Status};
use futures::stream;
use serde::Deserialize;
use std::convert::Infallible;
use std::time::Duration;
use units::{OrderId, TenantId};

/// The store is looked at so often for a waiting reader.
const LOOK: Duration = Duration::from_millis(200);
/// A long poll ends empty after this.
const POLL_MAX: Duration = Duration::from_secs(25);

/// Parameters.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct From {
    /// Last `seq` seen.
    after: u64,
}

async fn status(api: &Api, scope: Option<TenantId>, order: OrderId) -> Result<Box<Status>, Problem> {
    match api.intake.store.ask(Ask::Status { tenant: scope, order }).await? {
        Answer::Status(Some(s)) => Ok(s),
        _ => Err(Problem::not_found()),
    }
}

/// SSE if it is asked for by `Accept`, else a long poll.
pub(super) async fn events(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(from): Query<From>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let order: OrderId = id.parse().map_err(|_| Problem::not_found())?;
    let first = status(&api, caller.scope(), order).await?;
    let sse = headers
        .get(header::ACCEPT)
        .and_then(|a| a.to_str().ok())
        .is_some_and(|a| a.contains("text/event-stream"));
    // The standard's own way to say what was seen last.
    let seen = headers.get("last-event-id").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let after = seen.unwrap_or(from.after);
    if sse {
        return Ok(stream_from(api, caller.scope(), order, after).into_response());
    }
    long_poll(&api, caller.scope(), order, after, first).await
}

async fn long_poll(
    api: &Api,
    scope: Option<TenantId>,
    order: OrderId,
    after: u64,
    first: Box<Status>,
) -> Result<Response, Problem> {
    let mut now = first;
    let mut waited = Duration::ZERO;
    while now.seq <= after && now.state != OrderState::Done && waited < POLL_MAX {
        tokio::time::sleep(LOOK).await;
        waited += LOOK;
        now = status(api, scope, order).await?;
    }
    Ok(Json(Call::from(&*now)).into_response())
}

fn stream_from(
    api: Api,
    scope: Option<TenantId>,
    order: OrderId,
    after: u64,
) -> Sse<impl futures::Stream<Item = Result<Event, Infallible>>> {
    // State: the last seq told; `None` after the last event.
    let events = stream::unfold(Some(after), move |seen| {
        let api = api.clone();
        async move {
            let mut seen = seen?;
            loop {
                // A store that is away for a moment is waited for; the call's owner would only come back anyway.
                let Ok(s) = status(&api, scope, order).await else {
                    tokio::time::sleep(LOOK * 5).await;
                    continue;
                };
                if s.seq > seen {
                    seen = s.seq;
                    let event = Event::default().id(s.seq.to_string()).event("status");
                    let event = event.json_data(Call::from(&*s)).unwrap_or_default();
                    let next = (s.state != OrderState::Done).then_some(seen);
                    return Some((Ok(event), next));
                }
                if s.state == OrderState::Done {
                    return None;
                }
                tokio::time::sleep(LOOK).await;
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}
