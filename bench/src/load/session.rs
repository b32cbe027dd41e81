//! A run in progress: the far end, what it found so far, the server beside it, and who looks on.

use super::machine::{ProcessUse, Watch};
use super::summary::{Summary, per_session_second};
use super::view::{Face, View};
use crate::farend::io::{FarEnd, Reading, Snapshot};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two looks at the logs.
const TURN: Duration = Duration::from_millis(20);
/// Calls that are hung up on are waited for so long.
const CLEARING_MAX: Duration = Duration::from_secs(8);
/// Samples kept over time; with more, every second one is dropped and the distance doubled.
const SAMPLES_MAX: usize = 3_600;

/// One second of a run.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Sample {
    /// Since the begin, s.
    pub at_s: f64,
    /// Calls up.
    pub up: u64,
    /// Calls ended so far.
    pub ended: u64,
    /// Packets missing and late since the sample before, and packets at all.
    pub missing: u64,
    /// See above.
    pub late: u64,
    /// See above.
    pub packets: u64,
    /// Lateness of the second, us.
    pub late_p99_us: u64,
    /// The server's CPU, cores.
    pub server_cores: f64,
    /// The server's CPU, us a session-second.
    pub server_us: f64,
    /// The far end's CPU, us a session-second.
    pub far_us: f64,
    /// The server's memory, MiB.
    pub server_mib: f64,
    /// Its threads.
    pub threads: u64,
    /// Its open files.
    pub files: u64,
    /// Its sockets.
    pub sockets: u64,
}

/// See the module.
pub struct Session {
    /// The telephones.
    pub far: FarEnd,
    /// What was found.
    pub summary: Summary,
    /// One a second.
    pub samples: Vec<Sample>,
    watch: Option<Watch>,
    server_first: Option<ProcessUse>,
    server_last: Option<ProcessUse>,
    first: Reading,
    last: Reading,
    begun: Instant,
    told: Instant,
    every: Duration,
    interrupted: Arc<AtomicBool>,
    view: View,
}

impl Session {
    /// Begins one. `title` stands over the live view.
    ///
    /// # Errors
    /// The far end's thread has ended already, or the server's process does not exist.
    pub async fn begin(
        far: FarEnd,
        summary: Summary,
        watch: Option<Watch>,
        plain: bool,
        title: &str,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let server = match &watch {
            Some(w) => Some(w.look().await.ok_or_else(|| format!("nothing to measure at {w:?}"))?),
            None => None,
        };
        let first = far.reading().ok_or("the far end's thread has ended")?;
        Ok(Self {
            far,
            summary,
            samples: Vec::new(),
            watch,
            server_first: server.clone(),
            server_last: server,
            last: first.clone(),
            first,
            begun: Instant::now(),
            told: Instant::now(),
            every: Duration::from_secs(1),
            interrupted: interrupted(),
            view: View::open(plain, title),
        })
    }

    /// How long it has run.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Somebody wants it to end: ctrl-C, `q` in the view, or the reader of our lines has gone.
    #[must_use]
    pub fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed) || crate::out::broken()
    }

    /// Goes on for a moment; how things stand then.
    pub async fn turn(&mut self) -> Snapshot {
        tokio::time::sleep(TURN).await;
        while let Some(log) = self.far.next_log(Duration::ZERO) {
            self.summary.take(&log);
        }
        if self.view.wants_out() {
            self.interrupted.store(true, Ordering::Relaxed);
        }
        if self.told.elapsed() >= self.every {
            self.told = Instant::now();
            self.sample().await;
        }
        self.far.snapshot()
    }

    /// Goes on for so long, or until interrupted.
    pub async fn run_for(&mut self, at_most: Duration) {
        let until = Instant::now() + at_most;
        while Instant::now() < until && !self.interrupted() {
            self.turn().await;
        }
    }

    /// A word for the view, or a line.
    pub fn note(&mut self, text: &str) {
        self.view.note(text);
    }

    /// What is measured from here: a reading of both sides.
    pub async fn mark(&mut self) -> Option<(Reading, Option<ProcessUse>)> {
        let server = match &self.watch {
            Some(w) => w.look().await,
            None => None,
        };
        Some((self.far.reading()?, server))
    }

    async fn sample(&mut self) {
        let Some((now, server)) = self.mark().await else { return };
        let streams = now.streams.since(self.last.streams);
        let mut lateness = now.lateness.clone();
        // A later reading holds all that an earlier one does.
        let _ = lateness.subtract(&self.last.lateness);
        let talk_ms = now.talk_ms.saturating_sub(self.last.talk_ms);
        // With hardly a call up, a share of nothing says nothing.
        let cost = |us: u64| if talk_ms < 1_000 { 0.0 } else { per_session_second(us, talk_ms) };
        let cpu = match (&self.server_last, &server) {
            (Some(a), Some(b)) => b.cpu_ms.saturating_sub(a.cpu_ms),
            _ => 0,
        };
        let took_ms = u64::try_from(now.at.saturating_sub(self.last.at).as_millis()).unwrap_or(1).max(1);
        let seen = server.clone().unwrap_or_default();
        let sample = Sample {
            at_s: (now.at.saturating_sub(self.first.at).as_secs_f64() * 10.0).round() / 10.0,
            up: now.counts.up,
            ended: self.summary.calls(),
            missing: streams.missing,
            late: streams.late,
            packets: streams.packets,
            late_p99_us: lateness.value_at_quantile(0.99),
            server_cores: per_session_second(cpu * 1000, took_ms) / 1e6,
            server_us: cost(cpu * 1000),
            far_us: cost(now.own.cpu_us - self.last.own.cpu_us),
            #[expect(clippy::cast_precision_loss, reason = "MiB")]
            server_mib: seen.resident_kib as f64 / 1024.0,
            threads: seen.threads,
            files: seen.files,
            sockets: seen.sockets,
        };
        self.samples.push(sample);
        if self.samples.len() > SAMPLES_MAX {
            let mut n = 0;
            self.samples.retain(|_| {
                n += 1;
                n % 2 == 1
            });
            self.every *= 2;
        }
        let face = Face {
            elapsed: self.begun.elapsed(),
            reading: &now,
            summary: &self.summary,
            samples: &self.samples,
            server: server.as_ref(),
            bottleneck: now.own.since(self.first.own).bottleneck(),
        };
        self.view.show(&face);
        self.last = now;
        if server.is_some() {
            self.server_last = server;
        }
    }

    /// Hangs up on everyone by BYE or CANCEL and waits for the ends.
    pub async fn clear(&mut self) {
        self.far.campaign(None);
        self.far.clear_all();
        let until = Instant::now() + CLEARING_MAX;
        let settled = Instant::now() + Duration::from_millis(300);
        while Instant::now() < until {
            let snapshot = self.turn().await;
            if snapshot.live == 0 && Instant::now() > settled {
                break;
            }
        }
    }

    /// Ends it: everything as JSON, without what a command adds.
    pub async fn end(mut self) -> (Summary, Vec<Sample>) {
        self.sample().await;
        while let Some(log) = self.far.next_log(Duration::ZERO) {
            self.summary.take(&log);
        }
        self.view.close();
        let server = self.server_first.take().zip(self.server_last.take());
        let last = self.far.reading().unwrap_or(self.last);
        self.summary.close(&self.first, &last, server.as_ref());
        self.summary.book("samples", samples(&self.samples));
        self.summary.book("interrupted", json!(self.interrupted.load(Ordering::Relaxed)));
        self.far.stop();
        (self.summary, self.samples)
    }
}

fn samples(all: &[Sample]) -> Value {
    serde_json::to_value(all).unwrap_or_default()
}

/// True from ctrl-C or SIGTERM on; the second one ends the process at once.
fn interrupted() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = flag.clone();
    tokio::spawn(async move {
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
        loop {
            let terminated = async {
                match &mut term {
                    Some(t) => t.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated => {}
            }
            if set.swap(true, Ordering::Relaxed) {
                View::restore();
                std::process::exit(130);
            }
        }
    });
    flag
}
