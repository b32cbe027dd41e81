//! Comfort noise: what is played when the other end says that it is silent (RFC 3389), or when nothing comes.

use super::level;
use super::math::sample;
use units::{Rng, Seed};

/// White noise through a gentle low-pass, at a level.
#[derive(Clone, Debug)]
pub struct Comfort {
    rng: Rng,
    rms: f32,
    last: f32,
}

impl Comfort {
    /// At a level in dBm0.
    #[must_use]
    pub fn new(seed: Seed, dbm0: f32) -> Self {
        Self { rng: seed.rng(), rms: level::mean_square(dbm0).sqrt(), last: 0.0 }
    }

    /// Changes the level.
    pub fn set_dbm0(&mut self, dbm0: f32) {
        self.rms = level::mean_square(dbm0).sqrt();
    }

    /// Takes the level of an RFC 3389 payload; the spectrum is not followed. False: it is empty.
    pub fn follow(&mut self, payload: &[u8]) -> bool {
        // RFC 3389 §3.1: the first octet is the level in -dBov, its high bit 0; 0 dBov is a full-scale square wave,
        // which is 3.14 + 3.01 dBm0.
        let Some(&first) = payload.first() else { return false };
        self.set_dbm0(6.15 - f32::from(first & 127));
        true
    }

    /// Writes noise over the slice.
    pub fn fill(&mut self, into: &mut [i16]) {
        for four in into.chunks_mut(4) {
            let mut bits = self.rng.next_u64();
            for s in four {
                let word = (bits & 0xFFFF) as u16;
                bits >>= 16;
                // Uniform in +-sqrt(3) has a mean square of one; y = x + y/2 multiplies it by 4/3.
                let white = (f32::from(word) - 32_767.5) * (1.732_050_8 * 0.866_025_4 / 32_767.5);
                self.last = white + 0.5 * self.last;
                *s = sample(self.last * self.rms);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_its_level_and_is_not_a_tone() {
        let mut c = Comfort::new(Seed(1), -50.0);
        let mut s = [0i16; 16_000];
        c.fill(&mut s);
        assert!((level::of(&s) + 50.0).abs() < 0.3, "{}", level::of(&s));
        assert!(s.windows(2).filter(|w| w[0] != w[1]).count() > 15_000);
    }

    #[test]
    fn rfc3389_3_1_level_is_minus_dbov() {
        let mut c = Comfort::new(Seed(1), -90.0);
        assert!(!c.follow(&[]) && c.follow(&[50, 1, 2]));
        let mut s = [0i16; 16_000];
        c.fill(&mut s);
        assert!((level::of(&s) + 43.85).abs() < 0.3, "{}", level::of(&s));
    }
}
