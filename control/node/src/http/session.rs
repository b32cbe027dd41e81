//! Signing in to the pages: a key once, then a cookie that says who it was, sealed with a secret of this process.
//! `SameSite=Strict` and `HttpOnly`, an hour long; a POST must come from our own pages.

use super::{Api, Caller};
use crate::intake::whose_key;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use control::order::canon;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::net::IpAddr;
use units::TenantId;

/// A session lives so long, ms.
const LIFE_MS: i64 = 3_600_000;
const COOKIE: &str = "carillon_session";

/// The secret of this process's sessions; they end with it.
#[derive(Clone)]
pub struct Sealer([u8; 32]);

impl Sealer {
    /// A secret from the kernel.
    ///
    /// # Errors
    /// If the kernel gives none.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(Self(secret))
    }

    fn mac(&self, text: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(text.as_bytes());
        mac
    }

    fn seal(&self, tenant: TenantId, key: &str, until: i64) -> String {
        let text = format!("{}:{until}:{key}", tenant.0);
        let mac = URL_SAFE_NO_PAD.encode(self.mac(&text).finalize().into_bytes());
        format!("{}.{mac}", URL_SAFE_NO_PAD.encode(text))
    }

    fn open(&self, cookie: &str, now: i64) -> Option<(TenantId, String)> {
        let (text, mac) = cookie.split_once('.')?;
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        self.mac(&text).verify_slice(&URL_SAFE_NO_PAD.decode(mac).ok()?).ok()?;
        let mut parts = text.splitn(3, ':');
        let tenant = parts.next()?.parse().ok()?;
        let until: i64 = parts.next()?.parse().ok()?;
        (until > now).then_some((TenantId(tenant), parts.next()?.to_owned()))
    }
}

/// A cookie for whoever shows a tenant's key.
pub(super) fn sign_in(api: &Api, key: &str, from: Option<IpAddr>) -> Option<String> {
    let settings = api.intake.settings.load();
    let (tenant, name) = whose_key(&settings, key.trim(), from)?;
    let sealed = api.sealer.seal(tenant, &name, (api.intake.now)().wall.0 + LIFE_MS);
    Some(format!("{COOKIE}={sealed}; Path=/console; HttpOnly; SameSite=Strict; Max-Age={}", LIFE_MS / 1_000))
}

/// The cookie that ends a session.
pub(super) fn sign_out() -> String {
    format!("{COOKIE}=; Path=/console; HttpOnly; SameSite=Strict; Max-Age=0")
}

/// A tenant at the pages.
pub(super) struct SignedIn(pub(super) Caller);

impl FromRequestParts<Api> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        if parts.method == axum::http::Method::POST && !own_origin(&parts.headers) {
            return Err((StatusCode::FORBIDDEN, "This form was not sent by our page").into_response());
        }
        let cookies = parts.headers.get_all(header::COOKIE).iter().filter_map(|c| c.to_str().ok());
        let named = cookies.flat_map(|c| c.split(';')).filter_map(|c| c.trim().strip_prefix(COOKIE));
        let sealed = named.filter_map(|c| c.strip_prefix('=')).next();
        let opened = sealed.and_then(|s| api.sealer.open(s, (api.intake.now)().wall.0));
        // A key that was taken away takes its sessions with it.
        let settings = api.intake.settings.load();
        let valid = opened.filter(|(t, name)| {
            settings.tenants.get(t).is_some_and(|tenant| tenant.config.keys.contains_key(name))
        });
        match valid {
            Some((tenant, name)) => Ok(Self(Caller::Tenant(tenant, name))),
            None => Err(Redirect::to("/console/login").into_response()),
        }
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
        let sealer = Sealer([7; 32]);
        let sealed = sealer.seal(TenantId(3), "main", 1_000);
        assert_eq!(sealer.open(&sealed, 999), Some((TenantId(3), "main".into())));
        assert_eq!(sealer.open(&sealed, 1_000), None);
        assert_eq!(Sealer([8; 32]).open(&sealed, 0), None);
        let (_, mac) = sealed.split_once('.').unwrap();
        let forged = format!("{}.{mac}", URL_SAFE_NO_PAD.encode("4:1000:main"));
        assert_eq!(sealer.open(&forged, 0), None);
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
