//! G.711 mu-law by the formula of ITU-T G.711 §3, independent of the server's tables.

/// One octet to a linear sample in -32,124..=32,124.
#[must_use]
pub fn decode(octet: u8) -> i16 {
    let u = !octet;
    let magnitude = ((i32::from(u & 0x0f) << 3) + 0x84) << ((u & 0x70) >> 4);
    let value = if u & 0x80 == 0 { magnitude - 0x84 } else { 0x84 - magnitude };
    i16::try_from(value).expect("mu-law spans 14 bits, scaled to 16")
}

/// One linear sample to an octet.
#[must_use]
pub fn encode(sample: i16) -> u8 {
    let sign: u8 = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(32_635) + 0x84;
    let exponent = (31 - magnitude.leading_zeros()).saturating_sub(7).min(7);
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | u8::try_from(exponent << 4).expect("three bits") | u8::try_from(mantissa).expect("four bits"))
}

/// Mean power of mu-law octets in dBm0; -96 for silence. A full-scale sine is +3.17 dBm0 (G.711 §2).
#[must_use]
pub fn level_dbm0(octets: &[u8]) -> f64 {
    if octets.is_empty() {
        return -96.0;
    }
    let sum: f64 = octets.iter().map(|&o| f64::from(decode(o)).powi(2)).sum();
    #[expect(clippy::cast_precision_loss, reason = "frames are short")]
    let rms = (sum / octets.len() as f64).sqrt();
    if rms < 1.0 { -96.0 } else { 20.0 * (rms / (32_124.0 / 2f64.sqrt())).log10() + 3.17 }
}

/// Twice the power of each octet's sample over full scale, so that a frame's level is a sum of look-ups.
static POWER: [u32; 256] = powers();

#[expect(clippy::cast_possible_truncation, reason = "30 bits")]
const fn powers() -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut octet = 0usize;
    while octet < 256 {
        let u = !octet & 0xff;
        let magnitude = (((u & 0x0f) << 3) + 0x84) << ((u & 0x70) >> 4);
        let value = magnitude - 0x84;
        // 32,124 squared fits 30 bits; a frame of 160 fits 38.
        table[octet] = (value * value) as u32;
        octet += 1;
    }
    table
}

/// Sum of the squares of mu-law octets' samples; compare it with [`power_at`].
#[must_use]
pub fn power(octets: &[u8]) -> u64 {
    octets.iter().map(|&o| u64::from(POWER[usize::from(o)])).sum()
}

/// What [`power`] of `samples` octets is at a level in dBm0.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, 38 bits")]
pub fn power_at(dbm0: f64, samples: u32) -> u64 {
    let rms = 10f64.powf((dbm0 - 3.17) / 20.0) * 32_124.0 / 2f64.sqrt();
    (rms * rms * f64::from(samples)) as u64
}

/// A-law octets to mu-law ones in place (ITU-T G.711 §3.4): what is judged and kept is mu-law.
pub fn from_alaw(octets: &mut [u8]) {
    octets.iter_mut().for_each(|o| *o = encode(decode_alaw(*o)));
}

/// Mu-law octets to A-law ones in place.
pub fn to_alaw(octets: &mut [u8]) {
    octets.iter_mut().for_each(|o| *o = encode_alaw(decode(*o)));
}

fn decode_alaw(octet: u8) -> i16 {
    let a = i16::from(octet ^ 0x55);
    let exponent = (a & 0x70) >> 4;
    let mantissa = (a & 0x0f) << 4;
    let magnitude = if exponent == 0 { mantissa + 8 } else { (mantissa + 0x108) << (exponent - 1) };
    if a & 0x80 == 0 { -magnitude } else { magnitude }
}

fn encode_alaw(sample: i16) -> u8 {
    let sign: u8 = if sample < 0 { 0 } else { 0x80 };
    let magnitude = i32::from(sample).abs().min(32_635);
    let exponent = (31 - (magnitude | 1).leading_zeros()).saturating_sub(7).min(7);
    let mantissa = if exponent == 0 { magnitude >> 4 } else { magnitude >> (exponent + 3) } & 0x0f;
    let low = u8::try_from(mantissa).expect("four bits") | (u8::try_from(exponent).expect("three bits") << 4);
    (sign | low) ^ 0x55
}

/// A mu-law WAV file (8 kHz, mono) of these octets.
#[must_use]
pub fn wav(octets: &[u8]) -> Vec<u8> {
    let length = u32::try_from(octets.len()).unwrap_or(u32::MAX - 64);
    let mut out = Vec::with_capacity(octets.len() + 58);
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&(length + 50).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt \x12\0\0\0\x07\0\x01\0");
    out.extend_from_slice(&8000u32.to_le_bytes());
    out.extend_from_slice(&8000u32.to_le_bytes());
    out.extend_from_slice(&[1, 0, 8, 0, 0, 0]);
    out.extend_from_slice(b"fact\x04\0\0\0");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(b"data");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(octets);
    out
}

/// The mu-law octets of such a file, or `None` if it is no 8 kHz mono mu-law WAV.
#[must_use]
pub fn from_wav(bytes: &[u8]) -> Option<&[u8]> {
    if bytes.get(..4)? != b"RIFF" || bytes.get(8..12)? != b"WAVE" {
        return None;
    }
    let mut at = 12;
    let mut mulaw = false;
    while let Some(head) = bytes.get(at..at + 8) {
        let size = usize::try_from(u32::from_le_bytes(head[4..8].try_into().ok()?)).ok()?;
        let body = at + 8;
        match &head[..4] {
            b"fmt " => mulaw = bytes.get(body..body + 8)? == [7, 0, 1, 0, 0x40, 0x1f, 0, 0],
            b"data" if mulaw => return bytes.get(body..body.saturating_add(size).min(bytes.len())),
            _ => {}
        }
        at = body.checked_add(size)?.checked_add(size & 1)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_survives_decoding_and_encoding() {
        for octet in 0..=255u8 {
            // 0x7f is minus zero: it comes back as plus zero.
            let want = if octet == 0x7f { 0xff } else { octet };
            assert_eq!(encode(decode(octet)), want);
        }
        assert_eq!((decode(0x80), decode(0x00)), (32_124, -32_124));
    }

    #[test]
    fn alaw_octets_survive_the_way_through_linear() {
        for octet in 0..=255u8 {
            assert_eq!(encode_alaw(decode_alaw(octet)), octet, "{octet:#x} {}", decode_alaw(octet));
        }
        let mut tone = crate::farend::tones::sine(440.0, 100);
        let before = level_dbm0(&tone);
        to_alaw(&mut tone);
        from_alaw(&mut tone);
        assert!((level_dbm0(&tone) - before).abs() < 0.2);
    }

    #[test]
    fn a_wav_gives_back_its_octets() {
        let octets: Vec<u8> = (0..=255).collect();
        assert_eq!(from_wav(&wav(&octets)), Some(octets.as_slice()));
        assert_eq!(from_wav(b"RIFF"), None);
    }

    #[test]
    fn silence_and_full_scale_have_their_levels() {
        assert!(level_dbm0(&[0xff; 160]) < -90.0);
        assert!((level_dbm0(&[0x80, 0x00].repeat(80)) - 6.18).abs() < 0.1);
        for frame in [[0x90u8; 160], [0xd5; 160], [0xff; 160]] {
            let (level, power) = (level_dbm0(&frame), power(&frame));
            assert_eq!(level > -42.0, power > power_at(-42.0, 160), "{level} dBm0");
        }
    }
}
