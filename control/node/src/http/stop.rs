//! `/o/TOKEN`: a customer wants to be called no more. Reading shows a page with a button, and changes nothing: programs follow
//! links in mails before people do. A POST does it, whatever it holds: the page's button, or the `List-Unsubscribe=One-Click`
//! of a mail program (RFC 8058 §3.2), which brings no cookie and follows no redirect. The token is all the proof there is.

use super::console::page;
use super::{Api, Problem};
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use units::{Private, TenantId};

#[derive(Template)]
#[template(path = "stop.html")]
struct StopPage {
    caller: String,
    number: String,
    done: bool,
    known: bool,
}

/// The routes of customers.
pub(super) fn routes() -> axum::Router<Api> {
    axum::Router::new()
        .route("/o/{token}", get(ask).post(stop))
        .layer(axum::middleware::map_response(super::console::headers))
}

fn whose(api: &Api, token: &str) -> Option<(TenantId, Private<String>)> {
    api.intake.stop.get()?.open(token)
}

async fn ask(State(api): State<Api>, Path(token): Path<String>) -> Response {
    shown(&api, whose(&api, &token), false)
}

async fn stop(State(api): State<Api>, Path(token): Path<String>) -> Response {
    let named = whose(&api, &token);
    if let Some((tenant, number)) = &named
        && let Err(error) = api.intake.opt_out(*tenant, number.expose(), "link").await
    {
        return Problem::from(error).into_response();
    }
    shown(&api, named, true)
}

fn shown(api: &Api, named: Option<(TenantId, Private<String>)>, done: bool) -> Response {
    let settings = api.intake.settings.load();
    let Some((tenant, number)) = named else {
        let unknown = StopPage { caller: String::new(), number: String::new(), done: false, known: false };
        return page(StatusCode::NOT_FOUND, &unknown);
    };
    let caller =
        settings.tenants.get(&tenant).map_or_else(|| "this caller".into(), |t| t.config.name.clone());
    let number = hint(number.expose());
    page(StatusCode::OK, &StopPage { caller, number, done, known: true })
}

/// Enough for its owner to know it again: who got hold of the link learns no number.
fn hint(number: &str) -> String {
    match number.strip_prefix('+') {
        Some(digits) => format!("that ends in {}", &digits[digits.len().saturating_sub(2)..]),
        None => "of yours".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::hint;

    #[test]
    fn a_page_shows_no_number() {
        assert_eq!(hint("+12125550142"), "that ends in 42");
        assert_eq!(hint("sip:ann@home.example"), "of yours");
        assert_eq!(hint("+"), "that ends in ");
    }
}
