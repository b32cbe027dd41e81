//! Who calls the API: `Authorization: Bearer KEY`.

use super::{Api, Problem};
use crate::intake::whose_key;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use control::order::canon;
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
