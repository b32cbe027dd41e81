//! Where is the largest load that still goes well? Doubling until it does not, then halving the distance; a load that went
//! badly once is tried once more, since a machine hiccups.

/// See the module.
#[derive(Clone, Debug)]
pub struct Search {
    good: u64,
    bad: Option<u64>,
    next: u64,
    max: u64,
    /// The distance at which it stops, in thousandths of the load.
    resolution_permille: u64,
    again: bool,
    once: bool,
    over: bool,
}

impl Search {
    /// From a first load up to a largest one, until the answer is known to `resolution_percent`.
    #[must_use]
    pub fn new(first: u64, max: u64, resolution_percent: u64) -> Self {
        let first = first.clamp(1, max.max(1));
        let resolution_permille = (resolution_percent * 10).max(1);
        Self {
            good: 0,
            bad: None,
            next: first,
            max: max.max(1),
            resolution_permille,
            again: false,
            once: false,
            over: false,
        }
    }

    /// One load only: does it go well?
    #[must_use]
    pub fn once(load: u64) -> Self {
        Self { once: true, ..Self::new(load, load, 1) }
    }

    /// The next load to try; `None`: it is known.
    #[must_use]
    pub fn wanted(&self) -> Option<u64> {
        (!self.over).then_some(self.next)
    }

    /// How the load went that [`Search::wanted`] named.
    pub fn judged(&mut self, well: bool) {
        let load = self.next;
        if well {
            (self.good, self.again) = (load, false);
        } else if !self.again {
            self.again = true;
            return;
        } else {
            (self.bad, self.again) = (Some(load), false);
        }
        self.next = match self.bad {
            None => (load * 2).min(self.max),
            Some(bad) => u64::midpoint(self.good, bad),
        };
        let near = self.bad.is_some_and(|bad| (bad - self.good) * 1000 <= bad * self.resolution_permille);
        let top = self.bad.is_none() && self.good == self.max;
        self.over = self.once || near || top || self.next == self.good;
    }

    /// The largest load that went well; 0: none did.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.good
    }

    /// Whether the largest load allowed went well: the true bound is beyond it.
    #[must_use]
    pub fn unbounded(&self) -> bool {
        self.bad.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(true_capacity: u64, first: u64, max: u64) -> (u64, u32) {
        let mut s = Search::new(first, max, 2);
        let mut tries = 0;
        while let Some(load) = s.wanted() {
            tries += 1;
            assert!(tries < 60, "it ends");
            s.judged(load <= true_capacity);
        }
        (s.capacity(), tries)
    }

    #[test]
    fn the_capacity_is_found_within_the_resolution() {
        for capacity in [7, 99, 100, 137, 2_345, 9_999] {
            let (found, tries) = find(capacity, 50, 10_000);
            assert!(
                found <= capacity && (capacity - found) * 100 <= capacity * 3 + 100,
                "{capacity}: {found}"
            );
            assert!(tries < 40, "{tries}");
        }
    }

    #[test]
    fn the_bounds_are_kept() {
        assert_eq!(find(50_000, 50, 1_000).0, 1_000);
        assert_eq!(find(0, 50, 1_000).0, 0);
        assert_eq!(find(5, 900, 5).0, 5);
    }

    #[test]
    fn one_load_alone_is_tried_and_no_other() {
        let mut s = Search::once(600);
        s.judged(false);
        assert_eq!(s.wanted(), Some(600));
        s.judged(false);
        assert_eq!((s.wanted(), s.capacity()), (None, 0));
    }

    #[test]
    fn one_hiccup_is_forgiven() {
        let mut s = Search::new(100, 100, 2);
        s.judged(false);
        assert_eq!(s.wanted(), Some(100));
        s.judged(true);
        assert_eq!((s.wanted(), s.capacity(), s.unbounded()), (None, 100, true));
    }
}
