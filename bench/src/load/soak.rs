//! `carillon-bench soak`: a load held for long, and whether anything grows: the server's memory, threads, files and sockets,
//! its CPU a session-second, packets late.

use super::session::{Sample, Session};
use super::stats::Slope;
use super::{Common, Target, begin, command, publish, start_over};
use crate::farend::pacer::Pace;
use serde_json::{Value, json};
use std::time::Duration;

/// `carillon-bench soak`.
#[derive(Clone, Debug, clap::Args)]
pub struct SoakOptions {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    target: Target,
    /// Calls held up.
    #[arg(long, default_value_t = 100)]
    hold: usize,
    /// The first part of the time is not looked at, %: caches fill.
    #[arg(long, default_value_t = 20)]
    warm: u8,
    /// What grows by more than this an hour, %, and by more than chance, fails the run.
    #[arg(long, default_value_t = 2.0)]
    growth_max: f64,
}

/// Runs it; true: clean, and nothing grew.
///
/// # Errors
/// What keeps it from starting, or its results from being written.
pub async fn soak(options: SoakOptions) -> Result<bool, Box<dyn std::error::Error>> {
    let common = &options.common;
    if common.seconds == 0 {
        return Err("a soak needs --seconds".into());
    }
    let pace = Pace { rate: options.target.rate()?, hold: options.hold, calls: 0 };
    let (far, scenario) = start_over(common, options.target.transport, None)?;
    scenario.for_callers()?;
    let title = format!("soak: {} calls at {} for {} s", options.hold, options.target.target, common.seconds);
    let mut session: Session = begin(common, far, &title).await?;
    let from = session.far.sip_addr();
    session.far.campaign(Some(options.target.campaign(from, pace)));
    session.run_for(Duration::from_secs(common.seconds)).await;
    session.clear().await;
    let (mut summary, samples) = session.end().await;
    let slopes = slopes(&samples, options.warm);
    let grew: Vec<String> = slopes
        .iter()
        .filter(|(_, s)| s.rises() && s.relative_per_hour * 100.0 > options.growth_max)
        .map(|(name, s)| format!("{name} grows by {:.1} % an hour", s.relative_per_hour * 100.0))
        .collect();
    let named: Value = slopes.iter().map(|(name, s)| ((*name).to_owned(), json!(s))).collect();
    let clean = summary.clean();
    for (name, value) in [
        ("kind", json!("soak")),
        ("command", json!(command())),
        ("slopes", named),
        ("grew", json!(grew)),
        ("growth_max_percent_an_hour", json!(options.growth_max)),
    ] {
        summary.book(name, value);
    }
    publish(common.json.as_deref(), common.html.as_deref(), &summary.json())?;
    Ok(clean && grew.is_empty())
}

/// A figure's name, and where it stands in a sample.
type Figure = (&'static str, fn(&Sample) -> f64);

/// What each figure did after the warm part, and before the calls were cleared.
fn slopes(samples: &[Sample], warm_percent: u8) -> Vec<(&'static str, Slope)> {
    let full = samples.iter().map(|s| s.up).max().unwrap_or(0);
    let held: Vec<&Sample> = samples.iter().filter(|s| s.up * 10 >= full * 8).collect();
    let held = &held[held.len() * usize::from(warm_percent.min(90)) / 100..];
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let figures: [Figure; 6] = [
        ("memory", |s| s.server_mib),
        ("threads", |s| s.threads as f64),
        ("files", |s| s.files as f64),
        ("sockets", |s| s.sockets as f64),
        ("cpu_per_session_second", |s| s.server_us),
        ("lateness_p99", |s| s.late_p99_us as f64),
    ];
    figures
        .into_iter()
        .map(|(name, f)| (name, Slope::of(&held.iter().map(|s| (s.at_s, f(s))).collect::<Vec<_>>())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_is_seen_after_the_warm_part_and_not_while_calls_come_and_go() {
        let sample = |t: u32, up: u64, mib: f64| Sample {
            at_s: f64::from(t),
            up,
            server_mib: mib,
            threads: 9,
            ..Sample::default()
        };
        let leaking: Vec<Sample> = (0..200)
            .map(|t| sample(t, if !(20..=190).contains(&t) { 3 } else { 100 }, 50.0 + f64::from(t) * 0.1))
            .collect();
        let s = slopes(&leaking, 20);
        let by_name = |name: &str| s.iter().find(|(n, _)| *n == name).expect("named").1;
        assert!(by_name("memory").rises() && by_name("memory").per_hour > 300.0);
        assert!(!by_name("threads").rises());
        let warming: Vec<Sample> =
            (0..200).map(|t| sample(t, 100, if t < 30 { f64::from(t) } else { 30.0 })).collect();
        assert!(!slopes(&warming, 20)[0].1.rises());
        assert_eq!(slopes(&[], 20)[0].1.points, 0);
    }
}
