//! What a timeslot without a bearer may be asked to do: hear the digits of a call that comes in over a trunk with
//! channel-associated signalling, say those of one that goes out, play busy tone, or measure the line by a pseudo-random
//! pattern. A register needs no bearer, so that a number is known before anybody has a call.

use crate::limits::REGISTER_SIGNALS;

/// How digits are said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pulse {
    /// ITU-T Q.23.
    Dtmf,
    /// ITU-T Q.320 (R1).
    Mf,
}

/// Digits to say: `0-9 * # A-D`, or `0-9 K S` of MF.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signals {
    len: u8,
    all: [u8; REGISTER_SIGNALS],
}

impl Signals {
    /// `None`: too long, or no digit among them.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let mut all = [0; REGISTER_SIGNALS];
        let known = |b: u8| matches!(b, b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D' | b'K' | b'S');
        all.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        let len = u8::try_from(text.len()).ok()?;
        text.bytes().all(known).then_some(Self { len, all })
    }

    /// The digit at a place.
    #[must_use]
    pub fn at(&self, n: usize) -> Option<char> {
        self.all[..usize::from(self.len)].get(n).map(|b| char::from(*b))
    }
}

// Digits are a call's number.
impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signals({})", self.len)
    }
}

/// What a register does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Hear digits: `SpanEvent::Signal`.
    Listen(Pulse),
    /// Say digits: `SpanEvent::Said` at the end.
    Say(Pulse, Signals),
    /// Play busy tone.
    Busy,
    /// Send a pseudo-random pattern and count what comes back wrong: `SpanEvent::Bert` once a second.
    Bert,
    /// Nothing.
    Off,
}

/// How a span is looped for maintenance. D-channels, which are the card's, are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Loop {
    /// It is not.
    #[default]
    Off,
    /// Towards us: what is sent is heard.
    Local,
    /// Towards the line: what comes is sent back (payload loopback, T1.403 §9.4).
    Remote,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_hold_what_can_be_said() {
        let signals = Signals::new("K15#S").expect("short");
        assert_eq!((signals.at(0), signals.at(4), signals.at(5)), (Some('K'), Some('S'), None));
        assert!(Signals::new("12x").is_none() && Signals::new(&"1".repeat(REGISTER_SIGNALS + 1)).is_none());
        assert_eq!(format!("{signals:?}"), "Signals(5)");
    }
}
