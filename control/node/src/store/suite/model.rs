//! The store against a model: random questions from a seed, with stale leases among them, and a small honest list in
//! memory that says what each answer must be. Nothing lost, nothing claimed twice, every stale epoch fenced.

use super::fixture::{Bed, START, cap, order};
use crate::store::Sqlite;
use control::order::{Disposition, State};
use control::store::{Answer, Ask, Error, Lease, Store};
use std::collections::BTreeMap;
use units::{OrderId, Rng, Seed, TenantId, Wall};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    Free,
    Claimed(i64),
    Dialled,
    Over(Disposition),
}

#[derive(Clone, Debug)]
struct Known {
    hold: Hold,
    due: i64,
    epoch: u64,
    attempts: u32,
    cancel: bool,
    key: String,
    /// When its caps were taken under the running claim.
    taken: Option<i64>,
}

pub(super) struct Model {
    bed: Bed,
    rng: Rng,
    orders: BTreeMap<OrderId, Known>,
    /// Every lease ever given.
    leases: Vec<Lease>,
    caps: BTreeMap<String, Vec<i64>>,
    n: u32,
}

const LEASE_MS: i64 = 10_000;
const CAP: u32 = 3;
const CAP_MS: i64 = 60_000;

impl Model {
    pub(super) fn new(store: impl Store + 'static, seed: u64) -> Self {
        let (bed, rng) = (Bed::new(store), Seed(seed).rng());
        Self { bed, rng, orders: BTreeMap::new(), leases: Vec::new(), caps: BTreeMap::new(), n: 0 }
    }

    pub(super) fn run(&mut self, steps: u32) {
        (0..steps).for_each(|_| self.step());
        self.compare();
    }

    fn now(&self) -> i64 {
        self.bed.now.wall.0
    }

    fn step(&mut self) {
        match self.rng.below(10) {
            0 => self.accept(),
            1 | 2 => self.claim(),
            3 => self.take_caps(),
            4 | 5 => self.intent(),
            6 => self.requeue(),
            7 => self.finish(),
            8 => self.cancel(),
            _ => self.bed.pass(self.rng.below(6_000)),
        }
    }

    fn accept(&mut self) {
        self.n += 1;
        let new = order(self.n);
        let due = self.now() + i64::try_from(self.rng.below(20_000)).expect("small") - 10_000;
        let key = format!("k{}", self.rng.below(4));
        let known = Known { hold: Hold::Free, due, epoch: 0, attempts: 0, cancel: false, key, taken: None };
        self.orders.insert(new.id, known);
        self.bed.accept_due(new, Wall(due));
    }

    /// What lapsed is free again, at its old due time; the store does so with each claim.
    fn lapse(&mut self) {
        let now = self.now();
        for known in self.orders.values_mut() {
            if matches!(known.hold, Hold::Claimed(until) if until < now) {
                give_back(&mut self.caps, known);
                known.hold = if known.cancel { Hold::Over(Disposition::Cancelled) } else { Hold::Free };
            }
        }
    }

    fn claim(&mut self) {
        self.lapse();
        let now = self.now();
        let max = u32::try_from(self.rng.below(5) + 1).expect("small");
        let due = |k: &Known| k.hold == Hold::Free && k.due <= now;
        let mut expected: Vec<(i64, OrderId)> =
            self.orders.iter().filter(|(_, k)| due(k)).map(|(id, k)| (k.due, *id)).collect();
        expected.sort_unstable();
        expected.truncate(usize::try_from(max).expect("small"));
        let claimed = self.bed.claim(5, max);
        let got: Vec<OrderId> = claimed.iter().map(|c| c.order.id).collect();
        assert_eq!(got, expected.iter().map(|(_, id)| *id).collect::<Vec<_>>());
        for claim in claimed {
            let known = self.orders.get_mut(&claim.order.id).expect("known");
            known.epoch += 1;
            known.hold = Hold::Claimed(now + LEASE_MS);
            known.taken = None;
            assert_eq!((claim.lease.epoch, claim.attempts), (known.epoch, known.attempts));
            self.leases.push(claim.lease);
        }
    }

    /// Any lease of the past, and whether the model says it is the newest.
    fn lease(&mut self) -> Option<(Lease, bool)> {
        let last = self.leases.len().checked_sub(1)?;
        // Mostly a recent one.
        let back = usize::try_from(self.rng.below(12)).expect("small").min(last);
        let lease = self.leases[last - back].clone();
        let known = &self.orders[&lease.order];
        let open = matches!(known.hold, Hold::Claimed(_) | Hold::Dialled);
        Some((lease.clone(), open && known.epoch == lease.epoch))
    }

    fn take_caps(&mut self) {
        let Some((lease, valid)) = self.lease() else { return };
        let now = self.now();
        let known = self.orders.get_mut(&lease.order).expect("known");
        let period = u64::try_from(CAP_MS).expect("positive");
        let answer = self.bed.caps(&lease, vec![cap(&known.key, CAP, period, 0)]);
        let late = matches!(known.hold, Hold::Claimed(until) if until < now);
        if !valid || (late && !known.cancel) {
            return assert_eq!(answer.err(), Some(Error::Fenced));
        }
        if known.cancel {
            return assert!(matches!(answer, Ok(Answer::Cancelled(true))));
        }
        let log = self.caps.entry(known.key.clone()).or_default();
        log.sort_unstable();
        let within: Vec<i64> = log.iter().copied().filter(|at| *at > now - CAP_MS).collect();
        if known.taken.is_none() && within.len() >= 3 {
            let until = within[within.len() - 3] + CAP_MS;
            return assert!(
                matches!(answer, Ok(Answer::Capped { until: u, .. }) if u.0 == until),
                "{answer:?}"
            );
        }
        assert!(matches!(answer, Ok(Answer::CapsTaken)), "{answer:?}");
        if known.taken.is_none() {
            known.taken = Some(now);
            log.push(now);
        }
    }

    fn intent(&mut self) {
        let Some((lease, valid)) = self.lease() else { return };
        let answer = self.bed.intent(&lease);
        let now = self.now();
        let known = self.orders.get_mut(&lease.order).expect("known");
        let late = matches!(known.hold, Hold::Claimed(until) if until < now);
        match (valid, known.cancel, late) {
            (false, ..) | (true, false, true) => assert_eq!(answer.err(), Some(Error::Fenced)),
            (true, true, _) => assert!(matches!(answer, Ok(Answer::Cancelled(true)))),
            (true, false, false) => {
                assert!(matches!(answer, Ok(Answer::Done)));
                known.attempts += u32::from(known.hold != Hold::Dialled);
                known.hold = Hold::Dialled;
            }
        }
    }

    fn requeue(&mut self) {
        let Some((lease, valid)) = self.lease() else { return };
        let due = self.now() + i64::try_from(self.rng.below(5_000)).expect("small");
        let (refund, counted) = (self.rng.chance(0.5), self.rng.chance(0.5));
        let answer = self.bed.requeue(&lease, Wall(due), refund, counted);
        let known = self.orders.get_mut(&lease.order).expect("known");
        if !valid {
            return assert_eq!(answer.err(), Some(Error::Fenced));
        }
        if refund {
            give_back(&mut self.caps, known);
        }
        known.taken = None;
        if known.cancel {
            known.hold = Hold::Over(Disposition::Cancelled);
            return assert!(matches!(answer, Ok(Answer::Cancelled(true))));
        }
        assert!(matches!(answer, Ok(Answer::Done)));
        known.attempts -= u32::from(!counted && known.hold == Hold::Dialled);
        (known.hold, known.due) = (Hold::Free, due);
    }

    fn finish(&mut self) {
        let Some((lease, valid)) = self.lease() else { return };
        let answer = self.bed.finish(&lease, Disposition::Busy);
        let known = self.orders.get_mut(&lease.order).expect("known");
        if !valid {
            return assert_eq!(answer.err(), Some(Error::Fenced));
        }
        assert!(matches!(answer, Ok(Answer::Done)));
        if matches!(known.hold, Hold::Claimed(_)) {
            give_back(&mut self.caps, known);
        }
        known.hold = Hold::Over(Disposition::Busy);
    }

    fn cancel(&mut self) {
        if self.orders.is_empty() || self.rng.chance(0.7) {
            return;
        }
        let nth = usize::try_from(self.rng.below(self.orders.len() as u64)).expect("small");
        let (id, known) = self.orders.iter_mut().nth(nth).expect("there are so many");
        let answer = self.bed.ask(Ask::Cancel { tenant: TenantId(1), order: *id });
        match known.hold {
            Hold::Free => {
                assert!(matches!(answer, Ok(Answer::Cancelled(true))));
                known.hold = Hold::Over(Disposition::Cancelled);
            }
            Hold::Over(_) => assert_eq!(answer.err(), Some(Error::Conflict)),
            Hold::Claimed(_) | Hold::Dialled => {
                assert!(matches!(answer, Ok(Answer::Cancelled(false))));
                known.cancel = true;
            }
        }
    }

    fn compare(&mut self) {
        for (id, known) in self.orders.clone() {
            let (state, disposition, attempts) = self.bed.state(id);
            match known.hold {
                Hold::Over(how) => assert_eq!((state, disposition), (State::Done, Some(how))),
                _ => assert_ne!(state, State::Done, "nothing is lost"),
            }
            assert_eq!(attempts, known.attempts);
        }
        assert!(self.now() > START);
    }
}

fn give_back(caps: &mut BTreeMap<String, Vec<i64>>, known: &mut Known) {
    if let (Some(at), Some(log)) = (known.taken.take(), caps.get_mut(&known.key))
        && let Some(i) = log.iter().position(|t| *t == at)
    {
        log.remove(i);
    }
}

#[test]
fn sqlite_answers_as_the_model_says() {
    (0..25).for_each(|seed| Model::new(Sqlite::in_memory(), seed).run(400));
}
