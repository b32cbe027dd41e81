//! The desk in a cluster: a control node's desk offers what it claimed, a media server's desk takes it over.
//!
//! The store decides, not the bus: taking a claim over gives it a new epoch ([`Ask::Take`]), so whatever a control node
//! believes of an offer whose answer was lost, what it writes next is either the first or refused.

use super::flow::Back;
use super::lines::Line;
use super::{Desk, Fact, Held, Judge, Output, Stage, Start, Topic};
use crate::bus::shard_of;
use crate::dispatch::ServerReport;
use crate::limits::PolicyLimits;
use crate::order::Order;
use crate::permit::{Permit, Released, Slot};
use crate::policy::{Decision, Pass, permit, seal};
use crate::store::{Ask, Claimed, Lease};
use std::collections::BTreeSet;
use std::time::Duration;
use units::{Mono, Now, OrderId, ServerId};

/// The key that control nodes and media servers share; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(pub [u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// Which part of the work a desk does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it: it claims for its own server.
    Whole,
    /// It claims what its shards of tenants hold and offers it to media servers, by passes under this key.
    Control(Key),
    /// It claims nothing: what it took over it sees to its end.
    Media,
}

/// A claim for a media server.
#[derive(Debug)]
pub struct Offer {
    /// To whom.
    pub server: ServerId,
    /// The right to dial, for another process.
    pub pass: Pass,
    /// The claim.
    pub lease: Lease,
    /// Whom and what; crosses no bus.
    pub order: Box<Order>,
    /// Its capacity as this desk counts it; comes back by [`super::Input::Handed`].
    pub slot: Slot,
}

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handed {
    /// The server has taken the claim over.
    Taken,
    /// It would not.
    Refused,
    /// No answer came: the store tells when it is asked to take the claim back.
    Unknown,
}

/// An offer's answer.
#[derive(Debug)]
pub struct HandedBack {
    /// Of which claim.
    pub lease: Lease,
    /// What became of it.
    pub how: Handed,
    /// What the server said of its load.
    pub load: Option<ServerReport>,
    /// From here on the server's own reports count the call.
    pub released: Released,
}

/// The right to dial, here or elsewhere.
#[derive(Debug)]
pub(super) enum Right {
    Here(Permit, Decision),
    Elsewhere(Pass),
}

impl Right {
    /// Made of caps that were taken; `None`: the decision is too old, or none were.
    pub(super) fn of(
        part: &Part,
        held: &Held,
        stage: Stage,
        now: Now,
        limits: &PolicyLimits,
    ) -> Option<Self> {
        let (Stage::Waiting(taken), Some(decision)) = (stage, &held.decision) else { return None };
        let lease = &held.claimed.lease;
        match part {
            Part::Control(key) => seal(decision, lease, taken, now, limits, &key.0).map(Right::Elsewhere),
            _ => permit(decision, lease, taken, now, limits).map(|p| Right::Here(p, decision.clone())),
        }
    }

    /// Goes over to the server whose slot it is.
    pub(super) fn over(self, held: &mut Held, slot: Slot) -> Output {
        let (order, lease) = (held.claimed.order.clone(), held.claimed.lease.clone());
        let server = slot.server();
        match self {
            Right::Here(permit, decision) => {
                let (nth, again) = (held.claimed.attempts + 1, held.again.clone());
                Output::Start(Box::new(Start { server, permit, slot, order, lease, decision, nth, again }))
            }
            Right::Elsewhere(pass) => {
                held.stage = Stage::Offered;
                Output::Offer(Box::new(Offer { server, pass, lease, order, slot }))
            }
        }
    }
}

impl<J: Judge> Desk<J> {
    /// Whether lines are claimed now.
    pub(super) fn claims(&self, now: Now) -> bool {
        !self.draining
            && match self.part {
                Part::Whole => true,
                // Who could not renew its shards in time claims nothing: another may own them by now.
                Part::Control(_) => now.mono <= self.shards.1,
                Part::Media => false,
            }
    }

    fn owns(&self, line: Line) -> bool {
        match self.part {
            Part::Whole => true,
            Part::Control(_) => self.shards.0.contains(&shard_of(line.1)),
            Part::Media => false,
        }
    }

    /// Something is due: in a line of ours, or in one whose owner is to be told.
    pub(super) fn wake(&mut self, line: Line, due: units::Wall) {
        if self.owns(line) {
            self.lines.wake(line, due);
        } else {
            self.outputs.push_back(Output::Woken { priority: line.0, tenant: line.1, due });
        }
    }

    /// Somebody else says that something is due.
    pub(super) fn woken(&mut self, line: Line, due: units::Wall) {
        if self.owns(line) {
            self.lines.wake(line, due);
        }
    }

    pub(super) fn keep_shards(&mut self, shards: BTreeSet<u8>, until: Mono) {
        let gained = shards.difference(&self.shards.0).next().is_some();
        self.shards = (shards, until);
        let own = &self.shards.0;
        self.lines.retain(|line| own.contains(&shard_of(line.1)));
        if gained {
            self.ask(Topic::Lines, Ask::Lines);
        }
    }

    pub(super) fn handed(&mut self, now: Now, back: HandedBack) {
        let HandedBack { lease, how, load, released } = back;
        self.dispatcher.release(&released);
        if let Some(load) = load {
            self.dispatcher.report(now.mono, &load);
        }
        let order = lease.order;
        let is_it = |h: &&mut Held| h.claimed.lease.epoch == lease.epoch && matches!(h.stage, Stage::Offered);
        let Some(held) = self.held.get_mut(&order).filter(is_it) else { return };
        match how {
            Handed::Taken => {
                self.held.remove(&order);
                self.refusers.remove(&order);
            }
            Handed::Refused => {
                held.stage = Stage::Capping;
                self.unstarted += 1;
                self.dispatcher.refused(now.mono, released.server);
                self.remember_refuser(order, released.server);
                self.offer_again(now, order);
            }
            Handed::Unknown => self.back(order, now.wall, UNDIALLED, None),
        }
    }

    /// To another server, or, if enough have refused, back for a while.
    fn offer_again(&mut self, now: Now, order: OrderId) {
        let Some(held) = self.held.get(&order) else { return };
        let (lease, decision) = (held.claimed.lease.clone(), held.decision.as_ref());
        let refusals = self.refusers.get(&order).map_or(0, Vec::len);
        let Some(decision) = decision.filter(|_| refusals < self.limits.offers_max) else {
            let wait = Duration::from_millis(500 + self.rng.below(1_000));
            self.refusers.remove(&order);
            return self.back(order, now.wall.plus(wait), UNDIALLED, None);
        };
        // The caps stay taken; asking again proves it, and that the lease is still ours.
        let ask = Ask::TakeCaps { lease, caps: Vec::new(), decision: decision.json() };
        self.ask(Topic::Caps(order), ask);
    }

    pub(super) fn take_over(&mut self, claimed: Claimed) {
        self.held.insert(claimed.lease.order, Held::started(claimed));
    }

    pub(super) fn inherit(&mut self, dead: ServerId, life: u64) {
        self.dispatcher.down(dead);
        self.tell(Fact::Silent(dead));
        self.ask(Topic::Orphans, Ask::Adopt { from: dead, to: self.owner, life });
    }
}

/// Nothing was dialled: at once, and at no cost.
const UNDIALLED: Back = Back { deferred: true, refund: true, counted: false, crashed: false };
