//! What must not be read in a log: numbers, addresses, digits, names, keys.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A value whose `Debug` and `Display` print a stable pseudonym (`~` and eight hexadecimal digits) instead of itself.
///
/// Equal values print equal pseudonyms, so a log can be followed. The pseudonym is a 32-bit hash, no encryption:
/// it keeps casual eyes away, not someone who can try all numbers against an unsalted log.
/// Serialisation is transparent: what is stored or sent is the value.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Private<T>(T);

impl<T> Private<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself; the word is long so that it is seen in review.
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// Unwraps the value.
    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> From<T> for Private<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: AsRef<[u8]>> Private<T> {
    fn pseudonym(&self) -> u32 {
        // FNV-1a, 64 bits, folded: stable across runs and machines.
        let h = self
            .0
            .as_ref()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        u32::try_from((h ^ (h >> 32)) & 0xffff_ffff).expect("masked to 32 bits")
    }
}

impl<T: AsRef<[u8]>> fmt::Display for Private<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "~{:08x}", self.pseudonym())
    }
}

impl<T: AsRef<[u8]>> fmt::Debug for Private<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_never_shows() {
        let n = Private::new("+15551234567".to_owned());
        let shown = format!("{n} {n:?}");
        assert!(!shown.contains("1234567"));
        assert_eq!(n.to_string(), Private::new("+15551234567").to_string());
        assert_eq!(n.expose(), "+15551234567");
    }
}
