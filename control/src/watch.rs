//! Who of the other processes is dead. Judged by one's own monotonic clock alone: a process is dead when neither its beat
//! in the store has changed nor a word of it was heard for a while, so clocks that disagree kill nobody, and a process
//! that is cut off from the store or from the bus, but not from both, lives.
//!
//! Whoever could not look for a while (it slept, or the store was away) has seen nothing: then everybody's time begins
//! anew.

use crate::store::Node;
use std::collections::BTreeMap;
use std::time::Duration;
use units::{Mono, ServerId, Wall};

/// The role that a process leaves behind when it ends as it should.
pub const LEFT: &str = "left";

/// What the watch must be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Silent for so long is dead, ms.
    pub silent_ms: u64,
    /// Two looks further apart than this: everybody's time begins anew, ms.
    pub gap_ms: u64,
    /// A dead one is told again after so long, ms: what it had sent may have been written after its death was seen.
    pub again_ms: u64,
    /// And so often in all.
    pub tells_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { silent_ms: 1_500, gap_ms: 1_500, again_ms: 5_000, tells_max: 3 }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Watch {
    limits: Limits,
    looked: Option<Mono>,
    seen: BTreeMap<ServerId, Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Epoch and time of its newest beat, as it wrote them.
    beat: (u64, Wall),
    /// When that was new here, or a word was heard.
    alive: Mono,
    told: Option<(Mono, u32)>,
}

impl Watch {
    /// Has seen nobody yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, looked: None, seen: BTreeMap::new() }
    }

    /// A word of this process was heard.
    pub fn heard(&mut self, now: Mono, server: ServerId) {
        if let Some(seen) = self.seen.get_mut(&server) {
            (seen.alive, seen.told) = (now, None);
        }
    }

    /// Looks at the others as the store shows them; those that are dead and must be dealt with now, each with the life in which
    /// it died.
    pub fn look(&mut self, now: Mono, others: &[Node]) -> Vec<(ServerId, u64)> {
        let gap = Duration::from_millis(self.limits.gap_ms);
        if self.looked.is_none_or(|at| now.since(at) > gap) {
            self.seen.values_mut().for_each(|seen| seen.alive = now);
        }
        self.looked = Some(now);
        let mut dead = Vec::new();
        for node in others {
            let beat = (node.epoch, node.seen);
            let seen = self.seen.entry(node.id).or_insert(Seen { beat, alive: now, told: None });
            if seen.beat != beat {
                *seen = Seen { beat, alive: now, told: None };
            }
            if node.role != LEFT && seen.is_due(now, &self.limits) {
                dead.push((node.id, node.epoch));
            }
        }
        dead
    }

    /// Whether a process counts as dead.
    #[must_use]
    pub fn is_dead(&self, server: ServerId) -> bool {
        self.seen.get(&server).is_some_and(|seen| seen.told.is_some())
    }
}

impl Seen {
    fn is_due(&mut self, now: Mono, limits: &Limits) -> bool {
        if now.since(self.alive) <= Duration::from_millis(limits.silent_ms) {
            return false;
        }
        let tells = match self.told {
            None => 0,
            Some((at, n))
                if n < limits.tells_max && now.since(at) >= Duration::from_millis(limits.again_ms) =>
            {
                n
            }
            Some(_) => return false,
        };
        self.told = Some((now, tells + 1));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u32, beat: i64) -> Node {
        Node {
            id: ServerId(id),
            name: format!("n{id}"),
            role: "media".into(),
            address: String::new(),
            epoch: 1,
            seen: Wall(beat),
            load: None,
        }
    }

    /// Looks every 500 ms from `from` to `to`; the times at which 1 was found dead. It beats up to `last`.
    fn deaths(watch: &mut Watch, from: u64, to: u64, last: u64) -> Vec<u64> {
        let mut at = Vec::new();
        for ms in (from..=to).step_by(500) {
            let beat = i64::try_from(ms.min(last)).expect("small");
            if watch.look(Mono::from_ms(ms), &[node(1, beat - 1_000_000)]) == [(ServerId(1), 1)] {
                at.push(ms);
            }
        }
        at
    }

    #[test]
    fn a_silent_process_is_found_dead_within_two_seconds_and_told_again() {
        let mut watch = Watch::new(Limits::default());
        assert_eq!(deaths(&mut watch, 0, 30_000, 3_000), [5_000, 10_000, 15_000]);
        assert!(watch.is_dead(ServerId(1)));
        assert!(watch.look(Mono::from_ms(30_500), &[node(1, 5)]).is_empty());
        assert!(!watch.is_dead(ServerId(1)), "it is back");
    }

    #[test]
    fn a_word_on_the_bus_is_a_sign_of_life() {
        let mut watch = Watch::new(Limits::default());
        assert!(deaths(&mut watch, 0, 2_500, 1_000).is_empty());
        watch.heard(Mono::from_ms(2_600), ServerId(1));
        assert_eq!(deaths(&mut watch, 3_000, 5_000, 1_000), [4_500]);
    }

    #[test]
    fn who_slept_has_seen_nothing() {
        let mut watch = Watch::new(Limits::default());
        assert!(deaths(&mut watch, 0, 1_000, 500).is_empty());
        assert_eq!(deaths(&mut watch, 60_000, 62_000, 500), [62_000], "time begins anew");
    }

    #[test]
    fn who_left_is_not_dead() {
        let mut watch = Watch::new(Limits::default());
        let gone = Node { role: LEFT.into(), ..node(1, 0) };
        assert!((0..20).all(|n| watch.look(Mono::from_ms(n * 500), std::slice::from_ref(&gone)).is_empty()));
    }
}
