//! Suppression lists: who is not to be called, by whom, since when and how they said so. Held in memory for the judge;
//! each change is on the store's shelf first.

use super::facts::Suppression;
use crate::order::canon;
use crate::store::{Keep, Shelf};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use units::{Private, TenantId, Wall};

/// One entry, as it is kept and shown to its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The number or address, in its one form.
    pub number: Private<String>,
    /// Whose list; `None`: everybody's.
    #[serde(default)]
    pub tenant: Option<TenantId>,
    /// The entry.
    #[serde(flatten)]
    pub suppression: Suppression,
}

impl Entry {
    /// Its name on the shelf: owner, digest of the number, list.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}{}", prefix(self.tenant, self.number.expose()), self.suppression.list)
    }

    /// The change that keeps it.
    #[must_use]
    pub fn keep(&self) -> Keep {
        let value = serde_json::to_vec(self).expect("an entry has text keys only");
        Keep { shelf: Shelf::Suppressions, name: self.name(), value: Some(value) }
    }

    /// The change that takes it away.
    #[must_use]
    pub fn take(&self) -> Keep {
        Keep { shelf: Shelf::Suppressions, name: self.name(), value: None }
    }
}

/// The beginning of the names of one owner's entries.
#[must_use]
pub fn owner_prefix(tenant: Option<TenantId>) -> String {
    tenant.map_or_else(|| "g/".to_owned(), |t| format!("t{}/", t.0))
}

/// The beginning of the names of one number's entries.
#[must_use]
pub fn prefix(tenant: Option<TenantId>, number: &str) -> String {
    format!("{}{}/", owner_prefix(tenant), canon::hex(&canon::digest(number)[..16]))
}

/// All entries, for the judge.
#[derive(Clone, Debug, Default)]
pub struct Suppressions {
    /// By name on the shelf.
    entries: BTreeMap<String, Suppression>,
}

impl Suppressions {
    /// Enters one.
    pub fn enter(&mut self, entry: &Entry) {
        self.entries.insert(entry.name(), entry.suppression.clone());
    }

    /// Takes one out; true if it was there.
    pub fn strike(&mut self, entry: &Entry) -> bool {
        self.entries.remove(&entry.name()).is_some()
    }

    /// Entries held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// No entry is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What stands against a call of a tenant to a number.
    #[must_use]
    pub fn against(&self, tenant: TenantId, number: &str) -> Vec<Suppression> {
        if self.entries.is_empty() {
            return Vec::new();
        }
        let of = |prefix: String| {
            let end = format!("{prefix}\u{10ffff}");
            self.entries.range(prefix..end).map(|(_, s)| s.clone()).collect::<Vec<_>>()
        };
        let mut found = of(prefix(None, number));
        found.extend(of(prefix(Some(tenant), number)));
        found
    }
}

/// An entry of a list: `own`, `never`, or a registry's name.
#[must_use]
pub fn entry(tenant: Option<TenantId>, number: &str, list: &str, source: &str, since: Wall) -> Entry {
    let suppression = Suppression { list: list.to_owned(), since, source: source.to_owned(), binding: None };
    Entry { number: Private::new(number.to_owned()), tenant, suppression }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenants_list_binds_that_tenant_and_everybodys_binds_all() {
        let mut s = Suppressions::default();
        let own = entry(Some(TenantId(1)), "+15551234567", "own", "keypad", Wall(5));
        let all = entry(None, "+15550000000", "never", "mail", Wall(6));
        s.enter(&own);
        s.enter(&all);
        let lists = |t, n: &str| s.against(TenantId(t), n).into_iter().map(|s| s.list).collect::<Vec<_>>();
        assert_eq!(lists(1, "+15551234567"), ["own"]);
        assert_eq!(lists(2, "+15551234567"), Vec::<String>::new());
        assert_eq!(lists(2, "+15550000000"), ["never"]);
        assert!(!own.name().contains("1234567"), "no number in a name");
        let read: Entry = serde_json::from_slice(&own.keep().value.unwrap()).unwrap();
        assert_eq!(read, own);
        assert!(s.strike(&own) && !s.strike(&own));
        assert_eq!(s.len(), 1);
    }
}
