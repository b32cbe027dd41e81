//! `[[sources]]`: a third party's own database that is looked at by configuration, and feeds its customer table or orders.

use super::Span;
use serde::Deserialize;
use std::collections::BTreeMap;
use units::Private;

/// `[[sources]]`: one of them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name in logs, counters and customers.
    pub name: String,
    /// Whose it is.
    pub tenant: String,
    /// `https://…` with a list (CSV, JSON lines, JSON array), or `postgres://user:password@host/database`.
    pub url: Private<String>,
    /// For PostgreSQL: the query whose rows are read; columns are fields.
    #[serde(default)]
    pub query: Option<String>,
    /// What its rows are.
    pub feeds: Feeds,
    /// Looked at so often.
    #[serde(default = "five_minutes")]
    pub every: Span,
    /// For orders: fields that all rows share; a row's own come over them.
    #[serde(default)]
    pub order: BTreeMap<String, toml::Value>,
}

/// What rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Feeds {
    /// Customers: `number`, `zone`, `lang`, `hours`, `consents`, `opt_out`.
    Customers,
    /// Orders: the fields of a request; `request_id` is needed, and a row that was ordered is not ordered again.
    Orders,
}

fn five_minutes() -> Span {
    Span::from_s(300)
}

impl Source {
    /// Does it speak PostgreSQL?
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        let url = self.url.expose();
        url.starts_with("postgres://") || url.starts_with("postgresql://")
    }
}
