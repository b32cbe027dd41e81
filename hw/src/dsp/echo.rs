//! A network echo canceller (ITU-T G.168): what we send to a line comes back from its hybrids, delayed and shaped; a
//! filter learns that path and takes the echo off what is received.
//!
//! Normalised least mean squares over a tail of 128 ms. It does not learn while the near end speaks (Geigel's comparison
//! with the loudest of the tail, and, once it has learnt, a residue that rises), a set of weights that was good is kept
//! and taken again when learning went wrong, and what is left of an echo when nobody speaks is replaced by noise of the
//! line's own level (non-linear processor). It refuses to be a tone disabler: G.168 §7 is not here.

use super::level;
use super::math::sample;

/// Samples of tail: 128 ms.
pub const TAPS: usize = 1024;
/// Most samples taken at once: 20 ms.
pub const FRAME_MAX: usize = 160;
/// Samples of which the loudest is kept together.
const BLOCK: usize = 32;
const BLOCKS: usize = TAPS / BLOCK + 1;

/// Step while learning anew, once learnt, after the path may have changed, and when learning came to nothing: who speaks
/// all the time, on a line without echo, is then hardly touched.
const STEP_FAST: f32 = 0.8;
const STEP_LEARNT: f32 = 0.25;
const STEP_AGAIN: f32 = 0.3;
const STEP_CAUTIOUS: f32 = 0.05;
/// Samples of learning anew, and again.
const FAST_SAMPLES: u32 = 12_000;
const AGAIN_SAMPLES: u32 = 4_000;
/// Near speech for certain when the line is louder than this share of the loudest sent: an echo loses 3 dB at least.
const GEIGEL: f32 = 0.7;
/// Near speech is held so long after it was noticed, samples.
const HOLD: u32 = 400;
/// A residue that rises is near speech for so long at most, else the path has changed, samples.
const RISEN_MAX: u32 = 6_400;
/// Below this nothing is sent that could echo, dBm0 over the tail.
const ACTIVE_DBM0: f32 = -48.0;
/// A residue so far below what is sent is echo, dB: the processor takes it away.
const RESIDUE_DB: f32 = -24.0;

/// What a canceller has achieved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Achieved {
    /// Echo return loss enhancement of late, dB, while something was sent and nobody spoke.
    pub erle_db: f32,
    /// Near speech is being held.
    pub near: bool,
}

/// See the module. About 10 KB.
#[derive(Clone, Debug)]
pub struct Canceller {
    /// Newest weight last, as the samples lie.
    weights: [f32; TAPS],
    kept: [f32; TAPS],
    /// What was sent: [`TAPS`] before the frame, then the frame.
    sent: [f32; TAPS + FRAME_MAX],
    loudest: [f32; BLOCKS],
    /// The loudest of all whole blocks.
    whole: f32,
    block: usize,
    filled: usize,
    /// Near speech, by the level and by the residue.
    hold: u32,
    rise: u32,
    risen: u32,
    talk: u32,
    /// Samples of fast learning left, and at which step.
    fast: u32,
    step: f32,
    /// Smoothed powers of line and residue while learning.
    line: f32,
    residue: f32,
    gain: f32,
    /// Frames in a row that learning made worse.
    worse: u8,
    /// Power of the line's own noise.
    floor: f32,
    noise: u32,
    processor: bool,
}

impl Default for Canceller {
    fn default() -> Self {
        Self {
            weights: [0.0; TAPS],
            kept: [0.0; TAPS],
            sent: [0.0; TAPS + FRAME_MAX],
            loudest: [0.0; BLOCKS],
            whole: 0.0,
            block: 0,
            filled: 0,
            hold: 0,
            rise: 0,
            risen: 0,
            talk: 0,
            fast: FAST_SAMPLES,
            step: STEP_FAST,
            line: 0.0,
            residue: 0.0,
            gain: 0.0,
            worse: 0,
            floor: level::mean_square(-60.0),
            noise: 0x2545_F491,
            processor: true,
        }
    }
}

impl Canceller {
    /// Without the non-linear processor: what the filter alone does, for measurements.
    #[must_use]
    pub fn linear() -> Self {
        Self { processor: false, ..Self::default() }
    }

    /// Takes the echo of `sent` off `line`. Both are of the same instants and of one length, at most [`FRAME_MAX`]; what
    /// is longer is left alone.
    pub fn cancel(&mut self, sent: &[i16], line: &mut [i16]) {
        let len = sent.len().min(line.len()).min(FRAME_MAX);
        for (to, &from) in self.sent[TAPS..].iter_mut().zip(&sent[..len]) {
            *to = f32::from(from);
        }
        let mut power: f32 = self.sent[..TAPS].iter().map(|x| x * x).sum();
        let active = level::mean_square(ACTIVE_DBM0) * TAPS_F;
        let before: f32 = line[..len].iter().map(|&d| f32::from(d) * f32::from(d)).sum();
        let (mut after, mut learnt) = (0.0, 0u32);
        let mut busy = false;
        for (i, d) in line[..len].iter_mut().enumerate() {
            let (new, old) = (self.sent[TAPS + i], self.sent[i]);
            power = (power + new * new - old * old).max(0.0);
            let loudest = self.louder(new.abs());
            let heard = f32::from(*d);
            if power < active {
                // Nothing to cancel; a step that was due is forgotten.
                self.gain = 0.0;
                after += heard * heard;
                continue;
            }
            busy = true;
            let (past, now) = (&self.sent[i..i + TAPS], &self.sent[i + 1..i + 1 + TAPS]);
            let echo = step(&mut self.weights, self.gain, past, now);
            let left = heard - echo;
            after += left * left;
            let near = self.near(heard, left, loudest, power / TAPS_F);
            self.gain = if near { 0.0 } else { self.pace() * left / (power + EPSILON) };
            learnt += u32::from(!near);
            *d = self.process(left, power / TAPS_F);
        }
        self.sent.copy_within(len..len + TAPS, 0);
        self.judge(busy, learnt > 0, before, after, len);
    }

    /// What it has achieved of late.
    #[must_use]
    pub fn achieved(&self) -> Achieved {
        Achieved {
            erle_db: 10.0 * (self.line / self.residue.max(1.0)).max(1.0).log10(),
            near: self.hold > 0 || self.rise > 0,
        }
    }

    /// The loudest of the tail, with this one.
    fn louder(&mut self, x: f32) -> f32 {
        self.loudest[self.block] = self.loudest[self.block].max(x);
        self.filled += 1;
        if self.filled == BLOCK {
            self.filled = 0;
            self.block = (self.block + 1) % BLOCKS;
            self.loudest[self.block] = 0.0;
            self.whole = self.loudest.iter().copied().fold(0.0, f32::max);
        }
        self.whole.max(self.loudest[self.block])
    }

    /// Whether the near end speaks.
    fn near(&mut self, heard: f32, left: f32, loudest: f32, power: f32) -> bool {
        const SMOOTH: f32 = 1.0 / 128.0;
        self.hold = self.hold.saturating_sub(1);
        self.rise = self.rise.saturating_sub(1);
        if heard.abs() > GEIGEL * loudest {
            self.hold = HOLD;
        }
        // Once learnt, a residue near what the line has is speech, or another path.
        let learnt = self.residue * 10.0 < self.line;
        self.talk = self.talk.saturating_sub(1);
        if learnt && left * left > 0.5 * self.line.max(EPSILON) {
            self.rise = HOLD / 2;
            // Loud enough to be somebody, not the beginning of a syllable's echo.
            if left * left > 0.02 * power {
                self.talk = HOLD / 2;
            }
        }
        self.risen = if self.rise > 0 { self.risen.saturating_add(1) } else { self.risen.saturating_sub(4) };
        if self.risen == RISEN_MAX {
            (self.fast, self.step) = (AGAIN_SAMPLES, STEP_AGAIN);
        }
        let near = self.hold > 0 || (self.rise > 0 && self.risen < RISEN_MAX);
        if !near {
            self.line += SMOOTH * (heard * heard - self.line);
            self.residue += SMOOTH * (left * left - self.residue);
        }
        near
    }

    fn pace(&mut self) -> f32 {
        if self.residue * 30.0 < self.line {
            return STEP_LEARNT;
        }
        self.fast = self.fast.saturating_sub(1);
        if self.fast > 0 { self.step } else { STEP_CAUTIOUS }
    }

    /// The non-linear processor (G.168 §3.6): a residue that is far below what is sent becomes noise.
    fn process(&mut self, left: f32, power: f32) -> i16 {
        let echo = self.processor && self.hold == 0 && self.talk == 0 && self.residue < power * RESIDUE;
        if !echo {
            return sample(left);
        }
        // xorshift: any noise will do.
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 17;
        self.noise ^= self.noise << 5;
        let [a, b, ..] = self.noise.to_le_bytes();
        let white = f32::from(i16::from_le_bytes([a, b])) * (1.732 / 32_768.0);
        sample(white * self.floor.sqrt())
    }

    /// After a frame: keeps weights that are good, and leaves those that make things worse.
    fn judge(&mut self, busy: bool, learnt: bool, before: f32, after: f32, len: usize) {
        #[expect(clippy::cast_precision_loss, reason = "at most 160")]
        let mean = before / (len.max(1) as f32);
        if !busy {
            // What a silent line has is its noise; it may rise by 1 dB in 1 s, speech is not learnt so.
            self.floor = (self.floor * 1.005).min(mean.max(1.0)).min(level::mean_square(-45.0));
            return;
        }
        let loud = mean > level::mean_square(-50.0);
        if loud && after > 1.3 * before {
            self.worse += 1;
            // The kept ones first; they may be of a path that is no more.
            self.weights = if self.worse < 3 { self.kept } else { [0.0; TAPS] };
            self.gain = 0.0;
            if self.worse >= 3 {
                (self.kept, self.worse) = (self.weights, 0);
                (self.line, self.residue, self.risen, self.hold) = (0.0, 0.0, 0, 0);
                (self.fast, self.step) = (FAST_SAMPLES, STEP_FAST);
            }
        } else if loud {
            self.worse = 0;
            if learnt && self.hold == 0 && self.rise == 0 && after * 16.0 < before {
                self.kept = self.weights;
            }
        }
    }
}

/// Adds `gain * old` to the weights, then filters `new` by them.
fn step(weights: &mut [f32; TAPS], gain: f32, old: &[f32], new: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if let Some(sum) = super::kernel::fir::step(weights, gain, old, new) {
        return sum;
    }
    narrow(weights, gain, old, new)
}

/// The same for any machine.
fn narrow(weights: &mut [f32; TAPS], gain: f32, old: &[f32], new: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0f32; LANES];
    let (old, new) = (old.as_chunks::<LANES>().0, new.as_chunks::<LANES>().0);
    for ((w, o), n) in weights.as_chunks_mut::<LANES>().0.iter_mut().zip(old).zip(new) {
        for i in 0..LANES {
            w[i] += gain * o[i];
            sums[i] += w[i] * n[i];
        }
    }
    sums.iter().sum()
}

const TAPS_F: f32 = 1024.0;
/// Keeps the step finite.
const EPSILON: f32 = 1_000.0;
/// [`RESIDUE_DB`] as a ratio of powers.
const RESIDUE: f32 = 0.003_98;
const _: () = assert!(RESIDUE_DB == -24.0 && TAPS == 1024);

#[cfg(test)]
mod tests;
