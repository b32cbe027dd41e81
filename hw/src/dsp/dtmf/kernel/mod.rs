//! The inner loops of the DTMF analysis: one truth ([`scalar`]) and its vector forms, identical to the bit.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(super) mod scalar;
#[cfg(target_arch = "x86_64")]
mod sse2;

use super::analysis::{PARTS, WINDOW};

/// Two samples' coefficients side by side, for each pair of samples and each part.
pub(super) type Rows = [[[i16; 2]; PARTS]; WINDOW / 2];

/// Sums of samples times rows, by the best kernel of this machine.
pub(super) fn correlate(samples: &[i16; WINDOW], rows: &Rows) -> [i32; PARTS] {
    #[cfg(target_arch = "x86_64")]
    {
        avx512::correlate(samples, rows)
            .or_else(|| avx2::correlate(samples, rows))
            .unwrap_or_else(|| sse2::correlate(samples, rows))
    }
    #[cfg(not(target_arch = "x86_64"))]
    scalar::correlate(samples, rows)
}

/// Weighted sum of squares, by the best kernel of this machine.
pub(super) fn energy(samples: &[i16; WINDOW], weights: &[f32; WINDOW / 2]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    {
        sse2::energy(samples, weights)
    }
    #[cfg(not(target_arch = "x86_64"))]
    scalar::energy(samples, weights)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use units::Seed;

    #[test]
    fn kernels_agree_to_the_bit() {
        let mut rng = Seed(3).rng();
        let mut any = |bound: u64| {
            i16::try_from(
                i64::try_from(rng.below(2 * bound)).expect("small") - i64::try_from(bound).expect("small"),
            )
        };
        let mut rows: Rows = [[[0; 2]; PARTS]; WINDOW / 2];
        rows.iter_mut().flatten().flatten().for_each(|c| *c = any(1023).expect("small"));
        let mut weights = [0f32; WINDOW / 2];
        weights.iter_mut().for_each(|w| *w = f32::from(any(1000).expect("small").unsigned_abs()) / 1000.0);
        let mut ran = 0;
        for round in 0..200u32 {
            let mut samples = [0i16; WINDOW];
            samples.iter_mut().for_each(|s| *s = any(32_768).expect("a sample"));
            if round == 0 {
                samples = [-32_768; WINDOW];
            }
            let truth = scalar::correlate(&samples, &rows);
            assert_eq!(sse2::correlate(&samples, &rows), truth);
            assert!(avx512::correlate(&samples, &rows).is_none_or(|v| v == truth));
            ran += u32::from(avx2::correlate(&samples, &rows).is_some_and(|v| v == truth));
            let energy = scalar::energy(&samples, &weights);
            assert_eq!(sse2::energy(&samples, &weights).to_bits(), energy.to_bits());
            assert!(energy >= 0.0);
        }
        assert!(ran == 200 || !std::arch::is_x86_feature_detected!("avx2"), "{ran}");
    }
}
