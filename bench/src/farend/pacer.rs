//! `Pacer`: when the next calls are due. A rate, a number held up, a number in all; calls that could not be placed in time
//! are not made up for in a burst.

use units::Mono;

/// How calls are to be placed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    /// New calls a second, above 0.
    pub rate: f64,
    /// Held up at a time; 0: as many as the rate brings.
    pub hold: usize,
    /// In all; 0: no bound.
    pub calls: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Pacer {
    pace: Pace,
    credit: f64,
    last: Option<Mono>,
    placed: u64,
}

impl Pacer {
    /// A pacer whose first call is due at once.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        Self { pace, credit: 1.0, last: None, placed: 0 }
    }

    /// Goes on at another pace; the calls placed so far count.
    pub fn set(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// How many calls to place now, with so many live.
    pub fn due(&mut self, now: Mono, live: usize) -> u64 {
        let passed = self.last.replace(now).map_or(0.0, |l| now.since(l).as_secs_f64());
        // A stall of ours is not to become a burst: a tenth of a second is made up for.
        self.credit = (self.credit + passed * self.pace.rate).min((self.pace.rate * 0.1).max(1.0));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let mut n = self.credit.floor().max(0.0) as u64;
        if self.pace.hold > 0 {
            n = n.min(self.pace.hold.saturating_sub(live) as u64);
        }
        if self.pace.calls > 0 {
            n = n.min(self.pace.calls.saturating_sub(self.placed));
        }
        #[expect(clippy::cast_precision_loss, reason = "few at a time")]
        {
            self.credit -= n as f64;
        }
        self.placed += n;
        n
    }

    /// Calls placed.
    #[must_use]
    pub fn placed(&self) -> u64 {
        self.placed
    }

    /// Whether no more will be due.
    #[must_use]
    pub fn done(&self) -> bool {
        self.pace.calls > 0 && self.placed >= self.pace.calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pace: Pace, ms: u64, live: impl Fn(u64) -> usize) -> u64 {
        let mut pacer = Pacer::new(pace);
        (0..ms).map(|t| pacer.due(Mono::from_ms(t), live(pacer.placed()))).sum()
    }

    #[test]
    fn a_rate_is_kept_to_the_call() {
        for (rate, ms, want) in [(100.0, 10_000, 1000), (2.5, 10_000, 25), (2500.0, 1000, 2498)] {
            let n = run(Pace { rate, ..Pace::default() }, ms, |_| 0);
            assert!(n.abs_diff(want) <= 1, "{rate}: {n}");
        }
    }

    #[test]
    fn held_calls_and_calls_in_all_are_bounds() {
        let pace = Pace { rate: 1000.0, hold: 40, calls: 0 };
        assert_eq!(run(pace, 1000, |placed| usize::try_from(placed).unwrap_or(0)), 40);
        assert_eq!(run(Pace { rate: 1000.0, hold: 0, calls: 7 }, 1000, |_| 0), 7);
    }

    #[test]
    fn a_stall_is_not_made_up_for_in_a_burst() {
        let mut pacer = Pacer::new(Pace { rate: 100.0, ..Pace::default() });
        pacer.due(Mono(0), 0);
        assert_eq!(pacer.due(Mono::from_ms(5000), 0), 10);
    }
}
