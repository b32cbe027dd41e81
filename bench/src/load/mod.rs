//! `carillon-bench pstn`, `call`, `ramp` and `soak`: a simulated telephone network that answers, and a caller that places
//! calls at a rate or holds a number of them up, against any SIP server; up to its capacity, or for a long time.

mod machine;
mod options;
mod ramp;
pub mod search;
mod session;
mod soak;
pub mod stats;
mod summary;
mod view;

pub use machine::{AgentOptions, Machine, ProcessUse, Watch, agent, process_use};
pub use options::{CallOptions, Common, Over, PstnOptions, SipOptions, Target, start, start_over};
pub use ramp::{RampOptions, Stage, ramp, run_ramp};
pub use session::{Sample, Session};
pub use soak::{SoakOptions, soak};
pub use summary::{Summary, quantiles, server_use};

use crate::farend::pacer::Pace;
use crate::report;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

type Failure = Box<dyn std::error::Error>;

/// Answers calls until the time is over or ctrl-C; true if no call went wrong.
///
/// # Errors
/// What keeps it from starting, or its results from being written.
pub async fn pstn(options: PstnOptions) -> Result<bool, Failure> {
    let common = &options.common;
    let (far, _) = start(common)?;
    let title = format!("the network answers at sip {}", far.sip_addr());
    let mut session = begin(common, far, &title).await?;
    while !over(common, &session) {
        session.turn().await;
    }
    let rang = session.far.rang();
    session.clear().await;
    if let Some(path) = &options.rang {
        let row = |(number, r): (&String, &crate::farend::world::Rang)| {
            let times: Vec<String> = r.at_ms.iter().map(u64::to_string).collect();
            format!("{number},{},{}\n", r.times, times.join(" "))
        };
        let rows: String = rang.iter().map(row).collect();
        std::fs::write(path, format!("number,times,at_ms\n{rows}"))?;
    }
    let (summary, _) = session.end().await;
    finish(common, "pstn", summary)
}

/// Places calls until the time or the number is reached, or ctrl-C; true if no call went wrong.
///
/// # Errors
/// What keeps it from starting, or its results from being written.
pub async fn call(options: CallOptions) -> Result<bool, Failure> {
    let common = &options.common;
    let pace = Pace { rate: options.target.rate()?, hold: options.hold, calls: options.calls };
    let (far, scenario) = start_over(common, options.target.transport, None)?;
    scenario.for_callers()?;
    place(common, &options.target, pace, far, "call").await
}

/// Calls that are ended as soon as they are up, without media; or, without a target, what happens inside one process.
///
/// # Errors
/// What keeps it from starting, or its results from being written.
pub async fn sip(mut options: SipOptions) -> Result<bool, Failure> {
    let Some(address) = options.target else { return Ok(crate::loads::inside::wire()) };
    options.common.mute = true;
    let target = Target {
        target: address,
        transport: options.transport,
        to: options.to.clone(),
        from: "bench".into(),
        rate: options.rate,
    };
    let pace = Pace { rate: target.rate()?, hold: 0, calls: options.calls };
    let (far, scenario) = start_over(&options.common, options.transport, Some(options::SIGNALLING))?;
    scenario.for_callers()?;
    place(&options.common, &target, pace, far, "sip").await
}

async fn place(
    common: &Common,
    target: &Target,
    pace: Pace,
    far: crate::farend::io::FarEnd,
    kind: &str,
) -> Result<bool, Failure> {
    let title = format!("calling {} from sip {}", target.target, far.sip_addr());
    let mut session = begin(common, far, &title).await?;
    let from = session.far.sip_addr();
    session.far.campaign(Some(target.campaign(from, pace)));
    let mut begun = false;
    while !over(common, &session) {
        let snapshot = session.turn().await;
        begun |= snapshot.counts.placed > 0;
        if begun && !snapshot.will_place && snapshot.live == 0 {
            break;
        }
    }
    session.clear().await;
    let (summary, _) = session.end().await;
    finish(common, kind, summary)
}

pub(crate) async fn begin(
    common: &Common,
    far: crate::farend::io::FarEnd,
    title: &str,
) -> Result<Session, Failure> {
    let summary = Summary::new(common.seed).with_rows(common.csv.is_some());
    Session::begin(far, summary, common.watch(), common.plain, title).await
}

fn over(common: &Common, session: &Session) -> bool {
    session.interrupted() || (common.seconds > 0 && session.elapsed() >= Duration::from_secs(common.seconds))
}

/// Prints the result, writes the files that were asked for; true: clean, and not bounded by this tool.
fn finish(common: &Common, kind: &str, mut summary: Summary) -> Result<bool, Failure> {
    summary.book("kind", json!(kind));
    summary.book("command", json!(command()));
    let (clean, result) = (summary.clean(), summary.json());
    if let Some(path) = &common.csv {
        summary.write_csv(path).map_err(|e| format!("--csv {}: {e}", path.display()))?;
    }
    publish(common.json.as_deref(), common.html.as_deref(), &result)?;
    Ok(clean && result["far_end"]["was_the_bottleneck"] != json!(true))
}

/// Writes a result where it was asked for, and prints it without its samples.
pub(crate) fn publish(json: Option<&Path>, html: Option<&Path>, result: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(result)?;
    if let Some(path) = json {
        std::fs::write(path, text).map_err(|e| format!("--json {}: {e}", path.display()))?;
    }
    if let Some(path) = html {
        let page = report::page(result);
        std::fs::write(path, page).map_err(|e| format!("--html {}: {e}", path.display()))?;
    }
    let mut short = result.clone();
    if let Some(all) = short.as_object_mut() {
        all.remove("samples");
    }
    crate::say!("{}", serde_json::to_string_pretty(&short)?);
    for line in report::told(result) {
        crate::say!("{line}");
    }
    Ok(())
}

/// The command line, so that a result says how it was made.
pub(crate) fn command() -> String {
    std::env::args().skip(1).fold("carillon-bench".to_owned(), |all, word| all + " " + &word)
}
