//! The way of an order over the desk.

use super::cluster::Right;
use super::lines::Line;
use super::{Desk, Fact, Finished, Held, Judge, Output, Part, Pending, Stage, Token, Topic};
use crate::dispatch::Wanted;
use crate::order::Disposition;
use crate::policy::pass::NotTaken;
use crate::policy::{CapsTaken, Verdict};
use crate::queue::{self, Next, Recovery};
use crate::record::Record;
use crate::store::{Answer, Ask, Claimed, Error, Orphan};
use std::collections::BTreeMap;
use std::time::Duration;
use units::{Cause, Mono, Now, OrderId, Wall};

/// Expired orders ended in one question.
const EXPIRE_MAX: u32 = 500;
/// Doublings of the wait before an unavailable store is asked again.
const AGAIN_SHIFT_MAX: u32 = 5;

impl<J: Judge> Desk<J> {
    pub(super) fn begin(&mut self, now: Now) {
        self.ask(Topic::Orphans, Ask::Orphans { owner: self.owner });
        if matches!(self.part, Part::Media) {
            return;
        }
        self.ask(Topic::Lines, Ask::Lines);
        self.sweep_at = now.mono + Duration::from_millis(self.limits.sweep_ms);
    }

    /// Everything that follows from time and room alone.
    pub(super) fn pump(&mut self, now: Now) {
        self.ask_again(now);
        for server in self.dispatcher.silent(now.mono) {
            self.tell(Fact::Silent(server));
        }
        if self.sweep_at > Mono(0) && now.mono >= self.sweep_at {
            self.sweep_at = now.mono + Duration::from_millis(self.limits.sweep_ms);
            self.ask(Topic::Sweep, Ask::Expire { max: EXPIRE_MAX });
        }
        self.put_back_late(now);
        self.place_waiting(now);
        if self.claims(now) {
            self.lines.ripen(now.wall);
            self.claim_ripe(now);
        }
    }

    fn ask_again(&mut self, now: Now) {
        while let Some((at, token)) = self.again.first().copied()
            && at <= now.mono
        {
            self.again.pop_first();
            let Some(pending) = self.pending.remove(&token) else { continue };
            self.token += 1;
            let token = Token(self.token);
            self.outputs.push_back(Output::Ask(token, pending.ask.clone()));
            self.pending.insert(token, pending);
        }
    }

    fn claim_ripe(&mut self, now: Now) {
        let mut below = 10;
        while let Some((priority, lines)) = self.lines.top(below) {
            let room =
                self.dispatcher.room(priority).min(self.limits.held_max).saturating_sub(self.unstarted);
            if room == 0 {
                below = priority;
                continue;
            }
            let max = (room / lines).clamp(1, self.limits.claim_max);
            let Some(line) = self.lines.take(priority) else { return };
            self.unstarted += max;
            let ask = Ask::Claim {
                priority,
                tenant: line.1,
                due: now.wall,
                max,
                lease_ms: self.limits.lease_ms,
                owner: self.owner,
            };
            self.ask(Topic::Claim(line, max), ask);
        }
    }

    pub(super) fn stored(&mut self, now: Now, token: Token, answer: Result<Answer, Error>) {
        let Some(pending) = self.pending.remove(&token) else { return };
        if matches!(answer, Err(Error::Unavailable)) && self.worth_asking_again(now, pending.topic) {
            return self.later(now, pending);
        }
        match pending.topic {
            Topic::Orphans => self.orphans(now, answer),
            Topic::Lines => {
                for (priority, tenant, due) in lines(answer) {
                    self.wake((priority, tenant), due);
                }
            }
            Topic::Sweep => self.swept(answer),
            Topic::Claim(line, max) => self.claimed(now, line, max, answer),
            Topic::Caps(order) => self.capped(now, order, answer),
            Topic::Second(order, server) => self.second_capped(now, order, server, &answer),
            Topic::Note(order) => {
                if let Some(orphan) = self.cut_off.remove(&order) {
                    let recovery = queue::recover(&orphan, now, false);
                    self.settle(now, orphan, recovery);
                }
            }
            Topic::Back(order, line, due) => self.is_back(order, line, due, answer),
            Topic::End(order, disposition) => self.is_over(order, disposition, answer),
        }
    }

    /// Caps are worth asking for only while the lease holds; after that the order comes back by itself.
    fn worth_asking_again(&self, now: Now, topic: Topic) -> bool {
        match topic {
            Topic::Caps(order) => self.held.get(&order).is_some_and(|h| h.claimed.lease.until > now.wall),
            // Who waits on the line is told at once.
            Topic::Sweep | Topic::Second(..) => false,
            _ => true,
        }
    }

    fn later(&mut self, now: Now, mut pending: Pending) {
        let wait = self.limits.again_ms << pending.tries.min(AGAIN_SHIFT_MAX);
        pending.tries += 1;
        self.token += 1;
        let token = Token(self.token);
        self.again.insert((now.mono + Duration::from_millis(wait), token));
        self.pending.insert(token, pending);
    }

    fn swept(&mut self, answer: Result<Answer, Error>) {
        let Ok(Answer::Expired(orders)) = answer else { return };
        let full = orders.len() >= usize::try_from(EXPIRE_MAX).unwrap_or(usize::MAX);
        for order in orders {
            self.tell(Fact::Ended(order, Disposition::Expired));
        }
        if full {
            self.ask(Topic::Sweep, Ask::Expire { max: EXPIRE_MAX });
        }
        // Leases that lapsed are back in their lines; which ones, only the store knows.
        self.ask(Topic::Lines, Ask::Lines);
    }

    fn claimed(&mut self, now: Now, line: Line, max: u32, answer: Result<Answer, Error>) {
        self.unstarted = self.unstarted.saturating_sub(max);
        let (claims, next) = match answer {
            Ok(Answer::Claimed(claims, next)) => (claims, next),
            _ => (Vec::new(), Some(now.wall.plus(Duration::from_secs(1)))),
        };
        self.lines.answered(line, next);
        for claimed in claims {
            self.unstarted += 1;
            self.take_up(now, claimed);
        }
    }

    fn take_up(&mut self, now: Now, claimed: Claimed) {
        let order = claimed.order.id;
        let (poison, expired) =
            (claimed.crashes >= self.limits.crashes_max, claimed.order.expires <= now.wall);
        let decision = (!poison && !expired).then(|| self.judge.judge(now, &claimed.order));
        let (lease, callee) = (claimed.lease.clone(), claimed.order.to.clone());
        self.held.insert(
            order,
            Held { decision: decision.clone(), stage: Stage::Capping, ..Held::started(claimed) },
        );
        if claimed_for_transfer(&self.held, order) {
            // Its lease lapsed: whoever wanted to be connected has gone long since.
            return self.end(order, Disposition::Failed, None, None);
        }
        let Some(decision) = decision else {
            let disposition = if poison { Disposition::Quarantined } else { Disposition::Expired };
            return self.end(order, disposition, None, None);
        };
        match &decision.verdict {
            Verdict::Admit { caps } => {
                let due = self.smooth.book(now, order, callee.expose(), &decision.terms.smooth);
                if due > now.wall {
                    return self.defer(order, due, decision.json());
                }
                let ask = Ask::TakeCaps { lease, caps: caps.clone(), decision: decision.json() };
                self.ask(Topic::Caps(order), ask);
            }
            Verdict::Defer { until } => self.defer(order, *until, decision.json()),
            Verdict::Refuse => {
                self.tell(Fact::Refused(order));
                self.end(order, Disposition::Refused, Some(decision.json()), None);
            }
        }
    }

    fn defer(&mut self, order: OrderId, until: Wall, decision: String) {
        self.tell(Fact::Deferred(order, until));
        self.back(
            order,
            until,
            Back { deferred: true, refund: true, counted: false, crashed: false },
            Some(decision),
        );
    }

    fn capped(&mut self, now: Now, order: OrderId, answer: Result<Answer, Error>) {
        let Some(held) = self.held.get_mut(&order) else { return };
        match CapsTaken::from_answer(&answer) {
            Ok(taken) => {
                held.stage = Stage::Waiting(taken);
                let priority = held.claimed.order.priority.min(9);
                self.waiting.entry(priority).or_default().push_back(order);
            }
            Err(NotTaken::Capped { rule, until }) => {
                let expires = held.claimed.order.expires;
                let Some(decision) = held.decision.take() else { return self.fenced(order) };
                let decision = decision.capped(&rule, until, expires);
                match decision.verdict {
                    Verdict::Defer { until } => self.defer(order, until, decision.json()),
                    _ => self.end(order, Disposition::Refused, Some(decision.json()), None),
                }
            }
            Err(NotTaken::Cancelled) => self.end(order, Disposition::Cancelled, None, None),
            Err(NotTaken::Store(Error::Corrupt)) => self.end(order, Disposition::Failed, None, None),
            Err(NotTaken::Store(_) | NotTaken::Unasked) if held.again.is_some() => self.stays_unknown(order),
            Err(NotTaken::Store(_) | NotTaken::Unasked) => {
                self.fenced(order);
                // It comes back when its lease has lapsed.
                self.lines_after(now);
            }
        }
    }

    fn lines_after(&mut self, now: Now) {
        self.sweep_at = self.sweep_at.min(now.mono + Duration::from_millis(self.limits.sweep_ms));
    }

    fn fenced(&mut self, order: OrderId) {
        self.let_go(order);
        self.tell(Fact::Fenced(order));
    }

    /// Takes an order out of hand.
    fn let_go(&mut self, order: OrderId) -> Option<Held> {
        let held = self.held.remove(&order)?;
        if matches!(held.stage, Stage::Capping | Stage::Waiting(_)) {
            self.unstarted = self.unstarted.saturating_sub(1);
        }
        self.leave_queue(order, &held.claimed);
        Some(held)
    }

    pub(super) fn leave_queue(&mut self, order: OrderId, claimed: &Claimed) {
        if let Some(queue) = self.waiting.get_mut(&claimed.order.priority.min(9)) {
            queue.retain(|o| *o != order);
        }
    }

    fn place_waiting(&mut self, now: Now) {
        self.retry_at = None;
        for priority in (0..=9_u8).rev() {
            while let Some(order) = self.waiting.get_mut(&priority).and_then(|queue| queue.front().copied()) {
                if !self.place(now, priority, order) {
                    break;
                }
            }
        }
    }

    /// `false`: there is no room for this one now.
    fn place(&mut self, now: Now, priority: u8, order: OrderId) -> bool {
        if !self.still_admitted(now, order) {
            return true;
        }
        let refusers = self.refusers.get(&order).map_or(&[][..], Vec::as_slice);
        let terms = self.held.get(&order).and_then(|held| held.decision.as_ref()).map(|d| &d.terms);
        let share_max = terms.map_or(1_000, |t| t.system_permille);
        // What may be ringing already can be taken up by the server that rang.
        let only = self.held.get(&order).and_then(|held| held.again.as_ref()).map(|_| self.owner);
        let wanted = Wanted { priority, without: refusers, share_max, only, ..Wanted::default() };
        let pick = self.dispatcher.pick(now.mono, &wanted);
        // Where all have refused, one that refused is better than none.
        let pick = pick.or_else(|_| self.dispatcher.pick(now.mono, &Wanted { without: &[], ..wanted }));
        let slot = match pick {
            Ok(slot) => slot,
            Err(none) => {
                self.retry_at = self.retry_at.into_iter().chain(none.retry_at).min();
                return false;
            }
        };
        if let Some(queue) = self.waiting.get_mut(&priority) {
            queue.pop_front();
        }
        let Some(held) = self.held.get_mut(&order) else {
            self.dispatcher.release(&slot.release(Cause::NORMAL_UNSPECIFIED));
            return true;
        };
        let stage = std::mem::replace(&mut held.stage, Stage::Started);
        let right = Right::of(&self.part, held, stage, now, &self.limits.policy);
        self.unstarted = self.unstarted.saturating_sub(1);
        let Some(right) = right else {
            // The decision is older than a permit lives: back, to be judged again at once.
            self.dispatcher.release(&slot.release(Cause::NORMAL_UNSPECIFIED));
            self.back(
                order,
                now.wall,
                Back { deferred: true, refund: true, counted: false, crashed: false },
                None,
            );
            return true;
        };
        self.outputs.push_back(right.over(held, slot));
        true
    }

    /// A decision that is getting old is made anew; the caps stay taken. `false`: policy says otherwise now, and the
    /// order has gone.
    fn still_admitted(&mut self, now: Now, order: OrderId) -> bool {
        let fresh_ms = i64::try_from(self.limits.policy.permit_ms / 2).unwrap_or(i64::MAX);
        let Some(held) = self.held.get_mut(&order) else {
            self.waiting.values_mut().for_each(|queue| queue.retain(|o| *o != order));
            return false;
        };
        let old = held.decision.as_ref().is_none_or(|d| !(0..=fresh_ms).contains(&now.wall.ms_since(d.at)));
        if !old {
            return true;
        }
        let decision = self.judge.judge(now, &held.claimed.order);
        let (verdict, json) = (decision.verdict.clone(), decision.json());
        held.decision = Some(decision);
        let claimed = held.claimed.clone();
        match verdict {
            Verdict::Admit { .. } => return true,
            Verdict::Defer { until } => {
                self.leave_queue(order, &claimed);
                self.defer(order, until, json);
            }
            Verdict::Refuse => {
                self.leave_queue(order, &claimed);
                self.tell(Fact::Refused(order));
                self.end(order, Disposition::Refused, Some(json), None);
            }
        }
        false
    }

    pub(super) fn finished(&mut self, now: Now, finished: Finished) {
        let Finished { lease, outcome, result, why, released } = finished;
        self.dispatcher.release(&released);
        let order = lease.order;
        let Some(held) = self.held.get(&order).filter(|h| h.claimed.lease.epoch == lease.epoch) else {
            return;
        };
        let again = held.again.is_some();
        let (attempts, tries) = (held.claimed.attempts + u32::from(outcome.dialled), held.claimed.tries + 1);
        let expires = held.claimed.order.expires;
        let own = self.judge.retries(&held.claimed.order);
        let table = own.as_ref().unwrap_or(&self.limits.retry);
        let next = match held.claimed.order.parent() {
            // Whoever is transferred hears how it went, and chooses what to do.
            Some(_) => Next::End(outcome.disposition),
            None => queue::after(&outcome, attempts, tries, table, &mut self.rng),
        };
        if outcome.disposition == Disposition::Congestion {
            self.dispatcher.refused(now.mono, released.server);
            self.remember_refuser(order, released.server);
        }
        if outcome.disposition == Disposition::Unwanted {
            self.tell(Fact::Unwanted(order));
        }
        let why = why.map(|why| serde_json::json!({ "why": why }).to_string());
        if again && !outcome.dialled {
            return self.stays_unknown(order);
        }
        if let Some(held) = self.held.get_mut(&order) {
            // The far end has answered for itself: from here on it is an attempt like any other.
            held.again = None;
        }
        match next {
            Next::Again { after_ms, counted } if now.wall.plus(Duration::from_millis(after_ms)) < expires => {
                let due = now.wall.plus(Duration::from_millis(after_ms));
                self.tell(Fact::Again(order, due));
                self.back(
                    order,
                    due,
                    Back { deferred: false, refund: !outcome.dialled, counted, crashed: false },
                    why,
                );
            }
            // No time is left for another attempt: it ends as the last one went.
            Next::Again { .. } => self.end(order, outcome.disposition, why, result),
            Next::End(disposition) => self.end(order, disposition, why, result),
        }
    }

    pub(super) fn remember_refuser(&mut self, order: OrderId, server: units::ServerId) {
        if self.refusers.len() < self.limits.refusers_max || self.refusers.contains_key(&order) {
            self.refusers.entry(order).or_default().push(server);
        }
    }

    pub(super) fn back(&mut self, order: OrderId, due: Wall, how: Back, decision: Option<String>) {
        let Some(held) = self.held.get_mut(&order) else { return };
        if held.again.is_some() {
            // What may have rung before a crash is not dialled anew.
            return self.stays_unknown(order);
        }
        if matches!(std::mem::replace(&mut held.stage, Stage::Ending), Stage::Capping | Stage::Waiting(_)) {
            self.unstarted = self.unstarted.saturating_sub(1);
        }
        let epoch = held.claimed.lease.epoch;
        let line = (held.claimed.order.priority.min(9), held.claimed.order.tenant);
        let Back { deferred, refund, counted, crashed } = how;
        let ask = Ask::Requeue { order, epoch, due, deferred, decision, refund, counted, crashed };
        self.ask(Topic::Back(order, line, due), ask);
    }

    pub(super) fn end(
        &mut self,
        order: OrderId,
        disposition: Disposition,
        decision: Option<String>,
        result: Option<String>,
    ) {
        let Some(held) = self.held.get_mut(&order) else { return };
        if matches!(std::mem::replace(&mut held.stage, Stage::Ending), Stage::Capping | Stage::Waiting(_)) {
            self.unstarted = self.unstarted.saturating_sub(1);
        }
        let epoch = held.claimed.lease.epoch;
        self.ask(Topic::End(order, disposition), Ask::Finish { order, epoch, disposition, decision, result });
    }

    fn is_back(&mut self, order: OrderId, line: Line, due: Wall, answer: Result<Answer, Error>) {
        self.held.remove(&order);
        match answer {
            Ok(Answer::Cancelled(_)) => self.tell(Fact::Ended(order, Disposition::Cancelled)),
            Ok(_) => self.wake(line, due),
            Err(_) => self.tell(Fact::Fenced(order)),
        }
    }

    fn is_over(&mut self, order: OrderId, disposition: Disposition, answer: Result<Answer, Error>) {
        self.held.remove(&order);
        self.refusers.remove(&order);
        self.tell(if answer.is_ok() { Fact::Ended(order, disposition) } else { Fact::Fenced(order) });
    }

    pub(super) fn cancelled(&mut self, order: OrderId) {
        let waits = self.held.get(&order).is_some_and(|h| matches!(h.stage, Stage::Waiting(_)));
        if let Some(claimed) = self.held.get(&order).filter(|_| waits).map(|h| h.claimed.clone()) {
            self.leave_queue(order, &claimed);
            self.end(order, Disposition::Cancelled, None, None);
        }
    }

    pub(super) fn drain(&mut self, now: Now) {
        self.draining = true;
        self.put_back(now, |_| true);
    }

    /// What waits for a server in vain goes back before its lease ends, so that lapsing stays the sign of a crash.
    fn put_back_late(&mut self, now: Now) {
        let by = now.wall.plus(Duration::from_millis(self.limits.put_back_ms));
        if self.first_lease_end().is_some_and(|end| end <= now.wall) {
            self.put_back(now, |claimed| claimed.lease.until <= by);
        }
    }

    fn put_back(&mut self, now: Now, which: impl Fn(&Claimed) -> bool) {
        let all: Vec<OrderId> = self.waiting.values().flatten().copied().collect();
        for order in all {
            let Some(claimed) = self.held.get(&order).map(|h| h.claimed.clone()).filter(|c| which(c)) else {
                continue;
            };
            self.leave_queue(order, &claimed);
            self.back(
                order,
                now.wall,
                Back { deferred: true, refund: true, counted: false, crashed: false },
                None,
            );
        }
    }

    /// When the first waiting order must go back.
    pub(super) fn first_lease_end(&self) -> Option<Wall> {
        let margin = i64::try_from(self.limits.put_back_ms).unwrap_or(0);
        let oldest =
            self.waiting.values().filter_map(|queue| queue.front()).filter_map(|order| self.held.get(order));
        oldest.map(|held| Wall(held.claimed.lease.until.0 - margin)).min()
    }

    fn orphans(&mut self, now: Now, answer: Result<Answer, Error>) {
        let Ok(Answer::Orphans(orphans)) = answer else { return };
        for orphan in orphans {
            self.adopt(now, orphan);
        }
    }

    fn adopt(&mut self, now: Now, orphan: Orphan) {
        let order = orphan.order.id;
        let recovery = queue::recover(&orphan, now, self.can_resend(&orphan));
        let claimed = Claimed {
            lease: orphan.lease.clone(),
            order: Box::new(orphan.order.clone()),
            attempts: orphan.attempts,
            tries: 0,
            crashes: orphan.crashes,
            accepted: now.wall,
        };
        self.held.insert(order, Held::started(claimed));
        match Record::cut_off(&orphan, now.wall).filter(|_| recovery != Recovery::Resend) {
            // The record first: whoever dies between the two leaves an order that is found again.
            Some(record) => {
                self.cut_off.insert(order, orphan);
                self.ask(Topic::Note(order), Ask::Append(vec![record]));
            }
            None => self.settle(now, orphan, recovery),
        }
    }

    /// What becomes of an order that was found open.
    fn settle(&mut self, now: Now, orphan: Orphan, recovery: Recovery) {
        let order = orphan.order.id;
        let why = |text: &str| Some(serde_json::json!({ "why": text }).to_string());
        match recovery {
            Recovery::Requeue | Recovery::Redial if orphan.order.parent().is_some() => {
                self.end(
                    order,
                    Disposition::Failed,
                    why("the call that asked for it was cut by a crash"),
                    None,
                );
            }
            Recovery::Requeue | Recovery::Redial if orphan.crashes >= self.limits.crashes_max => {
                self.end(order, Disposition::Quarantined, why("it was in hand at every crash"), None);
            }
            Recovery::Requeue => {
                self.back(
                    order,
                    now.wall,
                    Back { deferred: true, refund: true, counted: false, crashed: true },
                    None,
                );
            }
            Recovery::Redial => {
                let how = Back { deferred: false, refund: false, counted: true, crashed: true };
                self.back(
                    order,
                    now.wall,
                    how,
                    why("in doubt after a crash; dialled again as the order asks"),
                );
            }
            Recovery::HangUp => {
                self.outputs.push_back(Output::HangUp(Box::new(orphan)));
                self.end(order, Disposition::Unknown, why("the call was cut by a crash"), None);
            }
            Recovery::Resend => self.resend(now, &orphan),
            Recovery::Ask => {
                // Not to be claimed before its time runs out: until then someone may decide.
                let due = orphan.order.expires;
                let how = Back { deferred: true, refund: false, counted: true, crashed: true };
                self.back(order, due, how, why("in doubt after a crash: it waits for a decision"));
            }
            Recovery::Unknown => {
                self.end(order, Disposition::Unknown, why("in doubt after a crash; not dialled twice"), None);
            }
        }
    }
}

/// Whether this order in hand was made for a transfer.
fn claimed_for_transfer(held: &BTreeMap<OrderId, Held>, order: OrderId) -> bool {
    held.get(&order).is_some_and(|held| held.claimed.order.parent().is_some())
}

/// How an order goes back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Back {
    pub(super) deferred: bool,
    pub(super) refund: bool,
    pub(super) counted: bool,
    pub(super) crashed: bool,
}

fn lines(answer: Result<Answer, Error>) -> Vec<(u8, units::TenantId, Wall)> {
    match answer {
        Ok(Answer::Lines(lines)) => lines,
        _ => Vec::new(),
    }
}
