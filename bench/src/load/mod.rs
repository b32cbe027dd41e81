//! `carillon-bench pstn` and `carillon-bench call`: a simulated telephone network that answers, and a caller that places
//! calls at a rate or holds a number of them up, against any SIP server.

mod machine;
mod summary;

pub use machine::{Machine, ProcessUse, process_use};
pub use summary::{Summary, quantiles};

use crate::farend::io::{FarEnd, Sockets};
use crate::farend::scenario::Person;
use crate::farend::world::{Dial, endpoint};
use crate::farend::{Scenario, World, WorldConfig};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use units::Seed;

/// What both sides share.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    /// Scenario file (see the module `scenario` or `docs/load.md`).
    #[arg(long)]
    pub scenario: PathBuf,
    /// Where our SIP is spoken.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub sip: SocketAddr,
    /// Where all our RTP goes; one socket for all calls.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub rtp: SocketAddr,
    /// A prompt has ended after so much quiet, ms.
    #[arg(long, default_value_t = 900)]
    pub quiet_ms: u32,
    /// Chance; printed in the result, so that a run can be repeated.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Write the result here as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Write one line a call here as CSV.
    #[arg(long)]
    pub csv: Option<PathBuf>,
    /// Process to measure beside (the server's): CPU and memory a second.
    #[arg(long)]
    pub server_pid: Option<u32>,
    /// Stop after so long, s; 0: at ctrl-C.
    #[arg(long, default_value_t = 0)]
    pub seconds: u64,
}

/// `carillon-bench call`.
#[derive(Clone, Debug, clap::Args)]
pub struct CallOptions {
    #[command(flatten)]
    common: Common,
    /// Next hop.
    #[arg(long)]
    target: SocketAddr,
    /// User called; `{n}` becomes the call's number.
    #[arg(long, default_value = "1000")]
    to: String,
    /// New calls a second.
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Hold so many up; 0: the rate alone.
    #[arg(long, default_value_t = 0)]
    hold: usize,
    /// Place so many in all; 0: no bound but the time.
    #[arg(long, default_value_t = 0)]
    calls: u64,
}

/// `carillon-bench pstn`.
#[derive(Clone, Debug, clap::Args)]
pub struct PstnOptions {
    #[command(flatten)]
    common: Common,
}

type Failure = Box<dyn std::error::Error>;

fn scenario(path: &Path) -> Result<Scenario, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let beside = path.parent().unwrap_or(Path::new(".")).to_owned();
    Scenario::parse(&text, &|name| std::fs::read(beside.join(name)).ok())
        .map_err(|e| format!("{}: {e}", path.display()).into())
}

/// Starts a far end as told.
///
/// # Errors
/// The scenario's wrong line, or what the system says of the sockets.
pub fn start(common: &Common) -> Result<(FarEnd, Arc<Scenario>), Failure> {
    let scenario = Arc::new(scenario(&common.scenario)?);
    let sockets = Sockets::bind(common.sip, common.rtp)
        .map_err(|e| format!("cannot listen on {} and {}: {e}", common.sip, common.rtp))?;
    let config = WorldConfig {
        sip: sockets.sip_addr()?,
        rtp: sockets.rtp_addr()?,
        scenario: scenario.clone(),
        keep_audio: false,
        quiet_ms: common.quiet_ms,
        seed: Seed(common.seed),
    };
    Ok((FarEnd::start(sockets, World::new(config.clone(), endpoint(&config)))?, scenario))
}

/// Answers calls until the time is over or ctrl-C; true if no call went wrong.
///
/// # Errors
/// What keeps it from starting, or its results from being written.
pub async fn pstn(options: PstnOptions) -> Result<bool, Failure> {
    let (far, _) = start(&options.common)?;
    println!("the network answers at sip {}", far.sip_addr());
    run(&options.common, far, |_, _| false).await
}

/// Places calls until the time or the number is reached, or ctrl-C; true if no call went wrong.
///
/// # Errors
/// What keeps it from starting, or its results from being written.
pub async fn call(options: CallOptions) -> Result<bool, Failure> {
    if !(options.rate > 0.0 && options.rate <= 10_000.0) {
        return Err(format!("--rate {}: 0 < rate <= 10000", options.rate).into());
    }
    let (far, scenario) = start(&options.common)?;
    println!("calling {} from sip {}", options.target, far.sip_addr());
    let person = scenario.people[0].clone();
    let mut placed = 0u64;
    let begun = Instant::now();
    run(&options.common, far, |far, live| {
        let due = begun.elapsed().as_secs_f64() * options.rate;
        #[expect(clippy::cast_precision_loss, reason = "calls are counted in thousands")]
        while (placed as f64) < due && (options.calls == 0 || placed < options.calls) {
            if options.hold > 0 && live + usize::from(placed > 0) > options.hold {
                break;
            }
            placed += 1;
            far.dial(dial(&options, far.sip_addr(), &person, placed));
            if options.hold > 0 {
                break;
            }
        }
        options.calls == 0 || placed < options.calls
    })
    .await
}

fn dial(options: &CallOptions, from: SocketAddr, person: &Arc<Person>, n: u64) -> Dial {
    let user = options.to.replace("{n}", &n.to_string());
    Dial {
        to: format!("sip:{user}@{}", options.target),
        from: format!("sip:bench@{from}"),
        hop: options.target,
        person: person.clone(),
    }
}

/// Runs until over: `more` may place calls and says whether it will place any more.
async fn run(
    common: &Common,
    far: FarEnd,
    mut more: impl FnMut(&FarEnd, usize) -> bool,
) -> Result<bool, Failure> {
    let mut summary = Summary::new(common.seed);
    let begun = Instant::now();
    let mut told = Instant::now();
    let mut clearing: Option<Instant> = None;
    let mut used = common.server_pid.and_then(process_use);
    let first_use = used;
    loop {
        let interrupted = tokio::select! {
            _ = tokio::signal::ctrl_c() => true,
            () = tokio::time::sleep(Duration::from_millis(5)) => false,
        };
        while let Some(log) = far.next_log(Duration::ZERO) {
            summary.take(log);
        }
        let snapshot = far.snapshot();
        let will = clearing.is_none() && more(&far, snapshot.live);
        let over = common.seconds > 0 && begun.elapsed() >= Duration::from_secs(common.seconds);
        let nothing_left = !will && summary.calls() > 0 && snapshot.live == 0 && common.seconds == 0;
        if clearing.is_none() && (interrupted || over || (nothing_left && clearing.is_none())) {
            far.clear_all();
            clearing = Some(Instant::now());
        }
        if let Some(since) = clearing
            && (snapshot.live == 0 && since.elapsed() > Duration::from_millis(300)
                || since.elapsed() > Duration::from_secs(5))
        {
            break;
        }
        if told.elapsed() >= Duration::from_secs(1) {
            told = Instant::now();
            let now = common.server_pid.and_then(process_use);
            println!("{}", summary.line(begun.elapsed(), &snapshot, used.zip(now)));
            used = now;
        }
    }
    while let Some(log) = far.next_log(Duration::ZERO) {
        summary.take(log);
    }
    let snapshot = far.snapshot();
    summary.close(begun.elapsed(), &snapshot, first_use.zip(common.server_pid.and_then(process_use)));
    far.stop();
    println!("{}", summary.report());
    summary.write(common.json.as_deref(), common.csv.as_deref())?;
    Ok(summary.clean())
}
