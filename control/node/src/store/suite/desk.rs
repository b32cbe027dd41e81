//! The desk over a real store in virtual time: a day of trouble from a seed, judged as a whole.

use super::fixture::{START, order};
use crate::store::Sqlite;
use control::desk::{Desk, Finished, Input, Judge, Limits, Output, Start, Token};
use control::dispatch::{self, Dispatcher, Rate, Scheme, ServerReport, Shares};
use control::order::{Disposition, Order, State};
use control::policy::{Decision, Terms, Verdict};
use control::queue::Outcome;
use control::store::{Answer, Ask, Cap, Error, Room, Store};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use units::{Cause, Mono, Now, OrderId, Rng, Seed, ServerId, TenantId, Wall};

/// Admits all with one cap a number; now and then defers or refuses, by the order's number.
#[derive(Debug)]
pub(super) struct Rules;

/// Numbers from here on are admitted at once, up to the next 50 less 7.
pub(super) const START_OF: u32 = 10;

impl Judge for Rules {
    fn judge(&mut self, now: Now, order: &Order) -> Decision {
        let n = number(order);
        let cap = Cap {
            key: order.to.expose().clone(),
            n: 4,
            period_ms: 86_400_000,
            min_gap_ms: 1_000,
            rule: "op/cap".into(),
        };
        let verdict = match n % 50 {
            7 => Verdict::Refuse,
            9 if now.wall < Wall(START + 60_000) => Verdict::Defer { until: Wall(START + 60_000) },
            _ => Verdict::Admit { caps: vec![cap] },
        };
        let because = Vec::new();
        Decision {
            verdict,
            at: now.wall,
            because,
            next_allowed_at: None,
            terms: Terms::default(),
            if_capped: Vec::new(),
        }
    }
}

/// What a call will do, at its time.
#[derive(Debug)]
enum Next {
    Dial(Box<Start>),
    End(Box<Start>, Outcome),
}

struct World {
    now: Now,
    store: Sqlite,
    /// Answers on their way back, with the life of the desk that asked.
    answers: VecDeque<(Now, u32, Token, Result<Answer, Error>)>,
    calls: Vec<(Now, Next)>,
    rng: Rng,
    /// What really rang: order to its dialled epochs.
    rang: BTreeMap<OrderId, Vec<(u64, Wall)>>,
    /// Rang when the process died: in doubt, never to ring again.
    doubt: BTreeSet<OrderId>,
    life: u32,
    busy: BTreeMap<ServerId, u32>,
    worst: u32,
    away_until: Now,
}

const SERVERS: u32 = 3;
const CAPACITY: u32 = 20;

impl World {
    fn new(seed: u64) -> Self {
        let now = Now { mono: Mono(0), wall: Wall(START) };
        Self {
            now,
            store: Sqlite::in_memory(),
            answers: VecDeque::new(),
            calls: Vec::new(),
            rng: Seed(seed).rng(),
            rang: BTreeMap::new(),
            doubt: BTreeSet::new(),
            life: 0,
            busy: BTreeMap::new(),
            worst: 0,
            away_until: now,
        }
    }

    fn desk(&mut self) -> Desk<Rules> {
        let limits = dispatch::Limits { silent_ms_max: 0, ..dispatch::Limits::default() };
        let dispatcher = Dispatcher::new(limits, Scheme::P2c, Shares::default(), Seed(self.rng.next_u64()));
        let mut desk =
            Desk::new(ServerId(1), Limits::default(), Rules, dispatcher, Seed(self.rng.next_u64()));
        for server in (1..=SERVERS).map(ServerId) {
            let rate = Rate { per_1000s: 20_000, burst: 5 };
            let used = self.busy.get(&server).copied().unwrap_or(0);
            let report = ServerReport { server, capacity: CAPACITY, used, rate, draining: false, seen: None };
            self.step(&mut desk, Input::Report(report));
        }
        self.step(&mut desk, Input::Begin);
        desk
    }

    fn step(&mut self, desk: &mut Desk<Rules>, input: Input) {
        desk.handle(self.now, input);
        while let Some(output) = desk.poll() {
            match output {
                Output::Ask(token, ask) => {
                    let away = self.now.mono < self.away_until.mono;
                    let answer = if away { Err(Error::Unavailable) } else { self.ask(ask) };
                    let at = self.now.plus(Duration::from_millis(1 + self.rng.below(8)));
                    self.answers.push_back((at, self.life, token, answer));
                }
                Output::Start(start) => {
                    let busy = self.busy.entry(start.server).or_default();
                    *busy += 1;
                    self.worst = self.worst.max(*busy);
                    let at = self.now.plus(Duration::from_millis(self.rng.below(50)));
                    self.calls.push((at, Next::Dial(start)));
                }
                Output::HangUp(_) | Output::Fact(_) | Output::Woken { .. } => {}
                Output::Offer(_) => unreachable!("one process offers nothing"),
                Output::Denied(..) => unreachable!("nobody here transfers"),
            }
        }
    }

    fn ask(&mut self, ask: Ask) -> Result<Answer, Error> {
        self.store.run(self.now, vec![ask]).pop().expect("an answer")
    }

    /// The server's part: intent, then it rings, then it ends somehow.
    fn dial(&mut self, start: Box<Start>) -> Option<Input> {
        let (lease, server) = (start.lease.clone(), start.server);
        let intent = Ask::Intent { lease: lease.clone(), server, trunk: "t".into(), dialog: Vec::new() };
        let Ok(Answer::Done) = self.ask(intent) else {
            return Some(self.end(start, outcome(Disposition::Cancelled, false)));
        };
        let rang = self.rang.entry(lease.order).or_default();
        if start.again.is_some() {
            // The identical INVITE: no second ring.
            assert!(!rang.is_empty(), "what is taken up again was dialled before");
            self.doubt.remove(&lease.order);
            let at = self.now.plus(Duration::from_millis(500 + self.rng.below(20_000)));
            self.calls.push((at, Next::End(start, outcome(Disposition::Completed, true))));
            return None;
        }
        assert!(rang.iter().all(|(epoch, _)| *epoch != lease.epoch), "one epoch, one call");
        rang.push((lease.epoch, self.now.wall));
        assert!(!self.doubt.contains(&lease.order), "what rang when we died never rings again");
        let disposition = match self.rng.below(10) {
            0 => Disposition::Busy,
            1 => Disposition::NoAnswer,
            2 => Disposition::Congestion,
            _ => Disposition::Completed,
        };
        let at = self.now.plus(Duration::from_millis(500 + self.rng.below(20_000)));
        self.calls.push((at, Next::End(start, outcome(disposition, true))));
        None
    }

    fn end(&mut self, start: Box<Start>, outcome: Outcome) -> Input {
        let Start { permit, slot, lease, server, .. } = *start;
        permit.waive();
        *self.busy.get_mut(&server).expect("it was started") -= 1;
        let released = slot.release(outcome.cause);
        Input::Finished(Box::new(Finished { lease, outcome, result: None, why: None, released }))
    }

    /// The process dies with everything in it; calls that rang are over for the caller.
    fn crash(&mut self) -> Desk<Rules> {
        self.life += 1;
        self.answers.clear();
        for (_, next) in std::mem::take(&mut self.calls) {
            if let Next::End(start, _) = &next {
                self.doubt.insert(start.lease.order);
            }
            let (Next::Dial(start) | Next::End(start, _)) = next;
            drop(self.end(start, outcome(Disposition::Failed, false)));
        }
        self.desk()
    }
}

/// The number that the fixture put into its id.
fn number(order: &Order) -> u64 {
    u64::try_from(order.id.0 >> 64).expect("64 bits are left")
}

fn outcome(disposition: Disposition, dialled: bool) -> Outcome {
    Outcome { disposition, cause: Cause::NORMAL, dialled, retry_after_s: None }
}

/// Goal: every order ends once, one call a claim, no crash dials anyone again, all capacity comes back.
fn a_day(seed: u64, orders: u32, crashes: u32) {
    let mut world = World::new(seed);
    let mut desk = world.desk();
    let mut to_come: Vec<(u64, Order)> = (0..orders)
        .map(|n| {
            let tenant = TenantId(world.rng.next_u32() % 3 + 1);
            let priority = u8::try_from(world.rng.below(10)).expect("a digit");
            let order = Order { tenant, priority, expires: Wall(START + 3 * 86_400_000), ..order(n) };
            (world.rng.below(60_000), order)
        })
        .collect();
    to_come.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let mut crash_at: Vec<u64> = (0..crashes).map(|_| world.rng.below(90_000)).collect();
    crash_at.sort_by_key(|at| std::cmp::Reverse(*at));
    let outage = world.rng.below(60_000);
    for _ in 0..200_000 {
        let ms = world.now.mono.as_ms();
        if crash_at.last().is_some_and(|at| *at <= ms) {
            crash_at.pop();
            desk = world.crash();
        }
        if (outage..outage + 3_000).contains(&ms) {
            world.away_until = Now { mono: Mono::from_ms(outage + 3_000), wall: world.now.wall };
        }
        while to_come.last().is_some_and(|(at, _)| *at <= ms) {
            let (_, order) = to_come.pop().expect("there is one");
            let (priority, tenant, due) = (order.priority, order.tenant, world.now.wall);
            let accepted = world.ask(Ask::Accept {
                orders: vec![(order, [0; 32])],
                due: vec![due],
                room: Room::UNBOUNDED,
            });
            assert!(accepted.is_ok());
            world.step(&mut desk, Input::Woken { priority, tenant, due });
        }
        deliver(&mut world, &mut desk);
        let next = [
            to_come.last().map(|(at, _)| Mono::from_ms(*at)),
            world.answers.iter().map(|(at, ..)| at.mono).min(),
            world.calls.iter().map(|(at, _)| at.mono).min(),
            desk.deadline(),
            crash_at.last().map(|at| Mono::from_ms(*at)),
        ];
        let next = next.into_iter().flatten().min().expect("a desk always comes back");
        let step = (next - world.now.mono).max(Duration::from_millis(1));
        world.now = world.now.plus(step);
        if to_come.is_empty() && desk.in_hand() == (0, 0) && all_over(&mut world) {
            break;
        }
        // Nothing but retries hours ahead: go there.
        if to_come.is_empty() && crash_at.is_empty() && desk.in_hand() == (0, 0) && world.answers.is_empty() {
            let Ok(Answer::NextDue(Some(due))) = world.ask(Ask::NextDue) else { continue };
            let skip = u64::try_from(due.ms_since(world.now.wall)).unwrap_or(0);
            world.now = world.now.plus(Duration::from_millis(skip));
        }
    }
    judge(&mut world, &desk, orders, seed);
}

fn deliver(world: &mut World, desk: &mut Desk<Rules>) {
    while let Some(i) = world.answers.iter().position(|(at, ..)| at.mono <= world.now.mono) {
        let (_, life, token, answer) = world.answers.remove(i).expect("found");
        assert_eq!(life, world.life);
        world.step(desk, Input::Stored(token, answer));
    }
    while let Some(i) = world.calls.iter().position(|(at, _)| at.mono <= world.now.mono) {
        let input = match world.calls.swap_remove(i).1 {
            Next::Dial(start) => world.dial(start),
            Next::End(start, outcome) => Some(world.end(start, outcome)),
        };
        if let Some(input) = input {
            world.step(desk, input);
        }
    }
    world.step(desk, Input::Timer);
}

fn all_over(world: &mut World) -> bool {
    matches!(world.ask(Ask::NextDue), Ok(Answer::NextDue(None))) && world.calls.is_empty()
}

fn judge(world: &mut World, desk: &Desk<Rules>, orders: u32, seed: u64) {
    let Ok(Answer::List(all)) = world.ask(Ask::List { tenant: None, after: None, state: None, limit: 1_000 })
    else {
        panic!("a list")
    };
    assert_eq!(all.len(), usize::try_from(orders).expect("small"), "seed {seed}: nothing is lost");
    let open: BTreeSet<_> = all.iter().filter(|s| s.state != State::Done).map(|s| s.order.id).collect();
    assert!(open.is_empty(), "seed {seed}: {} open", open.len());
    for status in &all {
        let rang = world.rang.get(&status.order.id).map_or(0, Vec::len);
        let n = number(&status.order);
        match status.disposition.expect("it is over") {
            Disposition::Completed => assert!(rang >= 1, "seed {seed}"),
            Disposition::Refused => {
                assert!(n % 50 == 7 || rang >= 1, "seed {seed}: refused by policy or by a cap")
            }
            _ => {}
        }
        let times = world.rang.get(&status.order.id).map_or(&[][..], Vec::as_slice);
        let apart = times.windows(5).all(|w| w[4].1.ms_since(w[0].1) >= 86_400_000 - 1_000);
        assert!(apart, "seed {seed}: four a day are the cap");
    }
    assert!(world.worst <= CAPACITY, "seed {seed}: {} calls on one server", world.worst);
    assert_eq!(desk.in_hand(), (0, 0), "seed {seed}");
    for server in (1..=SERVERS).map(ServerId) {
        assert_eq!(desk.dispatcher().slots_out(server), 0, "seed {seed}: every slot is back");
    }
}

#[test]
fn every_order_ends_once_and_every_slot_returns() {
    (0..6).for_each(|seed| a_day(seed, 150, 0));
}

#[test]
fn crashes_lose_nothing_and_dial_nobody_twice() {
    (100..108).for_each(|seed| a_day(seed, 150, 3));
}
