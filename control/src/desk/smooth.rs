//! Smoothing of traffic by policy: calls to one exchange (leading digits of the number) are spread out in time. Each
//! gets a time of its own and goes back into the queue until then, so that nothing is held here but the time.

use crate::dispatch::{Pace, Rate};
use std::collections::BTreeMap;
use std::time::Duration;
use units::{Mono, Now, OrderId, Wall};

/// A rule's rate and the digits it counts apart.
type Key = (u32, u32, String);

/// A booked call may come so much later and still have its place; then it books anew.
const LATE_MS_MAX: i64 = 60_000;

#[derive(Debug)]
pub(super) struct Smooth {
    paces: BTreeMap<Key, Pace>,
    booked: BTreeMap<OrderId, Wall>,
    max: usize,
}

impl Smooth {
    pub(super) fn new(max: usize) -> Self {
        Self { paces: BTreeMap::new(), booked: BTreeMap::new(), max }
    }

    /// When this call may go: not before `now`. The latest of what the rules (calls in 1,000 s, at once, leading digits)
    /// say; a call that comes at its booked time goes.
    pub(super) fn book(&mut self, now: Now, order: OrderId, callee: &str, rules: &[(u32, u32, u8)]) -> Wall {
        if rules.is_empty() {
            return now.wall;
        }
        let booked = self.booked.remove(&order);
        if booked.is_some_and(|at| at <= now.wall && now.wall.ms_since(at) <= LATE_MS_MAX) {
            return now.wall;
        }
        let at = rules.iter().map(|rule| self.pace(now.mono, callee, *rule)).max().unwrap_or(now.mono);
        let wait = at - now.mono;
        if wait < Duration::from_millis(1) {
            return now.wall;
        }
        let due = Wall(now.wall.plus(wait).0 + 1);
        if self.booked.len() < self.max {
            self.booked.insert(order, due);
        }
        due
    }

    fn pace(&mut self, now: Mono, callee: &str, (per_1000s, burst, digits): (u32, u32, u8)) -> Mono {
        let lead = callee.chars().filter(char::is_ascii_digit).take(usize::from(digits)).collect();
        if self.paces.len() >= self.max {
            self.paces.retain(|_, pace| !pace.idle(now));
        }
        let key = (per_1000s, burst, lead);
        if self.paces.len() >= self.max && !self.paces.contains_key(&key) {
            // No place to remember one more exchange: half a second's patience is kinder than a burst.
            return now + Duration::from_millis(500);
        }
        self.paces.entry(key).or_insert_with(|| Pace::new(Rate { per_1000s, burst })).book(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_to_one_exchange_spread_out_and_others_do_not_wait() {
        let mut smooth = Smooth::new(100);
        let start = Now { mono: Mono::from_ms(5), wall: Wall(1_000) };
        let rules = [(1_000, 1, 4)];
        let mut due = |n: u128, to: &str| smooth.book(start, OrderId(n), to, &rules).0 - 1_000;
        assert_eq!((due(1, "+15551"), due(2, "+15552"), due(3, "+15553")), (0, 1_001, 2_001));
        assert_eq!(due(4, "+16551"), 0);
        let later = start.plus(Duration::from_millis(1_001));
        assert_eq!(
            smooth.book(later, OrderId(2), "+15552", &rules),
            later.wall,
            "it comes at its time and goes"
        );
        assert!(smooth.book(later, OrderId(5), "+15559", &rules) > later.wall);
    }
}
