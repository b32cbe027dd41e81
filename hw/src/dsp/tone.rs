//! Phase-continuous sines, pairs of sines, and cadences made of them. No trigonometry per sample: a 32-bit phase
//! walks a table of 1,024 points with linear interpolation (spurious tones below -100 dB).

use super::level;
use super::math::{narrow, sample, sin};

/// One sine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sine {
    /// Hz, 0..4000.
    pub hz: f32,
    /// Level in dBm0.
    pub dbm0: f32,
}

/// A phase-continuous oscillator at 8 kHz.
#[derive(Clone, Copy, Debug, Default)]
pub struct Oscillator {
    phase: u32,
    step: u32,
    peak: f32,
}

impl Oscillator {
    /// Starting at phase zero.
    #[must_use]
    pub fn new(sine: Sine) -> Self {
        Self { phase: 0, step: step(sine.hz), peak: level::peak(sine.dbm0) }
    }

    /// Starting at a phase given in turns (1.0 is a whole period).
    #[must_use]
    pub fn with_phase(sine: Sine, turns: f32) -> Self {
        Self { phase: step(turns.fract() * SAMPLE_HZ), ..Self::new(sine) }
    }

    /// Changes frequency and level without a jump of phase.
    pub fn retune(&mut self, sine: Sine) {
        self.step = step(sine.hz);
        self.peak = level::peak(sine.dbm0);
    }

    /// The next value, in sample units, not rounded.
    pub fn next_value(&mut self) -> f32 {
        let index = usize::try_from(self.phase >> 22).expect("ten bits");
        #[expect(clippy::cast_precision_loss, reason = "the 22 low bits fit a float's 24")]
        let between = (self.phase & 0x3F_FFFF) as f32 * (1.0 / 4_194_304.0);
        let (a, b) = (SINE[index], SINE[index + 1]);
        self.phase = self.phase.wrapping_add(self.step);
        self.peak * (a + (b - a) * between)
    }

    /// Adds the sine to a slice of floats.
    pub fn add_to(&mut self, into: &mut [f32]) {
        for x in into {
            *x += self.next_value();
        }
    }
}

/// Up to four sines at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chord {
    voices: [Oscillator; CHORD_MAX],
    used: u8,
}

/// The most sines in a [`Chord`].
pub const CHORD_MAX: usize = 4;

impl Chord {
    /// From the first [`CHORD_MAX`] of `sines`.
    #[must_use]
    pub fn new(sines: &[Sine]) -> Self {
        let mut chord = Self::default();
        for (voice, &sine) in chord.voices.iter_mut().zip(sines) {
            *voice = Oscillator::new(sine);
            chord.used += 1;
        }
        chord
    }

    /// Writes the sum, saturated, over the slice.
    pub fn fill(&mut self, into: &mut [i16]) {
        let used = usize::from(self.used);
        for s in into {
            *s = sample(self.voices[..used].iter_mut().map(Oscillator::next_value).sum());
        }
    }
}

/// The frequency of samples in this file, Hz.
pub const SAMPLE_HZ: f32 = 8000.0;

/// Phase advance a sample, in 2^-32 turns.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturating; frequencies are below 4 kHz"
)]
fn step(hz: f32) -> u32 {
    (f64::from(hz) / f64::from(SAMPLE_HZ) * 4_294_967_296.0) as u32
}

const fn sine_table() -> [f32; 1025] {
    let mut t = [0.0; 1025];
    let mut i = 0;
    while i < t.len() {
        #[expect(clippy::cast_precision_loss, reason = "a small index")]
        let turns = i as f64 / 1024.0;
        t[i] = narrow(sin(turns * 2.0 * std::f64::consts::PI));
        i += 1;
    }
    t
}

static SINE: [f32; 1025] = sine_table();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sine_has_its_level_and_no_other_energy() {
        let sine = Sine { hz: 1004.0, dbm0: -10.0 };
        let mut chord = Chord::new(&[sine]);
        let mut s = [0i16; 8000];
        chord.fill(&mut s);
        assert!((level::of(&s) + 10.0).abs() < 0.02);
        let (mut worst, mut max) = (0f64, 0f64);
        for (n, &x) in (0u32..).zip(&s) {
            let want = f64::from(level::peak(-10.0))
                * (2.0 * std::f64::consts::PI * 1004.0 * f64::from(n) / 8000.0).sin();
            worst = worst.max((want - f64::from(x)).abs());
            max = max.max(want);
        }
        assert!(worst < 1.0 && max > 7000.0, "{worst} {max}");
    }

    #[test]
    fn phase_is_continuous_over_slices() {
        let sines = [Sine { hz: 350.0, dbm0: -13.0 }, Sine { hz: 440.0, dbm0: -13.0 }];
        let (mut a, mut b) = (Chord::new(&sines), Chord::new(&sines));
        let (mut whole, mut parts) = ([0i16; 330], [0i16; 330]);
        a.fill(&mut whole);
        for part in parts.chunks_mut(37) {
            b.fill(part);
        }
        assert_eq!(whole, parts);
    }
}
