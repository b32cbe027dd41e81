//! What a world counts: calls, streams in all, and how often numbers rang.

use super::ear::Hearing;

/// Counts of a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Calls that came in.
    pub incoming: u64,
    /// Calls we placed.
    pub placed: u64,
    /// Calls that are up.
    pub up: u64,
    /// RTP from an address that belongs to no call.
    pub stray_rtp: u64,
    /// Calls whose packets came from another address than their session description says.
    pub learned: u64,
    /// Calls whose packets came from the address of another call: they cannot be judged (use more RTP ports).
    pub ambiguous: u64,
    /// Frames that we owed and did not send, since we were more than 20 ms late.
    pub frames_skipped: u64,
    /// Numbers that rang.
    pub numbers: u64,
    /// Numbers that rang more than once.
    pub numbers_twice: u64,
}

/// What was heard in all, ended calls and live ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Streams {
    /// As [`Hearing`]'s.
    pub packets: u64,
    /// As [`Hearing`]'s.
    pub missing: u64,
    /// As [`Hearing`]'s.
    pub late: u64,
    /// As [`Hearing`]'s.
    pub duplicated: u64,
    /// As [`Hearing`]'s.
    pub reordered: u64,
    /// As [`Hearing`]'s.
    pub wrong: u64,
    /// As [`Hearing`]'s.
    pub gaps_in_prompt: u64,
}

impl Streams {
    /// With one stream more.
    #[must_use]
    pub fn with(self, h: Hearing) -> Self {
        Self {
            packets: self.packets + h.packets,
            missing: self.missing + h.missing,
            late: self.late + h.late,
            duplicated: self.duplicated + h.duplicated,
            reordered: self.reordered + h.reordered,
            wrong: self.wrong + h.wrong,
            gaps_in_prompt: self.gaps_in_prompt + h.gaps_in_prompt,
        }
    }

    /// What came since an earlier reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            packets: self.packets.saturating_sub(earlier.packets),
            missing: self.missing.saturating_sub(earlier.missing),
            late: self.late.saturating_sub(earlier.late),
            duplicated: self.duplicated.saturating_sub(earlier.duplicated),
            reordered: self.reordered.saturating_sub(earlier.reordered),
            wrong: self.wrong.saturating_sub(earlier.wrong),
            gaps_in_prompt: self.gaps_in_prompt.saturating_sub(earlier.gaps_in_prompt),
        }
    }
}

/// How often a number rang, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Rang {
    /// How often.
    pub times: u32,
    /// When, on the far end's clock (0: its start), ms; the first ones.
    pub at_ms: Vec<u64>,
}
