//! Accepting orders: all or none, idempotent by (tenant, request id, digest).

use super::head::{Head, Hold};
use super::{Batch, Fail, id};
use crate::store::db::{Columns, Db, Value};
use control::order::{Order, State};
use control::store::{Answer, Error, Room};
use std::collections::BTreeMap;
use units::{OrderId, Wall};

/// A request id is the tenant's for so long; then it may be used for something else.
pub(super) const INTAKE_KEEP_MS: i64 = 7 * 24 * 3_600_000;

const KNOWN: &str = "SELECT digest, id, accepted FROM intake WHERE tenant = ?1 AND request_id = ?2";
const ORDER: &str = "INSERT INTO orders (accepted, id, tenant, body) VALUES (?1, ?2, ?3, ?4)";
const INTAKE: &str = "INSERT INTO intake (tenant, request_id, digest, id, accepted) VALUES (?1, ?2, ?3, ?4, ?5) \
     ON CONFLICT (tenant, request_id) DO UPDATE SET digest = excluded.digest, id = excluded.id, \
     accepted = excluded.accepted";

impl<D: Db> Batch<'_, D> {
    pub(super) fn accept(
        &mut self,
        orders: &[(Order, [u8; 32])],
        due: &[Wall],
        room: Room,
    ) -> Result<Answer, Fail> {
        let sets: Vec<Vec<Value>> = orders
            .iter()
            .map(|(order, _)| vec![order.tenant.0.into(), order.request_id.as_str().into()])
            .collect();
        let known = self.db.read_each(KNOWN, &sets)?;
        let mut within: BTreeMap<(u32, &str), ([u8; 32], OrderId)> = BTreeMap::new();
        let mut answers = Vec::with_capacity(orders.len());
        for ((order, digest), rows) in orders.iter().zip(known) {
            let name = (order.tenant.0, order.request_id.as_str());
            let before = match within.get(&name) {
                Some((digest, id)) => Some((digest.to_vec(), *id)),
                None => self.still_known(rows)?,
            };
            match before {
                Some((same, id)) if same == digest => answers.push((id, false)),
                Some(_) => return Err(Error::Conflict.into()),
                None => {
                    within.insert(name, (*digest, order.id));
                    answers.push((order.id, true));
                }
            }
        }
        let new = answers.iter().filter(|(_, new)| *new).count();
        if let Some((order, _)) = orders.first() {
            self.has_room(order.tenant.0, new, room)?;
        }
        for (i, (order, digest)) in orders.iter().enumerate() {
            if answers.get(i).is_some_and(|(_, new)| *new) {
                let due = due.get(i).map_or(self.now, |w| w.0);
                self.store_order(order, digest, due)?;
            }
        }
        Ok(Answer::Accepted(answers))
    }

    fn still_known(&self, rows: Vec<Vec<Value>>) -> Result<Option<(Vec<u8>, OrderId)>, Fail> {
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        let mut columns = Columns::of(row);
        let digest = columns.blob_or_null()?.unwrap_or_default();
        let order = OrderId(columns.id()?);
        let fresh = columns.int()? > self.now.saturating_sub(INTAKE_KEEP_MS);
        Ok(fresh.then_some((digest, order)))
    }

    pub(super) fn store_order(&mut self, order: &Order, digest: &[u8; 32], due: i64) -> Result<(), Fail> {
        let body = serde_json::to_string(order).map_err(|_| Error::Corrupt)?;
        let notify =
            serde_json::to_string(&(&order.request_id, &order.results_to)).map_err(|_| Error::Corrupt)?;
        self.db.write(ORDER, vec![self.now.into(), id(order.id.0), order.tenant.0.into(), body.into()])?;
        let digest = digest.to_vec();
        let intake = vec![
            order.tenant.0.into(),
            order.request_id.as_str().into(),
            digest.into(),
            id(order.id.0),
            self.now.into(),
        ];
        self.db.write(INTAKE, intake)?;
        let head = Head {
            accepted: self.now,
            tenant: order.tenant.0,
            priority: i64::from(order.priority.min(9)),
            state: State::Scheduled,
            due,
            expires: order.expires.0,
            attempts: 0,
            tries: 0,
            crashes: 0,
            changed: self.now,
            seq: 1,
            epoch: 0,
            hold: Hold::Free,
            owner: 0,
            until: 0,
            attempt: None,
            server: None,
            trunk: None,
            dialog: None,
            intent_at: None,
            acked: None,
            cancel: false,
            caps: None,
            decision: None,
            notify,
            indexed: None,
        };
        Ok(self.enlist(order.id.0, head)?)
    }
}
