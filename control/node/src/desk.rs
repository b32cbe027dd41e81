//! The desk's shell: one task that drives the pure [`Desk`], asks the store for it, and hands calls to the shards.

use crate::intake::Bench;
use crate::shard::{Inbox, Post};
use crate::store::Handle;
use arc_swap::ArcSwap;
use control::call::Start;
use control::call::route::{NoRoute, Route};
use control::conduct::Denied;
use control::config::Config;
use control::desk::{Desk, Fact, Finished, Input, Output};
use control::dispatch::ServerReport;
use control::order::{Disposition, Order};
use control::queue::Outcome;
use control::shard::Finished as Over;
use control::store::Orphan;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use units::{Cause, OrderId, ServerId, TenantId, Wall};

/// What the desk is told by other parts of the node.
#[derive(Debug)]
pub enum Message {
    /// Orders were accepted, the first of them due then.
    Accepted(u8, TenantId, Wall),
    /// Its tenant took an order back.
    Cancelled(OrderId),
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
const REPORT: Duration = Duration::from_millis(250);

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
    /// Our host part in From.
    pub host: String,
    /// This server.
    pub server: ServerId,
    /// Hears what customers said.
    pub intake: Arc<crate::intake::Intake>,
    /// Calls that are up.
    pub calls: Arc<AtomicU32>,
    /// Reserve no more.
    pub draining: bool,
    /// Shards of the calls whose transfers are being judged.
    pub seconds: BTreeMap<OrderId, usize>,
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
    parts.step(Input::Report(parts.load()), &answers).await;
    parts.step(Input::Begin, &answers).await;
    let mut shards_up = true;
    // Once the shards are gone, what they left is still booked: each end that is under way gets its answer.
    let mut heeding = 0_u32;
    while shards_up || heeding > 0 || parts.desk.in_hand() != (0, 0) {
        let deadline = parts.desk.deadline();
        tokio::select! {
            message = messages.recv() => {
                let Some(message) = message else { return };
                if let Some(input) = parts.message(message) {
                    parts.step(input, &answers).await;
                }
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
            Some((token, answer)) = answered.recv() => parts.step(Input::Stored(token, answer), &answers).await,
            _ = report.tick() => {
                let load = parts.load();
                parts.step(Input::Report(load), &answers).await;
            }
            () = wait(deadline) => parts.step(Input::Timer, &answers).await,
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

type Answers =
    mpsc::UnboundedSender<(control::desk::Token, Result<control::store::Answer, control::store::Error>)>;

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
    fn load(&self) -> ServerReport {
        let config = self.config.load();
        let rate = u32::try_from(config.limits.calls_rate.milli_hz / 1_000).unwrap_or(u32::MAX).max(1);
        ServerReport {
            server: self.server,
            capacity: config.limits.calls_max,
            used: self.calls.load(Ordering::Relaxed),
            rate: control::dispatch::Rate::per_second(rate),
            draining: self.draining,
            seen: None,
        }
    }

    fn message(&mut self, message: Message) -> Option<Input> {
        match message {
            Message::Accepted(priority, tenant, due) => Some(Input::Woken { priority, tenant, due }),
            Message::Cancelled(order) => Some(Input::Cancelled(order)),
            Message::Second(shard, order) => {
                self.seconds.insert(order.id, usize::from(shard));
                Some(Input::Second(order, self.server))
            }
            Message::Drain => {
                self.draining = true;
                Some(Input::Drain)
            }
            Message::Servers(answer) => {
                let view = self.desk.dispatcher().view(crate::clock::now().mono).collect();
                // Who asked may have gone.
                drop(answer.send(view));
                None
            }
        }
    }

    async fn step(&mut self, input: Input, answers: &Answers) {
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
                        drop(answers.send((token, answer)));
                    });
                }
                Output::Start(start) => self.start(*start, answers).await,
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
        let told = Inbox::TakeOver(attempt, orphan.acked.unwrap_or_default());
        if self.shards[self.shard_of(order)].send(told).await.is_err() {
            tracing::error!(%order, "a shard is gone; the callee's session timer ends the call");
        }
    }

    /// The caller's call hears that its transfer is not dialled.
    async fn deny(&mut self, order: &Order, why: Denied) {
        let Some(parent) = order.parent() else { return };
        let shard = self.shard_for(order.id);
        let told = Inbox::Denied(parent, order.id, why);
        if self.shards[shard].send(told).await.is_err() {
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
        let control::desk::Start { permit, slot, order, lease, nth, .. } = start;
        match self.route(&order, nth) {
            Ok(route) => {
                let shard = self.shard_for(order.id);
                let call = Box::new(Start { permit, slot, order, lease, route });
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

    /// The first attempt leaves by the best trunk, later ones by the next.
    fn route(&self, order: &Order, nth: u32) -> Result<Route, NoRoute> {
        let config = self.config.load();
        let tenant = config.tenants.iter().find(|t| t.id == order.tenant.0);
        let ring = config.policy.ring_max.ms;
        let mut routes = Route::all(&config.trunks, tenant, order, &self.host, ring)?;
        let which = usize::try_from(nth.saturating_sub(1)).unwrap_or(0) % routes.len();
        Ok(routes.swap_remove(which))
    }
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
