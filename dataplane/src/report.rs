//! What a worker tells the control plane: `Copy`, at most 64 octets. Edges (digit, end of play, end of capture,
//! closed) are retried until they fit; telemetry may be dropped and is counted.

use crate::command::{CaptureHandle, PromptHandle, SpecHandle};
use units::{BearerId, Digit, Private, Samples};

/// How a digit was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DigitVia {
    /// RFC 4733.
    Event,
    /// In band.
    Tone,
    /// By the card's own detector.
    Card,
}

/// How a play item ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlayEnd {
    /// To its end.
    Finished,
    /// Cut by a digit.
    CutByDigit,
    /// Cut by voice.
    CutByVoice,
    /// Stopped by command or close.
    Stopped,
}

/// Why a capture ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CaptureEnd {
    /// `StopCapture` or close.
    Stopped,
    /// Longest reached.
    Full,
    /// Final silence.
    Silence,
    /// A digit.
    Digit,
    /// The disk failed or the writer fell behind.
    Failed,
}

/// What call-progress analysis heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Heard {
    /// Dial tone.
    DialTone,
    /// Ringback.
    Ringback,
    /// Busy.
    Busy,
    /// Congestion (fast busy).
    Congestion,
    /// Special information tone.
    Sit,
    /// Fax answering (CED, 2,100 Hz).
    FaxAnswer,
    /// Fax calling (CNG, 1,100 Hz).
    FaxCalling,
    /// A person.
    Human,
    /// A machine's greeting.
    Machine,
    /// The greeting ended (beep or silence): speak now.
    GreetingEnded,
    /// Nothing but silence.
    Silence,
}

/// Counters of a bearer, told at its close and on demand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BearerCounts {
    /// RTP packets received in place.
    pub received: u32,
    /// Packets sent.
    pub sent: u32,
    /// Packets that never came.
    pub lost: u32,
    /// Came too late to be played.
    pub late: u32,
    /// Dropped: foreign source, wrong version, wrong payload, replay.
    pub refused: u32,
    /// Interarrival jitter, RFC 3550 §6.4.1, in timestamp units.
    pub jitter: u32,
}

/// What a card tells of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpanEvent {
    /// Alarms in force changed.
    Alarm {
        /// The bits of `hw::card::alarm`.
        bits: u16,
        /// No call can go on.
        dead: bool,
        /// Something is wrong: no new call should go there.
        defect: bool,
    },
    /// Signalling bits of a slot changed.
    Bits {
        /// From 1.
        slot: u8,
        /// ABCD in the low nibble.
        abcd: u8,
    },
    /// The register of a slot heard a digit: `0-9 * # A-D`, `K` (KP) and `S` (ST) of MF.
    Signal {
        /// From 1.
        slot: u8,
        /// Which, one ASCII character.
        signal: Private<[u8; 1]>,
    },
    /// The register of a slot has said its digits.
    Said {
        /// From 1.
        slot: u8,
    },
    /// What the test pattern of a slot has shown so far.
    Bert {
        /// From 1.
        slot: u8,
        /// Bits compared.
        bits: u64,
        /// Wrong ones.
        errors: u64,
        /// How often the pattern was lost.
        losses: u32,
        /// It is found now.
        found: bool,
    },
    /// A frame was repeated (+1) or dropped (-1).
    Slip(i8),
    /// The card lost so many of its reports.
    Lost(u32),
}

/// One report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Report {
    /// A bearer is up.
    Opened {
        /// Which.
        bearer: BearerId,
        /// Its local RTP port (0 for timeslots).
        port: u16,
    },
    /// A bearer could not be opened: no place, no port.
    OpenFailed {
        /// Which.
        bearer: BearerId,
    },
    /// The caller pressed a digit (edge; once a press).
    Digit {
        /// Which.
        bearer: BearerId,
        /// Which digit.
        digit: Digit,
        /// How it came.
        via: DigitVia,
        /// Its length so far.
        length: Samples,
    },
    /// A play item ended.
    PlayEnded {
        /// Which.
        bearer: BearerId,
        /// The item.
        item: u32,
        /// How.
        end: PlayEnd,
        /// Samples of it that were sent.
        heard: Samples,
    },
    /// Voice began or ended.
    Voice {
        /// Which.
        bearer: BearerId,
        /// Began.
        on: bool,
    },
    /// Progress analysis.
    Heard {
        /// Which.
        bearer: BearerId,
        /// What.
        what: Heard,
    },
    /// A capture ended.
    CaptureEnded {
        /// Which.
        bearer: BearerId,
        /// Its buffers come back.
        capture: CaptureHandle,
        /// Why.
        end: CaptureEnd,
        /// Recorded.
        length: Samples,
        /// Sound was heard in it at all.
        sound: bool,
    },
    /// The first packet from the far side arrived.
    FirstPacket {
        /// Which.
        bearer: BearerId,
    },
    /// Nothing has come for long (telemetry; repeated).
    Silent {
        /// Which.
        bearer: BearerId,
        /// How long, ms.
        ms: u32,
    },
    /// A lent specification is no longer used.
    SpecReturned {
        /// Whose it was; of which worker the handle is.
        bearer: BearerId,
        /// Which.
        spec: SpecHandle,
    },
    /// A prompt is no longer used by this worker.
    PromptReturned {
        /// Which.
        prompt: PromptHandle,
    },
    /// Something about a span of a worker's card; told to the first shard, whose spans they are.
    Span {
        /// Of which worker.
        worker: u16,
        /// Span on its card, from 0.
        span: u16,
        /// What.
        what: SpanEvent,
    },
    /// A bearer is gone; its place is free.
    Closed {
        /// Which.
        bearer: BearerId,
        /// Its counters.
        counts: BearerCounts,
    },
}

const _: () = assert!(size_of::<Report>() <= 64);
