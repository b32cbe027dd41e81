//! People at the door of the pages: who signs in with a password, and who chooses one by the link of an invitation. Guessing
//! is slow: a hash takes its time, few are reckoned at once, and after some wrong ones a name waits a minute.

use super::Api;
use super::console::page;
use super::session::{form, own_origin, sign_in_user};
use crate::provision::{Change, NotChanged};
use askama::Template;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use control::config::User;
use control::order::canon;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
use units::TenantId;

/// Wrong passwords in a row before a name waits.
const WRONG_MAX: u32 = 5;
/// So long, ms.
const WAIT_MS: i64 = 60_000;
/// Names remembered; with more, all are forgotten, and guessing starts anew at the pace of the hashes.
const NAMES_MAX: usize = 10_000;
/// Hashes reckoned at a time, 32 MiB each.
const HASHES_MAX: usize = 2;

/// A person: tenant and name.
type Name = (u32, String);

/// Who guesses, and how busy the hashes are.
#[derive(Clone)]
pub struct Doorman {
    wrong: Arc<Mutex<HashMap<Name, (u32, i64)>>>,
    hashes: Arc<Semaphore>,
}

impl Default for Doorman {
    fn default() -> Self {
        Self { wrong: Arc::default(), hashes: Arc::new(Semaphore::new(HASHES_MAX)) }
    }
}

/// Why nobody came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    /// Name or password is wrong.
    Wrong,
    /// Too many wrong ones: a minute's pause.
    Wait,
}

impl Doorman {
    fn must_wait(&self, name: &Name, now: i64) -> bool {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.get(name).is_some_and(|(n, last)| *n >= WRONG_MAX && now - last < WAIT_MS)
    }

    fn note(&self, name: Name, right: bool, now: i64) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if right {
            wrong.remove(&name);
            return;
        }
        if wrong.len() >= NAMES_MAX {
            wrong.clear();
        }
        let entry = wrong.entry(name).or_insert((0, now));
        // Who has waited may try once, and waits again if that was wrong, too.
        *entry = (entry.0.saturating_add(1), now);
    }
}

/// Signs a person in: a cookie, or why not.
pub(super) async fn sign_in(api: &Api, tenant: &str, user: &str, password: String) -> Result<String, Turned> {
    let settings = api.intake.settings.load_full();
    let found = settings.tenants.iter().find(|(_, t)| t.config.name.eq_ignore_ascii_case(tenant.trim()));
    let id = found.map_or(TenantId(0), |(id, _)| *id);
    let user = user.trim().to_owned();
    let (who, now) = ((id.0, user.clone()), (api.intake.now)().wall.0);
    if api.doorman.must_wait(&who, now) {
        return Err(Turned::Wait);
    }
    let kept = found.and_then(|(_, t)| t.config.users.get(&user)).and_then(|u| u.password.clone());
    let place = Arc::clone(&api.doorman.hashes).acquire_owned().await.map_err(|_| Turned::Wait)?;
    let right = tokio::task::spawn_blocking(move || {
        let right = crate::passwords::is(kept.as_ref(), &password);
        drop(place);
        right
    });
    let right = right.await.unwrap_or(false);
    api.doorman.note(who, right, now);
    let result = if right { "right" } else { "wrong" };
    metrics::counter!("carillon_sign_ins_total", "result" => result).increment(1);
    sign_in_user(api, id, &user).filter(|_| right).ok_or(Turned::Wrong)
}

#[derive(Template)]
#[template(path = "welcome.html")]
struct WelcomePage {
    user: String,
    good: bool,
    wrong: &'static str,
}

fn is_invited(user: &User, secret: &str, now: i64) -> bool {
    let known = |i: &control::config::Invitation| i.until_ms > now && i.sha256.0 == canon::digest(secret);
    user.invitation.as_ref().is_some_and(known)
}

/// `GET /console/welcome/TENANT/USER/SECRET`: choose a password. Reading uses nothing up.
pub(super) async fn ask(
    State(api): State<Api>,
    Path((tenant, user, secret)): Path<(String, String, String)>,
) -> Response {
    let settings = api.intake.settings.load();
    let tenant = settings.tenants.values().find(|t| t.config.name.eq_ignore_ascii_case(&tenant));
    let now = (api.intake.now)().wall.0;
    let good = tenant.and_then(|t| t.config.users.get(&user)).is_some_and(|u| is_invited(u, &secret, now));
    let status = if good { StatusCode::OK } else { StatusCode::NOT_FOUND };
    page(status, &WelcomePage { user, good, wrong: "" })
}

/// `POST` to the same: the password is chosen, the link is used up, and they are in.
pub(super) async fn choose(
    State(api): State<Api>,
    Path((tenant, user, secret)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !own_origin(&headers) {
        return (StatusCode::FORBIDDEN, "This form was not sent by our page").into_response();
    }
    let fields = form(&body);
    let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let again = |status, wrong| page(status, &WelcomePage { user: user.clone(), good: true, wrong });
    let password = field("password");
    if password != field("again") {
        return again(StatusCode::UNPROCESSABLE_ENTITY, "The two passwords are not the same.");
    }
    let Ok(place) = Arc::clone(&api.doorman.hashes).acquire_owned().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let hashed = tokio::task::spawn_blocking(move || {
        let hashed = crate::passwords::hashed(&password);
        drop(place);
        hashed
    });
    let Ok(Ok(hash)) = hashed.await else {
        return again(StatusCode::UNPROCESSABLE_ENTITY, "A password has at least 12 characters.");
    };
    let hash = hash.to_string();
    let change = Change::Welcome { name: tenant.clone(), user: user.clone(), secret, hash };
    match api.intake.provision(change).await {
        Ok(_) => {}
        Err(NotChanged::Unavailable) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Err(_) => return page(StatusCode::NOT_FOUND, &WelcomePage { user, good: false, wrong: "" }),
    }
    let settings = api.intake.settings.load();
    let id =
        settings.tenants.iter().find(|(_, t)| t.config.name.eq_ignore_ascii_case(&tenant)).map(|(id, _)| *id);
    match id.and_then(|id| sign_in_user(&api, id, &user)) {
        Some(cookie) => ([(header::SET_COOKIE, cookie)], Redirect::to("/console/calls")).into_response(),
        None => Redirect::to("/console/login").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_wrong_passwords_cost_a_minute_each_from_then_on() {
        let doorman = Doorman::default();
        let ann = || (1, "ann".to_owned());
        for now in 0..5 {
            assert!(!doorman.must_wait(&ann(), now));
            doorman.note(ann(), false, now);
        }
        assert!(doorman.must_wait(&ann(), 5) && !doorman.must_wait(&(2, "ann".to_owned()), 5));
        assert!(!doorman.must_wait(&ann(), 4 + WAIT_MS));
        doorman.note(ann(), false, 4 + WAIT_MS);
        assert!(doorman.must_wait(&ann(), 5 + WAIT_MS));
        doorman.note(ann(), true, 9 + 2 * WAIT_MS);
        assert!(!doorman.must_wait(&ann(), 9 + 2 * WAIT_MS));
    }
}
