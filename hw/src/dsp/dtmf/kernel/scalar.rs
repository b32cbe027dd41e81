//! The truth, in plain Rust. Elsewhere than on x86-64 it is also what runs.
#![cfg_attr(target_arch = "x86_64", allow(dead_code))]

use super::Rows;
use crate::dsp::dtmf::analysis::{PARTS, WINDOW};

/// Sums of samples times rows; wraps where the sum of a pair does not fit 32 bits, as vector units do (the rows are
/// scaled so that it always fits).
pub(in crate::dsp::dtmf) fn correlate(samples: &[i16; WINDOW], rows: &Rows) -> [i32; PARTS] {
    let mut sums = [0i32; PARTS];
    for (x, row) in samples.as_chunks::<2>().0.iter().zip(rows) {
        let (a, b) = (i32::from(x[0]), i32::from(x[1]));
        for (sum, r) in sums.iter_mut().zip(row) {
            *sum = sum.wrapping_add(a * i32::from(r[0]) + b * i32::from(r[1]));
        }
    }
    sums
}

/// Sum of squares, each pair with its weight, in four lanes that are added at the end.
pub(in crate::dsp::dtmf) fn energy(samples: &[i16; WINDOW], weights: &[f32; WINDOW / 2]) -> f32 {
    let mut lanes = [0f32; 4];
    for (n, (x, w)) in samples.as_chunks::<2>().0.iter().zip(weights).enumerate() {
        let (a, b) = (i32::from(x[0]), i32::from(x[1]));
        // Two squares of -32768 are 2^31, which wraps to its negative; the absolute value undoes that.
        #[expect(clippy::cast_precision_loss, reason = "24 bits are enough for a power")]
        let square = ((a * a).wrapping_add(b * b) as f32).abs();
        lanes[n % 4] += square * w;
    }
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
}
