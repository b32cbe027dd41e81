//! `/v1/tenants`: who may order, their keys and limits. For the operator; a tenant reads itself.

use super::{Api, Caller, Problem};
use crate::provision::{Change, NotChanged, told};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use control::config::{Role, Scope};
use control::order::form;
use control::order::{Reason, Refusal};
use serde::Deserialize;
use serde_json::{Map, Value, json};

impl From<NotChanged> for Problem {
    fn from(why: NotChanged) -> Self {
        let title = why.to_string();
        match why {
            NotChanged::NotFound => Self::not_found(),
            NotChanged::InFile | NotChanged::NumberInFile => {
                Self::new(StatusCode::CONFLICT, "in-file", &title)
            }
            NotChanged::Exists => Self::new(StatusCode::CONFLICT, "exists", &title),
            NotChanged::Wrong(..) => Self::new(StatusCode::BAD_REQUEST, "invalid-request", &title),
            NotChanged::Unavailable => Self::unavailable(),
        }
    }
}

fn operator(caller: &Caller) -> Result<(), Problem> {
    match caller {
        Caller::Operator => Ok(()),
        Caller::Tenant(..) => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "operator",
            "This is the operator's: use the operator's key",
        )),
    }
}

pub(super) fn object(api: &Api, body: &[u8]) -> Result<Map<String, Value>, Problem> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    form::json(body, &api.intake.settings.load().order).map_err(|r| Problem::refused(vec![r]))
}

/// `GET /v1/tenants`: all of them; a tenant sees itself.
pub(super) async fn list(State(api): State<Api>, caller: Caller) -> Response {
    let config = api.intake.config.load();
    let seen = config.tenants.iter().filter(|t| caller.scope().is_none_or(|own| own.0 == t.id));
    let tenants: Vec<Value> = seen.map(told).collect();
    Json(json!({ "tenants": tenants })).into_response()
}

/// `GET /v1/tenants/{name}`.
pub(super) async fn read(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let config = api.intake.config.load();
    let seen = config.tenants.iter().filter(|t| caller.scope().is_none_or(|own| own.0 == t.id));
    let tenant = seen.into_iter().find(|t| t.name.eq_ignore_ascii_case(&name));
    tenant.map(|t| Json(told(t)).into_response()).ok_or_else(Problem::not_found)
}

/// `PUT /v1/tenants/{name}`: makes a tenant, or changes the words that are given (`null` takes one away).
pub(super) async fn put(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    operator(&caller)?;
    let words = object(&api, &body)?;
    Ok(Json(api.intake.provision(Change::Set { name, words, new: false }).await?).into_response())
}

/// `DELETE /v1/tenants/{name}`.
pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    operator(&caller)?;
    api.intake.provision(Change::Remove { name }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What a new key may do, and from where.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wish {
    scopes: Vec<Scope>,
    networks: Vec<String>,
}

/// `PUT /v1/tenants/{name}/keys/{key}`: makes a key; the answer holds it, once.
pub(super) async fn add_key(
    State(api): State<Api>,
    caller: Caller,
    Path((name, key)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Problem> {
    operator(&caller)?;
    let wish: Wish = serde_json::from_value(Value::Object(object(&api, &body)?)).map_err(|_| {
        let wanted = "an object with `scopes` (order, read, lists) and `networks`";
        Problem::refused(vec![Refusal::new("body", Reason::NotA(wanted))])
    })?;
    let Wish { scopes, networks } = wish;
    let made = api.intake.provision(Change::AddKey { name, key, scopes, networks }).await?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// `DELETE /v1/tenants/{name}/keys/{key}`: refused from the answer on.
pub(super) async fn remove_key(
    State(api): State<Api>,
    caller: Caller,
    Path((name, key)): Path<(String, String)>,
) -> Result<Response, Problem> {
    operator(&caller)?;
    api.intake.provision(Change::RemoveKey { name, key }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What a person may do.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    role: Role,
}

/// `PUT /v1/tenants/{name}/users/{user}`: lets a person in, or changes their role; the answer holds a link, once.
pub(super) async fn add_user(
    State(api): State<Api>,
    caller: Caller,
    Path((name, user)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Problem> {
    operator(&caller)?;
    let Place { role } = serde_json::from_value(Value::Object(object(&api, &body)?)).map_err(|_| {
        let wanted = "an object with `role`: view or order";
        Problem::refused(vec![Refusal::new("body", Reason::NotA(wanted))])
    })?;
    let made = api.intake.provision(Change::AddUser { name, user, role }).await?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// `DELETE /v1/tenants/{name}/users/{user}`: their sessions end with the answer.
pub(super) async fn remove_user(
    State(api): State<Api>,
    caller: Caller,
    Path((name, user)): Path<(String, String)>,
) -> Result<Response, Problem> {
    operator(&caller)?;
    api.intake.provision(Change::RemoveUser { name, user }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
