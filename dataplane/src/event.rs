//! Telephone events (RFC 4733): each press is told once, however many of its packets are lost, repeated or reordered;
//! and sending them, with the end sent three times.

use units::Digit;

/// Octets of one event in a payload (RFC 4733 §2.3).
pub const EVENT: usize = 4;

/// What one event payload says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EventPacket {
    /// Event code; digits are 0..=15.
    pub event: u8,
    /// The event is over.
    pub end: bool,
    /// Power, -dBm0, 0..=63.
    pub volume: u8,
    /// Duration so far, timestamp units.
    pub duration: u16,
}

/// Reads the first event of a payload; `None` if it is too short.
#[must_use]
pub fn parse(payload: &[u8]) -> Option<EventPacket> {
    let b: [u8; EVENT] = payload.get(..EVENT)?.try_into().ok()?;
    Some(EventPacket {
        event: b[0],
        end: b[1] & 0x80 != 0,
        volume: b[1] & 0x3f,
        duration: u16::from_be_bytes([b[2], b[3]]),
    })
}

/// Writes an event.
#[must_use]
pub fn build(event: EventPacket) -> [u8; EVENT] {
    let d = event.duration.to_be_bytes();
    [event.event, (u8::from(event.end) << 7) | (event.volume & 0x3f), d[0], d[1]]
}

/// The receiving side: what press is or was last.
#[derive(Clone, Copy, Default)]
pub struct Receiver {
    timestamp: u32,
    sequence: u16,
    event: u8,
    duration: u16,
    state: Press,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Press {
    #[default]
    Never,
    Down,
    Up,
}

/// What an event packet meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A new press.
    Pressed(Digit),
    /// More of a press that is known, or no digit.
    Nothing,
}

/// A segment this long is followed by another with a new timestamp (RFC 4733 §2.5.1.3); senders break at the limit or
/// within a packet of it.
const SEGMENT_MIN: u16 = 0xffff - 800;

/// How far the next segment's timestamp may be from where the last one ended, timestamp units.
const SEGMENT_SLACK: u32 = 1600;

impl Receiver {
    /// Takes a packet: its sequence number (already known not to be a replay), its timestamp and its event.
    pub fn receive(&mut self, sequence: u16, timestamp: u32, packet: EventPacket) -> Heard {
        let Some(digit) = Digit::from_event(packet.event) else { return Heard::Nothing };
        if self.state != Press::Never && timestamp == self.timestamp {
            return self.more(sequence, packet);
        }
        // A packet of an earlier press that was overtaken: its sequence number is behind the press that we know.
        if self.state != Press::Never && sequence.wrapping_sub(self.sequence) >= 0x8000 {
            return Heard::Nothing;
        }
        let continues = self.continues(timestamp, packet.event);
        *self = Receiver {
            timestamp,
            sequence,
            event: packet.event,
            duration: packet.duration,
            state: if packet.end { Press::Up } else { Press::Down },
        };
        if continues { Heard::Nothing } else { Heard::Pressed(digit) }
    }

    fn more(&mut self, sequence: u16, packet: EventPacket) -> Heard {
        if sequence.wrapping_sub(self.sequence) < 0x8000 {
            self.sequence = sequence;
        }
        if packet.event == self.event {
            self.duration = self.duration.max(packet.duration);
            if packet.end {
                self.state = Press::Up;
            }
        }
        Heard::Nothing
    }

    /// RFC 4733 §2.5.1.3: a press longer than a segment goes on with the timestamp at which the segment ended.
    fn continues(&self, timestamp: u32, event: u8) -> bool {
        let end = self.timestamp.wrapping_add(u32::from(self.duration));
        let gap = timestamp.wrapping_sub(end).min(end.wrapping_sub(timestamp));
        let full = timestamp.wrapping_sub(self.timestamp);
        self.state == Press::Down
            && event == self.event
            && ((self.duration >= SEGMENT_MIN && gap <= SEGMENT_SLACK)
                || full.wrapping_sub(u32::from(SEGMENT_MIN)) <= 2 * SEGMENT_SLACK)
    }

    /// The press goes on.
    #[must_use]
    pub fn down(&self) -> bool {
        self.state == Press::Down
    }

    /// Samples of the press so far.
    #[must_use]
    pub fn duration(&self) -> u16 {
        self.duration
    }
}

/// The sending side of one press.
#[derive(Clone, Copy, Default)]
pub struct Sender {
    event: u8,
    timestamp: u32,
    elapsed: u32,
    length: u32,
    state: Sending,
    /// End packets still to send, or frames of pause after them.
    left: u8,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Sending {
    #[default]
    Idle,
    On,
    End,
    Pause,
}

/// What is to be sent in a frame in place of audio.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ToSend {
    /// RFC 4733 §2.5.1.1: the marker bit on the first packet of a press.
    pub marker: bool,
    /// The timestamp of the press's (or segment's) beginning.
    pub timestamp: u32,
    /// Its payload.
    pub event: EventPacket,
}

/// End packets sent for a press (RFC 4733 §2.5.1.4).
const ENDS: u8 = 3;
/// Frames of silence between two presses: 60 ms.
const PAUSE: u8 = 3;
/// -dBm0 of what is sent.
const VOLUME: u8 = 10;

impl Sender {
    /// Ready for another press.
    #[must_use]
    pub fn idle(&self) -> bool {
        self.state == Sending::Idle
    }

    /// Audio is suspended: a press is on.
    #[must_use]
    pub fn on(&self) -> bool {
        self.state == Sending::On || self.state == Sending::End
    }

    /// Begins a press of `length` samples at `timestamp`.
    pub fn begin(&mut self, digit: Digit, length: u32, timestamp: u32) {
        let length = length.max(320);
        *self = Sender { event: digit.event(), timestamp, elapsed: 0, length, state: Sending::On, left: 0 };
    }

    /// One frame of 160 samples has passed: what is sent for it.
    pub fn frame(&mut self) -> Option<ToSend> {
        match self.state {
            Sending::Idle => None,
            Sending::On => Some(self.on_frame()),
            Sending::End => {
                self.left -= 1;
                if self.left == 0 {
                    (self.state, self.left) = (Sending::Pause, PAUSE);
                }
                Some(self.packet(false, true))
            }
            Sending::Pause => {
                self.left -= 1;
                if self.left == 0 {
                    self.state = Sending::Idle;
                }
                None
            }
        }
    }

    fn on_frame(&mut self) -> ToSend {
        let marker = self.elapsed == 0 && self.left == 0;
        self.left = 1;
        if self.elapsed + 160 > u32::from(u16::MAX) {
            // RFC 4733 §2.5.1.3: a new segment begins where the last one ended.
            self.timestamp = self.timestamp.wrapping_add(self.elapsed);
            self.length -= self.elapsed;
            self.elapsed = 0;
        }
        self.elapsed += 160;
        let end = self.elapsed >= self.length;
        if end {
            (self.state, self.left) = (Sending::End, ENDS - 1);
        }
        self.packet(marker, end)
    }

    fn packet(&self, marker: bool, end: bool) -> ToSend {
        let duration = u16::try_from(self.elapsed).unwrap_or(u16::MAX);
        ToSend {
            marker,
            timestamp: self.timestamp,
            event: EventPacket { event: self.event, end, volume: VOLUME, duration },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Seed;

    /// All packets of a press, as sent.
    fn press(sender: &mut Sender, digit: u8, frames: u32, ts: &mut u32, out: &mut Vec<ToSend>) {
        sender.begin(Digit::from_event(digit).expect("a digit"), frames * 160, *ts);
        while !sender.idle() {
            out.extend(sender.frame());
            *ts = ts.wrapping_add(160);
        }
    }

    fn receive(packets: &[(u16, ToSend)]) -> Vec<u8> {
        let mut r = Receiver::default();
        let heard = packets.iter().filter_map(|(seq, p)| match r.receive(*seq, p.timestamp, p.event) {
            Heard::Pressed(d) => Some(d.event()),
            Heard::Nothing => None,
        });
        heard.collect()
    }

    fn numbered(packets: Vec<ToSend>) -> Vec<(u16, ToSend)> {
        packets.into_iter().enumerate().map(|(i, p)| (u16::try_from(i + 65_000).unwrap_or(7), p)).collect()
    }

    #[test]
    fn rfc4733_2_5_1_4_the_end_is_sent_three_times() {
        let (mut s, mut ts, mut out) = (Sender::default(), 0, Vec::new());
        press(&mut s, 5, 5, &mut ts, &mut out);
        assert_eq!(out.iter().filter(|p| p.event.end).count(), 3);
        assert_eq!(out.iter().filter(|p| p.marker).count(), 1);
        assert!(out.iter().all(|p| p.timestamp == 0));
        assert_eq!(out.last().map(|p| p.event.duration), Some(800));
    }

    #[test]
    fn rfc4733_2_5_1_3_a_long_press_is_one_press() {
        let (mut s, mut ts, mut out) = (Sender::default(), 4_294_960_000, Vec::new());
        press(&mut s, 9, 1500, &mut ts, &mut out); // 30 s
        assert!(out.iter().any(|p| p.timestamp != out[0].timestamp), "several segments");
        let all: Vec<_> = out.iter().enumerate().map(|(i, p)| (u16::try_from(i).expect("few"), *p)).collect();
        assert_eq!(receive(&all), [9]);
    }

    #[test]
    fn a_reordered_old_packet_is_no_press() {
        let (mut s, mut ts, mut out) = (Sender::default(), 0, Vec::new());
        press(&mut s, 1, 5, &mut ts, &mut out);
        press(&mut s, 2, 5, &mut ts, &mut out);
        let mut all = numbered(out);
        let late = all.remove(6);
        all.insert(9, late);
        assert_eq!(receive(&all), [1, 2]);
    }

    #[test]
    fn rfc4733_twenty_per_cent_loss_every_press_once() {
        // 10,000 presses of 100 ms, a fifth of the packets lost at random: each heard once.
        let mut rng = Seed(4733).rng();
        let (mut s, mut ts, mut seq) = (Sender::default(), 0, 0_u16);
        let mut r = Receiver::default();
        let (mut sent, mut heard) = (Vec::new(), Vec::new());
        for _ in 0..10_000 {
            let digit = u8::try_from(rng.below(16)).expect("below 16");
            sent.push(digit);
            let mut out = Vec::new();
            press(&mut s, digit, 5, &mut ts, &mut out);
            for p in out {
                seq = seq.wrapping_add(1);
                if rng.chance(0.2) {
                    continue;
                }
                if let Heard::Pressed(d) = r.receive(seq, p.timestamp, p.event) {
                    heard.push(d.event());
                }
            }
        }
        assert!(heard == sent, "{} of {} heard", heard.len(), sent.len());
    }
}
