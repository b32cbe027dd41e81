//! `carillon-bench dispatch`: orders in, INVITEs out, no media: how fast a Carillon of its own dispatches to a network whose
//! people are all busy, and whether anybody is called twice.

use super::orders::{Given, OrdersOptions, give};
use super::site::{Running, Size};
use crate::demo::server::KEY;
use crate::farend::io::{FarEnd, Sockets};
use crate::farend::world::Rang;
use crate::farend::world::endpoint;
use crate::farend::{Scenario, World, WorldConfig};
use crate::load::publish;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use units::Seed;

/// Nothing has rung for so long: no more will.
const QUIET: Duration = Duration::from_secs(10);

/// `carillon-bench dispatch`.
#[derive(Clone, Debug, clap::Args)]
pub struct DispatchOptions {
    /// Orders given.
    #[arg(long, default_value_t = 2_000)]
    pub orders: u64,
    /// Connections that give them.
    #[arg(long, default_value_t = 32)]
    pub connections: u32,
    /// Orders a second; 0: as fast as they are taken.
    #[arg(long, default_value_t = 0.0)]
    pub rate: f64,
    /// The `carillon` program; default: beside this one.
    #[arg(long)]
    pub carillon: Option<PathBuf>,
    /// Write the result here as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Write a page here.
    #[arg(long)]
    pub html: Option<PathBuf>,
}

/// Runs it; true: every order rang once.
///
/// # Errors
/// What keeps it from running.
pub async fn dispatch(options: DispatchOptions) -> Result<bool, Box<dyn std::error::Error>> {
    let (result, well) = run(&options).await?;
    publish(options.json.as_deref(), options.html.as_deref(), &result)?;
    Ok(well)
}

/// Runs it; the result, and whether every order rang once.
///
/// # Errors
/// What keeps it from running.
pub async fn run(options: &DispatchOptions) -> Result<(Value, bool), Box<dyn std::error::Error>> {
    let origin = Instant::now();
    let far = busy_network()?;
    let size = Size {
        calls: 2_000,
        rate: 5_000.0,
        backend: "plain".into(),
        interface: None,
        trunk: Some(far.sip_addr()),
    };
    let running = Running::start(options.carillon.as_deref(), "carillon-dispatch", &size).await?;
    let begun = Instant::now();
    let given = give(OrdersOptions {
        http: Some(format!("http://{}", running.server.http_addr())),
        key: Some(KEY.into()),
        smtp: None,
        mail_from: String::new(),
        mail_to: String::new(),
        to: "+15550{n}".into(),
        application: format!("http://{}/app.vxml", running.web),
        at: String::new(),
        connections: options.connections,
        orders: options.orders,
        rate: options.rate,
        server_pid: Some(running.server.pid()),
        json: None,
        html: None,
    })
    .await;
    let Given { result: intake, accepted, .. } = given?;
    let (mut rang, mut last) = (0, Instant::now());
    while rang < options.orders && last.elapsed() < QUIET {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = far.snapshot().counts.incoming;
        if now > rang {
            (rang, last) = (now, Instant::now());
        }
    }
    let took = last.duration_since(begun);
    let numbers = far.rang();
    running.stop().await;
    far.stop();
    let waited = accepted_to_invite(origin, &accepted, &numbers);
    let twice = numbers.values().filter(|r| r.times > 1).count();
    let first_ms = numbers.values().filter_map(|r| r.at_ms.first()).min().copied().unwrap_or(0);
    let last_ms = numbers.values().filter_map(|r| r.at_ms.last()).max().copied().unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let rate = rang as f64 * 1000.0 / (last_ms - first_ms).max(1) as f64;
    let result = json!({
        "tool": concat!("carillon-bench ", env!("CARGO_PKG_VERSION")), "kind": "dispatch",
        "command": crate::load::command(), "seed": 1, "machine": crate::load::Machine::here(),
        "orders": options.orders, "rang": rang, "numbers": numbers.len(),
        "numbers_that_rang_more_than_once": twice, "seconds": took.as_secs_f64(),
        "dispatched_a_second": rate.round(), "accepted_to_invite_ms": waited, "intake": intake,
    });
    Ok((result, rang == options.orders && twice == 0))
}

/// From the 202 that was read to the INVITE at the customer, ms: shares of them within which it came; an INVITE that
/// overtook its 202 counts as 0.
fn accepted_to_invite(
    origin: Instant,
    accepted: &[(String, Instant)],
    numbers: &BTreeMap<String, Rang>,
) -> Value {
    let mut all: Vec<u64> = accepted
        .iter()
        .filter_map(|(number, at)| {
            let accepted_ms = u64::try_from(at.duration_since(origin).as_millis()).unwrap_or(u64::MAX);
            Some(numbers.get(number)?.at_ms.first()?.saturating_sub(accepted_ms))
        })
        .collect();
    all.sort_unstable();
    let share = |percent: usize| all.get((all.len() * percent / 100).min(all.len().saturating_sub(1)));
    json!({ "n": all.len(), "p50": share(50), "p90": share(90), "p99": share(99), "max": all.last() })
}

fn busy_network() -> Result<FarEnd, Box<dyn std::error::Error>> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let sockets = Sockets::bind(any, any)?;
    let config = WorldConfig {
        sip: sockets.sip_addr()?,
        rtp: sockets.rtp_addr()?,
        scenario: Arc::new(Scenario::parse("person busy like busy", &|_| None)?),
        keep_audio: false,
        quiet_ms: 900,
        seed: Seed(1),
    };
    let world = World::new(config.clone(), endpoint(&config));
    Ok(FarEnd::start(sockets, world)?)
}
