//! The DTMF generator: one digit after another, tone and pause, phase-continuous within a tone.

use super::{HIGH_HZ, LOW_HZ, position};
use crate::dsp::math::sample;
use crate::dsp::tone::{Oscillator, Sine};
use units::{Digit, Samples};

/// How digits are keyed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Keying {
    /// Level of the low tone, dBm0.
    pub low_dbm0: f32,
    /// Level of the high tone, dBm0.
    pub high_dbm0: f32,
    /// Factor on the nominal low frequency, 1.0 is exact (for tests of tolerance).
    pub low_factor: f32,
    /// Factor on the nominal high frequency.
    pub high_factor: f32,
    /// How long the tone lasts.
    pub tone: Samples,
    /// How long the silence after it lasts.
    pub pause: Samples,
}

impl Default for Keying {
    /// ETSI ES 201 235-2: the high tone 2 dB over the low; 80 ms of each, faster than any receiver needs.
    fn default() -> Self {
        Self {
            low_dbm0: -9.0,
            high_dbm0: -7.0,
            low_factor: 1.0,
            high_factor: 1.0,
            tone: Samples::from_ms(80),
            pause: Samples::from_ms(80),
        }
    }
}

/// Sends one digit: tone, then pause.
#[derive(Clone, Copy, Debug)]
pub struct Generator {
    low: Oscillator,
    high: Oscillator,
    tone_left: u32,
    pause_left: u32,
}

impl Generator {
    /// For this digit, keyed so.
    #[must_use]
    pub fn new(digit: Digit, keying: &Keying) -> Self {
        let (row, column) = position(digit);
        Self {
            low: Oscillator::new(Sine { hz: LOW_HZ[row] * keying.low_factor, dbm0: keying.low_dbm0 }),
            high: Oscillator::new(Sine { hz: HIGH_HZ[column] * keying.high_factor, dbm0: keying.high_dbm0 }),
            tone_left: keying.tone.0,
            pause_left: keying.pause.0,
        }
    }

    /// Ends the tone now; the pause is still sent.
    pub fn stop(&mut self) {
        self.tone_left = 0;
    }

    /// True when tone and pause are over.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.tone_left == 0 && self.pause_left == 0
    }

    /// Writes what comes next over the slice; how many samples were written (fewer than asked: it is finished).
    pub fn fill(&mut self, into: &mut [i16]) -> usize {
        let tone = into.len().min(usize::try_from(self.tone_left).unwrap_or(usize::MAX));
        for s in &mut into[..tone] {
            *s = sample(self.low.next_value() + self.high.next_value());
        }
        let pause = (into.len() - tone).min(usize::try_from(self.pause_left).unwrap_or(usize::MAX));
        into[tone..tone + pause].fill(0);
        self.tone_left -= u32::try_from(tone).expect("at most tone_left");
        self.pause_left -= u32::try_from(pause).expect("at most pause_left");
        tone + pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::level;

    #[test]
    fn a_digit_is_a_tone_and_a_pause() {
        let keying = Keying { tone: Samples(400), pause: Samples(240), ..Keying::default() };
        let mut g = Generator::new(Digit::try_from('5').expect("a digit"), &keying);
        let mut s = [1i16; 1000];
        let written: usize = s.chunks_mut(33).map(|part| g.fill(part)).sum();
        assert_eq!(written, 640);
        assert!(g.finished() && s[400..640].iter().all(|&x| x == 0));
        // -9 and -7 dBm0 together are -4.9 dBm0.
        assert!((level::of(&s[..400]) + 4.88).abs() < 0.3, "{}", level::of(&s[..400]));
    }
}
