//! `Board`: the trunks of one shard as they are now. It knows who is up, full, blocked or drained, chooses the way out
//! for a call, books its capacity, and hears how it went.
//!
//! Which trunks may take a number at all is for `call::route` to say, from the configuration alone; the board chooses
//! among those. It places no call and keeps nothing over a restart: an operator's block that is to last stands in the
//! configuration.

mod health;
pub mod route;

pub use health::{End, Fitness, HealthLimits, Why};

use crate::config::{Rate as Configured, Trunk, TrunkGroup};
use crate::dispatch::{Bucket, Rate};
use health::Health;
use route::Plan;
use serde::{Deserialize, Serialize};
use signalling::leg::Transport;
use signalling::sip::endpoint::Probe;
use signalling::sip::locate::Target;
use signalling::sip::register::Registration;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use units::{Mono, Private, Rng, Seed};

/// What the board must be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct BoardLimits {
    /// How health is judged.
    pub health: HealthLimits,
}

/// What an operator may order while calls are up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It takes calls.
    Open,
    /// It takes none, and those that are up go on.
    Draining,
    /// It takes none; it counts as broken.
    Blocked,
}

/// One unit of a trunk's capacity. Close it with [`Board::release`]; dropping one is a bug that panics in debug builds.
#[derive(Debug)]
#[must_use = "a circuit must be handed back with `Board::release`"]
pub struct Circuit {
    trunk: String,
    to: SocketAddr,
    /// It is the one call by which a trunk that was down is tried.
    trial: bool,
    /// Health has heard how its set-up went.
    heard: bool,
    released: bool,
}

impl Drop for Circuit {
    fn drop(&mut self) {
        debug_assert!(self.released || std::thread::panicking(), "a Circuit was dropped without release");
    }
}

/// No trunk can take the call now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    /// Lines are free, but set-ups are bounded: try again then.
    pub retry_at: Option<Mono>,
}

/// A trunk as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrunkView {
    /// Name.
    pub name: String,
    /// Group.
    pub group: Option<String>,
    /// Next hop.
    pub address: String,
    /// `up`, `trial`, `down`, `draining`, `blocked`, `removed`.
    pub state: String,
    /// Why it is down, and for how long.
    pub why: String,
    /// Calls that are up or being set up.
    pub calls: u32,
    /// Most of them.
    pub calls_max: u32,
    /// Calls sent there since the start.
    pub sent: u64,
    /// Of which answered.
    pub answered: u64,
    /// Of which the trunk failed.
    pub failed: u64,
}

impl TrunkView {
    /// The same trunk as another shard sees it: calls add up, and what is worse counts.
    pub fn add(&mut self, other: &TrunkView) {
        self.calls += other.calls;
        self.calls_max = self.calls_max.saturating_add(other.calls_max);
        self.sent += other.sent;
        self.answered += other.answered;
        self.failed += other.failed;
        if self.why.is_empty() && self.state != other.state {
            (self.state, self.why) = (other.state.clone(), other.why.clone());
        }
    }
}

/// The board. See the module.
#[derive(Debug)]
pub struct Board {
    lines: BTreeMap<String, Line>,
    groups: BTreeMap<String, Pool>,
    limits: BoardLimits,
    rng: Rng,
}

/// A trunk.
#[derive(Debug)]
struct Line {
    trunk: Trunk,
    /// Where it is, best first; each with the time until which it is left out.
    places: Vec<(Target, Mono)>,
    /// Where we register: it stays the same while it is among the places, whatever their order.
    registrar: Option<Target>,
    pool: Pool,
    health: Health,
    standing: Standing,
    /// The configuration names it no more; it goes with its last call.
    removed: bool,
    /// The peer asks for fewer calls (RFC 7339): percent, until.
    reduced: Option<(u8, Mono)>,
    sent: u64,
    answered: u64,
    failed: u64,
}

/// Calls at a time, and set-ups in a second.
#[derive(Debug)]
struct Pool {
    calls: u32,
    calls_max: u32,
    rate: Rate,
    bucket: Bucket,
}

/// Whether a line can take a call now.
enum Openness {
    Open,
    Later(Mono),
    Shut,
}

/// A call that a reducing peer did not get may try again after this.
const REDUCED_AGAIN: Duration = Duration::from_millis(200);

/// An address at which a call failed is left out for so long, if its trunk has others.
const PLACE_OUT: Duration = Duration::from_secs(30);

impl Pool {
    fn new(now: Mono, calls_max: u32, rate: Configured) -> Self {
        let rate = bucket_rate(rate);
        Self { calls: 0, calls_max, rate, bucket: Bucket::new(now, rate) }
    }

    fn set(&mut self, now: Mono, calls_max: u32, rate: Configured) {
        self.calls_max = calls_max;
        self.rate = bucket_rate(rate);
        self.bucket.set(now, self.rate);
    }

    fn open(&mut self, now: Mono) -> Openness {
        if self.calls >= self.calls_max {
            Openness::Shut
        } else if self.bucket.has(now) {
            Openness::Open
        } else {
            Openness::Later(self.bucket.next(now))
        }
    }

    fn take(&mut self, now: Mono) {
        self.bucket.take(now);
        self.calls += 1;
    }
}

fn bucket_rate(rate: Configured) -> Rate {
    let per_1000s = u32::try_from(rate.milli_hz).unwrap_or(u32::MAX);
    // A fifth of a second's worth at once, at least one.
    Rate { per_1000s, burst: (per_1000s / 5_000).max(1) }
}

impl Board {
    /// A board with no trunk.
    #[must_use]
    pub fn new(limits: BoardLimits, seed: Seed) -> Self {
        Self { lines: BTreeMap::new(), groups: BTreeMap::new(), limits, rng: seed.rng() }
    }

    /// Takes over what the configuration says now. Trunks that stay keep their calls, their health and what an operator
    /// ordered; those that are gone take no call any more.
    pub fn configure(&mut self, now: Mono, trunks: &[Trunk], groups: &[TrunkGroup]) {
        for line in self.lines.values_mut() {
            line.removed = true;
        }
        for trunk in trunks {
            match self.lines.get_mut(&trunk.name) {
                Some(line) => line.configure(now, trunk),
                None => drop(self.lines.insert(trunk.name.clone(), Line::new(now, trunk))),
            }
        }
        for group in groups {
            match self.groups.get_mut(&group.name) {
                Some(pool) => pool.set(now, group.calls_max, group.rate),
                None => {
                    let pool = Pool::new(now, group.calls_max, group.rate);
                    self.groups.insert(group.name.clone(), pool);
                }
            }
        }
        self.sweep();
    }

    fn sweep(&mut self) {
        self.lines.retain(|_, line| !line.removed || line.pool.calls > 0);
        let lines = &self.lines;
        self.groups.retain(|name, _| lines.values().any(|l| l.trunk.group.as_deref() == Some(name)));
    }

    /// An operator's order. `false`: there is no such trunk.
    pub fn order(&mut self, name: &str, standing: Standing) -> bool {
        self.lines.get_mut(name).map(|line| line.standing = standing).is_some()
    }

    /// What the probes of an address say.
    pub fn peer(&mut self, address: SocketAddr, up: bool) {
        for line in self.lines.values_mut().filter(|l| l.trunk.probe.ms > 0 && l.is_at(address)) {
            line.probed(address, up);
        }
    }

    /// Where a trunk that has a name is now; an empty list keeps the old one.
    pub fn located(&mut self, name: &str, targets: Vec<Target>) {
        let Some(line) = self.lines.get_mut(name).filter(|l| l.trunk.figures().is_none()) else { return };
        if targets.is_empty() {
            return;
        }
        let until = |t: &Target| line.places.iter().find(|p| p.0 == *t).map_or(Mono(0), |p| p.1);
        line.places = targets.into_iter().map(|t| (t, until(&t))).collect();
        line.keep_registrar();
    }

    /// All addresses of all trunks.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let sip = self.lines.values().filter(|line| !line.trunk.is_line());
        sip.flat_map(|line| line.places.iter().map(|(target, _)| target.addr))
    }

    /// Names of the trunks at an address, and of their groups.
    #[must_use]
    pub fn names_at(&self, ip: IpAddr) -> Vec<&str> {
        let ip = ip.to_canonical();
        let here = self.lines.values().filter(|l| l.places.iter().any(|(t, _)| t.addr.ip() == ip));
        here.flat_map(|l| [Some(l.trunk.name.as_str()), l.trunk.group.as_deref()]).flatten().collect()
    }

    /// Who is asked by OPTIONS whether it lives.
    #[must_use]
    pub fn probes(&self) -> Vec<Probe> {
        let mut probes: Vec<Probe> = Vec::new();
        let asked = |l: &&Line| l.trunk.probe.ms > 0 && !l.removed && !l.trunk.is_line();
        for line in self.lines.values().filter(asked) {
            for (target, _) in &line.places {
                let every = line.trunk.probe.duration();
                if !probes.iter().any(|p| p.to == target.addr) {
                    probes.push(Probe { transport: target.transport, to: target.addr, every });
                }
            }
        }
        probes
    }

    /// Where we register.
    #[must_use]
    pub fn registrations(&self) -> Vec<Registration> {
        self.lines.values().filter(|l| !l.removed).filter_map(Line::registration).collect()
    }

    /// Whether the registration at a trunk stands.
    pub fn registered(&mut self, name: &str, registered: bool) {
        if let Some(line) = self.lines.get_mut(name).filter(|line| line.trunk.register.is_some()) {
            line.health.registered(registered);
        }
    }

    /// A peer asks for fewer new calls (RFC 7339 §5.4).
    pub fn reduce(&mut self, now: Mono, address: SocketAddr, percent: u8, validity_ms: u32) {
        let until = now + Duration::from_millis(u64::from(validity_ms));
        for line in self.lines.values_mut().filter(|l| l.is_at(address)) {
            line.reduced = (percent > 0).then_some((percent, until));
        }
    }

    /// Chooses the trunk for a call: the best rank that is open, by weight among equals; books its capacity.
    ///
    /// # Errors
    /// [`Busy`] if none is open.
    pub fn pick(&mut self, now: Mono, plan: &Plan) -> Result<(&Trunk, Target, Circuit), Busy> {
        let mut retry_at: Option<Mono> = None;
        let mut chosen = None;
        for class in plan.ways.chunk_by(|a, b| a.rank == b.rank) {
            let mut open: Vec<(&str, u32)> = Vec::new();
            for way in class {
                match self.openness(now, plan, &way.trunk) {
                    Openness::Open => open.push((&way.trunk, u32::from(way.weight))),
                    Openness::Later(at) => retry_at = Some(retry_at.map_or(at, |before| before.min(at))),
                    Openness::Shut => {}
                }
            }
            chosen = self.weighted(&open).map(str::to_owned);
            if chosen.is_some() {
                break;
            }
        }
        let name = chosen.ok_or(Busy { retry_at })?;
        let line = self.lines.get_mut(&name).expect("it was found open just now");
        let target = line.place(now, plan).expect("it was found open just now");
        if let Some(pool) = line.trunk.group.as_ref().and_then(|group| self.groups.get_mut(group)) {
            pool.take(now);
        }
        line.pool.take(now);
        let trial = line.health.sent();
        line.sent += 1;
        let circuit = Circuit { trunk: name, to: target.addr, trial, heard: false, released: false };
        Ok((&line.trunk, target, circuit))
    }

    /// Whether another trunk of the plan, or another address of the same, could take it now, were it asked.
    pub fn has_other(&mut self, now: Mono, plan: &Plan) -> bool {
        plan.ways.iter().any(|way| matches!(self.openness(now, plan, &way.trunk), Openness::Open))
    }

    /// How the set-up of a call went, told as soon as it shows: the first word counts.
    pub fn heard(&mut self, now: Mono, circuit: &mut Circuit, end: End) {
        if std::mem::replace(&mut circuit.heard, true) {
            return;
        }
        if let Some(line) = self.lines.get_mut(&circuit.trunk) {
            let failed = matches!(end, End::Failed { .. });
            line.failed += u64::from(failed);
            // RFC 3263 §4.3: another address of the same name may do better, so the trunk is not to blame yet.
            let end = if failed && line.leave_place(now, circuit.to) { End::Unused } else { end };
            line.health.ended(now, end, circuit.trial, &self.limits.health);
        }
    }

    /// A call by it was answered.
    pub fn answered(&mut self, now: Mono, circuit: &mut Circuit) {
        self.heard(now, circuit, End::Fine);
        if let Some(line) = self.lines.get_mut(&circuit.trunk) {
            line.answered += 1;
        }
    }

    /// A call does not use it any more; `end` counts if nothing was heard before.
    pub fn release(&mut self, now: Mono, mut circuit: Circuit, end: End) {
        self.heard(now, &mut circuit, end);
        circuit.released = true;
        if let Some(line) = self.lines.get_mut(&circuit.trunk) {
            line.pool.calls = line.pool.calls.saturating_sub(1);
            if let Some(pool) = line.trunk.group.as_ref().and_then(|group| self.groups.get_mut(group)) {
                pool.calls = pool.calls.saturating_sub(1);
            }
            if line.removed && line.pool.calls == 0 {
                self.sweep();
            }
        }
    }

    /// Calls that could be up at a time and set-ups in 1,000 s, over the trunks that work: what the dispatcher is told.
    #[must_use]
    pub fn room(&self, now: Mono) -> (u32, u32) {
        let mut groups: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
        let (mut calls, mut rate) = (0_u32, 0_u32);
        for line in self.lines.values().filter(|line| line.takes_calls(now)) {
            let own = (line.pool.calls_max, line.pool.rate.per_1000s);
            match &line.trunk.group {
                Some(group) => {
                    let sum = groups.entry(group).or_default();
                    *sum = (sum.0.saturating_add(own.0), sum.1.saturating_add(own.1));
                }
                None => (calls, rate) = (calls.saturating_add(own.0), rate.saturating_add(own.1)),
            }
        }
        for (name, sum) in groups {
            let (calls_max, per_1000s) =
                self.groups.get(name).map_or((u32::MAX, u32::MAX), |p| (p.calls_max, p.rate.per_1000s));
            calls = calls.saturating_add(sum.0.min(calls_max));
            rate = rate.saturating_add(sum.1.min(per_1000s));
        }
        (calls, rate)
    }

    /// When [`Self::room`] changes by itself.
    #[must_use]
    pub fn deadline(&self, now: Mono) -> Option<Mono> {
        self.lines.values().filter_map(|line| line.health.deadline(now)).min()
    }

    /// All trunks, for people.
    #[must_use]
    pub fn view(&self, now: Mono) -> Vec<TrunkView> {
        self.lines.values().map(|line| line.view(now)).collect()
    }

    fn openness(&mut self, now: Mono, plan: &Plan, name: &str) -> Openness {
        let fit = |line: &&mut Line| line.takes_calls(now) && line.place(now, plan).is_some();
        let Some(line) = self.lines.get_mut(name).filter(fit) else {
            return Openness::Shut;
        };
        if let Some((percent, until)) = line.reduced
            && now < until
            && self.rng.below(100) < u64::from(percent)
        {
            return Openness::Later(now + REDUCED_AGAIN);
        }
        let group = line.trunk.group.as_ref().and_then(|group| self.groups.get_mut(group));
        match (line.pool.open(now), group.map(|pool| pool.open(now))) {
            (Openness::Shut, _) | (_, Some(Openness::Shut)) => Openness::Shut,
            (Openness::Later(a), Some(Openness::Later(b))) => Openness::Later(a.max(b)),
            (Openness::Later(at), _) | (_, Some(Openness::Later(at))) => Openness::Later(at),
            _ => Openness::Open,
        }
    }

    /// One of them, drawn by weight; those without weight only if there are no others.
    fn weighted<'n>(&mut self, open: &[(&'n str, u32)]) -> Option<&'n str> {
        let sum: u32 = open.iter().map(|(_, weight)| weight).sum();
        if sum == 0 {
            return open.first().map(|(name, _)| *name);
        }
        let mut ticket = self.rng.below(u64::from(sum));
        for (name, weight) in open {
            if ticket < u64::from(*weight) {
                return Some(name);
            }
            ticket -= u64::from(*weight);
        }
        None
    }
}

/// Health of a trunk of which nothing is known yet: one that wants us registered waits for that.
fn fresh(trunk: &Trunk) -> Health {
    let mut health = Health::default();
    health.registered(trunk.register.is_none());
    health
}

impl Line {
    fn new(now: Mono, trunk: &Trunk) -> Self {
        Self {
            places: trunk.figures().map(|target| (target, Mono(0))).into_iter().collect(),
            registrar: trunk.figures(),
            pool: Pool::new(now, trunk.calls_max, trunk.rate),
            health: fresh(trunk),
            standing: if trunk.blocked { Standing::Blocked } else { Standing::Open },
            removed: false,
            reduced: None,
            sent: 0,
            answered: 0,
            failed: 0,
            trunk: trunk.clone(),
        }
    }

    fn configure(&mut self, now: Mono, trunk: &Trunk) {
        self.removed = false;
        self.pool.set(now, trunk.calls_max, trunk.rate);
        if self.trunk.blocked != trunk.blocked {
            self.standing = if trunk.blocked { Standing::Blocked } else { Standing::Open };
        }
        // What was learnt of another address, or by probes that are no longer sent, does not hold.
        let same = self.trunk.address == trunk.address && self.trunk.register == trunk.register;
        if !same || (self.trunk.probe.ms > 0 && trunk.probe.ms == 0) {
            self.health = fresh(trunk);
        }
        if (&self.trunk.address, self.trunk.transport) != (&trunk.address, trunk.transport) {
            self.places = trunk.figures().map(|target| (target, Mono(0))).into_iter().collect();
            self.keep_registrar();
        }
        self.trunk = trunk.clone();
    }

    fn keep_registrar(&mut self) {
        let stays = self.registrar.is_some_and(|own| self.places.iter().any(|(target, _)| *target == own));
        if !stays {
            self.registrar = self.places.first().map(|(target, _)| *target);
        }
    }

    fn is_at(&self, address: SocketAddr) -> bool {
        self.places.iter().any(|(target, _)| target.addr == address)
    }

    /// Of a trunk at several addresses one that is down is left out; the trunk is down with the last.
    fn probed(&mut self, address: SocketAddr, up: bool) {
        let until = if up { Mono(0) } else { Mono(u64::MAX) };
        self.places.iter_mut().filter(|p| p.0.addr == address).for_each(|p| p.1 = until);
        self.health.probed(self.places.iter().any(|p| p.1 != Mono(u64::MAX)));
    }

    /// The best address that this call has not tried; one that is left out only if there is no other.
    fn place(&self, now: Mono, plan: &Plan) -> Option<Target> {
        let is_new = |target: &Target| {
            !plan.tried.iter().any(|(trunk, addr)| *trunk == self.trunk.name && *addr == target.addr)
        };
        let new = || self.places.iter().filter(|(target, _)| is_new(target));
        new().find(|(_, until)| *until <= now).or_else(|| new().next()).map(|(target, _)| *target)
    }

    /// Leaves an address out for a while. `false`: it is the only one left.
    fn leave_place(&mut self, now: Mono, address: SocketAddr) -> bool {
        let others = self.places.iter().any(|(target, until)| target.addr != address && *until <= now);
        if let Some(place) = self.places.iter_mut().find(|(target, _)| target.addr == address) {
            place.1 = place.1.max(now + PLACE_OUT);
        }
        others
    }

    fn registration(&self) -> Option<Registration> {
        let register = self.trunk.register.as_ref().filter(|_| !self.trunk.is_line())?;
        let target = self.registrar?;
        let user = register.user.clone().or_else(|| self.trunk.user.clone())?;
        let domain = register.domain.clone().unwrap_or_else(|| self.trunk.host());
        Some(Registration {
            name: self.trunk.name.clone(),
            aor: Private::new(format!("sip:{}@{domain}", user.expose())),
            user,
            domain,
            transport: target.transport,
            to: target.addr,
            credentials: self.trunk.credentials(),
            expires_s: u32::try_from(register.expires.ms / 1_000).unwrap_or(u32::MAX),
        })
    }

    fn takes_calls(&self, now: Mono) -> bool {
        !self.removed
            && self.standing == Standing::Open
            && !self.places.is_empty()
            && !matches!(self.health.fitness(now), Fitness::Down(_))
    }

    fn view(&self, now: Mono) -> TrunkView {
        let fitness = self.health.fitness(now);
        let state = match (self.removed, self.standing, fitness) {
            (true, ..) => "removed",
            (_, Standing::Blocked, _) => "blocked",
            (_, Standing::Draining, _) => "draining",
            _ if self.places.is_empty() => "down",
            (.., Fitness::Up) => "up",
            (.., Fitness::Trial) => "trial",
            (.., Fitness::Down(_)) => "down",
        };
        let left = self.health.deadline(now).map_or(0, |at| at.since(now).as_secs().saturating_add(1));
        let why = match fitness {
            _ if self.places.is_empty() => "its name has not been resolved".to_owned(),
            Fitness::Down(Why::Probe) => "does not answer OPTIONS".to_owned(),
            Fitness::Down(Why::Unregistered) => "we are not registered there".to_owned(),
            Fitness::Down(Why::Calls) => format!("its calls failed; tried again in {left} s"),
            Fitness::Down(Why::RetryAfter) => format!("asked for patience; tried again in {left} s"),
            Fitness::Up | Fitness::Trial => String::new(),
        };
        let transport = |target: &Target| match target.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        };
        let places: Vec<String> =
            self.places.iter().map(|(t, _)| format!("{}:{}", transport(t), t.addr)).collect();
        TrunkView {
            name: self.trunk.name.clone(),
            group: self.trunk.group.clone(),
            address: if self.trunk.is_line() {
                format!("spans {:?}", self.trunk.spans)
            } else if places.is_empty() {
                self.trunk.address.to_string()
            } else {
                places.join(",")
            },
            state: state.to_owned(),
            why,
            calls: self.pool.calls,
            calls_max: self.pool.calls_max,
            sent: self.sent,
            answered: self.answered,
            failed: self.failed,
        }
    }
}

#[cfg(test)]
mod tests;
