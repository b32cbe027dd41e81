//! Token buckets: so many set-ups in a period, so many at once. Exact integers, so a day does not drift.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use units::Mono;

/// A bound on set-ups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rate {
    /// So many in 1,000 s; 0: unbounded.
    pub per_1000s: u32,
    /// So many at once.
    pub burst: u32,
}

impl Rate {
    /// No bound.
    pub const UNBOUNDED: Rate = Rate { per_1000s: 0, burst: 0 };

    /// So many a second, and a fifth of that (at least one) at once.
    #[must_use]
    pub const fn per_second(n: u32) -> Rate {
        let burst = if n < 10 { 1 } else { n / 5 };
        Rate { per_1000s: n.saturating_mul(1_000), burst }
    }
}

/// See the module. Full at the start.
#[derive(Clone, Debug)]
pub struct Bucket {
    rate: Rate,
    /// Tokens in units of 10^-12: one nanosecond at one token in 1,000 s gives one unit.
    level: u128,
    at: Mono,
}

const TOKEN: u128 = 1_000_000_000_000;

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(now: Mono, rate: Rate) -> Self {
        Self { rate, level: full(rate), at: now }
    }

    /// Changes the rate; what has gathered stays, up to the new burst.
    pub fn set(&mut self, now: Mono, rate: Rate) {
        if rate == self.rate {
            return;
        }
        self.fill(now);
        self.rate = rate;
        self.level = self.level.min(full(rate));
    }

    /// Is there a token?
    pub fn has(&mut self, now: Mono) -> bool {
        self.fill(now);
        self.rate.per_1000s == 0 || self.level >= TOKEN
    }

    /// Takes a token if there is one.
    pub fn take(&mut self, now: Mono) -> bool {
        let has = self.has(now);
        if has && self.rate.per_1000s > 0 {
            self.level -= TOKEN;
        }
        has
    }

    /// When there will be a token.
    #[must_use]
    pub fn next(&self, now: Mono) -> Mono {
        if self.rate.per_1000s == 0 || self.level >= TOKEN {
            return now;
        }
        let wait = (TOKEN - self.level).div_ceil(u128::from(self.rate.per_1000s));
        self.at + Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
    }

    /// How many could be taken from now until a second from now.
    #[must_use]
    pub fn within_a_second(&self, now: Mono) -> u32 {
        if self.rate.per_1000s == 0 {
            return u32::MAX;
        }
        let until = now + Duration::from_secs(1);
        let gathered = until.since(self.at).as_nanos() * u128::from(self.rate.per_1000s);
        u32::try_from(
            (self.level + gathered).min(full(self.rate) + u128::from(self.rate.per_1000s) * 1_000_000_000)
                / TOKEN,
        )
        .unwrap_or(u32::MAX)
    }

    fn fill(&mut self, now: Mono) {
        let passed = now.since(self.at).as_nanos();
        self.at = self.at.max(now);
        self.level = (self.level + passed * u128::from(self.rate.per_1000s)).min(full(self.rate));
    }
}

/// Smoothing: gives each call its own time instead of a refusal, so that ten thousand calls spread out exactly (the
/// generic cell rate algorithm of ITU-T I.371 with the roles turned: it books instead of policing).
#[derive(Clone, Debug)]
pub struct Pace {
    rate: Rate,
    /// When the bucket would be full again.
    full_at: Mono,
}

impl Pace {
    /// Nothing booked yet.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self { rate, full_at: Mono(0) }
    }

    /// Books one call: the time at which it may go, not before `now`.
    pub fn book(&mut self, now: Mono) -> Mono {
        if self.rate.per_1000s == 0 {
            return now;
        }
        let step = Duration::from_nanos(1_000_000_000_000 / u64::from(self.rate.per_1000s));
        let slack = step * self.rate.burst.max(1).saturating_sub(1);
        let start = self.full_at.max(now);
        self.full_at = start + step;
        Mono(start.0.saturating_sub(u64::try_from(slack.as_nanos()).unwrap_or(u64::MAX))).max(now)
    }

    /// Nothing booked is still to come.
    #[must_use]
    pub fn idle(&self, now: Mono) -> bool {
        self.full_at <= now
    }
}

fn full(rate: Rate) -> u128 {
    u128::from(rate.burst.max(1)) * TOKEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_exactly_and_bursts_are_bounded() {
        let rate = Rate { per_1000s: 300, burst: 2 };
        let mut bucket = Bucket::new(Mono(0), rate);
        let mut taken = 0_u32;
        for ms in 0..1_000_000_u64 {
            taken += u32::from(bucket.take(Mono::from_ms(ms)));
        }
        assert_eq!(taken, 2 + 299, "the burst, then one every 3.33 s");
        let mut bucket = Bucket::new(Mono(0), rate);
        assert!(bucket.take(Mono(0)) && bucket.take(Mono(0)) && !bucket.take(Mono(0)));
        let next = bucket.next(Mono(0));
        assert!(!bucket.take(Mono(next.0 - 1)));
        assert!(bucket.take(next));
    }

    #[test]
    fn booked_calls_spread_out_exactly() {
        let mut pace = Pace::new(Rate { per_1000s: 2_000, burst: 3 });
        let booked: Vec<u64> = (0..6).map(|_| pace.book(Mono::from_ms(1_000)).as_ms()).collect();
        assert_eq!(booked, vec![1_000, 1_000, 1_000, 1_500, 2_000, 2_500]);
        assert!(!pace.idle(Mono::from_ms(3_999)) && pace.idle(Mono::from_ms(4_000)));
    }

    #[test]
    fn no_rate_is_no_bound() {
        let mut bucket = Bucket::new(Mono(0), Rate::UNBOUNDED);
        assert!((0..1_000).all(|_| bucket.take(Mono(0))));
    }
}
