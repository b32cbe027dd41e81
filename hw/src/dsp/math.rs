//! Sine and cosine that the compiler can evaluate, for tables; no trigonometry is left for run time.

use std::f64::consts::PI;

/// `sin(x)`, within 1e-12 for |x| below about 1e6.
pub const fn sin(x: f64) -> f64 {
    let turns = x / (2.0 * PI);
    #[expect(clippy::cast_possible_truncation, reason = "whole turns of a bounded angle")]
    let whole = turns as i64;
    #[expect(clippy::cast_precision_loss, reason = "whole turns of a bounded angle")]
    let mut r = x - whole as f64 * 2.0 * PI;
    if r > PI {
        r -= 2.0 * PI;
    } else if r < -PI {
        r += 2.0 * PI;
    }
    // Fold into [-pi/2, pi/2], where the Taylor series needs few terms.
    if r > PI / 2.0 {
        r = PI - r;
    } else if r < -PI / 2.0 {
        r = -PI - r;
    }
    let square = r * r;
    let mut term = r;
    let mut sum = r;
    let mut k = 1.0;
    while k < 12.0 {
        term *= -square / ((2.0 * k) * (2.0 * k + 1.0));
        sum += term;
        k += 1.0;
    }
    sum
}

/// `cos(x)`, as [`sin`].
pub const fn cos(x: f64) -> f64 {
    sin(x + PI / 2.0)
}

/// A table entry from a double.
#[expect(clippy::cast_possible_truncation, reason = "tables are single precision on purpose")]
pub const fn narrow(x: f64) -> f32 {
    x as f32
}

/// The nearest 16-bit sample, saturated.
#[expect(
    clippy::cast_possible_truncation,
    reason = "float to int casts saturate, which is what a sample must do"
)]
#[must_use]
pub fn sample(x: f32) -> i16 {
    // Adding half away from zero and truncating needs no call to `roundf`, which baseline x86-64 lacks.
    (x + 0.5f32.copysign(x)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sine_and_cosine_agree_with_the_library() {
        for i in -2000..2000 {
            let x = f64::from(i) * 0.137;
            assert!((sin(x) - x.sin()).abs() < 1e-10, "sin {x}");
            assert!((cos(x) - x.cos()).abs() < 1e-10, "cos {x}");
        }
    }

    #[test]
    fn samples_round_and_saturate() {
        assert_eq!(
            [sample(0.4), sample(0.6), sample(-0.6), sample(4e4), sample(-4e4)],
            [0, 1, -1, 32767, -32768]
        );
    }
}
