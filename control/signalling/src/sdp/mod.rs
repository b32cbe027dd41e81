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
pub use write::{CRYPTO_TAG, Local};

use crate::leg::{Rtp, Srtp};
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
    let keyed = match (&ours.srtp, &theirs.srtp) {
        (Some(_), Some(_)) | (None, None) => true,
        (Some(own), None) => own.optional,
        (None, Some(_)) => false,
    };
    if codecs.is_empty() || !keyed {
        return Err(Error::NothingInCommon);
    }
    let telephone_event = ours.telephone_event.and(theirs.telephone_event);
    Ok(Rtp { codecs, telephone_event, ..theirs.clone() })
}

/// Once agreed, a session stays what it is, RTP or SRTP: nobody talks it down later.
pub fn settle(ours: &mut Rtp, theirs: &Rtp) {
    let keys = ours.srtp.take().filter(|_| theirs.srtp.is_some());
    ours.srtp = keys.map(|keys| Srtp { optional: false, ..keys });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtp(keys: Option<bool>) -> Rtp {
        Rtp {
            addr: "192.0.2.9:6000".parse().expect("address"),
            rtcp: None,
            codecs: vec![Codec::Pcmu],
            telephone_event: None,
            sends: true,
            receives: true,
            srtp: keys.map(|optional| Srtp { optional, tag_bits: 80, key_salt: [7; 30] }),
            ptime_ms: 20,
        }
    }

    #[test]
    fn rfc4568_keys_are_agreed_by_both_or_not_at_all() {
        let check = |ours: Option<bool>, theirs: bool, want: bool| {
            let agreed = agree(&rtp(ours), &rtp(theirs.then_some(false)));
            assert_eq!(agreed.is_ok(), want, "{ours:?} {theirs}");
        };
        check(None, false, true);
        check(None, true, false);
        check(Some(true), false, true);
        check(Some(true), true, true);
        check(Some(false), false, false);
        check(Some(false), true, true);
    }

    #[test]
    fn what_was_agreed_is_not_talked_down() {
        let mut ours = rtp(Some(true));
        settle(&mut ours, &rtp(Some(false)));
        assert_eq!(agree(&ours, &rtp(None)), Err(Error::NothingInCommon));
        let mut ours = rtp(Some(true));
        settle(&mut ours, &rtp(None));
        assert_eq!(ours.srtp, None);
    }
}
