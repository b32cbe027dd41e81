//! The pages for third parties: sign in, order a call, see what became of it. Made on the server, read without script.

use super::session::{Refused, SignedIn, form, fresh_request_id, own_origin, sign_in, sign_out};
use super::welcome::{self, Turned};
use super::{Api, Problem};
use crate::intake::{Arrival, Declined};
use askama::Template;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use control::config::Scope;
use control::order::form::Fields;
use control::order::time::rfc3339;
use control::order::{Disposition, Origin, State as OrderState};
use control::policy::{Decision, Outcome};
use control::store::{Answer, Ask, Status};
use serde::Deserialize;
use std::collections::HashMap;
use units::{OrderId, TenantId};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    wrong: &'static str,
}

#[derive(Template)]
#[template(path = "order.html")]
struct OrderPage {
    csrf: String,
    request_id: String,
    errors: Vec<FormError>,
    fields: Vec<FormField>,
}

struct FormError {
    field: String,
    label: String,
    linked: bool,
    reason: String,
    fix: String,
}

struct FormField {
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    value: String,
    required: bool,
    long: bool,
    wrong: bool,
    choices: &'static [&'static str],
}

#[derive(Template)]
#[template(path = "call.html")]
struct CallPage {
    csrf: String,
    id: String,
    to: String,
    state: String,
    running: bool,
    facts: Vec<(&'static str, String)>,
    because: Vec<Why>,
}

struct Why {
    party: String,
    rule: String,
    effect: String,
    citation: String,
}

#[derive(Template)]
#[template(path = "calls.html")]
struct CallsPage {
    csrf: String,
    /// Addresses whose status mails came back too often.
    silent: Vec<String>,
    calls: Vec<Row>,
    next: String,
}

struct Row {
    id: String,
    to: String,
    state: String,
    accepted: String,
    attempts: u32,
}

/// (name, label, hint, required, long, choices)
type FormLine = (&'static str, &'static str, &'static str, bool, bool, &'static [&'static str]);

const FORM: [FormLine; 9] = [
    ("to", "Whom to call", "A number with + and country code, or a sip: address", true, false, &[]),
    ("application", "Application", "Address of the VoiceXML document, or app:name", true, false, &[]),
    (
        "purpose",
        "Purpose",
        "What the call is for; the rules depend on it",
        true,
        false,
        &["transactional", "emergency", "telemarketing", "debt", "political", "survey"],
    ),
    ("at", "When", "Empty for now; or 2026-12-24T18:00:00Z, +90m, local 09:00", false, false, &[]),
    ("expires", "Not after", "Empty for one day; or a time as above", false, false, &[]),
    ("caller_id", "Caller id", "A number of yours; empty for the default", false, false, &[]),
    (
        "zone",
        "Time zone of the callee",
        "For instance Europe/Berlin; empty if the number tells",
        false,
        false,
        &[],
    ),
    ("result_to", "Result to", "mailto: or https: address; empty for none", false, false, &[]),
    ("message", "Message", "Text for the application to speak", false, true, &[]),
];

/// The routes of the pages.
pub(super) fn routes() -> axum::Router<Api> {
    axum::Router::new()
        .route("/console", get(|| async { Redirect::to("/console/order") }))
        .route("/console/login", get(login).post(do_login))
        .route("/console/logout", post(logout))
        .route("/console/welcome/{tenant}/{user}/{secret}", get(welcome::ask).post(welcome::choose))
        .route("/console/order", get(order_form).post(do_order))
        .route("/console/calls", get(calls))
        .route("/console/calls/{id}", get(call))
        .route("/console/calls/{id}/cancel", post(cancel))
        .route("/console/campaigns/{id}", get(campaign))
        .route("/console/style.css", get(style))
        .layer(axum::middleware::map_response(headers))
}

/// No script, no frame, nothing from elsewhere.
pub(super) async fn headers(mut response: Response) -> Response {
    let csp =
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, csp),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().insert(name, axum::http::HeaderValue::from_static(value));
    }
    response
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("../../templates/style.css"))
}

pub(super) fn page(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page cannot be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn login() -> Response {
    page(StatusCode::OK, &LoginPage { wrong: "" })
}

async fn do_login(
    State(api): State<Api>,
    peer: Option<axum::Extension<axum::extract::ConnectInfo<super::Peer>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let refused = |status, wrong| page(status, &LoginPage { wrong });
    if !own_origin(&headers) {
        return refused(StatusCode::FORBIDDEN, "This form was not sent by our page.");
    }
    let fields = form(&body);
    let cookie = match fields.get("key") {
        Some(key) => {
            let peer = peer.map(|axum::Extension(axum::extract::ConnectInfo(peer))| peer);
            let proxies = api.intake.settings.load().trusted_proxies.clone();
            let from = super::peer::address(peer, &headers, &proxies);
            sign_in(&api, key, from).ok_or((StatusCode::FORBIDDEN, "This key is not known."))
        }
        None => {
            let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
            let signed = welcome::sign_in(&api, &field("tenant"), &field("user"), field("password")).await;
            signed.map_err(|why| match why {
                Turned::Wrong => (StatusCode::FORBIDDEN, "Organisation, name or password is wrong."),
                Turned::Wait => {
                    (StatusCode::TOO_MANY_REQUESTS, "Too many wrong passwords: please wait a minute.")
                }
            })
        }
    };
    match cookie {
        Ok(cookie) => ([(header::SET_COOKIE, cookie)], Redirect::to("/console/calls")).into_response(),
        Err((status, wrong)) => refused(status, wrong),
    }
}

async fn logout(who: SignedIn, body: Bytes) -> Response {
    match who.posted(&body) {
        Ok(_) => ([(header::SET_COOKIE, sign_out())], Redirect::to("/console/login")).into_response(),
        Err(refused) => refused.into_response(),
    }
}

fn order_page(csrf: &str, values: &HashMap<String, String>, errors: Vec<FormError>) -> OrderPage {
    let fields = FORM.iter().map(|(name, label, hint, required, long, choices)| FormField {
        name,
        label,
        hint,
        value: values.get(*name).cloned().unwrap_or_default(),
        required: *required,
        long: *long,
        wrong: errors.iter().any(|e| e.field == *name),
        choices,
    });
    let request_id = values.get("request_id").cloned().unwrap_or_else(fresh_request_id);
    OrderPage { csrf: csrf.to_owned(), request_id, fields: fields.collect(), errors }
}

async fn order_form(who: SignedIn) -> Response {
    match who.may(Scope::Order) {
        Ok(()) => page(StatusCode::OK, &order_page(&who.csrf, &HashMap::new(), Vec::new())),
        Err(refused) => refused.into_response(),
    }
}

/// The fields of the form, by whom, if they may order.
fn ordered(who: &SignedIn, body: &[u8]) -> Result<(HashMap<String, String>, TenantId, String), Refused> {
    who.may(Scope::Order)?;
    let mut values = who.posted(body)?;
    values.remove("csrf");
    let (tenant, key) = who.caller.tenant().map_err(|_| Refused::Role)?;
    Ok((values, tenant, key.to_owned()))
}

async fn do_order(State(api): State<Api>, who: SignedIn, body: Bytes) -> Response {
    let (values, tenant, key) = match ordered(&who, &body) {
        Ok(ordered) => ordered,
        Err(refused) => return refused.into_response(),
    };
    let filled = values.iter().filter(|(_, v)| !v.trim().is_empty());
    let fields: Fields = filled.map(|(k, v)| (k.clone(), v.clone().into())).collect();
    let origin = Origin::Http { key };
    let arrival = Arrival { tenant, origin, request_id: "", attached: &[], campaign: None };
    match api.intake.accept(&fields, arrival).await {
        Ok(accepted) => match accepted.first() {
            Some(a) => Redirect::to(&format!("/console/calls/{}", a.id)).into_response(),
            None => Redirect::to("/console/calls").into_response(),
        },
        Err(declined) => {
            let errors = form_errors(declined);
            page(StatusCode::UNPROCESSABLE_ENTITY, &order_page(&who.csrf, &values, errors))
        }
    }
}

fn form_errors(declined: Declined) -> Vec<FormError> {
    let general = |reason: String, fix: &str| {
        vec![FormError {
            field: String::new(),
            label: "The order".into(),
            linked: false,
            reason,
            fix: fix.into(),
        }]
    };
    match declined {
        Declined::Refused(refusals) => refusals
            .into_iter()
            .map(|r| {
                let known = FORM.iter().find(|(name, ..)| *name == r.field);
                FormError {
                    label: known.map_or_else(|| r.field.clone(), |(_, label, ..)| (*label).to_owned()),
                    linked: known.is_some(),
                    reason: r.reason.text(),
                    fix: r.reason.fix(),
                    field: r.field,
                }
            })
            .collect(),
        Declined::Policy(_, d) => {
            let rule = d.decisive().map_or_else(String::new, |b| b.rule.to_string());
            let fix = d
                .next_allowed_at
                .map_or_else(|| "another order".into(), |t| format!("try from {}", rfc3339(t)));
            general(format!("is not allowed by the rule {rule}"), &fix)
        }
        Declined::Conflict => {
            general("was sent before with other content".into(), "start from an empty form")
        }
        Declined::TooFast(_) => general("came too soon after others".into(), "try again in a moment"),
        Declined::Full(_) => general("finds too many orders waiting".into(), "try again later"),
        Declined::Unavailable => general("cannot be taken now".into(), "try again later"),
    }
}

fn word<T: serde::Serialize>(value: &T) -> String {
    let text = serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned));
    text.unwrap_or_default().replace('_', " ")
}

fn state_text(state: OrderState, disposition: Option<Disposition>) -> String {
    disposition.map_or_else(|| word(&state), |d| format!("over: {}", word(&d)))
}

async fn call(State(api): State<Api>, who: SignedIn, Path(id): Path<String>) -> Response {
    if let Err(refused) = who.may(Scope::Read) {
        return refused.into_response();
    }
    let Ok(order) = id.parse::<OrderId>() else { return Problem::not_found().into_response() };
    match api.intake.store.ask(Ask::Status { tenant: who.caller.scope(), order }).await {
        Ok(Answer::Status(Some(s))) => page(StatusCode::OK, &call_page(who.csrf, &s)),
        Ok(_) => Problem::not_found().into_response(),
        Err(e) => Problem::from(e).into_response(),
    }
}

fn call_page(csrf: String, s: &Status) -> CallPage {
    let mut facts = vec![
        ("Call", s.order.id.to_string()),
        ("Your name for it", s.order.request_id.clone()),
        ("Purpose", word(&s.order.purpose)),
        ("Accepted", rfc3339(s.accepted)),
        ("Last change", rfc3339(s.changed)),
        ("Not after", rfc3339(s.order.expires)),
        ("Attempts", s.attempts.to_string()),
    ];
    if let Some(due) = s.due {
        facts.push(("Next attempt", rfc3339(due)));
    }
    let decision: Option<Decision> = s.decision.as_deref().and_then(|d| serde_json::from_str(d).ok());
    if let Some(at) = decision.as_ref().and_then(|d| d.next_allowed_at) {
        facts.push(("Allowed from", rfc3339(at)));
    }
    let because = decision.map_or_else(Vec::new, |d| {
        d.because
            .iter()
            .map(|b| Why {
                party: word(&b.party),
                rule: b.rule.to_string(),
                effect: match b.effect {
                    Outcome::Defer(until) => format!("not before {}", rfc3339(until)),
                    Outcome::Allow => "yes".into(),
                    Outcome::Terms => "yes, on terms".into(),
                    Outcome::Refuse => "no".into(),
                },
                citation: b.citation.as_deref().unwrap_or("").to_owned(),
            })
            .collect()
    });
    CallPage {
        csrf,
        id: s.order.id.to_string(),
        to: s.order.to.expose().clone(),
        state: state_text(s.state, s.disposition),
        running: s.state != OrderState::Done,
        facts,
        because,
    }
}

#[derive(Template)]
#[template(path = "campaign.html")]
struct CampaignPage {
    csrf: String,
    name: String,
    stage: String,
    running: bool,
    facts: Vec<(&'static str, String)>,
    calls: Vec<Row>,
}

/// Calls of a campaign that its page shows, and calls of the tenant that are looked through for them.
const SHOWN_MAX: usize = 50;
const LOOKED_MAX: u32 = 1_000;

async fn campaign(State(api): State<Api>, who: SignedIn, Path(id): Path<String>) -> Response {
    if let Err(refused) = who.may(Scope::Read) {
        return refused.into_response();
    }
    let (caller, csrf) = (who.caller, who.csrf);
    let Ok(campaign) = super::campaigns::owned(&api, caller.scope(), &id).await else {
        return Problem::not_found().into_response();
    };
    let ask = Ask::List { tenant: caller.scope(), after: None, state: None, limit: LOOKED_MAX };
    let Ok(Answer::List(statuses)) = api.intake.store.ask(ask).await else {
        return Problem::unavailable().into_response();
    };
    let own = statuses.iter().filter(|s| s.order.campaign == Some(campaign.id)).take(SHOWN_MAX);
    let calls = own.map(row_of).collect();
    let facts = vec![
        ("Campaign", campaign.id.to_string()),
        ("Made", rfc3339(campaign.created)),
        ("Rows read", campaign.rows.to_string()),
        ("Orders", campaign.accepted.to_string()),
        ("Rows refused", campaign.refused.to_string()),
    ];
    let running = campaign.stage == control::campaign::Stage::Running;
    page(
        StatusCode::OK,
        &CampaignPage { csrf, name: campaign.name, stage: word(&campaign.stage), running, facts, calls },
    )
}

fn row_of(s: &Status) -> Row {
    Row {
        id: s.order.id.to_string(),
        to: s.order.to.expose().clone(),
        state: state_text(s.state, s.disposition),
        accepted: rfc3339(s.accepted),
        attempts: s.attempts,
    }
}

#[derive(Deserialize)]
struct Cursor {
    cursor: Option<String>,
}

async fn calls(State(api): State<Api>, who: SignedIn, Query(page_at): Query<Cursor>) -> Response {
    if let Err(refused) = who.may(Scope::Read) {
        return refused.into_response();
    }
    let after = page_at.cursor.and_then(|c| c.parse::<OrderId>().ok());
    let ask = Ask::List { tenant: who.caller.scope(), after, state: None, limit: 50 };
    let Ok(Answer::List(statuses)) = api.intake.store.ask(ask).await else {
        return Problem::unavailable().into_response();
    };
    let Ok(silent) = crate::bounce::silent(&api.intake.store, who.caller.scope()).await else {
        return Problem::unavailable().into_response();
    };
    let silent = silent.into_iter().map(|b| b.address.expose().clone()).collect();
    let next = statuses.last().filter(|_| statuses.len() == 50).map(|s| s.order.id.to_string());
    let calls = statuses.iter().map(row_of).collect();
    let next = next.unwrap_or_default();
    page(StatusCode::OK, &CallsPage { csrf: who.csrf, silent, calls, next })
}

async fn cancel(State(api): State<Api>, who: SignedIn, Path(id): Path<String>, body: Bytes) -> Response {
    let (tenant, order) = match ordered(&who, &body) {
        Ok((_, tenant, _)) => match id.parse::<OrderId>() {
            Ok(order) => (tenant, order),
            Err(_) => return Problem::not_found().into_response(),
        },
        Err(refused) => return refused.into_response(),
    };
    match api.intake.store.ask(Ask::Cancel { tenant, order }).await {
        Ok(_) | Err(control::store::Error::Conflict) => {
            // If it rings, it is hung up on now.
            api.intake.cancelled(order);
            Redirect::to(&format!("/console/calls/{order}")).into_response()
        }
        Err(e) => Problem::from(e).into_response(),
    }
}
