//! Offer and answer (RFC 3264) for one voice stream: session descriptions to [`Rtp`] and back.
//!
//! [`Description`] is what we keep of a far description; [`Local`] writes ours, version by version. Every m-line but
//! the first usable audio one is refused with port 0 in an answer (RFC 3264 §6). Video, DTLS keys and ICE are not spoken.

mod body;
mod control;
mod read;
mod write;

pub use body::{Body, find as find_body};
pub use control::{Channel, Control};
pub use read::{Description, Line};
pub use write::Local;

use crate::leg::Rtp;
use units::Codec;

/// Why a description is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It is no SDP, or longer than the limit.
    Unreadable,
    /// No audio stream over RTP with an address is in it.
    NoAudio,
    /// Nothing that both sides speak: codec, or keys where they are required.
    NothingInCommon,
}

/// Longest description that is read, octets.
pub const OCTETS_MAX: usize = 16_384;
/// Most m-lines that are read.
pub const LINES_MAX: usize = 16;

/// What both sides settled: the far side's media, cut to what we share.
///
/// # Errors
/// [`Error::NothingInCommon`] if no codec is shared.
pub fn agree(ours: &Rtp, theirs: &Rtp) -> Result<Rtp, Error> {
    // RFC 3264 §6.1: the answerer should keep the offerer's order.
    let codecs: Vec<Codec> = theirs.codecs.iter().copied().filter(|c| ours.codecs.contains(c)).collect();
    if codecs.is_empty() || (theirs.srtp.is_some() && ours.srtp.is_none()) {
        return Err(Error::NothingInCommon);
    }
    let telephone_event = ours.telephone_event.and(theirs.telephone_event);
    Ok(Rtp { codecs, telephone_event, ..theirs.clone() })
}
