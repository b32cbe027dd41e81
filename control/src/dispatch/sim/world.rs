//! The world of the replay: servers with channels, calls, clocks of reports.

use super::{Outcome, Scenario};
use crate::dispatch::{Dispatcher, Limits, Rate, ServerReport, Shares, Wanted};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;
use units::{Cause, Mono, Rng, ServerId};

/// A call is tried on so many servers, then it is lost.
const TRIES_MAX: usize = 3;
/// A fallen server is away for so long.
const AWAY: Duration = Duration::from_secs(10);
/// How often the balance is looked at.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A call arrives at the next dispatcher.
    Arrive,
    /// A call ends: server, its life, dispatcher.
    End(u32, u32, u32),
    /// A server reports to everybody.
    Report(u32),
    /// Some server falls.
    Fall,
    /// It is back.
    Rise(u32),
    /// Look at the balance.
    Look,
}

#[derive(Debug)]
struct Machine {
    capacity: u32,
    used: u32,
    up: bool,
    /// Grows with each fall: calls of a former life are cut.
    life: u32,
    second: u64,
    in_second: u32,
    worst: u32,
}

struct World<'s> {
    scenario: &'s Scenario,
    now: Mono,
    events: BinaryHeap<Reverse<(Mono, u64, Event)>>,
    n: u64,
    machines: Vec<Machine>,
    dispatchers: Vec<Dispatcher>,
    rng: Rng,
    total: u64,
    fair: Vec<f64>,
    out: Outcome,
    ratios: Vec<f64>,
}

/// Runs a scenario.
#[must_use]
pub fn run(scenario: &Scenario) -> Outcome {
    let mut world = World::new(scenario);
    let end = after(Mono(0), scenario.length_s);
    while let Some(Reverse((at, _, event))) = world.events.pop() {
        if at > end {
            break;
        }
        world.now = at;
        world.step(event);
    }
    world.close()
}

impl<'s> World<'s> {
    fn new(scenario: &'s Scenario) -> Self {
        let limits =
            Limits { fade_ms: ms(scenario.hold_s), silent_ms_max: 0, dispatchers: 1, ..Limits::default() };
        // Without load in replies the others' sends are unknown: they send as we do.
        let limits =
            if scenario.piggyback { limits } else { Limits { dispatchers: scenario.dispatchers, ..limits } };
        let dispatchers = (0..scenario.dispatchers)
            .map(|d| {
                Dispatcher::new(
                    limits,
                    scenario.scheme,
                    Shares::default(),
                    scenario.seed.derive(u64::from(d) + 1),
                )
            })
            .collect();
        let total: u64 = scenario.servers.iter().map(|c| u64::from(*c)).sum();
        let rate = scenario.load * real(total) / scenario.hold_s;
        let fair = scenario.servers.iter().map(|c| rate * f64::from(*c) / real(total)).collect();
        let machine = |capacity: &u32| Machine {
            capacity: *capacity,
            used: 0,
            up: true,
            life: 0,
            second: 0,
            in_second: 0,
            worst: 0,
        };
        let mut world = Self {
            scenario,
            now: Mono(0),
            events: BinaryHeap::new(),
            n: 0,
            machines: scenario.servers.iter().map(machine).collect(),
            dispatchers,
            rng: scenario.seed.rng(),
            total,
            fair,
            out: Outcome {
                calls: 0,
                lost: 0,
                refusals: 0,
                balance: 0.0,
                balance_p99: 0.0,
                worst_second: 0.0,
                cut: 0,
                samples: Vec::new(),
            },
            ratios: Vec::new(),
        };
        world.open();
        world
    }

    fn open(&mut self) {
        for server in 0..self.count() {
            self.report(server);
            if self.scenario.report_s > 0.0 {
                let first = self.rng.unit() * self.scenario.report_s;
                self.at(first, Event::Report(server));
            }
        }
        self.at(0.0, Event::Arrive);
        self.at(self.scenario.warm_up_s, Event::Look);
        if self.scenario.restart_s > 0.0 {
            self.at(self.scenario.warm_up_s, Event::Fall);
        }
    }

    fn count(&self) -> u32 {
        u32::try_from(self.machines.len()).unwrap_or(u32::MAX)
    }

    fn at(&mut self, in_s: f64, event: Event) {
        self.n += 1;
        self.events.push(Reverse((after(self.now, in_s), self.n, event)));
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Arrive => {
                let rate = self.rate();
                let gap = -(1.0 - self.rng.unit()).ln() / rate;
                self.at(gap, Event::Arrive);
                self.arrive();
            }
            Event::End(server, life, dispatcher) => self.end(server, life, dispatcher),
            Event::Report(server) => {
                self.report(server);
                self.at(self.scenario.report_s, Event::Report(server));
            }
            Event::Fall => self.fall(),
            Event::Rise(server) => {
                self.machines[at(server)].up = true;
                self.report(server);
            }
            Event::Look => {
                self.look();
                self.at(LOOK.as_secs_f64(), Event::Look);
            }
        }
    }

    /// Calls a second now: a day's wave around the load.
    fn rate(&self) -> f64 {
        let day = self.now.since(Mono(0)).as_secs_f64() / 86_400.0;
        let wave = 1.0 + self.scenario.swing * (day * std::f64::consts::TAU).sin();
        (self.scenario.load * wave * real(self.total) / self.scenario.hold_s).max(1e-9)
    }

    fn measured(&self) -> bool {
        self.now.since(Mono(0)).as_secs_f64() >= self.scenario.warm_up_s
    }

    fn arrive(&mut self) {
        let d = usize::try_from(self.rng.below(self.dispatchers.len() as u64)).unwrap_or(0);
        let measured = self.measured();
        self.out.calls += u64::from(measured);
        let mut refusers: Vec<ServerId> = Vec::new();
        for _ in 0..TRIES_MAX {
            let wanted = Wanted { priority: 5, without: &refusers, ..Wanted::default() };
            let Ok(slot) = self.dispatchers[d].pick(self.now, &wanted) else { break };
            let server = slot.server();
            // The slot lives as long as the call, which is an event here: it is booked again at the end.
            let _ = slot.release(Cause::NORMAL);
            if self.offer(server.0) {
                return self.begin(server.0, d);
            }
            self.out.refusals += u64::from(measured);
            let released = crate::permit::Released { server, cause: Cause::CONGESTION };
            self.dispatchers[d].release(&released);
            self.dispatchers[d].refused(self.now, server);
            self.answer(server.0, d);
            refusers.push(server);
        }
        self.out.lost += u64::from(measured);
    }

    fn offer(&mut self, server: u32) -> bool {
        let second = self.now.as_ms() / 1_000;
        let measured = self.measured();
        let machine = &mut self.machines[at(server)];
        if machine.second != second {
            (machine.second, machine.in_second) = (second, 0);
        }
        machine.in_second += 1;
        if measured {
            machine.worst = machine.worst.max(machine.in_second);
        }
        machine.up && machine.used < machine.capacity
    }

    fn begin(&mut self, server: u32, dispatcher: usize) {
        let machine = &mut self.machines[at(server)];
        machine.used += 1;
        let life = machine.life;
        let hold = -(1.0 - self.rng.unit()).ln() * self.scenario.hold_s;
        self.at(hold, Event::End(server, life, u32::try_from(dispatcher).unwrap_or(0)));
        self.answer(server, dispatcher);
        self.changed(server);
    }

    fn end(&mut self, server: u32, life: u32, dispatcher: u32) {
        if self.machines[at(server)].life != life {
            return;
        }
        self.machines[at(server)].used -= 1;
        let released = crate::permit::Released { server: ServerId(server), cause: Cause::NORMAL };
        self.dispatchers[at(dispatcher)].release(&released);
        self.changed(server);
    }

    /// The reply to a dispatch brings the load along.
    fn answer(&mut self, server: u32, dispatcher: usize) {
        if self.scenario.piggyback && self.machines[at(server)].up {
            let report = self.told(server);
            self.dispatchers[dispatcher].report(self.now, &report);
        }
    }

    /// With an event stream everybody hears of every change.
    fn changed(&mut self, server: u32) {
        if self.scenario.report_s <= 0.0 {
            self.report(server);
        }
    }

    fn report(&mut self, server: u32) {
        if !self.machines[at(server)].up {
            return;
        }
        let report = self.told(server);
        for dispatcher in &mut self.dispatchers {
            dispatcher.report(self.now, &report);
        }
    }

    fn told(&self, server: u32) -> ServerReport {
        let machine = &self.machines[at(server)];
        let rate = match self.scenario.setups_per_s {
            0 => Rate::UNBOUNDED,
            n => Rate::per_second(n),
        };
        let (capacity, used) = (machine.capacity, machine.used);
        ServerReport { server: ServerId(server), capacity, used, rate, draining: false, seen: None }
    }

    fn fall(&mut self) {
        let server = u32::try_from(self.rng.below(u64::from(self.count()))).unwrap_or(0);
        let machine = &mut self.machines[at(server)];
        if machine.up {
            self.out.cut += u64::from(machine.used);
            (machine.up, machine.used) = (false, 0);
            machine.life += 1;
            for dispatcher in &mut self.dispatchers {
                dispatcher.down(ServerId(server));
            }
            self.at(AWAY.as_secs_f64(), Event::Rise(server));
        }
        self.at(self.scenario.restart_s, Event::Fall);
    }

    fn look(&mut self) {
        let up = || self.machines.iter().filter(|m| m.up);
        let each = || up().map(|m| f64::from(m.used) / f64::from(m.capacity));
        let used: f64 = up().map(|m| f64::from(m.used)).sum();
        let capacity: f64 = up().map(|m| f64::from(m.capacity)).sum();
        let (mean, most, least) = (used / capacity, each().fold(0.0, f64::max), each().fold(1.0, f64::min));
        if mean > 0.0 {
            self.ratios.push(most / mean);
        }
        self.out.samples.push([self.now.since(Mono(0)).as_secs_f64(), mean, most, least]);
    }

    fn close(mut self) -> Outcome {
        self.ratios.sort_by(f64::total_cmp);
        let n = self.ratios.len();
        self.out.balance = self.ratios.iter().sum::<f64>() / real(n.max(1) as u64);
        self.out.balance_p99 = self.ratios.get(n.saturating_sub(1).min(n * 99 / 100)).copied().unwrap_or(0.0);
        let worst = self.machines.iter().zip(&self.fair).map(|(m, fair)| f64::from(m.worst) / fair);
        self.out.worst_second = worst.fold(0.0, f64::max);
        self.out
    }
}

fn at(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

fn after(now: Mono, in_s: f64) -> Mono {
    now + Duration::from_secs_f64(in_s.clamp(0.0, 1e9))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a holding time of seconds, not negative"
)]
fn ms(s: f64) -> u64 {
    (s.max(0.0) * 1_000.0) as u64
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
fn real(n: u64) -> f64 {
    n as f64
}
