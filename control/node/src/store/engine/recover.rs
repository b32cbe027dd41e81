//! What comes back without being asked: lapsed leases, orders whose time ran out, a dead owner's calls; and what goes.

use super::accept::INTAKE_KEEP_MS;
use super::head::{Head, Hold, head_columns};
use super::lease::CAP_KEEP_MS;
use super::{Batch, Fail};
use crate::store::db::{Columns, Db, Value};
use control::order::{Disposition, Order};
use control::store::{Answer, Error, Lease, Orphan};
use units::{AttemptId, OrderId, ServerId, TenantId, Wall};

/// An orphan's new lease: long enough to decide what became of it.
const ORPHAN_LEASE_MS: i64 = 60_000;

const LAPSED: &str =
    "SELECT l.id FROM live l WHERE l.claimed = 1 AND l.until < ?1 ORDER BY l.until LIMIT ?2 /*claim l*/";
const EXPIRED: &str =
    "SELECT l.id FROM live l WHERE l.claimed = 0 AND l.expires <= ?1 ORDER BY l.expires LIMIT ?2 /*claim l*/";
const OWNED: &str = concat!(
    "SELECT l.id, ",
    head_columns!(),
    " FROM live l WHERE l.owner = ?1 AND l.claimed > 0 ORDER BY l.id /*lock*/"
);
const BODY: &str = "SELECT body FROM orders WHERE accepted = ?1 AND id = ?2";
// Jumps from tenant to tenant by the key instead of reading every waiting order.
const LINES: &str = "WITH RECURSIVE t(tenant) AS (SELECT min(tenant) FROM ready WHERE priority = ?1 UNION ALL \
     SELECT (SELECT min(r.tenant) FROM ready r WHERE r.priority = ?1 AND r.tenant > t.tenant) FROM t \
     WHERE t.tenant IS NOT NULL) SELECT t.tenant, (SELECT min(r.due) FROM ready r WHERE r.priority = ?1 \
     AND r.tenant = t.tenant) FROM t WHERE t.tenant IS NOT NULL";
const LIFE: &str = "SELECT epoch FROM servers WHERE id = ?1";
const FIRST_LAPSE: &str = "SELECT min(until) FROM live WHERE claimed = 1";
const FIRST_EXPIRY: &str = "SELECT min(expires) FROM live WHERE claimed = 0";

impl<D: Db> Batch<'_, D> {
    /// Claims that were given up in silence, and under which nothing was dialled, are ready again.
    pub(super) fn lapse(&mut self, max: u32) -> Result<(), Fail> {
        self.flush()?;
        for row in self.db.read(LAPSED, &[self.now.into(), max.into()])? {
            let order = Columns::of(row).id()?;
            self.refund(order)?;
            let head = self.head(order)?;
            head.crashes = head.crashes.saturating_add(1);
            let due = head.due;
            if head.cancel {
                self.finish(OrderId(order), Disposition::Cancelled, None, None)?;
            } else {
                self.free(order, due)?;
            }
        }
        Ok(())
    }

    pub(super) fn expire(&mut self, max: u32) -> Result<Answer, Fail> {
        self.lapse(max)?;
        self.flush()?;
        let rows = self.db.read(EXPIRED, &[self.now.into(), max.into()])?;
        let orders: Vec<OrderId> =
            rows.into_iter().map(|row| Columns::of(row).id().map(OrderId)).collect::<Result<_, _>>()?;
        for order in &orders {
            let head = self.head(order.0)?;
            // In doubt, and nobody has decided.
            let doubt = head.attempts > 0 && head.due >= head.expires;
            let how = if doubt { Disposition::Unknown } else { Disposition::Expired };
            self.finish(*order, how, None, None)?;
        }
        Ok(Answer::Expired(orders))
    }

    /// Open leases of an owner that is gone (or was restarted), fenced anew and given to `to`.
    pub(super) fn orphans(&mut self, from: ServerId, to: ServerId) -> Result<Answer, Fail> {
        self.flush()?;
        let rows = self.db.read(OWNED, &[from.0.into()])?;
        let mut orphans = Vec::with_capacity(rows.len());
        for row in rows {
            let mut columns = Columns::of(row);
            let order = columns.id()?;
            let mut head = Head::of(&mut columns)?;
            head.epoch += 1;
            head.owner = to.0;
            head.until = self.now + ORPHAN_LEASE_MS;
            head.crashes = head.crashes.saturating_add(1);
            let body = self.body(head.accepted, order)?;
            orphans.push(orphan(OrderId(order), &head, body)?);
            self.heads.insert(order, Some(head));
            self.touch(order);
        }
        Ok(Answer::Orphans(orphans))
    }

    /// As [`Self::orphans`], unless the dead process lives again: then what it left is its own.
    pub(super) fn adopt(&mut self, from: ServerId, to: ServerId, life: u64) -> Result<Answer, Fail> {
        let row = self.db.read(LIFE, &[from.0.into()])?.into_iter().next();
        let newest = row.map(|row| Columns::of(row).u64()).transpose()?;
        if life > 0 && newest.is_some_and(|newest| newest != life) {
            return Ok(Answer::Orphans(Vec::new()));
        }
        self.orphans(from, to)
    }

    pub(super) fn body(&mut self, accepted: i64, order: u128) -> Result<Order, Fail> {
        let row =
            self.db.read(BODY, &[accepted.into(), order.into()])?.into_iter().next().ok_or(Error::Corrupt)?;
        Ok(Columns::of(row).json()?)
    }

    pub(super) fn lines(&mut self) -> Result<Vec<(u8, TenantId, Wall)>, Fail> {
        let priorities: Vec<Vec<Value>> = (0..=9_i64).map(|p| vec![p.into()]).collect();
        let mut lines = Vec::new();
        for (priority, rows) in (0..=9_u8).zip(self.db.read_each(LINES, &priorities)?) {
            for row in rows {
                let mut columns = Columns::of(row);
                lines.push((priority, TenantId(columns.u32()?), Wall(columns.int()?)));
            }
        }
        Ok(lines)
    }

    pub(super) fn next_due(&mut self) -> Result<Answer, Fail> {
        let ready = self.lines()?.into_iter().map(|(_, _, due)| due.0).min();
        let mut times: Vec<i64> = ready.into_iter().collect();
        for sql in [FIRST_LAPSE, FIRST_EXPIRY] {
            for row in self.db.read(sql, &[])? {
                times.extend(Columns::of(row).int_or_null()?);
            }
        }
        Ok(Answer::NextDue(times.into_iter().min().map(Wall)))
    }

    pub(super) fn prune(&mut self, orders: i64, records: i64, intake: i64) -> Result<Answer, Fail> {
        let intake = intake.min(self.now - INTAKE_KEEP_MS);
        self.db.write("DELETE FROM orders WHERE accepted < ?1 AND done = 1", vec![orders.into()])?;
        self.db.write("DELETE FROM story WHERE at < ?1", vec![orders.into()])?;
        self.db.write("DELETE FROM records WHERE ended < ?1", vec![records.into()])?;
        self.db.write("DELETE FROM intake WHERE accepted < ?1", vec![intake.into()])?;
        self.db.write("DELETE FROM caps WHERE at < ?1", vec![(self.now - CAP_KEEP_MS).into()])?;
        Ok(Answer::Done)
    }
}

fn orphan(order: OrderId, head: &Head, body: Order) -> Result<Orphan, Fail> {
    let attempt = head.attempt.ok_or(Error::Corrupt)?;
    let intent = (head.hold == Hold::Dialled).then(|| {
        let at = Wall(head.intent_at.unwrap_or(head.changed));
        (at, head.trunk.clone().unwrap_or_default(), head.dialog.clone().unwrap_or_default())
    });
    Ok(Orphan {
        lease: Lease { order, attempt: AttemptId(attempt), epoch: head.epoch, until: Wall(head.until) },
        order: body,
        intent,
        acked: head.acked.clone(),
        server: head.server.map(ServerId),
        attempts: head.attempts,
        crashes: head.crashes,
    })
}
