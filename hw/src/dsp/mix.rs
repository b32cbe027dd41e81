//! Gain and mixing over slices; sums saturate.

/// A linear gain in steps of 1/4096.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gain(i32);

impl Gain {
    /// Nothing changed.
    pub const UNITY: Gain = Gain(4096);

    /// From decibels, clamped to -72..=+18.
    #[must_use]
    pub fn from_db(db: f32) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "clamped to a factor of 8 before")]
        let steps = (super::level::ratio(db.clamp(-72.0, 18.0)) * 4096.0 + 0.5) as i32;
        Gain(steps)
    }

    /// Applies it.
    pub fn apply(self, samples: &mut [i16]) {
        if self != Self::UNITY {
            for s in samples {
                *s = saturate((i32::from(*s) * self.0 + 2048) >> 12);
            }
        }
    }
}

/// Adds as many samples as both have.
pub fn add(into: &mut [i16], from: &[i16]) {
    for (a, &b) in into.iter_mut().zip(from) {
        *a = a.saturating_add(b);
    }
}

/// A conference of three: each hears the sum of the other two. Slices of equal length.
pub fn three(voices: [&[i16]; 3], ears: [&mut [i16]; 3]) {
    let [a, b, c] = voices;
    let [to_a, to_b, to_c] = ears;
    let both = |into: &mut [i16], x: &[i16], y: &[i16]| {
        for ((s, &x), &y) in into.iter_mut().zip(x).zip(y) {
            *s = x.saturating_add(y);
        }
    };
    both(to_a, b, c);
    both(to_b, a, c);
    both(to_c, a, b);
}

/// A ramp from one level to another over the slice, against clicks when something is cut: `from` and `to` in 1/4096.
pub fn ramp(samples: &mut [i16], from: Gain, to: Gain) {
    let count = i32::try_from(samples.len()).unwrap_or(i32::MAX).max(1);
    for (n, s) in (0i32..).zip(samples) {
        // In 64 bits: a step of the ramp times a position may exceed 32.
        let part = i64::from(to.0 - from.0) * i64::from(n) / i64::from(count);
        let gain = from.0 + i32::try_from(part).expect("between the two gains");
        *s = saturate((i32::from(*s) * gain + 2048) >> 12);
    }
}

fn saturate(x: i32) -> i16 {
    i16::try_from(x.clamp(-32_768, 32_767)).expect("clamped")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains_are_decibels_and_saturate() {
        let check = |db: f32, x: i16, want: i16| {
            let mut s = [x];
            Gain::from_db(db).apply(&mut s);
            assert_eq!(s, [want], "{db} dB of {x}");
        };
        check(0.0, -123, -123);
        check(6.0206, 1000, 2000);
        check(-20.0, 10_000, 1001);
        check(18.0, -30_000, i16::MIN);
        check(99.0, 1, 8);
    }

    #[test]
    fn everybody_hears_the_others() {
        let (mut a, mut b, mut c) = ([0i16; 1], [0i16; 1], [0i16; 1]);
        three([&[1], &[20], &[30_000]], [&mut a, &mut b, &mut c]);
        assert_eq!((a, b, c), ([30_020], [30_001], [21]));
        add(&mut a, &[30_000]);
        assert_eq!(a, [i16::MAX]);
    }

    #[test]
    fn a_ramp_goes_from_one_gain_to_the_other() {
        let mut s = [1000i16; 5];
        ramp(&mut s, Gain::UNITY, Gain::from_db(-72.0));
        assert_eq!(s, [1000, 800, 600, 400, 200]);
        ramp(&mut [], Gain::UNITY, Gain::UNITY);
    }
}
