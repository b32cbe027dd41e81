//! Chance as an input: whatever is random in a room comes from a [`Seed`] given at construction.

use serde::{Deserialize, Serialize};

/// Where a room's randomness begins. Behind a door it comes from the kernel; in a test it is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seed(pub u64);

impl Seed {
    /// A generator from this seed.
    #[must_use]
    pub fn rng(self) -> Rng {
        Rng::new(self)
    }

    /// An independent seed for a part, named by a number.
    #[must_use]
    pub fn derive(self, part: u64) -> Seed {
        let mut r = Rng { state: self.0 ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15) };
        Seed(r.next_u64())
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, fast, full period; not for keys.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// Starts at a seed.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self { state: seed.0 }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        u32::try_from(self.next_u64() >> 32).expect("32 bits are left")
    }

    /// 128 random bits.
    pub fn next_u128(&mut self) -> u128 {
        (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64())
    }

    /// Uniform in `0..bound`; `bound` must not be 0. (Multiply-shift; bias below 2^-32 for bounds below 2^32.)
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "an empty range has no member");
        u64::try_from((u128::from(self.next_u64()) * u128::from(bound)) >> 64).expect("below bound")
    }

    /// Uniform in `[0, 1)`, 53 bits.
    pub fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
        let x = (self.next_u64() >> 11) as f64;
        x / 9_007_199_254_740_992.0
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_reference_values() {
        // First outputs for seed 1234567, as published with the algorithm.
        let mut r = Seed(1_234_567).rng();
        assert_eq!(r.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(r.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn below_stays_below() {
        let mut r = Seed(7).rng();
        assert!((0..10_000).all(|_| r.below(7) < 7));
    }
}
