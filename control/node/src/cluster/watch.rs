//! The task of each process that beats, hears the bus, and, on a control node, keeps shards and watches the others.

use super::{Member, Role, now};
use crate::desk::{Message, Way};
use crate::intake::Intake;
use crate::store::Handle;
use crate::store::bus::{Asking, Bus};
use ::control::bus::{Freshest, Load, Word};
use ::control::store::{Answer, Ask, Error, Keep, Node, Shelf};
use ::control::watch::{Limits, Watch};
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot, watch as cell};
use units::{Mono, ServerId, Wall};

/// A shard of tenants is kept for so long without renewal.
const KEEP_MS: u64 = 2_000;
/// A load from the registry counts if the bus has brought none for so long.
const BUS_SILENT: Duration = Duration::from_millis(1_000);
/// Lists are read again so often in any case: a word may be lost.
const LEARN: Duration = Duration::from_secs(30);
/// Errands read from the store at once.
const ERRANDS_PAGE: u32 = 200;

/// What the task works with.
pub(crate) struct Parts {
    pub(crate) member: Arc<Member>,
    pub(crate) store: Handle,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) desk: Way,
    pub(crate) intake: Arc<Intake>,
    pub(crate) load: cell::Receiver<Option<Load>>,
    pub(crate) others: Arc<ArcSwap<Vec<Node>>>,
    /// Says that this process must end at once.
    pub(crate) fenced: Arc<tokio::sync::Notify>,
}

struct Watcher {
    parts: Parts,
    watch: Watch,
    freshest: Freshest,
    /// When the bus brought the last load of a server, and the beat that was last used instead.
    heard: BTreeMap<ServerId, (Option<Mono>, Wall)>,
    learn_at: Mono,
}

/// Runs until the desk is gone.
pub(crate) async fn run(parts: Parts) {
    let mut words = parts.bus.hear();
    let mut errands = match parts.member.role {
        Role::Media => parts.bus.errands(parts.member.id),
        Role::Control => mpsc::channel(1).1,
    };
    let mut beat = tokio::time::interval(parts.member.beat);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let learn_at = now() + LEARN;
    let mut watcher = Watcher {
        parts,
        watch: Watch::new(Limits::default()),
        freshest: Freshest::default(),
        heard: BTreeMap::new(),
        learn_at,
    };
    loop {
        let goes_on = tokio::select! {
            _ = beat.tick() => watcher.beat().await,
            word = words.recv() => match word {
                Ok(word) => watcher.word(word).await,
                // What was missed is found in the store.
                Err(broadcast::error::RecvError::Lagged(_)) => true,
                Err(broadcast::error::RecvError::Closed) => false,
            },
            Some(asking) = errands.recv() => watcher.tell(Message::Errand(Box::new(asking))).await,
        };
        if !goes_on {
            return;
        }
    }
}

impl Watcher {
    async fn tell(&self, message: Message) -> bool {
        self.parts.desk.send(message).await.is_ok()
    }

    async fn word(&mut self, word: Word) -> bool {
        let control = self.parts.member.role == Role::Control;
        match word {
            Word::Load { server, .. } if control => {
                let at = now();
                self.watch.heard(at, server);
                self.heard.entry(server).or_insert((None, Wall(0))).0 = Some(at);
                match self.freshest.admit(&word) {
                    Some(report) => self.tell(Message::Load(report)).await,
                    None => true,
                }
            }
            Word::Load { .. } => true,
            Word::Learn => {
                // Many changes at once are read once, at the next beat.
                self.learn_at = now();
                true
            }
            word => self.tell(Message::Word(word)).await,
        }
    }

    /// `false`: this process must end.
    async fn beat(&mut self) -> bool {
        let load = *self.parts.load.borrow();
        let all = match self.parts.member.beat(&self.parts.store, load).await {
            Ok(all) => all,
            Err(Error::Fenced) => {
                tracing::error!("another process of this name runs: this one ends");
                self.parts.fenced.notify_one();
                return false;
            }
            // The store is away: nobody can be seen, and nothing is claimed.
            Err(_) => return true,
        };
        self.parts.others.store(Arc::new(all.clone()));
        match self.parts.member.role {
            Role::Control => self.look(&all[1..]).await && self.keep_shards().await && self.learn().await,
            // It judges transfers.
            Role::Media => self.errands().await && self.learn().await,
        }
    }

    async fn look(&mut self, others: &[Node]) -> bool {
        for (server, life) in self.watch.look(now(), others) {
            tracing::warn!(server = server.0, "a process is dead; what it held is taken over");
            if !self.tell(Message::Dead(server, life)).await {
                return false;
            }
        }
        for node in others.iter().filter(|n| n.role == Role::Media.name()) {
            let Some(load) = node.load else { continue };
            let (by_bus, used) = self.heard.entry(node.id).or_insert((None, Wall(0)));
            let silent = by_bus.is_none_or(|at| now().since(at) > BUS_SILENT);
            if silent && *used != node.seen && !self.watch.is_dead(node.id) {
                let first = *used == Wall(0);
                *used = node.seen;
                // A beat that was there before we looked may be of one long dead.
                if !first && !self.tell(Message::Load(load.report(node.id))).await {
                    return false;
                }
            }
        }
        true
    }

    async fn keep_shards(&mut self) -> bool {
        let until = now() + Duration::from_millis(KEEP_MS);
        let ask = Ask::KeepShards { owner: self.parts.member.id, keep_ms: KEEP_MS };
        match self.parts.store.ask(ask).await {
            Ok(Answer::Shards(shards)) => {
                let shards = shards.into_iter().map(|(shard, _)| shard).collect();
                self.tell(Message::Shards(shards, until)).await
            }
            _ => true,
        }
    }

    async fn learn(&mut self) -> bool {
        if now() >= self.learn_at {
            self.learn_at = now() + LEARN;
            if let Err(error) = self.parts.intake.learn().await {
                tracing::warn!(?error, "lists were not read again");
            }
        }
        true
    }

    /// Errands that came through the store.
    async fn errands(&mut self) -> bool {
        let prefix = format!("{:010}/", self.parts.member.id.0);
        let ask = Ask::KeptFrom { shelf: Shelf::Errands, prefix, after: None, limit: ERRANDS_PAGE };
        let Ok(Answer::KeptFrom(errands)) = self.parts.store.ask(ask).await else { return true };
        for (name, value) in errands {
            let Ok(errand) = serde_json::from_slice(&value) else { continue };
            let (answer, waits) = oneshot::channel();
            let asking: Asking = (errand, answer);
            let store = self.parts.store.clone();
            tokio::spawn(async move {
                let Ok(done) = waits.await else { return };
                // Taken: it is gone. Refused: the answer stands in its place.
                let value = (!done.taken).then(|| super::control::REFUSED.to_vec());
                drop(store.ask(Ask::Keep(vec![Keep { shelf: Shelf::Errands, name, value }])).await);
            });
            if !self.tell(Message::Errand(Box::new(asking))).await {
                return false;
            }
        }
        true
    }
}
