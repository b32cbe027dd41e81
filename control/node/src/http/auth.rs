//! Who calls the API: `Authorization: Bearer KEY`, or a message signature (RFC 9421, `hmac-sha256`) under that key
//! with `keyid="tenant/key name"`, so that the key itself never travels.

use super::{Api, Problem};
use crate::intake::whose_key;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use control::order::canon;
use control::order::httpsig::{self, Key, Request, Signed, Unsigned};
use units::TenantId;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A third party, with the name of its key.
    Tenant(TenantId, String),
    /// The operator: sees every tenant's.
    Operator,
}

impl Caller {
    /// Whose data may be seen: `None` is all.
    #[must_use]
    pub fn scope(&self) -> Option<TenantId> {
        match self {
            Self::Tenant(t, _) => Some(*t),
            Self::Operator => None,
        }
    }

    /// The tenant who orders.
    ///
    /// # Errors
    /// The operator orders nothing: it has no tenant's money to spend.
    pub fn tenant(&self) -> Result<(TenantId, &str), Problem> {
        match self {
            Self::Tenant(t, key) => Ok((*t, key)),
            Self::Operator => Err(Problem::new(StatusCode::FORBIDDEN, "operator", "Use the key of a tenant")),
        }
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        if parts.headers.contains_key("signature-input") && !parts.headers.contains_key(header::AUTHORIZATION)
        {
            return signed(parts, api).map_err(|why| {
                let title = format!("The message signature proves nothing: {why:?}");
                Problem::new(StatusCode::UNAUTHORIZED, "signature", &title)
            });
        }
        // One answer for every way of not being known.
        let unknown =
            || Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "Send `Authorization: Bearer KEY`");
        let mut fields = parts.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(field), None) = (fields.next(), fields.next()) else { return Err(unknown()) };
        let text = field.to_str().map_err(|_| unknown())?;
        let (scheme, key) = text.split_once(' ').ok_or_else(unknown)?;
        if !scheme.eq_ignore_ascii_case("bearer") || key.len() > 200 {
            return Err(unknown());
        }
        let settings = api.intake.settings.load();
        if settings.operator_key == Some(canon::digest(key.trim())) {
            return Ok(Self::Operator);
        }
        whose_key(&settings, key.trim()).map(|(t, name)| Self::Tenant(t, name)).ok_or_else(unknown)
    }
}

/// A request that is signed: what it covers is what an order needs covered.
fn signed(parts: &Parts, api: &Api) -> Result<Caller, Unsigned> {
    let text = |v: &axum::http::HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
    let fields: Vec<(String, String)> =
        parts.headers.iter().map(|(n, v)| (n.as_str().to_owned(), text(v))).collect();
    let authority = parts.headers.get(header::HOST).map(text).unwrap_or_default();
    let target = parts.uri.path_and_query().map_or("/", |t| t.as_str());
    let method = parts.method.as_str();
    let request = |scheme| Request { method, scheme, authority: &authority, target, fields: &fields };
    let signature = Signed::read(&request("https"))?;
    let settings = api.intake.settings.load();
    let (tenant, name) = signature.keyid.split_once('/').ok_or(Unsigned::Key)?;
    let (id, key) = settings
        .tenants
        .iter()
        .filter(|(_, t)| t.config.name.eq_ignore_ascii_case(tenant))
        .find_map(|(id, t)| t.config.keys.get(name).map(|k| (*id, k)))
        .ok_or(Unsigned::Key)?;
    let key = Key::Hmac(key.expose().clone().into_bytes());
    let needed: &[&str] = if method == "GET" { &httpsig::NEEDED[..2] } else { &httpsig::NEEDED };
    let now = (api.intake.now)().wall;
    // Behind a proxy that ends TLS we cannot see the scheme that the peer signed.
    let https = signature.verify(&request("https"), &key, needed, now);
    https.or_else(|_| signature.verify(&request("http"), &key, needed, now))?;
    Ok(Caller::Tenant(id, name.to_owned()))
}
