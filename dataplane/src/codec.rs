//! Octets to linear samples and back, per frame.

use crate::limits::FRAME;
use hw::dsp::g711::Law;
use units::Codec;

/// Linear samples of a frame.
pub type Pcm = [i16; FRAME];

/// A frame of octets.
pub type Octets = [u8; FRAME];

fn law(codec: Codec) -> Law {
    match codec {
        Codec::Pcma => Law::A,
        Codec::Pcmu | Codec::G722 => Law::Mu,
    }
}

/// One sample in G.711; G.722 has no such thing and gives mu-law.
#[must_use]
pub fn encode_sample(codec: Codec, sample: i16) -> u8 {
    law(codec).to_octet(sample)
}

/// The octet of silence.
#[must_use]
pub fn silence(codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu => 0xff,
        Codec::Pcma => 0xd5,
        // Two sub-bands at rest, ITU-T G.722 §3: the smallest positive code in each.
        Codec::G722 => 0xfa,
    }
}

/// Decodes a G.711 frame.
pub fn decode(codec: Codec, octets: &Octets, into: &mut Pcm) {
    law(codec).decode(octets, into);
}

/// Encodes a G.711 frame.
pub fn encode(codec: Codec, pcm: &Pcm, into: &mut Octets) {
    law(codec).encode(pcm, into);
}

/// A frame so soft (below about -48 dBm0) that nobody misses it.
#[must_use]
pub fn quiet(codec: Codec, octets: &Octets) -> bool {
    match codec {
        Codec::Pcmu => octets.iter().all(|&o| !o & 0x7f < 0x18),
        Codec::Pcma => octets.iter().all(|&o| (o ^ 0x55) & 0x7f < 0x10),
        Codec::G722 => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_quiet_and_speech_is_not() {
        for codec in [Codec::Pcmu, Codec::Pcma] {
            assert!(quiet(codec, &[silence(codec); FRAME]));
            let (mut loud, mut pcm) = ([0; FRAME], [0; FRAME]);
            encode(codec, &[2000; FRAME], &mut loud);
            assert!(!quiet(codec, &loud));
            decode(codec, &loud, &mut pcm);
            assert!(pcm.iter().all(|s| (1900..2100).contains(s)));
        }
    }
}
