//! What the control plane asks of a worker: `Copy`, at most 64 octets, over an SPSC ring. What is larger crosses as a
//! handle to a lent slot ([`SpecHandle`], [`PromptHandle`], [`CaptureHandle`]) and comes back over the report ring.

use crate::register::{Loop, Order};
use units::{BearerId, Codec, Digit, Samples};

/// A lent bearer specification (addresses, payload types, keys): `worker::Spec` in a slot of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpecHandle(pub u32);

/// A resident prompt, shared by all bearers and kept alive by the lender until it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PromptHandle(pub u32);

/// A lent capture buffer set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CaptureHandle(pub u32);

/// What may cut a play in the worker, within its tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cut {
    /// Nothing.
    Never,
    /// A digit.
    Digit,
    /// A digit or voice energy.
    DigitOrVoice,
}

/// Which in-band detectors run on what is received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Detectors {
    /// In-band DTMF.
    pub dtmf: bool,
    /// Call-progress tones.
    pub progress: bool,
    /// Answering-machine detection.
    pub machine: bool,
    /// Voice activity, for barge-in and recording.
    pub voice: bool,
}

/// What a bearer plays that is no prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tone {
    /// Ringback of the country profile.
    Ringback,
    /// Busy.
    Busy,
    /// Congestion.
    Congestion,
    /// The record beep: 1,000 Hz, 250 ms.
    Beep,
    /// Special information tone.
    Sit,
}

/// One command.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    /// Begin a bearer at a place the lender knows to be free.
    Open {
        /// Its id, with a new generation.
        bearer: BearerId,
        /// What it is.
        spec: SpecHandle,
    },
    /// New far side, codec, direction or keys.
    Respec {
        /// Which.
        bearer: BearerId,
        /// What it is now.
        spec: SpecHandle,
    },
    /// Queue a prompt behind what is queued. `PlayEnded` follows for each item exactly once.
    Play {
        /// Which.
        bearer: BearerId,
        /// Names the item in reports.
        item: u32,
        /// What.
        prompt: PromptHandle,
        /// Skip this much of it.
        offset: Samples,
        /// Play no more than this much from there; `Samples(u32::MAX)`: all.
        length: Samples,
        /// What cuts it (and all that is queued behind it with a `Cut` that also allows it).
        cut: Cut,
    },
    /// Queue silence or a tone of a length.
    Tone {
        /// Which.
        bearer: BearerId,
        /// Names the item.
        item: u32,
        /// `None`: silence.
        tone: Option<Tone>,
        /// How long; `Samples(u32::MAX)`: until stopped.
        length: Samples,
        /// What cuts it.
        cut: Cut,
    },
    /// Stop all that is queued.
    StopPlay {
        /// Which.
        bearer: BearerId,
    },
    /// Hold or go on playing.
    Pause {
        /// Which.
        bearer: BearerId,
        /// Hold.
        on: bool,
    },
    /// Send a digit: RFC 4733 if agreed, else in band.
    SendDigit {
        /// Which.
        bearer: BearerId,
        /// Which digit.
        digit: Digit,
        /// How long it lasts.
        length: Samples,
    },
    /// Switch detectors.
    Detect {
        /// Which.
        bearer: BearerId,
        /// On.
        on: Detectors,
    },
    /// Record what is received (and with `both`, mixed with what is sent).
    Capture {
        /// Which.
        bearer: BearerId,
        /// Where to.
        into: CaptureHandle,
        /// Both directions.
        both: bool,
        /// Longest.
        length_max: Samples,
        /// Silence that ends it; `Samples(u32::MAX)`: none.
        final_silence: Samples,
        /// A digit ends it.
        digit_ends: bool,
    },
    /// Let somebody listen along: what is received goes into the ring as G.711, silence included, until
    /// [`Command::StopTap`] or the bearer's end. A frame that finds no room is lost. A second tap ends the first.
    Tap {
        /// Which.
        bearer: BearerId,
        /// Where to.
        into: CaptureHandle,
    },
    /// Nobody listens along any more.
    StopTap {
        /// Which.
        bearer: BearerId,
    },
    /// End a recording.
    StopCapture {
        /// Which.
        bearer: BearerId,
    },
    /// Connect two bearers of one worker; each hears the other.
    Bridge {
        /// One.
        a: BearerId,
        /// The other.
        b: BearerId,
    },
    /// Part them.
    Unbridge {
        /// Either.
        bearer: BearerId,
    },
    /// End a bearer. `Closed` follows, after all lent things have come back.
    Close {
        /// Which.
        bearer: BearerId,
    },
    /// Send these signalling bits in a slot of the worker's card. For one worker: `ControlEnd::set_bits`.
    SetBits {
        /// Span on the card, from 0.
        span: u16,
        /// From 1.
        slot: u8,
        /// ABCD in the low nibble.
        abcd: u8,
    },
    /// What the register of a slot without a bearer does. For one worker: `ControlEnd::register`.
    Register {
        /// Span on the card, from 0.
        span: u16,
        /// From 1.
        slot: u8,
        /// What.
        order: Order,
    },
    /// Loop a span, or no longer. For one worker: `ControlEnd::set_loop`.
    Loop {
        /// Span on the card, from 0.
        span: u16,
        /// How.
        how: Loop,
    },
    /// A prompt may be forgotten: the worker answers `PromptReturned` when no bearer plays it.
    ReturnPrompt {
        /// Which.
        prompt: PromptHandle,
    },
}

impl Command {
    /// The bearer it concerns (of a bridge, the first); `None` for a prompt and a span.
    #[must_use]
    pub fn bearer(&self) -> Option<BearerId> {
        match *self {
            Command::Open { bearer, .. }
            | Command::Respec { bearer, .. }
            | Command::Play { bearer, .. }
            | Command::Tone { bearer, .. }
            | Command::StopPlay { bearer }
            | Command::Pause { bearer, .. }
            | Command::SendDigit { bearer, .. }
            | Command::Detect { bearer, .. }
            | Command::Capture { bearer, .. }
            | Command::Tap { bearer, .. }
            | Command::StopTap { bearer }
            | Command::StopCapture { bearer }
            | Command::Unbridge { bearer }
            | Command::Close { bearer }
            | Command::Bridge { a: bearer, .. } => Some(bearer),
            Command::ReturnPrompt { .. }
            | Command::SetBits { .. }
            | Command::Register { .. }
            | Command::Loop { .. } => None,
        }
    }
}

/// The codec a bearer's tone or prompt is rendered for; kept here so that `Play` callers pick the right rendering.
pub type Rendering = Codec;

const _: () = assert!(size_of::<Command>() <= 64);
