//! What telephones heard, judged: tones among frames of mu-law.

/// 20 ms frames of a recording in which a tone of this frequency is the sound (Goertzel).
#[must_use]
pub fn frames_with(audio: &[u8], hz: f64) -> usize {
    let coefficient = 2.0 * (std::f64::consts::TAU * hz / 8_000.0).cos();
    let is_tone = |frame: &[u8]| {
        let samples = frame.iter().map(|&o| f64::from(bench::farend::mulaw::decode(o)));
        let (mut a, mut b, mut all) = (0.0, 0.0, 0.0);
        for x in samples {
            (a, b) = (x + coefficient * a - b, a);
            all += x * x;
        }
        let power = a * a + b * b - coefficient * a * b;
        // A pure tone of n samples has a power of n/2 times its energy.
        all > 1e6 && power > 0.8 * all * 80.0
    };
    audio.chunks_exact(160).filter(|frame| is_tone(frame)).count()
}

/// A WAV (8 kHz, 16 bits, mono) of a tone of this many seconds.
#[must_use]
pub fn wav(hz: f64, seconds: u32) -> Vec<u8> {
    let octets: u32 = seconds * 8_000 * 2;
    let mut wav = b"RIFF".to_vec();
    wav.extend_from_slice(&(octets + 36).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend_from_slice(&8_000u32.to_le_bytes());
    wav.extend_from_slice(&16_000u32.to_le_bytes());
    wav.extend_from_slice(b"\x02\0\x10\0data");
    wav.extend_from_slice(&octets.to_le_bytes());
    for n in 0..octets / 2 {
        let v = (f64::from(n) * std::f64::consts::TAU * hz / 8_000.0).sin() * 8_000.0;
        #[expect(clippy::cast_possible_truncation, reason = "bounded by 8,000")]
        wav.extend_from_slice(&(v as i16).to_le_bytes());
    }
    wav
}

/// A WAV of 8 kHz, 16 bits, mono, as mu-law; what is no such file is silence.
#[must_use]
pub fn heard(path: &std::path::Path) -> Vec<u8> {
    let octets = std::fs::read(path).unwrap_or_default();
    let samples = octets.get(44..).unwrap_or_default().chunks_exact(2);
    samples.map(|pair| bench::farend::mulaw::encode(i16::from_le_bytes([pair[0], pair[1]]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_found_and_another_is_not() {
        let tone = |hz: f64| -> Vec<u8> {
            (0..1_600)
                .map(|n| {
                    let v = (f64::from(n) * std::f64::consts::TAU * hz / 8_000.0).sin() * 8_000.0;
                    #[expect(clippy::cast_possible_truncation, reason = "bounded by 8,000")]
                    bench::farend::mulaw::encode(v as i16)
                })
                .collect()
        };
        assert_eq!(frames_with(&tone(1_100.0), 1_100.0), 10);
        assert_eq!(frames_with(&tone(2_100.0), 1_100.0), 0);
        assert_eq!(frames_with(&[0xff; 1_600], 1_100.0), 0);
    }
}
