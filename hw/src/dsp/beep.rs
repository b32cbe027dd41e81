//! A beep: one steady sine of any frequency, as answering machines and recorders make.
//!
//! A pure sine obeys `x[n+1] + x[n-1] = 2 cos(w) x[n]`; in frames of 10 ms the best `cos(w)` and what it leaves
//! unexplained say how pure the sound is and how high.

use super::level;

const FRAME: usize = 80;

/// Bounds of the detector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Nothing quieter is a beep, dBm0.
    pub weakest_dbm0: f32,
    /// Frequencies taken, Hz.
    pub hz_min: f32,
    /// See `hz_min`.
    pub hz_max: f32,
    /// Shortest beep, ms.
    pub ms_min: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { weakest_dbm0: -38.0, hz_min: 350.0, hz_max: 2600.0, ms_min: 110 }
    }
}

/// A beep that has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beep {
    /// When it began, samples since the detector began (to 10 ms).
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// How high, Hz.
    pub hz: f32,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Detector {
    limits: Limits,
    weakest: f32,
    /// The two samples before the next.
    before: [f32; 2],
    cross: f32,
    center: f32,
    outer: f32,
    filled: usize,
    frames: u64,
    run: u32,
    cosine: f32,
    missed: u32,
}

impl Default for Detector {
    fn default() -> Self {
        Self::new(&Limits::default())
    }
}

impl Detector {
    /// With these bounds.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            limits: *limits,
            weakest: level::mean_square(limits.weakest_dbm0),
            before: [0.0; 2],
            cross: 0.0,
            center: 0.0,
            outer: 0.0,
            filled: 0,
            frames: 0,
            run: 0,
            cosine: 0.0,
            missed: 0,
        }
    }

    /// Takes samples; calls `emit` for each beep that ended.
    pub fn feed(&mut self, samples: &[i16], emit: &mut impl FnMut(Beep)) {
        for &s in samples {
            let x = f32::from(s);
            let sum = x + self.before[0];
            self.cross += sum * self.before[1];
            self.center += self.before[1] * self.before[1];
            self.outer += sum * sum;
            self.before = [self.before[1], x];
            self.filled += 1;
            if self.filled == FRAME {
                self.frame(emit);
            }
        }
    }

    /// True while a sound is on that has already lasted long enough to be a beep.
    #[must_use]
    pub fn beeping(&self) -> bool {
        self.run * 10 >= self.limits.ms_min
    }

    fn frame(&mut self, emit: &mut impl FnMut(Beep)) {
        self.frames += 1;
        let pitch = self.pitch();
        (self.cross, self.center, self.outer, self.filled) = (0.0, 0.0, 0.0, 0);
        match pitch {
            Some(c) if self.run == 0 || (hertz(c) - hertz(self.cosine)).abs() < 0.02 * hertz(self.cosine) => {
                self.cosine = if self.run == 0 { c } else { self.cosine + (c - self.cosine) * 0.25 };
                self.run += 1 + self.missed;
                self.missed = 0;
            }
            _ if self.run > 0 && self.missed == 0 => self.missed = 1,
            other => {
                if self.beeping() {
                    let gone = u64::from(self.missed + 1);
                    let end = self.frames.saturating_sub(gone);
                    let start = end.saturating_sub(u64::from(self.run));
                    emit(Beep { start: start * 80, end: end * 80, hz: hertz(self.cosine) });
                }
                (self.run, self.missed) = (u32::from(other.is_some()), 0);
                self.cosine = other.unwrap_or(0.0);
            }
        }
    }

    /// `cos(w)` of this frame, if it is a pure sine within the bounds.
    fn pitch(&self) -> Option<f32> {
        if self.center / 80.0 < self.weakest {
            return None;
        }
        let twice = self.cross / self.center;
        // What is left of (x[n+1] + x[n-1]) after the best prediction, against the signal itself.
        let left = (self.outer - twice * self.cross).max(0.0);
        let hz = hertz((twice / 2.0).clamp(-1.0, 1.0));
        let pure = left < PURE * self.center;
        (pure && (self.limits.hz_min..=self.limits.hz_max).contains(&hz)).then_some(twice / 2.0)
    }
}

fn hertz(cosine: f32) -> f32 {
    cosine.clamp(-1.0, 1.0).acos() * (8000.0 / (2.0 * std::f32::consts::PI))
}

/// Unexplained share of a frame (noise counts about sixfold in the prediction).
const PURE: f32 = 0.03;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::noise::Comfort;
    use crate::dsp::tone::{Chord, Sine};
    use units::Seed;

    fn heard(samples: &[i16]) -> Vec<Beep> {
        let mut d = Detector::default();
        let mut all = Vec::new();
        for part in samples.chunks(33) {
            d.feed(part, &mut |b| all.push(b));
        }
        all
    }

    #[test]
    fn beeps_are_measured_in_noise() {
        for hz in [400.0, 1000.0, 1400.0, 2000.0] {
            let mut s = vec![0i16; 16_000];
            Chord::new(&[Sine { hz, dbm0: -15.0 }]).fill(&mut s[4000..6400]);
            let mut noise = vec![0i16; s.len()];
            Comfort::new(Seed(4), -45.0).fill(&mut noise);
            crate::dsp::mix::add(&mut s, &noise);
            let b = heard(&s);
            assert_eq!(b.len(), 1, "{hz}: {b:?}");
            assert!((b[0].hz - hz).abs() < hz * 0.02, "{hz}: {b:?}");
            assert!(b[0].start.abs_diff(4000) <= 160 && b[0].end.abs_diff(6400) <= 160, "{b:?}");
        }
    }

    #[test]
    fn digits_noise_and_clicks_are_no_beeps() {
        let mut s = vec![0i16; 16_000];
        Comfort::new(Seed(4), -20.0).fill(&mut s);
        Chord::new(&[Sine { hz: 770.0, dbm0: -9.0 }, Sine { hz: 1336.0, dbm0: -7.0 }])
            .fill(&mut s[4000..8000]);
        Chord::new(&[Sine { hz: 1000.0, dbm0: -9.0 }]).fill(&mut s[9000..9500]);
        assert_eq!(heard(&s), []);
    }
}
