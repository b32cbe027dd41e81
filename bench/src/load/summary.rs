//! What a load run found: counts, latencies in histograms, and the verdict whether each call was clean.

use super::machine::{Machine, ProcessUse};
use crate::farend::CallLog;
use crate::farend::io::{Own, Reading};
use crate::farend::world::Streams;
use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Steps and statuses that are told apart, at most.
const REASONS_MAX: usize = 200;

/// See the module.
#[derive(Debug)]
pub struct Summary {
    seed: u64,
    calls: u64,
    answered: u64,
    complete: u64,
    cleared: u64,
    stuck: BTreeMap<String, u64>,
    refused: BTreeMap<u16, u64>,
    prompts: BTreeMap<String, u64>,
    streams: Streams,
    wrong_prompts: u64,
    cut_prompts: u64,
    wrong_digits: u64,
    doubled_digits: u64,
    deaf: u64,
    silent: u64,
    talk_ms: u64,
    setup_ms: Histogram<u64>,
    first_sound_us: Histogram<u64>,
    reaction_us: Histogram<u64>,
    talkover_us: Histogram<u64>,
    worst_us: Histogram<u64>,
    stall_us: Histogram<u64>,
    keeps_rows: bool,
    rows: Vec<String>,
    ends: Map<String, Value>,
}

fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are a valid precision")
}

/// p50, p90, p99, p99.9 and the largest of a histogram.
#[must_use]
pub fn quantiles(h: &Histogram<u64>) -> Value {
    let at = |q| h.value_at_quantile(q);
    json!({
        "n": h.len(), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999),
        "p9999": at(0.9999), "max": h.max(),
    })
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
            cleared: 0,
            stuck: BTreeMap::new(),
            refused: BTreeMap::new(),
            prompts: BTreeMap::new(),
            streams: Streams::default(),
            wrong_prompts: 0,
            cut_prompts: 0,
            wrong_digits: 0,
            doubled_digits: 0,
            deaf: 0,
            silent: 0,
            talk_ms: 0,
            setup_ms: histogram(),
            first_sound_us: histogram(),
            reaction_us: histogram(),
            talkover_us: histogram(),
            worst_us: histogram(),
            stall_us: histogram(),
            keeps_rows: false,
            rows: Vec::new(),
            ends: Map::new(),
        }
    }

    /// Keeps a row a call, for CSV.
    #[must_use]
    pub fn with_rows(mut self, yes: bool) -> Self {
        self.keeps_rows = yes;
        self
    }

    /// Adds a call that is over.
    pub fn take(&mut self, log: &CallLog) {
        self.calls += 1;
        self.answered += u64::from(log.answered);
        self.complete += u64::from(log.complete);
        self.cleared += u64::from(log.cleared);
        if let Some(at) = &log.stuck
            && (self.stuck.len() < REASONS_MAX || self.stuck.contains_key(at))
        {
            *self.stuck.entry(format!("{}, {at}", log.person)).or_default() += 1;
        }
        if let Some(status) = log.status {
            *self.refused.entry(status).or_default() += 1;
        }
        for p in &log.prompts {
            *self.prompts.entry(p.name.clone().unwrap_or_else(|| "not declared".into())).or_default() += 1;
        }
        self.streams = self.streams.with(log.hearing);
        self.wrong_prompts += u64::from(log.wrong_prompts);
        self.cut_prompts += u64::from(log.cut_prompts);
        self.wrong_digits += u64::from(log.wrong_digits);
        self.doubled_digits += u64::from(log.doubled_digits);
        self.deaf += u64::from(log.deaf);
        self.silent += u64::from(log.silent);
        self.talk_ms += log.talk_ms;
        // An auto-resizing histogram takes any value.
        let record = |into: &mut Histogram<u64>, v: u64| into.record(v).expect("it resizes");
        log.setup_ms.into_iter().for_each(|v| record(&mut self.setup_ms, v));
        log.first_sound_us.into_iter().for_each(|v| record(&mut self.first_sound_us, v));
        log.reactions_us.iter().for_each(|&v| record(&mut self.reaction_us, v));
        log.talkover_us.iter().for_each(|&v| record(&mut self.talkover_us, v));
        if log.answered {
            record(&mut self.worst_us, log.hearing.late_max_us);
            record(&mut self.stall_us, log.hearing.stall_max_us);
        }
        if self.keeps_rows {
            self.rows.push(row(log));
        }
    }

    /// Calls that are over.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Calls that did every step.
    #[must_use]
    pub fn complete(&self) -> u64 {
        self.complete
    }

    /// Latencies by name, for a live view: the unit is in the name.
    #[must_use]
    pub fn latencies(&self) -> [(&'static str, &Histogram<u64>); 4] {
        [
            ("set-up, ms", &self.setup_ms),
            ("first sound, us", &self.first_sound_us),
            ("digit to reaction, us", &self.reaction_us),
            ("talk-over, us", &self.talkover_us),
        ]
    }

    /// Why calls did not go to their end, and how many.
    #[must_use]
    pub fn stuck(&self) -> &BTreeMap<String, u64> {
        &self.stuck
    }

    /// Books what a run adds: `before` and `after` bound it, `server` is what the server's process used in it.
    pub fn close(&mut self, before: &Reading, after: &Reading, server: Option<&(ProcessUse, ProcessUse)>) {
        let took = after.at.saturating_sub(before.at);
        let talk_ms = after.talk_ms.saturating_sub(before.talk_ms);
        // Streams of calls that are still up belong to it too.
        self.streams = after.streams.since(before.streams);
        self.talk_ms = talk_ms;
        let mut lateness = after.lateness.clone();
        let _ = lateness.subtract(&before.lateness);
        self.book("seconds", json!(took.as_secs_f64()));
        self.book("lateness_us", quantiles(&lateness));
        self.book("far_end", far_end(after.own.since(before.own), after, talk_ms));
        self.book("numbers", json!(after.counts.numbers));
        self.book("numbers_that_rang_more_than_once", json!(after.counts.numbers_twice));
        self.book("server", server.map_or(Value::Null, |(a, b)| server_use(a, b, took, talk_ms)));
    }

    /// Adds something to the result.
    pub fn book(&mut self, name: &str, value: Value) {
        self.ends.insert(name.into(), value);
    }

    /// Whether every call that was given its time did all its steps, and no packet was missing or wrong.
    #[must_use]
    pub fn clean(&self) -> bool {
        self.calls > 0
            && self.complete + self.cleared == self.calls
            && self.streams.missing == 0
            && self.streams.wrong == 0
    }

    /// Everything, as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut all = json!({
            "tool": concat!("carillon-bench ", env!("CARGO_PKG_VERSION")),
            "seed": self.seed, "machine": Machine::here(), "clean": self.clean(),
            "calls": self.calls, "answered": self.answered, "complete": self.complete,
            "ended_by_the_run": self.cleared,
            "stuck": self.stuck, "refused": self.refused, "streams": self.streams,
            "prompts": self.prompts, "wrong_prompts": self.wrong_prompts, "cut_prompts": self.cut_prompts,
            "wrong_digits": self.wrong_digits, "doubled_digits": self.doubled_digits,
            "deaf_calls": self.deaf, "silent_calls": self.silent, "session_seconds": self.talk_ms / 1000,
            "setup_ms": quantiles(&self.setup_ms), "first_sound_us": quantiles(&self.first_sound_us),
            "reaction_us": quantiles(&self.reaction_us), "talkover_us": quantiles(&self.talkover_us),
            "worst_lateness_of_a_call_us": quantiles(&self.worst_us), "longest_stall_of_a_call_us": quantiles(&self.stall_us),
        });
        if let Value::Object(all) = &mut all {
            all.append(&mut self.ends.clone());
        }
        all
    }

    /// Writes one line a call.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_csv(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, format!("{HEAD}\n{}\n", self.rows.join("\n")))
    }
}

const HEAD: &str = "person,answered,complete,setup_ms,talk_ms,packets,missing,late,duplicated,reordered,wrong,\
gaps_in_prompt,late_max_us,stall_max_us,first_sound_us,reactions_us,talkover_us,prompts";

/// The number itself is private: the row holds the person's name.
fn row(log: &CallLog) -> String {
    let h = log.hearing;
    let list = |v: &[u64]| v.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
    let prompts: Vec<&str> = log.prompts.iter().map(|p| p.name.as_deref().unwrap_or("?")).collect();
    format!(
        "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}",
        log.person,
        log.answered,
        log.complete,
        log.setup_ms.map_or(String::new(), |v| v.to_string()),
        log.talk_ms,
        h.packets,
        h.missing,
        h.late,
        h.duplicated,
        h.reordered,
        h.wrong,
        h.gaps_in_prompt,
        h.late_max_us,
        h.stall_max_us,
        log.first_sound_us.map_or(String::new(), |v| v.to_string()),
        list(&log.reactions_us),
        list(&log.talkover_us),
        prompts.join(" ")
    )
}

/// Of a count per so many ms of calls, us a session-second.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(super) fn per_session_second(us: u64, talk_ms: u64) -> f64 {
    if talk_ms == 0 { 0.0 } else { (us as f64 / (talk_ms as f64 / 1000.0) * 10.0).round() / 10.0 }
}

fn far_end(own: Own, after: &Reading, talk_ms: u64) -> Value {
    let why = own.bottleneck();
    json!({
        "cpu_us": own.cpu_us, "cpu_us_per_session_second": per_session_second(own.cpu_us, talk_ms),
        "late_ticks": own.late_ticks, "ticks": own.ticks, "packets_dropped": own.dropped,
        "packets_refused": own.refused, "frames_skipped": own.frames_skipped,
        "stray_rtp": after.counts.stray_rtp, "ambiguous_calls": after.counts.ambiguous,
        "calls_from_another_address": after.counts.learned,
        "was_the_bottleneck": !why.is_empty(), "because": why,
    })
}

/// What the server's process used between two looks.
#[must_use]
pub fn server_use(a: &ProcessUse, b: &ProcessUse, took: Duration, talk_ms: u64) -> Value {
    let cpu_ms = b.cpu_ms.saturating_sub(a.cpu_ms);
    let share = |ms: u64| per_session_second(ms * 1000, u64::try_from(took.as_millis()).unwrap_or(1)) / 1e6;
    let by_thread: BTreeMap<&String, u64> = b
        .by_thread_us
        .iter()
        .map(|(name, us)| (name, us.saturating_sub(a.by_thread_us.get(name).copied().unwrap_or(0))))
        .filter(|(_, us)| *us > 0)
        .collect();
    let cores: Vec<f64> =
        b.core_busy_ms.iter().zip(&a.core_busy_ms).map(|(b, a)| share(b.saturating_sub(*a))).collect();
    json!({
        "cpu_ms": cpu_ms, "cpu_cores": share(cpu_ms),
        "cpu_us_per_session_second": per_session_second(cpu_ms * 1000, talk_ms),
        "cpu_us_by_thread": by_thread,
        "machine_busy_cores": share(b.machine_busy_ms.saturating_sub(a.machine_busy_ms)), "core_busy": cores,
        "resident_kib": b.resident_kib, "resident_kib_grown": i128::from(b.resident_kib) - i128::from(a.resident_kib),
        "threads": b.threads, "files": b.files, "sockets": b.sockets,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_missing_packet_is_not_clean() {
        let mut s = Summary::new(1).with_rows(true);
        let mut log = CallLog { answered: true, complete: true, talk_ms: 2000, ..CallLog::default() };
        log.hearing.packets = 100;
        s.take(&log);
        assert!(s.clean());
        log.hearing.missing = 1;
        log.stuck = Some("line 2: answer: refused".into());
        s.take(&log);
        assert!(!s.clean());
        assert_eq!(s.json()["streams"]["missing"], 1);
        assert_eq!(s.json()["session_seconds"], 4);
        assert_eq!(s.json()["stuck"][", line 2: answer: refused"], 1);
        assert!(s.rows.iter().all(|r| r.split(',').count() == HEAD.split(',').count()), "{:?}", s.rows);
    }

    #[test]
    fn large_latencies_are_kept() {
        let mut s = Summary::new(1);
        s.take(&CallLog { first_sound_us: Some(200_000), setup_ms: Some(9_000), ..CallLog::default() });
        let near = |v: &Value, want: u64| v.as_u64().is_some_and(|v| v.abs_diff(want) * 100 < want);
        assert!(near(&s.json()["first_sound_us"]["max"], 200_000), "{}", s.json());
        assert!(near(&s.json()["setup_ms"]["p50"], 9_000), "{}", s.json());
    }

    #[test]
    fn the_servers_use_is_told_by_session_second_and_thread() {
        let names = |us: u64| BTreeMap::from([("media".to_owned(), us), ("idle".to_owned(), 5)]);
        let a = ProcessUse { cpu_ms: 1000, by_thread_us: names(100), ..ProcessUse::default() };
        let b = ProcessUse { cpu_ms: 3000, by_thread_us: names(900), ..ProcessUse::default() };
        let v = server_use(&a, &b, Duration::from_secs(4), 20_000);
        assert_eq!(v["cpu_us_per_session_second"], 100_000.0);
        assert_eq!((&v["cpu_cores"], &v["cpu_us_by_thread"]["media"]), (&json!(0.5), &json!(800)));
        assert!(v["cpu_us_by_thread"].get("idle").is_none());
    }
}
