//! After a restart: an attempt whose INVITE may have left moments ago is made again with the identical INVITE. The far side
//! takes it for a retransmission (RFC 3261 §17.2.3) and repeats its last answer, so the call goes on where it was; if the
//! first one never arrived, this one does. Only the server whose INVITE it was can do that: the names derive from its secret.

use super::{Desk, Held, Judge, Part, Stage, Topic};
use crate::order::Disposition;
use crate::policy::Verdict;
use crate::store::{Ask, Claimed, Orphan};
use units::{Now, OrderId};

impl Held {
    /// In hand, and with a server.
    pub(super) fn started(claimed: Claimed) -> Self {
        Self { claimed, decision: None, stage: Stage::Started, again: None }
    }
}

impl<J: Judge> Desk<J> {
    pub(super) fn can_resend(&self, orphan: &Orphan) -> bool {
        let ours = orphan.server == Some(self.owner) && !matches!(self.part, Part::Control(_));
        // Whoever was being connected has gone with the crash; and what brings the process down is not tried for ever.
        ours && orphan.order.parent().is_none() && orphan.crashes < self.limits.crashes_max
    }

    /// Judged again, for a permit is never older than its decision; the caps it took stay taken.
    pub(super) fn resend(&mut self, now: Now, orphan: &Orphan) {
        let order = orphan.order.id;
        let decision = self.judge.judge(now, &orphan.order);
        let Some(held) = self.held.get_mut(&order) else { return };
        // It is the same attempt: the same place in the row of trunks.
        held.claimed.attempts = held.claimed.attempts.saturating_sub(1);
        held.again = orphan.intent.as_ref().map(|(_, trunk, _)| trunk.clone());
        if !matches!(decision.verdict, Verdict::Admit { .. }) {
            return self.stays_unknown(order);
        }
        let ask = Ask::TakeCaps { lease: orphan.lease.clone(), caps: Vec::new(), decision: decision.json() };
        (held.decision, held.stage) = (Some(decision), Stage::Capping);
        self.unstarted += 1;
        self.ask(Topic::Caps(order), ask);
    }

    /// It rang, or may have, and cannot be taken up again.
    pub(super) fn stays_unknown(&mut self, order: OrderId) {
        let why = serde_json::json!({ "why": "in doubt after a crash; not dialled twice" }).to_string();
        if let Some(claimed) = self.held.get_mut(&order).map(|held| {
            held.again = None;
            held.claimed.clone()
        }) {
            self.leave_queue(order, &claimed);
        }
        self.end(order, Disposition::Unknown, Some(why), None);
    }
}
