//! `carillon-bench calls`: signalling alone, on one thread, its journal on (the embedded store, group commit). How many
//! calls a second are placed, answered and ended; how long a set-up takes at half the promised rate; and what is left of
//! the capacity for incoming calls when twice and ten times as many come.
//!
//! The thread that is measured drives the endpoint as a shard does, over a UDP socket on loopback. A placed call is
//! journalled as the product does: its intent before the INVITE, its dialog before the ACK, its record after the BYE; an
//! incoming one by its record. Who answers and who calls are plain programs beside it that read no more than they must.
//! Times on the wall depend on what else the machine does; CPU times of the measured thread hardly do.

mod callers;
mod server;

use crate::load::publish;
use callers::{Callers, Tally};
use control::order::Order;
use control::store::{Answer, Ask, Claimed, Room};
use node::store::{Handle, Limits};
use serde_json::{Value, json};
use server::{Pace, Taking};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use units::{OrderId, Seed, ServerId, TenantId};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// `carillon-bench calls`.
#[derive(Clone, Debug, clap::Args)]
pub struct CallsOptions {
    /// Calls that are placed to find the rate.
    #[arg(long, default_value_t = 10_000)]
    pub calls: u32,
    /// Calls that are being set up at a time while the rate is sought.
    #[arg(long, default_value_t = 256)]
    pub window: usize,
    /// Calls a second at which set-up times are taken.
    #[arg(long, default_value_t = 1_000)]
    pub rate: u32,
    /// Seconds of each step.
    #[arg(long, default_value_t = 5)]
    pub seconds: u32,
    /// Incoming calls a second that count as the capacity; 0: measured first.
    #[arg(long, default_value_t = 0)]
    pub capacity: u32,
    /// Folder for the store's file; default: a fresh one of the system's.
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Write the result here as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Write a page here.
    #[arg(long)]
    pub html: Option<PathBuf>,
}

/// Calls with an incoming capacity that are admitted: a little less than was found, so that queues stay short.
const ADMITTED_PERCENT: u32 = 97;

/// Runs it; true: every call that was let in went through.
///
/// # Errors
/// What keeps it from running.
pub async fn calls(options: CallsOptions) -> Result<bool, Box<dyn std::error::Error>> {
    let made = std::env::temp_dir().join(format!("carillon-calls-{}", std::process::id()));
    let dir = options.dir.clone().unwrap_or_else(|| made.clone());
    std::fs::create_dir_all(&dir)?;
    let (json, html) = (options.json.clone(), options.html.clone());
    let result = run(&options, &dir).await;
    if options.dir.is_none() {
        // What is left of it is the system's to clean.
        let _ = std::fs::remove_dir_all(&made);
    }
    let (result, well) = result.map_err(|e| e.to_string())?;
    publish(json.as_deref(), html.as_deref(), &result)?;
    Ok(well)
}

async fn run(options: &CallsOptions, dir: &std::path::Path) -> Result<(Value, bool), Failure> {
    let timed = options.rate * options.seconds;
    let url = format!("sqlite:{}", dir.join("calls.db").display());
    let store = node::store::open(&url, Limits::default(), node::clock::for_store)?;
    let mut claims = claimed(&store, options.calls + timed).await?;
    let later = claims.split_off(usize::try_from(options.calls)?.min(claims.len()));
    let found = placed(&store, claims, Pace::Window(options.window)).await?;
    let at_rate = placed(&store, later, Pace::Rate(options.rate)).await?;
    let mut result = json!({
        "tool": concat!("carillon-bench ", env!("CARGO_PKG_VERSION")), "kind": "calls",
        "command": crate::load::command(), "machine": crate::load::Machine::here(),
        "placed": found.0, "placed_at_rate": at_rate.0,
    });
    let mut well = found.1 && at_rate.1;
    let capacity = match options.capacity {
        0 => {
            let tally = taken(&store, u32::MAX, Pace::Window(options.window), options.seconds).await?;
            result["capacity"] = tally.told(0);
            tally.a_second()
        }
        given => given,
    };
    result["capacity_a_second"] = capacity.into();
    for times in [1, 2, 10] {
        let pace = Pace::Rate(capacity.saturating_mul(times));
        let tally = taken(&store, capacity * ADMITTED_PERCENT / 100, pace, options.seconds).await?;
        well &= tally.broken == 0;
        result[format!("offered_{times}x")] = tally.told(capacity);
    }
    Ok((result, well))
}

/// Orders that are accepted and claimed: what a placed call is journalled under.
async fn claimed(store: &Handle, count: u32) -> Result<Vec<Claimed>, Failure> {
    let mut all = Vec::new();
    for first in (0..count).step_by(200) {
        let due = node::clock::now().wall;
        let some: Vec<(Order, [u8; 32])> = (first..count.min(first + 200))
            .map(|n| order(n).map(|o| (o, [0; 32])))
            .collect::<Result<_, _>>()?;
        let dues = vec![due; some.len()];
        store.ask(Ask::Accept { orders: some, due: dues, room: Room::UNBOUNDED }).await.map_err(said)?;
    }
    while all.len() < usize::try_from(count)? {
        let (tenant, due, owner) = (TenantId(1), node::clock::now().wall, ServerId(1));
        let ask = Ask::Claim { priority: 5, tenant, due, max: 200, lease_ms: 3_600_000, owner };
        match store.ask(ask).await.map_err(said)? {
            Answer::Claimed(some, _) if !some.is_empty() => all.extend(some),
            _ => return Err("the store gave fewer orders than it took".into()),
        }
    }
    Ok(all)
}

fn said(error: control::store::Error) -> Failure {
    format!("the store: {error:?}").into()
}

fn order(n: u32) -> Result<Order, Failure> {
    // Ids are random in life: scattered over the key space.
    let id = OrderId(Seed(u64::from(n) + 1).rng().next_u128());
    Ok(serde_json::from_value(json!({
        "id": id.to_string(), "tenant": 1, "request_id": format!("bench-{n}"), "origin": { "by": "campaign" },
        "to": format!("+1555{n:07}"), "application": { "url": "https://bench.invalid/app.vxml" }, "when": "now",
        "expires": 4_000_000_000_000_i64, "purpose": "transactional", "priority": 5,
    }))?)
}

/// Places all of them; what came of it, and whether every one was answered and ended.
async fn placed(store: &Handle, claims: Vec<Claimed>, pace: Pace) -> Result<(Value, bool), Failure> {
    let (own, callee) = (loopback()?, loopback()?);
    let to = callee.local_addr()?;
    let stop = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&stop);
    let answering = std::thread::spawn(move || callers::answer(&callee, &over));
    let (store, calls) = (store.clone(), claims.len());
    let outcome =
        tokio::task::spawn_blocking(move || server::on_its_own(server::place(store, own, to, claims, pace)));
    let outcome = outcome.await??;
    stop.store(true, Ordering::Relaxed);
    answering.join().map_err(|_| "who answers broke")?;
    let mut told = outcome.told();
    told["calls"] = calls.into();
    if let Pace::Rate(rate) = pace {
        told["offered_a_second"] = rate.into();
    }
    Ok((told, outcome.ended == calls))
}

/// Takes calls that come at this pace, and admits no more than `calls_rate` of them a second.
async fn taken(store: &Handle, calls_rate: u32, pace: Pace, seconds: u32) -> Result<Tally, Failure> {
    let (own, caller) = (loopback()?, loopback()?);
    let to = own.local_addr()?;
    let stop = Arc::new(AtomicBool::new(false));
    let taking = Taking { calls_rate, stop: Arc::clone(&stop) };
    let store = store.clone();
    let serving = tokio::task::spawn_blocking(move || server::on_its_own(server::take(store, own, taking)));
    let span = Duration::from_secs(seconds.into());
    let calling = tokio::task::spawn_blocking(move || Callers::new(caller, to, pace).run(span));
    let mut tally = calling.await??;
    stop.store(true, Ordering::Relaxed);
    tally.server = serving.await??;
    Ok(tally)
}

fn loopback() -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    crate::farend::io::large_buffers(&socket);
    Ok(socket)
}
