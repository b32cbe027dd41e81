//! The short-time spectrum under the detector: every 5 ms, the complex amplitude of ten tones in a Hann window of 15 ms.
//!
//! The ten are the eight of Q.23 and the two of the North American dial tone. The first null of the window is 133 Hz
//! away, tones of the other group (268 Hz and more) are 45 dB down, and the weights of the windows that cover a moment
//! sum to a constant, so the sum of amplitudes over windows is a duration. (Cheaper windows, made of blocks with a
//! weight each, were tried: their images 400 Hz away let the dial tone in.)

use super::kernel::{self, Rows};
use crate::dsp::math::{cos, narrow, sin};

/// Samples from window to window.
pub(super) const HOP: usize = 40;
/// Samples in a window.
pub(super) const WINDOW: usize = 120;
/// Tones correlated: eight of DTMF, then 350 and 440 Hz.
pub(super) const TONES: usize = 10;
/// Real parts, then imaginary parts.
pub(super) const PARTS: usize = 2 * TONES;
/// First of the dial tones.
pub(super) const DIAL: usize = 8;

/// Hz of each tone.
pub(super) const HZ: [f64; TONES] =
    [697.0, 770.0, 852.0, 941.0, 1209.0, 1336.0, 1477.0, 1633.0, 350.0, 440.0];

/// A complex number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Complex {
    pub(super) re: f32,
    pub(super) im: f32,
}

impl Complex {
    pub(super) fn times(self, o: Complex) -> Complex {
        Complex { re: self.re * o.re - self.im * o.im, im: self.re * o.im + self.im * o.re }
    }

    pub(super) fn conjugate(self) -> Complex {
        Complex { re: self.re, im: -self.im }
    }

    pub(super) fn plus(self, o: Complex) -> Complex {
        Complex { re: self.re + o.re, im: self.im + o.im }
    }

    pub(super) fn square(self) -> f32 {
        self.re * self.re + self.im * self.im
    }

    pub(super) fn magnitude(self) -> f32 {
        self.square().sqrt()
    }
}

/// One window: amplitudes (peak of the sine, with its phase at the window's first sample) and the mean square.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    parts: [f32; PARTS],
    /// Mean square of the samples under the window.
    pub(super) power: f32,
}

impl Window {
    fn of(samples: &[i16; WINDOW], weakest: f32) -> Self {
        let power = kernel::energy(samples, &WEIGHT) * POWER_SCALE;
        if power < weakest {
            return Self { parts: [0.0; PARTS], power };
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "24 bits are far more than the window's own leakage needs"
        )]
        let parts = kernel::correlate(samples, &PAIRS).map(|sum| sum as f32 * AMPLITUDE_SCALE);
        Self { parts, power }
    }

    /// Complex amplitude of a tone; its magnitude is the peak of the sine.
    pub(super) fn tone(&self, tone: usize) -> Complex {
        Complex { re: self.parts[tone], im: self.parts[TONES + tone] }
    }

    /// The part of [`Window::power`] that a dial tone of 350 and 440 Hz explains.
    pub(super) fn dial_power(&self) -> f32 {
        // Least squares on two tones that are not orthogonal over 15 ms: b* G^-1 b with G = [[1, g], [g*, 1]].
        let (a, b) = (self.tone(DIAL), self.tone(DIAL + 1));
        let cross = a.conjugate().times(b).times(DIAL_OVERLAP.conjugate());
        ((a.square() + b.square() - 2.0 * cross.re) / (1.0 - DIAL_OVERLAP_SQUARE) / 2.0).max(0.0)
    }
}

/// Collects samples and closes a window every 40.
#[derive(Clone, Debug)]
pub(super) struct Analysis {
    history: [i16; WINDOW],
    fresh: u8,
    weakest: f32,
}

impl Analysis {
    /// Windows whose mean square is below `weakest` are not correlated: their amplitudes read zero.
    pub(super) fn new(weakest: f32) -> Self {
        Self { history: [0; WINDOW], fresh: 0, weakest }
    }

    /// Takes samples up to the end of the window that closes next: that window, if it closed, and the rest.
    pub(super) fn feed<'a>(&mut self, samples: &'a [i16]) -> (Option<Window>, &'a [i16]) {
        let fresh = usize::from(self.fresh);
        let take = samples.len().min(HOP - fresh);
        let (now, rest) = samples.split_at(take);
        let from = WINDOW - HOP + fresh;
        self.history[from..from + take].copy_from_slice(now);
        self.fresh += u8::try_from(take).expect("a hop is 40 samples");
        if usize::from(self.fresh) < HOP {
            return (None, rest);
        }
        self.fresh = 0;
        let window = Window::of(&self.history, self.weakest);
        self.history.copy_within(HOP.., 0);
        (Some(window), rest)
    }
}

/// How far a tone off its nominal frequency by `hz` is attenuated by the window, in power (1 at 0 Hz). Good to 0.1 dB
/// within 60 Hz.
pub(super) fn droop(hz: f32) -> f32 {
    let x = hz * (1.0 / 66.667);
    let x2 = x * x;
    let w = 1.0 - 0.645 * x2 + 0.16 * x2 * x2;
    w * w
}

/// Turns the product of a window's amplitude and the conjugate of the one before into the phase gained beyond the
/// nominal frequency's.
pub(super) fn advance(tone: usize, now: Complex, before: Complex) -> Complex {
    now.times(before.conjugate()).times(HOP_TURN[tone])
}

const fn turn(hz: f64, samples: usize) -> (f64, f64) {
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let angle = 2.0 * std::f64::consts::PI * hz * samples as f64 / 8000.0;
    (cos(angle), -sin(angle))
}

/// Hann: sin^2, symmetric.
const fn hann(n: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let s = sin(std::f64::consts::PI * (n as f64 + 0.5) / WINDOW as f64);
    s * s
}

/// One weight for each pair of samples.
const fn weights() -> [f32; WINDOW / 2] {
    let mut t = [0.0; WINDOW / 2];
    let mut n = 0;
    while n < t.len() {
        t[n] = narrow((hann(2 * n) + hann(2 * n + 1)) / 2.0);
        n += 1;
    }
    t
}

const fn coefficient(x: f64) -> i16 {
    let x = x * COEFFICIENT_FULL;
    #[expect(clippy::cast_possible_truncation, reason = "at most COEFFICIENT_FULL")]
    let rounded = (if x < 0.0 { x - 0.5 } else { x + 0.5 }) as i16;
    rounded
}

/// Two samples' rows side by side, as the multiply-and-add instructions of vector units want them.
const fn pairs() -> Rows {
    let mut t = [[[0; 2]; PARTS]; WINDOW / 2];
    let mut n = 0;
    while n < WINDOW {
        let mut k = 0;
        while k < TONES {
            let (re, im) = turn(HZ[k], n);
            t[n / 2][k][n % 2] = coefficient(re * hann(n));
            t[n / 2][TONES + k][n % 2] = coefficient(im * hann(n));
            k += 1;
        }
        n += 1;
    }
    t
}

const fn hop_turns() -> [Complex; TONES] {
    let mut t = [Complex { re: 0.0, im: 0.0 }; TONES];
    let mut k = 0;
    while k < TONES {
        let (re, im) = turn(HZ[k], HOP);
        t[k] = Complex { re: narrow(re), im: narrow(im) };
        k += 1;
    }
    t
}

/// The window's own spectrum at 440 - 350 Hz, normalised.
const fn dial_overlap() -> Complex {
    let (mut re, mut im) = (0.0, 0.0);
    let mut n = 0;
    while n < WINDOW {
        let (c, s) = turn(HZ[DIAL + 1] - HZ[DIAL], n);
        re += c * hann(n);
        im += s * hann(n);
        n += 1;
    }
    Complex { re: narrow(re / 60.0), im: narrow(im / 60.0) }
}

static PAIRS: Rows = pairs();
static WEIGHT: [f32; WINDOW / 2] = weights();
static HOP_TURN: [Complex; TONES] = hop_turns();
const DIAL_OVERLAP: Complex = dial_overlap();
const DIAL_OVERLAP_SQUARE: f32 = DIAL_OVERLAP.re * DIAL_OVERLAP.re + DIAL_OVERLAP.im * DIAL_OVERLAP.im;
/// Full scale of the integer coefficients: a square wave of full scale stays within 31 bits.
const COEFFICIENT_FULL: f64 = 1023.0;
/// The weights sum to 60; a real sine puts half of its peak into the correlation.
const AMPLITUDE_SCALE: f32 = 2.0 / 60.0 / 1023.0;
const POWER_SCALE: f32 = 1.0 / 60.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::level;
    use crate::dsp::tone::{Chord, Sine};

    fn windows(sines: &[Sine], samples: usize) -> Vec<Window> {
        let mut chord = Chord::new(sines);
        let mut s = vec![0i16; samples];
        chord.fill(&mut s);
        let (mut a, mut rest, mut out) = (Analysis::new(0.0), &s[..], Vec::new());
        while !rest.is_empty() {
            let (w, r) = a.feed(rest);
            out.extend(w);
            rest = r;
        }
        out
    }

    #[test]
    fn a_tone_is_measured_and_its_neighbours_group_is_not() {
        let w = windows(&[Sine { hz: 941.0, dbm0: -10.0 }], 400)[5];
        let peak = level::peak(-10.0);
        assert!((w.tone(3).magnitude() / peak - 1.0).abs() < 0.01);
        assert!(w.tone(4).magnitude() / peak < 0.01, "1209 Hz is 268 Hz away");
        assert!((level::dbm0(w.power) + 10.0).abs() < 0.1);
    }

    #[test]
    fn the_phase_advance_is_the_frequency_error() {
        let w = windows(&[Sine { hz: 1633.0 * 1.015, dbm0: -10.0 }], 400);
        let a = advance(7, w[6].tone(7), w[5].tone(7));
        let hz = a.im.atan2(a.re) / (2.0 * std::f32::consts::PI) * 200.0;
        assert!((hz - 24.5).abs() < 0.4, "{hz}");
        let measured = w[6].tone(7).square() / droop(hz);
        assert!((level::dbm0(measured / 2.0) + 10.0).abs() < 0.2, "{}", level::dbm0(measured / 2.0));
    }

    #[test]
    fn dial_tone_is_explained_whatever_the_beat() {
        for w in &windows(&[Sine { hz: 350.0, dbm0: -13.0 }, Sine { hz: 440.0, dbm0: -13.0 }], 800)[3..] {
            let share = w.dial_power() / w.power;
            assert!((0.97..1.03).contains(&share), "{share}");
        }
    }
}
