//! The desk's shell: one task that drives the pure [`Desk`], asks the store for it, and hands calls to the shards.

use crate::cluster::{self, Ours};
use crate::intake::Bench;
use crate::shard::{Inbox, Post};
use crate::store::Handle;
use crate::store::bus::Asking;
use arc_swap::ArcSwap;
use control::bus::{Load, Word};
use control::call::Start;
use control::conduct::Denied;
use control::config::Config;
use control::desk::{Desk, Fact, Finished, HandedBack, Input, Output};
use control::dispatch::{Scheme, ServerReport, Shares};
use control::order::{Disposition, Order};
use control::permit::{Permit, Slot};
use control::queue::Outcome;
use control::shard::Finished as Over;
use control::store::Lease;
use control::store::Orphan;
use control::trunk::route::{NoRoute, Plan};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use units::{Cause, Mono, OrderId, ServerId, TenantId, Wall};

/// What the desk is told by other parts of the node.
#[derive(Debug)]
pub enum Message {
    /// Orders were accepted, the first of them due then.
    Accepted(u8, TenantId, Wall),
    /// Its tenant took an order back.
    Cancelled(OrderId),
    /// Suppression lists or campaigns changed.
    Learnt,
    /// Another process says so.
    Word(Word),
    /// A media server's load.
    Load(ServerReport),
    /// These shards of tenants are ours until then.
    Shards(BTreeSet<u8>, Mono),
    /// Another process is dead, in this life of it.
    Dead(ServerId, u64),
    /// Another process asks.
    Errand(Box<Asking>),
    /// The configuration chooses servers otherwise.
    Scheme(Scheme, Shares),
    /// Claim nothing more.
    Drain,
    /// A call of this shard wants to transfer its caller by this order.
    Second(u16, Box<Order>),
    /// How the servers stand, for people.
    Servers(oneshot::Sender<Vec<(ServerId, f64, u32)>>),
}

/// A way to the desk.
pub type Way = mpsc::Sender<Message>;

/// Messages that wait for the desk.
pub const WAITING_MAX: usize = 65_536;
/// How often this server reports its load to the dispatcher.
const REPORT: Duration = Duration::from_millis(100);
/// A change of load is told at once, but not sooner than this after the last.
const REPORT_GAP_MS: u64 = 10;

/// What the task works with.
pub struct Parts {
    /// The machine.
    pub desk: Desk<Bench>,
    /// The store.
    pub store: Handle,
    /// The shards of this server.
    pub shards: Vec<Post>,
    /// The configuration in force.
    pub config: Arc<ArcSwap<Config>>,
    /// This server.
    pub server: ServerId,
    /// Hears what customers said.
    pub intake: Arc<crate::intake::Intake>,
    /// What the shards say of their load.
    pub load: Vec<Arc<crate::shard::Load>>,
    /// Reserve no more.
    pub draining: bool,
    /// Shards of the calls whose transfers are being judged.
    pub seconds: BTreeMap<OrderId, usize>,
    /// The other processes; `None`: all is in this one.
    pub ours: Option<Ours>,
}

/// What comes back to the desk from its own errands.
#[derive(Debug)]
pub enum Back {
    /// The store answers.
    Stored(control::desk::Token, Result<control::store::Answer, control::store::Error>),
    /// What became of an offer of ours.
    Handed(Box<HandedBack>),
    /// The claim that was offered to us is ours, or is not.
    Took(Box<cluster::media::Took>),
}

/// Drives the desk until its shards are gone and nothing is left in hand.
pub async fn run(
    mut parts: Parts,
    mut messages: mpsc::Receiver<Message>,
    mut over: mpsc::Receiver<Box<Over>>,
) {
    let (answers, mut answered) = mpsc::unbounded_channel();
    let (heed, mut heeded) = mpsc::unbounded_channel();
    let mut report = tokio::time::interval(REPORT);
    if !parts.shards.is_empty() {
        parts.step(Input::Report(parts.load().report(parts.server)), &answers).await;
    }
    parts.step(Input::Begin, &answers).await;
    let mut shards_up = true;
    // Once the shards are gone, what they left is still booked: each end that is under way gets its answer.
    let mut heeding = 0_u32;
    while shards_up || heeding > 0 || parts.desk.in_hand() != (0, 0) {
        let deadline = parts.desk.deadline();
        tokio::select! {
            message = messages.recv() => {
                let Some(message) = message else { return };
                parts.message(message, &answers).await;
            }
            finished = over.recv(), if shards_up => match finished {
                // What a customer said is kept before the call is booked: after a crash the call is still there.
                Some(finished) if parts.intake.says_something(&finished) => {
                    heeding += 1;
                    tokio::spawn(listen_to(Arc::clone(&parts.intake), finished, heed.clone()));
                }
                Some(finished) => {
                    if let Some(input) = booked(*finished) {
                        parts.step(input, &answers).await;
                    }
                }
                None => shards_up = false,
            },
            Some(finished) = heeded.recv() => {
                heeding -= 1;
                let finished: Box<Over> = finished;
                if let Some(input) = booked(*finished) {
                    parts.step(input, &answers).await;
                }
            }
            Some(back) = answered.recv() => parts.came_back(back, &answers).await,
            _ = report.tick(), if !parts.shards.is_empty() => {
                let load = parts.load();
                parts.step(Input::Report(load.report(parts.server)), &answers).await;
                parts.say_load(load, true);
            }
            () = wait(deadline) => parts.step(Input::Timer, &answers).await,
        }
        if parts.ours.is_some() && !parts.shards.is_empty() {
            parts.say_load(parts.load(), false);
        }
    }
}

/// Keeps what a call's customer said, as long as that takes, and hands the call on to be booked.
async fn listen_to(
    intake: Arc<crate::intake::Intake>,
    over: Box<Over>,
    heed: mpsc::UnboundedSender<Box<Over>>,
) {
    while let Err(error) = intake.heed(&over).await {
        tracing::error!(?error, "what a customer said cannot be kept yet");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // A desk that is gone books nothing more; the call is found again at the next start.
    drop(heed.send(over));
}

async fn wait(deadline: Option<units::Mono>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(crate::clock::instant(at)).await,
        None => std::future::pending().await,
    }
}

/// A way for what comes back.
pub type Answers = mpsc::UnboundedSender<Back>;

/// A finished call as the desk books it. Incoming calls took no capacity of the dispatcher.
fn booked(over: Over) -> Option<Input> {
    let outcome = Outcome {
        disposition: over.disposition,
        cause: over.cause,
        dialled: over.dialled,
        retry_after_s: over.retry_after_s,
    };
    let (lease, released) = (over.lease?, over.released);
    Some(Input::Finished(Box::new(Finished { lease, outcome, result: over.result, why: over.why, released })))
}

impl Parts {
    /// What this server carries: calls that are up, and those on their way to it. Capacity and pace are those of the
    /// host, or of the trunks that work just now if they are less.
    pub(crate) fn load(&self) -> Load {
        let config = self.config.load();
        // Without shards there are no trunks either: then the host alone counts.
        let none = if self.load.is_empty() { u32::MAX } else { 0 };
        let sum = |of: fn(&crate::shard::Load) -> u32, none| {
            self.load.iter().map(|load| of(load)).fold(none, u32::saturating_add)
        };
        let own = u32::try_from(config.limits.calls_rate.milli_hz).unwrap_or(u32::MAX).max(1_000);
        let per_1000s = own.min(sum(|load| load.trunk_pace.load(Ordering::Relaxed), none));
        let trunks = sum(|load| load.trunk_calls.load(Ordering::Relaxed), none);
        let out = if self.ours.is_some() { self.desk.dispatcher().slots_out(self.server) } else { 0 };
        Load {
            capacity: config.limits.calls_max.min(trunks),
            used: sum(|load| load.calls.load(Ordering::Relaxed), 0).max(out),
            // A rate of 0 would be none at all; where no trunk works the capacity says so.
            rate: control::dispatch::Rate::per_second((per_1000s / 1_000).max(1)),
            draining: self.draining,
        }
    }

    /// Tells the others, if it is time to or if it has changed.
    fn say_load(&mut self, load: Load, time_to: bool) {
        let Some(ours) = &mut self.ours else { return };
        let now = crate::clock::now().mono;
        let changed = ours.load.borrow().as_ref() != Some(&load);
        let soon = now.since(ours.said) < Duration::from_millis(REPORT_GAP_MS);
        if time_to || (changed && !soon) {
            (ours.said, ours.words) = (now, ours.words + 1);
            ours.bus.say(&load.word(ours.member.id, ours.member.epoch, ours.words));
            ours.load.send_replace(Some(load));
        }
    }

    async fn message(&mut self, message: Message, answers: &Answers) {
        let input = match message {
            Message::Accepted(priority, tenant, due) => {
                self.say(&Word::Wake { priority, tenant, due });
                Input::Woken { priority, tenant, due }
            }
            Message::Word(Word::Wake { priority, tenant, due }) => Input::Woken { priority, tenant, due },
            Message::Cancelled(order) => {
                self.say(&Word::Cancel { order });
                self.cancelled(order).await
            }
            Message::Word(Word::Cancel { order }) => self.cancelled(order).await,
            Message::Word(_) => return,
            Message::Learnt => return self.say(&Word::Learn),
            Message::Scheme(scheme, shares) => Input::Scheme(scheme, shares),
            Message::Load(report) => Input::Report(report),
            Message::Shards(shards, until) => Input::Shards(shards, until),
            Message::Dead(server, life) => Input::Dead(server, life),
            Message::Errand(asking) => return self.errand(*asking, answers).await,
            Message::Second(shard, order) => {
                self.seconds.insert(order.id, usize::from(shard));
                Input::Second(order, self.server)
            }
            Message::Drain => {
                self.draining = true;
                if let Some(ours) = &mut self.ours {
                    ours.keep = None;
                }
                Input::Drain
            }
            Message::Servers(answer) => {
                let view = self.desk.dispatcher().view(crate::clock::now().mono).collect();
                // Who asked may have gone.
                return drop(answer.send(view));
            }
        };
        self.step(input, answers).await;
    }

    pub(crate) fn say(&self, word: &Word) {
        if let Some(ours) = &self.ours {
            ours.bus.say(word);
        }
    }

    /// What rings is hung up on.
    async fn cancelled(&self, order: OrderId) -> Input {
        if let Some(shard) = self.shards.get(self.shard_of(order)) {
            // A shard that is gone has no calls.
            drop(shard.send(Inbox::Cancelled(order)).await);
        }
        Input::Cancelled(order)
    }

    async fn came_back(&mut self, back: Back, answers: &Answers) {
        match back {
            Back::Stored(token, answer) => self.step(Input::Stored(token, answer), answers).await,
            Back::Handed(back) => self.step(Input::Handed(back), answers).await,
            Back::Took(took) => self.took(*took, answers).await,
        }
    }

    pub(crate) async fn step(&mut self, input: Input, answers: &Answers) {
        self.desk.handle(crate::clock::now(), input);
        let mut outputs = Vec::new();
        while let Some(output) = self.desk.poll() {
            outputs.push(output);
        }
        for output in outputs {
            match output {
                Output::Ask(token, ask) => {
                    let (store, answers) = (self.store.clone(), answers.clone());
                    tokio::spawn(async move {
                        let answer = store.ask(ask).await;
                        // A desk that is gone needs no answer.
                        drop(answers.send(Back::Stored(token, answer)));
                    });
                }
                Output::Start(start) => self.start(*start, answers).await,
                Output::Offer(offer) => self.offer(*offer, answers),
                Output::Woken { priority, tenant, due } => self.say(&Word::Wake { priority, tenant, due }),
                Output::HangUp(orphan) => self.hang_up(*orphan).await,
                Output::Denied(order, _, why) => self.deny(&order, why).await,
                Output::Fact(fact) => told(&fact),
            }
        }
    }

    /// A callee whom a former life left connected gets a BYE.
    async fn hang_up(&self, orphan: Orphan) {
        let (order, attempt) = (orphan.order.id, orphan.lease.attempt);
        tracing::warn!(%order, %attempt, "a former life left a call; it is ended");
        let dialog = orphan.acked.unwrap_or_default();
        let Some(shard) = self.shards.get(self.shard_of(order)) else {
            return self.ask_neighbour(order, attempt, dialog);
        };
        if shard.send(Inbox::TakeOver(attempt, dialog)).await.is_err() {
            tracing::error!(%order, "a shard is gone; the callee's session timer ends the call");
        }
    }

    /// The caller's call hears that its transfer is not dialled.
    async fn deny(&mut self, order: &Order, why: Denied) {
        let Some(parent) = order.parent() else { return };
        let shard = self.shard_for(order.id);
        let told = Inbox::Denied(parent, order.id, why);
        let Some(shard) = self.shards.get(shard) else { return };
        if shard.send(told).await.is_err() {
            tracing::error!(order = %order.id, "a shard is gone, and its calls with it");
        }
    }

    /// The shard that is to have this order's call: a transfer's second call goes where the first one is.
    fn shard_for(&mut self, order: OrderId) -> usize {
        self.seconds.remove(&order).unwrap_or_else(|| self.shard_of(order))
    }

    fn shard_of(&self, order: OrderId) -> usize {
        let shards = u128::try_from(self.shards.len().max(1)).unwrap_or(1);
        usize::try_from(order.0 % shards).unwrap_or(0)
    }

    async fn start(&mut self, start: control::desk::Start, answers: &Answers) {
        let control::desk::Start { permit, slot, order, lease, again, .. } = start;
        let (trunks, again) = (again.clone().map(|trunk| vec![trunk]), again.is_some());
        self.place(Placing { permit, slot, order, lease, trunks, again }, answers).await;
    }

    /// Gives a call to its shard, which chooses the trunk.
    pub(crate) async fn place(&mut self, placing: Placing, answers: &Answers) {
        let Placing { permit, slot, order, lease, trunks, again } = placing;
        let trunks = trunks.or_else(|| self.own_trunks(&order));
        match self.plan(&order, trunks.as_deref()) {
            Ok(_) => {
                let shard = self.shard_for(order.id);
                let call = Box::new(Start { permit, slot, order, lease, trunks, again });
                if self.shards[shard].send(Inbox::Start(call)).await.is_err() {
                    tracing::error!("a shard is gone; the order comes back when its lease lapses");
                }
            }
            Err(why) => {
                permit.waive();
                self.deny(&order, Denied::NoRoute).await;
                let cause = match why {
                    NoRoute::NoTrunk => Cause::INVALID_NUMBER,
                    NoRoute::NoCallerId => Cause(50),
                };
                let disposition = Disposition::Failed;
                let outcome = Outcome { disposition, cause, dialled: false, retry_after_s: None };
                let why = Some(format!("{why:?}"));
                let released = slot.release(cause);
                let finished = Finished { lease, outcome, result: None, why, released };
                Box::pin(self.step(Input::Finished(Box::new(finished)), answers)).await;
            }
        }
    }

    /// The trunks and groups of the order's tenant, if it has a list of its own.
    fn own_trunks(&self, order: &Order) -> Option<Vec<String>> {
        let config = self.config.load();
        let tenant = config.tenants.iter().find(|t| t.id == order.tenant.0)?;
        (!tenant.trunks.is_empty()).then(|| tenant.trunks.clone())
    }

    /// The ways out for an order, best first: of those that were named, if any were, else of the tenant's.
    pub(crate) fn plan(&self, order: &Order, named: Option<&[String]>) -> Result<Plan, NoRoute> {
        let config = self.config.load();
        let own = self.own_trunks(order);
        let allowed = named.or(own.as_deref()).unwrap_or_default();
        let caller = order.caller_id.as_ref().map(|id| id.expose().as_str());
        Plan::new(&config.trunks, &config.trunk_groups, allowed, order.to.expose(), caller)
    }
}

/// A call on its way to a shard.
pub(crate) struct Placing {
    pub(crate) permit: Permit,
    pub(crate) slot: Slot,
    pub(crate) order: Box<Order>,
    pub(crate) lease: Lease,
    /// Trunks that another process named, best first.
    pub(crate) trunks: Option<Vec<String>>,
    /// The same attempt after a crash.
    pub(crate) again: bool,
}

fn told(fact: &Fact) {
    match fact {
        Fact::Ended(order, disposition) => {
            let how = format!("{disposition:?}").to_lowercase();
            metrics::counter!("carillon_orders_total", "disposition" => how.clone()).increment(1);
            tracing::info!(%order, disposition = how, "an order is over");
        }
        Fact::Deferred(order, until) => tracing::info!(%order, until = until.0, "an order was deferred"),
        Fact::Refused(order) => tracing::info!(%order, "policy refused an order"),
        Fact::Again(order, at) => tracing::info!(%order, at = at.0, "an order is tried again"),
        Fact::Fenced(order) => tracing::warn!(%order, "someone else holds this order now"),
        Fact::Unwanted(order) => tracing::info!(%order, "the callee wants no such calls"),
        Fact::Silent(server) => tracing::warn!(server = server.0, "a server fell silent"),
    }
}
