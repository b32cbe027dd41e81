//! Dispatch: a semi-random choice of a telephony server, biased to low load.
//!
//! Two servers are drawn in proportion to their usable capacity, and the one with the lower estimated utilisation gets
//! the call. Not the best of all: whoever picks the least loaded sends everything to the server that has just come
//! back, as fast as reports are old. With two draws no server can get more than 2/N of the traffic.
//!
//! The estimate ages: a report of a server says less the older it is, so it fades into the mean of all; what this
//! dispatcher sent since is added. Every reply to a dispatch brings the server's load along. All costs O(1) but the
//! scan when nearly every server is full, and the `least` scheme.

mod alias;
pub mod bucket;
mod pick;
mod server;
pub mod sim;

use crate::permit::{Released, Slot};
use alias::Alias;
pub use bucket::{Bucket, Pace, Rate};
pub use pick::{NoServer, Wanted};
use serde::{Deserialize, Serialize};
use server::Server;
use std::collections::BTreeMap;
use std::time::Duration;
use units::{Mono, Rng, Seed, ServerId};

/// How a server is chosen; a policy of the operator's or of a campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// The better of two drawn by capacity.
    #[default]
    P2c,
    /// The best of three.
    P3c,
    /// Drawn by capacity and spare share.
    Weighted,
    /// Drawn by capacity.
    Random,
    /// In turn.
    Rr,
    /// The lowest estimate of all: O(n), and herds; for comparison and for two servers.
    Least,
}

/// What the dispatcher must be given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Servers known at most.
    pub servers_max: usize,
    /// Mean holding time: a report this old says little, ms.
    pub fade_ms: u64,
    /// After up or unblock the share of traffic grows over this, ms.
    pub slow_start_ms: u64,
    /// A server not heard of for so long gets nothing, ms. 0: never.
    pub silent_ms_max: u64,
    /// A refusal adds so much to a server's score ...
    pub penalty: f64,
    /// ... and fades with this time constant, ms.
    pub penalty_fade_ms: u64,
    /// Draws before a scan.
    pub draws_max: u32,
    /// Dispatchers that share the servers: others send as we do between two reports.
    pub dispatchers: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            servers_max: 16_384,
            fade_ms: 60_000,
            slow_start_ms: 30_000,
            silent_ms_max: 2_000,
            penalty: 0.2,
            penalty_fade_ms: 10_000,
            draws_max: 12,
            dispatchers: 1,
        }
    }
}

/// What part of every server who may use, in thousandths of its capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// By priority of ordered calls, 0..=9: e.g. `[800; 10]` keeps a fifth for inbound calls.
    pub by_priority: [u16; 10],
    /// Inbound calls.
    pub inbound: u16,
}

impl Default for Shares {
    fn default() -> Self {
        Self { by_priority: [1_000; 10], inbound: 1_000 }
    }
}

/// What a server says of itself, every 100 ms, on change, and with each reply to a dispatch.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerReport {
    /// Who.
    pub server: ServerId,
    /// Channels it can carry now: those of live trunks and spans.
    pub capacity: u32,
    /// Channels in use and being set up.
    pub used: u32,
    /// Set-ups it accepts.
    pub rate: Rate,
    /// Takes no new call.
    pub draining: bool,
    /// How many of this dispatcher's sends are in `used`; `None`: all that it was sent before the report was made.
    pub seen: Option<u64>,
}

/// The dispatcher: a list of servers and what is known of their load. One owner.
#[derive(Debug)]
pub struct Dispatcher {
    limits: Limits,
    scheme: Scheme,
    shares: Shares,
    servers: Vec<Server>,
    places: BTreeMap<ServerId, usize>,
    alias: Alias,
    stale: bool,
    /// Sums over usable servers, for the mean utilisation.
    used: f64,
    capacity: f64,
    turn: usize,
    rng: Rng,
}

impl Dispatcher {
    /// Knows no server yet.
    #[must_use]
    pub fn new(limits: Limits, scheme: Scheme, shares: Shares, seed: Seed) -> Self {
        Self {
            limits,
            scheme,
            shares,
            servers: Vec::new(),
            places: BTreeMap::new(),
            alias: Alias::default(),
            stale: true,
            used: 0.0,
            capacity: 0.0,
            turn: 0,
            rng: seed.rng(),
        }
    }

    /// Changes the way of choosing, at once.
    pub fn set_scheme(&mut self, scheme: Scheme) {
        self.scheme = scheme;
    }

    /// Changes what part of the servers who may use.
    pub fn set_shares(&mut self, shares: Shares) {
        self.shares = shares;
    }

    /// A server reports, by itself or with a reply. Beyond `servers_max` unknown ones are not taken in (`false`).
    pub fn report(&mut self, now: Mono, report: &ServerReport) -> bool {
        let known = self.places.get(&report.server).copied();
        let place = match known {
            Some(place) => place,
            None if self.servers.len() < self.limits.servers_max => {
                self.servers.push(Server::new(now, report));
                self.places.insert(report.server, self.servers.len() - 1);
                self.servers.len() - 1
            }
            None => return false,
        };
        let server = &mut self.servers[place];
        let (used, capacity) = server.share_of_mean();
        let before = server.weight();
        if known.is_some() {
            server.hear(now, report);
        }
        let (used_now, capacity_now) = server.share_of_mean();
        self.stale |= known.is_none() || server.weight() != before;
        let fresh = known.is_none();
        self.used += used_now - if fresh { 0.0 } else { used };
        self.capacity += capacity_now - if fresh { 0.0 } else { capacity };
        true
    }

    /// The server is known to be dead: nothing goes there until it reports again, and then slowly.
    pub fn down(&mut self, server: ServerId) {
        let Some(server) = self.places.get(&server).map(|place| &mut self.servers[*place]) else { return };
        let (used, capacity) = server.share_of_mean();
        server.fall();
        self.used -= used;
        self.capacity -= capacity;
        self.stale = true;
    }

    /// Servers not heard of for `silent_ms_max`, each told once: they count as down from now on.
    pub fn silent(&mut self, now: Mono) -> Vec<ServerId> {
        let max = self.limits.silent_ms_max;
        if max == 0 {
            return Vec::new();
        }
        let silent: Vec<ServerId> = self
            .servers
            .iter()
            .filter(|s| s.up && now.since(s.heard) > Duration::from_millis(max))
            .map(|s| s.id)
            .collect();
        silent.iter().for_each(|s| self.down(*s));
        silent
    }

    /// When the next server would count as silent.
    #[must_use]
    pub fn silence_due(&self) -> Option<Mono> {
        let max = Duration::from_millis(self.limits.silent_ms_max);
        let first = self.servers.iter().filter(|s| s.up).map(|s| s.heard).min();
        first.filter(|_| self.limits.silent_ms_max > 0).map(|at| at + max + Duration::from_millis(1))
    }

    /// The server would not take a call it was sent (503, congestion): a penalty, so that failing fast does not look
    /// like being idle.
    pub fn refused(&mut self, now: Mono, server: ServerId) {
        let (step, fade) = (self.limits.penalty, self.limits.penalty_fade_ms);
        if let Some(place) = self.places.get(&server) {
            self.servers[*place].punish(now, step, fade);
        }
    }

    /// A slot came back.
    pub fn release(&mut self, released: &Released) {
        let Some(place) = self.places.get(&released.server).copied() else { return };
        let (used, _) = self.servers[place].share_of_mean();
        self.servers[place].give_back();
        self.used += self.servers[place].share_of_mean().0 - used;
    }

    /// Slots out at a server: what this dispatcher gave and did not get back.
    #[must_use]
    pub fn slots_out(&self, server: ServerId) -> u32 {
        self.places.get(&server).map_or(0, |place| self.servers[*place].out)
    }

    /// Whether a server was heard of lately.
    #[must_use]
    pub fn is_up(&self, server: ServerId) -> bool {
        self.places.get(&server).is_some_and(|place| self.servers[*place].up)
    }

    /// Channels that calls of this priority could take now, over all servers; O(n).
    #[must_use]
    pub fn room(&self, priority: u8) -> u32 {
        let share = self.shares.by_priority[usize::from(priority.min(9))];
        self.servers.iter().map(|s| s.room(share)).fold(0, u32::saturating_add)
    }

    /// Set-ups that all servers together accept in the next second; O(n).
    #[must_use]
    pub fn pace(&self, now: Mono) -> u32 {
        let each = |s: &Server| if s.weight() == 0 { 0 } else { s.bucket.within_a_second(now) };
        self.servers.iter().map(each).fold(0, u32::saturating_add)
    }

    /// Utilisation as this dispatcher believes it, by server, for the console: `(server, estimate, capacity)`.
    pub fn view(&self, now: Mono) -> impl Iterator<Item = (ServerId, f64, u32)> + '_ {
        self.servers.iter().map(move |s| (s.id, self.estimate(now, s), s.capacity))
    }

    /// Chooses a server and reserves one unit of its capacity.
    ///
    /// # Errors
    /// [`NoServer`] with the time at which a try may succeed, if that is known.
    pub fn pick(&mut self, now: Mono, wanted: &Wanted<'_>) -> Result<Slot, NoServer> {
        let place = self.choose(now, wanted)?;
        let server = &mut self.servers[place];
        server.send(now);
        Ok(Slot::reserve(server.id))
    }

    fn mean(&self) -> f64 {
        if self.capacity > 0.0 { (self.used / self.capacity).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Channels in use at a server as far as can be told: its report fading into the mean of all, and what was sent
    /// since. (`spec`: estimate = fresh·e^(−age/H) + mean·C·(1 − e^(−age/H)) + own sends not yet acknowledged.)
    fn estimate(&self, now: Mono, server: &Server) -> f64 {
        let age = ms(now.since(server.heard));
        // Within a hundredth of the holding time nothing has faded worth an exponential.
        let keep = if age * 100.0 < fade(self.limits.fade_ms) {
            1.0
        } else {
            (-age / fade(self.limits.fade_ms)).exp()
        };
        let mean = self.mean() * f64::from(server.capacity);
        f64::from(server.used) * keep
            + mean * (1.0 - keep)
            + server.unseen() * f64::from(self.limits.dispatchers)
    }

    fn rebuild(&mut self) {
        if std::mem::take(&mut self.stale) {
            self.alias = Alias::new(self.servers.iter().map(Server::weight));
        }
    }
}

fn fade(ms: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a time constant below 2^53 ms")]
    let fade = ms.max(1) as f64;
    fade
}

fn ms(d: Duration) -> f64 {
    d.as_secs_f64() * 1_000.0
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
