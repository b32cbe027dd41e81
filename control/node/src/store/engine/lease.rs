//! Claims and everything that is written under one: caps, intent, progress, the way back, the end.

use super::head::{Head, Hold, head_columns};
use super::{Batch, Fail, id};
use crate::store::db::{Columns, Db, Value};
use control::order::{Disposition, Order, State};
use control::store::{Answer, Cap, Claimed, Error, Lease, attempt_of};
use std::collections::BTreeSet;
use units::{AttemptId, CampaignId, OrderId, ServerId, TenantId, Wall};

/// At most so many in one claim, whatever is asked.
const CLAIM_MAX: u32 = 1_000;
/// The log of attempts per key is kept so long; a cap cannot look further back.
pub(super) const CAP_KEEP_MS: i64 = 31 * 24 * 3_600_000;

// One ranged read per priority. A sort over mixed future rows was measured at 25 claims/s with 500,000 rows ahead.
const CLAIM: &str = concat!(
    "SELECT r.id, o.body, ",
    head_columns!(),
    " FROM ready r JOIN live l ON l.id = r.id JOIN orders o ON o.accepted = l.accepted AND o.id = r.id ",
    "WHERE r.priority = ?1 AND r.tenant = ?2 AND r.due <= ?3 ORDER BY r.due, r.id LIMIT ?4 /*claim r, l*/"
);
// By the key of `ready`, from the last one looked at.
const HELD_BACK: &str = concat!(
    "SELECT r.id, o.body, ",
    head_columns!(),
    " FROM ready r JOIN live l ON l.id = r.id JOIN orders o ON o.accepted = l.accepted AND o.id = r.id ",
    "WHERE r.priority = ?1 AND r.tenant = ?2 AND (r.due, r.id) > (?3, ?4) AND r.due <= ?5 ",
    "ORDER BY r.due, r.id LIMIT ?6 /*claim r, l*/"
);
const NEXT: &str = "SELECT min(due) FROM ready WHERE priority = ?1 AND tenant = ?2";
const CAP_AT: &str = "SELECT at FROM caps WHERE key = ?1 AND at > ?2 ORDER BY at DESC LIMIT 1 OFFSET ?3";
const CAP_TAKE: &str = "INSERT INTO caps (key, at, attempt) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
const CAP_REFUND: &str = "DELETE FROM caps WHERE key = ?1 AND at = ?2 AND attempt = ?3";
const OVER: &str = "UPDATE orders SET done = 1, disposition = ?1, attempts = ?2, changed = ?3, seq = ?4, epoch = ?5, \
     decision = ?6, result = ?7 WHERE accepted = ?8 AND id = ?9";
const BY_ATTEMPT: &str = "SELECT l.id FROM live l WHERE l.attempt = ?1 AND l.claimed > 0";

/// Orders that wait behind each other: one priority of one tenant.
pub(super) type Line = (u8, TenantId);

/// How an order goes back into the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct PutBack {
    pub(super) due: i64,
    pub(super) deferred: bool,
    pub(super) refund: bool,
    pub(super) counted: bool,
    pub(super) crashed: bool,
}

impl<D: Db> Batch<'_, D> {
    pub(super) fn claim(
        &mut self,
        line: Line,
        due: i64,
        max: u32,
        lease_ms: u64,
        owner: ServerId,
    ) -> Result<Answer, Fail> {
        self.lapse(CLAIM_MAX)?;
        self.flush()?;
        let line: [Value; 2] = [i64::from(line.0).into(), line.1.0.into()];
        let [priority, tenant] = line.clone();
        let rows = self.db.read(CLAIM, &[priority, tenant, due.into(), max.min(CLAIM_MAX).into()])?;
        let until = self.now.saturating_add(i64::try_from(lease_ms).unwrap_or(i64::MAX));
        let mut claimed = Vec::with_capacity(rows.len());
        for row in rows {
            claimed.push(self.claim_one(row, until, owner)?);
        }
        let next = self.db.read(NEXT, &line)?.into_iter().next();
        let next = next.map(|row| Columns::of(row).int_or_null()).transpose()?.flatten();
        Ok(Answer::Claimed(claimed, next.map(Wall)))
    }

    fn claim_one(&mut self, row: Vec<Value>, until: i64, owner: ServerId) -> Result<Claimed, Fail> {
        let mut columns = Columns::of(row);
        let order = OrderId(columns.id()?);
        let body: Box<Order> = columns.json()?;
        let mut head = Head::of(&mut columns)?;
        self.take_ready(order.0, &head)?;
        head.epoch += 1;
        head.hold = Hold::Claimed;
        head.owner = owner.0;
        head.until = until;
        let attempt = attempt_of(order, head.epoch);
        head.attempt = Some(attempt.0);
        let claimed = Claimed {
            lease: Lease { order, attempt, epoch: head.epoch, until: Wall(until) },
            order: body,
            attempts: head.attempts,
            tries: head.tries,
            crashes: head.crashes,
            accepted: Wall(head.accepted),
        };
        self.heads.insert(order.0, Some(head));
        self.touch(order.0);
        Ok(claimed)
    }

    /// See [`control::store::Ask::Take`].
    pub(super) fn take(&mut self, lease: &Lease, owner: ServerId, lease_ms: u64) -> Result<Answer, Fail> {
        let (order, now) = (lease.order, self.now);
        let head = self.leased(order, lease.epoch)?;
        if head.cancel {
            return Ok(Answer::Cancelled(true));
        }
        if head.hold != Hold::Claimed || head.until < now {
            return Err(Error::Fenced.into());
        }
        head.epoch += 1;
        head.owner = owner.0;
        head.until = now.saturating_add(i64::try_from(lease_ms).unwrap_or(i64::MAX));
        let head = head.clone();
        self.touch(order.0);
        let attempt = AttemptId(head.attempt.ok_or(Error::Corrupt)?);
        let claimed = Claimed {
            lease: Lease { order, attempt, epoch: head.epoch, until: Wall(head.until) },
            order: Box::new(self.body(head.accepted, order.0)?),
            attempts: head.attempts,
            tries: head.tries,
            crashes: head.crashes,
            accepted: Wall(head.accepted),
        };
        Ok(Answer::Claimed(vec![claimed], None))
    }

    /// Deferred orders of a campaign are due now. See [`control::store::Ask::Hasten`].
    pub(super) fn hasten(
        &mut self,
        line: Line,
        campaign: CampaignId,
        after: (Wall, OrderId),
        until: i64,
        max: u32,
    ) -> Result<Answer, Fail> {
        self.flush()?;
        let max = max.clamp(1, CLAIM_MAX);
        let key = [i64::from(line.0).into(), line.1.0.into(), after.0.0.into(), id(after.1.0)];
        let rows = self.db.read(HELD_BACK, &[&key[..], &[until.into(), max.into()]].concat())?;
        let full = u32::try_from(rows.len()).is_ok_and(|n| n >= max);
        let (mut hastened, mut last) = (0, None);
        for row in rows {
            let mut columns = Columns::of(row);
            let order = columns.id()?;
            let body: Box<Order> = columns.json()?;
            let mut head = Head::of(&mut columns)?;
            last = Some((Wall(head.due), OrderId(order)));
            if body.campaign != Some(campaign) || head.state != State::Deferred || head.due <= self.now {
                continue;
            }
            self.take_ready(order, &head)?;
            head.due = self.now;
            self.put_ready(order, &head)?;
            self.heads.insert(order, Some(head));
            self.touch(order);
            hastened += 1;
        }
        Ok(Answer::Hastened(hastened, last.filter(|_| full)))
    }

    pub(super) fn take_caps(&mut self, lease: &Lease, caps: &[Cap], decision: &str) -> Result<Answer, Fail> {
        let now = self.now;
        let head = self.leased(lease.order, lease.epoch)?;
        if head.cancel {
            return Ok(Answer::Cancelled(true));
        }
        // A lease past its time may be claimed by another at any moment: what is not dialled yet is not dialled any more.
        if head.hold == Hold::Claimed && head.until < now {
            return Err(Error::Fenced.into());
        }
        let taken_before = head.caps.is_some();
        if let Some((rule, until)) = if taken_before { None } else { self.forbidding(caps)? } {
            return Ok(Answer::Capped { rule, until: Wall(until) });
        }
        if !taken_before {
            self.log_attempt(lease, caps)?;
        }
        let head = self.leased(lease.order, lease.epoch)?;
        head.decision = Some(decision.to_owned());
        self.touch(lease.order.0);
        Ok(Answer::CapsTaken)
    }

    /// The cap that forbids longest, with the time at which it would allow.
    pub(super) fn forbidding(&mut self, caps: &[Cap]) -> Result<Option<(String, i64)>, Fail> {
        let mut sets = Vec::with_capacity(caps.len() * 2);
        for cap in caps {
            let from = self.now - period(cap.period_ms);
            let gap_from = self.now - period(cap.min_gap_ms);
            sets.push(vec![cap.key.as_str().into(), from.into(), i64::from(cap.n.max(1) - 1).into()]);
            sets.push(vec![cap.key.as_str().into(), gap_from.into(), 0_i64.into()]);
        }
        let found = self.db.read_each(CAP_AT, &sets)?;
        let mut worst: Option<(String, i64)> = None;
        for (cap, pair) in caps.iter().zip(found.chunks(2)) {
            let at = |i: usize| {
                pair.get(i)
                    .and_then(|rows: &Vec<Vec<Value>>| rows.first())
                    .map(|r| Columns::of(r.clone()).int())
            };
            let full = at(0).transpose()?.map(|at| at + period(cap.period_ms));
            let close = at(1).transpose()?.map(|at| at + period(cap.min_gap_ms));
            let never = (cap.n == 0).then(|| self.now + period(cap.period_ms));
            if let Some(until) = full.max(close).max(never)
                && worst.as_ref().is_none_or(|(_, w)| until > *w)
            {
                worst = Some((cap.rule.clone(), until));
            }
        }
        Ok(worst)
    }

    pub(super) fn log_attempt(&mut self, lease: &Lease, caps: &[Cap]) -> Result<(), Fail> {
        let keys: BTreeSet<&str> = caps.iter().map(|c| c.key.as_str()).collect();
        for key in &keys {
            self.db.write(CAP_TAKE, vec![(*key).into(), self.now.into(), lease.attempt.0.into()])?;
        }
        let taken = serde_json::to_string(&(self.now, keys)).map_err(|_| Error::Corrupt)?;
        self.leased(lease.order, lease.epoch)?.caps = Some(taken);
        Ok(())
    }

    /// Takes an attempt out of the caps' log again: nobody's telephone can have rung.
    pub(super) fn refund(&mut self, order: u128) -> Result<(), Fail> {
        let head = self.head(order)?;
        let (Some(taken), Some(attempt)) = (head.caps.take(), head.attempt) else { return Ok(()) };
        let (at, keys): (i64, Vec<String>) = serde_json::from_str(&taken).map_err(|_| Error::Corrupt)?;
        for key in keys {
            self.db.write(CAP_REFUND, vec![key.into(), at.into(), attempt.into()])?;
        }
        Ok(())
    }

    pub(super) fn intent(
        &mut self,
        lease: &Lease,
        server: ServerId,
        trunk: &str,
        dialog: &[u8],
    ) -> Result<Answer, Fail> {
        let now = self.now;
        let head = self.leased(lease.order, lease.epoch)?;
        if head.cancel {
            return Ok(Answer::Cancelled(true));
        }
        if head.hold == Hold::Claimed && head.until < now {
            return Err(Error::Fenced.into());
        }
        let fresh = head.hold == Hold::Claimed;
        if fresh {
            head.attempts = head.attempts.saturating_add(1);
            head.hold = Hold::Dialled;
        }
        head.server = Some(server.0);
        head.trunk = Some(trunk.to_owned());
        head.dialog = Some(dialog.to_vec());
        // The same attempt again after a crash: its first INVITE is the one whose age counts.
        head.intent_at = head.intent_at.filter(|_| !fresh).or(Some(now));
        self.change(lease.order, State::Calling)?;
        Ok(Answer::Done)
    }

    pub(super) fn ack_intent(
        &mut self,
        attempt: AttemptId,
        epoch: u64,
        dialog: &[u8],
    ) -> Result<Answer, Fail> {
        let order = self.order_of(attempt)?;
        let head = self.leased(order, epoch)?;
        head.acked = Some(dialog.to_vec());
        self.touch(order.0);
        Ok(Answer::Done)
    }

    fn order_of(&mut self, attempt: AttemptId) -> Result<OrderId, Fail> {
        let here =
            self.heads.iter().find(|(_, head)| head.as_ref().is_some_and(|h| h.attempt == Some(attempt.0)));
        if let Some((order, _)) = here {
            return Ok(OrderId(*order));
        }
        let row = self.db.read(BY_ATTEMPT, &[attempt.0.into()])?.into_iter().next().ok_or(Error::Fenced)?;
        Ok(OrderId(Columns::of(row).id()?))
    }

    pub(super) fn progress(&mut self, order: OrderId, epoch: u64, state: State) -> Result<Answer, Fail> {
        let cancelled = self.leased(order, epoch)?.cancel;
        self.change(order, state)?;
        Ok(if cancelled { Answer::Cancelled(true) } else { Answer::Done })
    }

    /// A change of state that the third party may see.
    pub(super) fn change(&mut self, order: OrderId, state: State) -> Result<(), Fail> {
        let now = self.now;
        let head = self.head(order.0)?;
        head.state = state;
        head.seq += 1;
        head.changed = now;
        self.touch(order.0);
        self.tell_change(order)
    }

    pub(super) fn requeue(
        &mut self,
        order: OrderId,
        epoch: u64,
        put: PutBack,
        decision: Option<&str>,
    ) -> Result<Answer, Fail> {
        if self.leased(order, epoch)?.cancel {
            if put.refund {
                self.refund(order.0)?;
            }
            self.finish(order, Disposition::Cancelled, None, None)?;
            return Ok(Answer::Cancelled(true));
        }
        if put.refund {
            self.refund(order.0)?;
        }
        let head = self.head(order.0)?;
        if put.counted {
            head.tries = 0;
        } else {
            let given_back = u32::from(head.hold == Hold::Dialled);
            head.attempts = head.attempts.saturating_sub(given_back);
            head.tries = head.tries.saturating_add(u32::from(!put.deferred));
        }
        if !put.crashed {
            head.crashes = 0;
        }
        if let Some(decision) = decision {
            head.decision = Some(decision.to_owned());
        }
        self.free(order.0, put.due)?;
        self.change(order, if put.deferred { State::Deferred } else { State::Scheduled })?;
        Ok(Answer::Done)
    }

    /// Gives the claim up: the order may be claimed from `due` on.
    pub(super) fn free(&mut self, order: u128, due: i64) -> Result<(), Fail> {
        let head = self.head(order)?;
        head.hold = Hold::Free;
        head.due = due;
        (head.caps, head.server, head.trunk, head.dialog, head.intent_at, head.acked) =
            (None, None, None, None, None, None);
        let head = head.clone();
        self.touch(order);
        Ok(self.put_ready(order, &head)?)
    }

    pub(super) fn finish_leased(
        &mut self,
        order: OrderId,
        epoch: u64,
        disposition: Disposition,
        decision: Option<&str>,
        result: Option<&str>,
    ) -> Result<Answer, Fail> {
        let nothing_dialled = self.leased(order, epoch)?.hold == Hold::Claimed;
        if nothing_dialled {
            self.refund(order.0)?;
        }
        self.finish(order, disposition, decision, result)?;
        Ok(Answer::Done)
    }

    /// The order is over: its last status goes beside its payload, its hot rows go, its notices come.
    pub(super) fn finish(
        &mut self,
        order: OrderId,
        disposition: Disposition,
        decision: Option<&str>,
        result: Option<&str>,
    ) -> Result<(), Fail> {
        let now = self.now;
        let head = self.head(order.0)?;
        head.state = State::Done;
        head.seq += 1;
        head.changed = now;
        if let Some(decision) = decision {
            head.decision = Some(decision.to_owned());
        }
        let head = head.clone();
        let name = serde_json::to_string(&disposition).map_err(|_| Error::Corrupt)?;
        let row = vec![
            name.trim_matches('"').into(),
            head.attempts.into(),
            now.into(),
            head.seq.into(),
            head.epoch.into(),
            head.decision.clone().into(),
            result.map(str::to_owned).into(),
            head.accepted.into(),
            id(order.0),
        ];
        self.db.write(OVER, row)?;
        self.tell_end(order, &head, disposition, result)?;
        Ok(self.delist(order.0)?)
    }

    pub(super) fn cancel(&mut self, tenant: TenantId, order: OrderId) -> Result<Answer, Fail> {
        let head = match self.head(order.0) {
            Ok(head) => head,
            Err(Fail::Rule(Error::NotFound)) => return self.cancel_absent(tenant, order),
            Err(fail) => return Err(fail),
        };
        if head.tenant != tenant.0 {
            return Err(Error::NotFound.into());
        }
        if head.hold != Hold::Free {
            head.cancel = true;
            self.touch(order.0);
            return Ok(Answer::Cancelled(false));
        }
        self.finish(order, Disposition::Cancelled, None, None)?;
        Ok(Answer::Cancelled(true))
    }

    /// See [`control::store::Ask::Redial`]. What waits for a decision is due when its time runs out.
    pub(super) fn redial(&mut self, tenant: TenantId, order: OrderId) -> Result<Answer, Fail> {
        let now = self.now;
        let head = self.head(order.0)?;
        if head.tenant != tenant.0 {
            return Err(Error::NotFound.into());
        }
        if head.hold != Hold::Free || head.due < head.expires || head.attempts == 0 {
            return Err(Error::Conflict.into());
        }
        let waits = head.clone();
        head.due = now;
        let ready = head.clone();
        self.touch(order.0);
        self.take_ready(order.0, &waits)?;
        self.put_ready(order.0, &ready)?;
        Ok(Answer::Done)
    }

    fn cancel_absent(&mut self, tenant: TenantId, order: OrderId) -> Result<Answer, Fail> {
        match self.status(Some(tenant), order)? {
            Answer::Status(Some(_)) => Err(Error::Conflict.into()),
            _ => Err(Error::NotFound.into()),
        }
    }
}

fn period(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX).min(CAP_KEEP_MS)
}
