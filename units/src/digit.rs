//! One DTMF digit: `0-9 * # A-D` (ITU-T Q.23), with its RFC 4733 event code.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One of the sixteen DTMF digits. `Debug` hides it: a digit may be part of a PIN.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "char", into = "char")]
pub struct Digit(u8);

/// The character is none of `0-9 * # A-D a-d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotADigit;

impl fmt::Display for NotADigit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a DTMF digit is one of 0-9, *, # or A-D")
    }
}

impl std::error::Error for NotADigit {}

const CHARS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D'];

impl Digit {
    /// From an RFC 4733 §3.2 event code, 0..=15.
    #[must_use]
    pub fn from_event(event: u8) -> Option<Self> {
        (event < 16).then_some(Self(event))
    }

    /// The RFC 4733 §3.2 event code, 0..=15.
    #[must_use]
    pub fn event(self) -> u8 {
        self.0
    }

    /// The character, upper case.
    #[must_use]
    pub fn as_char(self) -> char {
        CHARS[usize::from(self.0)]
    }
}

impl TryFrom<char> for Digit {
    type Error = NotADigit;
    fn try_from(c: char) -> Result<Self, NotADigit> {
        let c = c.to_ascii_uppercase();
        CHARS.iter().position(|&x| x == c).and_then(|i| u8::try_from(i).ok()).map(Self).ok_or(NotADigit)
    }
}

impl From<Digit> for char {
    fn from(d: Digit) -> char {
        d.as_char()
    }
}

impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digit(_)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digit_round_trips() {
        for event in 0..16 {
            let d = Digit::from_event(event).expect("in range");
            assert_eq!(Digit::try_from(d.as_char()), Ok(d));
        }
        assert_eq!(Digit::from_event(16), None);
        assert_eq!(Digit::try_from('x'), Err(NotADigit));
        assert_eq!(Digit::try_from('d').map(Digit::as_char), Ok('D'));
    }

    #[test]
    fn debug_does_not_tell() {
        assert_eq!(format!("{:?}", Digit::from_event(7)), "Some(Digit(_))");
    }
}
