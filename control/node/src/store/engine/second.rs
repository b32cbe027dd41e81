//! The order of a transfer: accepted and claimed in one step, if its caps allow.

use super::head::Hold;
use super::{Batch, Fail};
use crate::store::db::Db;
use control::order::Order;
use control::store::{Answer, Cap, Lease, attempt_of};
use units::{ServerId, Wall};

impl<D: Db> Batch<'_, D> {
    /// See [`control::store::Ask::Second`].
    pub(super) fn second(
        &mut self,
        order: &Order,
        caps: &[Cap],
        decision: &str,
        lease_ms: u64,
        owner: ServerId,
    ) -> Result<Answer, Fail> {
        // Before anything is written: what fails here leaves nothing behind.
        if let Some((rule, until)) = self.forbidding(caps)? {
            return Ok(Answer::Capped { rule, until: Wall(until) });
        }
        let until = self.now.saturating_add(i64::try_from(lease_ms).unwrap_or(i64::MAX));
        self.store_order(order, &[0; 32], self.now)?;
        let head = self.head(order.id.0)?.clone();
        self.take_ready(order.id.0, &head)?;
        let attempt = attempt_of(order.id, 1);
        let head = self.head(order.id.0)?;
        (head.epoch, head.hold, head.owner, head.until) = (1, Hold::Claimed, owner.0, until);
        head.attempt = Some(attempt.0);
        head.decision = Some(decision.to_owned());
        self.touch(order.id.0);
        let lease = Lease { order: order.id, attempt, epoch: 1, until: Wall(until) };
        self.log_attempt(&lease, caps)?;
        Ok(Answer::CapsTaken)
    }
}
