//! One machine or a hundred: how `carillon control` and `carillon media` find each other (the registry in the store) and
//! what they say to each other (the bus; where it does not reach, the store).
//!
//! A process beats in the registry; a second one of the same name fences the first, which must end. Control nodes keep
//! shards of tenants and watch all others; what a dead one held goes to whoever sees it first ([`control::desk`]).

pub mod control;
pub mod media;
pub(crate) mod watch;

use crate::clock;
use crate::serve::ServeError;
use crate::store::Handle;
use crate::store::bus::{Bus, Local, Nats};
use ::control::bus::Load;
use ::control::config::Config;
use ::control::desk::Key;
use ::control::policy::Gate;
use ::control::store::{Answer, Ask, Error, Node};
use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch as cell};
use units::{Mono, ServerId};

/// What a process does in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Intake, policy, queue, dispatch, console.
    Control,
    /// Calls.
    Media,
}

impl Role {
    /// As the registry has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Control => "control",
            Role::Media => "media",
        }
    }
}

/// This process among the others.
#[derive(Clone, Debug)]
pub struct Member {
    /// What it does.
    pub role: Role,
    /// Its name in the registry.
    pub name: String,
    /// Where it is reached, for people.
    pub address: String,
    /// Its number, from the registry.
    pub id: ServerId,
    /// Which of its lives.
    pub epoch: u64,
    /// How often it beats.
    pub beat: Duration,
}

/// What the desk's shell has of the cluster.
pub struct Ours {
    /// This process.
    pub member: Arc<Member>,
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// The store.
    pub store: Handle,
    /// Redeems passes, on a media server.
    pub gate: Option<Gate>,
    /// Length of a lease that is taken over, ms.
    pub lease_ms: u64,
    /// The load as it was last said; the beat takes it along.
    pub load: cell::Sender<Option<Load>>,
    /// When it was last said.
    pub said: Mono,
    /// Words said.
    pub words: u64,
    /// All processes, as last seen, this one first.
    pub others: Arc<ArcSwap<Vec<Node>>>,
    /// Keeps a desk without shards going until it is drained.
    pub keep: Option<mpsc::Sender<Box<::control::shard::Finished>>>,
}

/// Beats are this far apart.
const BEAT: Duration = Duration::from_millis(400);
/// The store must come up within this when a process starts.
const JOIN_MAX: Duration = Duration::from_secs(20);

/// Enters the registry: a new life of this name.
///
/// # Errors
/// [`ServeError`] if the store does not answer in time.
pub async fn join(
    role: Role,
    config: &Config,
    address: String,
    store: &Handle,
) -> Result<Member, ServeError> {
    let name = config.node.name.clone();
    let end = tokio::time::Instant::now() + JOIN_MAX;
    loop {
        let ask = Ask::Beat {
            name: name.clone(),
            role: role.name().to_owned(),
            address: address.clone(),
            epoch: 0,
            load: None,
        };
        match store.ask(ask).await {
            Ok(Answer::Nodes(nodes)) if !nodes.is_empty() => {
                let own = &nodes[0];
                tracing::info!(name, server = own.id.0, life = own.epoch, "joined as {}", role.name());
                return Ok(Member { role, name, address, id: own.id, epoch: own.epoch, beat: BEAT });
            }
            other if tokio::time::Instant::now() > end => {
                return Err(ServeError::Setting("store", format!("cannot join: {other:?}")));
            }
            _ => tokio::time::sleep(BEAT).await,
        }
    }
}

/// The bus as configured.
///
/// # Errors
/// [`ServeError`] if the URL is none.
pub async fn bus(config: &Config) -> Result<Arc<dyn Bus>, ServeError> {
    match &config.cluster.nats {
        Some(url) => {
            let nats = Nats::start(url.expose()).await;
            nats.map(|nats| Arc::new(nats) as Arc<dyn Bus>)
                .map_err(|error| ServeError::Setting("cluster.nats", error.to_string()))
        }
        None => Ok(Arc::new(Local::default())),
    }
}

/// The key under which passes are sealed.
///
/// # Errors
/// [`ServeError`] if there is no secret.
pub fn key(config: &Config) -> Result<Key, ServeError> {
    let secret = config.cluster.secret.as_ref().ok_or_else(|| {
        ServeError::Setting("cluster.secret", "control and media need one, the same on all".to_owned())
    })?;
    let mut hash = Sha256::new();
    hash.update(b"carillon permit v1\n");
    hash.update(secret.expose().as_bytes());
    Ok(Key(hash.finalize().into()))
}

impl Member {
    fn beat_ask(&self, role: &str, load: Option<Load>) -> Ask {
        Ask::Beat {
            name: self.name.clone(),
            role: role.to_owned(),
            address: self.address.clone(),
            epoch: self.epoch,
            load,
        }
    }

    /// Beats once; all processes, this one first.
    ///
    /// # Errors
    /// [`Error::Fenced`]: another process has this name now, and this one must end. Else the store's.
    pub async fn beat(&self, store: &Handle, load: Option<Load>) -> Result<Vec<Node>, Error> {
        match store.ask(self.beat_ask(self.role.name(), load)).await? {
            Answer::Nodes(nodes) if !nodes.is_empty() => Ok(nodes),
            _ => Err(Error::Corrupt),
        }
    }

    /// Leaves the registry: it ends as it should, and nobody need look after what it held.
    pub async fn leave(&self, store: &Handle) {
        let left = store.ask(self.beat_ask(::control::watch::LEFT, None)).await;
        if let Err(error) = left {
            tracing::warn!(?error, "could not sign off; the others take it for a death, and find nothing");
        }
    }
}

/// The clock of this process.
fn now() -> Mono {
    clock::now().mono
}
