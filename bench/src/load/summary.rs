//! What a load run found: counts, latencies in histograms, and the verdict whether each call was clean.

use super::machine::{Machine, ProcessUse};
use crate::farend::CallLog;
use crate::farend::io::Snapshot;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// Streams add up to this.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
struct Streams {
    packets: u64,
    missing: u64,
    late: u64,
    duplicated: u64,
    reordered: u64,
    wrong: u64,
    gaps_in_prompt: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Summary {
    seed: u64,
    calls: u64,
    answered: u64,
    complete: u64,
    stuck: BTreeMap<String, u64>,
    refused: BTreeMap<u16, u64>,
    streams: Streams,
    talk_ms: u64,
    setup_ms: Histogram<u64>,
    first_sound_us: Histogram<u64>,
    reaction_us: Histogram<u64>,
    talkover_us: Histogram<u64>,
    lateness_us: Histogram<u64>,
    rows: Vec<String>,
    ends: Value,
}

fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are a valid precision")
}

/// p50, p90, p99, p99.9 and the largest of a histogram.
#[must_use]
pub fn quantiles(h: &Histogram<u64>) -> Value {
    let at = |q| h.value_at_quantile(q);
    json!({ "n": h.len(), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "max": h.max() })
}

impl Summary {
    /// An empty one; the seed is part of the result.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            calls: 0,
            answered: 0,
            complete: 0,
            stuck: BTreeMap::new(),
            refused: BTreeMap::new(),
            streams: Streams::default(),
            talk_ms: 0,
            setup_ms: histogram(),
            first_sound_us: histogram(),
            reaction_us: histogram(),
            talkover_us: histogram(),
            lateness_us: histogram(),
            rows: Vec::new(),
            ends: Value::Null,
        }
    }

    /// Adds a call that is over.
    #[expect(clippy::needless_pass_by_value, reason = "a log is used up by the summary")]
    pub fn take(&mut self, log: CallLog) {
        self.calls += 1;
        self.answered += u64::from(log.answered);
        self.complete += u64::from(log.complete);
        if let Some(at) = &log.stuck {
            *self.stuck.entry(format!("{}: {at}", log.person)).or_default() += 1;
        }
        if let Some(status) = log.status {
            *self.refused.entry(status).or_default() += 1;
        }
        let h = log.hearing;
        let s = &mut self.streams;
        s.packets += h.packets;
        s.missing += h.missing;
        s.late += h.late;
        s.duplicated += h.duplicated;
        s.reordered += h.reordered;
        s.wrong += h.wrong;
        s.gaps_in_prompt += h.gaps_in_prompt;
        self.talk_ms += log.talk_ms;
        // An auto-resizing histogram takes any value.
        let record = |into: &mut Histogram<u64>, v: u64| into.record(v).expect("it resizes");
        log.setup_ms.into_iter().for_each(|v| record(&mut self.setup_ms, v));
        log.first_sound_us.into_iter().for_each(|v| record(&mut self.first_sound_us, v));
        log.reactions_us.iter().for_each(|&v| record(&mut self.reaction_us, v));
        log.talkover_us.iter().for_each(|&v| record(&mut self.talkover_us, v));
        record(&mut self.lateness_us, h.late_max_us);
        // The number itself is private: the row holds the person's name.
        self.rows.push(format!(
            "{},{},{},{},{},{},{},{},{},{}",
            log.person,
            log.answered,
            log.complete,
            log.talk_ms,
            h.packets,
            h.missing,
            h.late,
            h.duplicated,
            h.wrong,
            log.first_sound_us.unwrap_or(0)
        ));
    }

    /// Calls that are over.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// One line of progress.
    #[must_use]
    pub fn line(&self, at: Duration, now: &Snapshot, used: Option<(ProcessUse, ProcessUse)>) -> String {
        let mut line = format!(
            "{:6.0}s  up {:5}  ended {:6}  complete {:6}  missing {}  late {}",
            at.as_secs_f64(),
            now.counts.up,
            self.calls,
            self.complete,
            self.streams.missing,
            self.streams.late
        );
        if let Some((a, b)) = used {
            let _ =
                write!(line, "  server {} % cpu, {} MiB", (b.cpu_ms - a.cpu_ms) / 10, b.resident_kib / 1024);
        }
        if now.late_ticks > 0 {
            let _ = write!(line, "  (this tool was late {} times)", now.late_ticks);
        }
        line
    }

    /// Books what is known at the end: time, our own cost, the server's.
    pub fn close(&mut self, took: Duration, far: &Snapshot, server: Option<(ProcessUse, ProcessUse)>) {
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let per = |us: u64| if self.talk_ms == 0 { 0.0 } else { us as f64 / (self.talk_ms as f64 / 1000.0) };
        let twice = far.rang.values().filter(|&&n| n > 1).count();
        self.ends = json!({
            "seconds": took.as_secs_f64(),
            "far_end": {
                "cpu_us": far.cpu_us, "cpu_us_per_session_second": per(far.cpu_us),
                "late_ticks": far.late_ticks, "ticks": far.ticks, "stray_rtp": far.counts.stray_rtp,
                "was_the_bottleneck": far.late_ticks * 1000 > far.ticks,
            },
            "numbers_that_rang_more_than_once": twice,
            "server": server.map(|(a, b)| json!({
                "cpu_ms": b.cpu_ms - a.cpu_ms,
                "cpu_us_per_session_second": per((b.cpu_ms - a.cpu_ms) * 1000),
                "machine_busy_ms": b.machine_busy_ms - a.machine_busy_ms,
                "resident_kib": b.resident_kib, "threads": b.threads, "files": b.files,
            })),
        });
    }

    /// Whether every call did all its steps and no packet was missing or wrong.
    #[must_use]
    pub fn clean(&self) -> bool {
        self.calls > 0 && self.complete == self.calls && self.streams.missing == 0 && self.streams.wrong == 0
    }

    /// Everything, as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut ends = self.ends.clone();
        let mut all = json!({
            "tool": concat!("carillon-bench ", env!("CARGO_PKG_VERSION")),
            "seed": self.seed, "machine": Machine::here(), "clean": self.clean(),
            "calls": self.calls, "answered": self.answered, "complete": self.complete,
            "stuck": self.stuck, "refused": self.refused, "streams": self.streams, "session_seconds": self.talk_ms / 1000,
            "setup_ms": quantiles(&self.setup_ms), "first_sound_us": quantiles(&self.first_sound_us),
            "reaction_us": quantiles(&self.reaction_us), "talkover_us": quantiles(&self.talkover_us),
            "worst_lateness_of_a_call_us": quantiles(&self.lateness_us),
        });
        if let (Value::Object(all), Value::Object(ends)) = (&mut all, &mut ends) {
            all.append(ends);
        }
        all
    }

    /// Everything, for people.
    #[must_use]
    pub fn report(&self) -> String {
        serde_json::to_string_pretty(&self.json()).unwrap_or_default()
    }

    /// Writes the files that were asked for.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, json: Option<&Path>, csv: Option<&Path>) -> std::io::Result<()> {
        if let Some(path) = json {
            std::fs::write(path, self.report())?;
        }
        if let Some(path) = csv {
            let head =
                "person,answered,complete,talk_ms,packets,missing,late,duplicated,wrong,first_sound_us\n";
            std::fs::write(path, format!("{head}{}\n", self.rows.join("\n")))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_missing_packet_is_not_clean() {
        let mut s = Summary::new(1);
        let mut log = CallLog { answered: true, complete: true, talk_ms: 2000, ..CallLog::default() };
        log.hearing.packets = 100;
        s.take(log.clone());
        assert!(s.clean());
        log.hearing.missing = 1;
        s.take(log);
        s.close(Duration::from_secs(2), &Snapshot::default(), None);
        assert!(!s.clean());
        assert_eq!(s.json()["streams"]["missing"], 1);
        assert_eq!(s.json()["session_seconds"], 4);
    }

    #[test]
    fn large_latencies_are_kept() {
        let mut s = Summary::new(1);
        s.take(CallLog { first_sound_us: Some(200_000), setup_ms: Some(9_000), ..CallLog::default() });
        let near = |v: &Value, want: u64| v.as_u64().is_some_and(|v| v.abs_diff(want) * 100 < want);
        assert!(near(&s.json()["first_sound_us"]["max"], 200_000), "{}", s.json());
        assert!(near(&s.json()["setup_ms"]["p50"], 9_000), "{}", s.json());
    }
}
