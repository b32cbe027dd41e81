//! Packet-loss concealment for 8 kHz speech, after the idea of ITU-T G.711 Appendix I: the last pitch period is
//! repeated, more periods as the loss grows, and the sound fades away within 60 ms.
//!
//! Unlike the Appendix nothing is delayed: what follows the last good sample is the sample one period earlier, which
//! joins smoothly when the period is right. The first good samples after a loss are blended in.

use super::math::sample;

/// Samples remembered: a template and the longest period before it.
const HISTORY: usize = 400;
/// Longest and shortest pitch period searched (66 to 200 Hz).
const PERIOD_MAX: usize = 120;
const PERIOD_MIN: usize = 40;
/// Samples compared in the search.
const TEMPLATE: usize = 160;
/// At full level for so long, then down to nothing.
const FULL: usize = 80;
const GONE: usize = 480;
const _: () = assert!(TEMPLATE + PERIOD_MAX <= HISTORY && 3 * PERIOD_MAX + PERIOD_MAX / 4 <= HISTORY);

/// See the module. About 1.6 KB.
#[derive(Clone, Debug)]
pub struct Concealer {
    history: [i16; HISTORY],
    /// The history as it was when the loss began.
    source: [i16; HISTORY],
    period: usize,
    periods: usize,
    offset: usize,
    lost: usize,
}

impl Default for Concealer {
    fn default() -> Self {
        Self::new()
    }
}

impl Concealer {
    /// After silence.
    #[must_use]
    pub fn new() -> Self {
        Self {
            history: [0; HISTORY],
            source: [0; HISTORY],
            period: PERIOD_MIN,
            periods: 1,
            offset: 0,
            lost: 0,
        }
    }

    /// Samples that were concealed since the last good one.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.lost
    }

    /// A good frame: remembers it, and if a loss goes before it, blends its beginning with the concealment.
    pub fn good(&mut self, frame: &mut [i16]) {
        if self.lost > 0 {
            // Appendix I: the longer the loss, the longer the blend: 4 ms more for each 10 ms.
            let blend = (self.period / 4 + self.lost / 80 * 32).min(80).min(frame.len());
            for (n, s) in frame[..blend].iter_mut().enumerate() {
                let old = self.next_value();
                #[expect(clippy::cast_precision_loss, reason = "small counts")]
                let part = (n + 1) as f32 / (blend + 1) as f32;
                *s = sample(old + (f32::from(*s) - old) * part);
            }
            self.lost = 0;
        }
        self.remember(frame);
    }

    /// A lost frame: writes what might have been in it.
    pub fn conceal(&mut self, frame: &mut [i16]) {
        if self.lost == 0 {
            self.source = self.history;
            self.period = period(&self.source);
            (self.periods, self.offset) = (1, 0);
        }
        for s in frame.iter_mut() {
            *s = sample(self.next_value());
        }
        self.remember(frame);
    }

    /// The next concealed sample.
    fn next_value(&mut self) -> f32 {
        if self.lost >= GONE {
            return 0.0;
        }
        if (self.lost == 80 || self.lost == 160) && self.periods < 3 {
            // One period more, continued from the same sample, so that the repetition does not buzz.
            self.periods += 1;
            self.offset += self.period;
        }
        let long = self.periods * self.period;
        if self.offset >= long {
            self.offset -= long;
        }
        let begin = HISTORY - long;
        let mut value = f32::from(self.source[begin + self.offset]);
        let quarter = self.period / 4;
        let into = (self.offset + quarter).saturating_sub(long);
        if self.offset + quarter >= long {
            // The end of the cycle is blended with what went before its beginning.
            let before = f32::from(self.source[begin - quarter + into]);
            #[expect(clippy::cast_precision_loss, reason = "small counts")]
            let part = (into + 1) as f32 / (quarter + 1) as f32;
            value += (before - value) * part;
        }
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        let fade = 1.0 - self.lost.saturating_sub(FULL) as f32 / (GONE - FULL) as f32;
        self.offset += 1;
        self.lost += 1;
        value * fade
    }

    fn remember(&mut self, frame: &[i16]) {
        let frame = &frame[frame.len().saturating_sub(HISTORY)..];
        self.history.copy_within(frame.len().., 0);
        self.history[HISTORY - frame.len()..].copy_from_slice(frame);
    }
}

/// The lag at which the latest 20 ms resemble the past most (normalized correlation; every second lag first, then the
/// neighbours).
fn period(history: &[i16; HISTORY]) -> usize {
    let mut floats = [0f32; HISTORY];
    floats.iter_mut().zip(history).for_each(|(f, &s)| *f = f32::from(s));
    let coarse = best((PERIOD_MIN..=PERIOD_MAX).step_by(2), &floats);
    best(coarse.saturating_sub(1).max(PERIOD_MIN)..=(coarse + 1).min(PERIOD_MAX), &floats)
}

fn best(lags: impl Iterator<Item = usize>, history: &[f32; HISTORY]) -> usize {
    let mut best = (PERIOD_MIN, f32::MIN);
    for lag in lags {
        let score = likeness(history, lag);
        if score > best.1 {
            best = (lag, score);
        }
    }
    best.0
}

/// Eight sums side by side, so that the compiler can use vectors.
fn likeness(history: &[f32; HISTORY], lag: usize) -> f32 {
    let now = &history[HISTORY - TEMPLATE..];
    let then = &history[HISTORY - TEMPLATE - lag..HISTORY - lag];
    let (mut cross, mut energy) = ([0f32; 8], [0f32; 8]);
    for (a, b) in now.as_chunks::<8>().0.iter().zip(then.as_chunks::<8>().0) {
        for n in 0..8 {
            cross[n] += a[n] * b[n];
            energy[n] += b[n] * b[n];
        }
    }
    let (cross, energy) = (cross.iter().sum::<f32>(), 1.0 + energy.iter().sum::<f32>());
    if cross > 0.0 { cross * cross / energy } else { cross }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::level;
    use crate::dsp::tone::{Chord, Sine};

    /// A buzz of 125 Hz with harmonics: a vowel without a mouth.
    fn vowel(samples: usize) -> Vec<i16> {
        let mut s = vec![0; samples];
        let sines = [1.0, 2.0, 3.0, 5.0].map(|n| Sine { hz: 125.0 * n, dbm0: -18.0 });
        Chord::new(&sines).fill(&mut s);
        s
    }

    #[test]
    fn a_lost_packet_of_a_vowel_is_hardly_heard() {
        let clean = vowel(1600);
        let mut heard = clean.clone();
        let mut c = Concealer::new();
        for (n, frame) in heard.chunks_mut(160).enumerate() {
            if n == 5 { c.conceal(frame) } else { c.good(frame) }
        }
        let error: Vec<i16> = clean.iter().zip(&heard).map(|(a, b)| a - b).collect();
        let snr = level::of(&clean[800..960]) - level::of(&error[800..960]);
        assert!(snr > 12.0, "{snr} dB in the lost packet");
        assert_eq!(error[1040..], [0; 560][..], "and exact again half a packet later");
    }

    #[test]
    fn a_long_loss_fades_to_silence_without_a_jump() {
        let mut s = vowel(800);
        let mut c = Concealer::new();
        c.good(&mut s);
        let mut lost = [0i16; 800];
        lost.chunks_mut(80).for_each(|part| c.conceal(part));
        assert!(lost[480..].iter().all(|&x| x == 0));
        let jump = |s: &[i16]| s.windows(2).map(|w| i32::from(w[0]).abs_diff(i32::from(w[1]))).max();
        assert!(jump(&lost) <= jump(&s).map(|j| j + j / 4), "{:?} {:?}", jump(&lost), jump(&s));
        assert_eq!(c.lost(), 480);
    }

    #[test]
    fn any_length_of_frame_and_any_content_is_survived() {
        let mut c = Concealer::new();
        for n in [1usize, 7, 160, 399, 400, 401, 2000] {
            let mut s = vec![i16::MIN; n];
            c.good(&mut s);
            c.conceal(&mut s);
            c.conceal(&mut s);
        }
        c.good(&mut []);
    }
}
