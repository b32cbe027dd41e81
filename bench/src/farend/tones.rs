//! Sounds of a network or a machine, as mu-law octets: special information tones, busy, fax, a beep, and something that
//! a speech detector takes for a voice.

use super::mulaw;
use std::f64::consts::TAU;
use units::Seed;

/// What may follow `tone` in a scenario.
pub const KINDS: &str = "sit, sit-ic, sit-vc, sit-ro, sit-nc, busy, ringback, ced, cng, beep";

/// A stretch of one tone.
type Part = (f64, u32);

/// A tone of `ms`; `None`: there is no such kind. A special information tone is played once, then there is quiet.
#[must_use]
pub fn tone(kind: &str, ms: u32) -> Option<Vec<u8>> {
    // ITU-T E.180/Q.35 §4: three tones of 330 ms. The North American forms tell the reason by frequency and length.
    let sit: Option<[Part; 3]> = match kind {
        "sit" => Some([(950.0, 330), (1400.0, 330), (1800.0, 330)]),
        "sit-ic" => Some([(913.8, 274), (1370.6, 274), (1776.7, 380)]),
        "sit-vc" => Some([(985.2, 380), (1370.6, 274), (1776.7, 380)]),
        "sit-ro" => Some([(913.8, 274), (1428.5, 380), (1776.7, 380)]),
        "sit-nc" => Some([(985.2, 380), (1428.5, 380), (1776.7, 380)]),
        _ => None,
    };
    if let Some(parts) = sit {
        let mut out: Vec<u8> = parts.iter().flat_map(|&(hz, part_ms)| sine(hz, part_ms)).collect();
        out.resize(ms as usize * 8, 0xff);
        return Some(out);
    }
    Some(match kind {
        "busy" => cadence(425.0, 500, 500, ms),
        "ringback" => cadence(425.0, 1000, 4000, ms),
        // ITU-T T.30 §4.3.3.
        "ced" => sine(2100.0, ms),
        "cng" => cadence(1100.0, 500, 3000, ms),
        "beep" => sine(1000.0, ms),
        _ => return None,
    })
}

/// -13 dBm0 of one frequency.
#[must_use]
pub fn sine(hz: f64, ms: u32) -> Vec<u8> {
    (0..ms * 8).map(|n| octet((TAU * hz * f64::from(n) / 8000.0).sin() * 5_000.0)).collect()
}

fn cadence(hz: f64, on_ms: u32, off_ms: u32, ms: u32) -> Vec<u8> {
    let tone = sine(hz, on_ms);
    let one: Vec<u8> = tone.into_iter().chain(std::iter::repeat_n(0xff, off_ms as usize * 8)).collect();
    one.into_iter().cycle().take(ms as usize * 8).collect()
}

/// Something like a voice: syllables of 150 to 280 ms, harmonics of a moving pitch under a formant, and a breath after
/// every few of them. The same seed speaks the same.
#[must_use]
pub fn speech(ms: u32, seed: Seed) -> Vec<u8> {
    let mut rng = seed.rng();
    let mut out = Vec::with_capacity(ms as usize * 8);
    let mut syllables = 0;
    while out.len() < ms as usize * 8 {
        let length = u32::try_from(1_200 + rng.below(1_040)).expect("below 2,240 samples");
        let pitch = 100.0 + 60.0 * rng.unit();
        let formant = 350.0 + 500.0 * rng.unit();
        out.extend((0..length).map(|n| syllable(n, length, pitch, formant)));
        syllables += 1;
        let pause = if syllables % 6 == 0 { 2_400 } else { 320 };
        out.extend(std::iter::repeat_n(0xff, pause));
    }
    out.truncate(ms as usize * 8);
    out
}

fn syllable(n: u32, length: u32, pitch: f64, formant: f64) -> u8 {
    let t = f64::from(n) / 8000.0;
    let envelope = (std::f64::consts::PI * f64::from(n) / f64::from(length)).sin();
    let sum: f64 = (1..=8)
        .map(|h| {
            let hz = pitch * f64::from(h);
            let weight = 1.0 / (1.0 + ((hz - formant) / 250.0).powi(2));
            weight * (TAU * hz * t).sin()
        })
        .sum();
    octet(envelope * sum * 5_000.0)
}

fn octet(v: f64) -> u8 {
    #[expect(clippy::cast_possible_truncation, reason = "clamped to what i16 holds")]
    mulaw::encode(v.clamp(-32_000.0, 32_000.0) as i16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_length_and_sounds() {
        for kind in KINDS.split(", ") {
            let t = tone(kind, 2000).expect(kind);
            assert_eq!(t.len(), 16_000, "{kind}");
            assert!(mulaw::level_dbm0(&t[..2000]) > -20.0, "{kind}");
        }
        assert_eq!(tone("whistle", 10), None);
    }

    #[test]
    fn speech_has_syllables_and_breaths() {
        let s = speech(4000, Seed(1));
        let levels: Vec<bool> = s.chunks(160).map(|f| mulaw::level_dbm0(f) > -40.0).collect();
        let loud = levels.iter().filter(|l| **l).count();
        assert!((100..190).contains(&loud), "{loud} of 200 frames are loud");
        assert_eq!(speech(4000, Seed(1)), s);
        assert_ne!(speech(4000, Seed(2)), s);
    }
}
