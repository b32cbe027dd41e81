//! ITU-T G.711: mu-law and A-law to and from linear 16-bit samples, by tables made at compile time.
//!
//! Linear values are the standard's 14-bit (mu) and 13-bit (A) values scaled to 16 bits, as ITU-T G.191's reference
//! does, so that 0 dBm0 has the same peak in both laws. Mu-law octets have all bits inverted, A-law octets the even
//! bits, as they travel.

/// Which of the two laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Law {
    /// Mu-law: North America, Japan.
    Mu,
    /// A-law: the rest of the world.
    A,
}

impl Law {
    /// The octet of silence (a zero sample).
    #[must_use]
    pub const fn silence(self) -> u8 {
        match self {
            Law::Mu => 0xFF,
            Law::A => 0xD5,
        }
    }

    /// One octet to a linear sample.
    #[must_use]
    pub fn to_linear(self, octet: u8) -> i16 {
        match self {
            Law::Mu => mu_to_linear(octet),
            Law::A => a_to_linear(octet),
        }
    }

    /// One linear sample to an octet.
    #[must_use]
    pub fn to_octet(self, sample: i16) -> u8 {
        match self {
            Law::Mu => linear_to_mu(sample),
            Law::A => linear_to_a(sample),
        }
    }

    /// Decodes as many as fit both slices; how many.
    pub fn decode(self, octets: &[u8], into: &mut [i16]) -> usize {
        #[cfg(target_arch = "x86_64")]
        let done = super::kernel::g711::decode(self, octets, into);
        #[cfg(not(target_arch = "x86_64"))]
        let done = 0;
        let table = match self {
            Law::Mu => &MU_TO_LINEAR,
            Law::A => &A_TO_LINEAR,
        };
        for (o, &c) in into[done..].iter_mut().zip(&octets[done..]) {
            *o = table[usize::from(c)];
        }
        octets.len().min(into.len())
    }

    /// Encodes as many as fit both slices; how many.
    pub fn encode(self, samples: &[i16], into: &mut [u8]) -> usize {
        match self {
            Law::Mu => into.iter_mut().zip(samples).for_each(|(o, &s)| *o = linear_to_mu(s)),
            Law::A => into.iter_mut().zip(samples).for_each(|(o, &s)| *o = linear_to_a(s)),
        }
        samples.len().min(into.len())
    }

    /// The octet of the other law that G.711 tables 3 and 4 would give by way of the linear value.
    #[must_use]
    pub fn transcode(self, octet: u8, to: Law) -> u8 {
        if self == to { octet } else { to.to_octet(self.to_linear(octet)) }
    }
}

/// One mu-law octet to linear.
#[must_use]
pub fn mu_to_linear(octet: u8) -> i16 {
    MU_TO_LINEAR[usize::from(octet)]
}

/// One A-law octet to linear.
#[must_use]
pub fn a_to_linear(octet: u8) -> i16 {
    A_TO_LINEAR[usize::from(octet)]
}

/// One linear sample to mu-law; the two lowest bits do not matter.
#[must_use]
pub fn linear_to_mu(sample: i16) -> u8 {
    LINEAR_TO_MU[usize::from(sample.cast_unsigned() >> 2)]
}

/// One linear sample to A-law; the four lowest bits do not matter.
#[must_use]
pub fn linear_to_a(sample: i16) -> u8 {
    LINEAR_TO_A[usize::from(sample.cast_unsigned() >> 4)]
}

/// G.711 table 2: sign, three bits of segment, four of step; the output is in the middle of the step.
const fn expand_mu(octet: u8) -> i16 {
    let c = !octet;
    let segment = (c >> 4) & 7;
    let step = (c & 15) as i16;
    let magnitude = (((step << 3) + 0x84) << segment) - 0x84;
    if c & 0x80 != 0 { -magnitude } else { magnitude }
}

/// G.711 table 1.
const fn expand_a(octet: u8) -> i16 {
    let c = octet ^ 0x55;
    let segment = (c >> 4) & 7;
    let step = ((c & 15) as i16) << 4;
    let magnitude = match segment {
        0 => step + 8,
        s => (step + 0x108) << (s - 1),
    };
    if c & 0x80 != 0 { magnitude } else { -magnitude }
}

/// `sample14` is the sample's upper 14 bits.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seven bits of code")]
const fn compress_mu(sample14: i16) -> u8 {
    let negative = sample14 < 0;
    // G.191 takes the one's complement of negatives, so that -1 and 0 are the two zeros.
    let magnitude = if negative { !sample14 } else { sample14 };
    let biased = if magnitude > 8158 { 8158 + 33 } else { magnitude + 33 };
    // The bias makes the smallest value 33, which has six bits: segment 0.
    let segment = 10 - biased.leading_zeros() as i16;
    let step = (biased >> (segment + 1)) & 15;
    let code = ((segment << 4) | step) as u8;
    if negative { !code & 0x7F } else { !code }
}

/// `sample12` is the sample's upper 12 bits.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seven bits of code")]
const fn compress_a(sample12: i16) -> u8 {
    let negative = sample12 < 0;
    let magnitude = if negative { !sample12 } else { sample12 };
    let segment = 12 - magnitude.leading_zeros() as i16;
    let code = if segment <= 0 {
        magnitude as u8
    } else {
        ((segment << 4) | ((magnitude >> (segment - 1)) & 15)) as u8
    };
    if negative { code ^ 0x55 } else { (code | 0x80) ^ 0x55 }
}

#[expect(clippy::cast_possible_truncation, reason = "indices of a table of 256")]
const fn table_expand(a_law: bool) -> [i16; 256] {
    let mut t = [0; 256];
    let mut i = 0;
    while i < 256 {
        t[i] = if a_law { expand_a(i as u8) } else { expand_mu(i as u8) };
        i += 1;
    }
    t
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "indices below 16,384, then sign-extended"
)]
const fn table_mu() -> [u8; 16_384] {
    let mut t = [0; 16_384];
    let mut i = 0;
    while i < t.len() {
        t[i] = compress_mu(((i << 2) as i16) >> 2);
        i += 1;
    }
    t
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "indices below 4,096, then sign-extended"
)]
const fn table_a() -> [u8; 4_096] {
    let mut t = [0; 4_096];
    let mut i = 0;
    while i < t.len() {
        t[i] = compress_a(((i << 4) as i16) >> 4);
        i += 1;
    }
    t
}

static MU_TO_LINEAR: [i16; 256] = table_expand(false);
static A_TO_LINEAR: [i16; 256] = table_expand(true);
static LINEAR_TO_MU: [u8; 16_384] = table_mu();
static LINEAR_TO_A: [u8; 4_096] = table_a();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g711_table_1_and_2_corner_values() {
        let check = |law: Law, octet: u8, linear: i16| {
            assert_eq!(law.to_linear(octet), linear, "{law:?} {octet:02x}")
        };
        check(Law::Mu, 0x80, 32_124);
        check(Law::Mu, 0x00, -32_124);
        check(Law::Mu, 0xFF, 0);
        check(Law::Mu, 0x7F, 0);
        check(Law::A, 0xAA, 32_256);
        check(Law::A, 0x2A, -32_256);
        check(Law::A, 0xD5, 8);
        check(Law::A, 0x55, -8);
    }

    #[test]
    fn every_octet_survives_decoding_and_encoding() {
        for octet in 0..=255u8 {
            let back = Law::Mu.to_octet(Law::Mu.to_linear(octet));
            assert!(back == octet || (octet == 0x7F && back == 0xFF), "mu {octet:02x} {back:02x}");
            assert_eq!(Law::A.to_octet(Law::A.to_linear(octet)), octet, "A {octet:02x}");
        }
    }

    #[test]
    fn encoding_is_monotonic_and_near() {
        // Within half a step: a step is at most 1/16 of the segment's base (plus the linear step at zero).
        for law in [Law::Mu, Law::A] {
            let mut last = i16::MIN;
            for s in i16::MIN..=i16::MAX {
                let back = law.to_linear(law.to_octet(s));
                assert!(back >= last, "{law:?} {s}");
                last = back;
                let error = (i32::from(back) - i32::from(s)).abs();
                assert!(error <= 16 + i32::from(s).abs() / 28, "{law:?} {s} {back}");
            }
        }
    }

    #[test]
    fn many_octets_decode_as_each_alone() {
        let octets: Vec<u8> = (0..=255).chain(0..7).collect();
        for law in [Law::Mu, Law::A] {
            let mut linear = vec![0; octets.len()];
            assert_eq!(law.decode(&octets, &mut linear), octets.len());
            let alone: Vec<i16> = octets.iter().map(|&o| law.to_linear(o)).collect();
            assert_eq!(linear, alone, "{law:?}");
        }
    }

    #[test]
    fn slices_stop_at_the_shorter() {
        let mut out = [0i16; 3];
        assert_eq!(Law::Mu.decode(&[0x80, 0xFF], &mut out), 2);
        assert_eq!(out, [32_124, 0, 0]);
        let mut octets = [0u8; 2];
        assert_eq!(Law::A.encode(&[0, 0, 0], &mut octets), 2);
        assert_eq!(octets, [0xD5, 0xD5]);
        assert_eq!(Law::Mu.transcode(0xFF, Law::A), 0xD5);
    }
}
