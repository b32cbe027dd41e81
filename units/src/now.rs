//! Time as an input. A room never asks what time it is; it is told, with a [`Now`] made behind a door.

use serde::{Deserialize, Serialize};
use std::ops::{Add, Sub};
use std::time::Duration;

/// Nanoseconds on a monotonic clock since an origin that the maker of the clock chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mono(pub u64);

/// Milliseconds of UTC since 1970-01-01T00:00:00Z, leap seconds not counted. May jump; never used for durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Wall(pub i64);

/// The two clocks read together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For durations and deadlines.
    pub mono: Mono,
    /// For calendars and for what is written down.
    pub wall: Wall,
}

impl Mono {
    /// Milliseconds since the origin, rounded down.
    #[must_use]
    pub fn as_ms(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The instant `ms` milliseconds after the origin.
    #[must_use]
    pub fn from_ms(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }

    /// Time since `earlier`, zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Mono;
    fn add(self, rhs: Duration) -> Mono {
        Mono(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Mono> for Mono {
    type Output = Duration;
    fn sub(self, rhs: Mono) -> Duration {
        self.since(rhs)
    }
}

impl Wall {
    /// This wall time moved by a duration.
    #[must_use]
    pub fn plus(self, by: Duration) -> Wall {
        Wall(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Milliseconds from `earlier` to this, negative if the clock went back.
    #[must_use]
    pub fn ms_since(self, earlier: Wall) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Now {
    /// Both clocks advanced by the same duration, as a simulated clock does.
    #[must_use]
    pub fn plus(self, by: Duration) -> Now {
        Now { mono: self.mono + by, wall: self.wall.plus(by) }
    }
}

/// A count of 8 kHz samples: 1 sample is 125 us, 20 ms are 160 samples. Other clock rates carry their own type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Samples(pub u32);

impl Samples {
    /// The whole samples in `ms` milliseconds; saturates at about 149 hours.
    #[must_use]
    pub const fn from_ms(ms: u32) -> Self {
        Self(ms.saturating_mul(8))
    }

    /// Milliseconds, rounded down.
    #[must_use]
    pub const fn as_ms(self) -> u32 {
        self.0 / 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_never_go_negative() {
        assert_eq!(Mono::from_ms(1) - Mono::from_ms(5), Duration::ZERO);
        assert_eq!(Mono::from_ms(5) - Mono::from_ms(1), Duration::from_millis(4));
    }

    #[test]
    fn samples_are_eight_a_millisecond() {
        assert_eq!(Samples::from_ms(20), Samples(160));
        assert_eq!(Samples(167).as_ms(), 20);
    }
}
