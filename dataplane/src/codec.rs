//! Octets to linear samples and back, per frame.

use crate::limits::FRAME;
use hw::dsp::g711::Law;
use hw::dsp::g722;
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

/// G.722's state in both directions; G.711 has none. Lent with the specification of a bearer that needs it.
#[derive(Clone, Debug, Default)]
pub struct Wide {
    decoder: g722::Decoder,
    encoder: g722::Encoder,
    /// Decodes what we send, for recordings of both directions.
    monitor: g722::Decoder,
    last: i16,
}

impl Wide {
    /// Encodes 8 kHz samples: the upper band stays empty.
    fn encode(&mut self, pcm: &[i16], into: &mut [u8]) {
        for (o, &s) in into.iter_mut().zip(pcm) {
            let between = i16::midpoint(self.last, s);
            self.last = s;
            self.encoder.encode(&[between, s], std::slice::from_mut(o));
        }
    }
}

/// Decodes a frame that was heard to 8 kHz; G.722 needs its state and is silent without it.
pub fn decode(codec: Codec, wide: Option<&mut Wide>, octets: &Octets, into: &mut Pcm) {
    match (codec, wide) {
        (Codec::G722, Some(wide)) => {
            wide.decoder.decode_narrow(octets, into);
        }
        (Codec::G722, None) => into.fill(0),
        (Codec::Pcmu | Codec::Pcma, _) => {
            law(codec).decode(octets, into);
        }
    }
}

/// Decodes a frame that we say, as [`decode`].
pub fn decode_said(codec: Codec, wide: Option<&mut Wide>, octets: &Octets, into: &mut Pcm) {
    match (codec, wide) {
        (Codec::G722, Some(wide)) => {
            wide.monitor.decode_narrow(octets, into);
        }
        (codec, _) => decode(codec, None, octets, into),
    }
}

/// Encodes 8 kHz samples, as many as both slices have; G.722 needs its state and is silent without it.
pub fn encode(codec: Codec, wide: Option<&mut Wide>, pcm: &[i16], into: &mut [u8]) {
    match (codec, wide) {
        (Codec::G722, Some(wide)) => wide.encode(pcm, into),
        (Codec::G722, None) => into.fill(silence(codec)),
        (Codec::Pcmu | Codec::Pcma, _) => {
            law(codec).encode(pcm, into);
        }
    }
}

/// A whole prompt of 8 kHz samples in a codec.
#[must_use]
pub fn render(codec: Codec, samples: &[i16]) -> Vec<u8> {
    let mut octets = vec![0; samples.len()];
    encode(codec, Some(&mut Wide::default()), samples, &mut octets);
    octets
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
            encode(codec, None, &[2000; FRAME], &mut loud);
            assert!(!quiet(codec, &loud));
            decode(codec, None, &loud, &mut pcm);
            assert!(pcm.iter().all(|s| (1900..2100).contains(s)));
        }
    }

    #[test]
    fn g722_at_8_khz_keeps_the_level() {
        let mut wide = Wide::default();
        let mut tone = hw::dsp::tone::Chord::new(&[hw::dsp::tone::Sine { hz: 1000.0, dbm0: -15.0 }]);
        let mut level = 0.0;
        for _ in 0..20 {
            let (mut pcm, mut octets, mut back) = ([0; FRAME], [0; FRAME], [0; FRAME]);
            tone.fill(&mut pcm);
            encode(Codec::G722, Some(&mut wide), &pcm, &mut octets);
            decode(Codec::G722, Some(&mut wide), &octets, &mut back);
            level = hw::dsp::level::of(&back);
        }
        assert!((level + 15.0).abs() < 1.0, "{level}");
    }
}
