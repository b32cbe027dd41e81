//! R1 multi-frequency signals between registers (ITU-T Q.320 to Q.323): two of six frequencies, `0` to `9`, `K` (KP)
//! before a number and `S` (ST) behind it. A [`Generator`] says one, a [`Detector`] hears them.

use super::level;
use super::math::{cos, narrow, sample};
use super::tone::{Oscillator, SAMPLE_HZ, Sine};
use units::Samples;

/// The six frequencies, Hz.
pub const HZ: [f32; 6] = [700.0, 900.0, 1100.0, 1300.0, 1500.0, 1700.0];

/// Which two frequencies (places in [`HZ`]) a signal is (Q.320 table 1); `None`: no signal.
#[must_use]
pub fn pair(signal: char) -> Option<(usize, usize)> {
    PAIRS.iter().find(|(c, ..)| *c == signal).map(|(_, a, b)| (*a, *b))
}

const PAIRS: [(char, usize, usize); 12] = [
    ('1', 0, 1),
    ('2', 0, 2),
    ('3', 1, 2),
    ('4', 0, 3),
    ('5', 1, 3),
    ('6', 2, 3),
    ('7', 0, 4),
    ('8', 1, 4),
    ('9', 2, 4),
    ('0', 3, 4),
    ('K', 2, 5),
    ('S', 4, 5),
];

/// Says one signal: tone, then pause.
#[derive(Clone, Copy, Debug)]
pub struct Generator {
    voices: [Oscillator; 2],
    tone_left: u32,
    pause_left: u32,
}

impl Generator {
    /// Q.322 §3: -7 dBm0 a frequency, KP of 100 ms, the rest of 68 ms, 68 ms between; `None`: no signal.
    #[must_use]
    pub fn new(signal: char) -> Option<Self> {
        let (a, b) = pair(signal)?;
        let voice = |n: usize| Oscillator::new(Sine { hz: HZ[n], dbm0: -7.0 });
        let tone = if signal == 'K' { 100 } else { 68 };
        Some(Self {
            voices: [voice(a), voice(b)],
            tone_left: Samples::from_ms(tone).0,
            pause_left: Samples::from_ms(68).0,
        })
    }

    /// True when tone and pause are over.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.tone_left == 0 && self.pause_left == 0
    }

    /// Writes what comes next over the slice, silence at the end.
    pub fn fill(&mut self, into: &mut [i16]) {
        for s in into {
            *s = 0;
            if self.tone_left > 0 {
                self.tone_left -= 1;
                *s = sample(self.voices[0].next_value() + self.voices[1].next_value());
            } else {
                self.pause_left = self.pause_left.saturating_sub(1);
            }
        }
    }
}

/// Samples of a window: 20 ms, so that neighbours 200 Hz apart lie beyond the window's second null.
const WINDOW: usize = 160;
/// Samples between windows: 10 ms.
const HOP: usize = 80;
/// A signal is taken when so many windows agree: a tone of 30 ms has two whole ones in any place (Q.323 §3.1).
const AGREE: u8 = 2;
/// Weakest frequency taken, dBm0 (Q.323 §3.2: -7 -14 with a margin).
const WEAKEST_DBM0: f32 = -27.0;
/// Largest difference of the two, dB (Q.323 §3.2: 6).
const TWIST_DB: f32 = 7.0;
/// The third frequency is so much weaker than the second at least, dB.
const THIRD_DB: f32 = 9.0;
/// Share of the power that the two make up.
const SHARE: f32 = 0.7;

/// Hears signals. Feed it slices of any length.
#[derive(Clone, Debug)]
pub struct Detector {
    samples: [f32; WINDOW],
    fresh: usize,
    last: Option<char>,
    run: u8,
    /// The signal that is on and has been told.
    on: Option<char>,
    quiet: u8,
}

impl Default for Detector {
    fn default() -> Self {
        Self { samples: [0.0; WINDOW], fresh: 0, last: None, run: 0, on: None, quiet: 0 }
    }
}

impl Detector {
    /// Takes the next samples; calls `heard` once for each signal.
    pub fn feed(&mut self, samples: &[i16], mut heard: impl FnMut(char)) {
        for &s in samples {
            self.samples[WINDOW - HOP + self.fresh] = f32::from(s);
            self.fresh += 1;
            if self.fresh == HOP {
                self.fresh = 0;
                let found = judge(&self.samples);
                self.samples.copy_within(HOP.., 0);
                if let Some(signal) = self.step(found) {
                    heard(signal);
                }
            }
        }
    }

    fn step(&mut self, found: Option<char>) -> Option<char> {
        self.run = if found.is_some() && found == self.last { self.run.saturating_add(1) } else { 1 };
        self.last = found;
        match found {
            // Q.323 §3.3: an interruption of 10 ms divides no signal; the same one again needs a pause.
            None => {
                self.quiet = self.quiet.saturating_add(1);
                if self.quiet >= 2 {
                    self.on = None;
                }
                None
            }
            Some(signal) => {
                self.quiet = 0;
                let new = self.run >= AGREE && self.on != Some(signal);
                new.then(|| {
                    self.on = Some(signal);
                    signal
                })
            }
        }
    }
}

/// The signal of a window, if it is one.
fn judge(samples: &[f32; WINDOW]) -> Option<char> {
    let mut windowed = [0.0; WINDOW];
    let mut square = 0.0;
    for ((w, s), shape) in windowed.iter_mut().zip(samples).zip(&SHAPE) {
        *w = s * shape;
        square += *w * *w;
    }
    let powers: [f32; 6] = std::array::from_fn(|n| goertzel(&windowed, COEFFICIENT[n]));
    let mut order = [0, 1, 2, 3, 4, 5];
    order.sort_unstable_by(|&a, &b| powers[b].total_cmp(&powers[a]));
    let (first, second, third) = (powers[order[0]], powers[order[1]], powers[order[2]]);
    // Mean square of a sine of which the shaped window shows this power.
    let mean = |power: f32| 2.0 * power / (SUM * SUM);
    let weakest = level::mean_square(WEAKEST_DBM0);
    // Two sines alone have all of the window's power.
    let whole = square * SQUARES_OF_WINDOW;
    // Powers: a ratio of amplitudes, squared.
    let fits = mean(second) >= weakest
        && first <= second * level::ratio(2.0 * TWIST_DB)
        && third * level::ratio(2.0 * THIRD_DB) <= second
        && (mean(first) + mean(second)) >= SHARE * whole;
    let (a, b) = (order[0].min(order[1]), order[0].max(order[1]));
    PAIRS.iter().find(|(_, x, y)| fits && (*x, *y) == (a, b)).map(|(c, ..)| *c)
}

/// Squared magnitude of the window's spectrum at one frequency.
fn goertzel(samples: &[f32; WINDOW], coefficient: f32) -> f32 {
    let (mut a, mut b) = (0.0f32, 0.0f32);
    for &s in samples {
        (a, b) = (s + coefficient * a - b, a);
    }
    a * a + b * b - coefficient * a * b
}

const TAU: f64 = std::f64::consts::TAU;
/// Hann.
const SHAPE: [f32; WINDOW] = shape();
/// Sum of the shape: half its length.
const SUM: f32 = 80.0;
/// The mean square of samples is the sum of their shaped squares by the sum of the shape's squares: 3/8 of its length.
const SQUARES_OF_WINDOW: f32 = 1.0 / 60.0;
const COEFFICIENT: [f32; 6] = coefficients();

const fn shape() -> [f32; WINDOW] {
    let (mut all, mut n, mut turn) = ([0.0; WINDOW], 0, 0.0);
    while n < WINDOW {
        all[n] = narrow(0.5 - 0.5 * cos(TAU * turn / 160.0));
        n += 1;
        turn += 1.0;
    }
    all
}

const fn coefficients() -> [f32; 6] {
    let hz = [700.0, 900.0, 1100.0, 1300.0, 1500.0, 1700.0];
    let (mut all, mut n) = ([0.0; 6], 0);
    while n < 6 {
        all[n] = narrow(2.0 * cos(TAU * hz[n] / 8000.0));
        n += 1;
    }
    all
}

const _: () = assert!(SAMPLE_HZ == 8000.0);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::tone::Chord;
    use units::Seed;

    fn said(text: &str) -> Vec<i16> {
        let mut all = Vec::new();
        for signal in text.chars() {
            let mut g = Generator::new(signal).expect("a signal");
            while !g.finished() {
                let mut part = [0; 8];
                g.fill(&mut part);
                all.extend(part);
            }
        }
        all
    }

    fn heard(samples: &[i16]) -> String {
        let (mut d, mut all) = (Detector::default(), String::new());
        samples.chunks(8).for_each(|part| d.feed(part, |c| all.push(c)));
        all
    }

    #[test]
    fn q320_every_signal_is_heard_once_also_in_noise_and_weak() {
        let text = "K1234567890S55";
        let clean = said(text);
        assert_eq!(heard(&clean), text);
        let mut rng = Seed(320).rng();
        for (down, noise) in [(1.0, 300), (0.2, 20), (0.5, 100)] {
            let shaped: Vec<i16> = clean
                .iter()
                .map(|&s| {
                    let n = i16::try_from(rng.below(2 * noise)).expect("small")
                        - i16::try_from(noise).expect("small");
                    sample(f32::from(s) * down) + n
                })
                .collect();
            assert_eq!(heard(&shaped), text, "{down} {noise}");
        }
    }

    #[test]
    fn q323_frequencies_may_be_off_by_a_hertz_and_a_half_percent_and_levels_by_six_db() {
        for (a, b) in [(0, 1), (4, 5), (2, 5), (3, 4)] {
            for (factor, twist) in [(1.015, 0.0), (0.985, 0.0), (1.0, 6.0), (1.0, -6.0)] {
                let mut chord = Chord::new(&[
                    Sine { hz: HZ[a] * factor, dbm0: -10.0 + twist },
                    Sine { hz: HZ[b] * factor, dbm0: -10.0 },
                ]);
                let mut samples = [0; 800];
                chord.fill(&mut samples[160..704]);
                assert_eq!(heard(&samples).len(), 1, "{a} {b} {factor} {twist}");
            }
        }
    }

    #[test]
    fn one_tone_three_tones_dtmf_and_noise_are_none() {
        let tone = |hz: f32| Sine { hz, dbm0: -10.0 };
        for set in [
            &[tone(700.0)][..],
            &[tone(700.0), tone(900.0), tone(1300.0)],
            &[tone(697.0), tone(1209.0)],
            &[tone(770.0), tone(1477.0)],
        ] {
            let mut samples = [0; 1600];
            Chord::new(set).fill(&mut samples[..1200]);
            assert_eq!(heard(&samples), "", "{set:?}");
        }
        let mut rng = Seed(7).rng();
        let noise: Vec<i16> =
            (0..80_000).map(|_| i16::try_from(rng.below(12_000)).expect("small") - 6_000).collect();
        assert_eq!(heard(&noise), "");
    }
}
