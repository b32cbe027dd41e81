//! `Card`: something with spans and timeslots that is exchanged once a tick. Synchronous, batched, allocation-free,
//! owned by exactly one worker. Middleware wraps a card and is a card (`soft::Fault`, `soft::Tap`).

use units::Digit;

/// T1 or E1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpanKind {
    /// 24 timeslots, 1.544 Mbit/s (T1.403).
    T1,
    /// 32 timeslots, 2.048 Mbit/s (G.704); slot 0 is framing.
    E1,
}

impl SpanKind {
    /// Timeslots that can carry something, numbered from 1: 24 or 31.
    #[must_use]
    pub const fn slots(self) -> u8 {
        match self {
            SpanKind::T1 => 24,
            SpanKind::E1 => 31,
        }
    }
}

/// What a card is and can.
#[derive(Clone, Debug)]
pub struct CardInfo {
    /// Name for logs.
    pub name: String,
    /// Its spans, in order; span numbers on the card start at 0.
    pub spans: Vec<SpanKind>,
    /// What it can do itself.
    pub offload: Offload,
}

/// What the card does in hardware; the software does the rest, invisibly above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// Detects DTMF and reports [`CardReport::Digit`].
    pub dtmf: bool,
    /// Cancels echo up to this tail, ms; 0: none.
    pub echo_tail_ms: u16,
}

/// The most octets a timeslot moves in one exchange (1 ms is 8).
pub const SLOT_OCTETS_MAX: usize = 160;

/// One exchange: `octets` octets (a multiple of 8, at most [`SLOT_OCTETS_MAX`]) of every timeslot, each way.
///
/// Both slices are laid out span-major, then slot-major: the octets of slot `s` (from 0) of span `p` start at
/// `(first_slot(p) + s) * octets`, where `first_slot` counts the slots of the spans before.
#[derive(Debug)]
pub struct Tick<'a> {
    /// Octets per timeslot.
    pub octets: usize,
    /// From the line; the card fills it.
    pub rx: &'a mut [u8],
    /// To the line.
    pub tx: &'a [u8],
}

/// What a card reports between exchanges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CardReport {
    /// A digit, where DTMF is done in hardware.
    Digit {
        /// Span from 0.
        span: u16,
        /// Slot from 1.
        slot: u8,
        /// Which.
        digit: Digit,
        /// Its beginning (true) or end.
        down: bool,
    },
    /// Alarms of a span changed: the bits of [`alarm`].
    Alarm {
        /// Span from 0.
        span: u16,
        /// Bits in force.
        bits: u16,
    },
    /// Signalling bits ABCD of a slot changed.
    Bits {
        /// Span from 0.
        span: u16,
        /// Slot from 1.
        slot: u8,
        /// ABCD in the low nibble.
        abcd: u8,
    },
    /// A slip: a frame repeated (+1) or dropped (-1).
    Slip {
        /// Span from 0.
        span: u16,
        /// +1 or -1.
        frames: i8,
    },
    /// Reports were lost because nobody polled: how many.
    Overflow(u32),
}

/// Alarm bits of a span.
pub mod alarm {
    /// Loss of signal.
    pub const LOS: u16 = 1;
    /// Loss of frame (red).
    pub const LOF: u16 = 2;
    /// Alarm indication signal (blue).
    pub const AIS: u16 = 4;
    /// Remote alarm indication (yellow).
    pub const RAI: u16 = 8;
    /// Loss of multiframe.
    pub const LOMF: u16 = 16;
    /// Looped.
    pub const LOOPED: u16 = 32;
    /// Something is wrong, and has not stood long enough for an alarm: new calls avoid the span.
    pub const DEFECT: u16 = 64;
    /// Alarms under which no call can go on.
    pub const DEAD: u16 = LOS | LOF | AIS | RAI;
}

/// A card failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardError {
    /// The slices do not fit its slots, or `octets` is not a multiple of 8 in 8..=160.
    Shape,
    /// The device is gone; errno.
    Gone(i32),
}

/// See the module.
pub trait Card: Send {
    /// What it is.
    fn info(&self) -> &CardInfo;
    /// Moves one tick of samples both ways.
    ///
    /// # Errors
    /// [`CardError::Shape`] if the slices do not fit; [`CardError::Gone`] if the device is lost.
    fn exchange(&mut self, tick: &mut Tick<'_>) -> Result<(), CardError>;
    /// What happened since; drain to `None` after each exchange.
    fn poll(&mut self) -> Option<CardReport>;
    /// Sets the signalling bits that a slot sends.
    fn set_bits(&mut self, span: u16, slot: u8, abcd: u8);
    /// Hands a D-channel frame (without flags and FCS) to the HDLC of a slot. False: no room, try next tick.
    fn send_frame(&mut self, span: u16, slot: u8, frame: &[u8]) -> bool;
    /// Takes a received D-channel frame (FCS checked and removed) into `into`; its length, or `None`.
    fn receive_frame(&mut self, span: u16, slot: u8, into: &mut [u8]) -> Option<usize>;
}
