//! `carillon-bench ramp`: the largest number of calls that a server holds up within limits that the user states.

use super::search::Search;
use super::session::Session;
use super::summary::{quantiles, server_use};
use super::{Common, Target, begin, command, publish, start_over};
use crate::farend::io::Reading;
use crate::farend::pacer::Pace;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// `carillon-bench ramp`.
#[derive(Clone, Debug, clap::Args)]
pub struct RampOptions {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    target: Target,
    /// First number of calls held up.
    #[arg(long, default_value_t = 50)]
    first: u64,
    /// Largest number tried.
    #[arg(long, default_value_t = 20_000)]
    max: u64,
    /// Each number is measured so long, s, after it has been reached.
    #[arg(long, default_value_t = 10)]
    step_seconds: u64,
    /// How long a call lasts, s: it is reached when the rate has filled it up.
    #[arg(long, default_value_t = 20.0)]
    call_seconds: f64,
    /// The answer is known to this, %.
    #[arg(long, default_value_t = 5)]
    resolution: u64,
    #[command(flatten)]
    limits: Limits,
}

/// Beyond these a load has not gone well.
#[derive(Clone, Copy, Debug, serde::Serialize, clap::Args)]
pub(super) struct Limits {
    /// Packets missing, %.
    #[arg(long, default_value_t = 0.0)]
    missing_max: f64,
    /// Packets more than 5 ms late, %.
    #[arg(long, default_value_t = 1.0)]
    late_max: f64,
    /// Packet lateness p99, ms.
    #[arg(long, default_value_t = 20.0)]
    lateness_p99_max: f64,
    /// Calls that did not do every step, %.
    #[arg(long, default_value_t = 0.1)]
    failed_max: f64,
    /// First sound after the answer, p99, ms.
    #[arg(long, default_value_t = 2000.0)]
    first_sound_p99_max: f64,
}

/// What one load did.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Calls to be held.
    pub load: u64,
    /// Why it did not go well; empty: it did.
    pub why: Vec<String>,
    /// The far end was the bottleneck.
    pub own_fault: bool,
    /// Its figures.
    pub figures: Value,
}

impl RampOptions {
    /// From a first number of calls to a largest one; seconds of each, and how long a call lasts.
    #[must_use]
    pub fn between(
        common: Common,
        target: Target,
        (first, max): (u64, u64),
        (step_seconds, call_seconds): (u64, f64),
        late_max: f64,
    ) -> Self {
        let limits = Limits {
            missing_max: 0.0,
            late_max,
            lateness_p99_max: 20.0,
            failed_max: 0.1,
            first_sound_p99_max: 2000.0,
        };
        Self { common, target, first, max, step_seconds, call_seconds, resolution: 5, limits }
    }
}

/// Runs it; true: a capacity was found, and the far end did not bound it.
///
/// # Errors
/// What keeps it from starting, or its results from being written.
pub async fn ramp(options: RampOptions) -> Result<bool, Box<dyn std::error::Error>> {
    let (result, well) = run_ramp(&options).await?;
    publish(options.common.json.as_deref(), options.common.html.as_deref(), &result)?;
    Ok(well)
}

/// Runs it; the result, and whether it went well.
///
/// # Errors
/// What keeps it from starting.
pub async fn run_ramp(options: &RampOptions) -> Result<(Value, bool), Box<dyn std::error::Error>> {
    options.target.rate()?;
    let (far, scenario) = start_over(&options.common, options.target.transport, None)?;
    scenario.for_callers()?;
    let title = format!("ramp against {} from sip {}", options.target.target, far.sip_addr());
    let mut session = begin(&options.common, far, &title).await?;
    let from = session.far.sip_addr();
    let mut search = if options.first == options.max {
        Search::once(options.max)
    } else {
        Search::new(options.first, options.max, options.resolution)
    };
    let mut stages = Vec::new();
    while let Some(load) = search.wanted().filter(|_| !session.interrupted()) {
        let Some(stage) = stage(options, &mut session, from, load).await else { break };
        search.judged(stage.why.is_empty());
        session.note(&told(&stage));
        if !stage.why.is_empty() {
            // The server is to begin the next one without what this one left behind.
            session.clear().await;
            session.run_for(Duration::from_secs(2)).await;
        }
        stages.push(stage);
    }
    session.clear().await;
    let capacity = search.capacity();
    // What the far end could not do was not the server's bound.
    let own_fault = stages.iter().any(|s| s.own_fault && s.load > capacity);
    let (mut summary, _) = session.end().await;
    let points: Vec<Value> = stages.iter().map(point).collect();
    for (name, value) in [
        ("kind", json!("ramp")),
        ("command", json!(command())),
        ("capacity", json!(capacity)),
        ("capacity_is_a_lower_bound", json!(search.unbounded() || own_fault)),
        ("bounded_by_the_far_end", json!(own_fault)),
        ("limits", json!(options.limits)),
        ("points", json!(points)),
    ] {
        summary.book(name, value);
    }
    Ok((summary.json(), capacity > 0 && !own_fault))
}

fn told(stage: &Stage) -> String {
    match stage.why.is_empty() {
        true => format!("{:6} calls: within the limits", stage.load),
        false => format!("{:6} calls: {}", stage.load, stage.why.join("; ")),
    }
}

fn point(stage: &Stage) -> Value {
    let mut v = stage.figures.clone();
    if let Value::Object(all) = &mut v {
        all.insert("load".into(), json!(stage.load));
        all.insert("well".into(), json!(stage.why.is_empty()));
        all.insert("why".into(), json!(stage.why));
    }
    v
}

/// Reaches a load, lets it settle, measures it; `None`: interrupted.
async fn stage(o: &RampOptions, session: &mut Session, from: SocketAddr, load: u64) -> Option<Stage> {
    // Calls of one length, placed evenly over it, end evenly too.
    #[expect(clippy::cast_precision_loss, reason = "calls are counted in thousands")]
    let rate = (load as f64 / o.call_seconds * 1.02).min(o.target.rate.max(load as f64 / o.call_seconds));
    let hold = usize::try_from(load).ok()?;
    session.far.campaign(Some(o.target.campaign(from, Pace { rate, hold, calls: 0 })));
    let patience = Instant::now() + Duration::from_secs_f64(o.call_seconds * 1.5 + 5.0);
    while !session.interrupted() && Instant::now() < patience {
        let snapshot = session.turn().await;
        if snapshot.counts.up * 100 >= load * 97 {
            break;
        }
    }
    session.run_for(Duration::from_secs(2)).await;
    let (calls, complete) = (session.summary.calls(), session.summary.complete());
    let first = session.summary.latencies()[1].1.clone();
    let before = session.mark().await?;
    session.run_for(Duration::from_secs(o.step_seconds)).await;
    let after = session.mark().await?;
    if session.interrupted() {
        return None;
    }
    let ended = (session.summary.calls() - calls, session.summary.complete() - complete);
    let mut sound = session.summary.latencies()[1].1.clone();
    // A later reading holds all that an earlier one does.
    let _ = sound.subtract(&first);
    let server = before.1.zip(after.1);
    let took = after.0.at.saturating_sub(before.0.at);
    let talk_ms = after.0.talk_ms.saturating_sub(before.0.talk_ms);
    let (mut why, own_fault, mut figures) = judge(&o.limits, load, (&before.0, &after.0), ended, &sound);
    let took_s = took.as_secs_f64().max(0.001);
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let held = talk_ms as f64 / 1000.0 / took_s;
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    if held < load as f64 * 0.9 {
        why.push(format!("only {held:.0} calls were up"));
    }
    if let Value::Object(all) = &mut figures {
        all.insert("held".into(), json!((held * 10.0).round() / 10.0));
        let server = server.map_or(Value::Null, |(a, b)| server_use(&a, &b, took, talk_ms));
        all.insert("server".into(), server);
    }
    Some(Stage { load, why, own_fault, figures })
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// Holds what was measured against the limits.
fn judge(
    limits: &Limits,
    load: u64,
    (before, after): (&Reading, &Reading),
    (ended, complete): (u64, u64),
    sound: &hdrhistogram::Histogram<u64>,
) -> (Vec<String>, bool, Value) {
    let streams = after.streams.since(before.streams);
    let mut lateness = after.lateness.clone();
    let _ = lateness.subtract(&before.lateness);
    let own = after.own.since(before.own);
    let own_why = own.bottleneck();
    let talk_ms = after.talk_ms.saturating_sub(before.talk_ms);
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let ms = |us: u64| us as f64 / 1000.0;
    let missing = share(streams.missing, streams.packets + streams.missing);
    let late = share(streams.late, streams.packets);
    let failed = share(ended - complete, ended);
    let mut why = Vec::new();
    for (what, value, max, unit) in [
        ("packets missing", missing, limits.missing_max, "%"),
        ("packets late", late, limits.late_max, "%"),
        ("lateness p99", ms(lateness.value_at_quantile(0.99)), limits.lateness_p99_max, "ms"),
        ("calls failed", failed, limits.failed_max, "%"),
        ("first sound p99", ms(sound.value_at_quantile(0.99)), limits.first_sound_p99_max, "ms"),
    ] {
        if value > max {
            why.push(format!("{what} {value:.3} {unit} (limit {max} {unit})"));
        }
    }
    if load > 0 && streams.packets == 0 {
        why.push("not one packet came".into());
    }
    let own_fault = !own_why.is_empty();
    why.extend(own_why.iter().map(|w| format!("this tool: {w}")));
    let figures = json!({
        "missing_percent": missing, "late_percent": late, "failed_percent": failed, "calls_ended": ended,
        "streams": streams, "lateness_us": quantiles(&lateness), "first_sound_us": quantiles(sound),
        "far_end": {
            "cpu_us_per_session_second": super::summary::per_session_second(own.cpu_us, talk_ms),
            "was_the_bottleneck": own_fault, "because": own_why,
        },
    });
    (why, own_fault, figures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::farend::io::Own;
    use crate::farend::world::{Counts, Streams};
    use hdrhistogram::Histogram;

    fn reading(missing: u64, dropped: u64) -> Reading {
        Reading {
            at: Duration::from_secs(1),
            counts: Counts::default(),
            streams: Streams { packets: 1000, missing, ..Streams::default() },
            talk_ms: 1000,
            lateness: Histogram::new(3).expect("valid"),
            own: Own { ticks: 1000, dropped, ..Own::default() },
        }
    }

    #[test]
    fn a_stage_is_judged_by_the_limits_and_by_our_own_faults() {
        let limits = Limits {
            missing_max: 0.1,
            late_max: 1.0,
            lateness_p99_max: 20.0,
            failed_max: 1.0,
            first_sound_p99_max: 100.0,
        };
        let zero = Reading { streams: Streams::default(), talk_ms: 0, ..reading(0, 0) };
        let mut sound = Histogram::new(3).expect("valid");
        let judged = |r: &Reading, ended, sound: &Histogram<u64>| {
            let (why, own, _) = judge(&limits, 10, (&zero, r), ended, sound);
            (why.join("|"), own)
        };
        assert_eq!(judged(&reading(1, 0), (10, 10), &sound), (String::new(), false));
        let (why, own) = judged(&reading(20, 0), (10, 9), &sound);
        assert!(
            why.contains("packets missing 1.961 %") && why.contains("calls failed 10.000 %") && !own,
            "{why}"
        );
        let (why, own) = judged(&reading(0, 5), (10, 10), &sound);
        assert!(why.contains("this tool: its sockets were full") && own, "{why}");
        sound.record(300_000).expect("it resizes");
        assert!(judged(&reading(0, 0), (1, 1), &sound).0.contains("first sound p99 300"));
    }
}
