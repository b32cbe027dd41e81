//! `Mouth`: the RTP that a telephone sends. One packet of 20 ms at each call of [`Mouth::frame`]: silence, speech, a
//! tone, or a key press as RFC 4733 events or in band.

use super::mulaw;
use std::collections::VecDeque;
use std::sync::Arc;
use units::{Digit, Rng, Seed};

const FRAME: u32 = 160;
/// RFC 4733 §2.5.1.4: the end packet is sent three times.
const END_PACKETS: u8 = 3;

/// What is said next, in order.
#[derive(Clone, Debug)]
enum Saying {
    /// Mu-law octets from a position.
    Audio(Arc<[u8]>, usize),
    /// A key as events: units sent so far, then the end packets that are left.
    Event { digit: Digit, start: u32, units: u16, length: u16, ends: u8 },
    /// Silence for so many frames.
    Silence(u32),
}

/// One stream's voice.
#[derive(Debug)]
pub struct Mouth {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    payload_type: u8,
    event_type: Option<u8>,
    saying: VecDeque<Saying>,
    marker: bool,
}

impl Mouth {
    /// A mouth for a payload type and, if agreed, a telephone-event type.
    #[must_use]
    pub fn new(seed: Seed, payload_type: u8, event_type: Option<u8>) -> Self {
        let mut rng = Rng::new(seed);
        let sequence = u16::try_from(rng.below(0x8000)).expect("below 2^15");
        Self {
            ssrc: rng.next_u32(),
            sequence,
            timestamp: rng.next_u32(),
            payload_type,
            event_type,
            saying: VecDeque::new(),
            marker: true,
        }
    }

    /// What was agreed, once it is known or has changed.
    pub fn agree(&mut self, payload_type: u8, event_type: Option<u8>) {
        self.payload_type = payload_type;
        // A press that is being sent goes on as it began.
        if event_type.is_some() || self.saying.is_empty() {
            self.event_type = event_type;
        }
    }

    /// Says mu-law audio after what is being said.
    pub fn say(&mut self, audio: Arc<[u8]>) {
        if !audio.is_empty() {
            self.saying.push_back(Saying::Audio(audio, 0));
        }
    }

    /// Stops what is being said and forgets what waits.
    pub fn hush(&mut self) {
        self.saying.clear();
    }

    /// Stays silent for so long after what is being said.
    pub fn silence(&mut self, ms: u32) {
        if ms >= 20 {
            self.saying.push_back(Saying::Silence(ms / 20));
        }
    }

    /// Presses a key for `ms`: by events if agreed and not `in_band`, else as a dual tone.
    pub fn press(&mut self, digit: Digit, ms: u16, in_band: bool) {
        if self.event_type.is_some() && !in_band {
            let length = (ms / 20).max(2) * 160;
            self.saying.push_back(Saying::Event { digit, start: 0, units: 0, length, ends: END_PACKETS });
        } else {
            self.say(dual_tone(digit, u32::from(ms)).into());
        }
    }

    /// How long what waits to be said takes, ms.
    #[must_use]
    pub fn queued_ms(&self) -> u32 {
        let frames = |s: &Saying| match s {
            Saying::Audio(audio, at) => u32::try_from((audio.len() - at).div_ceil(160)).unwrap_or(u32::MAX),
            Saying::Event { length, units, ends, .. } => u32::from((length - units) / 160) + u32::from(*ends),
            Saying::Silence(left) => *left,
        };
        self.saying.iter().map(frames).fold(0, u32::saturating_add).saturating_mul(20)
    }

    /// The agreed telephone-event type.
    #[must_use]
    pub fn event_type(&self) -> Option<u8> {
        self.event_type
    }

    /// Whether something is still being said.
    #[must_use]
    pub fn busy(&self) -> bool {
        !self.saying.is_empty()
    }

    /// Writes the next packet into `out`; its length. Call every 20 ms.
    pub fn frame(&mut self, out: &mut [u8; 172]) -> usize {
        let timestamp = self.timestamp;
        self.timestamp = self.timestamp.wrapping_add(FRAME);
        let length = match self.saying.front_mut() {
            Some(Saying::Event { digit, start, units, length, ends }) => {
                let first = *units == 0;
                if first {
                    *start = timestamp;
                }
                let over = *units >= *length;
                if over {
                    *ends -= 1;
                } else {
                    *units += 160;
                }
                let event = [digit.event(), if over { 0x80 | 10 } else { 10 }];
                let (start, units, done) = (*start, *units, *ends == 0);
                if done {
                    self.saying.pop_front();
                }
                let event_type = self.event_type.expect("events are said only where agreed");
                self.head(out, event_type, start, first);
                out[12..14].copy_from_slice(&event);
                out[14..16].copy_from_slice(&units.to_be_bytes());
                16
            }
            _ => {
                self.head(out, self.payload_type, timestamp, self.marker);
                self.marker = false;
                self.audio(out);
                if self.payload_type == 8 {
                    mulaw::to_alaw(&mut out[12..172]);
                }
                172
            }
        };
        self.sequence = self.sequence.wrapping_add(1);
        length
    }

    fn head(&self, out: &mut [u8; 172], payload_type: u8, timestamp: u32, marker: bool) {
        out[0] = 0x80;
        out[1] = payload_type | if marker { 0x80 } else { 0 };
        out[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        out[4..8].copy_from_slice(&timestamp.to_be_bytes());
        out[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
    }

    fn audio(&mut self, out: &mut [u8; 172]) {
        let frame = &mut out[12..172];
        frame.fill(0xff);
        let over = match self.saying.front_mut() {
            Some(Saying::Audio(audio, at)) => {
                let n = (audio.len() - *at).min(160);
                frame[..n].copy_from_slice(&audio[*at..*at + n]);
                *at += n;
                *at == audio.len()
            }
            Some(Saying::Silence(left)) => {
                *left = left.saturating_sub(1);
                *left == 0
            }
            _ => false,
        };
        if over {
            self.saying.pop_front();
        }
    }
}

/// A key as mu-law octets: two sines of -9 dBm0 each (ITU-T Q.23).
#[must_use]
pub fn dual_tone(digit: Digit, ms: u32) -> Vec<u8> {
    const LOW: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
    const HIGH: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
    let (row, column) = match digit.as_char() {
        '0' => (3, 1),
        '*' => (3, 0),
        '#' => (3, 2),
        c @ 'A'..='D' => (u32::from(c) - u32::from('A'), 3),
        c => {
            let n = u32::from(c) - u32::from('1');
            (n / 3, n % 3)
        }
    };
    let (low, high) = (LOW[row as usize], HIGH[column as usize]);
    let sine = |hz: f64, n: u32| (std::f64::consts::TAU * hz * f64::from(n) / 8000.0).sin();
    (0..ms * 8)
        .map(|n| {
            let v = (sine(low, n) + sine(high, n)) * 7_900.0;
            #[expect(clippy::cast_possible_truncation, reason = "bounded by 15,800")]
            mulaw::encode(v as i16)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digit(c: char) -> Digit {
        Digit::try_from(c).expect("a digit")
    }

    #[test]
    fn rfc4733_2_5_1_a_press_keeps_its_timestamp_and_ends_three_times() {
        let mut mouth = Mouth::new(Seed(1), 0, Some(101));
        mouth.press(digit('5'), 60, false);
        mouth.silence(60);
        let mut packets = Vec::new();
        let mut out = [0; 172];
        for _ in 0..7 {
            let n = mouth.frame(&mut out);
            packets.push(out[..n].to_vec());
        }
        let events: Vec<_> = packets.iter().filter(|p| p[1] & 0x7f == 101).collect();
        assert_eq!(events.len(), 6);
        assert!(events.iter().all(|p| p[4..8] == events[0][4..8] && p[12] == 5));
        assert_eq!(events.iter().filter(|p| p[13] & 0x80 != 0).count(), 3);
        assert_eq!(events[5][14..16], 480u16.to_be_bytes());
        assert!(events[0][1] & 0x80 != 0 && events[1][1] & 0x80 == 0);
        let step = |a: &[u8], b: &[u8]| {
            u16::from_be_bytes([b[2], b[3]]).wrapping_sub(u16::from_be_bytes([a[2], a[3]]))
        };
        assert!(packets.windows(2).all(|w| step(&w[0], &w[1]) == 1));
    }

    #[test]
    fn without_agreement_a_press_is_a_tone() {
        let mut mouth = Mouth::new(Seed(1), 0, None);
        mouth.press(digit('#'), 100, false);
        let mut out = [0; 172];
        mouth.silence(60);
        assert_eq!(mouth.queued_ms(), 160);
        assert_eq!(mouth.frame(&mut out), 172);
        let level = mulaw::level_dbm0(&out[12..]);
        assert!((-10.0..-4.0).contains(&level), "{level}");
        for _ in 0..8 {
            mouth.frame(&mut out);
        }
        assert!(!mouth.busy());
    }
}
