//! Octets to linear samples and back, per frame.

use crate::limits::FRAME;
use units::Codec;

/// Linear samples of a frame.
pub type Pcm = [i16; FRAME];

/// A frame of octets.
pub type Octets = [u8; FRAME];

const fn mu_decode(octet: u8) -> i16 {
    let u = !octet;
    let exponent = (u >> 4) & 7;
    let magnitude = ((((u & 0x0f) as i16) << 3) + 0x84) << exponent;
    if u & 0x80 != 0 { 0x84 - magnitude } else { magnitude - 0x84 }
}

const fn a_decode(octet: u8) -> i16 {
    let a = octet ^ 0x55;
    let exponent = (a >> 4) & 7;
    let base = (((a & 0x0f) as i16) << 4) + 8;
    let magnitude = if exponent == 0 { base } else { (base + 0x100) << (exponent - 1) };
    if a & 0x80 != 0 { magnitude } else { -magnitude }
}

const fn table(mu: bool) -> [i16; 256] {
    let mut t = [0; 256];
    let mut i = 0_u8;
    loop {
        t[i as usize] = if mu { mu_decode(i) } else { a_decode(i) };
        if i == 255 {
            return t;
        }
        i += 1;
    }
}

static MU: [i16; 256] = table(true);
static A: [i16; 256] = table(false);

fn mu_encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.unsigned_abs().min(32_635) + 0x84;
    let exponent = 8 - (magnitude.leading_zeros()).min(8);
    let exponent = exponent.min(7);
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | u8::try_from(exponent << 4).unwrap_or(0x70) | u8::try_from(mantissa).unwrap_or(0x0f))
}

fn a_encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0 } else { 0x80 };
    let magnitude = if sample < 0 { !sample } else { sample }.unsigned_abs();
    let exponent = 8 - magnitude.leading_zeros().min(8);
    let mantissa = (magnitude >> if exponent == 0 { 4 } else { exponent + 3 }) & 0x0f;
    (sign | u8::try_from(exponent << 4).unwrap_or(0x70) | u8::try_from(mantissa).unwrap_or(0x0f)) ^ 0x55
}

/// One sample in G.711; G.722 has no such thing and gives mu-law.
#[must_use]
pub fn encode_sample(codec: Codec, sample: i16) -> u8 {
    match codec {
        Codec::Pcma => a_encode(sample),
        Codec::Pcmu | Codec::G722 => mu_encode(sample),
    }
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
    let table = if codec == Codec::Pcma { &A } else { &MU };
    for (s, &o) in into.iter_mut().zip(octets) {
        *s = table[usize::from(o)];
    }
}

/// Encodes a G.711 frame.
pub fn encode(codec: Codec, pcm: &Pcm, into: &mut Octets) {
    for (o, &s) in into.iter_mut().zip(pcm) {
        *o = encode_sample(codec, s);
    }
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
    fn g711_every_octet_survives_a_round_trip() {
        for o in 0..=255_u8 {
            // Mu-law has two zeros; both stand for silence.
            let mu = mu_encode(MU[usize::from(o)]);
            assert!(mu == o || (o == 0x7f && mu == 0xff), "mu-law {o:#x} became {mu:#x}");
            assert_eq!(a_encode(A[usize::from(o)]), o);
        }
        assert_eq!((mu_encode(0), MU[0], MU[0x80]), (0xff, -32_124, 32_124));
        assert_eq!((A[0xd5], A[0x55], A[0xaa]), (8, -8, 32_256));
        for codec in [Codec::Pcmu, Codec::Pcma] {
            assert!(quiet(codec, &[silence(codec); FRAME]));
        }
    }
}
