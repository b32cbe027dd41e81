//! The desk's shell: one task that drives the pure [`Desk`], asks the store for it, and hands calls to the shards.

use crate::intake::Bench;
use crate::shard::{Inbox, Post};
use crate::store::Handle;
use arc_swap::ArcSwap;
use control::call::Start;
use control::config::Config;
use control::desk::{Desk, Fact, Finished, Input, Output};
use control::dispatch::ServerReport;
use control::queue::Outcome;
use control::shard::Finished as Over;
use control::store::Orphan;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use units::{OrderId, ServerId, TenantId, Wall};

/// What the desk is told by other parts of the node.
#[derive(Debug)]
pub enum Message {
    /// Orders were accepted, the first of them due then.
    Accepted(u8, TenantId, Wall),
    /// Its tenant took an order back.
    Cancelled(OrderId),
    /// Claim nothing more.
    Drain,
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
    /// This server.
    pub server: ServerId,
    /// What the shards say of their load.
    pub load: Vec<Arc<crate::shard::Load>>,
    /// Reserve no more.
    pub draining: bool,
}

/// Drives the desk until its shards are gone and nothing is left in hand.
pub async fn run(
    mut parts: Parts,
    mut messages: mpsc::Receiver<Message>,
    mut over: mpsc::Receiver<Box<Over>>,
) {
    let (answers, mut answered) = mpsc::unbounded_channel();
    let mut report = tokio::time::interval(REPORT);
    parts.step(Input::Report(parts.load()), &answers).await;
    parts.step(Input::Begin, &answers).await;
    let mut shards_up = true;
    // Once the shards are gone, what they left is still booked: each end that is under way gets its answer.
    while shards_up || parts.desk.in_hand() != (0, 0) {
        let deadline = parts.desk.deadline();
        tokio::select! {
            message = messages.recv() => {
                let Some(message) = message else { return };
                if let Some(input) = parts.message(message) {
                    parts.step(input, &answers).await;
                }
            }
            finished = over.recv(), if shards_up => match finished.map(|f| booked(*f)) {
                Some(Some(input)) => parts.step(input, &answers).await,
                Some(None) => {}
                None => shards_up = false,
            },
            Some((token, answer)) = answered.recv() => parts.step(Input::Stored(token, answer), &answers).await,
            _ = report.tick() => {
                let load = parts.load();
                parts.step(Input::Report(load), &answers).await;
            }
            () = wait(deadline) => parts.step(Input::Timer, &answers).await,
        }
    }
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
    /// Capacity and pace are those of the host, or of the trunks that work just now if they are less.
    fn load(&self) -> ServerReport {
        let config = self.config.load();
        let sum = |of: fn(&crate::shard::Load) -> u32| {
            self.load.iter().map(|load| of(load)).fold(0, u32::saturating_add)
        };
        let own = u32::try_from(config.limits.calls_rate.milli_hz).unwrap_or(u32::MAX).max(1_000);
        let trunks = sum(|load| load.trunk_pace.load(Ordering::Relaxed));
        let per_1000s = own.min(trunks);
        ServerReport {
            server: self.server,
            capacity: config.limits.calls_max.min(sum(|load| load.trunk_calls.load(Ordering::Relaxed))),
            used: sum(|load| load.calls.load(Ordering::Relaxed)),
            // A rate of 0 would be none at all; where no trunk works the capacity says so.
            rate: control::dispatch::Rate::per_second((per_1000s / 1_000).max(1)),
            draining: self.draining,
            seen: None,
        }
    }

    fn message(&mut self, message: Message) -> Option<Input> {
        match message {
            Message::Accepted(priority, tenant, due) => Some(Input::Woken { priority, tenant, due }),
            Message::Cancelled(order) => Some(Input::Cancelled(order)),
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
                Output::Start(start) => self.start(*start).await,
                Output::HangUp(orphan) => self.hang_up(*orphan).await,
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

    fn shard_of(&self, order: OrderId) -> usize {
        let shards = u128::try_from(self.shards.len().max(1)).unwrap_or(1);
        usize::try_from(order.0 % shards).unwrap_or(0)
    }

    async fn start(&mut self, start: control::desk::Start) {
        let control::desk::Start { permit, slot, order, lease, .. } = start;
        let shard = self.shard_of(order.id);
        let call = Box::new(Start { permit, slot, order, lease });
        if self.shards[shard].send(Inbox::Start(call)).await.is_err() {
            tracing::error!("a shard is gone; the order comes back when its lease lapses");
        }
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
