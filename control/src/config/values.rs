//! Values that carry their unit: `"30s"`, `"80%"`, `"12/s"`, `"4MB"`. A bare number is refused, because nobody can tell
//! seconds from milliseconds by looking at one.

use serde::{Deserialize, Deserializer};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Why a value with a unit could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadValue {
    /// No unit, or one that is not known here; holds what is understood.
    Unit(&'static str),
    /// The number before the unit is none, negative, or too large.
    Number,
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadValue::Unit(known) => write!(f, "a number with one of the units {known} is wanted"),
            BadValue::Number => f.write_str("the number before the unit is none that fits"),
        }
    }
}

impl std::error::Error for BadValue {}

/// Splits `"12.5ms"` into its number and the unit.
fn split(text: &str) -> Result<(f64, &str), BadValue> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().map_err(|_| BadValue::Number)?;
    Ok((number, unit.trim()))
}

/// Rounds to a whole number of the smallest unit.
fn whole(number: f64, factor: f64) -> Result<u64, BadValue> {
    let value = (number * factor).round();
    // 2^53: what a double holds exactly; no sensible value comes near.
    if !(0.0..9_007_199_254_740_992.0).contains(&value) {
        return Err(BadValue::Number);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to lie in 0..2^53")]
    Ok(value as u64)
}

macro_rules! from_text {
    ($name:ident) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// A length of time: `ms`, `s`, `m`, `h`, `d`. Whole milliseconds inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Milliseconds.
    pub ms: u64,
}

impl Span {
    /// From milliseconds.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self { ms }
    }

    /// From seconds.
    #[must_use]
    pub const fn from_s(s: u64) -> Self {
        Self { ms: s * 1_000 }
    }

    /// As a duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.ms)
    }
}

impl FromStr for Span {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (number, unit) = split(text)?;
        let factor = match unit {
            "ms" => 1.0,
            "s" => 1e3,
            "m" | "min" => 6e4,
            "h" => 3.6e6,
            "d" => 8.64e7,
            _ => return Err(BadValue::Unit("ms, s, m, h, d")),
        };
        whole(number, factor).map(Span::from_ms)
    }
}
from_text!(Span);

/// A share: `"80%"`, 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(pub u8);

impl FromStr for Percent {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        match split(text)? {
            (number, "%") => {
                let n = whole(number, 1.0)?;
                u8::try_from(n).ok().filter(|&n| n <= 100).map(Percent).ok_or(BadValue::Number)
            }
            _ => Err(BadValue::Unit("%")),
        }
    }
}
from_text!(Percent);

/// A rate: `"12/s"`, `"30/m"`, `"500/h"`; thousandths of one per second inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    /// Thousandths of one per second.
    pub milli_hz: u64,
}

impl Rate {
    /// Per second.
    #[must_use]
    pub const fn per_s(n: u64) -> Self {
        Self { milli_hz: n * 1_000 }
    }
}

impl FromStr for Rate {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (number, unit) = split(text)?;
        let factor = match unit {
            "/s" => 1e3,
            "/m" | "/min" => 1e3 / 60.0,
            "/h" => 1e3 / 3_600.0,
            _ => return Err(BadValue::Unit("/s, /m, /h")),
        };
        whole(number, factor).map(|milli_hz| Rate { milli_hz })
    }
}
from_text!(Rate);

/// A size: `B`, `KB`, `MB`, `GB` in powers of ten, `KiB`, `MiB`, `GiB` in powers of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Octets.
    pub bytes: u64,
}

impl Size {
    /// From octets.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self { bytes }
    }

    /// As a length in memory; saturates where memory is narrower.
    #[must_use]
    pub fn len(self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
    }

    /// Nothing.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.bytes == 0
    }
}

impl FromStr for Size {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (number, unit) = split(text)?;
        let factor = match unit {
            "B" => 1.0,
            "KB" | "kB" => 1e3,
            "MB" => 1e6,
            "GB" => 1e9,
            "KiB" => 1_024.0,
            "MiB" => 1_048_576.0,
            "GiB" => 1_073_741_824.0,
            _ => return Err(BadValue::Unit("B, KB, MB, GB, KiB, MiB, GiB")),
        };
        whole(number, factor).map(Size::from_bytes)
    }
}
from_text!(Size);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_need_a_unit() {
        let check = |text: &str, want: Result<u64, BadValue>| {
            assert_eq!(text.parse::<Span>().map(|s| s.ms), want, "{text}");
        };
        check("30s", Ok(30_000));
        check("1.5 s", Ok(1_500));
        check("250ms", Ok(250));
        check("2h", Ok(7_200_000));
        check("30", Err(BadValue::Unit("ms, s, m, h, d")));
        check("s", Err(BadValue::Number));
        check("-3s", Err(BadValue::Number));
        check("99999999999999999999d", Err(BadValue::Number));
    }

    #[test]
    fn shares_rates_and_sizes() {
        assert_eq!("80%".parse(), Ok(Percent(80)));
        assert_eq!("101%".parse::<Percent>(), Err(BadValue::Number));
        assert_eq!("12/s".parse(), Ok(Rate::per_s(12)));
        assert_eq!("90/m".parse(), Ok(Rate { milli_hz: 1_500 }));
        assert_eq!("4MB".parse(), Ok(Size::from_bytes(4_000_000)));
        assert_eq!("1KiB".parse(), Ok(Size::from_bytes(1_024)));
        assert!("4".parse::<Size>().is_err());
    }
}
