//! The replay: dispatch at internet scale in virtual time, with the production code. `carillon sim dispatch` prints
//! what [`Outcome::table`] and [`plot::svg`] say.
//!
//! Calls arrive at random (Poisson), hold for a random time (exponential), and are given to servers by several
//! dispatchers that know of the others' calls by reports only. What is measured: the worst server against the mean,
//! calls lost, refusals per call, and the most set-ups that one server saw in a second, as multiples of its fair rate.

pub mod plot;
mod world;

use super::Scheme;
use std::fmt::Write;
use units::Seed;
pub use world::run;

/// A scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Channels of each server.
    pub servers: Vec<u32>,
    /// Traffic as a share of all channels.
    pub load: f64,
    /// Swing of the traffic over a day around `load` (0: none), as a share of it.
    pub swing: f64,
    /// Mean holding time, s.
    pub hold_s: f64,
    /// How dispatchers choose.
    pub scheme: Scheme,
    /// Independent dispatchers.
    pub dispatchers: u32,
    /// A server reports so often, s; 0: on every change (the event stream).
    pub report_s: f64,
    /// A reply to a dispatch brings the server's load.
    pub piggyback: bool,
    /// Every so often one server loses its calls and comes back after ten seconds, s; 0: never.
    pub restart_s: f64,
    /// Set-ups a second that a server accepts; 0: unbounded.
    pub setups_per_s: u32,
    /// How long, s.
    pub length_s: f64,
    /// Not measured at the start, s.
    pub warm_up_s: f64,
    /// Whence chance comes.
    pub seed: Seed,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            servers: vec![120; 16],
            load: 0.8,
            swing: 0.0,
            hold_s: 60.0,
            scheme: Scheme::P2c,
            dispatchers: 4,
            report_s: 5.0,
            piggyback: true,
            restart_s: 0.0,
            setups_per_s: 0,
            length_s: 900.0,
            warm_up_s: 300.0,
            seed: Seed(1),
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Calls offered.
    pub calls: u64,
    /// Calls that found no server.
    pub lost: u64,
    /// Servers that refused a call which was sent to them in vain.
    pub refusals: u64,
    /// Utilisation of the fullest server over the mean: time average ...
    pub balance: f64,
    /// ... and what it stays under for 99 % of the time.
    pub balance_p99: f64,
    /// Most set-ups one server got in one second, over its fair share.
    pub worst_second: f64,
    /// Calls that were cut by a server's fall.
    pub cut: u64,
    /// Samples for a plot: time (s), mean utilisation, that of the fullest server, of the emptiest.
    pub samples: Vec<[f64; 4]>,
}

impl Outcome {
    /// Lost calls as a share.
    #[must_use]
    pub fn lost_share(&self) -> f64 {
        ratio(self.lost, self.calls)
    }

    /// Refusals per call.
    #[must_use]
    pub fn refusals_per_call(&self) -> f64 {
        ratio(self.refusals, self.calls)
    }

    /// One line per scenario, for people.
    #[must_use]
    pub fn table(rows: &[(String, Scenario, Outcome)]) -> String {
        let mut text = String::from(
            "scenario                       scheme    servers  load  report  calls       max/mean  p99    lost %   refused/call  worst s\n",
        );
        for (name, scenario, out) in rows {
            let scheme = format!("{:?}", scenario.scheme).to_lowercase();
            let _ = writeln!(
                text,
                "{name:<30} {scheme:<9} {:>7}  {:>4.2}  {:>5.1}s  {:<10}  {:>8.3}  {:>5.3}  {:>6.3}  {:>12.5}  {:>6.2}x",
                scenario.servers.len(),
                scenario.load,
                scenario.report_s,
                out.calls,
                out.balance,
                out.balance_p99,
                out.lost_share() * 100.0,
                out.refusals_per_call(),
                out.worst_second,
            );
        }
        text
    }
}

/// Probability that a pool of `channels` is full at `erlangs` (Erlang B, by its recursion).
#[must_use]
pub fn erlang_b(erlangs: f64, channels: u32) -> f64 {
    (1..=channels).fold(1.0, |b, n| erlangs * b / (f64::from(n) + erlangs * b))
}

/// The scenarios that `carillon sim dispatch` shows: every scheme on the same traffic, then scale and bad days.
#[must_use]
pub fn gallery(seed: Seed) -> Vec<(String, Scenario)> {
    let base = Scenario { seed, ..Scenario::default() };
    let schemes = [Scheme::P2c, Scheme::P3c, Scheme::Weighted, Scheme::Random, Scheme::Rr, Scheme::Least];
    let mut all: Vec<(String, Scenario)> = Vec::new();
    for scheme in schemes {
        all.push((format!("{scheme:?}, 5 s reports"), Scenario { scheme, ..base.clone() }));
    }
    all.push(("reports only, 30 s".into(), Scenario { report_s: 30.0, piggyback: false, ..base.clone() }));
    all.push(("16 dispatchers, 30 s".into(), Scenario { report_s: 30.0, dispatchers: 16, ..base.clone() }));
    all.push(("mixed sizes".into(), Scenario { servers: mixed(16), load: 0.85, ..base.clone() }));
    all.push(("hot".into(), Scenario { load: 0.95, ..base.clone() }));
    let restarts = Scenario { servers: vec![1_000; 16], restart_s: 120.0, ..base.clone() };
    all.push(("restarts".into(), restarts));
    let internet = Scenario { servers: mixed(1_000), swing: 0.3, restart_s: 60.0, dispatchers: 8, ..base };
    all.push(("1,000 servers, failures".into(), internet));
    all
}

/// Servers of four sizes in turn.
#[must_use]
pub fn mixed(n: usize) -> Vec<u32> {
    [24, 96, 120, 480].into_iter().cycle().take(n).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of calls stay below 2^53")]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b.max(1) as f64
}

#[cfg(test)]
#[path = "goals.rs"]
mod goals;
