//! The second calls of transfers: judged, capped and given capacity like any other call, but at once and on the server
//! where the first call is. What cannot be dialled now is denied, never put back: the caller waits on the line.

use super::{Desk, Fact, Held, Judge, Output, Start, Topic};
use crate::conduct::Denied;
use crate::dispatch::Wanted;
use crate::order::{Disposition, Order};
use crate::permit::{Permit, Slot};
use crate::policy::pass::NotTaken;
use crate::policy::{CapsTaken, Decision, Verdict, permit};
use crate::store::{Answer, Ask, Claimed, Error, Lease, attempt_of};
use std::time::Duration;
use units::{Cause, Now, OrderId, ServerId};

impl<J: Judge> Desk<J> {
    pub(super) fn second(&mut self, now: Now, order: Box<Order>, server: ServerId) {
        if self.draining || self.held.contains_key(&order.id) {
            return self.deny(order, server, Denied::NoResource);
        }
        let decision = self.judge.judge(now, &order);
        let Verdict::Admit { caps } = &decision.verdict else {
            self.tell(Fact::Refused(order.id));
            return self.deny(order, server, Denied::Policy);
        };
        // A pace that makes others wait makes the caller wait, too: it is as good as a refusal.
        if self.smooth.book(now, order.id, order.to.expose(), &decision.terms.smooth) > now.wall {
            return self.deny(order, server, Denied::Policy);
        }
        let lease_ms = self.limits.lease_ms;
        let ask = Ask::Second {
            order: order.clone(),
            caps: caps.clone(),
            decision: decision.json(),
            lease_ms,
            owner: self.owner,
        };
        let id = order.id;
        let until = now.wall.plus(Duration::from_millis(lease_ms));
        let lease = Lease { order: id, attempt: attempt_of(id, 1), epoch: 1, until };
        let claimed = Claimed { lease, order, attempts: 0, tries: 0, crashes: 0, accepted: now.wall };
        self.held.insert(id, Held { decision: Some(decision), ..Held::started(claimed) });
        self.ask(Topic::Second(id, server), ask);
    }

    pub(super) fn second_capped(
        &mut self,
        now: Now,
        order: OrderId,
        server: ServerId,
        answer: &Result<Answer, Error>,
    ) {
        let taken = match CapsTaken::from_answer(answer) {
            Ok(taken) => taken,
            Err(not) => {
                // Nothing was written.
                let Some(held) = self.held.remove(&order) else { return };
                let why = match not {
                    NotTaken::Capped { .. } => Denied::Policy,
                    _ => Denied::NoResource,
                };
                return self.deny(held.claimed.order, server, why);
            }
        };
        let Some(held) = self.held.get(&order) else { return };
        let (claimed, decision) = (held.claimed.clone(), held.decision.clone());
        match decision.and_then(|d| self.second_place(now, &claimed, d, taken, server)) {
            Some((permit, slot, decision)) => {
                let start = Start {
                    server,
                    permit,
                    slot,
                    order: claimed.order,
                    lease: claimed.lease,
                    decision,
                    nth: 1,
                    again: None,
                };
                self.outputs.push_back(Output::Start(Box::new(start)));
            }
            None => {
                self.deny(claimed.order, server, Denied::NoResource);
                self.end(order, Disposition::Congestion, None, None);
            }
        }
    }

    /// Capacity on that server, and the permit.
    fn second_place(
        &mut self,
        now: Now,
        claimed: &Claimed,
        decision: Decision,
        taken: CapsTaken,
        server: ServerId,
    ) -> Option<(Permit, Slot, Decision)> {
        let (priority, share_max) = (claimed.order.priority.min(9), decision.terms.system_permille);
        let wanted = Wanted { priority, share_max, only: Some(server), ..Wanted::default() };
        let slot = self.dispatcher.pick(now.mono, &wanted).ok()?;
        match permit(&decision, &claimed.lease, taken, now, &self.limits.policy) {
            Some(permit) => Some((permit, slot, decision)),
            None => {
                self.dispatcher.release(&slot.release(Cause::NORMAL_UNSPECIFIED));
                None
            }
        }
    }

    fn deny(&mut self, order: Box<Order>, server: ServerId, why: Denied) {
        self.outputs.push_back(Output::Denied(order, server, why));
    }
}
