//! The short-time spectrum under the detector: every 5 ms, the complex amplitude of ten tones in a Hann window of 15 ms.
//!
//! The ten are the eight of Q.23 and the two of the North American dial tone. Samples are correlated once, in blocks
//! of 20; a window is six blocks with a weight each (a Hann window in steps), three windows being open at a time.
//! The first null of the window is 133 Hz away, tones of the other group (268 Hz and more) are 50 dB down, and the
//! weights of the windows that cover a moment sum to a constant, so the sum of amplitudes over windows is a duration.

use crate::dsp::math::{cos, narrow, sin};

/// Samples in a block.
pub(super) const BLOCK: usize = 20;
/// Samples from window to window.
pub(super) const HOP: usize = 2 * BLOCK;
/// Blocks in a window.
const WINDOW: usize = 6;
/// Tones correlated: eight of DTMF, then 350 and 440 Hz.
pub(super) const TONES: usize = 10;
/// Real parts, then imaginary parts.
const PARTS: usize = 2 * TONES;
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

    fn scale(&mut self) {
        for p in &mut self.parts {
            *p *= AMPLITUDE_SCALE;
        }
        self.power *= POWER_SCALE;
    }
}

/// Correlates samples, 20 at a time, and closes a window every 40.
#[derive(Clone, Debug, Default)]
pub(super) struct Analysis {
    block: [f32; PARTS],
    block_power: f32,
    /// Windows in work: the one that closes next is last.
    open: [Window; 3],
    filled: u8,
    odd: bool,
}

impl Analysis {
    /// Takes samples up to the end of the window that closes next: that window, if it closed, and the rest.
    pub(super) fn feed<'a>(&mut self, samples: &'a [i16]) -> (Option<Window>, &'a [i16]) {
        let filled = usize::from(self.filled);
        let take = samples.len().min(BLOCK - filled);
        let (now, rest) = samples.split_at(take);
        self.block_power += correlate(&mut self.block, now, &ROWS[filled..filled + take]);
        self.filled += u8::try_from(take).expect("a block is 20 samples");
        if usize::from(self.filled) < BLOCK {
            return (None, rest);
        }
        self.filled = 0;
        (self.close_block(), rest)
    }

    fn close_block(&mut self) -> Option<Window> {
        let odd = usize::from(self.odd);
        for (age, window) in self.open.iter_mut().enumerate() {
            let at = 2 * age + odd;
            let turn = &TURN[at];
            for t in 0..TONES {
                let (re, im) = (self.block[t], self.block[TONES + t]);
                window.parts[t] += re * turn[t] - im * turn[TONES + t];
                window.parts[TONES + t] += re * turn[TONES + t] + im * turn[t];
            }
            window.power += WEIGHT[at] * self.block_power;
        }
        self.block = [0.0; PARTS];
        self.block_power = 0.0;
        self.odd = !self.odd;
        if odd == 0 {
            return None;
        }
        let mut closed = self.open[2];
        self.open = [Window::default(), self.open[0], self.open[1]];
        closed.scale();
        Some(closed)
    }
}

/// Adds `samples[i] * rows[i]`; the energy of the samples.
fn correlate(sums: &mut [f32; PARTS], samples: &[i16], rows: &[[f32; PARTS]]) -> f32 {
    let mut local = *sums;
    let mut energy = 0.0;
    for (&s, row) in samples.iter().zip(rows) {
        let x = f32::from(s);
        energy += x * x;
        for (sum, &r) in local.iter_mut().zip(row) {
            *sum += x * r;
        }
    }
    *sums = local;
    energy
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

const fn rows() -> [[f32; PARTS]; BLOCK] {
    let mut t = [[0.0; PARTS]; BLOCK];
    let mut n = 0;
    while n < BLOCK {
        let mut k = 0;
        while k < TONES {
            let (re, im) = turn(HZ[k], n);
            t[n][k] = narrow(re);
            t[n][TONES + k] = narrow(im);
            k += 1;
        }
        n += 1;
    }
    t
}

/// The steps of the Hann window: sin^2 at the middle of each block.
const WEIGHT: [f32; WINDOW] = [0.066_987_3, 0.5, 0.933_012_7, 0.933_012_7, 0.5, 0.066_987_3];

const fn turns() -> [[f32; PARTS]; WINDOW] {
    let mut t = [[0.0; PARTS]; WINDOW];
    let mut b = 0;
    while b < WINDOW {
        let mut k = 0;
        while k < TONES {
            let (re, im) = turn(HZ[k], b * BLOCK);
            t[b][k] = narrow(re) * WEIGHT[b];
            t[b][TONES + k] = narrow(im) * WEIGHT[b];
            k += 1;
        }
        b += 1;
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
    while n < WINDOW * BLOCK {
        let (c, s) = turn(HZ[DIAL + 1] - HZ[DIAL], n);
        re += c * WEIGHT[n / BLOCK] as f64;
        im += s * WEIGHT[n / BLOCK] as f64;
        n += 1;
    }
    Complex { re: narrow(re / 60.0), im: narrow(im / 60.0) }
}

static ROWS: [[f32; PARTS]; BLOCK] = rows();
static TURN: [[f32; PARTS]; WINDOW] = turns();
static HOP_TURN: [Complex; TONES] = hop_turns();
const DIAL_OVERLAP: Complex = dial_overlap();
const DIAL_OVERLAP_SQUARE: f32 = DIAL_OVERLAP.re * DIAL_OVERLAP.re + DIAL_OVERLAP.im * DIAL_OVERLAP.im;
/// The weights sum to 3 blocks of 20 samples; a real sine puts half of its peak into the correlation.
const AMPLITUDE_SCALE: f32 = 2.0 / 60.0;
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
        let (mut a, mut rest, mut out) = (Analysis::default(), &s[..], Vec::new());
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
        assert!((level::dbm0(measured / 2.0) + 10.0).abs() < 0.1);
    }

    #[test]
    fn dial_tone_is_explained_whatever_the_beat() {
        for w in &windows(&[Sine { hz: 350.0, dbm0: -13.0 }, Sine { hz: 440.0, dbm0: -13.0 }], 800)[3..] {
            let share = w.dial_power() / w.power;
            assert!((0.97..1.03).contains(&share), "{share}");
        }
    }
}
