//! The desk: drives every order from its due time to a call, and what is left of it back into the queue or to its end.
//!
//! It claims due orders from the store, has policy judge them, takes their caps, reserves capacity at a server chosen
//! by dispatch, mints the permit, and hands all of it out as [`Start`]. When the call is over it books the capacity and
//! applies the retry table. It holds nothing that is not also in the store: after a crash a lease lapses, or the
//! journal tells what was dialled.
//!
//! In one process the desk does all of that ([`Part::Whole`]). In a cluster a control node's desk claims, judges and
//! offers the claim to a media server ([`Part::Control`]), and the media server's desk sees what it took over to its end
//! ([`Part::Media`]), so that calls go on and are booked whatever becomes of who offered them.
//!
//! Sans-IO: `handle` one input, `poll` to the end, come back at `deadline`.

mod cluster;
mod flow;
mod lines;
mod resend;
mod second;
mod smooth;

use crate::conduct::Denied;
use crate::dispatch::{self, Dispatcher, ServerReport};
use crate::limits::PolicyLimits;
use crate::order::{Disposition, Order};
use crate::permit::{Permit, Released, Slot};
use crate::policy::{CapsTaken, Decision};
use crate::queue::{Outcome, RetryTable};
use crate::store::{Answer, Ask, Claimed, Error, Lease, Orphan};
pub use cluster::{Handed, HandedBack, Key, Offer, Part};
use lines::{Line, Lines};
use smooth::Smooth;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use units::{Mono, Now, OrderId, Rng, Seed, ServerId, TenantId, Wall};

/// Names a question to the store; the answer brings it back. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Who judges: policy with its rules and facts at hand.
pub trait Judge {
    /// May this order be dialled now?
    fn judge(&mut self, now: Now, order: &Order) -> Decision;

    /// What follows failed attempts of this order, where its tenant has its own table.
    fn retries(&self, _order: &Order) -> Option<RetryTable> {
        None
    }
}

/// What the desk must be given.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Orders claimed and not started, at most.
    pub held_max: u32,
    /// Orders in one claim, at most.
    pub claim_max: u32,
    /// Length of a lease: from the claim to the durable intent, ms.
    pub lease_ms: u64,
    /// What has not started so long before its lease ends goes back, ms.
    pub put_back_ms: u64,
    /// Orders kept in mind with servers that refused them.
    pub refusers_max: usize,
    /// Expired orders and lapsed leases are looked for so often (one indexed probe each), ms.
    pub sweep_ms: u64,
    /// An unavailable store is asked again after this, doubling up to 32 times it, ms.
    pub again_ms: u64,
    /// Paces of smoothing kept at most, and calls booked ahead.
    pub paces_max: usize,
    /// Crashes after which an order is quarantined.
    pub crashes_max: u32,
    /// Servers that may refuse an order before it goes back for a while.
    pub offers_max: usize,
    /// Policy's.
    pub policy: PolicyLimits,
    /// Retries.
    pub retry: RetryTable,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            held_max: 512,
            claim_max: 64,
            lease_ms: 60_000,
            put_back_ms: 20_000,
            refusers_max: 10_000,
            sweep_ms: 5_000,
            again_ms: 100,
            paces_max: 10_000,
            crashes_max: 2,
            offers_max: 3,
            policy: PolicyLimits::default(),
            retry: RetryTable::default(),
        }
    }
}

/// What the desk is told.
#[derive(Debug)]
pub enum Input {
    /// The first of all: the desk asks for what a former life left open, and for all lines.
    Begin,
    /// The store answers.
    Stored(Token, Result<Answer, Error>),
    /// An order was accepted or put back by someone else: there is something due in this line.
    Woken {
        /// Priority.
        priority: u8,
        /// Whose.
        tenant: TenantId,
        /// Due.
        due: Wall,
    },
    /// A call that was started is over; its record is durable.
    Finished(Box<Finished>),
    /// A call that came in, or a transfer, gave its capacity back.
    Returned(Released),
    /// A call on this server wants to transfer its caller: answered by [`Output::Start`] or [`Output::Denied`].
    Second(Box<Order>, ServerId),
    /// A server tells its load.
    Report(ServerReport),
    /// A server is dead.
    Down(ServerId),
    /// Its tenant took the order back.
    Cancelled(OrderId),
    /// New shares, scheme, by the operator.
    Scheme(dispatch::Scheme, dispatch::Shares),
    /// Claim nothing more (shutdown): what has not started goes back.
    Drain,
    /// [`Part::Control`]: these shards of tenants are ours until then.
    Shards(BTreeSet<u8>, Mono),
    /// [`Part::Control`]: what became of an offer.
    Handed(Box<HandedBack>),
    /// [`Part::Media`]: a claim was taken over, and its call begins.
    Taken(Box<Claimed>),
    /// Another process is dead, in this life of it: what it held is ours now.
    Dead(ServerId, u64),
    /// The deadline passed.
    Timer,
}

/// How a call went.
#[derive(Debug)]
pub struct Finished {
    /// The lease it ran under.
    pub lease: Lease,
    /// How it went.
    pub outcome: Outcome,
    /// Values and recordings, JSON; private.
    pub result: Option<String>,
    /// In words, free of private data.
    pub why: Option<String>,
    /// Its capacity.
    pub released: Released,
}

/// Everything a server needs to call.
#[derive(Debug)]
pub struct Start {
    /// Where.
    pub server: ServerId,
    /// The right to.
    pub permit: Permit,
    /// The capacity; comes back by [`Input::Finished`].
    pub slot: Slot,
    /// Whom and what.
    pub order: Box<Order>,
    /// Under which claim.
    pub lease: Lease,
    /// On which terms.
    pub decision: Decision,
    /// Which attempt this will be, from 1.
    pub nth: u32,
    /// The same attempt after a crash, by the trunk whose INVITE is sent again; `None`: a new one.
    pub again: Option<String>,
}

/// What the doors are to do.
#[derive(Debug)]
pub enum Output {
    /// Ask the store; answer by [`Input::Stored`].
    Ask(Token, Ask),
    /// Hand to the server.
    Start(Box<Start>),
    /// The transfer that this order was made for is not to be dialled.
    Denied(Box<Order>, ServerId, Denied),
    /// [`Part::Control`]: offer to a media server; answer by [`Input::Handed`].
    Offer(Box<Offer>),
    /// Something is due in a line that another desk claims: it is to be told.
    Woken {
        /// Priority.
        priority: u8,
        /// Whose.
        tenant: TenantId,
        /// Due.
        due: Wall,
    },
    /// A former life left this callee connected: send a BYE by the journalled dialog.
    HangUp(Box<Orphan>),
    /// For logs and counters.
    Fact(Fact),
}

/// For logs and counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Policy put it off.
    Deferred(OrderId, Wall),
    /// Policy refused it.
    Refused(OrderId),
    /// The order is over.
    Ended(OrderId, Disposition),
    /// Another attempt, not before.
    Again(OrderId, Wall),
    /// Someone else holds it now: a lease lapsed under us.
    Fenced(OrderId),
    /// The callee never wants to be called again (607): to be put on the suppression list.
    Unwanted(OrderId),
    /// A server has fallen silent.
    Silent(ServerId),
}

/// An order in hand.
#[derive(Debug)]
struct Held {
    claimed: Claimed,
    decision: Option<Decision>,
    stage: Stage,
    /// It rang, or may have, before a crash: the trunk. It is never put back undialled.
    again: Option<String>,
}

#[derive(Debug)]
enum Stage {
    /// The store takes its caps.
    Capping,
    /// May be dialled as soon as a server has room.
    Waiting(CapsTaken),
    /// It was offered to a server.
    Offered,
    /// A server has it.
    Started,
    /// Its end or its way back is being written.
    Ending,
}

/// A question under way.
#[derive(Debug)]
struct Pending {
    ask: Ask,
    topic: Topic,
    tries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topic {
    Orphans,
    Lines,
    Sweep,
    Claim(Line, u32),
    Caps(OrderId),
    Second(OrderId, ServerId),
    /// The record of what a crash cut off.
    Note(OrderId),
    Back(OrderId, Line, Wall),
    End(OrderId, Disposition),
}

/// The desk. One owner.
#[derive(Debug)]
pub struct Desk<J> {
    owner: ServerId,
    part: Part,
    /// Shards of tenants whose lines are ours, until when.
    shards: (BTreeSet<u8>, Mono),
    limits: Limits,
    judge: J,
    dispatcher: Dispatcher,
    lines: Lines,
    held: BTreeMap<OrderId, Held>,
    /// Orders that wait for a server, by priority, oldest first.
    waiting: BTreeMap<u8, VecDeque<OrderId>>,
    /// Claimed or being claimed, and not started.
    unstarted: u32,
    refusers: BTreeMap<OrderId, Vec<ServerId>>,
    /// Found open after a crash, while their records are being written.
    cut_off: BTreeMap<OrderId, Orphan>,
    smooth: Smooth,
    pending: BTreeMap<Token, Pending>,
    /// Questions to be asked again.
    again: BTreeSet<(Mono, Token)>,
    token: u64,
    sweep_at: Mono,
    /// Set-ups are bounded: waiting orders are tried again then.
    retry_at: Option<Mono>,
    draining: bool,
    deadline: Option<Mono>,
    rng: Rng,
    outputs: VecDeque<Output>,
}

impl<J: Judge> Desk<J> {
    /// A desk that claims as `owner`.
    pub fn new(owner: ServerId, limits: Limits, judge: J, dispatcher: Dispatcher, seed: Seed) -> Self {
        Self {
            owner,
            part: Part::Whole,
            shards: (BTreeSet::new(), Mono(0)),
            smooth: Smooth::new(limits.paces_max),
            limits,
            judge,
            dispatcher,
            lines: Lines::default(),
            held: BTreeMap::new(),
            waiting: BTreeMap::new(),
            unstarted: 0,
            refusers: BTreeMap::new(),
            cut_off: BTreeMap::new(),
            pending: BTreeMap::new(),
            again: BTreeSet::new(),
            token: 0,
            sweep_at: Mono(0),
            retry_at: None,
            draining: false,
            deadline: None,
            rng: seed.rng(),
            outputs: VecDeque::new(),
        }
    }

    /// The same desk with another part of the work.
    #[must_use]
    pub fn with_part(mut self, part: Part) -> Self {
        self.part = part;
        self
    }

    /// One step.
    pub fn handle(&mut self, now: Now, input: Input) {
        debug_assert!(self.outputs.is_empty(), "drain `poll` before the next `handle`");
        match input {
            Input::Begin => self.begin(now),
            Input::Stored(token, answer) => self.stored(now, token, answer),
            Input::Woken { priority, tenant, due } => self.woken((priority.min(9), tenant), due),
            Input::Finished(finished) => self.finished(now, *finished),
            Input::Returned(released) => self.dispatcher.release(&released),
            Input::Second(order, server) => self.second(now, order, server),
            Input::Report(report) => {
                self.dispatcher.report(now.mono, &report);
            }
            Input::Down(server) => self.dispatcher.down(server),
            Input::Cancelled(order) => self.cancelled(order),
            Input::Scheme(scheme, shares) => {
                self.dispatcher.set_scheme(scheme);
                self.dispatcher.set_shares(shares);
            }
            Input::Drain => self.drain(now),
            Input::Shards(shards, until) => self.keep_shards(shards, until),
            Input::Handed(back) => self.handed(now, *back),
            Input::Taken(claimed) => self.take_over(*claimed),
            Input::Dead(server, life) => self.inherit(server, life),
            Input::Timer => {}
        }
        self.pump(now);
        self.deadline = self.next_deadline(now);
    }

    /// The next output, until there is none.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back.
    pub fn deadline(&self) -> Option<Mono> {
        self.deadline
    }

    /// What is known of the servers.
    pub fn dispatcher(&self) -> &Dispatcher {
        &self.dispatcher
    }

    /// Reserves capacity for a call that came in, or that a transfer places.
    ///
    /// # Errors
    /// [`dispatch::NoServer`] if there is none.
    pub fn reserve(&mut self, now: Now, wanted: &dispatch::Wanted<'_>) -> Result<Slot, dispatch::NoServer> {
        self.dispatcher.pick(now.mono, wanted)
    }

    /// Orders in hand: claimed and not started, and started.
    pub fn in_hand(&self) -> (usize, usize) {
        let started = |h: &&Held| matches!(h.stage, Stage::Started | Stage::Offered);
        let started = self.held.values().filter(started).count();
        (self.held.len() - started, started)
    }

    fn ask(&mut self, topic: Topic, ask: Ask) {
        self.token += 1;
        let token = Token(self.token);
        self.outputs.push_back(Output::Ask(token, ask.clone()));
        self.pending.insert(token, Pending { ask, topic, tries: 0 });
    }

    fn tell(&mut self, fact: Fact) {
        self.outputs.push_back(Output::Fact(fact));
    }

    fn next_deadline(&self, now: Now) -> Option<Mono> {
        // Wall time may jump, so a line is looked at again after a second at the latest.
        let line = self.lines.next().filter(|_| self.claims(now)).map(|due| {
            let ms = u64::try_from(due.ms_since(now.wall)).unwrap_or(0).min(1_000);
            now.mono + Duration::from_millis(ms)
        });
        let lease = self.first_lease_end().map(|until| {
            let ms = u64::try_from(until.ms_since(now.wall)).unwrap_or(0).min(1_000);
            now.mono + Duration::from_millis(ms)
        });
        let again = self.again.first().map(|(at, _)| *at);
        let sweep = (self.sweep_at > Mono(0)).then_some(self.sweep_at);
        [line, lease, again, sweep, self.retry_at, self.dispatcher.silence_due()].into_iter().flatten().min()
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
