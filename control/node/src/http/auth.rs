//! Who calls the API: `Authorization: Bearer KEY`; or a message signature (RFC 9421) by one of the tenant's Ed25519
//! signers, or `hmac-sha256` under a key, with `keyid="tenant/name"`, so that nothing secret travels; or a client
//! certificate. A key does what its scopes say, from where its networks say, as often as its tenant may ask.

use super::peer::{Peer, address};
use super::{Api, Problem};
use crate::intake::{Declined, Settings, whose_key};
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use control::config::Scope;
use control::order::canon;
use control::order::httpsig::{self, Key, Request, Signed, Unsigned};
use control::order::mail::Attachment;
use control::order::proof::{self, Expected, SignatureField};
use std::sync::PoisonError;
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
        let settings = api.intake.settings.load();
        let caller = known(parts, api, &settings)?;
        let scope = wanted(&parts.method, parts.uri.path());
        permitted(&caller, &settings, scope)?;
        paced(&caller, api, &settings)?;
        Ok(caller)
    }
}

/// One answer for every way of not being known.
fn unknown() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "Send `Authorization: Bearer KEY`")
}

fn known(parts: &Parts, api: &Api, settings: &Settings) -> Result<Caller, Problem> {
    let peer = parts.extensions.get::<ConnectInfo<Peer>>().map(|ConnectInfo(p)| *p);
    if !parts.headers.contains_key(header::AUTHORIZATION) {
        if parts.headers.contains_key("signature-input") {
            return signed(parts, api).map_err(|why| {
                let title = format!("The message signature proves nothing: {why:?}");
                Problem::new(StatusCode::UNAUTHORIZED, "signature", &title)
            });
        }
        let certificate = peer.and_then(|p| p.certificate);
        let tenant = certificate.and_then(|c| settings.certificates.get(&c));
        return tenant.map(|t| Caller::Tenant(*t, CERTIFICATE.to_owned())).ok_or_else(unknown);
    }
    let mut fields = parts.headers.get_all(header::AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return Err(unknown()) };
    let text = field.to_str().map_err(|_| unknown())?;
    let (scheme, key) = text.split_once(' ').ok_or_else(unknown)?;
    if !scheme.eq_ignore_ascii_case("bearer") || key.len() > 200 {
        return Err(unknown());
    }
    let from = address(peer, &parts.headers, &settings.trusted_proxies);
    let key = key.trim();
    let operator = settings.operator_key.as_ref();
    if operator.is_some_and(|o| o.digest() == canon::digest(key) && o.fits(from)) {
        return Ok(Caller::Operator);
    }
    whose_key(settings, key, from).map(|(t, name)| Caller::Tenant(t, name)).ok_or_else(unknown)
}

/// The name of whoever showed a client certificate.
const CERTIFICATE: &str = "certificate";

/// What a request needs its key to be allowed.
fn wanted(method: &Method, path: &str) -> Scope {
    let lists = ["/v1/suppressions", "/v1/customers", "/v1/policies"].iter().any(|p| path.starts_with(p));
    let asks = path.ends_with(":dryrun") || path.ends_with(":forecast");
    match (lists, asks || method == Method::GET || method == Method::HEAD) {
        (true, false) => Scope::Lists,
        (_, true) => Scope::Read,
        (false, false) => Scope::Order,
    }
}

fn permitted(caller: &Caller, settings: &Settings, scope: Scope) -> Result<(), Problem> {
    let Caller::Tenant(tenant, name) = caller else { return Ok(()) };
    let key = settings.tenants.get(tenant).and_then(|t| t.config.keys.get(name));
    if key.is_none_or(|k| k.may(scope)) {
        return Ok(());
    }
    let title = format!("This key may not do that: it lacks the scope `{scope:?}`").to_lowercase();
    Err(Problem::new(StatusCode::FORBIDDEN, "scope", &title))
}

fn paced(caller: &Caller, api: &Api, settings: &Settings) -> Result<(), Problem> {
    let Caller::Tenant(tenant, _) = caller else { return Ok(()) };
    let Some(rate) = settings.tenants.get(tenant).map(|t| t.config.requests_rate.milli_hz) else {
        return Ok(());
    };
    let mut pace = api.intake.requests.write().unwrap_or_else(PoisonError::into_inner);
    pace.take((api.intake.now)().mono, *tenant, 1, rate).map_err(|ms| Problem::from(Declined::TooFast(ms)))
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
    let (id, tenant) = settings
        .tenants
        .iter()
        .find(|(_, t)| t.config.name.eq_ignore_ascii_case(tenant))
        .ok_or(Unsigned::Key)?;
    let signer = tenant.config.signers.get(name).map(|s| Key::Ed25519(s.0));
    let shared = || tenant.config.keys.get(name)?.plain().map(|k| Key::Hmac(k.as_bytes().to_vec()));
    let key = signer.or_else(shared).ok_or(Unsigned::Key)?;
    let needed: &[&str] = if method == "GET" { &httpsig::NEEDED[..2] } else { &httpsig::NEEDED };
    let now = (api.intake.now)().wall;
    // Behind a proxy that ends TLS we cannot see the scheme that the peer signed.
    let https = signature.verify(&request("https"), &key, needed, now);
    https.or_else(|_| signature.verify(&request("http"), &key, needed, now))?;
    Ok(Caller::Tenant(*id, name.to_owned()))
}

/// What a manifest must fit in a request.
pub(super) struct Signable<'a> {
    /// `call` or `dryrun`.
    pub(super) action: &'a str,
    /// Path that it was sent to.
    pub(super) path: &'a str,
    /// What came with the order.
    pub(super) parts: &'a [Attachment],
}

/// Who signed the manifest of a request (`Call-Manifest`, `Call-Signature: keyid="tenant/name"`), and the names of the
/// parts it covers; `canonical` gives the request's canonical form for a tenant. `None`: there is no manifest.
pub(super) fn manifest(
    api: &Api,
    headers: &HeaderMap,
    asked: &Signable<'_>,
    canonical: impl FnOnce(TenantId) -> Result<String, Problem>,
) -> Result<Option<(Caller, Vec<String>)>, Problem> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let (Some(encoded), Some(field)) = (text("call-manifest"), text("call-signature")) else {
        return Ok(None);
    };
    let refuse = |why: proof::Unproven| {
        let title = format!("The manifest proves nothing: {why:?}");
        Problem::new(StatusCode::UNAUTHORIZED, "signature", &title)
    };
    let field = SignatureField::read(field).map_err(refuse)?;
    let settings = api.intake.settings.load();
    let (tenant, signer) = field.keyid.split_once('/').ok_or_else(|| refuse(proof::Unproven::Key))?;
    let found = settings.tenants.iter().find(|(_, t)| t.config.name.eq_ignore_ascii_case(tenant));
    let (id, tenant) = found.ok_or_else(|| refuse(proof::Unproven::Key))?;
    let key = tenant.config.signers.get(signer).map(|s| s.0);
    let canonical = canonical(*id)?;
    let expected = Expected {
        tenant: &tenant.config.name,
        action: asked.action,
        rcpt: asked.path,
        canonical: &canonical,
        parts: asked.parts,
        now: (api.intake.now)().wall,
    };
    let proven = proof::manifest(encoded, &field, key.as_ref(), expected).map_err(refuse)?;
    let covered = proven.parts.into_iter().map(|p| p.id).collect();
    Ok(Some((Caller::Tenant(*id, signer.to_owned()), covered)))
}
