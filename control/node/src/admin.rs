//! The admin socket: the command line reaches a running node over a Unix socket, one JSON question and one JSON answer
//! a connection. Who may open the socket may do everything; the file's mode is the lock.

use crate::shard::{Inbox, Post};
use crate::store::Handle;
use arc_swap::ArcSwap;
use control::shard::CallView;
use control::store::{Answer, Ask, Node};
use control::trunk::{Standing, TrunkView};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use units::{AttemptId, Cause, OrderId};

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Calls that are up.
    Calls,
    /// An order with its records and its story.
    Call(OrderId),
    /// How the workers run.
    Workers,
    /// Servers and their load.
    Servers,
    /// Trunks, and how they stand.
    Trunks,
    /// An operator's order about a trunk.
    Trunk(String, Standing),
    /// Why an order is not being dialled now.
    Why(OrderId),
    /// Spans in a line each.
    Spans,
    /// One span with its timeslots.
    Span(u16),
    /// Take a span, or one slot of it, out (`true`) or put it back.
    Block(u16, Option<u8>, bool),
    /// Loop or test a span that is blocked, or one slot of it.
    Maintain(u16, Option<u8>, crate::shard::Maintenance),
    /// End a call.
    Clear(AttemptId),
    /// Change tenants, keys, limits.
    Provision(crate::provision::Change),
    /// What would become of a campaign, under assumptions.
    Forecast(units::CampaignId, serde_json::Map<String, serde_json::Value>),
    /// Tenants in force, one if it is named.
    Tenants(Option<String>),
    /// Which application answers which number.
    Numbers,
    /// As SIGHUP.
    Reload,
    /// As SIGTERM.
    Drain,
}

/// An answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is this.
    Ok(serde_json::Value),
    /// It cannot be answered.
    Error(String),
}

/// What the socket answers from.
pub struct Admin {
    /// The shards.
    pub shards: Vec<Post>,
    /// The store.
    pub store: Handle,
    /// Lines on the workers.
    pub workers: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// The processes of the cluster, as last seen.
    pub others: Option<Arc<ArcSwap<Vec<Node>>>>,
    /// The desk.
    pub desk: crate::desk::Way,
    /// Who may order.
    pub intake: Arc<crate::intake::Intake>,
    /// As SIGHUP.
    pub reload: Arc<tokio::sync::Notify>,
    /// As SIGTERM.
    pub drain: Arc<tokio::sync::Notify>,
}

/// Octets of a question.
const QUESTION_MAX: u64 = 64 * 1_024;

/// Opens the socket, for its owner only.
///
/// # Errors
/// The operating system's.
pub fn bind(path: &Path) -> std::io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // A socket that a dead process left behind; one that lives would answer.
    if path.exists() && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

impl Admin {
    /// Answers for ever.
    pub async fn run(self, listener: UnixListener) {
        let admin = Arc::new(self);
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let admin = Arc::clone(&admin);
                    tokio::spawn(async move { admin.serve(stream).await });
                }
                Err(error) => tracing::warn!(%error, "admin socket"),
            }
        }
    }

    async fn serve(&self, mut stream: UnixStream) {
        let mut question = Vec::new();
        if (&mut stream).take(QUESTION_MAX).read_to_end(&mut question).await.is_err() {
            return;
        }
        let reply = match serde_json::from_slice(&question) {
            Ok(question) => self.answer(question).await.map_or_else(Reply::Error, Reply::Ok),
            Err(error) => Reply::Error(error.to_string()),
        };
        if let Ok(octets) = serde_json::to_vec(&reply) {
            // Who asked may have gone.
            drop(stream.write_all(&octets).await);
        }
    }

    async fn answer(&self, question: Question) -> Result<serde_json::Value, String> {
        match question {
            Question::Calls => Ok(serde_json::json!(self.calls().await)),
            Question::Call(order) => self.call(order).await,
            Question::Workers => Ok(serde_json::json!((self.workers)())),
            Question::Servers => self.servers().await,
            Question::Trunks => Ok(serde_json::json!(self.trunks().await)),
            Question::Trunk(name, standing) => self.trunk(name, standing).await,
            Question::Why(order) => self.why(order).await,
            Question::Spans => Ok(serde_json::json!(self.spans().await)),
            Question::Span(number) => {
                let mut spans = self.spans().await;
                spans.retain(|s| s["span"] == number);
                spans.pop().ok_or_else(|| format!("there is no span {number}"))
            }
            Question::Block(span, slot, on) => {
                let known = self.spans().await;
                if !known.iter().any(|s| s["span"] == span) {
                    return Err(format!("there is no span {span}"));
                }
                for shard in &self.shards {
                    shard.send(Inbox::Block(span, slot, on)).await.map_err(|e| e.to_string())?;
                }
                Ok(serde_json::json!("told"))
            }
            Question::Maintain(span, slot, what) => self.maintain(span, slot, what).await,
            Question::Clear(attempt) => {
                for shard in &self.shards {
                    shard.send(Inbox::Clear(attempt, Cause::NORMAL)).await.map_err(|e| e.to_string())?;
                }
                Ok(serde_json::json!("told"))
            }
            Question::Provision(change) => self.intake.provision(change).await.map_err(|why| why.to_string()),
            Question::Numbers => Ok(crate::numbers::all(&self.intake, None).into()),
            Question::Forecast(id, assume) => self.intake.forecast_of(id, assume).await,
            Question::Tenants(name) => {
                let config = self.intake.config.load();
                let asked = |t: &&control::config::Tenant| {
                    name.as_ref().is_none_or(|n| t.name.eq_ignore_ascii_case(n))
                };
                let found: Vec<_> = config.tenants.iter().filter(asked).map(crate::provision::told).collect();
                match name {
                    Some(name) => {
                        found.into_iter().next().ok_or_else(|| format!("there is no tenant called `{name}`"))
                    }
                    None => Ok(found.into()),
                }
            }
            Question::Reload => {
                self.reload.notify_one();
                Ok(serde_json::json!("reloading; the log says what was taken"))
            }
            Question::Drain => {
                self.drain.notify_one();
                Ok(serde_json::json!("draining"))
            }
        }
    }

    async fn calls(&self) -> Vec<CallView> {
        let mut calls = Vec::new();
        for shard in &self.shards {
            let (answer, waits) = oneshot::channel();
            if shard.send(Inbox::View(answer)).await.is_ok() {
                calls.extend(waits.await.unwrap_or_default());
            }
        }
        calls
    }

    /// Over all shards: each keeps its own count of calls.
    async fn trunks(&self) -> Vec<TrunkView> {
        let mut all: Vec<TrunkView> = Vec::new();
        for shard in &self.shards {
            let (answer, waits) = oneshot::channel();
            if shard.send(Inbox::Trunks(answer)).await.is_err() {
                continue;
            }
            for view in waits.await.unwrap_or_default() {
                match all.iter_mut().find(|known| known.name == view.name) {
                    Some(known) => known.add(&view),
                    None => all.push(view),
                }
            }
        }
        all
    }

    async fn trunk(&self, name: String, standing: Standing) -> Result<serde_json::Value, String> {
        if !self.trunks().await.iter().any(|trunk| trunk.name == name) {
            return Err(format!("there is no trunk {name}"));
        }
        for shard in &self.shards {
            shard.send(Inbox::Trunk(name.clone(), standing)).await.map_err(|e| e.to_string())?;
        }
        tracing::info!(trunk = name, ?standing, "by an operator");
        Ok(serde_json::json!("told"))
    }

    async fn maintain(
        &self,
        span: u16,
        slot: Option<u8>,
        what: crate::shard::Maintenance,
    ) -> Result<serde_json::Value, String> {
        // Spans are the first shard's.
        let Some(shard) = self.shards.first() else { return Err(format!("there is no span {span}")) };
        let (answer, waits) = oneshot::channel();
        shard.send(Inbox::Maintain(span, slot, what, answer)).await.map_err(|e| e.to_string())?;
        waits.await.map_err(|e| e.to_string())?.map(|()| serde_json::json!("done"))
    }

    async fn spans(&self) -> Vec<serde_json::Value> {
        let mut spans = Vec::new();
        for shard in &self.shards {
            let (answer, waits) = oneshot::channel();
            if shard.send(Inbox::Spans(answer)).await.is_ok() {
                spans.extend(waits.await.unwrap_or_default());
            }
        }
        spans
    }

    async fn servers(&self) -> Result<serde_json::Value, String> {
        let (answer, waits) = oneshot::channel();
        let asked = self.desk.send(crate::desk::Message::Servers(answer)).await;
        asked.map_err(|error| error.to_string())?;
        let servers = waits.await.map_err(|error| error.to_string())?;
        let others = self.others.as_ref().map(|others| others.load_full());
        let now = crate::clock::now().wall;
        let row = |(server, used, capacity): (units::ServerId, f64, u32)| {
            let node = others.iter().flat_map(|all| all.iter()).find(|n| n.id == server);
            let mut row = serde_json::json!({ "server": server.0, "used": used, "capacity": capacity });
            if let Some(node) = node {
                row["name"] = node.name.clone().into();
                row["role"] = node.role.clone().into();
                row["address"] = node.address.clone().into();
                row["seen_ms_ago"] = now.ms_since(node.seen).into();
                row["state"] = state(node, now).into();
            }
            row
        };
        let known: Vec<_> = servers.iter().map(|(server, ..)| *server).collect();
        let mut rows: Vec<serde_json::Value> = servers.into_iter().map(row).collect();
        // Those that carry no calls: control nodes, and servers that left.
        let rest = others.iter().flat_map(|all| all.iter()).filter(|n| !known.contains(&n.id));
        rows.extend(rest.map(|n| row((n.id, 0.0, 0))));
        Ok(rows.into())
    }

    async fn call(&self, order: OrderId) -> Result<serde_json::Value, String> {
        let status = match self.ask(Ask::Status { tenant: None, order }).await? {
            Answer::Status(Some(status)) => status,
            _ => return Err(format!("there is no order {order}")),
        };
        let records =
            match self.ask(Ask::Records { tenant: None, order: Some(order), after: 0, limit: 100 }).await? {
                Answer::Records(records) => records,
                _ => Vec::new(),
            };
        let story = match self.ask(Ask::StoryOf(order)).await? {
            Answer::Story(story) => story,
            _ => Vec::new(),
        };
        Ok(serde_json::json!({ "status": status, "records": records, "story": story }))
    }

    async fn why(&self, order: OrderId) -> Result<serde_json::Value, String> {
        match self.ask(Ask::Status { tenant: None, order }).await? {
            Answer::Status(Some(status)) => Ok(serde_json::json!({
                "state": status.state,
                "disposition": status.disposition,
                "due": status.due,
                "attempts": status.attempts,
                "decision": status.decision.as_deref().and_then(|d| serde_json::from_str::<serde_json::Value>(d).ok()),
            })),
            _ => Err(format!("there is no order {order}")),
        }
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, String> {
        self.store.ask(ask).await.map_err(|error| format!("the store says {error:?}"))
    }
}

/// What people call it. The times are of several clocks, so a second or two is no sign of anything.
fn state(node: &Node, now: units::Wall) -> &'static str {
    if node.role == control::watch::LEFT {
        "left"
    } else if now.ms_since(node.seen) > 5_000 {
        "silent"
    } else if node.load.is_some_and(|load| load.draining) {
        "draining"
    } else {
        "up"
    }
}

/// Asks a running node.
///
/// # Errors
/// That nobody answers there, or what the node says.
pub async fn ask(path: &Path, question: &Question) -> Result<serde_json::Value, String> {
    let mut stream = UnixStream::connect(path)
        .await
        .map_err(|error| format!("no node answers at {}: {error}", path.display()))?;
    let octets = serde_json::to_vec(question).map_err(|e| e.to_string())?;
    stream.write_all(&octets).await.map_err(|e| e.to_string())?;
    stream.shutdown().await.map_err(|e| e.to_string())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map_err(|e| e.to_string())?;
    match serde_json::from_slice(&answer).map_err(|e| e.to_string())? {
        Reply::Ok(value) => Ok(value),
        Reply::Error(why) => Err(why),
    }
}
