//! The tones of call progress in windows of 40 ms, every 20 ms: which of them explain the sound.
//!
//! A Hann window of 320 samples has its first null 50 Hz away, so that 440 and 480 Hz are two tones. Candidates are
//! tried as a pair or alone by least squares; the one that explains most, if enough, is what is heard.

use super::{Limits, Tones};
use crate::dsp::level;
use crate::dsp::math::{cos, narrow, sin};
use crate::dsp::tone::Sine;

const WINDOW: usize = 320;
const HOP: usize = 160;
const TONES: usize = 14;

/// Hz of the tones; a bit in [`Tones`] each, lowest first.
const HZ: [f64; TONES] =
    [350.0, 400.0, 425.0, 440.0, 450.0, 480.0, 620.0, 950.0, 1100.0, 1400.0, 1800.0, 2100.0, 1000.0, 1776.0];

/// CNG alone.
pub(super) const CNG: Tones = 1 << 8;
/// CED alone.
pub(super) const CED: Tones = 1 << 11;
/// The three of the special information tone.
pub(super) const SIT_LOW: Tones = 1 << 7;
pub(super) const SIT_MIDDLE: Tones = 1 << 9;
pub(super) const SIT_HIGH: Tones = 1 << 10;

/// Pairs that occur.
const PAIRS: [(usize, usize); 5] = [(0, 3), (3, 5), (5, 6), (0, 4), (1, 4)];

/// What was heard in a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    /// 0: no tones, or something else.
    pub(super) tones: Tones,
    /// Mean square.
    pub(super) power: f32,
}

/// Whether these tones are those sines; 400 to 450 Hz alone stand for each other (a window cannot tell them apart, and
/// networks do not keep them exactly).
pub(super) fn matches(tones: Tones, sines: &[Sine]) -> bool {
    const MIDDLE: Tones = 0b1_1110;
    let mut wanted = 0;
    for s in sines {
        let at = HZ.iter().position(|&hz| (hz - f64::from(s.hz)).abs() < 0.5);
        wanted |= at.map_or(0, |at| 1 << at);
    }
    let one_of_middle = |t: Tones| t.count_ones() == 1 && t & MIDDLE != 0;
    wanted != 0 && (tones == wanted || (one_of_middle(tones) && one_of_middle(wanted)))
}

/// Collects samples and closes a window every 160.
#[derive(Clone, Debug)]
pub(super) struct Bank {
    history: [i16; WINDOW],
    fresh: usize,
}

impl Bank {
    pub(super) fn new() -> Self {
        Self { history: [0; WINDOW], fresh: 0 }
    }

    pub(super) fn feed<'a>(&mut self, samples: &'a [i16], limits: &Limits) -> (Option<Heard>, &'a [i16]) {
        let take = samples.len().min(HOP - self.fresh);
        let (now, rest) = samples.split_at(take);
        let from = WINDOW - HOP + self.fresh;
        self.history[from..from + take].copy_from_slice(now);
        self.fresh += take;
        if self.fresh < HOP {
            return (None, rest);
        }
        self.fresh = 0;
        let heard = hear(&self.history, limits);
        self.history.copy_within(HOP.., 0);
        (Some(heard), rest)
    }
}

fn hear(samples: &[i16; WINDOW], limits: &Limits) -> Heard {
    let mut sums = [0f32; 2 * TONES];
    let mut power = 0.0;
    for ((&s, row), weight) in samples.iter().zip(&ROWS).zip(&WEIGHTS) {
        let x = f32::from(s);
        power += x * x * weight;
        for (sum, r) in sums.iter_mut().zip(row) {
            *sum += x * r;
        }
    }
    if power < level::mean_square(limits.weakest_dbm0) {
        return Heard { tones: 0, power };
    }
    let (tones, explained) = best(&sums);
    let tones = if explained >= limits.purity_min * power { tones } else { 0 };
    Heard { tones, power }
}

/// The candidate that explains most of the power. A pair must explain clearly more than one tone alone, and neither of
/// the two may be much weaker.
fn best(sums: &[f32; 2 * TONES]) -> (Tones, f32) {
    let square = |t: usize| sums[t] * sums[t] + sums[TONES + t] * sums[TONES + t];
    let mut single = (0, 0.0);
    for t in 0..TONES {
        if square(t) > single.1 {
            single = (t, square(t));
        }
    }
    let alone: (Tones, f32) = (1 << single.0, single.1 / 2.0);
    let mut found = (0, alone.1 * 1.15);
    for &(a, b) in &PAIRS {
        let g = &overlap(a, b);
        // The component of b that a does not have, and the reverse.
        let cross = |x: usize, y: usize, sign: f32| {
            let (xr, xi, yr, yi) = (sums[x], sums[TONES + x], sums[y], sums[TONES + y]);
            let (gr, gi) = (g.0, g.1 * sign);
            let (r, i) = (yr - (gr * xr - gi * xi), yi - (gr * xi + gi * xr));
            (r * r + i * i) / (1.0 - g.0 * g.0 - g.1 * g.1)
        };
        let (only_b, only_a) = (cross(a, b, 1.0), cross(b, a, -1.0));
        let both = (square(a) + only_b) / 2.0;
        let balanced = only_a > 0.15 * only_b && only_b > 0.15 * only_a;
        if balanced && both > found.1 {
            found = (1 << a | 1 << b, both);
        }
    }
    if found.0 == 0 { alone } else { found }
}

/// The window's own spectrum at the distance of two tones, as seen from `a` on `b`.
fn overlap(a: usize, b: usize) -> (f32, f32) {
    let at = PAIRS.iter().position(|&p| p == (a, b)).expect("only pairs of the table are asked for");
    OVERLAP[at]
}

const fn hann(n: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let s = sin(std::f64::consts::PI * (n as f64 + 0.5) / WINDOW as f64);
    s * s
}

const fn angle(hz: f64, n: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let n = n as f64;
    2.0 * std::f64::consts::PI * hz * n / 8000.0
}

/// Each sample's row: cosines, then minus sines; scaled so that sums are peaks of sines.
const fn rows() -> [[f32; 2 * TONES]; WINDOW] {
    let mut t = [[0.0; 2 * TONES]; WINDOW];
    let mut n = 0;
    while n < WINDOW {
        let w = hann(n) / (WINDOW / 2) as f64;
        let mut k = 0;
        while k < TONES {
            t[n][k] = narrow(2.0 * w * cos(angle(HZ[k], n)));
            t[n][TONES + k] = narrow(-2.0 * w * sin(angle(HZ[k], n)));
            k += 1;
        }
        n += 1;
    }
    t
}

const fn overlaps() -> [(f32, f32); PAIRS.len()] {
    let mut t = [(0.0, 0.0); PAIRS.len()];
    let mut p = 0;
    while p < PAIRS.len() {
        let (a, b) = PAIRS[p];
        let (mut re, mut im) = (0.0, 0.0);
        let mut n = 0;
        while n < WINDOW {
            let w = hann(n) / (WINDOW / 2) as f64;
            re += w * cos(angle(HZ[b] - HZ[a], n));
            im -= w * sin(angle(HZ[b] - HZ[a], n));
            n += 1;
        }
        t[p] = (narrow(re), narrow(im));
        p += 1;
    }
    t
}

/// The weight of each sample's square.
const fn weights() -> [f32; WINDOW] {
    let mut t = [0.0; WINDOW];
    let mut n = 0;
    while n < WINDOW {
        t[n] = narrow(hann(n) / (WINDOW / 2) as f64);
        n += 1;
    }
    t
}

static ROWS: [[f32; 2 * TONES]; WINDOW] = rows();
static WEIGHTS: [f32; WINDOW] = weights();
static OVERLAP: [(f32, f32); PAIRS.len()] = overlaps();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::tone::Chord;

    #[test]
    fn pairs_and_single_tones_are_told_apart() {
        for pair in PAIRS {
            for (first, second) in [(-15.0, -15.0), (-15.0, -19.0), (-19.0, -15.0)] {
                let sine = |t: usize, dbm0| Sine { hz: narrow(HZ[t]), dbm0 };
                let mut chord = Chord::new(&[sine(pair.0, first), sine(pair.1, second)]);
                let mut bank = Bank::new();
                let mut s = [0i16; 1600];
                chord.fill(&mut s);
                let mut rest = &s[..];
                let mut n = 0;
                while !rest.is_empty() {
                    let (heard, left) = bank.feed(rest, &Limits::default());
                    rest = left;
                    n += 1;
                    if n > 2 {
                        assert_eq!(
                            heard.map(|h| h.tones),
                            Some(1 << pair.0 | 1 << pair.1),
                            "{pair:?} {first}"
                        );
                    }
                }
            }
        }
    }
}
