//! When to come back to whom: a heap of deadlines whose stale entries are recognised when they come up, and swept out
//! when they are too many, so that the heap stays bounded by what is alive.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use units::Mono;

/// Whose deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    Tx(u64),
    Leg(u64),
    Probe(usize),
    Registration(usize),
    Stream(u32),
}

/// The heap.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    heap: BinaryHeap<Reverse<(Mono, Who)>>,
}

impl Alarms {
    /// Sees to it that `who`, armed for `armed` so far, is woken at `due`. Returns what it is armed for now.
    pub(super) fn arm(&mut self, who: Who, armed: Option<Mono>, due: Option<Mono>) -> Option<Mono> {
        match (armed, due) {
            (Some(armed), Some(due)) if armed <= due => Some(armed),
            (_, Some(due)) => {
                self.heap.push(Reverse((due, who)));
                Some(due)
            }
            (armed, None) => armed,
        }
    }

    /// The earliest entry, perhaps stale.
    pub(super) fn next(&self) -> Option<Mono> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the earliest entry that is due.
    pub(super) fn pop(&mut self, now: Mono) -> Option<(Mono, Who)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// Whether stale entries outnumber the living.
    pub(super) fn is_stale(&self, alive: usize) -> bool {
        self.heap.len() > 256 + 3 * alive
    }

    /// Keeps the entries that are still meant.
    pub(super) fn sweep(&mut self, meant: impl Fn(Mono, Who) -> bool) {
        self.heap.retain(|Reverse((at, who))| meant(*at, *who));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_deadline_is_pushed_a_later_one_waits() {
        let mut a = Alarms::default();
        let armed = a.arm(Who::Leg(1), None, Some(Mono(5)));
        let armed = a.arm(Who::Leg(1), armed, Some(Mono(9)));
        assert_eq!(armed, Some(Mono(5)));
        let armed = a.arm(Who::Leg(1), armed, Some(Mono(3)));
        assert_eq!((armed, a.next()), (Some(Mono(3)), Some(Mono(3))));
        assert_eq!(a.pop(Mono(2)), None);
        assert_eq!(a.pop(Mono(3)), Some((Mono(3), Who::Leg(1))));
        a.sweep(|_, _| false);
        assert_eq!(a.next(), None);
    }
}
