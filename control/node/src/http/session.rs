//! Sessions of the pages: a cookie that says who it was, sealed; `SameSite=Strict`, `HttpOnly`, by TLS only where we have it, an
//! hour long. A person comes with a password, a program's keeper with a key. A POST must come from our own pages: it says so by
//! its `Origin`, and by a word that only a page of the same session holds.

use super::{Api, Caller};
use crate::intake::whose_key;
use crate::settings::Settings;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use control::config::{Scope, Tenant, User};
use control::order::canon;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use units::TenantId;

/// A session lives so long, ms.
const LIFE_MS: i64 = 3_600_000;
const COOKIE: &str = "carillon_session";
/// Fields of a form that are read.
const FIELDS_MAX: usize = 64;

/// The secret of sessions.
#[derive(Clone)]
pub struct Sealer(Arc<[u8; 32]>);

/// Who a session is of.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    /// Whoever showed this key.
    Key(String),
    /// This person, with this stamp of their password: a new one ends the sessions of the old.
    User(String, String),
}

impl Sealer {
    /// A secret from the kernel: sessions end with the process.
    ///
    /// # Errors
    /// If the kernel gives none.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(Self::of(secret))
    }

    /// A secret that several processes have: a session goes on at any of them.
    #[must_use]
    pub fn of(secret: [u8; 32]) -> Self {
        Self(Arc::new(secret))
    }

    fn mac(&self, text: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0[..]).expect("HMAC takes keys of any length");
        mac.update(text.as_bytes());
        mac
    }

    fn seal(&self, tenant: TenantId, who: &Who, until: i64) -> String {
        let (kind, stamp, name) = match who {
            Who::Key(name) => ("k", "", name),
            Who::User(name, stamp) => ("u", stamp.as_str(), name),
        };
        let text = format!("{}:{until}:{kind}:{stamp}:{name}", tenant.0);
        let mac = URL_SAFE_NO_PAD.encode(self.mac(&text).finalize().into_bytes());
        format!("{}.{mac}", URL_SAFE_NO_PAD.encode(text))
    }

    fn open(&self, cookie: &str, now: i64) -> Option<(TenantId, Who)> {
        let (text, mac) = cookie.split_once('.')?;
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        self.mac(&text).verify_slice(&URL_SAFE_NO_PAD.decode(mac).ok()?).ok()?;
        let mut parts = text.splitn(5, ':');
        let tenant = parts.next()?.parse().ok()?;
        let until: i64 = parts.next()?.parse().ok()?;
        let (kind, stamp, name) = (parts.next()?, parts.next()?.to_owned(), parts.next()?.to_owned());
        let who = if kind == "u" { Who::User(name, stamp) } else { Who::Key(name) };
        (until > now).then_some((TenantId(tenant), who))
    }

    /// The word that forms of a session's pages bring along.
    fn csrf(&self, cookie: &str) -> String {
        canon::hex(&self.mac(&format!("csrf:{cookie}")).finalize().into_bytes()[..16])
    }
}

/// Tells one password from the next, and nothing of either.
fn stamp(user: &User) -> Option<String> {
    user.password.as_ref().map(|p| canon::hex(&canon::digest(&p.to_string())[..8]))
}

/// A cookie for whoever shows a tenant's key.
pub(super) fn sign_in(api: &Api, key: &str, from: Option<IpAddr>) -> Option<String> {
    let settings = api.intake.settings.load();
    let (tenant, name) = whose_key(&settings, key.trim(), from)?;
    Some(cookie(api, &settings, tenant, &Who::Key(name)))
}

/// A cookie for a person whose password was right.
pub(super) fn sign_in_user(api: &Api, tenant: TenantId, name: &str) -> Option<String> {
    let settings = api.intake.settings.load();
    let user = settings.tenants.get(&tenant)?.config.users.get(name)?;
    Some(cookie(api, &settings, tenant, &Who::User(name.to_owned(), stamp(user)?)))
}

fn cookie(api: &Api, settings: &Settings, tenant: TenantId, who: &Who) -> String {
    let sealed = api.sealer.seal(tenant, who, (api.intake.now)().wall.0 + LIFE_MS);
    let secure = if settings.cookies_secure { "; Secure" } else { "" };
    let life = LIFE_MS / 1_000;
    format!("{COOKIE}={sealed}; Path=/console; HttpOnly; SameSite=Strict; Max-Age={life}{secure}")
}

/// The cookie that ends a session.
pub(super) fn sign_out() -> String {
    format!("{COOKIE}=; Path=/console; HttpOnly; SameSite=Strict; Max-Age=0")
}

/// Somebody at the pages.
pub(super) struct SignedIn {
    pub(super) caller: Caller,
    /// What they may do.
    scopes: Vec<Scope>,
    /// The word of this session's forms.
    pub(super) csrf: String,
}

impl SignedIn {
    /// Goes on if they may do that.
    pub(super) fn may(&self, scope: Scope) -> Result<(), Refused> {
        if self.scopes.contains(&scope) { Ok(()) } else { Err(Refused::Role) }
    }

    /// The fields of a form that one of this session's pages sent.
    pub(super) fn posted(&self, body: &[u8]) -> Result<HashMap<String, String>, Refused> {
        let fields = form(body);
        let word = fields.get("csrf").map_or(&b""[..], |w| w.as_bytes());
        let own: bool = subtle::ConstantTimeEq::ct_eq(word, self.csrf.as_bytes()).into();
        if own { Ok(fields) } else { Err(Refused::Session) }
    }
}

/// Why a page does not do what it is asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Their role does not reach so far.
    Role,
    /// The form is from another session.
    Session,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let why = match self {
            Self::Role => "You may look at calls, but not do this",
            Self::Session => "This form is from another session: open its page again",
        };
        (StatusCode::FORBIDDEN, why).into_response()
    }
}

/// The fields of a form.
pub(super) fn form(body: &[u8]) -> HashMap<String, String> {
    url::form_urlencoded::parse(body).into_owned().take(FIELDS_MAX).collect()
}

const SCOPES: [Scope; 3] = [Scope::Order, Scope::Read, Scope::Lists];

/// What somebody may do; `None`: a key or a person that is there no more, or whose password is another one now.
fn scopes_of(tenant: &Tenant, who: &Who) -> Option<Vec<Scope>> {
    let may: Box<dyn Fn(Scope) -> bool + '_> = match who {
        Who::Key(name) => {
            let key = tenant.keys.get(name)?;
            Box::new(|scope| key.may(scope))
        }
        Who::User(name, stamped) => {
            let user = tenant.users.get(name).filter(|u| stamp(u).as_ref() == Some(stamped))?;
            Box::new(|scope| user.role.may(scope))
        }
    };
    Some(SCOPES.into_iter().filter(|scope| may(*scope)).collect())
}

impl FromRequestParts<Api> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        if parts.method == axum::http::Method::POST && !own_origin(&parts.headers) {
            return Err((StatusCode::FORBIDDEN, "This form was not sent by our page").into_response());
        }
        let cookies = parts.headers.get_all(header::COOKIE).iter().filter_map(|c| c.to_str().ok());
        let named = cookies.flat_map(|c| c.split(';')).filter_map(|c| c.trim().strip_prefix(COOKIE));
        let sealed = named.filter_map(|c| c.strip_prefix('=')).next();
        let found = sealed.and_then(|sealed| {
            let (tenant, who) = api.sealer.open(sealed, (api.intake.now)().wall.0)?;
            let settings = api.intake.settings.load();
            let scopes = scopes_of(&settings.tenants.get(&tenant)?.config, &who)?;
            let name = match who {
                Who::Key(name) => name,
                Who::User(name, _) => format!("user/{name}"),
            };
            let caller = Caller::Tenant(tenant, name);
            Some(Self { caller, scopes, csrf: api.sealer.csrf(sealed) })
        });
        found.ok_or_else(|| Redirect::to("/console/login").into_response())
    }
}

/// Was the form sent by a page of this host? Browsers say `Origin` with every POST.
pub(super) fn own_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|v: &axum::http::HeaderValue| v.to_str().ok());
    match (text(header::ORIGIN), text(header::HOST)) {
        (Some(origin), Some(host)) => {
            origin.split_once("://").is_some_and(|(_, h)| h.eq_ignore_ascii_case(host))
        }
        (None, _) => true,
        _ => false,
    }
}

/// A name for a new order, that a reload of the page repeats.
pub(super) fn fresh_request_id() -> String {
    let mut octets = [0; 16];
    // Without entropy two forms share a name, and the second is refused as a conflict: never a double call.
    let _ = getrandom::fill(&mut octets);
    format!("form-{}", canon::hex(&octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_cannot_be_forged_stretched_or_moved() {
        let sealer = Sealer::of([7; 32]);
        for who in [Who::Key("u:main".into()), Who::User("ann".into(), "0a".into())] {
            let sealed = sealer.seal(TenantId(3), &who, 1_000);
            assert_eq!(sealer.open(&sealed, 999), Some((TenantId(3), who)));
            assert_eq!(sealer.open(&sealed, 1_000), None);
            assert_eq!(Sealer::of([8; 32]).open(&sealed, 0), None);
            let (_, mac) = sealed.split_once('.').unwrap();
            let forged = format!("{}.{mac}", URL_SAFE_NO_PAD.encode("4:1000:k::main"));
            assert_eq!(sealer.open(&forged, 0), None);
            assert_ne!(sealer.csrf(&sealed), Sealer::of([8; 32]).csrf(&sealed));
        }
        assert_eq!(sealer.open("", 0), None);
    }

    #[test]
    fn a_form_of_another_site_is_refused() {
        let headers = |origin: &str| {
            let mut h = HeaderMap::new();
            h.insert(header::HOST, "c.example:8080".parse().unwrap());
            h.insert(header::ORIGIN, origin.parse().unwrap());
            h
        };
        assert!(own_origin(&headers("http://c.example:8080")));
        assert!(!own_origin(&headers("http://evil.example")));
        assert!(!own_origin(&headers("null")));
    }
}
