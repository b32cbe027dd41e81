//! The voice codecs that Carillon speaks.

use serde::{Deserialize, Serialize};

/// A voice codec at its RTP payload format of RFC 3551 §4.5 and §6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// ITU-T G.711 mu-law, static payload type 0, 8 kHz.
    Pcmu,
    /// ITU-T G.711 A-law, static payload type 8, 8 kHz.
    Pcma,
    /// ITU-T G.722 at 64 kbit/s, static payload type 9; 16 kHz audio, RTP clock 8 kHz (RFC 3551 §4.5.2).
    G722,
}

impl Codec {
    /// The static payload type of RFC 3551 §6, table 4.
    #[must_use]
    pub const fn payload_type(self) -> u8 {
        match self {
            Codec::Pcmu => 0,
            Codec::Pcma => 8,
            Codec::G722 => 9,
        }
    }

    /// The encoding name in `a=rtpmap`, as RFC 3551 spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
        }
    }

    /// Octets in a 20 ms frame: all three run at 64 kbit/s.
    #[must_use]
    pub const fn frame_octets(self) -> usize {
        160
    }

    /// From an encoding name, any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Codec::Pcmu, Codec::Pcma, Codec::G722].into_iter().find(|c| c.name().eq_ignore_ascii_case(name))
    }
}
