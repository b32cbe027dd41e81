//! Levels in dBm0: what a 16-bit sample means on a telephone line.
//!
//! ITU-T G.711 puts the overload point of A-law at a sine of +3.14 dBm0 (mu-law: +3.17); with 16-bit linear samples
//! that is a sine of full scale. So 0 dBm0 is a sine of peak [`PEAK_0_DBM0`].

/// Peak of a sine of 0 dBm0: 32768 / 10^(3.14/20).
pub const PEAK_0_DBM0: f32 = 22_827.0;

/// The level that silence is given, in dBm0, so that no logarithm of zero appears.
pub const SILENCE_DBM0: f32 = -99.0;

/// Peak amplitude (sample units) of a sine of this level.
#[must_use]
pub fn peak(dbm0: f32) -> f32 {
    PEAK_0_DBM0 * ratio(dbm0)
}

/// Mean square (sample units squared) of a signal of this level.
#[must_use]
pub fn mean_square(dbm0: f32) -> f32 {
    let p = peak(dbm0);
    p * p / 2.0
}

/// Level in dBm0 of a signal with this mean square; at least [`SILENCE_DBM0`].
#[must_use]
pub fn dbm0(mean_square: f32) -> f32 {
    const FULL: f32 = PEAK_0_DBM0 * PEAK_0_DBM0 / 2.0;
    if mean_square <= 0.0 { SILENCE_DBM0 } else { (10.0 * (mean_square / FULL).log10()).max(SILENCE_DBM0) }
}

/// Level in dBm0 of a slice of samples; [`SILENCE_DBM0`] if it is empty.
#[must_use]
pub fn of(samples: &[i16]) -> f32 {
    dbm0(power(samples))
}

/// Mean square of a slice; 0 if it is empty.
#[must_use]
pub fn power(samples: &[i16]) -> f32 {
    if samples.is_empty() {
        return 0.0;
    }
    let sum: f32 = samples.iter().map(|&s| f32::from(s) * f32::from(s)).sum();
    #[expect(clippy::cast_precision_loss, reason = "a count of samples in a slice that fits memory")]
    let n = samples.len() as f32;
    sum / n
}

/// An amplitude factor from decibels.
#[must_use]
pub fn ratio(db: f32) -> f32 {
    10f32.powf(db / 20.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::g711;

    #[test]
    fn g711_digital_milliwatt_is_0_dbm0() {
        // ITU-T G.711, tables 5 and 6: the periodic sequences of a 1 kHz sine of 0 dBm0.
        let mu = [0x1E, 0x0B, 0x0B, 0x1E, 0x9E, 0x8B, 0x8B, 0x9E].map(g711::mu_to_linear);
        let a = [0x34, 0x21, 0x21, 0x34, 0xB4, 0xA1, 0xA1, 0xB4].map(g711::a_to_linear);
        assert!(of(&mu).abs() < 0.1, "{}", of(&mu));
        assert!(of(&a).abs() < 0.1, "{}", of(&a));
    }

    #[test]
    fn levels_round_trip() {
        for db in [-60.0, -25.0, 0.0, 3.0] {
            assert!((dbm0(mean_square(db)) - db).abs() < 0.01);
        }
        assert!(dbm0(0.0) <= SILENCE_DBM0 && of(&[]) <= SILENCE_DBM0);
    }
}
