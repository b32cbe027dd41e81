//! From the telephone's band to the model's: 8 kHz samples as a recogniser of 16 kHz wants them.
//!
//! Three things, each measured (`docs/decisions/0019`): the level is brought to one value; above 4 kHz, where a telephone
//! carries nothing and the model expects the hiss of an `s`, there is noise that follows what the line carries between
//! 2.3 and 3.4 kHz; and nowhere is there digital silence, which the model has never heard.

use units::{Rng, Seed};

/// Hiss above 4 kHz against what is between 2.3 and 3.4 kHz.
const HISS: f32 = 0.6;
/// Root mean square of the dither.
const DITHER: f32 = 8.0;
/// Root mean square of speech after levelling: -20 dB below the largest sample.
const LEVEL: f32 = 3_276.8;
/// Taps of the filters.
const TAPS: usize = 63;
/// Samples over which an envelope is taken: 10 ms at 8 kHz.
const ENVELOPE: usize = 80;

/// Turns a whole utterance. The same in gives the same out.
#[must_use]
pub fn widen(narrow: &[i16]) -> Vec<i16> {
    let gain = LEVEL / loudness(narrow).max(1.0);
    let narrow: Vec<f32> = narrow.iter().map(|&s| f32::from(s) * gain.min(GAIN_MAX)).collect();
    let mut doubled = vec![0.0; narrow.len() * 2];
    for (n, &s) in narrow.iter().enumerate() {
        doubled[2 * n] = 2.0 * s;
    }
    let below = filter(&doubled, &band_pass(0.0, 3_900.0, 16_000.0));
    let carried = filter(&narrow, &band_pass(2_300.0, 3_400.0, 8_000.0));
    let envelope = envelope(&carried);
    let mut rng = Rng::new(Seed(0x5eed));
    let white: Vec<f32> = (0..doubled.len()).map(|_| gaussian(&mut rng)).collect();
    // White noise of 8 kHz through 3 kHz keeps three eighths of its power.
    let above = filter(&white, &band_pass(4_000.0, 7_000.0, 16_000.0));
    let scale = HISS / (3.0_f32 / 8.0).sqrt();
    let mix = |n: usize| below[n] + above[n] * scale * envelope[n / 2] + white[n] * DITHER;
    (0..doubled.len()).map(|n| sample(mix(n))).collect()
}

/// Nothing is made louder than by 30 dB: that would be noise.
const GAIN_MAX: f32 = 31.6;

/// Root mean square of the loudest tenth of all 10 ms pieces: speech, whatever the pauses.
fn loudness(samples: &[i16]) -> f32 {
    let mut powers: Vec<f32> = samples
        .chunks_exact(ENVELOPE)
        .map(|piece| piece.iter().map(|&s| f32::from(s) * f32::from(s)).sum::<f32>() / 80.0)
        .collect();
    powers.sort_by(|a, b| b.total_cmp(a));
    let loud = (powers.len() / 3).max(1).min(powers.len());
    let sum: f32 = powers.iter().take(loud).sum();
    if loud == 0 { 0.0 } else { (sum / count(loud)).sqrt() }
}

fn envelope(samples: &[f32]) -> Vec<f32> {
    let mut sum = 0.0_f64;
    let half = ENVELOPE / 2;
    let square = |n: usize| samples.get(n).map_or(0.0, |s| f64::from(*s) * f64::from(*s));
    for n in 0..half {
        sum += square(n);
    }
    (0..samples.len())
        .map(|n| {
            sum += square(n + half);
            if n >= half {
                sum -= square(n - half);
            }
            hw::dsp::math::narrow((sum.max(0.0) / 80.0).sqrt())
        })
        .collect()
}

/// A windowed sinc that lets from..to through.
fn band_pass(from: f32, to: f32, rate: f32) -> [f32; TAPS] {
    let middle = count(TAPS - 1) / 2.0;
    let sinc = |hz: f32, t: f32| {
        let share = 2.0 * hz / rate;
        let x = std::f32::consts::PI * share * t;
        if x.abs() < 1e-6 { share } else { share * x.sin() / x }
    };
    std::array::from_fn(|n| {
        let t = count(n) - middle;
        let window = 0.54 + 0.46 * (std::f32::consts::PI * t / (middle + 1.0)).cos();
        (sinc(to, t) - sinc(from, t)) * window
    })
}

/// The same length out; the delay of the filter is taken away.
fn filter(samples: &[f32], taps: &[f32; TAPS]) -> Vec<f32> {
    let half = TAPS / 2;
    let mut padded = vec![0.0; half];
    padded.extend_from_slice(samples);
    padded.resize(samples.len() + 2 * half, 0.0);
    padded.windows(TAPS).map(|w| w.iter().zip(taps).map(|(a, b)| a * b).sum()).collect()
}

fn gaussian(rng: &mut Rng) -> f32 {
    hw::dsp::math::narrow((0..12).map(|_| rng.unit()).sum::<f64>() - 6.0)
}

fn sample(value: f32) -> i16 {
    hw::dsp::math::sample(value)
}

fn count(n: usize) -> f32 {
    u16::try_from(n).map_or(f32::MAX, f32::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f32, amplitude: f32, ms: u16) -> Vec<i16> {
        (0..ms * 8)
            .map(|n| sample(amplitude * (std::f32::consts::TAU * hz * f32::from(n) / 8_000.0).sin()))
            .collect()
    }

    fn rms(samples: &[i16]) -> f32 {
        (samples.iter().map(|&s| f32::from(s) * f32::from(s)).sum::<f32>() / count(samples.len())).sqrt()
    }

    #[test]
    fn loud_and_quiet_come_out_alike_and_silence_stays_quiet() {
        for amplitude in [400.0, 4_000.0, 30_000.0] {
            let out = widen(&tone(700.0, amplitude, 500));
            assert_eq!(out.len(), 8_000);
            assert!((rms(&out[1000..7000]) - LEVEL).abs() < LEVEL * 0.1, "{amplitude}: {}", rms(&out));
        }
        let silence = widen(&[0; 4_000]);
        assert!((4.0..20.0).contains(&rms(&silence)), "dither only: {}", rms(&silence));
        assert!(widen(&[]).is_empty());
    }

    #[test]
    fn an_s_hisses_above_what_the_line_carries_and_a_vowel_does_not() {
        let high = |samples: &[i16]| {
            let samples: Vec<f32> = samples.iter().map(|&s| f32::from(s)).collect();
            let out = filter(&samples, &band_pass(4_200.0, 7_000.0, 16_000.0));
            (out.iter().map(|s| s * s).sum::<f32>() / count(out.len())).sqrt()
        };
        let (s, vowel) =
            (high(&widen(&tone(2_900.0, 4_000.0, 500))), high(&widen(&tone(600.0, 4_000.0, 500))));
        assert!(s > 1_000.0 && vowel < 100.0, "{s} {vowel}");
    }
}
