//! Channel-associated signalling on T1 and E1: the ABCD bits of a slot say on-hook and off-hook, tones in the slot say
//! the number. E&M trunks with immediate or wink start (ANSI T1.405 §5, as EIA/TIA-464 has it for tie trunks), DTMF (Q.23)
//! or R1 MF (Q.320) digits. [`Channel`] is one slot, [`Span`] all of a span behind `Leg`'s words.
//!
//! There are no causes on such a trunk: a callee who cannot be had is a tone that is heard, a caller who is refused hears
//! one. Both sides seizing at once (glare) is settled by both letting go; the call of ours is tried on another slot.

mod em;
mod span;

pub use em::{Channel, Input as ChannelInput, Output as ChannelOutput, Timing, Told};
pub use span::{Config, Input, Output, SlotView, Span};

use units::Private;

/// How a seizure is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Start {
    /// It is not: digits follow after a delay (`em`).
    Immediate,
    /// By a wink (`em_w`).
    Wink,
}

/// How digits are said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pulse {
    /// `0-9 * # A-D`.
    Dtmf,
    /// R1: `0-9`, `K` (KP) before and `S` (ST) behind them.
    Mf,
}

/// What the tones of a slot are asked to do before there is a bearer.
#[derive(Clone, Debug)]
pub enum Register {
    /// Hear digits.
    Listen(Pulse),
    /// Say these; it is told when they are said.
    Say(Pulse, Private<String>),
    /// Play busy tone.
    Busy,
    /// Nothing any more.
    Off,
}

/// ABCD bits of the two states of an E&M trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bits {
    /// On-hook, sent.
    pub on_hook: u8,
    /// Off-hook, sent.
    pub off_hook: u8,
}

impl Bits {
    /// T1 (T1.403 §7.2): all bits alike.
    pub const T1: Bits = Bits { on_hook: 0b0000, off_hook: 0b1111 };
    /// E1: the A bit tells; 0000 is for no slot of timeslot 16 (G.704 §5.1.3.2.2), so that D is one always.
    pub const E1: Bits = Bits { on_hook: 0b0001, off_hook: 0b1101 };

    /// Whether received bits mean off-hook: the A bit says so.
    #[must_use]
    pub fn is_off_hook(abcd: u8) -> bool {
        abcd & 0b1000 != 0
    }
}
