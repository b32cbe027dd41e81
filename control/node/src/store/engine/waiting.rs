//! How many orders are accepted and not over, by tenant: a maintained count, so that a bound costs no scan.
//!
//! Each process adds to a row of its own (`slot`), so that two writers seldom wait for each other; the sum of the rows is
//! the count, and one row alone may be below zero.

use super::{Batch, Fail};
use crate::store::db::{Columns, Db, DbError};
use control::store::{Error, Room};
use std::collections::BTreeMap;

const OF: &str = "SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM waiting WHERE tenant = ?1";
const ALL: &str = "SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM waiting WHERE tenant >= ?1";
const ADD: &str = "INSERT INTO waiting (tenant, slot, n) VALUES (?1, ?2, ?3) \
     ON CONFLICT (tenant, slot) DO UPDATE SET n = waiting.n + excluded.n";

/// What this transaction changes, and what it has read.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    changes: BTreeMap<u32, i64>,
    read: BTreeMap<Option<u32>, i64>,
}

impl Waiting {
    pub(super) fn add(&mut self, tenant: u32, n: i64) {
        *self.changes.entry(tenant).or_default() += n;
    }
}

impl<D: Db> Batch<'_, D> {
    /// Whether so many new orders of a tenant find room.
    pub(super) fn has_room(&mut self, tenant: u32, new: usize, room: Room) -> Result<(), Fail> {
        let new = i64::try_from(new).unwrap_or(i64::MAX);
        let bounds = [(Some(tenant), room.tenant), (None, room.all)];
        for (whose, bound) in bounds.into_iter().filter(|(_, bound)| *bound < u32::MAX) {
            if new > 0 && self.waiting_of(whose)?.saturating_add(new) > i64::from(bound) {
                return Err(Error::Full { tenant: whose.is_some() }.into());
            }
        }
        Ok(())
    }

    fn waiting_of(&mut self, whose: Option<u32>) -> Result<i64, Fail> {
        let stored = match self.waiting.read.get(&whose) {
            Some(stored) => *stored,
            None => {
                let (sql, from) = whose.map_or((ALL, 0), |tenant| (OF, tenant));
                let row = self.db.read(sql, &[from.into()])?.into_iter().next();
                let stored = row.map(|row| Columns::of(row).int()).transpose()?.unwrap_or(0);
                self.waiting.read.insert(whose, stored);
                stored
            }
        };
        let changes = &self.waiting.changes;
        let here = match whose {
            Some(tenant) => changes.get(&tenant).copied().unwrap_or(0),
            None => changes.values().sum(),
        };
        Ok(stored.saturating_add(here))
    }

    /// Writes the changes: the last thing in a transaction, so that nobody waits long for these rows.
    pub(super) fn count_waiting(&mut self) -> Result<(), DbError> {
        let slot = self.db.slot();
        for (tenant, n) in std::mem::take(&mut self.waiting.changes).into_iter().filter(|(_, n)| *n != 0) {
            self.db.write(ADD, vec![tenant.into(), slot.into(), n.into()])?;
        }
        Ok(())
    }
}
