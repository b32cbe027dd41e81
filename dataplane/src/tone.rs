//! Tones that we play: pairs of sines switched by a cadence. Tables by ITU-T E.180 supplement 2 for North America.

use crate::command::Tone;
use units::Digit;

/// A generator's place in its tone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Generator {
    phase: [u32; 2],
}

/// Two frequencies (Hz; 0: none) for a time, in samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The two frequencies.
    pub hz: [u32; 2],
    /// How long.
    pub samples: u32,
}

const fn segment(a: u32, b: u32, ms: u32) -> Segment {
    Segment { hz: [a, b], samples: ms * 8 }
}

/// A tone's cadence, repeated to the end.
#[must_use]
pub fn cadence(tone: Tone) -> &'static [Segment] {
    match tone {
        Tone::Ringback => const { &[segment(440, 480, 2000), segment(0, 0, 4000)] },
        Tone::Busy => const { &[segment(480, 620, 500), segment(0, 0, 500)] },
        Tone::Congestion => const { &[segment(480, 620, 250), segment(0, 0, 250)] },
        Tone::Beep => const { &[segment(1000, 0, 250)] },
        // ITU-T E.180 §7: three tones of 330 ms and a pause of 1 s.
        Tone::Sit => {
            const { &[segment(950, 0, 330), segment(1400, 0, 330), segment(1800, 0, 330), segment(0, 0, 1000)] }
        }
    }
}

/// The two frequencies of a digit (ITU-T Q.23 §2).
#[must_use]
pub fn dtmf(digit: Digit) -> [u32; 2] {
    const LOW: [u32; 4] = [697, 770, 852, 941];
    const HIGH: [u32; 4] = [1209, 1336, 1477, 1633];
    let (row, column) = match digit.as_char() {
        '1' => (0, 0),
        '2' => (0, 1),
        '3' => (0, 2),
        'A' => (0, 3),
        '4' => (1, 0),
        '5' => (1, 1),
        '6' => (1, 2),
        'B' => (1, 3),
        '7' => (2, 0),
        '8' => (2, 1),
        '9' => (2, 2),
        'C' => (2, 3),
        '*' => (3, 0),
        '0' => (3, 1),
        '#' => (3, 2),
        _ => (3, 3),
    };
    [LOW[row], HIGH[column]]
}

/// Peak of each of the sines: about -9 dBm0 in each of a pair.
const PEAK: f32 = 5600.0;

/// Quarter of a sine's period in 256 steps would do; a whole one in 1,024 needs no folding.
static SINE: [i16; 1024] = sine();

/// Bhaskara's rational sine is off by 0.2 %, below the noise of G.711; a recurrence in 64 bits is exact enough and can
/// be evaluated by the compiler.
#[expect(clippy::cast_possible_truncation, reason = "the values lie within PEAK")]
const fn sine() -> [i16; 1024] {
    // Rotation by 2 pi / 1024.
    let (cos, sin) = (0.999_981_175_282_601_1_f64, 0.006_135_884_649_154_475_f64);
    let (mut x, mut y) = (1.0_f64, 0.0_f64);
    let mut table = [0_i16; 1024];
    let mut i = 0;
    while i < 1024 {
        table[i] = (y * PEAK as f64) as i16;
        (x, y) = (x * cos - y * sin, x * sin + y * cos);
        i += 1;
    }
    table
}

impl Generator {
    /// Fills a frame with a pair of frequencies, going on where the last frame ended.
    pub fn fill(&mut self, hz: [u32; 2], into: &mut [i16]) {
        into.fill(0);
        for (phase, hz) in self.phase.iter_mut().zip(hz) {
            if hz == 0 {
                continue;
            }
            // 2^32 / 8000 rounded: 0.00001 % off.
            let step = hz.wrapping_mul(536_871);
            for s in into.iter_mut() {
                *s = s.saturating_add(SINE[usize::try_from(*phase >> 22).unwrap_or(0) & 1023]);
                *phase = phase.wrapping_add(step);
            }
        }
    }

    /// Fills a frame (or part) of a tone of which `done` samples were played.
    pub fn tone(&mut self, tone: Tone, done: u32, into: &mut [i16]) {
        let cadence = cadence(tone);
        let period: u32 = cadence.iter().map(|s| s.samples).sum();
        let mut at = done % period.max(1);
        let mut filled = 0;
        while filled < into.len() {
            let (mut start, mut current) = (0, cadence[0]);
            for &s in cadence {
                current = s;
                if at < start + s.samples {
                    break;
                }
                start += s.samples;
            }
            let left =
                usize::try_from(start + current.samples - at).unwrap_or(1).clamp(1, into.len() - filled);
            self.fill(current.hz, &mut into[filled..filled + left]);
            filled += left;
            at = (at + u32::try_from(left).unwrap_or(0)) % period.max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn energy(pcm: &[i16], hz: f64) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (i, &s) in pcm.iter().enumerate() {
            let w = 2.0 * std::f64::consts::PI * hz * f64::from(u32::try_from(i).expect("short")) / 8000.0;
            re += f64::from(s) * w.cos();
            im += f64::from(s) * w.sin();
        }
        (re * re + im * im).sqrt() / f64::from(u32::try_from(pcm.len()).expect("short"))
    }

    #[test]
    fn q23_a_digit_is_its_two_tones() {
        let mut g = Generator::default();
        let mut pcm = vec![0; 1600];
        g.fill(dtmf(Digit::try_from('5').expect("a digit")), &mut pcm);
        assert!(energy(&pcm, 770.0) > 2500.0 && energy(&pcm, 1336.0) > 2500.0);
        assert!(energy(&pcm, 697.0) < 200.0 && energy(&pcm, 1209.0) < 200.0);
    }

    #[test]
    fn a_cadence_switches_inside_a_frame_at_the_right_sample() {
        let (mut g, mut pcm) = (Generator::default(), [1; 160]);
        g.tone(Tone::Beep, 1900, &mut pcm); // repeats at 2,000
        assert!(energy(&pcm, 1000.0) > 2500.0);
        g.tone(Tone::Busy, 3920, &mut pcm); // on until 4,000, then off
        assert!(pcm[..80].iter().any(|&s| s != 0));
        assert!(pcm[80..].iter().all(|&s| s == 0));
    }
}
