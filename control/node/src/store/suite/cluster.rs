//! A cluster in virtual time: the production desks of control nodes and media servers, their watch, their passes and a
//! real store; only the bus, the calls and the clocks are simulated. Goal: whatever dies, sleeps, loses words or loses
//! answers at whatever write, every accepted order ends, nobody's telephone rings twice, every attempt has one record.
//!
//! Each process dies by plan at a write: before it is durable, or after it and before the answer. Other writes are in
//! doubt: carried out and answered `Unavailable`, or not carried out. Beside that processes are stopped for up to a minute,
//! clocks jump by a minute, the bus loses words and is gone for a while. `CARILLON_SIM_SEEDS` sets the days (200; the long
//! form is 10,000); a failing seed is the bug report.

use super::desk::{Rules, START_OF};
use super::fixture::{START, order};
use crate::store::Sqlite;
use control::bus::Load;
use control::desk::{Desk, Finished, Handed, HandedBack, Input, Key, Limits, Offer, Output, Part, Token};
use control::dispatch::{self, Dispatcher, Rate, Scheme, Shares, Wanted};
use control::order::{Disposition, Order, State};
use control::permit::{Permit, Slot};
use control::policy::{Gate, Pass};
use control::queue::Outcome;
use control::record::Record;
use control::store::{Answer, Ask, Error, Lease, Node, Room, Store};
use control::watch::{self, Watch};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use units::{AttemptId, Cause, Mono, Now, OrderId, Private, Rng, Seed, ServerId, TenantId, Wall};

const CONTROLS: usize = 2;
const PROCESSES: usize = 4;
const CAPACITY: u32 = 8;
const BEAT_MS: u64 = 400;
const KEEP_MS: u64 = 2_000;
/// Trouble ends then, ms; from then on all that is accepted must come to its end.
const TROUBLE_MS: u64 = 40_000;
const KEY: [u8; 32] = [9; 32];

/// What goes wrong at a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    DiesBefore,
    DiesAfter,
    DoubtDone,
    DoubtUndone,
}

/// What is on its way to a process.
enum Mail {
    Stored(Token, Result<Answer, Error>),
    Offer(Lease, Pass, usize, u64),
    Handed(u64, Handed, Option<Load>),
    TimedOut(u64),
    Load(ServerId, Load),
    Woken(u8, TenantId, Wall),
    Took(Box<Permit>, Slot, Result<Answer, Error>, (usize, u64)),
    Intended(Box<Permit>, Slot, Lease, Box<Order>, Result<Answer, Error>),
    Acked(Slot, Lease, Box<Order>),
    Written(Slot, Lease, Disposition),
    Beat,
}

struct Process {
    id: ServerId,
    epoch: u64,
    life: u32,
    alive: bool,
    desk: Desk<Rules>,
    watch: Watch,
    gate: Gate,
    offers: BTreeMap<u64, (Lease, Slot)>,
    stopped_until: Mono,
    /// Its wall clock is wrong by so much.
    wrong_ms: i64,
}

struct World {
    mono: Mono,
    store: Sqlite,
    rng: Rng,
    processes: Vec<Process>,
    mail: BTreeMap<(Mono, u64), (usize, u32, Mail)>,
    n: u64,
    writes: u64,
    faults: BTreeMap<u64, Fault>,
    /// Attempts that rang, by order.
    rang: BTreeMap<OrderId, BTreeSet<AttemptId>>,
    bus_gone: (u64, u64),
    loss: f64,
    restart: Vec<(Mono, usize)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Seed(seed).rng();
        let gone = rng.below(TROUBLE_MS);
        let mut world = Self {
            mono: Mono::from_ms(1),
            store: Sqlite::in_memory(),
            processes: Vec::new(),
            mail: BTreeMap::new(),
            n: 0,
            writes: 0,
            faults: BTreeMap::new(),
            rang: BTreeMap::new(),
            bus_gone: (gone, gone + rng.below(8_000)),
            loss: 0.05,
            restart: Vec::new(),
            rng,
        };
        for which in 0..PROCESSES {
            let process = world.fresh(which, 0);
            world.processes.push(process);
            world.boot(which);
        }
        world
    }

    fn fresh(&mut self, which: usize, life: u32) -> Process {
        let limits = dispatch::Limits::default();
        let dispatcher = Dispatcher::new(limits, Scheme::P2c, Shares::default(), Seed(self.rng.next_u64()));
        let part = if which < CONTROLS { Part::Control(Key(KEY)) } else { Part::Media };
        let own = Limits { sweep_ms: 1_000, ..Limits::default() };
        let id = ServerId(u32::try_from(which).expect("few") + 1);
        let desk = Desk::new(id, own, Rules, dispatcher, Seed(self.rng.next_u64())).with_part(part);
        let (watch, gate) = (Watch::new(watch::Limits::default()), Gate::new(KEY));
        let (offers, stopped_until) = (BTreeMap::new(), Mono(0));
        Process { id, epoch: 0, life, alive: false, desk, watch, gate, offers, stopped_until, wrong_ms: 0 }
    }

    fn now(&self, which: usize) -> Now {
        let ms = i64::try_from(self.mono.as_ms()).expect("a day");
        Now { mono: self.mono, wall: Wall(START + ms + self.processes[which].wrong_ms) }
    }

    fn post(&mut self, after_ms: u64, to: usize, mail: Mail) {
        self.n += 1;
        let life = self.processes[to].life;
        self.mail.insert((self.mono + Duration::from_millis(after_ms), self.n), (to, life, mail));
    }

    /// By the bus: late, lost, or not at all.
    fn say(&mut self, to: usize, mail: Mail) {
        let ms = self.mono.as_ms();
        let gone = (self.bus_gone.0..self.bus_gone.1).contains(&ms) && ms < TROUBLE_MS;
        if gone || (ms < TROUBLE_MS && self.rng.chance(self.loss)) {
            return drop_mail(mail);
        }
        let late = 1 + self.rng.below(4);
        self.post(late, to, mail);
    }

    /// A process asks the store; `None`: it died of it.
    fn ask(&mut self, which: usize, ask: Ask) -> Option<Result<Answer, Error>> {
        let now = self.now(which);
        let fault = if ask.reads_only() {
            None
        } else {
            self.writes += 1;
            self.faults.remove(&self.writes)
        };
        match fault {
            None => self.store.run(now, vec![ask]).pop(),
            Some(Fault::DoubtUndone) => Some(Err(Error::Unavailable)),
            Some(Fault::DoubtDone) => {
                drop(self.store.run(now, vec![ask]));
                Some(Err(Error::Unavailable))
            }
            Some(Fault::DiesBefore) => {
                self.die(which);
                None
            }
            Some(Fault::DiesAfter) => {
                drop(self.store.run(now, vec![ask]));
                self.die(which);
                None
            }
        }
    }

    fn die(&mut self, which: usize) {
        let life = self.processes[which].life + 1;
        let dead = std::mem::replace(&mut self.processes[which], Process { ..placeholder(which) });
        for (_, slot) in dead.offers.into_values() {
            give_up(slot);
        }
        self.processes[which].life = life;
        let gone: Vec<_> = self.mail.iter().filter(|(_, (to, ..))| *to == which).map(|(at, _)| *at).collect();
        for at in gone {
            if let Some((_, _, mail)) = self.mail.remove(&at) {
                drop_mail(mail);
            }
        }
        let away =
            if self.rng.below(2) == 0 { 100 + self.rng.below(500) } else { 2_500 + self.rng.below(5_000) };
        self.restart.push((self.mono + Duration::from_millis(away), which));
    }

    fn boot(&mut self, which: usize) {
        let life = self.processes[which].life;
        self.processes[which] = self.fresh(which, life);
        self.processes[which].alive = true;
        let role = if which < CONTROLS { "control" } else { "media" };
        // In the order of their numbers at the first boot, so that the registry gives the numbers expected.
        match self.ask(which, beat(which, role, 0, None)) {
            Some(Ok(Answer::Nodes(nodes))) => {
                assert_eq!(nodes[0].id, self.processes[which].id, "a name keeps its number");
                self.processes[which].epoch = nodes[0].epoch;
            }
            Some(_) => return self.die(which),
            None => return,
        }
        if which >= CONTROLS {
            let report = self.load(which).report(self.processes[which].id);
            self.step(which, Input::Report(report));
        }
        self.step(which, Input::Begin);
        let first = self.rng.below(BEAT_MS);
        self.post(first, which, Mail::Beat);
    }

    fn load(&self, which: usize) -> Load {
        let p = &self.processes[which];
        let used = p.desk.dispatcher().slots_out(p.id);
        Load { capacity: CAPACITY, used, rate: Rate::UNBOUNDED, draining: false }
    }

    fn step(&mut self, which: usize, input: Input) {
        let (now, life) = (self.now(which), self.processes[which].life);
        self.processes[which].desk.handle(now, input);
        let mut outputs = Vec::new();
        while let Some(output) = self.processes[which].desk.poll() {
            outputs.push(output);
        }
        for output in outputs {
            if self.processes[which].life != life {
                // It died at an earlier one: the rest never was.
                match output {
                    Output::Offer(offer) => give_up(offer.slot),
                    Output::Start(start) => give_up(start.slot),
                    _ => {}
                }
                continue;
            }
            match output {
                Output::Ask(token, ask) => {
                    if let Some(answer) = self.ask(which, ask) {
                        let late = 1 + self.rng.below(8);
                        self.post(late, which, Mail::Stored(token, answer));
                    }
                }
                Output::Offer(offer) => self.offer(which, *offer),
                Output::Woken { priority, tenant, due } => {
                    (0..CONTROLS).for_each(|to| self.say(to, Mail::Woken(priority, tenant, due)));
                }
                Output::Start(start) => self.again(which, *start),
                Output::Denied(..) => unreachable!("nobody here transfers"),
                Output::HangUp(_) | Output::Fact(_) => {}
            }
        }
    }

    fn offer(&mut self, which: usize, offer: Offer) {
        self.n += 1;
        let (n, to) = (self.n, usize::try_from(offer.server.0).expect("few") - 1);
        self.processes[which].offers.insert(n, (offer.lease.clone(), offer.slot));
        self.say(to, Mail::Offer(offer.lease, offer.pass, which, n));
        self.post(800, which, Mail::TimedOut(n));
    }

    fn handed(&mut self, which: usize, n: u64, how: Handed, load: Option<(ServerId, Load)>) {
        let Some((lease, slot)) = self.processes[which].offers.remove(&n) else { return };
        let load = load.map(|(id, load)| load.report(id));
        let released = slot.release(Cause::NORMAL);
        self.step(which, Input::Handed(Box::new(HandedBack { lease, how, load, released })));
    }
}

/// What is left of a call when its process is dead.
fn give_up(slot: Slot) {
    let _ = slot.release(Cause::NORMAL);
}

fn beat(which: usize, role: &str, epoch: u64, load: Option<Load>) -> Ask {
    let (name, role, address) = (format!("p{which}"), role.to_owned(), String::new());
    Ask::Beat { name, role, address, epoch, load }
}

fn placeholder(which: usize) -> Process {
    let dispatcher = Dispatcher::new(dispatch::Limits::default(), Scheme::P2c, Shares::default(), Seed(0));
    let id = ServerId(u32::try_from(which).expect("few") + 1);
    Process {
        id,
        epoch: 0,
        life: 0,
        alive: false,
        desk: Desk::new(id, Limits::default(), Rules, dispatcher, Seed(0)),
        watch: Watch::new(watch::Limits::default()),
        gate: Gate::new(KEY),
        offers: BTreeMap::new(),
        stopped_until: Mono(0),
        wrong_ms: 0,
    }
}

/// What a dead process held goes with it; tokens are used up on purpose.
fn drop_mail(mail: Mail) {
    match mail {
        Mail::Took(permit, slot, ..) | Mail::Intended(permit, slot, ..) => {
            permit.waive();
            give_up(slot);
        }
        Mail::Acked(slot, ..) | Mail::Written(slot, ..) => give_up(slot),
        _ => {}
    }
}

/// The media server's part of the world.
impl World {
    fn offered(&mut self, which: usize, lease: Lease, pass: &Pass, back: (usize, u64)) {
        let now = self.now(which);
        let p = &mut self.processes[which];
        let Ok(slot) = p.desk.reserve(now, &Wanted::default()) else {
            return self.say(back.0, Mail::Handed(back.1, Handed::Refused, None));
        };
        let Ok(permit) = p.gate.redeem(pass, &lease, now) else {
            self.step(which, Input::Returned(slot.release(Cause::NORMAL)));
            return self.say(back.0, Mail::Handed(back.1, Handed::Refused, None));
        };
        let owner = self.processes[which].id;
        match self.ask(which, Ask::Take { lease, owner, lease_ms: 20_000 }) {
            Some(answer) => {
                let late = 1 + self.rng.below(5);
                self.post(late, which, Mail::Took(Box::new(permit), slot, answer, back));
            }
            None => drop_mail(Mail::Took(Box::new(permit), slot, Err(Error::Unavailable), back)),
        }
    }

    fn took(
        &mut self,
        which: usize,
        permit: Permit,
        slot: Slot,
        answer: Result<Answer, Error>,
        back: (usize, u64),
    ) {
        let claimed = match answer {
            Ok(Answer::Claimed(mut claims, _)) if claims.len() == 1 => claims.remove(0),
            other => {
                permit.waive();
                self.step(which, Input::Returned(slot.release(Cause::NORMAL)));
                if !matches!(other, Err(Error::Unavailable)) {
                    self.say(back.0, Mail::Handed(back.1, Handed::Refused, None));
                }
                return;
            }
        };
        let load = self.load(which);
        self.say(back.0, Mail::Handed(back.1, Handed::Taken, Some(load)));
        let (order, lease) = (claimed.order.clone(), claimed.lease.clone());
        self.step(which, Input::Taken(Box::new(claimed)));
        let (server, trunk) = (self.processes[which].id, "t".to_owned());
        match self.ask(which, Ask::Intent { lease: lease.clone(), server, trunk, dialog: vec![1] }) {
            Some(answer) => {
                let late = 1 + self.rng.below(400);
                self.post(late, which, Mail::Intended(Box::new(permit), slot, lease, order, answer));
            }
            None => drop_mail(Mail::Acked(slot, lease, order)),
        }
    }

    /// The same attempt after a restart.
    fn again(&mut self, which: usize, start: control::desk::Start) {
        let control::desk::Start { permit, slot, order, lease, again, .. } = start;
        assert!(again.is_some() && which >= CONTROLS, "nobody here does everything");
        let (server, trunk) = (self.processes[which].id, "t".to_owned());
        match self.ask(which, Ask::Intent { lease: lease.clone(), server, trunk, dialog: vec![1] }) {
            Some(answer) => {
                self.post(3, which, Mail::Intended(Box::new(permit), slot, lease, order, answer));
            }
            None => drop_mail(Mail::Acked(slot, lease, order)),
        }
    }

    /// The intent is durable, or not: the telephone rings, or not.
    fn intended(
        &mut self,
        which: usize,
        permit: Permit,
        slot: Slot,
        (lease, order): (Lease, Box<Order>),
        answer: Result<Answer, Error>,
    ) {
        let spent = match answer {
            Ok(Answer::Done) => permit.spend(self.mono).is_ok(),
            _ => {
                permit.waive();
                false
            }
        };
        if !spent {
            return self.finish(which, slot, lease, Disposition::Congestion, false);
        }
        let rang = self.rang.entry(order.id).or_default();
        rang.insert(lease.attempt);
        assert_eq!(rang.len(), 1, "{} rang twice", order.id);
        let (attempt, epoch) = (lease.attempt, lease.epoch);
        if self.ask(which, Ask::AckIntent { attempt, epoch, dialog: vec![2] }).is_none() {
            return drop_mail(Mail::Acked(slot, lease, order));
        }
        let talk = 500 + self.rng.below(4_000);
        self.post(talk, which, Mail::Acked(slot, lease, order));
    }

    fn hung_up(&mut self, which: usize, slot: Slot, lease: Lease, order: Box<Order>) {
        let record = record_of(self.processes[which].id, &lease, &order, self.now(which).wall);
        match self.ask(which, Ask::Append(vec![record])) {
            // A record is tried until the store takes it.
            Some(Err(Error::Unavailable)) => self.post(1_000, which, Mail::Acked(slot, lease, order)),
            Some(_) => self.post(3, which, Mail::Written(slot, lease, Disposition::Completed)),
            None => drop_mail(Mail::Acked(slot, lease, order)),
        }
    }

    fn finish(&mut self, which: usize, slot: Slot, lease: Lease, disposition: Disposition, dialled: bool) {
        let outcome = Outcome { disposition, cause: Cause::NORMAL, dialled, retry_after_s: None };
        let released = slot.release(Cause::NORMAL);
        let finished = Finished { lease, outcome, result: None, why: None, released };
        self.step(which, Input::Finished(Box::new(finished)));
    }
}

fn record_of(server: ServerId, lease: &Lease, order: &Order, now: Wall) -> Record {
    Record {
        attempt: lease.attempt,
        order: Some(order.id),
        tenant: order.tenant,
        to: order.to.clone(),
        server,
        ended: now,
        values: Private::new("{}".into()),
        ..super::fixture::record(1, 1)
    }
}

/// Time, beats and trouble.
impl World {
    fn beat(&mut self, which: usize) {
        let (control, epoch) = (which < CONTROLS, self.processes[which].epoch);
        let role = if control { "control" } else { "media" };
        let load = (!control).then(|| self.load(which));
        self.post(BEAT_MS, which, Mail::Beat);
        let nodes = match self.ask(which, beat(which, role, epoch, load)) {
            Some(Ok(Answer::Nodes(nodes))) => nodes,
            Some(Err(Error::Fenced)) => return self.die(which),
            _ => return,
        };
        if let Some(load) = load {
            let id = self.processes[which].id;
            (0..CONTROLS).for_each(|to| self.say(to, Mail::Load(id, load)));
            return self.step(which, Input::Report(load.report(id)));
        }
        let life = self.processes[which].life;
        self.look(which, &nodes[1..]);
        if self.processes[which].life != life {
            return;
        }
        let until = self.mono + Duration::from_millis(KEEP_MS);
        let owner = self.processes[which].id;
        if let Some(Ok(Answer::Shards(shards))) = self.ask(which, Ask::KeepShards { owner, keep_ms: KEEP_MS })
        {
            self.step(which, Input::Shards(shards.into_iter().map(|(s, _)| s).collect(), until));
        }
    }

    fn look(&mut self, which: usize, others: &[Node]) {
        let (mono, life) = (self.mono, self.processes[which].life);
        for (dead, died_in) in self.processes[which].watch.look(mono, others) {
            if self.processes[which].life == life {
                self.step(which, Input::Dead(dead, died_in));
            }
        }
        // The bus is not the only way for a load.
        for node in others.iter().filter(|n| n.role == "media") {
            if let Some(load) = node.load
                && self.processes[which].life == life
                && !self.processes[which].watch.is_dead(node.id)
            {
                self.step(which, Input::Report(load.report(node.id)));
            }
        }
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.mail.first_entry() {
            if entry.key().0 > self.mono {
                return;
            }
            let (to, life, mail) = entry.remove();
            let p = &self.processes[to];
            if p.life != life || !p.alive {
                drop_mail(mail);
            } else if p.stopped_until > self.mono {
                // It sleeps: all waits for it.
                let wait = p.stopped_until.since(self.mono);
                self.post(u64::try_from(wait.as_millis()).expect("a minute") + 1, to, mail);
            } else {
                self.take(to, mail);
            }
        }
    }

    fn take(&mut self, to: usize, mail: Mail) {
        match mail {
            Mail::Stored(token, answer) => self.step(to, Input::Stored(token, answer)),
            Mail::Offer(lease, pass, from, n) => self.offered(to, lease, &pass, (from, n)),
            Mail::Handed(n, how, load) => {
                let server = self.processes[to].offers.get(&n).map(|(_, slot)| slot.server());
                self.handed(to, n, how, server.zip(load));
            }
            Mail::TimedOut(n) => self.handed(to, n, Handed::Unknown, None),
            Mail::Load(server, load) => {
                self.processes[to].watch.heard(self.mono, server);
                self.step(to, Input::Report(load.report(server)));
            }
            Mail::Woken(priority, tenant, due) => self.step(to, Input::Woken { priority, tenant, due }),
            Mail::Took(permit, slot, answer, back) => self.took(to, *permit, slot, answer, back),
            Mail::Intended(permit, slot, lease, order, answer) => {
                self.intended(to, *permit, slot, (lease, order), answer);
            }
            Mail::Acked(slot, lease, order) => self.hung_up(to, slot, lease, order),
            Mail::Written(slot, lease, how) => self.finish(to, slot, lease, how, true),
            Mail::Beat => self.beat(to),
        }
    }

    /// Stops, clock jumps, and the end of trouble.
    fn trouble(&mut self) {
        let ms = self.mono.as_ms();
        while let Some(i) = self.restart.iter().position(|(at, _)| *at <= self.mono) {
            let (_, which) = self.restart.swap_remove(i);
            self.boot(which);
        }
        if ms >= TROUBLE_MS {
            self.faults.clear();
            self.processes.iter_mut().for_each(|p| p.wrong_ms = 0);
            return;
        }
        if self.rng.below(4_000) == 0 {
            let which = usize::try_from(self.rng.below(4)).expect("few");
            let end = (ms + 500 + self.rng.below(20_000)).min(TROUBLE_MS);
            self.processes[which].stopped_until = Mono::from_ms(end);
        }
        if self.rng.below(6_000) == 0 {
            let which = usize::try_from(self.rng.below(4)).expect("few");
            self.processes[which].wrong_ms =
                [0, 60_000, -60_000, 5_000, -5_000][usize::try_from(self.rng.below(5)).expect("few")];
        }
    }
}

/// One day; how many writes it had.
fn day(seed: u64, orders: u32, faults: &[(u64, Fault)], quiet: bool) -> u64 {
    let mut world = World::new(seed);
    if quiet {
        (world.loss, world.bus_gone) = (0.0, (0, 0));
    }
    world.faults = faults.iter().copied().collect();
    let mut to_come: Vec<(u64, u32)> =
        (0..orders).map(|n| (50 + world.rng.below(if quiet { 500 } else { TROUBLE_MS / 2 }), n)).collect();
    to_come.sort_unstable();
    let mut to_come = to_come.into_iter().peekable();
    let mut accepted = BTreeSet::new();
    // Twenty minutes after the end of trouble everything is over: leases that lapse, clocks that were wrong, and the
    // retries of what found no server included.
    while world.mono.as_ms() < TROUBLE_MS + 1_200_000 {
        while let Some((_, n)) = to_come.next_if(|(at, _)| *at <= world.mono.as_ms()) {
            accepted.insert(accept(&mut world, n));
        }
        if !quiet {
            world.trouble();
        } else {
            while let Some((_, which)) = world.restart.pop() {
                world.boot(which);
            }
        }
        world.deliver();
        for which in 0..PROCESSES {
            let p = &world.processes[which];
            let due = p.alive
                && p.stopped_until <= world.mono
                && p.desk.deadline().is_some_and(|d| d <= world.mono);
            if due {
                world.step(which, Input::Timer);
            }
        }
        let ms = world.mono.as_ms();
        let to_look = ms % 500 == 1 && to_come.peek().is_none() && (quiet || ms > TROUBLE_MS);
        if to_look && all_over(&mut world) {
            break;
        }
        world.mono = world.mono + Duration::from_millis(if ms < TROUBLE_MS { 5 } else { 50 });
    }
    judge(&mut world, &accepted, seed, faults);
    world.writes
}

fn accept(world: &mut World, n: u32) -> OrderId {
    let tenant = TenantId(n % 3 + 1);
    let order = Order { tenant, expires: Wall(START + 86_400_000), ..order(n + START_OF) };
    let (id, due) = (order.id, Wall(START + i64::try_from(world.mono.as_ms()).expect("a day")));
    let now = Now { mono: world.mono, wall: due };
    let ask = Ask::Accept { orders: vec![(order, [0; 32])], due: vec![due], room: Room::UNBOUNDED };
    assert!(matches!(world.store.run(now, vec![ask]).pop(), Some(Ok(_))));
    (0..CONTROLS).for_each(|to| world.say(to, Mail::Woken(5, tenant, due)));
    id
}

fn all_over(world: &mut World) -> bool {
    let now = Now { mono: world.mono, wall: Wall(START) };
    matches!(world.store.run(now, vec![Ask::NextDue]).pop(), Some(Ok(Answer::NextDue(None))))
        && open(world, now).is_empty()
}

fn open(world: &mut World, now: Now) -> Vec<OrderId> {
    let list = Ask::List { tenant: None, after: None, state: None, limit: 1_000 };
    match world.store.run(now, vec![list]).pop() {
        Some(Ok(Answer::List(all))) => {
            all.iter().filter(|s| s.state != State::Done).map(|s| s.order.id).collect()
        }
        other => panic!("a list: {other:?}"),
    }
}

fn judge(world: &mut World, accepted: &BTreeSet<OrderId>, seed: u64, faults: &[(u64, Fault)]) {
    let now = Now { mono: world.mono, wall: Wall(START) };
    let lost = open(world, now);
    assert!(lost.is_empty(), "seed {seed} {faults:?}: not over: {lost:?}");
    let mut records: BTreeMap<OrderId, Vec<AttemptId>> = BTreeMap::new();
    let ask = Ask::Records { tenant: None, order: None, after: 0, limit: 1_000 };
    let Some(Ok(Answer::Records(all))) = world.store.run(now, vec![ask]).pop() else { panic!("records") };
    for (_, record) in all {
        records.entry(record.order.expect("ordered")).or_default().push(record.attempt);
    }
    for (order, rang) in &world.rang {
        assert!(accepted.contains(order));
        for attempt in rang {
            let n = records.get(order).map_or(0, |r| r.iter().filter(|a| *a == attempt).count());
            assert_eq!(n, 1, "seed {seed} {faults:?}: {order} rang and has {n} records");
        }
    }
    for process in &mut world.processes {
        for (_, slot) in std::mem::take(&mut process.offers).into_values() {
            give_up(slot);
        }
    }
    for (_, (.., mail)) in std::mem::take(&mut world.mail) {
        drop_mail(mail);
    }
}

#[test]
fn whatever_happens_nothing_is_lost_and_nobody_is_called_twice() {
    let seeds = std::env::var("CARILLON_SIM_SEEDS").ok().and_then(|v| v.parse().ok()).unwrap_or(200);
    let kinds = [Fault::DiesBefore, Fault::DiesAfter, Fault::DoubtDone, Fault::DoubtUndone];
    for seed in 0..seeds {
        let mut rng = Seed(seed).derive(7).rng();
        let faults: Vec<(u64, Fault)> = (0..12)
            .map(|_| (20 + rng.below(800), kinds[usize::try_from(rng.below(4)).expect("few")]))
            .collect();
        day(seed, 14, &faults, false);
    }
    println!("{seeds} days");
}

/// Goal: no write is special. Method: one short day, again for each of its writes, with each fault at that write.
#[test]
fn a_fault_at_every_write_loses_nothing() {
    let writes = day(1, 3, &[], true);
    let mut points = 0;
    for at in 5..=writes {
        for fault in [Fault::DiesBefore, Fault::DiesAfter, Fault::DoubtDone, Fault::DoubtUndone] {
            day(1, 3, &[(at, fault)], true);
            points += 1;
        }
    }
    println!("{writes} writes, {points} faults");
    assert!(points > 100);
}
