//! Sample-rate conversion for files: a windowed sinc, any ratio, good to about 70 dB. Not for the tick.

use crate::dsp::math::sample;
use std::f64::consts::PI;

/// Zero crossings of the sinc on each side.
const LOBES: f64 = 16.0;
/// Pass band as a share of the lower Nyquist frequency.
const PASS: f64 = 0.92;

/// Converts from one rate to another. Rates must not be 0.
#[must_use]
pub fn to(samples: &[i16], from_hz: u32, to_hz: u32) -> Vec<i16> {
    assert!(from_hz > 0 && to_hz > 0, "a rate of zero has no samples");
    if from_hz == to_hz {
        return samples.to_vec();
    }
    let (from, to) = (f64::from(from_hz), f64::from(to_hz));
    let cutoff = PASS * (to / from).min(1.0);
    let table = Kernel::new(cutoff);
    let count = u128::from(to_hz) * samples.len() as u128 / u128::from(from_hz);
    let count = usize::try_from(count).expect("a slice's length at another rate");
    (0..count).map(|n| table.at(samples, position(n, from_hz, to_hz))).collect()
}

/// Position of output sample `n` in the input: whole part and fraction.
fn position(n: usize, from_hz: u32, to_hz: u32) -> (usize, f64) {
    let scaled = n as u128 * u128::from(from_hz);
    let whole = usize::try_from(scaled / u128::from(to_hz)).expect("inside the input");
    let left = u32::try_from(scaled % u128::from(to_hz)).expect("below a rate");
    (whole, f64::from(left) / f64::from(to_hz))
}

/// The kernel, sampled finely and interpolated.
struct Kernel {
    reach: usize,
    points: Vec<f32>,
}

/// Points of the table for each input sample.
const FINE: usize = 256;

impl Kernel {
    fn new(cutoff: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred at most")]
        let reach = (LOBES / cutoff).ceil() as usize;
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        let points = (0..=(reach + 1) * FINE)
            .map(|i| crate::dsp::math::narrow(shape(i as f64 / FINE as f64, cutoff, reach as f64)))
            .collect();
        Self { reach, points }
    }

    fn at(&self, samples: &[i16], (whole, fraction): (usize, f64)) -> i16 {
        let first = (whole + 1).saturating_sub(self.reach);
        let last = (whole + self.reach + 1).min(samples.len());
        let mut sum = 0.0;
        for (i, &s) in (first..last).zip(&samples[first..last]) {
            #[expect(clippy::cast_precision_loss, reason = "small counts")]
            let distance =
                if i > whole { (i - whole) as f64 - fraction } else { (whole - i) as f64 + fraction };
            sum += f32::from(s) * self.value(distance);
        }
        sample(sum)
    }

    fn value(&self, distance: f64) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let x = distance * FINE as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "inside the table")]
        let i = (x as usize).min(self.points.len() - 2);
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let part = crate::dsp::math::narrow(x - i as f64);
        self.points[i] + (self.points[i + 1] - self.points[i]) * part.min(1.0)
    }
}

/// A sinc under a Blackman window that reaches zero at `reach`.
fn shape(x: f64, cutoff: f64, reach: f64) -> f64 {
    if x >= reach {
        return 0.0;
    }
    let w = 0.42 + 0.5 * (PI * x / reach).cos() + 0.08 * (2.0 * PI * x / reach).cos();
    let a = PI * cutoff * x;
    let sinc = if a.abs() < 1e-9 { 1.0 } else { a.sin() / a };
    cutoff * sinc * w
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::level;

    fn tone(hz: f64, rate: u32, count: u32) -> Vec<i16> {
        (0..count)
            .map(|n| {
                sample(crate::dsp::math::narrow(
                    10_000.0 * (2.0 * PI * hz * f64::from(n) / f64::from(rate)).sin(),
                ))
            })
            .collect()
    }

    #[test]
    fn a_tone_stays_and_an_alias_goes() {
        for rate in [16_000, 22_050, 44_100, 48_000, 11_025] {
            let out = to(&tone(1000.0, rate, rate), rate, 8000);
            let want = tone(1000.0, 8000, 8000);
            assert_eq!(out.len(), 8000);
            let error: Vec<i16> = out[400..7600].iter().zip(&want[400..7600]).map(|(a, b)| a - b).collect();
            assert!(level::of(&error) < level::of(&want) - 60.0, "{rate}: {}", level::of(&error));
        }
        let alias = to(&tone(5000.0, 16_000, 16_000), 16_000, 8000);
        assert!(level::of(&alias[400..7600]) < -65.0, "{}", level::of(&alias));
    }

    #[test]
    fn nothing_stays_nothing() {
        assert!(to(&[], 16_000, 8000).is_empty());
        assert_eq!(to(&[7; 3], 8000, 8000), [7; 3]);
    }
}
